import Cryptography
import Domain
import KeyService
import Primitives
import Vault

// The keys that all rests on.
extension AdminAPI {
  func showVault(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try vaultDocument()
  }

  private func vaultDocument() throws(Fault) -> AdminResponse {
    try encode(VaultDocument(try service.keyringState(), try service.sealMethod()))
  }

  func rotateVault(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: VaultRotationDocument = try decode(r)
    var secret = Array(document.secret.utf8)
    defer { wipe(&secret) }
    let change: Rekeying
    switch (document.what, document.new_secret) {
    case (.root, let new): change = .root(newSecret: new.map { Array($0.utf8) })
    case (.data, nil): change = .data
    case (.pepper, nil): change = .pepper
    default: throw Fault(.invalidInput, "only the root key has a new secret")
    }
    if let new = document.new_secret, try service.sealMethod() != .keyFile, new.utf8.count < 12 {
      throw Fault(.invalidInput, "the passphrase is shorter than 12 bytes", hint: "use several words")
    }
    try await service.rotate(change, named: document.what.rawValue, secret: secret.span)
    return try vaultDocument()
  }

  func retireVaultKeys(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: VaultSecretDocument = try decode(r)
    var secret = Array(document.secret.utf8)
    defer { wipe(&secret) }
    try await service.retireKeys(secret: secret.span)
    return try vaultDocument()
  }
}

/// The keys that all rests on, and how far what is under older ones is renewed.
public struct VaultDocument: Codable, Sendable {
  /// `key-file` or `passphrase`.
  public var seal_method: String
  /// Versions; the last is what is sealed and hashed with now.
  public var data_keys: [Int]
  public var peppers: [Int]
  public var sealed_records: Int
  /// Those that are under an older data key; the server renews them by itself.
  public var outdated_records: Int
  public var hashed_secrets: Int
  /// Masked keys that are known by an older pepper: until they are used, rotated or revoked. The first 100.
  public var outdated_keys: [String]
  public var outdated_keys_count: Int
  public var outdated_tokens: [String]

  init(_ state: KeyringState, _ method: SealMethod) {
    seal_method = method.name
    (data_keys, peppers) = (state.dataKeys.map { Int($0) }, state.peppers.map { Int($0) })
    (sealed_records, outdated_records, hashed_secrets) = (state.records, state.outdatedRecords, state.hashed)
    outdated_keys = state.outdatedKeys.prefix(100).map(\.description)
    (outdated_keys_count, outdated_tokens) = (state.outdatedKeys.count, state.outdatedTokens.map(\.description))
  }
}

/// What is to be made anew; `secret` is the key file's content or the passphrase.
public struct VaultRotationDocument: Codable, Sendable {
  public enum What: String, Codable, Sendable, CaseIterable { case root, data, pepper }
  public var what: What
  public var secret: String
  /// What the new root key is sealed with; nil: the same.
  public var new_secret: String?
  public init(_ what: What, secret: String, new_secret: String? = nil) {
    (self.what, self.secret, self.new_secret) = (what, secret, new_secret)
  }
}

/// The key file's content or the passphrase.
public struct VaultSecretDocument: Codable, Sendable {
  public var secret: String
  public init(secret: String) { self.secret = secret }
}

/// Why the vault is closed: the record and the alert say it.
public struct SealDocument: Codable, Sendable {
  public var reason: String
  public init(reason: String) { self.reason = reason }
}

/// The vault is closed, until somebody opens it.
public struct SealReceiptDocument: Codable, Sendable {
  public struct NotTold: Codable, Sendable {
    public var channel: String
    public var because: String
  }
  /// How many event loops serve nothing since.
  public var event_loops: Int
  /// Alert channels that were told, and those that could not be.
  public var told: [String]
  public var not_told: [NotTold]

  init(_ receipt: SealReceipt) {
    (event_loops, told) = (receipt.eventLoops, receipt.told)
    not_told = receipt.notTold.map { NotTold(channel: $0.channel, because: $0.because) }
  }
}
