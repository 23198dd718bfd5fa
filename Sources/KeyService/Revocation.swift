public import Audit
import Domain
public import Primitives
import Storage
import Vault

/// Which keys are meant: all that fit every member that is there.
public struct Selection: Sendable, Equatable {
  public var keys: [RecordID] = []
  public var team: String?
  public var tag: String?
  /// Keys whose present secret was made before this.
  public var issuedBefore: Timestamp?
  public var everything = false
  /// Of the one key in `keys`: an earlier secret, and not the key.
  public var version: UInt32?
  /// A provider key, which is no longer used from then on.
  public var providerKey: RecordID?
  public init() {}

  var text: [String: String] {
    var text: [String: String] = [:]
    if !keys.isEmpty { text["keys"] = keys.map(\.description).joined(separator: " ") }
    (text["team"], text["tag"], text["issued_before"]) = (team, tag, issuedBefore?.rfc3339)
    if everything { text["everything"] = "true" }
    if let version { text["version"] = "\(version)" }
    if let providerKey { text["provider_key"] = "\(providerKey)" }
    return text
  }
}

/// What a revocation did. It was in force on every loop of this node before it was given.
public struct Receipt: Sendable {
  public let id: RecordID
  public let at: Timestamp
  public let reason: String
  public let isRehearsal: Bool
  public let revoked: [RecordID]
  public let before: [RecordID]
  public let retired: [(key: RecordID, version: UInt32)]
  public let providerKey: RecordID?
  /// Event loops of this node that have it in force.
  public let acknowledged: Int
  /// From the call to the last acknowledgement.
  public let microseconds: Int
}

// Keys are stopped for good.
extension KeyService {
  /// Revokes what `selection` means: durable, then in force on every loop, then answered. Streams in flight are cut.
  ///
  /// With `isRehearsal`, says what it would do. Throws `.notFound` when a named key is not there; a selection by team, tag or time
  /// that fits nothing is an empty receipt.
  public func revoke(_ selection: Selection, reason: String, isRehearsal: Bool = false, by actor: Actor = .administrator)
    async throws(Fault) -> Receipt
  {
    let vault = try requireVault()
    let started = monotonicNanoseconds()
    try Label.validate(reason, of: "reason")
    try check(selection)
    let now = clock.now
    let (chosen, earlier) = try chosenKeys(selection)
    var changed: [MaskedKey] = []
    var retired: [(key: RecordID, version: UInt32)] = []
    var revoked: [RecordID] = []
    for var key in chosen where !key.state.isFinal {
      key.state = .revoked
      key.details.reason = reason
      key.details.renewal = nil
      key.revision += 1
      revoked.append(key.id)
      changed.append(key)
    }
    for (id, versions) in earlier {
      guard var key = keys[id], !key.state.isFinal else { continue }
      for i in key.details.older.indices where versions.contains(key.details.older[i].number) {
        guard key.details.older[i].validUntil.map({ $0 > now.milliseconds }) ?? true else { continue }
        key.details.older[i].validUntil = now.milliseconds
        retired.append((id, key.details.older[i].number))
      }
      guard retired.contains(where: { $0.key == id }) else { continue }
      key.revision += 1
      changed.append(key)
    }
    let id = RecordID.random(randomness)
    var acknowledged = 0
    if !isRehearsal {
      var details = selection.text
      (details["reason"], details["receipt"]) = (reason, id.description)
      let subjects =
        revoked.map { "key/\($0)" } + retired.map { "key/\($0.key)/\($0.version)" }
        + (selection.providerKey.map { ["provider-key/\($0)"] } ?? [])
      if !subjects.isEmpty {
        try audit("revoke", subjects, details, by: actor)
      }
      try noteEndings(revoked.map { ($0, 0) } + retired, at: now)
      let rows = try vault.rows(for: changed)
      if !rows.isEmpty { try store.insert(rows) }
      for key in changed { keys[key.id] = key }
      if let providerKey = selection.providerKey { try disableProviderKey(providerKey, reason: reason) }
      acknowledged = await publish()
    }
    return Receipt(
      id: id, at: now, reason: reason, isRehearsal: isRehearsal, revoked: revoked,
      before: chosen.filter { $0.state.isFinal }.map(\.id), retired: retired,
      providerKey: selection.providerKey, acknowledged: acknowledged,
      microseconds: Int((monotonicNanoseconds() - started) / 1000))
  }

  private func check(_ s: Selection) throws(Fault) {
    let byKeys = !s.keys.isEmpty || s.team != nil || s.tag != nil || s.issuedBefore != nil || s.everything
    guard byKeys || s.providerKey != nil else {
      throw Fault(
        .invalidInput, "what is to be revoked is not said",
        hint: "name a key, a team, a tag, a provider key, a moment before which it was issued, or everything")
    }
    guard !s.everything || (s.keys.isEmpty && s.team == nil && s.tag == nil && s.issuedBefore == nil) else {
      throw Fault(.invalidInput, "everything is everything: another condition beside it would be ignored")
    }
    guard s.version == nil || (s.keys.count == 1 && s.team == nil && s.tag == nil && s.issuedBefore == nil) else {
      throw Fault(.invalidInput, "a version is of one key, and no other condition goes with it")
    }
    if let id = s.providerKey, !providerKeys.contains(where: { $0.id == id }) {
      throw Fault(.notFound, "there is no provider key \(id)", hint: "see 'maskllm provider-key list'")
    }
    if let team = s.team, teams[team] == nil, !keys.values.contains(where: { $0.team == team }) {
      throw Fault(.notFound, "there is no team '\(team.prefix(64))'", hint: "see 'maskllm team list'")
    }
  }

  /// The keys meant as a whole, and of others the earlier versions meant.
  private func chosenKeys(_ s: Selection) throws(Fault) -> (whole: [MaskedKey], earlier: [RecordID: [UInt32]]) {
    for id in s.keys { _ = try key(id) }
    if let version = s.version {
      let key = try key(s.keys[0])
      guard version != key.details.version else {
        throw Fault(
          .conflict, "version \(version) is the present one of key \(key.id)",
          hint: "rotate it with a grace period of 0, or revoke the key")
      }
      guard key.details.older.contains(where: { $0.number == version }) else {
        throw Fault(.notFound, "key \(key.id) has no version \(version)", hint: "see 'maskllm key show \(key.id)'")
      }
      return ([], [key.id: [version]])
    }
    guard !s.keys.isEmpty || s.team != nil || s.tag != nil || s.issuedBefore != nil || s.everything else { return ([], [:]) }
    let named = Set(s.keys)
    let fitting = keys.values.filter { key in
      (named.isEmpty || named.contains(key.id)) && (s.team == nil || key.team == s.team)
        && (s.tag == nil || key.details.tags.contains(s.tag!))
    }.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    guard let moment = s.issuedBefore else { return (fitting, [:]) }
    var earlier: [RecordID: [UInt32]] = [:]
    for key in fitting where key.versionMadeAt >= moment {
      let old = key.details.older.filter { $0.madeAt < moment.milliseconds }.map(\.number)
      if !old.isEmpty { earlier[key.id] = old }
    }
    return (fitting.filter { $0.versionMadeAt < moment }, earlier)
  }
}
