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
