public import Domain
public import Primitives

/// What the limits of one key or team would have said of requests that were: by the same windows as the gateway's, in the time of the
/// record.
///
/// Tokens count as what requests came to. The gateway holds what they can come to at most until they end, so of many at the same time it
/// may refuse more. Belongs to one thread.
public final class PastLimits {
  /// A request as far as limits ask.
  public struct Request: Sendable {
    public let start: Timestamp
    public let microseconds: Microseconds
    public let inputTokens: TokenCount
    public let outputTokens: TokenCount
    /// Empty where none was named.
    public let model: [UInt8]

    public init(start: Timestamp, microseconds: Microseconds, inputTokens: TokenCount, outputTokens: TokenCount, model: [UInt8]) {
      (self.start, self.microseconds, self.model) = (start, microseconds, model)
      (self.inputTokens, self.outputTokens) = (inputTokens, outputTokens)
    }
  }

  private let counters: [Counter]
  private let epoch: Int64
  private var now: Int64 = 0
  /// Milliseconds that the record goes on for at most, eight years: what the windows' ticks have room for.
  private static let longest: Int64 = 8 * 366 * 86_400_000

  /// nil where `policies` together limit nothing. No request began before `epoch`.
  public init?(_ policies: [Policy], since epoch: Timestamp) {
    let limits = policies.map(\.limits).reduce(Limits()) { $0.tightened(by: $1) }
    counters =
      (limits.isEmpty ? [] : [Counter(limits, models: nil)])
      + policies.flatMap(\.modelLimits).map { Counter($0.limits, models: $0.models.map { Array($0.utf8) }) }
    guard !counters.isEmpty else { return nil }
    self.epoch = epoch.milliseconds
  }

  /// Counts a request, unless a limit refuses it. They come in the order in which they began; one that comes too late began just now.
  public func refusal(_ request: Request) -> Refusal? {
    now = min(max(now, request.start.milliseconds - epoch), Self.longest)
    for counter in counters where counter.counts(request.model) {
      if let refusal = counter.take(request, now: now) { return refusal }
    }
    return nil
  }

  private final class Counter {
    private let models: [[UInt8]]?
    private let pace: Pace?
    private var days: [DayCount]
    private let limitsConcurrent: Bool
    /// When those in flight end, in microseconds, ascending.
    private var ends: [Int64] = []
    private var holds: [Pace.Hold] = []
    /// A day: no request takes longer.
    private static let longestRequest = Microseconds(86_400_000_000)

    init(_ limits: Limits, models: [[UInt8]]?) {
      self.models = models
      pace = Pace(limits)
      limitsConcurrent = limits.concurrent != nil
      days = limits.counts.filter { $0.key.window.isDurable }.map {
        DayCount(unit: $0.key.unit, limit: TokenCount(clamping: $0.value), $0.key.window)
      }
    }

    func counts(_ model: [UInt8]) -> Bool { models.map { ModelGlob.any(of: $0, match: model.span) } ?? true }

    func take(_ request: Request, now: Int64) -> Refusal? {
      if let pace, let refusal = take(request, pace, now: now) { return refusal }
      for i in days.indices where !days[i].fits(request, now: now) {
        return days[i].unit == .requests ? .rateLimited : .tokensLimited
      }
      for i in days.indices { days[i].count(request) }
      return nil
    }

    private func take(_ request: Request, _ pace: Pace, now: Int64) -> Refusal? {
      let over = ends.prefix { $0 <= now * 1000 }.count
      for _ in 0..<over { pace.finish() }
      ends.removeFirst(over)
      let nanoseconds = UInt64(now) * 1_000_000
      switch pace.admit(now: nanoseconds) {
      case .tooOften: return .rateLimited
      case .tooManyAtOnce: return .tooManyAtOnce
      case .admitted: break
      }
      let wait = pace.reserve(
        input: request.inputTokens, output: request.outputTokens, now: nanoseconds, into: &holds)
      defer { holds.removeAll(keepingCapacity: true) }
      if wait != nil {
        for hold in holds { Pace.settle(hold, input: 0, output: 0, now: nanoseconds) }
        pace.finish()
        return .tokensLimited
      }
      guard limitsConcurrent else {
        pace.finish()
        return nil
      }
      let end = now * 1000 + min(request.microseconds, Self.longestRequest).count
      ends.insert(end, at: ends.firstIndex { $0 > end } ?? ends.count)
      return nil
    }
  }

  /// What was taken in the slices of a moving day or month, as the ledger counts it.
  private struct DayCount {
    let unit: LimitUnit
    private let limit: TokenCount
    private let calendar: BudgetCalendar
    private var slices: [Int64: TokenCount] = [:]
    private var present: Int64 = 0

    init(unit: LimitUnit, limit: TokenCount, _ window: LimitWindow) {
      (self.unit, self.limit) = (unit, limit)
      calendar = BudgetCalendar(rollingSeconds: window.seconds)
    }

    /// `now` is in milliseconds; where slices begin does not matter.
    mutating func fits(_ request: Request, now: Int64) -> Bool {
      let span = calendar.span(at: Timestamp(milliseconds: now))
      if span.start != present {
        present = span.start
        let oldest = calendar.oldest(countingIn: span)
        slices = slices.filter { $0.key >= oldest }
      }
      return slices.values.sum() + amount(request) <= limit
    }

    mutating func count(_ request: Request) { slices[present, default: 0] += amount(request) }

    private func amount(_ request: Request) -> TokenCount {
      Pace.amount(unit, input: request.inputTokens, output: request.outputTokens)
    }
  }
}
