import CCrypto
import Primitives

/// HMAC-SHA-256 (RFC 2104) under one key, with the key's two blocks absorbed once.
///
/// Authentication of a request costs three or four compressions and no allocation: the state is a plain value that is
/// copied (OpenSSL's EVP interface allocates a context for each operation).
@safe
public struct HMACKey: ~Copyable, Sendable {
  // SAFETY: guarded memory holding two SHA256_CTX, written once in `init`.
  private let states: SecretBytes

  /// Any key length; longer than 64 bytes is hashed first, as the RFC says.
  public init(_ key: Span<UInt8>) {
    states = unsafe SecretBytes(rawCount: 2 * MemoryLayout<SHA256_CTX>.stride) { target in
      var block = InlineArray<64, UInt8>(repeating: 0)
      if key.count > 64 {
        var hashed = SHA256.digest(key)
        for i in 0..<32 { block[i] = hashed[i] }
        wipe(&hashed)
      } else {
        for i in key.indices { block[i] = key[i] }
      }
      let pair = unsafe target.bindMemory(to: SHA256_CTX.self)
      for (i, pad) in [UInt8(0x36), 0x5C].enumerated() {
        var padded = block
        for j in 0..<64 { padded[j] ^= pad }
        unsafe SHA256_Init(pair.baseAddress! + i)
        unsafe padded.span.withUnsafeBytes { _ = unsafe SHA256_Update(pair.baseAddress! + i, $0.baseAddress!, 64) }
        unsafe withUnsafeMutableBytes(of: &padded) { unsafe Cryptography.wipe($0) }
      }
      unsafe withUnsafeMutableBytes(of: &block) { unsafe Cryptography.wipe($0) }
    }
  }

  public init(_ key: borrowing SecretBytes) { self.init(key.span) }

  /// The tag of `message`.
  public borrowing func authenticate(_ message: Span<UInt8>) -> Digest256 {
    unsafe states.span.withUnsafeBytes { raw in
      let pair = unsafe raw.baseAddress!.assumingMemoryBound(to: SHA256_CTX.self)
      var inner = unsafe pair[0]
      var outer = unsafe pair[1]
      var digest: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
      unsafe message.withUnsafeBytes { if let from = $0.baseAddress { _ = unsafe SHA256_Update(&inner, from, $0.count) } }
      unsafe withUnsafeMutableBytes(of: &digest) { out in
        let bytes = unsafe out.baseAddress!.assumingMemoryBound(to: UInt8.self)
        unsafe SHA256_Final(bytes, &inner)
        unsafe SHA256_Update(&outer, bytes, 32)
        unsafe SHA256_Final(bytes, &outer)
      }
      return Digest256(words: (digest.0.bigEndian, digest.1.bigEndian, digest.2.bigEndian, digest.3.bigEndian))
    }
  }
}
