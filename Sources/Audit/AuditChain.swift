import Cryptography
import Domain
public import Primitives

/// Something that was done, or that happened, as a link of the chain.
public struct AuditEntry: Sendable, Equatable {
  /// Counts entries without a gap, starting at 1.
  public var number: Int64
  public var at: Timestamp
  public var actor: String
  public var act: String
  public var subject: String
  public var details: [String: String]
  /// SHA-256 over the hash before and all of the above.
  public var hash: [UInt8]
  /// Of the hash, by the key in force.
  public var signature: [UInt8]

  public init(
    number: Int64, at: Timestamp, actor: String, act: String, subject: String, details: [String: String], hash: [UInt8] = [],
    signature: [UInt8] = []
  ) {
    (self.number, self.at, self.actor, self.act, self.subject) = (number, at, actor, act, subject)
    (self.details, self.hash, self.signature) = (details, hash, signature)
  }

  /// The act by which one key hands over to the next: signed by the old one, which is forgotten then.
  static let keyAct = "audit.key"

  /// The public key that an entry hands over to; nil for any other entry.
  var nextKey: [UInt8]? { act == Self.keyAct ? details["public_key"].flatMap { bytes(hexadecimal: $0) } : nil }
}

/// The links of one chain: what is hashed and signed, to the byte. docs/audit.md has the same in words.
enum AuditLink {
  static let start = [UInt8](repeating: 0, count: 32)

  /// Each field goes in with its length, so that no two entries have the same bytes; details in the order of their names' bytes.
  static func hash(_ entry: AuditEntry, log: RecordID, after before: [UInt8]) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/audit/1")
    fields.append(log.bytes)
    fields.append(before)
    fields.append(entry.number)
    fields.append(entry.at.milliseconds)
    fields.append(entry.actor)
    fields.append(entry.act)
    fields.append(entry.subject)
    for (name, value) in sorted(entry.details) {
      fields.append(name)
      fields.append(value)
    }
    return SHA256.digest(fields.bytes.span)
  }

  /// What is signed of an entry.
  static func message(log: RecordID, number: Int64, hash: [UInt8]) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/audit-signature/1")
    fields.append(log.bytes)
    fields.append(number)
    fields.append(hash)
    return fields.bytes
  }

  /// What is signed of the end of an export.
  static func endMessage(log: RecordID, number: Int64, hash: [UInt8], at moment: Timestamp) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/audit-end/1")
    fields.append(log.bytes)
    fields.append(number)
    fields.append(hash)
    fields.append(moment.milliseconds)
    return fields.bytes
  }

  static func sorted(_ details: [String: String]) -> [(key: String, value: String)] {
    details.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
  }
}

/// Where a chain is broken.
public struct ChainBreak: Error, Equatable, Sendable {
  /// The first entry that is not what it was, or not where it was; 0 when it is the file as a whole.
  public let number: Int64
  public let reason: String

  public init(number: Int64 = 0, reason: String) { (self.number, self.reason) = (number, reason) }
}

/// That the chain had reached `number` with `hash`, signed: what is kept in a second place.
public struct Checkpoint: Sendable, Equatable {
  public let log: RecordID
  public let number: Int64
  public let hash: [UInt8]
  public let signature: [UInt8]

  init(log: RecordID, _ entry: AuditEntry) {
    (self.log, number, hash, signature) = (log, entry.number, entry.hash, entry.signature)
  }

  init(log: RecordID, number: Int64, hash: [UInt8], signature: [UInt8]) {
    (self.log, self.number, self.hash, self.signature) = (log, number, hash, signature)
  }
}

/// Follows a chain from its first entry with nothing but the log's first public key. A value: a copy goes on from where it was made.
public struct ChainVerifier: Sendable {
  public let log: RecordID
  /// The last entry that was found right; 0 before the first.
  public private(set) var number: Int64 = 0
  public private(set) var hash = AuditLink.start
  /// The key that signs what comes next.
  public private(set) var publicKey: [UInt8]
  /// Checkpoints that are not reached yet, by number.
  private var checkpoints: [Int64: [Checkpoint]] = [:]

  /// Throws a break for checkpoints of another log.
  public init(log: RecordID, publicKey: [UInt8], checkpoints: [Checkpoint] = []) throws(ChainBreak) {
    (self.log, self.publicKey) = (log, publicKey)
    for checkpoint in checkpoints {
      guard checkpoint.log == log else {
        throw ChainBreak(number: 0, reason: "a checkpoint is of another log, \(checkpoint.log)")
      }
      self.checkpoints[checkpoint.number, default: []].append(checkpoint)
    }
  }

  /// Takes the next entry.
  public mutating func take(_ entry: AuditEntry) throws(ChainBreak) {
    let expected = number + 1
    guard entry.number == expected else {
      throw ChainBreak(number: expected, reason: "\(entry.number) stands in its place")
    }
    guard AuditLink.hash(entry, log: log, after: hash) == entry.hash else {
      throw ChainBreak(number: expected, reason: "its hash is not the one of what it says")
    }
    let message = AuditLink.message(log: log, number: entry.number, hash: entry.hash)
    guard Ed25519.verify(entry.signature.span, of: message.span, publicKey: publicKey.span) else {
      throw ChainBreak(number: expected, reason: "its signature is not one of the log's key")
    }
    for checkpoint in checkpoints.removeValue(forKey: expected) ?? [] where checkpoint.hash != entry.hash {
      let isOurs = Ed25519.verify(
        checkpoint.signature.span,
        of: AuditLink.message(log: log, number: expected, hash: checkpoint.hash).span, publicKey: publicKey.span)
      throw ChainBreak(
        number: expected,
        reason: isOurs
          ? "another entry had this number when its checkpoint was signed" : "a checkpoint that nobody signed contradicts it")
    }
    (number, hash) = (entry.number, entry.hash)
    if let next = entry.nextKey { publicKey = next }
  }

  /// Says that there are no more entries.
  public func end() throws(ChainBreak) {
    guard let last = checkpoints.keys.max() else { return }
    throw ChainBreak(number: number + 1, reason: "it is missing: the record ends at \(number), and a checkpoint has \(last)")
  }

  /// Checks the signature of an export's end.
  func checkEnd(number last: Int64, hash lastHash: [UInt8], at moment: Timestamp, signature: [UInt8]) throws(ChainBreak) {
    guard last == number else { throw ChainBreak(number: number + 1, reason: "it is missing: the file should go on to \(last)") }
    let message = AuditLink.endMessage(log: log, number: number, hash: hash, at: moment)
    guard lastHash == hash, Ed25519.verify(signature.span, of: message.span, publicKey: publicKey.span) else {
      throw ChainBreak(number: 0, reason: "the last line is not signed by the log's key")
    }
  }
}
