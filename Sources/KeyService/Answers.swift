import Cryptography
import Domain
public import Primitives
import Storage
import Vault

// Requests that may be sent again. What was answered is kept, sealed, for a day: some of it is shown this once.
extension KeyService {
  /// Milliseconds for which an idempotency key stands for its request.
  static let answersKept: Int64 = 24 * 3_600_000
  static let idempotencyKeyMax = 255

  /// An answer that was given before.
  public struct KnownAnswer: Sendable {
    public let status: Int
    public let body: [UInt8]
  }

  /// Notes durably that the caller begins the request `digest` (32 bytes) under `key`. Returns its name for `finish`, and the answer where
  /// it was given before.
  ///
  /// Throws `.idempotencyKeyReused` where the key stands for another request, and `.conflict` where the request was begun and nobody knows
  /// how it ended: it is then not done a second time.
  public func begin(_ key: String, digest: [UInt8]) throws(Fault) -> (name: String, known: KnownAnswer?) {
    let vault = try requireVault()
    guard (1...Self.idempotencyKeyMax).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw Fault(
        .invalidInput, "that is no idempotency key",
        hint: "send 1 to \(Self.idempotencyKeyMax) printable characters, such as a random UUID")
    }
    try store.deleteAnswers(before: Timestamp(milliseconds: clock.now.milliseconds - Self.answersKept))
    let name = hexadecimal(SHA256.digest(Array("\(Caller.current.name)\n\(key)".utf8).span))
    if let row = try store.answer(name) {
      let kept = try vault.open(row.sealed, for: Self.place(name), hosts: [])
      guard kept.count >= 34, constantTimeEqual(kept.span.extracting(0..<32), digest.span) else {
        throw Fault(
          .idempotencyKeyReused, "this idempotency key stands for another request", hint: "send another key with another request")
      }
      let status = Int(kept.span[32]) << 8 | Int(kept.span[33])
      guard status > 0 else {
        throw Fault(
          .conflict, "this request was begun, and has not ended or was cut short",
          hint: "look whether it was done before you send it under another key")
      }
      return (name, KnownAnswer(status: status, body: [UInt8](copying: kept.span.extracting(34..<kept.count))))
    }
    try keep(name, digest: digest, status: 0, body: [], vault)
    return (name, nil)
  }

  /// Keeps what was answered.
  public func finish(_ name: String, digest: [UInt8], status: Int, body: [UInt8]) throws(Fault) {
    try keep(name, digest: digest, status: status, body: body, try requireVault())
  }

  /// Forgets a request that was refused: it did nothing, and may be sent again.
  public func forget(_ name: String) throws(Fault) { try store.save(answer: name, at: clock.now, sealed: nil) }

  private func keep(_ name: String, digest: [UInt8], status: Int, body: [UInt8], _ vault: Vault) throws(Fault) {
    var bytes = digest + [UInt8(truncatingIfNeeded: status >> 8), UInt8(truncatingIfNeeded: status)] + body
    defer { wipe(&bytes) }
    try store.save(answer: name, at: clock.now, sealed: try vault.seal(bytes.span, for: Self.place(name), hosts: []))
  }

  static func place(_ name: String) -> String { "answer/\(name)" }
}
