public import Primitives

// The roll-ups of activity, and the end of what they are made of.
extension SQLiteStore {
  public func add(_ rows: [UsageRow], upTo: Int64) throws(Fault) {
    try database.transaction { () throws(Fault) in
      for row in rows {
        let (place, sums) = (row.place, row.sums)
        try database.run(
          """
          INSERT INTO usage(span, start_ms, key_id, provider, model, endpoint, outcome, status, requests, bytes_in, bytes_out, input,
            output, cache_read, cache_write, nano_dollars, microseconds)
          VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
          ON CONFLICT(span, start_ms, key_id, provider, model, endpoint, outcome, status) DO UPDATE SET
            requests = min(requests, 9223372036854775807 - ?9) + ?9,
            bytes_in = min(bytes_in, 9223372036854775807 - ?10) + ?10,
            bytes_out = min(bytes_out, 9223372036854775807 - ?11) + ?11,
            input = min(input, 9223372036854775807 - ?12) + ?12,
            output = min(output, 9223372036854775807 - ?13) + ?13,
            cache_read = min(cache_read, 9223372036854775807 - ?14) + ?14,
            cache_write = min(cache_write, 9223372036854775807 - ?15) + ?15,
            nano_dollars = min(nano_dollars, 9223372036854775807 - ?16) + ?16,
            microseconds = min(microseconds, 9223372036854775807 - ?17) + ?17
          """,
          [
            .integer(Int64(place.span.rawValue)), .integer(place.start), .text(place.key?.description ?? ""),
            .text(place.provider),
            .text(place.model), .integer(Int64(place.endpoint)), .integer(Int64(place.outcome)), .integer(Int64(place.status)),
            // Sums are never negative: what is added to them stops at the largest number.
            .integer(sums.requests.count), .integer(sums.bytesIn.count), .integer(sums.bytesOut.count),
            .integer(sums.input.count), .integer(sums.output.count), .integer(sums.cacheRead.count),
            .integer(sums.cacheWrite.count), .integer(max(sums.cost, 0).count), .integer(sums.microseconds.count),
          ])
      }
      try database.run(
        "INSERT INTO usage_state(one, up_to) VALUES(1, ?1) ON CONFLICT(one) DO UPDATE SET up_to = ?1", [.integer(upTo)])
    }
  }

  public func usageUpTo() throws(Fault) -> Int64? {
    var found: Int64?
    try database.query("SELECT up_to FROM usage_state") { r in
      found = r[0].integer
      return false
    }
    return found
  }

  public func forEachUsage(_ span: UsageRow.Span, from: Int64, to: Int64, _ body: (UsageRow) -> Bool) throws(Fault) {
    try database.query(
      """
      SELECT start_ms, key_id, provider, model, endpoint, outcome, status, requests, bytes_in, bytes_out, input, output, cache_read,
        cache_write, nano_dollars, microseconds
      FROM usage WHERE span = ?1 AND start_ms >= ?2 AND start_ms < ?3 ORDER BY start_ms
      """, [.integer(Int64(span.rawValue)), .integer(from), .integer(to)]
    ) { r in
      let place = UsageRow.Place(
        span: span, start: r[0].integer ?? 0, key: r[1].text.flatMap { RecordID($0) }, provider: r[2].text ?? "",
        model: r[3].text ?? "", endpoint: UInt8(clamping: r[4].integer ?? 0), outcome: UInt8(clamping: r[5].integer ?? 0),
        status: Int(r[6].integer ?? 0))
      var sums = UsageRow.Sums()
      func number(_ column: Int) -> Int64 { r[column].integer ?? 0 }
      (sums.requests, sums.bytesIn, sums.bytesOut) = (Count(number(7)), ByteCount(number(8)), ByteCount(number(9)))
      (sums.input, sums.output) = (TokenCount(number(10)), TokenCount(number(11)))
      (sums.cacheRead, sums.cacheWrite) = (TokenCount(number(12)), TokenCount(number(13)))
      (sums.cost, sums.microseconds) = (NanoDollars(number(14)), Microseconds(number(15)))
      return body(UsageRow(place, sums))
    }
  }

  public func deleteUsage(_ span: UsageRow.Span, before start: Int64) throws(Fault) {
    try database.run(
      "DELETE FROM usage WHERE span = ?1 AND start_ms < ?2", [.integer(Int64(span.rawValue)), .integer(start)])
  }

  public func deleteSegments(before moment: Timestamp, limit: Int) throws(Fault) -> Int {
    try erase(
      "SELECT number, length(records) FROM activity WHERE last_ms < ?1 ORDER BY last_ms LIMIT ?2",
      [.integer(moment.milliseconds), .integer(Int64(limit))], bytes: .max)
  }

  public func segmentHeads(after number: Int64, upTo last: Int64, limit: Int) throws(Fault) -> [SegmentHead] {
    var heads: [SegmentHead] = []
    try database.query(
      "SELECT number, last_ms, length(records) FROM activity WHERE number > ?1 AND number <= ?2 ORDER BY number LIMIT ?3",
      [.integer(number), .integer(last), .integer(Int64(limit))]
    ) { r in
      heads.append(
        SegmentHead(
          number: r[0].integer ?? 0, last: Timestamp(milliseconds: r[1].integer ?? 0), bytes: Int(r[2].integer ?? 0)))
      return true
    }
    return heads
  }

  public func replaceSegments(_ numbers: ClosedRange<Int64>, with segment: ActivitySegment) throws(Fault) {
    try database.transaction { () throws(Fault) in
      try database.run(
        "DELETE FROM activity WHERE number BETWEEN ?1 AND ?2", [.integer(numbers.lowerBound), .integer(numbers.upperBound)])
      try database.run(
        "INSERT INTO activity(number, first_ms, last_ms, count, records) VALUES(?1, ?2, ?3, ?4, ?5)",
        [
          .integer(segment.number), .integer(segment.first.milliseconds), .integer(segment.last.milliseconds),
          .integer(Int64(segment.count)), .blob(segment.records),
        ])
    }
  }

  public func segmentBytes() throws(Fault) -> Int64 {
    var sum: Int64 = 0
    try database.query("SELECT bytes FROM activity_size") { r in
      sum = r[0].integer ?? 0
      return false
    }
    return sum
  }

  public func deleteOldestSegments(bytes: Int64, limit: Int) throws(Fault) -> Int {
    try erase("SELECT number, length(records) FROM activity ORDER BY number LIMIT ?1", [.integer(Int64(limit))], bytes: bytes)
  }

  private func erase(_ query: StaticString, _ values: [SQLValue], bytes: Int64) throws(Fault) -> Int {
    var numbers: [Int64] = []
    var sum: Int64 = 0
    try database.query(query, values) { r in
      guard sum < bytes else { return false }
      numbers.append(r[0].integer ?? 0)
      sum += r[1].integer ?? 0
      return true
    }
    try database.transaction { () throws(Fault) in
      for number in numbers { try database.run("DELETE FROM activity WHERE number = ?1", [.integer(number)]) }
    }
    return numbers.count
  }
}
