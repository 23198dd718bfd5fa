public import Audit
import Cryptography
public import Domain
import FoundationEssentials
import PolicyEngine
public import Primitives
public import Providers
import Storage
import Vault

// Real keys are replaced at their providers: create, probe, shift, drain, prove, disable, hold, delete. What a step has done is
// durable before the next begins, so that another process goes on where one has died.
extension KeyService {
  // MARK: plans

  public func connectors() -> [String: RotationConnector] { catalogue.connectors }

  /// Says how a provider key is replaced; `secret` is the administrator's credential, nil keeps the one that there is.
  public func setPlan(_ id: RecordID, _ plan: RotationPlan, secret: [UInt8]?) throws(Fault) {
    let vault = try requireVault()
    guard providerKeys.contains(where: { $0.id == id }) else { throw Fault(.notFound, "there is no provider key \(id)") }
    guard runs[id] == nil else {
      throw Fault(
        .conflict, "provider key \(id) is being rotated", hint: "wait for its end, or give it up: maskllm rotation abort \(id)")
    }
    try plan.validate()
    var plan = plan
    if let connector = catalogue.connectors[plan.connector] {
      for name in connector.needs where plan.parameters[name] == nil {
        throw Fault(
          .invalidInput, "connector '\(plan.connector)' needs the parameter '\(name)'",
          hint: "give it with --parameter \(name)=VALUE")
      }
      for name in connector.pasted where plan.remote[name] == nil {
        throw Fault(
          .invalidInput, "what the provider calls the present key is not said", hint: "give it with --remote \(name)=VALUE")
      }
      let origin = try BaseURL(plan.address ?? connector.baseURL.text).origin
      if let secret, !secret.isEmpty {
        plan.sealed = try vault.seal(secret.span, for: "rotation/\(id)", hosts: [origin])
        _ = try adminCredential(id, plan, connector, vault)
      } else {
        guard let known = plans[id], known.connector == plan.connector, known.sealed != nil,
          try BaseURL(known.address ?? connector.baseURL.text).origin == origin
        else {
          throw Fault(
            .invalidInput, "connector '\(plan.connector)' needs an administrator's credential", hint: "give it on standard input")
        }
        plan.sealed = known.sealed
      }
    } else if plan.connector == RotationPlan.webhook {
      let origin = try Self.origin(plan.address ?? "")
      if let secret, !secret.isEmpty {
        plan.sealed = try vault.seal(secret.span, for: "rotation/\(id)", hosts: [origin])
      } else {
        guard let known = plans[id], known.connector == plan.connector, known.sealed != nil,
          try Self.origin(known.address ?? "") == origin
        else {
          throw Fault(.invalidInput, "a webhook needs what its requests are signed with", hint: "give it on standard input")
        }
        plan.sealed = known.sealed
      }
    } else if plan.connector != RotationPlan.guided && plan.connector != RotationPlan.hook {
      let own = [RotationPlan.hook, RotationPlan.webhook, RotationPlan.guided]
      let names = (catalogue.connectors.keys.sorted() + own).joined(separator: ", ")
      throw Fault(.notFound, "there is no connector '\(plan.connector.prefix(64))'", hint: "use one of: \(names)")
    } else if secret?.isEmpty == false {
      throw Fault(.invalidInput, "'\(plan.connector)' needs no credential")
    }
    if plan.remote.isEmpty, let known = plans[id], known.connector == plan.connector { plan.remote = known.remote }
    try write(.rotation, id.description, plan)
    plans[id] = plan
  }

  public func removePlan(_ id: RecordID) throws(Fault) {
    guard runs[id] == nil else {
      throw Fault(.conflict, "provider key \(id) is being rotated", hint: "give it up first: maskllm rotation abort \(id)")
    }
    try erase(.rotation, id.description)
    plans[id] = nil
  }

  /// Of a URL with a path and a query.
  static func origin(_ url: String) throws(Fault) -> String {
    let address = try WebAddress(url)
    try address.requireSecrecy()
    return address.origin
  }

  private func adminCredential(_ id: RecordID, _ plan: RotationPlan, _ connector: RotationConnector, _ vault: Vault) throws(Fault)
    -> Credential
  {
    let url = try BaseURL(plan.address ?? connector.baseURL.text)
    var style = connector.credential
    for (name, value) in plan.parameters { style.replace("{\(name)}", with: value) }
    // Where the management API is somewhere else, so is who gives tokens for it.
    if plan.address != nil, style.hasPrefix("oauth2:") {
      style = "oauth2:\(url.origin)/token " + (style.split(separator: " ", maxSplits: 1).dropFirst().first ?? "")
    }
    guard let credential = CredentialStyle(style), let sealed = plan.sealed else {
      throw Fault(.invalidInput, "connector '\(connector.name)' cannot be used with these parameters")
    }
    let secret = try vault.open(sealed, for: "rotation/\(id)", hosts: [url.origin])
    return try Credential(keyID: id, version: 0, style: credential, secret: secret, host: url.host)
  }

  func calls(_ id: RecordID, _ plan: RotationPlan) throws(Fault) -> ConnectorCalls? {
    guard let connector = catalogue.connectors[plan.connector] else { return nil }
    return ConnectorCalls(
      connector: connector, plan: plan, credential: try adminCredential(id, plan, connector, try requireVault()),
      outside: outside, now: clock.now)
  }

  // MARK: beginning and ending

  /// Begins to replace a provider key. With `pasted`, a person has made the new one.
  public func startRotation(
    _ id: RecordID, pasted: [UInt8]? = nil, remote: [String: String] = [:], by actor: Actor = .administrator
  ) async throws(Fault) -> RotationRun {
    let vault = try requireVault()
    guard let current = primaryKeys().first(where: { $0.id == id }), let provider = providersByName[current.provider] else {
      throw Fault(.notFound, "there is no provider key \(id)", hint: "see 'maskllm provider-key list'")
    }
    guard runs[id] == nil else {
      throw Fault(.conflict, "provider key \(id) is being rotated already", hint: "see 'maskllm rotation show \(id)'")
    }
    if plans[id] == nil, pasted != nil {
      let plan = RotationPlan(connector: RotationPlan.guided)
      try write(.rotation, id.description, plan)
      plans[id] = plan
    }
    guard let plan = plans[id] else {
      throw Fault(
        .conflict, "nothing says how provider key \(id) is rotated",
        hint: "maskllm rotation set \(id) --connector NAME, or paste a new key: --guided")
    }
    let connector = catalogue.connectors[plan.connector]
    let makesKeys = plan.isOwn || connector?.has(.create) == true
    if pasted == nil, !makesKeys {
      throw Fault(
        .conflict, "keys of this provider are made by a person",
        hint: "paste the new one: maskllm provider-key rotate \(id) --guided")
    }
    for name in connector?.pasted ?? [] where pasted != nil && remote[name] == nil {
      throw Fault(.invalidInput, "what the provider calls the new key is not said", hint: "give it with --remote \(name)=VALUE")
    }
    let highest = providerKeys.filter { $0.id == id }.map(\.version).max() ?? current.version
    var run = RotationRun(
      from: current.version, to: highest + 1, oldRemote: plan.remote, startedAt: clock.now.milliseconds, actor: actor.name)
    if let pasted {
      // Refused before anything is kept, where the style wants it in another form.
      let pasted = SecretBytes(copying: pasted.span)
      _ = try Credential(keyID: id, version: 0, style: provider.credential, secret: pasted, host: provider.baseURL.host)
      run.remote = remote
      run.step = .probe
      try audit("provider_key.rotate", "provider-key/\(id)", ["version": "\(run.to)", "connector": plan.connector], by: actor)
      try seal(pasted, id, run, vault)
    } else {
      try audit("provider_key.rotate", "provider-key/\(id)", ["version": "\(run.to)", "connector": plan.connector], by: actor)
    }
    try keep(run, id)
    renewCredentials(of: id, vault)
    await publish()
    return run
  }

  func startProviderRotation(_ id: RecordID, by actor: Actor) async throws(Fault) -> String? {
    if runs[id] == nil { _ = try await startRotation(id, by: actor) }
    return "rotating"
  }

  /// Gives up a replacement that is under way, as long as the old secret still works.
  public func abortRotation(_ id: RecordID) async throws(Fault) -> RotationRun {
    guard var run = runs[id] else { throw Fault(.notFound, "provider key \(id) is not being rotated") }
    guard [.create, .probe, .shift, .drain, .prove].contains(run.step) else {
      throw Fault(.conflict, "the old secret is switched off already", hint: "rotate once more instead")
    }
    run.because = "given up by an administrator"
    try await enter(.rollback, &run, id)
    return run
  }

  /// A person has done what the replacement waits for: deleted the old key, or looked at who still uses it.
  public func confirmRotation(_ id: RecordID) async throws(Fault) -> RotationRun {
    guard var run = runs[id] else { throw Fault(.notFound, "provider key \(id) is not being rotated") }
    switch run.step {
    case .prove:
      run.because = nil
      try await enter(.disable, &run, id)
    case .confirm: try await finish(run, id)
    default: throw Fault(.conflict, "the rotation waits for nobody", hint: "it is at the step '\(run.step.rawValue)'")
    }
    return run
  }

  // MARK: keeping

  func seal(_ secret: borrowing SecretBytes, _ id: RecordID, _ run: RotationRun, _ vault: Vault) throws(Fault) {
    guard let current = providerKeys.first(where: { $0.id == id }), let provider = providersByName[current.provider] else {
      throw Fault(.notFound, "there is no provider key \(id)")
    }
    var key = ProviderKey(
      id: id, provider: current.provider, name: current.name, version: run.to, sealed: [], createdAt: clock.now)
    try vault.seal(secret.span, into: &key, of: provider)
    try store.insert(key)
    providerKeys.append(key)
  }

  func keep(_ run: RotationRun, _ id: RecordID) throws(Fault) {
    try write(.rotationRun, id.description, run)
    runs[id] = run
  }

  func erase(version: UInt32, of id: RecordID) throws(Fault) {
    _ = try store.deleteProviderKey(id, version: version)
    providerKeys.removeAll { $0.id == id && $0.version == version }
    credentials[VersionPlace(id: id, version: version)] = nil
    healths[VersionPlace(id: id, version: version)] = nil
  }

  /// Goes over to a step: written down, durable, in force.
  func enter(_ step: RotationRun.Step, _ run: inout RotationRun, _ id: RecordID) async throws(Fault) {
    run.step = step
    run.stepAt = clock.now.milliseconds
    (run.attempts, run.nextAttempt) = (0, 0)
    var details = ["step": step.rawValue, "version": "\(run.to)"]
    if step == .shift { details["share"] = "\(plans[id]?.timing.shares[run.stage] ?? 100)" }
    details["because"] = step == .rollback ? run.because : nil
    try audit("provider_key.rotation_step", "provider-key/\(id)", details, by: .rotation)
    try keep(run, id)
    renewCredentials(of: id, try requireVault())
    await publish()
  }

  func finish(_ run: RotationRun, _ id: RecordID) async throws(Fault) {
    let vault = try requireVault()
    let hasWorked = run.step != .rollback
    try audit(
      hasWorked ? "provider_key.rotated" : "provider_key.rotation_failed", "provider-key/\(id)",
      ["version": "\(hasWorked ? run.to : run.from)", "because": run.because ?? ""], by: .rotation)
    if hasWorked, var plan = plans[id] {
      plan.remote = run.remote
      try write(.rotation, id.description, plan)
      plans[id] = plan
    }
    try erase(version: hasWorked ? run.from : run.to, of: id)
    try erase(.rotationRun, id.description)
    runs[id] = nil
    renewCredentials(of: id, vault)
    await publish()
  }

  // MARK: going on

  /// Begins what is due by its plan. Returns the provider keys that have something to do now; see `advance`.
  public func rotationsDue() async throws(Fault) -> [RecordID] {
    guard vault != nil else { return [] }
    let now = clock.now
    for (id, plan) in plans where runs[id] == nil && (plan.every != nil || plan.cron != nil) {
      guard let current = primaryKeys().first(where: { $0.id == id }), let zone = try? ZoneRules(named: plan.timeZone) else {
        continue
      }
      let schedule = RotationSchedule(
        every: plan.every, cron: plan.cron, timeZone: plan.timeZone, grace: 0, spread: 0, destinations: [])
      guard let due = schedule.due(id, madeAt: current.createdAt, zone), due <= now else { continue }
      // One that cannot begin must keep no other from it.
      do throws(Fault) { _ = try await startRotation(id, by: .schedule) } catch {
        try audit("event.rotation_not_begun", "provider-key/\(id)", ["because": error.message], by: .schedule)
      }
    }
    return runs.filter { $0.value.nextAttempt <= now.milliseconds && !advancing.contains($0.key) }.map(\.key).sorted()
  }

  /// Failures in a row of creating or probing after which a new key is given up.
  private static let attemptsMax = 5

  /// Takes one step of one replacement, as far as it goes. Another provider's never waits for it. Returns what people have to be told.
  public func advance(_ id: RecordID) async throws(Fault) -> [Notice] {
    guard let plan = plans[id], let before = runs[id], advancing.insert(id).inserted else { return [] }
    defer { advancing.remove(id) }
    do throws(Fault) { return try await step(before, plan, id) } catch {
      // Meanwhile it may have been given up.
      guard var run = runs[id], run.step == before.step else { return [] }
      run.attempts += 1
      run.because = error.message
      let isRefused = error == Fault(.forbidden, "") || error == Fault(.invalidInput, "")
      if [.create, .probe].contains(run.step), run.attempts >= (isRefused ? 1 : Self.attemptsMax) {
        try await enter(.rollback, &run, id)
      } else {
        // A second, two, four … at most ten minutes.
        run.nextAttempt = clock.now.milliseconds + min(600_000, 1000 << Int64(min(run.attempts - 1, 10)))
        try keep(run, id)
      }
      try audit(
        "event.rotation_trouble", "provider-key/\(id)", ["step": before.step.rawValue, "because": error.message], by: .rotation)
      return [
        Notice(
          subject: "provider-key/\(id)",
          text: "its rotation does not go on at the step '\(before.step.rawValue)': \(error.message)")
      ]
    }
  }

  private func step(_ before: RotationRun, _ plan: RotationPlan, _ id: RecordID) async throws(Fault) -> [Notice] {
    var run = before
    let (now, timing) = (clock.now.milliseconds, plan.timing)
    func lasted(_ seconds: Int64) -> Bool { now - run.stepAt >= seconds * 1000 }
    switch run.step {
    case .create: try await create(&run, plan, id)
    case .probe: try await probe(&run, plan, id)
    case .shift:
      if isRefused(run.to, id) { return try await giveUp("the provider refuses the new key", &run, id) }
      guard lasted(timing.stage) else { return [] }
      if run.stage + 1 < timing.shares.count {
        run.stage += 1
        try await enter(.shift, &run, id)
      } else {
        run.drainedAt = now
        try await enter(.drain, &run, id)
      }
    case .drain:
      if isRefused(run.to, id) { return try await giveUp("the provider refuses the new key", &run, id) }
      let left = healths[VersionPlace(id: id, version: run.from)]?.requestsInFlight ?? 0
      guard left == 0 || lasted(timing.drain) else { return [] }
      run.drainedAt = now
      try await enter(.prove, &run, id)
    case .prove: return try await prove(&run, plan, id)
    case .disable:
      if let calls = try calls(id, plan), calls.connector.has(.disable), !run.oldRemote.isEmpty {
        try await calls.end(.disable, run.oldRemote)
      } else if plan.isOwn {
        _ = try await runHook(plan, "disable", id, run, run.oldRemote)
      }
      try await enter(.hold, &run, id)
    case .hold:
      guard lasted(timing.hold) else { return [] }
      try await enter(.delete, &run, id)
    case .delete:
      if let calls = try calls(id, plan), calls.connector.has(.delete), !run.oldRemote.isEmpty || !calls.connector.slots.isEmpty {
        var old = run.oldRemote
        if let first = calls.connector.slots.first, old["slot"] == nil { old["slot"] = first.name }
        try await calls.end(.delete, old)
      } else if plan.isOwn {
        _ = try await runHook(plan, "delete", id, run, run.oldRemote)
      } else {
        try await enter(.confirm, &run, id)
        return [reminder(id, run)]
      }
      try await finish(run, id)
    case .confirm:
      // Once a day.
      run.attempts += 1
      run.nextAttempt = now + 86_400_000
      try keep(run, id)
      return run.attempts == 1 ? [] : [reminder(id, run)]
    case .rollback:
      let left = healths[VersionPlace(id: id, version: run.to)]?.requestsInFlight ?? 0
      guard left == 0 || lasted(timing.drain) else { return [] }
      try await undo(&run, plan, id)
      let why = run.because ?? ""
      try await finish(run, id)
      return [Notice(subject: "provider-key/\(id)", text: "its rotation was given up: \(why); the old secret goes on")]
    }
    return []
  }

  private func reminder(_ id: RecordID, _ run: RotationRun) -> Notice {
    Notice(
      subject: "provider-key/\(id)",
      text: "version \(run.from) is not used any more: delete it at the provider, then run 'maskllm rotation confirm \(id)'")
  }

  private func isRefused(_ version: UInt32, _ id: RecordID) -> Bool {
    healths[VersionPlace(id: id, version: version)]?.state(now: monotonicNanoseconds()) == .quarantined
  }

  private func giveUp(_ because: String, _ run: inout RotationRun, _ id: RecordID) async throws(Fault) -> [Notice] {
    run.because = because
    try await enter(.rollback, &run, id)
    return [Notice(subject: "provider-key/\(id)", text: "\(because): back to version \(run.from)")]
  }
}
