import CCrypto

/// ECDSA over P-256 with SHA-256 (FIPS 186-5), signatures in DER.
public enum ECDSASignature {
  /// Whether `signature` is one of `message` by the key `publicKey`, a SubjectPublicKeyInfo in DER; false for any other key.
  public static func verify(_ signature: Span<UInt8>, of message: Span<UInt8>, publicKey: Span<UInt8>) -> Bool {
    unsafe PublicKeySignature.verify(signature, of: message, publicKey: publicKey) { key in
      var name = [CChar](repeating: 0, count: 64)
      return unsafe EVP_PKEY_get_base_id(key) == EVP_PKEY_EC
        && EVP_PKEY_get_group_name(key, &name, name.count, nil) == 1
        && String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) == "prime256v1"
    }
  }
}

/// Signatures that anybody can check.
enum PublicKeySignature {
  /// `isRight` says whether a key is of the kind that is wanted; `digest` is 256, 384 or 512 bits of SHA-2.
  static func verify(
    _ signature: Span<UInt8>, of message: Span<UInt8>, publicKey: Span<UInt8>, digest: Int = 256,
    _ isRight: (OpaquePointer) -> Bool
  ) -> Bool {
    defer { ERR_clear_error() }
    guard !signature.isEmpty, !publicKey.isEmpty else { return false }
    let key = unsafe publicKey.withUnsafeBytes { raw -> OpaquePointer? in
      var start = unsafe raw.baseAddress?.assumingMemoryBound(to: UInt8.self)
      let end = unsafe start! + raw.count
      guard let key = unsafe d2i_PUBKEY(nil, &start, raw.count) else { return nil }
      // What follows the key is not part of it.
      guard unsafe start == end else {
        unsafe EVP_PKEY_free(key)
        return nil
      }
      return unsafe key
    }
    guard let key = unsafe key else { return false }
    defer { unsafe EVP_PKEY_free(key) }
    guard unsafe isRight(key), let context = unsafe EVP_MD_CTX_new() else { return false }
    defer { unsafe EVP_MD_CTX_free(context) }
    let hash = unsafe digest == 512 ? EVP_sha512() : digest == 384 ? EVP_sha384() : EVP_sha256()
    guard unsafe EVP_DigestVerifyInit(context, nil, hash, nil, key) == 1 else { return false }
    return unsafe message.withUnsafeBytes { text in
      unsafe signature.withUnsafeBytes { sig in
        unsafe EVP_DigestVerify(
          context, sig.baseAddress!.assumingMemoryBound(to: UInt8.self), sig.count,
          text.baseAddress?.assumingMemoryBound(to: UInt8.self), text.count) == 1
      }
    }
  }
}
