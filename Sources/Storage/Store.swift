public import Domain
public import Primitives

/// A masked key as it is kept: its policy as the very bytes that the MAC was made over.
public struct MaskedKeyRow: Sendable, Equatable {
  public var id: RecordID
  public var name: String
  public var policy: [UInt8]
  public var state: String
  public var createdAt: Int64
  public var expiresAt: Int64?
  public var hash: [UInt8]
  public var pepperVersion: Int64
  /// The rest of the key as a document; empty when there is none.
  public var details: [UInt8]
  public var revision: Int64
  public var mac: [UInt8]

  public init(
    id: RecordID, name: String, policy: [UInt8], state: String, createdAt: Int64, expiresAt: Int64?, hash: [UInt8],
    pepperVersion: Int64, details: [UInt8] = [],
    revision: Int64, mac: [UInt8]
  ) {
    self.id = id
    self.name = name
    self.policy = policy
    self.state = state
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.hash = hash
    self.pepperVersion = pepperVersion
    self.details = details
    self.revision = revision
    self.mac = mac
  }
}

/// A provider as it is kept: its document and the MAC over name and document.
public struct ProviderRow: Sendable, Equatable {
  public var name: String
  public var document: [UInt8]
  public var mac: [UInt8]
  public init(name: String, document: [UInt8], mac: [UInt8]) {
    self.name = name
    self.document = document
    self.mac = mac
  }
}

/// A document that decides something (a team, a policy, a budget, a price), as it is kept: with the MAC over all the rest.
public struct DocumentRow: Sendable, Equatable {
  public var kind: String
  public var name: String
  public var body: [UInt8]
  /// Counts changes, starting at 1.
  public var revision: Int64
  public var mac: [UInt8]
  public init(kind: String, name: String, body: [UInt8], revision: Int64, mac: [UInt8]) {
    self.kind = kind
    self.name = name
    self.body = body
    self.revision = revision
    self.mac = mac
  }
}

/// What became of one span of a budget or a long limit, in its unit (nano-dollars, requests, tokens).
public struct AccountRow: Sendable, Equatable {
  public var name: String
  /// Start of the span, in milliseconds since 1970.
  public var start: Int64
  /// What was taken from it: spent, held by requests in flight, or at hand in a process. Never above what there is.
  public var taken: Amount
  /// The settled part of it.
  public var spent: Amount
  /// The part of `spent` that nobody counted: it was held or at hand when a process died.
  public var estimated: Amount
  /// What was left over from the span before.
  public var carried: Amount
  /// The highest alert (a percentage) that was given.
  public var alerted: Int64
  public init(
    name: String, start: Int64, taken: Amount = 0, spent: Amount = 0, estimated: Amount = 0, carried: Amount = 0,
    alerted: Int64 = 0
  ) {
    self.name = name
    self.start = start
    self.taken = taken
    self.spent = spent
    self.estimated = estimated
    self.carried = carried
    self.alerted = alerted
  }
}

/// Whose an object at a provider is, as it is kept: with the MAC over all of it.
public struct ObjectRow: Sendable, Equatable {
  public var object: ProviderObject
  public var mac: [UInt8]
  public init(object: ProviderObject, mac: [UInt8]) {
    self.object = object
    self.mac = mac
  }
}

/// The place of an object in the list of all.
public struct ObjectCursor: Sendable {
  public let createdAt: Timestamp
  public let provider: String
  public let id: String

  public init(_ object: ProviderObject) { (createdAt, provider, id) = (object.createdAt, object.provider, object.id) }

  /// Reads what `text` gives; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, let createdAt = Int64(parts[0]) else { return nil }
    (self.createdAt, provider, id) = (Timestamp(milliseconds: createdAt), String(parts[1]), String(parts[2]))
  }

  public var text: String { "\(createdAt.milliseconds)/\(provider)/\(id)" }
}

/// Something that was done, or that happened: never a secret in it.
public struct AuditRow: Sendable, Equatable {
  /// Counts rows, starting at 1.
  public var number: Int64
  public var at: Timestamp
  /// On whose account: `administrator`, `trigger/NAME`, `schedule`, `rotation`.
  public var actor: String
  /// What: `key.revoke`.
  public var act: String
  /// To what: `key/ID`.
  public var subject: String
  /// A JSON object of texts.
  public var details: [UInt8]
  /// Empty in rows of before there was a chain.
  public var hash: [UInt8]
  public var signature: [UInt8]
  public init(
    number: Int64, at: Timestamp, actor: String, act: String, subject: String, details: [UInt8], hash: [UInt8],
    signature: [UInt8]
  ) {
    self.number = number
    self.at = at
    self.actor = actor
    self.act = act
    self.subject = subject
    self.details = details
    self.hash = hash
    self.signature = signature
  }
}

/// One flush of activity: records back to back, in the encoding of the audit floor.
public struct ActivitySegment: Sendable {
  public var number: Int64
  public var first: Timestamp
  public var last: Timestamp
  public var count: Int
  public var records: [UInt8]
  /// Which loop's spool it comes from, and how far: kept with it, so that after a crash nothing of it is kept twice.
  public var spool: (loop: Int, id: UInt64, mark: UInt64)?
  public init(number: Int64 = 0, first: Timestamp, last: Timestamp, count: Int, records: [UInt8]) {
    self.number = number
    self.first = first
    self.last = last
    self.count = count
    self.records = records
  }
}

/// What is known of a segment without reading its records.
public struct SegmentHead: Sendable {
  public var number: Int64
  public var last: Timestamp
  public var bytes: Int
  public init(number: Int64, last: Timestamp, bytes: Int) { (self.number, self.last, self.bytes) = (number, last, bytes) }
}

/// Where a segment stands among all by when its last record began.
public struct SegmentPlace: Sendable, Equatable {
  public var last: Timestamp
  public var number: Int64
  public init(last: Timestamp, number: Int64) { (self.last, self.number) = (last, number) }
  /// Behind all that there are.
  public static let end = SegmentPlace(last: .distantFuture, number: .max)
}

/// What is kept. A write has happened durably when its call returns; each call is one transaction.
///
/// Calls between `begin` and `commit` are one transaction together.
///
/// Used by one thread. Rows are what somebody with the file could have written: whoever reads them verifies them.
public protocol Store: UsageStore, AlertStore, CaptureStore {
  func begin() throws(Fault)
  func commit() throws(Fault)
  /// Forgets all since `begin`.
  func rollBack()
  /// Does what `body` writes as one, within what has begun or on its own.
  func transaction(_ body: () throws(Fault) -> Void) throws(Fault)

  /// A named blob: the wrapped root key, the keyring.
  func blob(_ name: String) throws(Fault) -> [UInt8]?
  func setBlobs(_ blobs: [(name: String, value: [UInt8])]) throws(Fault)

  func maskedKeys() throws(Fault) -> [MaskedKeyRow]
  /// Inserts, or replaces the row with the same ID whose revision is one less; throws `.conflict` when it is not.
  func save(_ row: MaskedKeyRow) throws(Fault)
  /// Inserts all or none.
  func insert(_ rows: [MaskedKeyRow]) throws(Fault)

  func providers() throws(Fault) -> [ProviderRow]
  func save(_ row: ProviderRow) throws(Fault)
  func deleteProvider(_ name: String) throws(Fault)

  func providerKeys() throws(Fault) -> [ProviderKey]
  func insert(_ key: ProviderKey) throws(Fault)
  /// Replaces what is sealed in one version.
  func reseal(_ key: ProviderKey) throws(Fault)
  /// Erases one version, or all, ciphertext included; false when there was none.
  func deleteProviderKey(_ id: RecordID, version: UInt32?) throws(Fault) -> Bool

  func documents() throws(Fault) -> [DocumentRow]
  /// Keeps `save`, erases `delete` (kind and name), and sets `blob`, all or nothing.
  func change(save: [DocumentRow], delete: [(kind: String, name: String)], blob: (name: String, value: [UInt8])) throws(Fault)

  func accounts() throws(Fault) -> [AccountRow]
  /// Inserts or replaces all or none.
  func save(_ rows: [AccountRow]) throws(Fault)
  /// Erases the accounts of `name` that start before `start`.
  func deleteAccounts(_ name: String, before start: Int64) throws(Fault)

  func object(provider: String, id: String) throws(Fault) -> ObjectRow?
  /// Those of `key`, or of all keys, the newest first, from `after` on.
  func objects(of key: RecordID?, after: ObjectCursor?, limit: Int) throws(Fault) -> [ObjectRow]
  /// Inserts or replaces all or none.
  func save(_ rows: [ObjectRow]) throws(Fault)
  /// Notes that what the object came to has been counted; false when that was noted before, or there is no such object.
  func countObject(provider: String, id: String, at now: Timestamp) throws(Fault) -> Bool
  func deleteObject(provider: String, id: String) throws(Fault)
  /// Erases those that have expired.
  func deleteObjects(expiredBy now: Timestamp) throws(Fault)

  /// An answer that is kept for whoever asks the same again, sealed.
  func answer(_ name: String) throws(Fault) -> (at: Timestamp, sealed: [UInt8])?
  func answerNames() throws(Fault) -> [String]
  /// Inserts or replaces; nil erases.
  func save(answer name: String, at now: Timestamp, sealed: [UInt8]?) throws(Fault)
  func deleteAnswers(before moment: Timestamp) throws(Fault)

  /// How keys are used, as documents; what they were made of goes up to the segment `upTo`.
  func profiles() throws(Fault) -> (rows: [(id: RecordID, body: [UInt8])], upTo: Int64)
  /// Keeps profiles and how far they go, all or nothing.
  func save(profiles: [(id: RecordID, body: [UInt8])], upTo: Int64) throws(Fault)

  /// Appends lines to what lies beside the store and is not put back with it: ends of keys. On disk when it returns.
  func append(endings lines: [String]) throws(Fault)
  func endings() throws(Fault) -> [String]

  /// Keeps rows under their numbers, all or none; throws when a number is taken.
  func append(_ rows: [AuditRow]) throws(Fault)
  /// Keeps `rows` in place of all that there are.
  func replaceAudit(_ rows: [AuditRow]) throws(Fault)
  /// Those with a number above `number`, in their order, as long as `body` returns true.
  func forEachAuditRow(after number: Int64, _ body: (AuditRow) -> Bool) throws(Fault)
  /// Those with a number below `number`, the newest first, as long as `body` returns true.
  func forEachAuditRow(before number: Int64, _ body: (AuditRow) -> Bool) throws(Fault)

  /// Returns the segment's number: they count up.
  func append(_ segment: ActivitySegment) throws(Fault) -> Int64
  /// Segments with a number above `number`, in the order in which they were kept, as long as `body` returns true.
  func forEachSegment(after number: Int64, _ body: (ActivitySegment) -> Bool) throws(Fault)
  /// The same of those with records at `from` or later. Looks at `rows` segments at most, so that it takes a moment only; returns
  /// the number to go on after, nil when there are no more.
  func forEachSegment(after number: Int64, from: Timestamp, rows: Int, _ body: (ActivitySegment) -> Bool) throws(Fault) -> Int64?
  /// Segments before `place` with records in [from, to], those whose last record began last first, as long as `body` returns true.
  /// Looks at `rows` segments at most; returns the place to go on before, nil when there are no more.
  func forEachSegment(
    before place: SegmentPlace, from: Timestamp, to: Timestamp, rows: Int, _ body: (ActivitySegment) -> Bool
  ) throws(Fault) -> SegmentPlace?

  /// What looks at all of the store, and throws `.storage` when it is damaged. Takes as long as there is much of it: for any thread but
  /// that of the store.
  func inspection() -> @Sendable () throws(Fault) -> Void
  /// Begins a copy of all of it into a new file; throws `.storage` where there is no file to copy.
  func copy(to path: String) throws(Fault) -> StoreCopy
  /// The folder that it lies in.
  var place: String { get }

  /// A number that changes whenever another connection has written.
  func dataVersion() throws(Fault) -> Int64
}
