import Audit
import Cryptography
public import Domain
public import Primitives
import Storage
import Vault

/// Something that has to be told to people: a constant kind, and a sentence.
public struct Notice: Sendable, Equatable {
  public let subject: String
  public let text: String
}

/// Which keys have to be looked at every second: of a hundred thousand, few.
struct KeyIndex {
  var renewing: [RecordID] = []
  var ending: [RecordID] = []
  /// The next first.
  var scheduled: [(due: Timestamp, id: RecordID)] = []
}

// Keys that get new secrets by themselves, and warnings before they end.
extension KeyService {
  /// Whose schedule it is: `key/ID`, `policy/NAME` or `team/NAME`.
  func checkScope(_ scope: String) throws(Fault) {
    let parts = scope.split(separator: "/", maxSplits: 1).map(String.init)
    guard parts.count == 2 else {
      throw Fault(
        .invalidInput, "a schedule is of a key, a policy or a team", hint: "write it as key/ID, policy/NAME or team/NAME")
    }
    switch parts[0] {
    case "key":
      guard let id = RecordID(parts[1]) else { throw Fault(.invalidInput, "that is no ID") }
      _ = try key(id)
    case "policy":
      guard sharedPolicies[parts[1]] != nil else { throw Fault(.notFound, "there is no policy '\(parts[1].prefix(64))'") }
    case "team": guard teams[parts[1]] != nil else { throw Fault(.notFound, "there is no team '\(parts[1].prefix(64))'") }
    default: throw Fault(.invalidInput, "a schedule is of a key, a policy or a team")
    }
  }

  public func setSchedule(_ scope: String, _ schedule: RotationSchedule) throws(Fault) {
    _ = try requireVault()
    try checkScope(scope)
    try schedule.validate()
    for name in schedule.destinations where destinations[name] == nil {
      throw Fault(.notFound, "there is no destination '\(name.prefix(64))'", hint: "see 'maskllm destination list'")
    }
    try write(.schedule, scope, schedule)
    schedules[scope] = schedule
    (dues, knownIndex) = ([:], nil)
  }

  public func removeSchedule(_ scope: String) throws(Fault) {
    try erase(.schedule, scope)
    schedules[scope] = nil
    (dues, knownIndex) = ([:], nil)
  }

  /// The one that counts for a key: its own, else its policy's, else its team's.
  public func schedule(of key: MaskedKey) -> RotationSchedule? {
    if schedules.isEmpty { return nil }
    return schedules["key/\(key.id)"] ?? key.sharedPolicy.flatMap { schedules["policy/\($0)"] }
      ?? key.team.flatMap { schedules["team/\($0)"] }
  }

  /// When a key's secret is due to be replaced; nil: never by itself.
  public func nextRotation(of key: MaskedKey) -> Timestamp? {
    guard key.state == .active, !key.details.isDecoy, let schedule = schedule(of: key) else { return nil }
    if let known = dues[key.id], known.version == key.details.version { return known.due }
    guard let zone = try? ZoneRules(named: schedule.timeZone) else { return nil }
    let due = schedule.due(key.id, madeAt: key.versionMadeAt, zone)
    dues[key.id] = (key.details.version, due)
    return due
  }

  private var index: KeyIndex {
    if let knownIndex { return knownIndex }
    var index = KeyIndex()
    for key in keys.values where !key.state.isFinal {
      if key.details.renewal != nil { index.renewing.append(key.id) }
      if key.expiresAt != nil, key.state == .active { index.ending.append(key.id) }
      if !schedules.isEmpty, let due = nextRotation(of: key) { index.scheduled.append((due, key.id)) }
    }
    index.scheduled.sort { $0.due < $1.due }
    knownIndex = index
    return index
  }

  // MARK: destinations

  /// Makes a destination or changes one; `secret` is its credential, nil keeps the one that it has.
  public func setDestination(_ name: String, _ destination: Destination, secret: [UInt8]?) throws(Fault) {
    let vault = try requireVault()
    try DocumentName.validate(name, of: "destination")
    try destination.validate()
    var destination = destination
    let origin = try destination.origin()
    if let secret, !secret.isEmpty {
      guard destination.needsSecret, let origin else {
        throw Fault(.invalidInput, "a \(destination.kind.rawValue) has no credential")
      }
      destination.sealed = try vault.seal(secret.span, for: "destination/\(name)", hosts: [origin])
    } else if destination.needsSecret {
      guard let known = destinations[name], let sealed = known.sealed, try known.origin() == origin else {
        throw Fault(
          .invalidInput, "a \(destination.kind.rawValue) needs a credential",
          hint: "give it on standard input: what webhooks are signed with, ACCESS-KEY:SECRET, or a token")
      }
      destination.sealed = sealed
    }
    try write(.destination, name, destination)
    destinations[name] = destination
  }

  public func removeDestination(_ name: String) throws(Fault) {
    if let user = schedules.sorted(by: { $0.key < $1.key }).first(where: { $0.value.destinations.contains(name) }) {
      throw Fault(.conflict, "the schedule of \(user.key) brings secrets there", hint: "change or remove it first")
    }
    try erase(.destination, name)
    destinations[name] = nil
  }

  // MARK: going on

  /// Rotations that are begun at a time: a schedule for ten thousand keys must not stop everything else.
  private static let rotationsAtOnce = 20

  /// Begins what is due and goes on with what is under way. Returns what people have to be told.
  public func keepSchedules() async throws(Fault) -> [Notice] {
    guard vault != nil else { return [] }
    let notices = try await warnOfEnds()
    let now = clock.now
    var begun = 0
    if !schedules.isEmpty {
      for (due, id) in index.scheduled {
        guard due <= now, begun < Self.rotationsAtOnce else { break }
        guard let key = keys[id], key.details.renewal?.undelivered.isEmpty ?? true, let schedule = schedule(of: key) else {
          continue
        }
        begun += 1
        try await beginRotation(id, schedule, by: .schedule)
      }
    }
    try await forgetSalts()
    return notices
  }

  /// Keys whose new secret is to be brought somewhere now; see `deliver`. One that takes long must keep no other waiting.
  public func deliveriesDue() -> [RecordID] {
    let now = clock.now.milliseconds
    return index.renewing.filter { id in
      guard let renewal = keys[id]?.details.renewal, !renewal.undelivered.isEmpty else { return false }
      return renewal.nextAttempt <= now && !delivering.contains(id)
    }
  }

  private func beginRotation(_ id: RecordID, _ schedule: RotationSchedule, by actor: Actor) async throws(Fault) {
    let vault = try requireVault()
    var key = try key(id)
    _ = try renew(&key, vault, grace: schedule.grace, requestID: nil, destinations: schedule.destinations)
    try audit(
      "key.rotate", "key/\(id)",
      ["version": "\(key.details.version)", "destinations": schedule.destinations.joined(separator: " ")], by: actor)
    try store.save(try vault.row(for: key))
    keys[id] = key
    await publish()
  }

  func rotateByTrigger(_ id: RecordID, by actor: Actor) async throws(Fault) -> String? {
    let key = try key(id)
    guard let schedule = schedule(of: key) else {
      throw Fault(.conflict, "nothing says where a new secret of key \(id) is to be brought")
    }
    // One that is on its way already is new enough.
    if key.details.renewal?.undelivered.isEmpty ?? true { try await beginRotation(id, schedule, by: actor) }
    return "rotating"
  }

  /// Brings the present secret of a key where it is not yet. The old one's grace period begins when all have it.
  ///
  /// Returns what people have to be told. Where a delivery of this key is under way already, it does nothing.
  public func deliver(_ id: RecordID) async throws(Fault) -> [Notice] {
    let vault = try requireVault()
    guard delivering.insert(id).inserted else { return [] }
    defer { delivering.remove(id) }
    let before = try key(id)
    guard let renewal = before.details.renewal else { return [] }
    let secret = vault.renewedSecret(
      prefix: before.details.prefix, id: id, version: before.details.version, salt: renewal.salt)
    var notices: [Notice] = []
    var (brought, failed): ([String], [(name: String, fault: Fault)]) = ([], [])
    for name in renewal.undelivered {
      guard let destination = destinations[name] else {
        failed.append((name, Fault(.notFound, "it is not there any more")))
        continue
      }
      do throws(Fault) {
        try await Delivery(outside: outside, vault: vault, now: clock.now).bring(
          secret.text.copy(), of: before, to: destination, named: name)
        brought.append(name)
      } catch { failed.append((name, error)) }
    }
    // Meanwhile the key may have been changed, rotated or revoked.
    var key = try key(id)
    guard key.details.version == before.details.version, var left = key.details.renewal, !key.state.isFinal else { return [] }
    left.undelivered.removeAll { brought.contains($0) }
    for name in brought {
      try audit("key.delivered", "key/\(id)", ["destination": name, "version": "\(key.details.version)"], by: .schedule)
    }
    if left.undelivered.isEmpty {
      key.details.renewal = nil
      let end = clock.now.milliseconds + left.grace * 1000
      for i in key.details.older.indices where key.details.older[i].validUntil == nil {
        try noteEndings([(id, key.details.older[i].number)], at: Timestamp(milliseconds: end))
        key.details.older[i].validUntil = end
      }
    } else {
      left.attempts += 1
      // A minute, two, four … at most an hour.
      left.nextAttempt = clock.now.milliseconds + min(3_600_000, 60_000 << Int64(min(left.attempts - 1, 6)))
      key.details.renewal = left
      for (name, fault) in failed {
        try audit(
          "event.delivery_failed", "key/\(id)", ["destination": name, "because": fault.message, "attempt": "\(left.attempts)"],
          by: .schedule)
        notices.append(
          Notice(
            subject: "key/\(id)",
            text: "its new secret could not be brought to '\(name)': \(fault.message); the old one stays in force"))
      }
    }
    key.revision += 1
    try store.save(try vault.row(for: key))
    keys[id] = key
    await publish()
    return notices
  }

  /// Tries at once again what could not be delivered.
  public func retryDelivery(_ id: RecordID) async throws(Fault) -> MaskedKey {
    let key = try key(id)
    guard key.details.renewal?.undelivered.isEmpty == false else {
      throw Fault(.conflict, "nothing of key \(id) is waiting to be delivered")
    }
    _ = try await deliver(id)
    return try self.key(id)
  }

  /// Takes away what secrets could be derived from once they cannot be asked for any more.
  private func forgetSalts() async throws(Fault) {
    let vault = try requireVault()
    for id in index.renewing {
      guard var key = keys[id], let renewal = key.details.renewal, renewal.undelivered.isEmpty, !renewal.salt.isEmpty,
        clock.now.milliseconds >= renewal.madeAt + Self.repeatable
      else { continue }
      key.details.renewal?.salt = []
      key.revision += 1
      try store.save(try vault.row(for: key))
      keys[key.id] = key
    }
  }

  // MARK: warnings

  /// Days before its end at which a key is warned of.
  static let warningDays = [7, 3, 1]

  private func warnOfEnds() async throws(Fault) -> [Notice] {
    let vault = try requireVault()
    let now = clock.now
    var notices: [Notice] = []
    for id in index.ending {
      guard var key = keys[id], let end = key.expiresAt, end > now else { continue }
      let left = end.milliseconds - now.milliseconds
      // Of several that have passed, the last counts.
      guard let days = Self.warningDays.last(where: { left <= Int64($0) * 86_400_000 }),
        key.details.warnedDays.map({ $0 > days }) ?? true
      else { continue }
      // A key that was made for less is not warned of the moment that it is made.
      let isShort = end.milliseconds - key.createdAt.milliseconds <= Int64(days) * 86_400_000
      key.details.warnedDays = days
      key.revision += 1
      if !isShort {
        try audit("event.expires_soon", "key/\(key.id)", ["expires_at": end.rfc3339, "days": "\(days)"], by: .schedule)
        notices.append(
          Notice(subject: "key/\(key.id)", text: "expires within \(days == 1 ? "a day" : "\(days) days"), at \(end.rfc3339)"))
      }
      try store.save(try vault.row(for: key))
      keys[key.id] = key
    }
    return notices
  }

  /// Gives a key another end, or none.
  public func setExpiry(_ id: RecordID, _ expiresAt: Timestamp?) async throws(Fault) -> MaskedKey {
    if let expiresAt, expiresAt <= clock.now { throw Fault(.invalidInput, "the expiry lies in the past") }
    return try await edit(id, "key.set_expiry", ["expires_at": expiresAt?.rfc3339 ?? "never"], by: .administrator) {
      $0.expiresAt = expiresAt
      $0.details.warnedDays = nil
    }
  }
}
