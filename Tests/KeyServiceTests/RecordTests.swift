import Audit
import Domain
import KeyService
import PolicyEngine
import Primitives
import Storage
import Synchronization
import TestSupport
import Testing

struct RecordTests: AtBench {
  /// Counts how often others were let go on.
  private final class Turns: Alone {
    let count = Mutex(0)
    func pause(milliseconds: Int) async throws(Fault) { count.withLock { $0 += 1 } }
    func taken() -> Int {
      count.withLock { n in
        defer { n = 0 }
        return n
      }
    }
  }

  private let turns = Turns()
  let bench: Bench

  init() throws { bench = try Bench(seed: 14, outside: turns) }

  private func record(_ count: Int, of key: RecordID? = nil) throws {
    var batch = ActivityBatch()
    for _ in 0..<count {
      var record = ActivityRecord(start: clock.now)
      (record.key, record.outcome, record.status) = (key, key == nil ? .refused : .completed, key == nil ? 401 : 200)
      batch.append(record, provider: Array("openai".utf8).span, model: Array("gpt-4o-mini".utf8).span, code: "")
    }
    if let segment = batch.take() { try service.keep(segment) }
    clock.advance(seconds: 1)
  }

  @Test("whoever asks a long record lets others go on, piece by piece, and gets the same answer") func pieces() async throws {
    let key = try await service.createKey(name: "n", grant: Grant(policy: Policy(providers: ["openai"])), expiresAt: nil).key.id
    try record(3, of: key)
    for _ in 0..<8 { try record(10_000) }
    _ = turns.taken()
    var query = ActivityQuery()
    query.key = key
    #expect(try await service.activity(query).count == 3)
    #expect(turns.taken() >= 2)
    #expect(try await service.advise(on: key, days: 1).requests == 3)
    #expect(turns.taken() >= 4)
    _ = try await service.replay([:], from: Timestamp(milliseconds: 0))
    #expect(turns.taken() >= 2)
    // The latest of them lie at its end.
    query = ActivityQuery()
    query.limit = 5
    #expect(try await service.activity(query).count == 5)
    #expect(turns.taken() <= 1)
  }

  @Test("the record of acts is gone through in pieces, both ways, and nothing is missed at their borders") func acts()
    async throws
  {
    for n in 0..<4100 { try service.noteRefusal("event.probe", "key/\(n % 1000 == 0 ? "some" : "other")", [:]) }
    _ = turns.taken()
    let all = try service.auditLog().entries()
    let some = all.filter { $0.subject == "key/some" }
    let filter = AuditFilter(subject: "key/some")
    #expect(try await service.auditEntries(filter).map(\.number) == some.map(\.number) && some.count == 5)
    #expect(turns.taken() == 2)
    #expect(try await service.auditEntries(filter, after: 0, limit: 4).map(\.number) == some.reversed().prefix(4).map(\.number))
    #expect(try await service.auditEntries(filter, after: 0, limit: 0).isEmpty)
    #expect(try await service.auditEntries(filter, limit: 2).map(\.number) == some.prefix(2).map(\.number))
    #expect(try await service.auditEntries(AuditFilter()).map(\.number) == all.map(\.number))
    #expect(try await service.auditEntries(AuditFilter(), after: 0, limit: 5000).map(\.number) == all.reversed().map(\.number))
  }

  @Test("how far the record was judged is kept where no key's profile changes, too: a start does not judge it all again")
  func judged() throws {
    for _ in 0..<120 { try record(1) }
    try service.watch()
    for _ in 0..<120 { try record(1) }
    try service.keepProfiles()
    #expect(try store.profiles().upTo == 240)
  }
}
