import CCrypto

/// ECDSA over P-256 with SHA-256 (FIPS 186-5), signatures in DER.
public enum ECDSASignature {
  /// Whether `signature` is one of `message` by the key `publicKey`, a SubjectPublicKeyInfo in DER; false for any other key.
  public static func verify(_ signature: Span<UInt8>, of message: Span<UInt8>, publicKey: Span<UInt8>) -> Bool {
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
    var name = [CChar](repeating: 0, count: 64)
    guard unsafe EVP_PKEY_get_base_id(key) == EVP_PKEY_EC,
      unsafe EVP_PKEY_get_group_name(key, &name, name.count, nil) == 1,
      String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) == "prime256v1",
      let context = unsafe EVP_MD_CTX_new()
    else { return false }
    defer { unsafe EVP_MD_CTX_free(context) }
    guard unsafe EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, key) == 1 else { return false }
    return unsafe message.withUnsafeBytes { text in
      unsafe signature.withUnsafeBytes { sig in
        unsafe EVP_DigestVerify(
          context, sig.baseAddress!.assumingMemoryBound(to: UInt8.self), sig.count,
          text.baseAddress?.assumingMemoryBound(to: UInt8.self), text.count) == 1
      }
    }
  }
}
