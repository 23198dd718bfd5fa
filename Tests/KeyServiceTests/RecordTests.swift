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
    /// What others do meanwhile.
    let meanwhile = Mutex<(@Sendable () -> Void)?>(nil)
    func pause(milliseconds: Int) async throws(Fault) {
      count.withLock { $0 += 1 }
      meanwhile.withLock { $0 }?()
    }
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

  /// Segments of a record each, one every two seconds, and all that is made of them.
  private func recordSlowly(_ count: Int) async throws -> RecordID {
    let key = try await service.createKey(name: "n", grant: Grant(policy: Policy(providers: ["openai"])), expiresAt: nil).key.id
    for n in 0..<count {
      try record(1, of: n % 100 == 0 ? key : nil)
      clock.advance(seconds: 1)
    }
    try service.watch()
    try service.keepProfiles()
    try service.keepUsage()
    return key
  }

  private func merge() throws {
    var before: [Int64]
    repeat {
      before = try store.segmentHeads(after: 0, upTo: .max, limit: .max).map(\.number)
      for _ in 0..<10 { try service.mergeActivity() }
    } while try store.segmentHeads(after: 0, upTo: .max, limit: .max).map(\.number) != before
  }

  private func texts(_ entries: [ActivityEntry]) -> [String] {
    entries.map { "\($0.record.start.milliseconds) \($0.record.key?.description ?? "") \($0.record.status) \($0.model)" }
  }

  @Test("small segments come together in time, and every record is found as before, once") func merging() async throws {
    let key = try await recordSlowly(5400)  // three hours
    var query = ActivityQuery()
    query.limit = 1000
    var (before, pages): ([String], [String]) = ([], [])
    let middle = Timestamp(milliseconds: clock.now.milliseconds - 2 * 3_600_000)
    for after in [false, true] {
      var all: [String] = []
      (query.from, query.to, query.after) = (middle, Timestamp(milliseconds: middle.milliseconds + 600_000), nil)
      all += texts(try await service.activity(query))
      (query.from, query.to) = (Timestamp(milliseconds: 0), .distantFuture)
      while true {
        let page = try await service.activity(query)
        all += texts(page)
        guard page.count == query.limit else { break }
        query.after = page.last?.place
      }
      if after { pages = all } else { before = all }
      let bytes = try store.segmentBytes()
      try merge()
      #expect(try store.segmentBytes() == bytes)
    }
    #expect(pages == before && pages.count == 5400 + 301)
    let heads = try store.segmentHeads(after: 0, upTo: .max, limit: .max)
    let young = heads.filter { $0.last.milliseconds >= clock.now.milliseconds - 3_600_000 }
    // Of two hours no more than is left over; the last hour as it was.
    #expect(young.count >= 1800 && heads.count - young.count < 520)
    #expect(try await service.advise(on: key, days: 1).requests == 54)
    // What is kept from here on goes on after all of it.
    try record(1)
    #expect(try store.segmentHeads(after: 0, upTo: .max, limit: .max).last?.number == 5401)
  }

  @Test("nothing comes together while somebody goes through it, and so nothing is missed") func searching() async throws {
    _ = try await recordSlowly(7300)
    let count = try store.segmentHeads(after: 0, upTo: .max, limit: .max).count
    turns.meanwhile.withLock { $0 = { [service] in for _ in 0..<20 { try? service.mergeActivity() } } }
    var query = ActivityQuery()
    query.limit = 1000
    query.outcome = .completed
    let found = try await service.activity(query)
    #expect(turns.taken() > 0)
    #expect(try store.segmentHeads(after: 0, upTo: .max, limit: .max).count == count)
    try merge()
    #expect(try store.segmentHeads(after: 0, upTo: .max, limit: .max).count < count)
    #expect(try texts(await service.activity(query)) == texts(found) && !found.isEmpty)
  }

  @Test("a damaged segment stays on its own and takes nothing else along") func damaged() async throws {
    _ = try await recordSlowly(3600)
    let moment = try #require(try store.segmentHeads(after: 699, upTo: 700, limit: 1).first).last
    try store.replaceSegments(
      700...700, with: ActivitySegment(number: 700, first: moment, last: moment, count: 1, records: [1, 2, 3]))
    try merge()
    var query = ActivityQuery()
    var count = 0
    query.limit = 1000
    while true {
      let page = try await service.activity(query)
      count += page.count
      guard page.count == query.limit else { break }
      query.after = page.last?.place
    }
    #expect(count == 3599)
    #expect(try store.segmentHeads(after: 699, upTo: 700, limit: 1).map(\.bytes) == [3])
  }

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
    func count() throws -> Int { try store.segmentHeads(after: 0, upTo: .max, limit: .max).count }
    for _ in 0..<120 { try record(1) }
    try service.watch()
    clock.advance(seconds: 7200)
    for _ in 0..<120 { try record(1) }
    clock.advance(seconds: 7200)
    try service.keepUsage()
    // What was not judged and summed up for good has to be found by its number after a crash.
    try merge()
    #expect(try count() == 240)
    try service.keepProfiles()
    #expect(try store.profiles().upTo == 240)
    // Of the last hour more could still come.
    try merge()
    #expect(try count() == 121)
  }
}
