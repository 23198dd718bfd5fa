public import Primitives
import Providers
public import Storage

/// Counts of what went through since the process started, made from the record: the request path counts nothing.
///
/// What a count is of comes from small sets only (providers that there are, endpoint classes, outcomes, refusal codes), so that nobody
/// who sends requests can make it grow.
public struct TrafficMeter: Sendable {
  public struct Requests: Hashable, Sendable {
    public let provider: String
    public let endpoint: String
    public let outcome: String
    /// Hundreds of the status: 2 for 2xx.
    public let status: Int
  }

  /// How often a time was at most so long, and all of it together.
  public struct Histogram: Sendable {
    /// Upper bounds in seconds.
    public static let bounds = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
    /// Of each bound, those above the bound before it; the last are those above all.
    public private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
    public private(set) var seconds = 0.0
    /// Of each bound, the last request that was in a trace.
    public private(set) var exemplars = [Exemplar?](repeating: nil, count: bounds.count + 1)

    public struct Exemplar: Sendable {
      public let trace: TraceContext
      public let seconds: Double
      public let at: Timestamp
    }

    public init() {}

    mutating func count(microseconds: Int, _ record: ActivityRecord) {
      let value = Double(microseconds) / 1e6
      let place = Self.bounds.firstIndex { value <= $0 } ?? Self.bounds.count
      counts[place] += 1
      seconds += value
      if let trace = record.trace { exemplars[place] = Exemplar(trace: trace, seconds: value, at: record.start) }
    }

    mutating func add(_ other: Histogram) {
      seconds += other.seconds
      for i in counts.indices {
        counts[i] += other.counts[i]
        if let exemplar = other.exemplars[i] { exemplars[i] = exemplar }
      }
    }
  }

  /// What a provider's requests came to.
  public struct Use: Sendable {
    public var tokens: [String: TokenCount] = [:]
    public var cost: NanoDollars = 0
    public var bytesIn: ByteCount = 0
    public var bytesOut: ByteCount = 0
    public var durations = Histogram()
    public var firstBytes = Histogram()
  }

  public private(set) var requests: [Requests: Int] = [:]
  public private(set) var refusals: [String: Int] = [:]
  public private(set) var uses: [String: Use] = [:]

  /// Stands for what names no provider that there is.
  public static let unknown = "unknown"

  public init() {}

  /// Adds a segment; `isKnown` says whether there is a provider of that name.
  ///
  /// Requests are counted by numbers first, and what they are is written as texts once for all of a kind: there are many, of few kinds.
  public mutating func count(_ segment: ActivitySegment, isKnown: (String) -> Bool) {
    let bytes = segment.records
    var tallies: [Tally] = []
    var last = 0
    ActivityEncoding.forEach(in: bytes) { record, provider, _, code in
      if last >= tallies.count || tallies[last].name != bytes[provider] {
        last = tallies.firstIndex { $0.name == bytes[provider] } ?? tallies.count
        if last == tallies.count { tallies.append(Tally(name: bytes[provider])) }
      }
      tallies[last].count(record)
      // Refusal codes are constants of ours.
      if record.outcome == .refused, !code.isEmpty { refusals[String(decoding: bytes[code], as: UTF8.self), default: 0] += 1 }
    }
    for tally in tallies {
      let text = String(decoding: tally.name, as: UTF8.self)
      add(tally, of: isKnown(text) ? text : Self.unknown)
    }
  }

  /// Counts of one provider's requests in one segment.
  private struct Tally {
    struct Kind: Hashable {
      let endpoint: UInt8
      let outcome: UInt8
      let status: UInt16
    }

    let name: ArraySlice<UInt8>
    var kinds: [(kind: Kind, count: Int)] = []
    var tokens = InlineArray<5, TokenCount>(repeating: 0)
    /// Which of them anybody has told, a bit each.
    var told: UInt8 = 0
    var use = Use()

    init(name: ArraySlice<UInt8>) { self.name = name }

    mutating func count(_ record: ActivityRecord) {
      let kind = Kind(
        endpoint: record.endpoint.map { $0.rawValue + 1 } ?? 0, outcome: record.outcome.rawValue, status: record.status / 100)
      if let i = kinds.firstIndex(where: { $0.kind == kind }) { kinds[i].count += 1 } else { kinds.append((kind, 1)) }
      use.bytesIn += ByteCount(clamping: record.bytesIn)
      use.bytesOut += ByteCount(clamping: record.bytesOut)
      // Only what a provider was asked says anything of how long it takes.
      guard record.upstreamStatus != 0 else { return }
      use.durations.count(microseconds: record.durationMicroseconds, record)
      use.firstBytes.count(microseconds: record.firstByteMicroseconds, record)
      note(0, record.usage.input)
      note(1, record.usage.output)
      note(2, record.usage.cacheRead)
      note(3, record.usage.cacheWrite)
      note(4, record.usage.reasoning)
      use.cost += record.cost ?? 0
    }

    private mutating func note(_ place: Int, _ count: TokenCount?) {
      guard let count else { return }
      tokens[place] += count
      told |= 1 << UInt8(place)
    }
  }

  private static let tokenKinds = ["input", "output", "cache_read", "cache_write", "reasoning"]

  private mutating func add(_ tally: Tally, of provider: String) {
    for (kind, count) in tally.kinds {
      let endpoint = kind.endpoint == 0 ? nil : EndpointClass(rawValue: kind.endpoint - 1)
      let request = Requests(
        provider: provider, endpoint: endpoint.map { "\($0.name)" } ?? Self.unknown,
        outcome: Outcome(rawValue: kind.outcome)?.name ?? Self.unknown, status: Int(kind.status))
      requests[request, default: 0] += count
    }
    var use = uses.removeValue(forKey: provider) ?? Use()
    use.bytesIn += tally.use.bytesIn
    use.bytesOut += tally.use.bytesOut
    use.cost += tally.use.cost
    use.durations.add(tally.use.durations)
    use.firstBytes.add(tally.use.firstBytes)
    for (place, kind) in Self.tokenKinds.enumerated() where tally.told >> UInt8(place) & 1 == 1 {
      use.tokens[kind, default: 0] += tally.tokens[place]
    }
    uses[provider] = use
  }
}
