import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import Storage
import Synchronization
import TestSupport
import Testing
import Vault

struct KeyServiceTests {
  /// Remembers the last snapshot that was taken into force.
  private final class Sink: SnapshotSink {
    let last = Mutex<Snapshot?>(nil)
    func publish(_ snapshot: Snapshot) async -> Int {
      last.withLock { $0 = snapshot }
      return 1
    }
    func accepts(_ text: [UInt8], at now: Timestamp) -> Bool {
      guard let snapshot = last.withLock({ $0 }) else { return false }
      return (try? snapshot.authenticate(text.span, now: now)) != nil
    }
  }

  private let store = MemoryStore()
  private let sink = Sink()
  private let clock = ManualClock()
  private let file: [UInt8]
  private let service: KeyService

  init() throws {
    let content = KeyFile.generate()
    file = [UInt8](copying: content.span)
    service = KeyService(store: store, sink: sink, clock: clock, randomness: SeededRandomness(seed: 9))
    try service.adopt(try Vault.initialize(store, method: .keyFile, secret: file.span))
  }

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
    #expect(sink.accepts(text, at: clock.now))
    for (change, accepted) in [(MaskedKey.Change.disable, false), (.enable, true), (.revoke, false)] {
      _ = try await service.changeKey(key.id, change)
      #expect(sink.accepts(text, at: clock.now) == accepted)
    }
  }

  @Test("a revoked key stays revoked after a restart") func restart() async throws {
    let (key, text) = try await createKey()
    let (_, other) = try await createKey()
    _ = try await service.changeKey(key.id, .revoke)
    let again = KeyService(store: store, sink: sink, clock: clock)
    try again.unseal(secret: file.span)
    await again.publish()
    #expect(!sink.accepts(text, at: clock.now))
    #expect(sink.accepts(other, at: clock.now))
  }

  @Test("an effect that could not be made durable does not happen") func durable() async throws {
    let (key, text) = try await createKey()
    store.fail(true)
    await #expect(throws: Fault(.storage, "")) { _ = try await service.changeKey(key.id, .disable) }
    #expect(try service.key(key.id).state == .active)
    #expect(sink.accepts(text, at: clock.now))
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
    let again = KeyService(store: store, sink: sink, clock: clock)
    try again.unseal(secret: file.span)
    await again.publish()
    #expect(again.tamperedKeys == [key.id])
    #expect(!sink.accepts(text, at: clock.now) && sink.accepts(other, at: clock.now))
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
