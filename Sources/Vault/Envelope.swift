import Cryptography
import Domain
import Primitives

/// What a sealed record belongs to. All of it is bound into the seal: moved, renamed, or re-pointed at another host, it does not open.
public struct RecordContext: Sendable {
  var table: String
  var column: String
  var record: String
  var version: UInt32
  var provider: String
  var allowedHosts: [String]

  public init(
    table: String, column: String, record: String, version: UInt32 = 1, provider: String = "", allowedHosts: [String] = []
  ) {
    self.table = table
    self.column = column
    self.record = record
    self.version = version
    self.provider = provider
    self.allowedHosts = allowedHosts
  }

  func associatedData(header: [UInt8]) -> [UInt8] {
    var hosts = FieldEncoding()
    for host in allowedHosts.sorted() { hosts.append(host) }
    var fields = FieldEncoding()
    fields.append("maskllm")
    fields.append(1)
    for text in [table, column, record] { fields.append(text) }
    fields.append(Int64(version))
    fields.append(provider)
    fields.append(SHA256.digest(hosts.bytes.span))
    fields.append(header)
    return fields.bytes
  }
}

/// A sealed record: `"MKV1" | suite u8 | flags u8 | key version u32 | salt 32 | commitment 32 | nonce | length u32 | ciphertext and tag`.
///
/// A fresh 256-bit salt gives every write its own encryption key, so nonces cannot repeat under one; the commitment, checked
/// first, makes a ciphertext open under one key only.
struct Envelope {
  private static let magic = Array("MKV1".utf8)
  private static let saltLength = 32
  private static let commitmentLength = 32
  /// Plaintexts are padded to this step, so that the size does not name the provider.
  private static let paddingStep = 256
  static let plaintextMax = 1 << 20

  static func seal(
    _ plaintext: Span<UInt8>, key: borrowing SecretBytes, keyVersion: UInt32, _ context: RecordContext, suite: AEAD,
    _ randomness: any Randomness
  ) throws(Fault) -> [UInt8] {
    guard plaintext.count <= plaintextMax else { throw Fault(.invalidInput, "a secret of \(plaintext.count) bytes is too large") }
    let salt = randomness.bytes(saltLength)
    let header = magic + [suite.rawValue, 0] + bigEndian(keyVersion) + salt
    let associated = context.associatedData(header: header)
    let keys = try derive(key, salt: salt, associated)
    let nonce = randomness.bytes(suite.nonceLength)
    let padded = SecretBytes(count: (plaintext.count + 4 + paddingStep - 1) / paddingStep * paddingStep) { target in
      for (i, b) in bigEndian(UInt32(plaintext.count)).enumerated() { target[i] = b }
      for i in plaintext.indices { target[4 + i] = plaintext[i] }
    }
    let sealed = try suite.seal(padded.span, key: keys.span.extracting(0..<32), nonce: nonce, associated: associated)
    let commitment = [UInt8](copying: keys.span.extracting(32..<64))
    return header + commitment + nonce + bigEndian(UInt32(sealed.count)) + sealed
  }

  /// The version of the key that an envelope was sealed under; nil when it is no envelope.
  static func keyVersion(of envelope: [UInt8]) -> UInt32? {
    guard envelope.count >= 10, Array(envelope[..<4]) == magic else { return nil }
    return envelope[6..<10].reduce(0) { $0 << 8 | UInt32($1) }
  }

  static func open(_ envelope: [UInt8], key: borrowing SecretBytes, _ context: RecordContext) throws(Fault) -> SecretBytes {
    let refused = Fault(.cryptography, "the record does not open")
    guard envelope.count > 42, Array(envelope[..<4]) == magic, let suite = AEAD(rawValue: envelope[4]), envelope[5] == 0 else {
      throw refused
    }
    let header = Array(envelope[..<42])
    let body = 42 + commitmentLength + suite.nonceLength
    guard envelope.count >= body + 4 else { throw refused }
    let associated = context.associatedData(header: header)
    let keys = try derive(key, salt: Array(header[10...]), associated)
    guard constantTimeEqual(keys.span.extracting(32..<64), envelope.span.extracting(42..<(42 + commitmentLength))) else {
      throw refused
    }
    let length = envelope[body..<(body + 4)].reduce(0) { $0 << 8 | Int($1) }
    guard envelope.count == body + 4 + length else { throw refused }
    let padded = try suite.open(
      envelope.span.extracting((body + 4)..<envelope.count), key: keys.span.extracting(0..<32),
      nonce: Array(envelope[(42 + commitmentLength)..<body]), associated: associated)
    guard padded.count >= 4 else { throw refused }
    let count = (0..<4).reduce(0) { $0 << 8 | Int(padded.span[$1]) }
    guard count <= padded.count - 4 else { throw refused }
    return SecretBytes(copying: padded.span.extracting(4..<(4 + count)))
  }

  /// Encryption key and commitment, 32 bytes each.
  private static func derive(_ key: borrowing SecretBytes, salt: [UInt8], _ associated: [UInt8]) throws(Fault) -> SecretBytes {
    try HKDF.sha512(
      key: key.span, salt: salt.span, info: Array("maskllm/record/v1".utf8) + SHA256.digest(associated.span), length: 64)
  }

  private static func bigEndian(_ n: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: n >> UInt32(24 - 8 * $0)) } }
}
