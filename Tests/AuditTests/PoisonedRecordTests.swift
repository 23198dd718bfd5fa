import Audit
import Domain
import FoundationEssentials
import PolicyEngine
import Primitives
import Providers
import Storage
import TestSupport
import Testing

/// Records as somebody could have put them into the store: whatever the numbers, what reads them back goes on.
struct PoisonedRecordTests {
  static let extremes: [UInt64] = [
    0, 1, 2, 127, 128, 1 << 31, 1 << 32, 1 << 40, (1 << 40) + 1, (1 << 40) + 2, 1 << 48, (1 << 48) + 1, 1 << 53, 1 << 62,
    UInt64(Int64.max) - 1, UInt64(Int64.max), 1 << 63, (1 << 63) + 1, .max - 1, .max,
  ]
  /// Numeric places of a record: start, status, upstream status, two sizes, two durations, ten counts, three versions.
  static let places = 20

  private func varint(_ value: UInt64) -> [UInt8] {
    var (rest, out): (UInt64, [UInt8]) = (value, [])
    while rest >= 0x80 {
      out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return out + [UInt8(rest)]
  }

  /// A record in the format of version 5, with `value` at numeric place `place` and small numbers elsewhere; nil: small everywhere.
  private func record(_ place: Int?, _ value: UInt64 = 0) -> [UInt8] {
    var next = 0
    func number(_ usual: UInt64) -> [UInt8] {
      defer { next += 1 }
      return varint(next == place ? value : usual)
    }
    let key = RecordID("AAAAAAAAAAAA")!
    var out: [UInt8] = [5] + number(1_800_000_000_000) + [1] + key.bytes
    out += [1, Outcome.completed.rawValue, 0] + number(200) + number(200)
    for _ in 0..<4 { out += number(1000) }
    for _ in 0..<10 { out += number(8) }
    out += number(1) + [0] + [1] + key.bytes + number(1) + [0] + [0]
    for text in ["openai", "gpt-4o", ""] { out += [UInt8(text.utf8.count)] + Array(text.utf8) }
    return out
  }

  private func segment(_ records: [[UInt8]], number: Int64 = 1) -> ActivitySegment {
    ActivitySegment(
      number: number, first: Timestamp(milliseconds: 0), last: .distantFuture, count: records.count,
      records: records.flatMap(\.self))
  }

  /// All that goes through records, with what they sum up to.
  private func readAll(_ segments: [ActivitySegment]) throws -> (sums: UsageRow.Sums, damage: ActivityEncoding.Damage) {
    let store = MemoryStore()
    var (rollup, minutes, traffic) = (UsageRollup(upTo: 0), UsageRollup(), TrafficMeter())
    var engine = TriggerEngine(Trigger.shipped)
    let facts = { (_: RecordID) in
      KeyFacts(team: nil, tags: [], createdAt: Timestamp(milliseconds: 1_700_000_000_000), isInUse: true)
    }
    var policy = Policy(providers: [Policy.any])
    policy.limits = Limits([Limit(.tokens, per: .minute): 1000, Limit(.tokens, per: .day): 10_000], concurrent: 3)
    let past = try #require(PastLimits([policy], since: Timestamp(milliseconds: 1_800_000_000_000)))
    var damage = ActivityEncoding.Damage()
    for segment in segments {
      rollup.take(segment)
      minutes.take(segment)
      traffic.count(segment) { _ in true }
      damage += ActivityEncoding.forEach(in: segment.records) { record, _, _, _ in
        _ = past.refusal(
          PastLimits.Request(
            start: record.start, microseconds: Microseconds(clamping: record.durationMicroseconds),
            inputTokens: record.usage.allInput, outputTokens: record.usage.output ?? 0, model: []))
      }
      for entry in ActivityEncoding.decode(segment.records, of: segment.number) {
        _ = engine.take(entry, facts)
        _ = OpenTelemetry.encoded(OpenTelemetry.span(entry, kind: "openai", id: 1, trace: (1, 2)))
        #expect(ActivityPlace(entry.place.text) == entry.place)
        var buffer = ByteBuffer(capacity: 64)
        ActivityEncoding.append(
          entry.record, provider: entry.provider.utf8.span, model: entry.model.utf8.span, code: "", to: &buffer)
        let again = ActivityEncoding.decode(buffer.copy())
        #expect(again.count == 1 && again[0].record.usage == entry.record.usage && again[0].record.cost == entry.record.cost)
      }
    }
    _ = OpenTelemetry.encoded(
      OpenTelemetry.metrics(traffic, kinds: [:], from: Timestamp(milliseconds: 0), to: .distantFuture, version: "0"))
    // Twice, so that sums are added to sums.
    for upTo in 1...2 { try store.add(rollup.drain() + minutes.drain(), upTo: Int64(upTo)) }
    var query = UsageQuery()
    (query.span, query.by) = (.day, [])
    return (try query.run(store, limit: 10).first?.sums ?? UsageRow.Sums(), damage)
  }

  @Test("a record with any number at any place is read, summed up and judged, and what cannot be true is left out and counted")
  func everyPlace() throws {
    var cases = 0
    for place in 0..<Self.places {
      for value in Self.extremes {
        let (sums, damage) = try readAll([segment([record(nil), record(place, value), record(nil)])])
        #expect(damage.cutShort == 0 && sums.requests == 3, "\(place) \(value)")
        // The two whole ones are in the sums, whatever the third says.
        #expect(sums.input >= 14 && sums.output >= 14 && sums.cost >= 14, "\(place) \(value): \(sums)")
        if (7...16).contains(place), value > (1 << 50) + 1 { #expect(damage.doubtful == 1, "\(place) \(value)") }
        cases += 1
      }
    }
    print("poisoned records: \(Self.places) numeric places, \(cases) cases")
  }

  @Test("sums of many records stop at the largest number") func manyRecords() throws {
    // The dearest that a request can be, as often as would not fit.
    let most = record(14, UInt64(NanoDollars.toldRange.upperBound) + 1)
    let segments = (0..<12).map { segment([[UInt8]](repeating: most, count: 1000), number: Int64($0 + 1)) }
    let (sums, damage) = try readAll(segments)
    #expect(sums.requests == 12_000 && damage.isNone && sums.cost == .max)
  }

  @Test("bytes of any kind in place of records end the reading of their segment, and nothing else") func noise() throws {
    let random = SeededRandomness(seed: 21)
    for _ in 0..<3000 {
      var bytes = record(nil) + record(nil)
      for _ in 0...(random.next() % 4) {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      if random.next() % 3 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
      let damaged = ActivitySegment(number: 1, first: Timestamp(milliseconds: 0), last: .distantFuture, count: 2, records: bytes)
      let (sums, _) = try readAll([damaged, segment([record(nil)], number: 2)])
      #expect(sums.requests >= 1)
    }
  }

  @Test("a profile that was stored with numbers that cannot be is put within bounds, and goes on") func profiles() throws {
    let key = RecordID("AAAAAAAAAAAA")!
    for value in [Int64.min, .min + 1, -1, 0, .max - 1, .max] {
      let json = """
        {"firstAt":\(value),"lastAt":\(value),"requests":\(value),"versions":[{"version":1,"requests":\(value),"lastAt":\(value),
        "hosts":[]}],"places":[],"models":[],"hours":[1,2,3],"refusedMinute":\(value),"refusedInMinute":\(value),
        "spend":{"hour":\(min(value, 0)),"sum":\(value),"mean":\(value),"count":\(value)},
        "tokens":{"hour":\(min(value, 0)),"sum":\(value),"mean":\(value),"count":\(value)},
        "spoken":{"spend_spike":\(value)},"isChanged":false}
        """
      let profile = try JSONDecoder().decode(KeyProfile.self, from: Data(json.utf8))
      profile.bound()
      var engine = TriggerEngine(Trigger.shipped, profiles: [key: profile])
      let facts = { (_: RecordID) in KeyFacts(team: nil, tags: [], createdAt: Timestamp(milliseconds: 0), isInUse: true) }
      for entry in ActivityEncoding.decode(record(nil) + record(7, 1 << 40) + record(14, 1 << 49)) {
        _ = engine.take(entry, facts)
      }
      _ = engine.advance(to: Timestamp(milliseconds: 1_900_000_000_000), keys: [key], facts)
      _ = engine.advance(to: Timestamp(milliseconds: 1_900_200_000_000), keys: [key], facts)
      #expect(profile.requests >= 3 && profile.firstAt >= Timestamp(milliseconds: .min).milliseconds)
    }
  }
}
