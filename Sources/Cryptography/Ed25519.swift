import CSodium
public import Primitives

/// Ed25519 (RFC 8032): signatures of 64 bytes, public keys of 32.
public enum Ed25519 {
  /// Whether `signature` is one of `message` by `publicKey`; false for anything of another length.
  public static func verify(_ signature: Span<UInt8>, of message: Span<UInt8>, publicKey: Span<UInt8>) -> Bool {
    guard signature.count == 64, publicKey.count == 32 else { return false }
    return unsafe message.withUnsafeBufferPointer { text in
      unsafe signature.withUnsafeBufferPointer { sig in
        unsafe publicKey.withUnsafeBufferPointer { key in
          unsafe crypto_sign_verify_detached(sig.baseAddress!, text.baseAddress, UInt64(text.count), key.baseAddress!) == 0
        }
      }
    }
  }

  /// A private key, in guarded memory.
  public final class SigningKey: Sendable {
    /// As libsodium has it: the seed and the public key.
    private let secret: SecretBytes
    public let publicKey: [UInt8]

    /// Throws `.cryptography` unless `seed` has 32 bytes.
    public init(seed: borrowing SecretBytes) throws(Fault) {
      guard seed.count == 32 else { throw Fault(.cryptography, "a signing key has 32 bytes") }
      var publicKey = [UInt8](repeating: 0, count: 32)
      secret = unsafe SecretBytes(rawCount: 64) { target in
        let bytes = unsafe target.bindMemory(to: UInt8.self)
        unsafe publicKey.withUnsafeMutableBufferPointer { key in
          unsafe seed.span.withUnsafeBufferPointer {
            _ = unsafe crypto_sign_seed_keypair(key.baseAddress!, bytes.baseAddress!, $0.baseAddress!)
          }
        }
      }
      self.publicKey = publicKey
    }

    /// The signature of `message`, the same at every call.
    public func sign(_ message: Span<UInt8>) -> [UInt8] {
      var signature = [UInt8](repeating: 0, count: 64)
      unsafe signature.withUnsafeMutableBufferPointer { out in
        unsafe message.withUnsafeBufferPointer { text in
          secret.withBytes(0..<64) {
            unsafe $0.withUnsafeBufferPointer { key in
              _ = unsafe crypto_sign_detached(out.baseAddress!, nil, text.baseAddress, UInt64(text.count), key.baseAddress!)
            }
          }
        }
      }
      return signature
    }
  }
}
