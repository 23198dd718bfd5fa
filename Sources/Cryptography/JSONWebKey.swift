/// A public key that signs JSON Web Tokens (RFC 7517), of the two kinds that OpenID providers use: RSA, and P-256.
public struct JSONWebKey: Sendable {
  /// A SubjectPublicKeyInfo in DER.
  private let info: [UInt8]
  private let isRSA: Bool

  /// `modulus` and `exponent` are numbers, the most significant byte first. Nil for a modulus of less than 2,048 bits.
  public init?(modulus: [UInt8], exponent: [UInt8]) {
    let modulus = Array(modulus.drop { $0 == 0 })
    guard modulus.count >= 256, modulus.count <= 1024, !exponent.isEmpty, exponent.count <= 8 else { return nil }
    let key = DER.sequence(DER.integer(modulus) + DER.integer(exponent))
    // rsaEncryption (RFC 8017, appendix A.1), with the NULL that belongs to it.
    let algorithm = DER.sequence([0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 0x05, 0])
    (info, isRSA) = (DER.sequence(algorithm + DER.bitString(key)), true)
  }

  /// A point of P-256; each coordinate has 32 bytes.
  public init?(x: [UInt8], y: [UInt8]) {
    guard x.count == 32, y.count == 32 else { return nil }
    // id-ecPublicKey and prime256v1 (RFC 5480).
    let algorithm = DER.sequence([
      0x06, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 0x06, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7,
    ])
    (info, isRSA) = (DER.sequence(algorithm + DER.bitString([4] + x + y)), false)
  }

  /// Whether `signature` is one of `message` by this key, with the algorithm that is called `algorithm` (RS256, RS384, RS512, ES256); false for any other.
  public func verifies(_ signature: [UInt8], of message: Span<UInt8>, algorithm: String) -> Bool {
    switch (algorithm, isRSA) {
    case ("RS256", true), ("RS384", true), ("RS512", true):
      return RSASignature.verify(
        signature.span, of: message, publicKey: info.span, digest: Int(algorithm.dropFirst(2)) ?? 256)
    case ("ES256", false):
      // Two numbers side by side (RFC 7518 section 3.4).
      guard signature.count == 64 else { return false }
      let der = DER.sequence(DER.integer(Array(signature[..<32])) + DER.integer(Array(signature[32...])))
      return ECDSASignature.verify(der.span, of: message, publicKey: info.span)
    default: return false
    }
  }
}

/// As much of the Distinguished Encoding Rules (X.690) as keys and signatures are made of.
private enum DER {
  static func sequence(_ content: [UInt8]) -> [UInt8] { [0x30] + length(content.count) + content }
  static func bitString(_ content: [UInt8]) -> [UInt8] { [0x03] + length(content.count + 1) + [0] + content }

  /// A number that is not negative.
  static func integer(_ bytes: [UInt8]) -> [UInt8] {
    var digits = Array(bytes.drop { $0 == 0 })
    if digits.isEmpty || digits[0] >= 0x80 { digits.insert(0, at: 0) }
    return [0x02] + length(digits.count) + digits
  }

  private static func length(_ count: Int) -> [UInt8] {
    count < 128 ? [UInt8(count)] : count < 256 ? [0x81, UInt8(count)] : [0x82, UInt8(count >> 8), UInt8(count & 255)]
  }
}
