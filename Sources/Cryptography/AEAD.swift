import CCrypto
import CSodium
public import Primitives

/// Authenticated encryption with associated data. Both suites append a 16-byte tag.
public enum AEAD: UInt8, Sendable, CaseIterable {
  /// AES-256-GCM with a 96-bit nonce (NIST SP 800-38D), by OpenSSL.
  case aes256GCM = 1
  /// XChaCha20-Poly1305 with a 192-bit nonce (draft-irtf-cfrg-xchacha), by libsodium: for hosts without AES instructions.
  case xchacha20Poly1305 = 2

  public static let keyLength = 32
  public static let tagLength = 16
  public var nonceLength: Int { self == .aes256GCM ? 12 : 24 }

  /// The ciphertext of `plaintext` followed by the tag.
  public func seal(_ plaintext: Span<UInt8>, key: Span<UInt8>, nonce: [UInt8], associated: [UInt8]) throws(Fault) -> [UInt8] {
    guard key.count == Self.keyLength, nonce.count == nonceLength else { throw Self.refused }
    var out = [UInt8](repeating: 0, count: plaintext.count + Self.tagLength)
    let done = unsafe plaintext.withUnsafeBufferPointer { plain in
      unsafe key.withUnsafeBufferPointer { key in
        unsafe out.withUnsafeMutableBufferPointer { out in
          unsafe self == .aes256GCM
            ? gcm(encrypt: true, plain, key, nonce, associated, out)
            : crypto_aead_xchacha20poly1305_ietf_encrypt(
              out.baseAddress!, nil, plain.baseAddress, UInt64(plain.count), associated, UInt64(associated.count), nil, nonce,
              key.baseAddress!) == 0
        }
      }
    }
    guard done else { throw Self.refused }
    return out
  }

  /// The plaintext, or a fault that does not tell which of key, nonce, associated data or bytes was wrong.
  public func open(_ sealed: Span<UInt8>, key: Span<UInt8>, nonce: [UInt8], associated: [UInt8]) throws(Fault) -> SecretBytes {
    guard key.count == Self.keyLength, nonce.count == nonceLength, sealed.count >= Self.tagLength else { throw Self.refused }
    return try unsafe SecretBytes(rawCount: sealed.count - Self.tagLength) { (target) throws(Fault) in
      let out = unsafe target.bindMemory(to: UInt8.self)
      let done = unsafe sealed.withUnsafeBufferPointer { sealed in
        unsafe key.withUnsafeBufferPointer { key in
          unsafe self == .aes256GCM
            ? gcm(encrypt: false, sealed, key, nonce, associated, out)
            : crypto_aead_xchacha20poly1305_ietf_decrypt(
              out.baseAddress!, nil, nil, sealed.baseAddress!, UInt64(sealed.count), associated, UInt64(associated.count), nonce,
              key.baseAddress!) == 0
        }
      }
      guard done else { throw Self.refused }
    }
  }

  private static let refused = Fault(.cryptography, "the record does not open")

  /// One AES-256-GCM operation. SAFETY: `output` has room for the input plus (sealing) or minus (opening) the tag.
  private func gcm(
    encrypt: Bool, _ input: UnsafeBufferPointer<UInt8>, _ key: UnsafeBufferPointer<UInt8>, _ nonce: [UInt8],
    _ associated: [UInt8],
    _ output: UnsafeMutableBufferPointer<UInt8>
  ) -> Bool {
    let context = unsafe EVP_CIPHER_CTX_new()
    defer { unsafe EVP_CIPHER_CTX_free(context) }
    let length = encrypt ? input.count : input.count - Self.tagLength
    var written: Int32 = 0
    guard unsafe EVP_CipherInit_ex(context, EVP_aes_256_gcm(), nil, key.baseAddress!, nonce, encrypt ? 1 : 0) == 1 else {
      return false
    }
    if !associated.isEmpty {
      guard unsafe EVP_CipherUpdate(context, nil, &written, associated, Int32(associated.count)) == 1 else { return false }
    }
    if length > 0 {
      guard unsafe EVP_CipherUpdate(context, output.baseAddress!, &written, input.baseAddress!, Int32(length)) == 1 else {
        return false
      }
    }
    if encrypt {
      return unsafe EVP_CipherFinal_ex(context, output.baseAddress! + length, &written) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagLength), output.baseAddress! + length) == 1
    }
    var tag = unsafe Array(input[length...])
    guard unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagLength), &tag) == 1 else { return false }
    var nothing: UInt8 = 0
    return unsafe EVP_CipherFinal_ex(context, &nothing, &written) == 1
  }
}
