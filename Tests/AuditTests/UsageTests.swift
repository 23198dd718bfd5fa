import Audit
import Primitives
import Providers
import Storage
import TestSupport
import Testing

struct UsageTests {
  private let store = MemoryStore()
  private let midnight: Int64 = 1_800_057_600_000

  /// Requests of two keys over three hours, one in four refused; and what a plain sum of them is.
  private func segments() -> [ActivitySegment] {
    let random = SeededRandomness(seed: 5)
    var segments: [ActivitySegment] = []
    for n in 0..<30 {
      var batch = ActivityBatch()
      for i in 0..<20 {
        let r = random.next()
        var record = ActivityRecord(start: Timestamp(milliseconds: midnight - 5_400_000 + Int64(n) * 360_000 + Int64(i)))
        record.key = RecordID(r % 2 == 0 ? "AAAAAAAAAAAA" : "BBBBBBBBBBBB")
        (record.outcome, record.status, record.endpoint) = (.completed, 200, .chat)
        record.upstreamStatus = 200
        if r % 4 == 0 { (record.outcome, record.status, record.upstreamStatus) = (.refused, 403, 0) }
        record.usage = Usage(input: TokenCount(clamping: r % 100), output: 7)
        record.cost = NanoDollars(Int64(r % 1000))
        record.durationMicroseconds = 1000
        batch.append(record, provider: Array("p\(r % 3)".utf8).span, model: Array("m\(r % 5)".utf8).span, code: "")
      }
      var segment = batch.take()!
      segment.number = Int64(n + 1)
      segments.append(segment)
    }
    return segments
  }

  private func kept(_ segments: [ActivitySegment]) throws {
    var rollup = UsageRollup(upTo: try store.usageUpTo() ?? 0)
    for segment in segments { rollup.take(segment) }
    try store.add(rollup.drain(), upTo: rollup.upTo)
  }

  private func total(_ query: UsageQuery) throws -> (Int64, Int64, Int64) {
    let lines = try query.run(store, limit: 1000)
    return (
      lines.map(\.sums.requests).sum().count, lines.map(\.sums.cost).sum().count,
      lines.map(\.sums.input).sum().count
    )
  }

  @Test("minutes of keys, summed up from requests, are those of all keys when they are put together, and of each what it did")
  func minutesByKey() throws {
    let segments = segments()
    try kept(segments)
    var query = UsageQuery()
    query.span = .minute
    (query.from, query.to) = (Timestamp(milliseconds: midnight - 3_600_000), Timestamp(milliseconds: midnight + 600_000))
    func summedUp(_ query: UsageQuery) throws -> [UsageQuery.Line] {
      var (rollup, tally) = (UsageRollup(), UsageQuery.Tally(query, limit: 1000))
      for segment in segments {
        rollup.take(segment)
        for row in rollup.drain() { tally.add(row) }
      }
      return try tally.lines()
    }
    let together = try query.run(store, limit: 1000).map {
      [$0.place.start, $0.sums.requests.count, $0.refused.count, $0.sums.cost.count]
    }
    #expect(
      try summedUp(query).map { [$0.place.start, $0.sums.requests.count, $0.refused.count, $0.sums.cost.count] } == together)
    #expect(!together.isEmpty && !query.needsRequests)
    query.by = [.time, .key]
    #expect(query.needsRequests)
    for key in ["AAAAAAAAAAAA", "BBBBBBBBBBBB"] {
      var wanted: [Int64: Int64] = [:]
      for segment in segments {
        ActivityEncoding.forEach(in: segment.records) { record, _, _, _ in
          let minute = record.start.milliseconds / 60_000 * 60_000
          guard record.key == RecordID(key), minute >= query.from.milliseconds, minute < query.to.milliseconds else { return }
          wanted[minute, default: 0] += 1
        }
      }
      query.key = RecordID(key)
      let lines = try summedUp(query)
      #expect(Dictionary(uniqueKeysWithValues: lines.map { ($0.place.start, $0.sums.requests.count) }) == wanted)
    }
  }

  @Test("minutes, hours and days each sum up to what the requests do") func sums() throws {
    let segments = segments()
    try kept(segments)
    var (cost, input): (Int64, Int64) = (0, 0)
    for segment in segments {
      ActivityEncoding.forEach(in: segment.records) { record, _, _, _ in
        cost += record.cost?.count ?? 0
        input += record.usage.input?.count ?? 0
      }
    }
    for span in UsageRow.Span.allCases {
      var query = UsageQuery()
      query.span = span
      #expect(try total(query) == (600, cost, input), "\(span)")
    }
    var query = UsageQuery()
    query.span = .day
    #expect(try query.run(store, limit: 9).map(\.place.start) == [midnight - 86_400_000, midnight])
    query.span = .hour
    #expect(try query.run(store, limit: 9).map(\.place.start) == [-7_200_000, -3_600_000, 0, 3_600_000].map { midnight + $0 })
  }

  @Test("segments that were summed up are not summed up again") func twice() throws {
    let segments = segments()
    try kept(Array(segments[..<20]))
    try kept(segments)
    try kept(segments)
    #expect(try total(UsageQuery()).0 == 600)
  }

  @Test("sums are grouped and narrowed; models of requests that nobody was asked with are not told apart") func grouping() throws
  {
    try kept(segments())
    var query = UsageQuery()
    query.by = [.key]
    #expect(try query.run(store, limit: 9).compactMap(\.place.key?.description).sorted() == ["AAAAAAAAAAAA", "BBBBBBBBBBBB"])
    query.by = [.model]
    let lines = try query.run(store, limit: 9)
    #expect(lines.map(\.place.model).sorted() == ["", "m0", "m1", "m2", "m3", "m4"])
    let unasked = try #require(lines.first { $0.place.model.isEmpty })
    #expect(unasked.refused == unasked.sums.requests && unasked.failed == 0)
    #expect(lines.filter { !$0.place.model.isEmpty }.allSatisfy { $0.refused == 0 })
    query.by = []
    query.key = RecordID("AAAAAAAAAAAA")
    let ofA = try query.run(store, limit: 1)[0].sums.requests
    query.key = nil
    query.keys = [RecordID("BBBBBBBBBBBB")!]
    #expect(try query.run(store, limit: 1)[0].sums.requests == 600 - ofA)
    (query.keys, query.by) = (nil, [.time, .key, .model])
    #expect(throws: Fault(.invalidInput, "")) { _ = try query.run(store, limit: 3) }
  }
}
