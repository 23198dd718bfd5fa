import CCrypto
public import Primitives

/// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2), which JSON Web Tokens call RS256.
public enum RSASignature {
  /// Whether `signature` is one of `message` by the key `publicKey`, a SubjectPublicKeyInfo in DER of RSA with 2,048 bits or more; false for
  /// any other key. `digest` is 256, 384 or 512 bits of SHA-2.
  static func verify(_ signature: Span<UInt8>, of message: Span<UInt8>, publicKey: Span<UInt8>, digest: Int) -> Bool {
    unsafe PublicKeySignature.verify(signature, of: message, publicKey: publicKey, digest: digest) { key in
      unsafe EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= 2048
    }
  }

  /// The signature of `message` with the private key in `pem`, which has to be of RSA with 2,048 bits or more and not encrypted.
  /// Throws `.invalidInput` for any other key.
  public static func sign(_ message: Span<UInt8>, pem: Span<UInt8>) throws(Fault) -> [UInt8] {
    let bad = Fault(.invalidInput, "the private key cannot be read", hint: "it is an unencrypted RSA key in PEM")
    let found = unsafe pem.withUnsafeBytes { raw -> OpaquePointer? in
      guard let base = raw.baseAddress, let bio = unsafe BIO_new_mem_buf(base, Int32(raw.count)) else { return nil }
      defer { unsafe BIO_free(bio) }
      // Without a callback OpenSSL would ask the terminal for the password of an encrypted key.
      return unsafe PEM_read_bio_PrivateKey(bio, nil, { _, _, _, _ in -1 }, nil)
    }
    defer { ERR_clear_error() }
    guard let key = unsafe found else { throw bad }
    defer { unsafe EVP_PKEY_free(key) }
    guard unsafe EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA, unsafe EVP_PKEY_get_bits(key) >= 2048,
      let context = unsafe EVP_MD_CTX_new()
    else { throw bad }
    defer { unsafe EVP_MD_CTX_free(context) }
    var signature = [UInt8](repeating: 0, count: Int(unsafe EVP_PKEY_get_size(key)))
    var count = signature.count
    let isSigned = unsafe message.withUnsafeBytes { input in
      unsafe EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key) == 1
        && signature.withUnsafeMutableBufferPointer {
          unsafe EVP_DigestSign(
            context, $0.baseAddress!, &count, input.baseAddress!.assumingMemoryBound(to: UInt8.self), input.count) == 1
        }
    }
    guard isSigned else { throw bad }
    return Array(signature.prefix(count))
  }
}
