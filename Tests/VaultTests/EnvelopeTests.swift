import Cryptography
import Domain
import Primitives
import Storage
import TestSupport
import Testing
@testable import Vault

struct EnvelopeTests {
  private let random = SeededRandomness(seed: 4)
  private let context = RecordContext(
    table: "provider_key", column: "sealed", record: "AAAAAAAAAAAA", version: 3, provider: "openai",
    allowedHosts: ["https://api.openai.com"])
  private let secret = Array("sk-made-up-0000000000000000000000".utf8)

  private func key(_ byte: UInt8 = 7) -> SecretBytes { SecretBytes(copying: [UInt8](repeating: byte, count: 32).span) }

  private func sealed(_ suite: AEAD) throws -> [UInt8] {
    try Envelope.seal(secret.span, key: key(), keyVersion: 1, context, suite: suite, random)
  }

  private func opens(_ envelope: [UInt8], _ byte: UInt8, _ context: RecordContext) -> Bool {
    do {
      let opened = try Envelope.open(envelope, key: key(byte), context)
      return [UInt8](copying: opened.span) == secret
    } catch { return false }
  }

  @Test("a record opens to what was sealed", arguments: AEAD.allCases) func roundTrip(suite: AEAD) throws {
    #expect(opens(try sealed(suite), 7, context))
  }

  @Test("every single-bit flip of a record is refused", arguments: AEAD.allCases) func bitFlips(suite: AEAD) throws {
    let envelope = try sealed(suite)
    for i in envelope.indices {
      for bit in 0..<8 {
        var flipped = envelope
        flipped[i] ^= 1 << UInt8(bit)
        // The key's version is read before: the caller looks the key up by it. Here the same key is given all the same.
        #expect(!opens(flipped, 7, context), "byte \(i), bit \(bit)")
      }
    }
  }

  @Test("a cut or lengthened record is refused") func lengths() throws {
    let envelope = try sealed(.aes256GCM)
    for n in envelope.indices { #expect(!opens(Array(envelope[..<n]), 7, context)) }
    #expect(!opens(envelope + [0], 7, context))
  }

  @Test("a record moved to another place, version, provider or host does not open") func moved() throws {
    let envelope = try sealed(.aes256GCM)
    func changed(_ change: (inout RecordContext) -> Void) -> RecordContext {
      var c = context
      change(&c)
      return c
    }
    let places = [
      changed { $0.table = "other" }, changed { $0.column = "other" }, changed { $0.record = "BBBBBBBBBBBB" },
      changed { $0.version = 4 },
      changed { $0.provider = "anthropic" }, changed { $0.allowedHosts = ["https://evil.test"] },
      changed { $0.allowedHosts = [] },
      changed { $0.allowedHosts.append("https://evil.test") },
    ]
    for place in places { #expect(!opens(envelope, 7, place)) }
    #expect(!opens(envelope, 8, context))
  }

  @Test("two writes of the same secret have nothing in common, and the size does not tell the provider") func fresh() throws {
    let (a, b) = (try sealed(.aes256GCM), try sealed(.aes256GCM))
    #expect(a[10..<74] != b[10..<74] && a[90...] != b[90...])
    let short = try Envelope.seal(Array("short-one".utf8).span, key: key(), keyVersion: 1, context, suite: .aes256GCM, random)
    let long = try Envelope.seal(
      [UInt8](repeating: 65, count: 200).span, key: key(), keyVersion: 1, context, suite: .aes256GCM, random)
    #expect(short.count == long.count)
  }

  @Test("a secret above the limit is refused") func tooLarge() {
    let large = [UInt8](repeating: 1, count: Envelope.plaintextMax + 1)
    #expect(throws: Fault(.invalidInput, "")) {
      _ = try Envelope.seal(large.span, key: key(), keyVersion: 1, context, suite: .aes256GCM, random)
    }
  }
}
