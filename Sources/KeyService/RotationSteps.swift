import Audit
import Cryptography
import Domain
import FoundationEssentials
import PolicyEngine
import Primitives
import Providers
import Vault

// What the steps of a replacement do at the provider.
extension KeyService {
  // MARK: steps

  func create(_ run: inout RotationRun, _ plan: RotationPlan, _ id: RecordID) async throws(Fault) {
    let vault = try requireVault()
    let name = ConnectorCalls.name(id, version: run.to)
    // What an attempt before this one has left: its secret is lost.
    if providerKeys.contains(where: { $0.id == id && $0.version == run.to }) { try erase(version: run.to, of: id) }
    if run.isAsked { try await undo(&run, plan, id) }
    run.isAsked = true
    run.remote = [:]
    try keep(run, id)
    let made: MadeKey
    if let calls = try calls(id, plan) {
      made = try await calls.create(named: name)
    } else {
      made = try await runHook(plan, "create", id, run, [:])
    }
    // Given up meanwhile: what was made goes again.
    guard runs[id]?.step == .create else {
      if let calls = try calls(id, plan) { try await calls.end(.delete, made.remote) }
      return
    }
    run.remote = made.remote
    try keep(run, id)
    try seal(made.secret, id, run, vault)
    try await enter(.probe, &run, id)
  }

  /// Takes away what was made at the provider for this replacement.
  func undo(_ run: inout RotationRun, _ plan: RotationPlan, _ id: RecordID) async throws(Fault) {
    if let calls = try calls(id, plan) {
      // A slot that was made anew is idle, and is made anew again.
      guard calls.connector.slots.isEmpty, calls.connector.has(.delete) else { return }
      var gone = run.remote.isEmpty || !calls.connector.has(.create) ? [] : [run.remote]
      let name = ConnectorCalls.name(id, version: run.to)
      if run.isAsked {
        for stray in try await calls.strays(named: name, since: Timestamp(milliseconds: run.startedAt))
        where !gone.contains(stray) { gone.append(stray) }
      }
      for remote in gone { try await calls.end(.delete, remote) }
    } else if plan.isOwn, run.isAsked {
      _ = try await runHook(plan, "delete", id, run, run.remote)
    }
  }

  private struct HookAnswer: Decodable {
    let secret: String?
    let remote: [String: String]?
  }

  /// A program or a server of the user's: it gets a JSON object, and answers with one where it has made a key.
  func runHook(_ plan: RotationPlan, _ action: String, _ id: RecordID, _ run: RotationRun, _ remote: [String: String])
    async throws(Fault) -> MadeKey
  {
    let provider = providerKeys.first { $0.id == id }?.provider ?? ""
    var document = plan.parameters.merging(remote) { $1 }
    (document["action"], document["provider"], document["provider_key"]) = (action, provider, id.description)
    document["name"] = ConnectorCalls.name(id, version: action == "create" || run.step == .rollback ? run.to : run.from)
    let body = try Delivery.json(document)
    let output: [UInt8]
    if plan.connector == RotationPlan.webhook {
      let vault = try requireVault()
      let secret = try vault.open(
        plan.sealed ?? [], for: "rotation/\(id)", hosts: [try Self.origin(plan.address ?? "")])
      let headers = Webhook.headers(body, id: "msg_\(id)_\(run.to)_\(action)", now: clock.now, secret: secret.span)
      let answer = try await outside.call(
        OutboundRequest("POST", plan.address ?? "", headers: headers, body: body, authorityFile: plan.authorityFile))
      guard (200..<300).contains(answer.status) else {
        throw Fault(
          [401, 403].contains(answer.status) ? .forbidden : .unavailable, "the webhook answered \(answer.status) to '\(action)'")
      }
      output = answer.body
    } else {
      output = try await outside.run(hook: plan.hook ?? "", [action], input: body)
    }
    guard action == "create" else { return MadeKey(secret: SecretBytes(count: 0) { _ in }, remote: [:]) }
    guard let answer = try? JSONDecoder().decode(HookAnswer.self, from: Data(output)), let secret = answer.secret, !secret.isEmpty
    else {
      throw Fault(.unavailable, "the \(plan.connector) did not answer with {\"secret\": ...}")
    }
    return MadeKey(secret: SecretBytes(copying: Array(secret.utf8).span), remote: answer.remote ?? [:])
  }

  /// One cheap call with the new secret.
  func probe(_ run: inout RotationRun, _ plan: RotationPlan, _ id: RecordID) async throws(Fault) {
    let vault = try requireVault()
    guard let key = providerKeys.first(where: { $0.id == id && $0.version == run.to }),
      let provider = providersByName[key.provider],
      let entry = catalogue[provider.kind]
    else { throw Fault(.tampered, "version \(run.to) of provider key \(id) is gone") }
    let path = plan.probePath ?? entry.probePath
    if let path {
      let credential = try Credential(
        keyID: id, version: run.to, style: provider.credential, secret: try vault.open(key, of: provider),
        host: provider.baseURL.host)
      let status = try await outside.probe(credential, provider, path: path)
      switch status {
      case 200..<300: break
      case 401, 403:
        guard clock.now.milliseconds - run.stepAt < plan.timing.probe * 1000 else {
          throw Fault(.forbidden, "the provider refuses the new key (\(status))")
        }
        run.nextAttempt = clock.now.milliseconds + 2000
        return try keep(run, id)
      default: throw Fault(.unavailable, "the provider answered \(status) when the new key was tried")
      }
    }
    run.stage = 0
    try await enter(.shift, &run, id)
  }

  /// Seconds by which a provider's clock, and what it tells of uses, may be off.
  private static let tolerance: Int64 = 60

  func prove(_ run: inout RotationRun, _ plan: RotationPlan, _ id: RecordID) async throws(Fault) -> [Notice] {
    let now = clock.now.milliseconds
    let ours = healths[VersionPlace(id: id, version: run.from)]?.lastUsedAt?.milliseconds ?? 0
    // A process that has started since then has not seen what was before.
    let quietSince = max(ours, run.drainedAt ?? run.stepAt, run.attempts == 0 ? 0 : run.stepAt)
    guard now - quietSince >= plan.timing.proof * 1000 else { return [] }
    if let calls = try calls(id, plan), calls.connector.has(.used), !run.oldRemote.isEmpty,
      let theirs = try await calls.lastUse(of: run.oldRemote),
      theirs.milliseconds > (run.drainedAt ?? now) + Self.tolerance * 1000
    {
      run.attempts += 1
      run.because = "the provider saw the old key in use at \(theirs.rfc3339), and not by this gateway"
      run.nextAttempt = now + 3_600_000
      try audit("event.old_key_in_use", "provider-key/\(id)", ["used_at": theirs.rfc3339], by: .rotation)
      try keep(run, id)
      return [
        Notice(
          subject: "provider-key/\(id)",
          text: "\(run.because!): somebody has it. It is not switched off before you say so: maskllm rotation confirm \(id)")
      ]
    }
    try await enter(.disable, &run, id)
    return []
  }
}
