import Audit
import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import TestSupport
import Testing
import Vault

struct SealingTests: AtBench {
  let bench: Bench

  init() throws { bench = try Bench(seed: 17) }

  private func key() async throws -> [UInt8] {
    let created = try await service.createKey(name: "n", grant: Grant(policy: Policy(providers: ["openai"])), expiresAt: nil)
    return [UInt8](copying: created.secret.text.span)
  }

  @Test("a vault that was sealed by hand serves nothing until it is reopened with its secret, over restarts, too") func byHand()
    async throws
  {
    let key = try await key()
    #expect(try await service.seal(reason: "drill").eventLoops == InForce.loops)
    #expect(sink.refusal(key, at: clock.now) == .sealed && service.isSealed)
    #expect(throws: Fault(.sealed, "")) { try service.listKeys() }
    await #expect(throws: Fault(.conflict, "")) { _ = try await service.seal(reason: "again") }
    #expect(throws: Fault(.sealed, "")) { try service.unseal(secret: file.span) }
    let restarted = KeyService(store: store, sink: sink, clock: clock)
    #expect(throws: Fault(.sealed, "")) { try restarted.unseal(secret: file.span) }
    let wrong = KeyFile.generate()
    await #expect(throws: Fault(.unsealFailed, "")) { try await restarted.reopen(secret: wrong.span) }
    #expect(try restarted.isSealedByHand() && restarted.isSealed)
    try await restarted.reopen(secret: file.span)
    #expect(sink.refusal(key, at: clock.now) == nil)
    let acts = try restarted.auditLog().entries(limit: 2).map(\.act)
    #expect(acts == ["vault.unseal", "vault.seal"])
    // From then on the key file opens it again.
    _ = try again()
  }

  @Test("where it cannot be written down, the vault is neither sealed nor opened") func unwritten() async throws {
    let key = try await key()
    await service.publish()
    store.fail(true)
    await #expect(throws: Fault(.storage, "")) { _ = try await service.seal(reason: "drill") }
    #expect(sink.refusal(key, at: clock.now) == nil && !service.isSealed)
    #expect(service.auditTrouble != nil)
    store.fail(false)
    service.retryAudit()
    #expect(service.auditTrouble == nil)
    _ = try await service.seal(reason: "drill")
    store.fail(true)
    await #expect(throws: Fault(.storage, "")) { try await service.reopen(secret: file.span) }
    #expect(sink.refusal(key, at: clock.now) == .sealed && service.isSealed)
    store.fail(false)
    try await service.reopen(secret: file.span)
    #expect(sink.refusal(key, at: clock.now) == nil)
    #expect(try service.auditLog().entries(limit: 3).map(\.act) == ["vault.unseal", "vault.seal", "key.create"])
  }
}
