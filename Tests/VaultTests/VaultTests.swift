import Cryptography
import Domain
import Primitives
import Storage
import TestSupport
import Testing
@testable import Vault

struct VaultTests {
  private let random = SeededRandomness(seed: 5)

  /// A key file's content.
  private func keyFile() -> [UInt8] {
    let content = KeyFile.generate()
    return [UInt8](copying: content.span)
  }

  private func provider(_ url: String = "https://api.openai.com") throws -> Provider {
    Provider(name: "openai", baseURL: try BaseURL(url), credential: .bearer, kind: "openai")
  }

  private func sealedKey(_ vault: Vault, _ id: String, _ secret: String) throws -> ProviderKey {
    var key = ProviderKey(
      id: RecordID(id)!, provider: "openai", name: "n", version: 1, sealed: [], createdAt: Timestamp(milliseconds: 0))
    try vault.seal(Array(secret.utf8).span, into: &key, of: try provider())
    return key
  }

  private func opened(_ vault: Vault, _ key: ProviderKey, _ provider: Provider) -> String? {
    do {
      let secret = try vault.open(key, of: provider)
      return String(decoding: [UInt8](copying: secret.span), as: UTF8.self)
    } catch { return nil }
  }

  @Test("a vault opens again with its key file and holds what was sealed") func reopen() throws {
    let store = MemoryStore()
    let file = keyFile()
    let key = try sealedKey(try Vault.initialize(store, method: .keyFile, secret: file.span), "AAAAAAAAAAAA", "sk-made-up-1")
    #expect(opened(try Vault.unseal(store, secret: file.span), key, try provider()) == "sk-made-up-1")
  }

  @Test("another key file, a damaged one, and a passphrase do not open it") func wrongKeyFile() throws {
    let store = MemoryStore()
    _ = try Vault.initialize(store, method: .keyFile, secret: keyFile().span)
    for wrong in [keyFile(), Array("maskllm-unseal-1:zz".utf8), [], Array("a passphrase".utf8)] {
      #expect(throws: Fault(.unsealFailed, "")) { _ = try Vault.unseal(store, secret: wrong.span) }
    }
  }

  @Test("a passphrase opens its vault, another does not; softened parameters do not either") func passphrase() throws {
    let store = MemoryStore()
    let method = SealMethod.passphrase(.floor, salt: random.bytes(16))
    _ = try Vault.initialize(store, method: method, secret: Array("correct horse battery".utf8).span)
    #expect(try SealMethod.read(from: store) == method)
    _ = try Vault.unseal(store, secret: Array("correct horse battery".utf8).span)
    #expect(throws: Fault(.unsealFailed, "")) { _ = try Vault.unseal(store, secret: Array("correct horse batterz".utf8).span) }
    // One pass instead of three: an attacker's way to make guessing cheap.
    var blob = try #require(try store.blob("seal"))
    blob[8] = 1
    try store.setBlobs([("seal", blob)])
    #expect(throws: Fault.self) { _ = try Vault.unseal(store, secret: Array("correct horse battery".utf8).span) }
  }

  @Test("every single-bit flip of the seal and of the keyring is refused") func flippedSeal() throws {
    let store = MemoryStore()
    let file = keyFile()
    _ = try Vault.initialize(store, method: .keyFile, secret: file.span)
    for name in ["seal", "keyring"] {
      let blob = try #require(try store.blob(name))
      for i in blob.indices {
        var flipped = blob
        flipped[i] ^= 1 << UInt8(i % 8)
        try store.setBlobs([(name, flipped)])
        #expect(throws: Fault.self, "\(name), byte \(i)") { _ = try Vault.unseal(store, secret: file.span) }
      }
      try store.setBlobs([(name, blob)])
    }
  }

  @Test("every swap of two records is refused, and so is a record re-pointed at another host") func swaps() throws {
    let vault = try Vault.initialize(MemoryStore(), method: .keyFile, secret: keyFile().span)
    let ids = ["AAAAAAAAAAAA", "BBBBBBBBBBBB", "CCCCCCCCCCCC", "DDDDDDDDDDDD"]
    let keys = try ids.map { try sealedKey(vault, $0, "sk-made-up-\($0)") }
    for (i, a) in keys.enumerated() {
      for (j, b) in keys.enumerated() {
        var swapped = a
        swapped.sealed = b.sealed
        #expect((opened(vault, swapped, try provider()) != nil) == (i == j))
      }
      #expect(opened(vault, a, try provider("https://evil.test")) == nil)
      var newer = a
      newer.version = 2
      #expect(opened(vault, newer, try provider()) == nil)
    }
  }

  @Test("a masked key edited in the database is refused, whichever column was edited") func editedRow() throws {
    let vault = try Vault.initialize(MemoryStore(), method: .keyFile, secret: keyFile().span)
    let secret = vault.issueSecret(prefix: "mk", id: RecordID("AAAAAAAAAAAA")!)
    let key = MaskedKey(
      id: RecordID("AAAAAAAAAAAA")!, name: "n", grant: Grant(policy: Policy(providers: ["openai"])), state: .disabled,
      createdAt: Timestamp(milliseconds: 5),
      expiresAt: Timestamp(milliseconds: 10), hash: secret.hash, pepperVersion: secret.pepperVersion, revision: 1)
    let row = try vault.row(for: key)
    func read(_ row: MaskedKeyRow) -> MaskedKey? {
      var known: [[UInt8]: Grant] = [:]
      return try? vault.maskedKey(from: row, known: &known)
    }
    #expect(read(row) == key)
    let edits: [(String, (inout MaskedKeyRow) -> Void)] = [
      ("id", { $0.id = RecordID("BBBBBBBBBBBB")! }), ("name", { $0.name = "m" }),
      ("policy", { $0.policy = Array("{\"providers\":[\"*\"]}".utf8) }), ("policy space", { $0.policy += [32] }),
      ("state", { $0.state = "active" }),
      ("created", { $0.createdAt = 6 }), ("expiry", { $0.expiresAt = 11 }), ("no expiry", { $0.expiresAt = nil }),
      ("hash", { $0.hash[0] ^= 1 }),
      ("pepper", { $0.pepperVersion = 2 }), ("revision", { $0.revision = 2 }), ("mac", { $0.mac[0] ^= 1 }),
      ("no mac", { $0.mac = [] }),
    ]
    for (name, edit) in edits {
      var edited = row
      edit(&edited)
      #expect(read(edited) == nil, "\(name)")
    }
  }

  @Test("a provider edited in the database is refused") func editedProvider() throws {
    let vault = try Vault.initialize(MemoryStore(), method: .keyFile, secret: keyFile().span)
    let row = try vault.row(for: try provider())
    #expect(try vault.provider(from: row) == (try provider()))
    var edited = row
    edited.document = Array(String(decoding: row.document, as: UTF8.self).replacing("api.openai.com", with: "evil.test").utf8)
    #expect(edited.document != row.document)
    #expect(throws: Fault(.tampered, "")) { _ = try vault.provider(from: edited) }
    edited = row
    edited.name = "anthropic"
    #expect(throws: Fault(.tampered, "")) { _ = try vault.provider(from: edited) }
  }

  @Test("two vaults share nothing: a record of one does not open in the other") func separate() throws {
    let (a, b) = (
      try Vault.initialize(MemoryStore(), method: .keyFile, secret: keyFile().span),
      try Vault.initialize(MemoryStore(), method: .keyFile, secret: keyFile().span)
    )
    #expect(opened(b, try sealedKey(a, "AAAAAAAAAAAA", "sk-made-up-1"), try provider()) == nil)
  }
}
