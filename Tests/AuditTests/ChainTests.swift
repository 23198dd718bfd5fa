import Audit
import Cryptography
import Domain
import Primitives
import Storage
import TestSupport
import Testing

/// Keeps keys as they are: what seals them is tested with the vault.
private struct OpenSealer: AuditSealer {
  func seal(_ key: borrowing SecretBytes) throws(Fault) -> [UInt8] { [UInt8](copying: key.span) }
  func open(_ sealed: [UInt8]) throws(Fault) -> SecretBytes { SecretBytes(copying: sealed.span) }
}

struct ChainTests {
  private let store = MemoryStore()
  private var log: AuditLog { AuditLog(store, OpenSealer()) }

  /// Acts over some hours, so that the key is replaced several times.
  private func write(_ count: Int) throws {
    for n in 0..<count {
      let now = Timestamp(milliseconds: 1_800_000_000_000 + Int64(n) * 700_000)
      try log.append(
        n % 4 == 0 ? "key.create" : "event.leaked", n % 5 == 0 ? ["key/a", "key/b"] : ["key/\(n)"],
        n % 3 == 0 ? [:] : ["reason": "said \"no\"\n\u{1}\u{e9} \(n)", "b": ""], by: .named("token/ann"), at: now)
    }
  }

  private func lines() throws -> [[UInt8]] {
    let piece = try log.exported(after: 0, limit: 10_000, at: Timestamp(milliseconds: 1_900_000_000_000))
    #expect(piece.next == nil)
    return piece.lines.split(separator: 10).map(Array.init)
  }

  private func firstKey() throws -> [UInt8] { try #require(try log.keys()).firstPublicKey }

  private func verify(_ lines: [[UInt8]], _ checkpoints: [Checkpoint] = []) throws -> Int64 {
    var verifier = ExportVerifier(publicKey: try firstKey(), checkpoints: checkpoints)
    for line in lines { try verifier.take(line) }
    return try verifier.finish()
  }

  private func whereItBreaks(_ lines: [[UInt8]], _ checkpoints: [Checkpoint] = []) -> Int64? {
    do {
      _ = try verify(lines, checkpoints)
      return nil
    } catch { return (error as? ChainBreak)?.number }
  }

  @Test("an export verifies with the first public key alone, over all keys that followed it") func wholeChain() throws {
    try write(40)
    let all = try lines()
    #expect(try verify(all) == Int64(all.count - 2))
    #expect(try #require(try log.keys()).epoch > 5)
    // In pieces it is the same.
    var pieces: [UInt8] = []
    var after: Int64? = 0
    while let from = after {
      let piece = try log.exported(after: from, limit: 7, at: Timestamp(milliseconds: 1_900_000_000_000))
      pieces += piece.lines
      after = piece.next
    }
    #expect(pieces.split(separator: 10).map(Array.init) == all)
    var verifier = ExportVerifier(publicKey: [UInt8](repeating: 7, count: 32))
    #expect(throws: ChainBreak.self) { try verifier.take(all[0]) }
  }

  @Test("100,000 random tamperings are found, and the first bad entry is named") func tamperings() throws {
    try write(60)
    let all = try lines()
    let random = SeededRandomness(seed: 71)
    func below(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }
    // What precedes the first changed line is verified once: a verifier is a value.
    var before = [ExportVerifier(publicKey: try firstKey())]
    for line in all {
      var next = before.last!
      try next.take(line)
      before.append(next)
    }
    func firstBad(_ changed: [[UInt8]], from start: Int) -> Int64? {
      var verifier = before[start]
      do {
        for line in changed[start...] { try verifier.take(line) }
        _ = try verifier.finish()
        return nil
      } catch { return error.number }
    }
    var missed = 0
    var misnamed = 0
    for n in 0..<100_000 {
      let i = 1 + below(all.count - 2)
      var changed = all
      switch n % 6 {
      case 0:
        // One byte is another.
        changed[i][below(changed[i].count)] ^= UInt8(1 + below(255))
      case 1: changed.remove(at: i)
      case 2:
        let j = 1 + below(all.count - 2)
        guard i != j else { continue }
        changed.swapAt(min(i, j), max(i, j))
      case 3: changed.insert(all[1 + below(all.count - 2)], at: i)
      case 4: changed = Array(changed[..<i])
      default:
        // Some bytes go.
        let at = below(changed[i].count)
        changed[i].removeSubrange(at..<min(changed[i].count, at + 1 + below(20)))
      }
      // The line that is another first: line i holds entry i.
      let first = zip(changed, all).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(changed.count, all.count)
      guard first < all.count else { continue }
      guard let bad = firstBad(changed, from: first) else {
        missed += 1
        continue
      }
      if bad != Int64(first) { misnamed += 1 }
    }
    #expect(missed == 0)
    #expect(misnamed == 0)
  }

  @Test("who rewrites an entry and everything behind it without the key is found at the entry") func rewriting() throws {
    try write(12)
    let keys = try #require(try log.keys())
    let id = try #require(keys.id)
    store.editAudit { rows in rows[4].actor = "somebody else" }
    var verifier = try ChainVerifier(log: id, publicKey: keys.firstPublicKey)
    #expect(throws: ChainBreak(number: 5, reason: "its hash is not the one of what it says")) {
      _ = try log.verify(&verifier, limit: 100)
    }
    #expect(verifier.number == 4)
  }

  @Test("whoever takes the present key cannot rewrite what an earlier key has signed") func keyThatWasTaken() throws {
    try write(30)
    let all = try lines()
    let keys = try #require(try log.keys())
    #expect(keys.publicKey != keys.firstPublicKey)
    // With the stolen key, a whole new past under the same log: its first entry is not signed by the first key.
    let other = MemoryStore()
    try other.setBlobs([("audit", try #require(try store.blob("audit")))])
    let thief = AuditLog(other, OpenSealer())
    try thief.append("key.create", ["key/forged"], [:], by: .administrator, at: Timestamp(milliseconds: 1_800_000_000_000))
    var forged = try thief.exported(after: 0, limit: 10, at: Timestamp(milliseconds: 0)).lines.split(separator: 10).map(
      Array.init)
    forged[0] = all[0]
    #expect(whereItBreaks(forged) == 1)
  }

  @Test("a checkpoint in a second place shows that entries behind it are gone, or were others") func checkpoints() throws {
    try write(10)
    let checkpoint = try #require(try log.checkpoint())
    let line = AuditExport.line(checkpoint)
    #expect(AuditExport.checkpoint(line) == checkpoint)
    #expect(AuditExport.checkpoint(line + [32]) == nil && AuditExport.checkpoint(Array(line.dropLast())) == nil)
    #expect(whereItBreaks(try lines(), [checkpoint]) == nil)
    let last = checkpoint.number
    // The store goes back: entries are gone, and the log is signed anew, with its own key.
    store.editAudit { $0.removeLast(2) }
    #expect(whereItBreaks(try lines()) == nil)
    #expect(whereItBreaks(try lines(), [checkpoint]) == last - 1)
    for n in 0..<4 {
      try log.append("key.create", ["key/\(n)"], [:], by: .administrator, at: Timestamp(milliseconds: 1_800_008_000_000))
    }
    #expect(whereItBreaks(try lines(), [checkpoint]) == last)
  }

  @Test("where it cannot be written, it says so and keeps nothing") func fullDisk() throws {
    try write(3)
    store.fail(true)
    #expect(throws: Fault(.storage, "the disk is full")) {
      try log.append("key.create", ["key/x"], [:], by: .administrator, at: Timestamp(milliseconds: 1_800_000_000_000))
    }
    store.fail(false)
    #expect(whereItBreaks(try lines()) == nil)
  }

  @Test("entries of before there were chains become its first ones") func earlierEntries() throws {
    for n in 1...3 {
      try store.append([
        AuditRow(
          number: Int64(n * 2), at: Timestamp(milliseconds: 5), actor: "administrator", act: "key.create", subject: "key/\(n)",
          details: Array("{}".utf8), hash: [], signature: [])
      ])
    }
    try log.append("key.revoke", ["key/1"], [:], by: .administrator, at: Timestamp(milliseconds: 9))
    #expect(try log.entries(after: 0, limit: 9).map(\.subject) == ["key/1", "key/2", "key/3", "key/1"])
    #expect(whereItBreaks(try lines()) == nil)
  }
}
