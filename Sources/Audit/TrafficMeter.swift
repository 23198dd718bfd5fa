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
  }

  /// What a provider's requests came to.
  public struct Use: Sendable {
    public var tokens: [String: Int64] = [:]
    public var nanoDollars: Int64 = 0
    public var bytesIn = 0
    public var bytesOut = 0
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
  public mutating func count(_ segment: ActivitySegment, isKnown: (String) -> Bool) {
    let bytes = segment.records
    // A segment has requests of few providers: a name is made a text and looked up once.
    var names: [[UInt8]: String] = [:]
    ActivityEncoding.forEach(in: bytes) { record, provider, _, code in
      let raw = Array(bytes[provider])
      let name: String
      if let known = names[raw] {
        name = known
      } else {
        let text = String(decoding: raw, as: UTF8.self)
        name = isKnown(text) ? text : Self.unknown
        names[raw] = name
      }
      requests[
        Requests(
          provider: name, endpoint: record.endpoint.map { "\($0.name)" } ?? Self.unknown, outcome: record.outcome.name,
          status: Int(record.status) / 100), default: 0] += 1
      // Refusal codes are constants of ours.
      if record.outcome == .refused, !code.isEmpty { refusals[String(decoding: bytes[code], as: UTF8.self), default: 0] += 1 }
      count(record, of: name)
    }
  }

  private mutating func count(_ record: ActivityRecord, of provider: String) {
    var use = uses.removeValue(forKey: provider) ?? Use()
    defer { uses[provider] = use }
    use.bytesIn += record.bytesIn
    use.bytesOut += record.bytesOut
    // Only what a provider was asked says anything of how long it takes.
    guard record.upstreamStatus != 0 else { return }
    use.durations.count(microseconds: record.durationMicroseconds, record)
    use.firstBytes.count(microseconds: record.firstByteMicroseconds, record)
    for (kind, count) in [
      ("input", record.usage.input), ("output", record.usage.output), ("cache_read", record.usage.cacheRead),
      ("cache_write", record.usage.cacheWrite), ("reasoning", record.usage.reasoning),
    ] {
      if let count { use.tokens[kind, default: 0] += count }
    }
    use.nanoDollars += record.cost?.count ?? 0
  }
}
