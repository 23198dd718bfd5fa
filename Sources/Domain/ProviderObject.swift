public import Primitives

/// An object that a provider keeps for an account (a file, a batch, a stored answer), and the masked key that made it.
public struct ProviderObject: Equatable, Sendable {
  public let provider: String
  public let id: String
  /// The masked key that may use it.
  public let key: RecordID
  /// The provider key that it was made with: with another one of the provider's it may not be found.
  public let providerKey: RecordID
  public let createdAt: Timestamp
  /// When the provider has forgotten it; nil: it keeps it.
  public let expiresAt: Timestamp?

  public init(
    provider: String, id: String, key: RecordID, providerKey: RecordID, createdAt: Timestamp, expiresAt: Timestamp?
  ) {
    self.provider = provider
    self.id = id
    self.key = key
    self.providerKey = providerKey
    self.createdAt = createdAt
    self.expiresAt = expiresAt
  }
}
