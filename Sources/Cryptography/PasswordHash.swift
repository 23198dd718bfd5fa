import CSodium
public import Primitives

/// Argon2id version 1.3 (RFC 9106): turns a passphrase into a key, slowly.
public struct PasswordHash: Sendable, Equatable {
  public static let saltLength = 16
  /// Passes over the memory; at least `floor.passes`.
  public let passes: UInt64
  /// At least `floor.memoryBytes`.
  public let memoryBytes: Int

  public init(passes: UInt64, memoryBytes: Int) {
    self.passes = passes
    self.memoryBytes = memoryBytes
  }

  /// What we take by default: about a second, and a GiB for as long.
  public static let standard = PasswordHash(passes: 4, memoryBytes: 1 << 30)
  /// What we accept at least, so that a changed header cannot make guessing cheap.
  public static let floor = PasswordHash(passes: 3, memoryBytes: 256 << 20)

  /// A 32-byte key; throws `.system` when the memory is not to be had.
  public func key(passphrase: Span<UInt8>, salt: [UInt8]) throws(Fault) -> SecretBytes {
    guard passes >= Self.floor.passes, memoryBytes >= Self.floor.memoryBytes, salt.count == Self.saltLength else {
      throw Fault(.cryptography, "the passphrase parameters are below the floor")
    }
    guard passphrase.count > 0 else { throw Fault(.invalidInput, "the passphrase is empty") }
    return try unsafe SecretBytes(rawCount: 32) { (target) throws(Fault) in
      let done = unsafe passphrase.withUnsafeBytes { phrase in
        unsafe crypto_pwhash(
          target.baseAddress!.assumingMemoryBound(to: UInt8.self), 32, phrase.baseAddress!.assumingMemoryBound(to: CChar.self),
          UInt64(phrase.count), salt, passes, memoryBytes, crypto_pwhash_ALG_ARGON2ID13)
      }
      guard done == 0 else {
        throw Fault(
          .system, "not enough memory for the passphrase", hint: "\(memoryBytes >> 20) MiB are needed for about a second")
      }
    }
  }
}
