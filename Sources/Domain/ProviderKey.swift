public import Primitives

/// A real credential at a provider, sealed. The plaintext exists only inside the vault and in guarded memory.
public struct ProviderKey: Equatable, Sendable {
  public let id: RecordID
  public let provider: String
  public var name: String
  /// Counts the secrets that this record has held, starting at 1.
  public var version: UInt32
  /// The record envelope.
  public var sealed: [UInt8]
  public let createdAt: Timestamp

  public init(id: RecordID, provider: String, name: String, version: UInt32, sealed: [UInt8], createdAt: Timestamp) {
    self.id = id
    self.provider = provider
    self.name = name
    self.version = version
    self.sealed = sealed
    self.createdAt = createdAt
  }
}

/// How a provider key shares the requests to its provider with the others.
public struct PoolSettings: Hashable, Sendable, Codable {
  /// Its part, against the sum of all; 1 to 1,000.
  public var weight: Int
  /// What policies pick it by: regions, purposes.
  public var tags: [String]
  /// Why it is not used at all; nil: it is.
  public var disabledBecause: String?

  public init(weight: Int = 1, tags: [String] = []) {
    self.weight = weight
    self.tags = tags
  }

  public static let tagsMax = 20

  /// Throws `.invalidInput`.
  public func validate() throws(Fault) {
    guard (1...1000).contains(weight) else { throw Fault(.invalidInput, "the weight is no number from 1 to 1000") }
    guard tags.count <= Self.tagsMax, Set(tags).count == tags.count else {
      throw Fault(.invalidInput, "more than \(Self.tagsMax) tags, or one of them twice")
    }
    for tag in tags { try DocumentName.validate(tag, of: "tag") }
  }
}
