import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import Storage
import TestSupport
import Testing
import Vault

struct KeyServiceTests: AtBench {
  let bench: Bench

  init() throws { bench = try Bench(seed: 9) }

  private func createKey(_ providers: [String] = ["openai"], expires: Timestamp? = nil) async throws -> (MaskedKey, [UInt8]) {
    let created = try await service.createKey(name: "n", grant: Grant(policy: Policy(providers: providers)), expiresAt: expires)
    return (created.key, [UInt8](copying: created.secret.text.span))
  }

  private func addProviderKey(_ secret: String = "sk-made-up-00000000") async throws -> ProviderKey {
    let bytes = SecretBytes(copying: Array(secret.utf8).span)
    return try await service.addProviderKey(provider: "openai", name: "default", secret: bytes)
  }

  @Test("a change is in force when the call returns: create, disable, enable, revoke") func inForce() async throws {
    let (key, text) = try await createKey()
    #expect(sink.refusal(text, at: clock.now) == nil)
    for (change, accepted) in [(MaskedKey.Change.disable, false), (.enable, true), (.revoke, false)] {
      _ = try await service.changeKey(key.id, change)
      #expect((sink.refusal(text, at: clock.now) == nil) == accepted)
    }
  }

  @Test("a revoked key stays revoked after a restart") func restart() async throws {
    let (key, text) = try await createKey()
    let (_, other) = try await createKey()
    _ = try await service.changeKey(key.id, .revoke)
    let again = try self.again()
    await again.publish()
    #expect(sink.refusal(text, at: clock.now) != nil)
    #expect(sink.refusal(other, at: clock.now) == nil)
  }

  @Test("an effect that could not be made durable does not happen") func durable() async throws {
    let (key, text) = try await createKey()
    store.fail(true)
    await #expect(throws: Fault(.storage, "")) { _ = try await service.changeKey(key.id, .disable) }
    #expect(try service.key(key.id).state == .active)
    #expect(sink.refusal(text, at: clock.now) == nil)
    await #expect(throws: Fault(.storage, "")) { _ = try await createKey() }
    await #expect(throws: Fault(.storage, "")) { _ = try await addProviderKey() }
    store.fail(false)
    #expect(try service.listKeys().count == 1)
    #expect(try service.listProviderKeys().isEmpty)
  }

  @Test("a key edited in the database is shown, not used, and does not stop the others") func tampered() async throws {
    let (key, text) = try await createKey(["openai"])
    let (_, other) = try await createKey()
    let id = key.id
    store.editKeys { rows in
      for i in rows.indices where rows[i].id == id { rows[i].policy = Array("{\"providers\":[\"*\"]}".utf8) }
    }
    let again = try self.again()
    await again.publish()
    #expect(again.tamperedKeys == [key.id])
    #expect(sink.refusal(text, at: clock.now) != nil && sink.refusal(other, at: clock.now) == nil)
    #expect(throws: Fault(.tampered, "")) { try again.key(key.id) }
  }

  @Test("what cannot be asked for is refused and changes nothing") func refused() async throws {
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await createKey([]) }
    await #expect(throws: Fault(.notFound, "")) { _ = try await createKey(["nobody"]) }
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await createKey(expires: clock.now) }
    await #expect(throws: Fault(.invalidInput, "")) {
      _ = try await service.createKey(name: "n", grant: Grant(policy: Policy(providers: ["*"])), expiresAt: nil, prefix: "not ok")
    }
    await #expect(throws: Fault(.notFound, "")) { _ = try await service.changeKey(RecordID("AAAAAAAAAAAA")!, .revoke) }
    await #expect(throws: Fault(.notFound, "")) { try await service.removeProviderKey(RecordID("AAAAAAAAAAAA")!) }
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await addProviderKey("short") }
    #expect(try service.listKeys().isEmpty && service.listProviderKeys().isEmpty)
    _ = try await addProviderKey()
    await #expect(throws: Fault(.conflict, "")) { _ = try await addProviderKey() }
  }

  @Test("a provider cannot be re-pointed while keys are sealed for its host") func repointed() async throws {
    let key = try await addProviderKey()
    let evil = Provider(name: "openai", baseURL: try BaseURL("https://evil.test"), credential: .bearer, kind: "openai")
    await #expect(throws: Fault(.conflict, "")) { try await service.setProvider(evil) }
    try await service.removeProviderKey(key.id)
    try await service.setProvider(evil)
    #expect(service.providers().first { $0.name == "openai" }?.baseURL.host == "evil.test")
  }

  @Test("while sealed, nothing is listed, made or changed") func sealed() async throws {
    let sealed = KeyService(store: store, sink: sink, clock: clock)
    #expect(throws: Fault(.sealed, "")) { try sealed.listKeys() }
    await #expect(throws: Fault(.sealed, "")) {
      _ = try await sealed.createKey(name: "n", grant: Grant(policy: Policy(providers: ["*"])), expiresAt: nil)
    }
    await #expect(throws: Fault(.sealed, "")) { _ = try await sealed.changeKey(RecordID("AAAAAAAAAAAA")!, .revoke) }
    #expect(throws: Fault(.unsealFailed, "")) { try sealed.unseal(secret: Array("wrong".utf8).span) }
    try sealed.unseal(secret: file.span)
    #expect(throws: Fault(.conflict, "")) { try sealed.unseal(secret: file.span) }
  }
}
