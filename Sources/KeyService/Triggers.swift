public import Audit
public import Domain
import FoundationEssentials
public import Primitives
import Storage
import Vault

/// What a trigger led to.
public struct TriggerOutcome: Sendable {
  public let verdict: Verdict
  public let action: Trigger.Action
  public let isShadow: Bool
  /// What was done; nil: nothing, because it only reports, or it could not be done.
  public let did: String?
}

// Conditions on what keys are seen to do.
extension KeyService {
  /// Those in force: the shipped ones, and yours in their place or beside them.
  public func allTriggers() -> [String: Trigger] { Trigger.shipped.merging(ownTriggers) { $1 } }

  public func setTrigger(_ name: String, _ trigger: Trigger) async throws(Fault) {
    try DocumentName.validate(name, of: "trigger")
    try trigger.validate()
    try write(.trigger, name, trigger)
    ownTriggers[name] = trigger
    engine?.triggers = allTriggers()
  }

  /// Takes yours away; a shipped one of that name is in force again.
  public func removeTrigger(_ name: String) async throws(Fault) {
    try erase(.trigger, name)
    ownTriggers[name] = nil
    engine?.triggers = allTriggers()
  }

  func facts(_ id: RecordID) -> KeyFacts? {
    guard let key = keys[id] else { return nil }
    return KeyFacts(
      team: key.team, tags: key.details.tags, createdAt: key.createdAt, isInUse: key.state == .active && !isExpired(key))
  }

  // MARK: judging

  /// What is known of how keys are used: as it was kept, and gone on with from the record.
  private func loadEngine() throws(Fault) -> TriggerEngine {
    let (rows, upTo) = try store.profiles()
    var profiles: [RecordID: KeyProfile] = [:]
    for (id, body) in rows {
      // Learnt anew where it cannot be read: a row that is damaged stops no start.
      guard let profile = try? JSONDecoder().decode(KeyProfile.self, from: Data(body)) else {
        damaged.profiles += 1
        continue
      }
      profile.bound()
      profiles[id] = profile
    }
    var engine = TriggerEngine(allTriggers(), profiles: profiles)
    var last = upTo
    keptUpTo = upTo
    try store.forEachSegment(after: upTo) { segment in
      pendingVerdicts += judge(segment, &engine)
      last = segment.number
      return true
    }
    judgedUpTo = last
    if !pendingVerdicts.isEmpty { try dropWhatWasDone() }
    return engine
  }

  /// After a crash the last seconds of the record are judged once more: what was said and done about them then is not said and done
  /// again, and what was only said is done.
  private func dropWhatWasDone() throws(Fault) {
    var filter = AuditFilter()
    filter.since = pendingVerdicts.map(\.at).min()!
    let entries = try auditLog().entries(filter)
    pendingVerdicts = pendingVerdicts.filter { verdict in
      let subject = subject(of: verdict)
      let isSaid = entries.contains {
        $0.act == "event.trigger" && $0.subject == subject && $0.details["trigger"] == verdict.trigger
          && $0.details["seen_at"] == verdict.at.rfc3339
      }
      guard isSaid else { return true }
      guard let trigger = allTriggers()[verdict.trigger], !trigger.isShadow, trigger.then != .alert else { return false }
      let actor = Actor.trigger(verdict.trigger).name
      return !entries.contains { $0.actor == actor && $0.subject == subject && !$0.act.hasPrefix("event.") }
    }
  }

  private func subject(of verdict: Verdict) -> String {
    verdict.key.map { "key/\($0)" } ?? "provider-key/\(verdict.providerKey?.description ?? "")"
  }

  private func judge(_ segment: ActivitySegment, _ engine: inout TriggerEngine) -> [Verdict] {
    var verdicts = engine.advance(to: segment.last, keys: keys.keys, facts)
    let bytes = segment.records
    damaged.records += ActivityEncoding.forEach(in: bytes) { record, provider, model, code in
      let span = bytes.span
      let told = engine.take(
        record, provider: span.extracting(provider), model: span.extracting(model), code: span.extracting(code), facts)
      if !told.isEmpty { verdicts += told }
    }
    return verdicts
  }

  /// Judges what was just kept; what is to be done about it waits for `actOnVerdicts`.
  func judge(_ segment: ActivitySegment) throws(Fault) {
    guard vault != nil else { return }
    if engine == nil {
      engine = try loadEngine()
      // It was kept already, and is among what was read.
      return
    }
    pendingVerdicts += judge(segment, &engine!)
    judgedUpTo = segment.number
  }

  public var hasVerdicts: Bool { !pendingVerdicts.isEmpty }

  /// Does what the triggers say about what was judged. Each is written down first, shadow or not.
  public func actOnVerdicts() async throws(Fault) -> [TriggerOutcome] {
    let verdicts = pendingVerdicts
    pendingVerdicts = []
    var outcomes: [TriggerOutcome] = []
    for verdict in verdicts {
      guard let trigger = engine?.triggers[verdict.trigger] else { continue }
      let subject = subject(of: verdict)
      let details = [
        "trigger": verdict.trigger, "because": verdict.because, "then": trigger.then.rawValue,
        "shadow": "\(trigger.isShadow)", "seen_at": verdict.at.rfc3339,
      ]
      try audit("event.trigger", subject, details, by: .trigger(verdict.trigger))
      var did: String?
      if !trigger.isShadow {
        // One that fails does not keep the others from being done.
        do throws(Fault) { did = try await act(trigger, verdict) } catch {
          try audit("event.trigger_failed", subject, ["trigger": verdict.trigger, "because": error.message], by: .gateway)
        }
      }
      outcomes.append(TriggerOutcome(verdict: verdict, action: trigger.then, isShadow: trigger.isShadow, did: did))
    }
    return outcomes
  }

  private func act(_ trigger: Trigger, _ verdict: Verdict) async throws(Fault) -> String? {
    let actor = Actor.trigger(verdict.trigger)
    let reason = Label.fitting("trigger \(verdict.trigger): \(verdict.because)")
    guard let id = verdict.key else {
      guard let providerKey = verdict.providerKey, trigger.then != .alert else { return nil }
      if trigger.then == .rotate { return try await startProviderRotation(providerKey, by: actor) }
      var selection = Selection()
      selection.providerKey = providerKey
      _ = try await revoke(selection, reason: reason, by: actor)
      return "disabled"
    }
    guard keys[id]?.state.isFinal == false else { return nil }
    switch trigger.then {
    case .alert: return nil
    case .throttle:
      _ = try await throttleKey(id, trigger.perMinute, reason: reason, by: actor)
      return "throttled"
    case .disable:
      _ = try await changeKey(id, .disable, reason: reason, by: actor)
      return "disabled"
    case .revoke:
      var selection = Selection()
      selection.keys = [id]
      _ = try await revoke(selection, reason: reason, by: actor)
      return "revoked"
    case .rotate: return try await rotateByTrigger(id, by: actor)
    }
  }

  // MARK: replay

  /// What `triggers` would have said of the record since `from`, learning from all of it. Nothing is done. Goes through the record in
  /// pieces, while everything goes on.
  public func replay(_ triggers: [String: Trigger], from: Timestamp) async throws(Fault) -> [Verdict] {
    _ = try requireVault()
    for trigger in triggers.values { try trigger.validate() }
    var engine = TriggerEngine(triggers)
    var verdicts: [Verdict] = []
    var leaks = try await auditEntries(AuditFilter(act: "event.leaked"))
    func takeLeaks(until moment: Timestamp) {
      while let leak = leaks.last, leak.at <= moment {
        leaks.removeLast()
        guard let id = RecordID(String(leak.subject.dropFirst("key/".count))) else { continue }
        verdicts += engine.takeLeak(of: id, place: leak.details["place"] ?? "", at: leak.at, facts)
      }
    }
    try await forEachSegment(from: Timestamp(milliseconds: 0)) { segment in
      takeLeaks(until: segment.first)
      verdicts += judge(segment, &engine)
    }
    takeLeaks(until: .distantFuture)
    verdicts += engine.advance(to: clock.now, keys: keys.keys, facts)
    return verdicts.filter { $0.at >= from }
  }

  // MARK: profiles

  /// How a key is used, as far as is known; nil when it never was.
  public func profile(_ id: RecordID) throws(Fault) -> KeyProfile? {
    _ = try requireVault()
    if engine == nil { engine = try loadEngine() }
    return engine?.profiles[id]
  }

  /// Looks at what time alone brings about, and keeps what was learned.
  public func watch() throws(Fault) {
    guard vault != nil else { return }
    if engine == nil { engine = try loadEngine() }
    pendingVerdicts += engine!.advance(to: clock.now, keys: keys.keys, facts)
  }

  public func keepProfiles() throws(Fault) {
    // Where no profile changes, how far the record was judged is kept now and then: a start goes on from there.
    guard let changed = engine?.changed, !changed.isEmpty || judgedUpTo - keptUpTo >= 100 else { return }
    var rows: [(id: RecordID, body: [UInt8])] = []
    for id in changed {
      guard let profile = engine?.profiles[id], let body = try? JSONEncoder().encode(profile) else { continue }
      rows.append((id, [UInt8](body)))
    }
    try store.save(profiles: rows, upTo: judgedUpTo)
    engine?.keptAll()
    keptUpTo = judgedUpTo
  }
}
