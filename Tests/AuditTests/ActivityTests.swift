import Audit
import Primitives
import Providers
import Storage
import TestSupport
import Testing

struct ActivityTests {
  /// All that is found, in pieces that are as small as they can be.
  private func run(_ query: ActivityQuery, _ store: MemoryStore) throws -> [ActivityEntry] {
    var search = ActivitySearch(query)
    while !search.isOver { try search.step(store, bytes: 1, segments: 1) }
    return search.found
  }

  private func record(_ n: Int) -> ActivityRecord {
    var r = ActivityRecord(start: Timestamp(milliseconds: 1_800_000_000_000 + Int64(n)))
    r.key = n % 3 == 0 ? nil : RecordID(n % 2 == 0 ? "AAAAAAAAAAAA" : "BBBBBBBBBBBB")
    r.endpoint = n % 5 == 0 ? nil : .chat
    r.outcome = Outcome.allCases[n % Outcome.allCases.count]
    (r.status, r.upstreamStatus, r.isStream) = (UInt16(200 + n % 400), UInt16(n % 600), n % 2 == 1)
    (r.bytesIn, r.bytesOut) = (n * 1000, n * 100_000)
    (r.durationMicroseconds, r.firstByteMicroseconds) = (n * 77, n * 7)
    r.usage = Usage(
      input: n % 4 == 0 ? nil : TokenCount(clamping: n), output: 0, cacheRead: TokenCount(1 << 40), cacheWrite: nil, reasoning: 1)
    return r
  }

  private func batch(_ range: Range<Int>) -> ActivitySegment? {
    var batch = ActivityBatch()
    for n in range {
      batch.append(
        record(n), provider: Array("openai".utf8).span, model: Array("gpt-\(n)".utf8).span, code: n % 2 == 0 ? "" : "revoked_key")
    }
    return batch.take()
  }

  @Test("what is recorded is read back, field by field") func roundTrip() throws {
    let entries = ActivityEncoding.decode(try #require(batch(0..<300)).records)
    #expect(entries.count == 300)
    for (n, entry) in entries.enumerated() {
      let r = record(n)
      #expect(
        entry.record.start == r.start && entry.record.key == r.key && entry.record.endpoint == r.endpoint
          && entry.record.outcome == r.outcome)
      #expect(
        entry.record.status == r.status && entry.record.upstreamStatus == r.upstreamStatus && entry.record.isStream == r.isStream)
      #expect(entry.record.bytesIn == r.bytesIn && entry.record.bytesOut == r.bytesOut && entry.record.usage == r.usage)
      #expect(
        entry.record.durationMicroseconds == r.durationMicroseconds
          && entry.record.firstByteMicroseconds == r.firstByteMicroseconds)
      #expect(entry.provider == "openai" && entry.model == "gpt-\(n)" && entry.code == (n % 2 == 0 ? "" : "revoked_key"))
    }
  }

  @Test("a damaged segment loses what follows the damage and never crashes the reader") func damaged() throws {
    let segment = try #require(batch(0..<5))
    let random = SeededRandomness(seed: 8)
    for n in segment.records.indices { #expect(ActivityEncoding.decode(Array(segment.records[..<n])).count <= 5) }
    for _ in 0..<2000 {
      var bytes = segment.records
      bytes[Int(random.next() % UInt64(bytes.count))] ^= UInt8(truncatingIfNeeded: random.next() | 1)
      _ = ActivityEncoding.decode(bytes)
    }
  }

  @Test("texts are cut to their room") func longTexts() throws {
    var batch = ActivityBatch()
    batch.append(record(1), provider: Array("p".utf8).span, model: [UInt8](repeating: 109, count: 1000).span, code: "")
    let segment = batch.take()
    let entries = ActivityEncoding.decode(try #require(segment).records)
    #expect(entries.first?.model.utf8.count == 128)
  }

  @Test("the newest come first across segments that overlap, filtered and limited") func query() throws {
    let store = MemoryStore()
    var even = ActivityBatch()
    var odd = ActivityBatch()
    for n in 0..<100 {
      let r = record(n)
      if n % 2 == 0 {
        even.append(r, provider: Array("openai".utf8).span, model: Span(), code: "")
      } else {
        odd.append(r, provider: Array("anthropic".utf8).span, model: Span(), code: "")
      }
    }
    let segments = [even.take(), odd.take()]
    for segment in segments { _ = try store.append(try #require(segment)) }
    var query = ActivityQuery()
    query.limit = 10
    #expect(
      try run(query, store).map { $0.record.start.milliseconds - 1_800_000_000_000 }
        == Array((90..<100).reversed()).map(Int64.init))
    query.provider = "openai"
    #expect(
      try run(query, store).map { $0.record.start.milliseconds % 1000 } == Array(stride(from: 98, to: 78, by: -2)).map(Int64.init)
    )
    query.key = RecordID("AAAAAAAAAAAA")
    query.limit = 1000
    #expect(try run(query, store).allSatisfy { $0.record.key == query.key })
    query = ActivityQuery()
    query.from = Timestamp(milliseconds: 1_800_000_000_010)
    query.to = Timestamp(milliseconds: 1_800_000_000_019)
    #expect(try run(query, store).count == 10)
  }

  @Test("a search finds what looking at each record finds, page by page, and stops where nothing newer can come") func search()
    throws
  {
    let store = MemoryStore()
    var r = SeededRandomness(seed: 3)
    var all: [ActivityEntry] = []
    for number in 1...60 {
      var batch = ActivityBatch()
      for _ in 0..<Int.random(in: 1..<9, using: &r) {
        // As segments of several loops do, they overlap; some requests took long.
        let n = 200 + number * 3 + Int.random(in: -20...0, using: &r) - (Int.random(in: 0..<30, using: &r) == 0 ? 150 : 0)
        batch.append(
          record(n), provider: Array(["openai", "anthropic"].randomElement(using: &r)!.utf8).span,
          model: Array(["a", "b", ""].randomElement(using: &r)!.utf8).span, code: Bool.random(using: &r) ? "" : "revoked_key")
      }
      let segment = batch.take()
      let kept = try store.append(try #require(segment))
      all += ActivityEncoding.decode(try #require(segment).records, of: kept)
    }
    all.sort { $0.place > $1.place }
    for _ in 0..<60 {
      var query = ActivityQuery()
      query.limit = Int.random(in: 1..<60, using: &r)
      if Bool.random(using: &r) { query.provider = "openai" }
      if Bool.random(using: &r) { query.model = ["a", ""].randomElement(using: &r) }
      if Int.random(in: 0..<3, using: &r) == 0 { query.code = "revoked_key" }
      if Int.random(in: 0..<3, using: &r) == 0 { query.outcome = Outcome.allCases.randomElement(using: &r) }
      if Int.random(in: 0..<3, using: &r) == 0 {
        query.from = Timestamp(milliseconds: 1_800_000_000_200 + Int64.random(in: 0..<200, using: &r))
      }
      if Int.random(in: 0..<3, using: &r) == 0 {
        query.to = Timestamp(milliseconds: 1_800_000_000_200 + Int64.random(in: 0..<200, using: &r))
      }
      let wanted = all.filter { entry in
        (query.provider == nil || entry.provider == query.provider) && (query.model == nil || entry.model == query.model)
          && (query.code == nil || entry.code == query.code) && (query.outcome == nil || entry.record.outcome == query.outcome)
          && entry.record.start >= query.from && entry.record.start <= query.to
      }
      var pages: [ActivityEntry] = []
      while true {
        var search = ActivitySearch(query)
        let (bytes, segments) = (Int.random(in: 1..<2000, using: &r), Int.random(in: 1..<50, using: &r))
        while !search.isOver { try search.step(store, bytes: bytes, segments: segments) }
        pages += search.found
        guard search.found.count == query.limit else { break }
        query.after = search.found.last?.place
      }
      #expect(pages.map(\.place.text) == wanted.map(\.place.text))
    }
    // The newest few of many are in the newest segments.
    var (query, steps) = (ActivityQuery(), 0)
    query.limit = 5
    var search = ActivitySearch(query)
    while !search.isOver {
      try search.step(store, segments: 1)
      steps += 1
    }
    #expect(steps < 30)
  }

  @Test("of one millisecond the newest request comes first") func ties() throws {
    let store = MemoryStore()
    var batch = ActivityBatch()
    for model in ["first", "second", "third"] {
      batch.append(record(1), provider: Array("openai".utf8).span, model: Array(model.utf8).span, code: "")
    }
    let segment = batch.take()
    _ = try store.append(try #require(segment))
    #expect(try run(ActivityQuery(), store).map(\.model) == ["third", "second", "first"])
  }

  @Test("a batch is bounded and counts what it lost") func bounded() {
    var batch = ActivityBatch()
    var n = 0
    while batch.lost == 0 {
      batch.append(record(1), provider: Array("openai".utf8).span, model: [UInt8](repeating: 109, count: 128).span, code: "")
      n += 1
    }
    let (bytes, count) = (batch.buffer.count, batch.count)
    #expect(bytes < ActivityBatch.bytesMax + 1024 && count == n - 1)
  }
}
