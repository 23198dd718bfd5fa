import Cryptography
import FoundationEssentials
import Primitives
import Testing

struct SecretBytesTests {
  // The macro cannot take values that are not copyable.
  private func same(_ a: [UInt8], _ b: [UInt8]) -> Bool { SecretBytes(copying: a.span) == SecretBytes(copying: b.span) }

  @Test("secrets are equal by content and only by content") func equality() {
    let a: [UInt8] = Array("made-up-secret-A".utf8)
    var b = a
    b[15] ^= 1
    #expect(same(a, a))
    #expect(!same(a, b))
    #expect(!same(a, Array(a[..<15])))
    #expect(same([], []))
  }

  @Test("printing, dumping and mirroring a holder of a secret shows nothing of it") func printsNothing() {
    final class Holder { let secret = SecretBytes(copying: Array("made-up-secret-B".utf8).span) }
    let holder = Holder()
    var dumped = ""
    dump(holder, to: &dumped)
    let shown = "\(holder) \(String(reflecting: holder)) \(dumped)"
    #expect(!shown.contains("made-up"))
    #expect(!shown.contains("109, 97, 100, 101"))
  }

  @Test("a wiped array is empty") func wiping() {
    var bytes: [UInt8] = Array("made-up-secret-C".utf8)
    wipe(&bytes)
    #expect(bytes.isEmpty)
  }

  @Test("a passphrase below the floor of work is refused, and an empty one too") func passwordFloor() {
    let salt = [UInt8](repeating: 7, count: 16)
    #expect(throws: Fault(.cryptography, "")) {
      _ = try PasswordHash(passes: 1, memoryBytes: 1 << 30).key(passphrase: Array("made up".utf8).span, salt: salt)
    }
    #expect(throws: Fault(.cryptography, "")) {
      _ = try PasswordHash(passes: 4, memoryBytes: 8 << 20).key(passphrase: Array("made up".utf8).span, salt: salt)
    }
    #expect(throws: Fault(.invalidInput, "")) { _ = try PasswordHash.floor.key(passphrase: [UInt8]().span, salt: salt) }
  }

  @Test("the same passphrase and salt give the same key; another salt another key") func passwordKey() throws {
    let phrase = Array("correct horse battery".utf8)
    let a = try PasswordHash.floor.key(passphrase: phrase.span, salt: [UInt8](repeating: 1, count: 16))
    let b = try PasswordHash.floor.key(passphrase: phrase.span, salt: [UInt8](repeating: 1, count: 16))
    let c = try PasswordHash.floor.key(passphrase: phrase.span, salt: [UInt8](repeating: 2, count: 16))
    let (repeats, differs) = (a == b, a != c)
    #expect(repeats && differs)
  }
}
