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
  public var revision: Int64
  public var mac: [UInt8]

  public init(
    id: RecordID, name: String, policy: [UInt8], state: String, createdAt: Int64, expiresAt: Int64?, hash: [UInt8],
    pepperVersion: Int64,
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

/// One flush of activity: records back to back, in the encoding of the audit floor.
public struct ActivitySegment: Sendable {
  public var number: Int64
  public var first: Timestamp
  public var last: Timestamp
  public var count: Int
  public var records: [UInt8]
  public init(number: Int64 = 0, first: Timestamp, last: Timestamp, count: Int, records: [UInt8]) {
    self.number = number
    self.first = first
    self.last = last
    self.count = count
    self.records = records
  }
}

/// What is kept. A write has happened durably when its call returns; each call is one transaction.
///
/// Used by one thread. Rows are what somebody with the file could have written: whoever reads them verifies them.
public protocol Store: AnyObject, Sendable {
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

  func providerKeys() throws(Fault) -> [ProviderKey]
  func insert(_ key: ProviderKey) throws(Fault)
  /// Erases the row, ciphertext included; false when there was none.
  func deleteProviderKey(_ id: RecordID) throws(Fault) -> Bool

  func append(_ segment: ActivitySegment) throws(Fault)
  /// Segments with records in [from, to], the newest first, as long as `body` returns true.
  func forEachSegment(from: Timestamp, to: Timestamp, _ body: (ActivitySegment) -> Bool) throws(Fault)

  /// A number that changes whenever another connection has written.
  func dataVersion() throws(Fault) -> Int64
}
