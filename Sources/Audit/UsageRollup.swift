public import Primitives
import Providers
public import Storage

/// Sums of requests by minute, hour and day, made from segments as they are kept.
public struct UsageRollup: Sendable {
  private var sums: [UsageRow.Place: UsageRow.Sums] = [:]
  /// The last segment that is in it.
  public private(set) var upTo: Int64
  public var isEmpty: Bool { sums.isEmpty }

  /// Whether it is of minutes only, of each key on its own: what is never kept, since it would be as much as the requests are.
  private let isByKeyAndMinute: Bool

  public init(upTo: Int64) { (self.upTo, isByKeyAndMinute) = (upTo, false) }

  /// Of minutes and keys, for whoever asks for them.
  public init() { (upTo, isByKeyAndMinute) = (0, true) }

  private struct Kind: Hashable {
    let minute: Int64
    let key: RecordID?
    /// Index of provider and model among the segment's.
    let name: Int
    let endpoint: UInt8
    let outcome: UInt8
    let status: Int
  }

  private static let namesLookedAt = 32

  /// Adds a segment. Its requests are summed up before anything is looked up by text: most are of few kinds.
  public mutating func take(_ segment: ActivitySegment) {
    guard segment.number > upTo else { return }
    upTo = segment.number
    let bytes = segment.records
    var names: [(provider: ArraySlice<UInt8>, model: ArraySlice<UInt8>)] = []
    var places: [Kind: Int] = [:]
    var kinds: [(kind: Kind, sums: UsageRow.Sums)] = []
    // The one of the request before, which is mostly that of the next.
    var last = -1
    var lastName = 0
    ActivityEncoding.forEach(in: bytes) { record, provider, model, _ in
      let model = record.upstreamStatus == 0 ? model.lowerBound..<model.lowerBound : model
      if lastName >= names.count || names[lastName].provider != bytes[provider] || names[lastName].model != bytes[model] {
        // Of many names, only the latest are looked at: what is then counted apart comes together below.
        let known = names.suffix(Self.namesLookedAt)
        lastName = known.firstIndex { $0.provider == bytes[provider] && $0.model == bytes[model] } ?? names.count
        if lastName == names.count { names.append((bytes[provider], bytes[model])) }
      }
      let kind = Kind(
        minute: record.start.milliseconds.floorDivided(by: 60_000) * 60_000, key: record.key, name: lastName,
        endpoint: record.endpoint.map { $0.rawValue + 1 } ?? 0, outcome: record.outcome.rawValue, status: Int(record.status) / 100
      )
      if last < 0 || kinds[last].kind != kind {
        last = places[kind] ?? kinds.count
        if last == kinds.count {
          places[kind] = last
          kinds.append((kind, UsageRow.Sums()))
        }
      }
      kinds[last].sums.add(record)
    }
    for (kind, sum) in kinds {
      let (provider, model) = names[kind.name]
      var place = UsageRow.Place(
        span: .minute, start: kind.minute, key: nil, provider: String(decoding: provider, as: UTF8.self),
        model: String(decoding: model, as: UTF8.self), endpoint: kind.endpoint, outcome: kind.outcome, status: kind.status)
      if isByKeyAndMinute { place.key = kind.key }
      sums[place, default: UsageRow.Sums()] += sum
      guard !isByKeyAndMinute else { continue }
      place.key = kind.key
      for span in [UsageRow.Span.hour, .day] {
        place.span = span
        place.start = kind.minute.floorDivided(by: span.milliseconds) * span.milliseconds
        sums[place, default: UsageRow.Sums()] += sum
      }
    }
  }

  /// What has gathered, which is none of it from now on.
  public mutating func drain() -> [UsageRow] {
    defer { sums = [:] }
    return sums.map { UsageRow($0.key, $0.value) }
  }
}

extension UsageRow.Sums {
  fileprivate mutating func add(_ record: ActivityRecord) {
    requests += 1
    bytesIn += ByteCount(clamping: record.bytesIn)
    bytesOut += ByteCount(clamping: record.bytesOut)
    input += record.usage.input ?? 0
    output += record.usage.output ?? 0
    cacheRead += record.usage.cacheRead ?? 0
    cacheWrite += record.usage.cacheWrite ?? 0
    cost += record.cost ?? 0
    microseconds += Microseconds(clamping: record.durationMicroseconds)
  }
}

/// A question about the sums.
public struct UsageQuery: Sendable {
  public enum Member: String, Sendable, CaseIterable { case time, key, provider, model, endpoint, outcome }
  public var span = UsageRow.Span.hour
  /// Beginnings of spans, [from, to).
  public var from = Timestamp(milliseconds: 0)
  public var to = Timestamp.distantFuture
  /// What a line of the answer is of.
  public var by: Set<Member> = [.time]
  public var key: RecordID?
  /// Only of these; nil: of all.
  public var keys: Set<RecordID>?
  public var provider: String?
  public var model: String?
  public init() {}

  public struct Line: Sendable {
    public var place: UsageRow.Place
    public var sums = UsageRow.Sums()
    /// Those of `sums.requests` that the gateway refused, and those that ended badly.
    public var refused: Count = 0
    public var failed: Count = 0
  }

  /// Whether no sums are kept that answer it, and the requests themselves have to be summed up.
  public var needsRequests: Bool { span == .minute && (key != nil || keys != nil || by.contains(.key)) }

  /// Lines in the order of their beginnings, within that the largest first. Throws `.invalidInput` where there are more than `limit`.
  public func run(_ store: any UsageStore, limit: Int) throws(Fault) -> [Line] {
    var tally = Tally(self, limit: limit)
    try store.forEachUsage(span, from: from.milliseconds, to: to.milliseconds) { row in
      tally.add(row)
      return !tally.isFull
    }
    return try tally.lines()
  }

  /// Puts rows together to what was asked for.
  public struct Tally: Sendable {
    private let query: UsageQuery
    private let limit: Int
    private var sums: [UsageRow.Place: Line] = [:]
    /// Whether there are more lines than may be.
    public var isFull: Bool { sums.count > limit }

    public init(_ query: UsageQuery, limit: Int) { (self.query, self.limit) = (query, limit) }

    public mutating func add(_ row: UsageRow) {
      guard query.matches(row.place) else { return }
      var place = row.place
      if !query.by.contains(.time) { place.start = 0 }
      if !query.by.contains(.key) { place.key = nil }
      if !query.by.contains(.provider) { place.provider = "" }
      if !query.by.contains(.model) { place.model = "" }
      if !query.by.contains(.endpoint) { place.endpoint = 0 }
      if !query.by.contains(.outcome) { place.outcome = 0 }
      place.status = 0
      var line = sums[place] ?? Line(place: place)
      line.sums += row.sums
      if row.place.outcome == Outcome.refused.rawValue {
        line.refused += row.sums.requests
      } else if row.place.status >= 5
        || (row.place.outcome != Outcome.completed.rawValue && row.place.outcome != Outcome.clientGone.rawValue)
      {
        line.failed += row.sums.requests
      }
      sums[place] = line
    }

    /// As `run` says.
    public func lines() throws(Fault) -> [Line] {
      guard !isFull else {
        throw Fault(
          .invalidInput, "the answer has more than \(limit) lines", hint: "ask for less time, or group by fewer members")
      }
      return sums.values.sorted {
        ($0.place.start, $1.sums.requests, $0.place.key ?? Self.noKey, $0.place.model)
          < ($1.place.start, $0.sums.requests, $1.place.key ?? Self.noKey, $1.place.model)
      }
    }

    private static let noKey = RecordID(high: 0, low: 0)
  }

  private func matches(_ place: UsageRow.Place) -> Bool {
    place.start >= from.milliseconds && place.start < to.milliseconds && (key == nil || place.key == key)
      && (keys == nil || place.key.map { keys!.contains($0) } ?? false)
      && (provider == nil || place.provider == provider) && (model == nil || place.model == model)
  }
}
