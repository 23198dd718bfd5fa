import Audit
import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import Storage
import TestSupport
import Testing
import Vault

struct RotationTests: AtBench {
  let bench: Bench

  init() throws { bench = try Bench(seed: 11) }

  private func create(_ tags: [String] = [], team: String? = nil, isDecoy: Bool = false) async throws -> (RecordID, [UInt8]) {
    let created = try await service.createKey(
      name: "n", grant: Grant(policy: Policy(providers: ["openai"]), team: team), expiresAt: nil, prefix: "mk", tags: tags,
      isDecoy: isDecoy)
    return (created.key.id, [UInt8](copying: created.secret.text.span))
  }

  private func rotate(_ id: RecordID, grace: Int64 = 3600, _ request: String? = nil) async throws -> [UInt8] {
    let rotated = try await service.rotateKey(id, grace: grace, requestID: request)
    return [UInt8](copying: rotated.secret.text.span)
  }

  private func acts() throws -> [String] { try service.auditLog().entries(limit: 1000).map { "\($0.act) \($0.subject)" } }

  @Test("a rotated key keeps its ID, and its old secret works to the end of the grace period and not a millisecond longer")
  func grace() async throws {
    let (id, old) = try await create()
    let new = try await rotate(id)
    #expect(new != old)
    #expect(MaskedKeyFormat.keyID(of: new.span) == id)
    for text in [old, new] { #expect(sink.refusal(text, at: clock.now) == nil) }
    let end = clock.now + 3600
    #expect(sink.refusal(old, at: Timestamp(milliseconds: end.milliseconds - 1)) == nil)
    #expect(sink.refusal(old, at: end) == .retiredVersion)
    #expect(sink.refusal(new, at: end) == nil)
  }

  @Test("a grace period of nothing ends the old secret at once") func noGrace() async throws {
    let (id, old) = try await create()
    let new = try await rotate(id, grace: 0)
    #expect(sink.refusal(old, at: clock.now) == .retiredVersion)
    #expect(sink.refusal(new, at: clock.now) == nil)
  }

  @Test("versions survive a restart, each with its own end") func restart() async throws {
    let (id, first) = try await create()
    let second = try await rotate(id, grace: 7200)
    let third = try await rotate(id, grace: 3600)
    let again = try self.again()
    await again.publish()
    for text in [first, second, third] { #expect(sink.refusal(text, at: clock.now) == nil) }
    #expect(sink.refusal(second, at: clock.now + 3600) == .retiredVersion)
    #expect(sink.refusal(first, at: clock.now + 3600) == nil)
    #expect(try again.key(id).details.version == 3)
  }

  @Test("the last eight old secrets are recognised, one before them is unknown") func remembered() async throws {
    let (id, first) = try await create()
    var texts = [first]
    for _ in 0..<9 { texts.append(try await rotate(id, grace: 0)) }
    #expect(sink.refusal(texts[0], at: clock.now) == .unknownKey)
    for text in texts[1...8] { #expect(sink.refusal(text, at: clock.now) == .retiredVersion) }
    #expect(sink.refusal(texts[9], at: clock.now) == nil)
  }

  @Test("a rotation repeated with its request ID rotates once and gives the same secret, for an hour") func idempotent()
    async throws
  {
    let (id, _) = try await create()
    let first = try await rotate(id, "deploy-42")
    let again = try await rotate(id, "deploy-42")
    #expect(first == again)
    #expect(try service.key(id).details.version == 2)
    let other = try await rotate(id, "deploy-43")
    #expect(other != first)
    clock.advance(seconds: 3600)
    await #expect(throws: Fault(.conflict, "")) { _ = try await rotate(id, "deploy-43") }
    #expect(try service.key(id).details.version == 3)
    #expect(sink.refusal(other, at: clock.now) == nil)
  }

  @Test("an earlier secret can be ended before its time, the present one cannot") func retire() async throws {
    let (id, old) = try await create()
    let new = try await rotate(id)
    await #expect(throws: Fault(.conflict, "")) { _ = try await service.retireVersion(id, 2) }
    await #expect(throws: Fault(.notFound, "")) { _ = try await service.retireVersion(id, 9) }
    _ = try await service.retireVersion(id, 1)
    #expect(sink.refusal(old, at: clock.now) == .retiredVersion)
    #expect(sink.refusal(new, at: clock.now) == nil)
  }

  @Test("a rotation that cannot be written down does not happen") func durable() async throws {
    let (id, old) = try await create()
    store.fail(true)
    await #expect(throws: Fault(.storage, "")) { _ = try await rotate(id, grace: 0) }
    #expect(sink.refusal(old, at: clock.now) == nil)
    #expect(try service.key(id).details.version == 1)
  }

  @Test("a revoked key cannot be rotated back to life, and a grace period has bounds") func refused() async throws {
    let (id, _) = try await create()
    for grace: Int64 in [-1, KeyService.graceMax + 1] {
      await #expect(throws: Fault(.invalidInput, "")) { _ = try await rotate(id, grace: grace) }
    }
    _ = try await service.changeKey(id, .revoke)
    await #expect(throws: Fault(.conflict, "")) { _ = try await rotate(id) }
  }

  @Test("a destroyed key's secrets are not even recognised, its line stays, and only a revoked key is destroyed") func destroy()
    async throws
  {
    let (id, old) = try await create()
    let new = try await rotate(id)
    await #expect(throws: Fault(.conflict, "")) { _ = try await service.changeKey(id, .destroy) }
    _ = try await service.changeKey(id, .revoke)
    #expect(sink.refusal(new, at: clock.now) == .revokedKey)
    _ = try await service.changeKey(id, .destroy)
    for text in [old, new] { #expect(sink.refusal(text, at: clock.now) == .unknownKey) }
    #expect(try service.key(id).state == .destroyed)
    #expect(try store.maskedKeys().first?.hash == [UInt8](repeating: 0, count: 32))
    for change in [MaskedKey.Change.enable, .disable, .revoke] {
      await #expect(throws: Fault(.conflict, "")) { _ = try await service.changeKey(id, change) }
    }
  }

  @Test("a decoy opens nothing, and does not say that it is one") func decoy() async throws {
    let (_, text) = try await create(isDecoy: true)
    #expect(sink.refusal(text, at: clock.now) == .decoyKey)
  }

  @Test("details that were edited in the store make the key unusable") func edited() async throws {
    let (id, old) = try await create()
    _ = try await rotate(id, grace: 0)
    store.editKeys { rows in
      var text = String(decoding: rows[0].details, as: UTF8.self)
      text.replace("\"validUntil\":", with: "\"validUntil\":9")
      rows[0].details = Array(text.utf8)
    }
    let again = try self.again()
    await again.publish()
    #expect(again.tamperedKeys == [id])
    #expect(sink.refusal(old, at: clock.now) == .unknownKey)
  }

  @Test("an older copy of the store brings no ended key back, and says so") func olderStore() async throws {
    let (revoked, revokedText) = try await create()
    let (rotated, oldText) = try await create()
    let (graced, gracedText) = try await create()
    let (untouched, untouchedText) = try await create()
    let backup = store.keyRows()
    _ = try await service.changeKey(revoked, .revoke)
    _ = try await rotate(rotated, grace: 0)
    _ = try await rotate(graced, grace: 3600)
    store.editKeys { $0 = backup }
    let again = try self.again()
    await again.publish()
    #expect(Set(again.restoredKeys) == [revoked, rotated])
    #expect(sink.refusal(revokedText, at: clock.now) == .revokedKey && sink.refusal(oldText, at: clock.now) == .disabledKey)
    #expect(sink.refusal(gracedText, at: clock.now) == nil && sink.refusal(untouchedText, at: clock.now) == nil)
    #expect(try again.auditLog().entries(AuditFilter(act: "event.older_store")).count == 2)
    // It is kept: the next start finds nothing amiss. What has ended by time meanwhile is found then.
    clock.advance(seconds: 3600)
    let third = try self.again()
    #expect(third.restoredKeys == [graced])
    #expect(try third.key(untouched).state == .active)
  }

  @Test("a line of endings that was made or changed outside ends nobody") func forgedEnding() async throws {
    let (id, text) = try await create()
    let other = try Vault.initialize(MemoryStore(), method: .keyFile, secret: file.span)
    try store.append(endings: ["", "1 \(id) 0 5", other.ending(of: id, version: 0, at: clock.now)])
    let again = try self.again()
    await again.publish()
    #expect(again.restoredKeys == [] && sink.refusal(text, at: clock.now) == nil)
  }

  // MARK: revocation

  @Test("keys are revoked by key, team, tag and moment of issue, together and all at once") func selections() async throws {
    try await service.setTeam("red", Policy(providers: ["openai"]))
    let (a, aText) = try await create(["batch"], team: "red")
    let (b, bText) = try await create(["batch"])
    clock.advance(seconds: 10)
    let moment = clock.now
    let (c, cText) = try await create([], team: "red")
    func rehearse(_ set: (inout Selection) -> Void) async throws -> [RecordID] {
      var selection = Selection()
      set(&selection)
      return try await service.revoke(selection, reason: "test", isRehearsal: true).revoked
    }
    #expect(try await rehearse { $0.keys = [b] } == [b])
    #expect(try await rehearse { $0.team = "red" } == [a, c])
    #expect(try await rehearse { $0.tag = "batch" } == [a, b])
    #expect(try await rehearse { $0.issuedBefore = moment } == [a, b])
    #expect(try await rehearse { ($0.team, $0.tag) = ("red", "batch") } == [a])
    #expect(try await rehearse { $0.everything = true } == [a, b, c])
    // A rehearsal does nothing.
    for text in [aText, bText, cText] { #expect(sink.refusal(text, at: clock.now) == nil) }
    var selection = Selection()
    selection.tag = "batch"
    let receipt = try await service.revoke(selection, reason: "leaked in a log")
    #expect(receipt.revoked == [a, b] && receipt.acknowledged == 2)
    for text in [aText, bText] { #expect(sink.refusal(text, at: clock.now) == .revokedKey) }
    #expect(sink.refusal(cText, at: clock.now) == nil)
    let second = try await service.revoke(selection, reason: "again")
    #expect(second.revoked.isEmpty && second.before == [a, b])
    #expect(try acts().prefix(2) == ["revoke key/\(b)", "revoke key/\(a)"])
  }

  @Test("by moment of issue, a key that was rotated since then stays, and its secrets from before go") func issuedBefore()
    async throws
  {
    let (id, old) = try await create()
    clock.advance(seconds: 10)
    let new = try await rotate(id, grace: 7200)
    var selection = Selection()
    selection.issuedBefore = clock.now
    let receipt = try await service.revoke(selection, reason: "breach")
    #expect(receipt.revoked.isEmpty)
    #expect(receipt.retired.map(\.version) == [1])
    #expect(sink.refusal(old, at: clock.now) == .retiredVersion)
    #expect(sink.refusal(new, at: clock.now) == nil)
    #expect(try service.key(id).state == .active)
  }

  @Test("what says nothing, contradicts itself or names what is not there revokes nothing") func badSelections() async throws {
    let (id, text) = try await create()
    var nothing = Selection()
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await service.revoke(nothing, reason: "r") }
    (nothing.everything, nothing.tag) = (true, "x")
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await service.revoke(nothing, reason: "r") }
    var versioned = Selection()
    versioned.version = 1
    versioned.tag = "x"
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await service.revoke(versioned, reason: "r") }
    (versioned.tag, versioned.keys) = (nil, [id])
    await #expect(throws: Fault(.conflict, "")) { _ = try await service.revoke(versioned, reason: "r") }
    var stranger = Selection()
    stranger.keys = [RecordID("ZZZZZZZZZZZZ")!]
    await #expect(throws: Fault(.notFound, "")) { _ = try await service.revoke(stranger, reason: "r") }
    stranger = Selection()
    stranger.team = "nobody"
    await #expect(throws: Fault(.notFound, "")) { _ = try await service.revoke(stranger, reason: "r") }
    stranger = Selection()
    stranger.keys = [id]
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await service.revoke(stranger, reason: "") }
    #expect(sink.refusal(text, at: clock.now) == nil)
  }

  @Test("every act on a key is in the audit before it is done") func audited() async throws {
    let (id, _) = try await create()
    _ = try await rotate(id)
    _ = try await service.retireVersion(id, 1)
    _ = try await service.retagKey(id, ["a"])
    _ = try await service.throttleKey(id, 5, reason: "slow down")
    for change in [MaskedKey.Change.disable, .enable, .revoke, .destroy] { _ = try await service.changeKey(id, change) }
    let names = try service.auditLog().entries(AuditFilter(subject: "key/\(id)")).map(\.act).reversed()
    #expect(
      Array(names) == [
        "key.create", "key.rotate", "key.retire_version", "key.tag", "key.throttle", "key.disable", "key.enable", "key.revoke",
        "key.destroy",
      ])
    #expect(try service.auditLog().entries(AuditFilter(act: "key"), limit: 3).count == 3)
  }
}
