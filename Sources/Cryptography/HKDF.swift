import CCrypto
public import Primitives

/// HKDF (RFC 5869) with SHA-512.
public enum HKDF {
  /// At most 255 × 64 bytes of output.
  public static let lengthMax = 255 * 64

  /// Derives `length` bytes from `key`; throws `.cryptography` when the length is out of bounds.
  public static func sha512(key: Span<UInt8>, salt: Span<UInt8>, info: [UInt8], length: Int) throws(Fault) -> SecretBytes {
    let failed = Fault(.cryptography, "key derivation failed")
    guard length > 0, length <= lengthMax else { throw Fault(.cryptography, "a derived key of \(length) bytes cannot be made") }
    let context = unsafe EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nil)
    defer { unsafe EVP_PKEY_CTX_free(context) }
    guard unsafe EVP_PKEY_derive_init(context) == 1, unsafe EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha512()) == 1 else {
      throw failed
    }
    let isSet = unsafe key.withUnsafeBufferPointer { key in
      unsafe salt.withUnsafeBufferPointer { salt in
        unsafe (salt.isEmpty || EVP_PKEY_CTX_set1_hkdf_salt(context, salt.baseAddress!, Int32(salt.count)) == 1)
          && !key.isEmpty && EVP_PKEY_CTX_set1_hkdf_key(context, key.baseAddress!, Int32(key.count)) == 1
          && (info.isEmpty || EVP_PKEY_CTX_add1_hkdf_info(context, info, Int32(info.count)) == 1)
      }
    }
    guard isSet else { throw failed }
    return try unsafe SecretBytes(rawCount: length) { (target) throws(Fault) in
      var written = length
      let done = unsafe EVP_PKEY_derive(context, target.baseAddress!.assumingMemoryBound(to: UInt8.self), &written)
      guard done == 1, written == length else { throw failed }
    }
  }
}

extension Fault.Code {
  /// A primitive refused: wrong key, wrong associated data, or changed bytes. Which of them is not told.
  public static let cryptography: Self = "cryptography"
}
