public import Cryptography
import FoundationEssentials
public import Primitives
public import Storage

/// On whose account something is done.
public struct Actor: Hashable, Sendable {
  public let name: String
  private init(name: String) { self.name = name }

  public static let administrator = Actor(name: "administrator")
  public static let schedule = Actor(name: "schedule")
  public static let rotation = Actor(name: "rotation")
  public static let gateway = Actor(name: "gateway")
  /// Whoever a token stands for.
  public static func named(_ name: String) -> Actor { Actor(name: name) }
  public static func trigger(_ name: String) -> Actor { Actor(name: "trigger/\(name)") }
}

/// Who keeps the log's private key: the vault.
public protocol AuditSealer: Sendable {
  func seal(_ key: borrowing SecretBytes) throws(Fault) -> [UInt8]
  func open(_ sealed: [UInt8]) throws(Fault) -> SecretBytes
}

/// The log's keys. The private one is replaced every hour, and what it was is forgotten: who takes it can write what comes, and cannot
/// write what was.
public struct AuditKeys: Codable, Sendable {
  /// Which log this is.
  public let log: String
  /// The key that the chain begins with: what a verifier has to know.
  public let firstPublicKey: [UInt8]
  /// Counts keys, starting at 1.
  public fileprivate(set) var epoch: Int64
  public fileprivate(set) var publicKey: [UInt8]
  fileprivate var since: Int64
  fileprivate var sealed: [UInt8]

  public static let blobName = "audit"
  static let lifetime: Int64 = 3600 * 1000

  public var id: RecordID? { RecordID(log) }
  /// As it is kept in the vault.
  public var sealedKey: [UInt8] { sealed }
}

/// What an entry has to be like to be shown.
public struct AuditFilter: Sendable {
  /// The whole name of an act, or the first part of it: `key` finds `key.revoke`.
  public var act: String?
  public var subject: String?
  public var actor: String?
  public var since: Timestamp?
  public var until: Timestamp?
  public init(act: String? = nil, subject: String? = nil, actor: String? = nil) {
    (self.act, self.subject, self.actor) = (act, subject, actor)
  }

  public var isEmpty: Bool { act == nil && subject == nil && actor == nil && since == nil && until == nil }

  func matches(_ row: AuditRow) -> Bool {
    (act.map { row.act == $0 || row.act.hasPrefix("\($0).") } ?? true) && (subject.map { row.subject == $0 } ?? true)
      && (actor.map { row.actor == $0 } ?? true) && (since.map { row.at >= $0 } ?? true) && (until.map { row.at <= $0 } ?? true)
  }
}

/// The record of acts: what is in it had been written durably before it was done.
public struct AuditLog {
  private let store: any Store
  private let sealer: any AuditSealer

  public init(_ store: any Store, _ sealer: any AuditSealer) { (self.store, self.sealer) = (store, sealer) }

  // MARK: writing

  /// Keeps an entry for each subject, all or none.
  public func append(
    _ act: String, _ subjects: [String], _ details: [String: String], by actor: Actor, at now: Timestamp
  ) throws(Fault) {
    try store.transaction { () throws(Fault) in
      var pen = try Pen(try keys(at: now), try last(), sealer)
      if now.milliseconds - pen.keys.since >= AuditKeys.lifetime { try pen.renewKey(sealer, at: now) }
      for subject in subjects { try pen.write(act, subject, details, by: actor, at: now) }
      try store.append(pen.rows)
      if pen.isRenewed { try save(pen.keys) }
    }
  }

  /// The log's keys; nil before anything was written.
  public func keys() throws(Fault) -> AuditKeys? {
    guard let blob = try store.blob(AuditKeys.blobName) else { return nil }
    guard let keys = try? JSONDecoder().decode(AuditKeys.self, from: Data(blob)), keys.id != nil else {
      throw Fault(.tampered, "the keys of the audit log were changed outside maskllm", hint: "restore a backup")
    }
    return keys
  }

  /// Seals the private key again, under the newest data key.
  public func reseal() throws(Fault) {
    guard var keys = try keys() else { return }
    keys.sealed = try sealer.seal(try sealer.open(keys.sealed))
    try save(keys)
  }

  private func save(_ keys: AuditKeys) throws(Fault) {
    guard let blob = try? JSONEncoder().encode(keys) else { throw Fault(.system, "the audit's keys cannot be written down") }
    try store.setBlobs([(AuditKeys.blobName, [UInt8](blob))])
  }

  /// Begins the log where there is none; entries of before there were chains become its first ones.
  private func keys(at now: Timestamp) throws(Fault) -> AuditKeys {
    if let keys = try keys() { return keys }
    let seed = SecretBytes.random(32)
    let publicKey = try Ed25519.SigningKey(seed: seed).publicKey
    let keys = AuditKeys(
      log: RecordID.random(SystemRandomness()).description, firstPublicKey: publicKey, epoch: 1, publicKey: publicKey,
      since: now.milliseconds, sealed: try sealer.seal(seed))
    try save(keys)
    var old: [AuditRow] = []
    try store.forEachAuditRow(before: .max) { row in
      old.append(row)
      return true
    }
    if !old.isEmpty {
      var pen = try Pen(keys, nil, sealer)
      for row in old.reversed() { try pen.write(AuditEntry(row)) }
      try store.replaceAudit(pen.rows)
    }
    return keys
  }

  private func last() throws(Fault) -> AuditRow? {
    var found: AuditRow?
    try store.forEachAuditRow(before: .max) { row in
      found = row
      return false
    }
    return found
  }

  /// Writes entries one after the other.
  private struct Pen {
    private(set) var keys: AuditKeys
    private let log: RecordID
    private var key: Ed25519.SigningKey
    private var number: Int64
    private var hash: [UInt8]
    private(set) var rows: [AuditRow] = []
    private(set) var isRenewed = false

    init(_ keys: AuditKeys, _ last: AuditRow?, _ sealer: any AuditSealer) throws(Fault) {
      guard let log = keys.id else { throw Fault(.tampered, "the audit log has no name") }
      (self.keys, self.log) = (keys, log)
      key = try Ed25519.SigningKey(seed: try sealer.open(keys.sealed))
      (number, hash) = (last?.number ?? 0, last?.hash ?? AuditLink.start)
    }

    mutating func write(_ act: String, _ subject: String, _ details: [String: String], by actor: Actor, at now: Timestamp)
      throws(Fault)
    {
      try write(AuditEntry(number: 0, at: now, actor: actor.name, act: act, subject: subject, details: details))
    }

    mutating func write(_ entry: AuditEntry) throws(Fault) {
      var entry = entry
      entry.number = number + 1
      entry.hash = AuditLink.hash(entry, log: log, after: hash)
      entry.signature = key.sign(AuditLink.message(log: log, number: entry.number, hash: entry.hash).span)
      (number, hash) = (entry.number, entry.hash)
      rows.append(try AuditRow(entry))
    }

    mutating func renewKey(_ sealer: any AuditSealer, at now: Timestamp) throws(Fault) {
      let seed = SecretBytes.random(32)
      let next = try Ed25519.SigningKey(seed: seed)
      try write(
        AuditEntry.keyAct, "audit", ["epoch": "\(keys.epoch + 1)", "public_key": hexadecimal(next.publicKey)], by: .gateway,
        at: now)
      key = next
      (keys.epoch, keys.publicKey, keys.since) = (keys.epoch + 1, next.publicKey, now.milliseconds)
      keys.sealed = try sealer.seal(seed)
      isRenewed = true
    }
  }

  // MARK: reading

  /// Those that match, the newest first.
  public func entries(_ filter: AuditFilter = AuditFilter(), before number: Int64 = .max, limit: Int = .max) throws(Fault)
    -> [AuditEntry]
  {
    try entries(filter, before: number, limit: limit, rows: .max).found
  }

  /// The same, looking at `rows` entries at most; the number to go on before, nil when there is nothing more to be found.
  public func entries(_ filter: AuditFilter, before number: Int64, limit: Int, rows: Int) throws(Fault)
    -> (found: [AuditEntry], next: Int64?)
  {
    var found: [AuditEntry] = []
    var (next, left): (Int64?, Int) = (nil, rows)
    try store.forEachAuditRow(before: number) { row in
      next = nil
      // Clocks are set back now and then, by less than this.
      if let since = filter.since, row.at.milliseconds < since.milliseconds - 3_600_000 { return false }
      if filter.matches(row) { found.append(AuditEntry(row)) }
      guard found.count < limit else { return false }
      (next, left) = (row.number, left - 1)
      return left > 0
    }
    return (found, left > 0 ? nil : next)
  }

  /// Those that match, in their order.
  public func entries(_ filter: AuditFilter = AuditFilter(), after number: Int64, limit: Int) throws(Fault) -> [AuditEntry] {
    try entries(filter, after: number, limit: limit, rows: .max).found
  }

  /// The same, looking at `rows` entries at most; the number to go on after, nil when there is nothing more to be found.
  public func entries(_ filter: AuditFilter, after number: Int64, limit: Int, rows: Int) throws(Fault)
    -> (found: [AuditEntry], next: Int64?)
  {
    var found: [AuditEntry] = []
    guard limit > 0 else { return ([], nil) }
    var (next, left): (Int64?, Int) = (nil, rows)
    try store.forEachAuditRow(after: number) { row in
      if filter.matches(row) { found.append(AuditEntry(row)) }
      (next, left) = (found.count < limit ? row.number : nil, left - 1)
      return next != nil && left > 0
    }
    return (found, left > 0 ? nil : next)
  }

  /// The last entry as what is kept in a second place.
  public func checkpoint() throws(Fault) -> Checkpoint? {
    guard let log = try keys()?.id, let row = try last() else { return nil }
    return Checkpoint(log: log, AuditEntry(row))
  }

  /// A piece of an export of everything: its lines after entry `number`, at most `limit` entries; whether there are more.
  public func exported(after number: Int64, limit: Int, at now: Timestamp) throws(Fault) -> (lines: [UInt8], next: Int64?) {
    guard let keys = try keys(), let log = keys.id else { throw Fault(.notFound, "nothing was written down yet") }
    let entries = try entries(after: number, limit: limit)
    var out = number == 0 ? AuditExport.head(log: log, publicKey: keys.firstPublicKey) + [10] : []
    for entry in entries { out += AuditExport.line(entry) + [10] }
    if entries.count == limit, let last = entries.last { return (out, last.number) }
    guard let last = try last().map({ AuditEntry($0) }) else { throw Fault(.tampered, "the audit log is empty, and it was not") }
    let message = AuditLink.endMessage(log: log, number: last.number, hash: last.hash, at: now)
    let signature = try Ed25519.SigningKey(seed: try sealer.open(keys.sealed)).sign(message.span)
    return (out + AuditExport.end(number: last.number, hash: last.hash, at: now, signature: signature) + [10], nil)
  }

  /// Looks at `limit` more entries with `verifier`, which remembers how far it is; false when there are no more.
  public func verify(_ verifier: inout ChainVerifier, limit: Int) throws(ChainBreak) -> Bool {
    let entries: [AuditEntry]
    do { entries = try self.entries(after: verifier.number, limit: limit) } catch {
      throw ChainBreak(number: verifier.number + 1, reason: error.message)
    }
    for entry in entries { try verifier.take(entry) }
    return entries.count == limit
  }
}

extension AuditEntry {
  init(_ row: AuditRow) {
    self.init(
      number: row.number, at: row.at, actor: row.actor, act: row.act, subject: row.subject,
      details: (try? JSONDecoder().decode([String: String].self, from: Data(row.details))) ?? [:], hash: row.hash,
      signature: row.signature)
  }
}

extension AuditRow {
  fileprivate init(_ entry: AuditEntry) throws(Fault) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let body = try? encoder.encode(entry.details) else { throw Fault(.system, "what is done cannot be written down") }
    self.init(
      number: entry.number, at: entry.at, actor: entry.actor, act: entry.act, subject: entry.subject, details: [UInt8](body),
      hash: entry.hash, signature: entry.signature)
  }
}
