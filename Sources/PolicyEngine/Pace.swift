public import Domain
public import Primitives
import Synchronization

/// How fast and how many at once: the counters of one key, team or group of models, shared by all loops without a lock.
///
/// They live as long as the process and as the limits stay the same: a restart begins afresh. Windows of a day and longer are
/// accounts instead.
public final class Pace: Sendable {
  /// What became of a request.
  public enum Admission: Equatable, Sendable {
    case admitted
    /// Too many within a window; another try can succeed after so many milliseconds.
    case tooOften(retryAfterMilliseconds: Int)
    case tooManyAtOnce
  }

  /// Tokens that one request may take from a window, until it is settled.
  public struct Hold: Sendable {
    fileprivate let window: RateWindow
    fileprivate let unit: LimitUnit
    fileprivate let amount: TokenCount
    fileprivate let start: UInt64
  }

  /// What a window says of itself in an answer's head.
  public struct Reading: Sendable {
    public let limit: Int64
    public let remaining: Int64
    /// Until the window is whole again.
    public let resetMilliseconds: Int
  }

  public let limits: Limits
  private let requests: [RateWindow]
  private let tokens: [(unit: LimitUnit, window: RateWindow)]
  private let inFlight = Atomic<Int>(0)

  /// nil when `limits` have nothing that is counted here.
  public init?(_ limits: Limits) {
    let windows = limits.counts.filter { !$0.key.window.isDurable }.sorted { $0.key.window.seconds < $1.key.window.seconds }.map {
      (unit: $0.key.unit, window: RateWindow(limit: Int64($0.value), seconds: $0.key.window.seconds))
    }
    guard !windows.isEmpty || limits.concurrent != nil else { return nil }
    self.limits = limits
    requests = windows.filter { $0.unit == .requests }.map(\.window)
    tokens = windows.filter { $0.unit != .requests }
  }

  public var countsTokens: Bool { !tokens.isEmpty }

  /// Counts a request that starts at `now` nanoseconds of the monotonic clock. An admitted one is to be `finish`ed, once.
  public func admit(now: UInt64) -> Admission {
    let others = inFlight.wrappingAdd(1, ordering: .relaxed).oldValue
    guard others < limits.concurrent ?? .max else {
      finish()
      return .tooManyAtOnce
    }
    for (i, window) in requests.enumerated() {
      guard case .wait(let wait) = window.take(1, now: now) else { continue }
      // Taken a moment ago: all of it still lies ahead.
      for taken in requests[..<i] { taken.giveBack(1) }
      finish()
      return .tooOften(retryAfterMilliseconds: Self.milliseconds(wait))
    }
    return .admitted
  }

  public func finish() { inFlight.wrappingSubtract(1, ordering: .relaxed) }

  /// Takes the tokens that a request may use at most, and adds what is to be settled to `holds`; nil when all fit, else the
  /// milliseconds to wait (`.max` when it can never fit). What did fit is in `holds` either way.
  public func reserve(input: TokenCount, output: TokenCount, now: UInt64, into holds: inout [Hold]) -> Int? {
    for (unit, window) in tokens {
      let amount = Self.amount(unit, input: input, output: output)
      switch window.take(amount, now: now) {
      case .taken(let start): holds.append(Hold(window: window, unit: unit, amount: amount, start: start))
      case .wait(let wait): return wait == .max ? .max : Self.milliseconds(wait)
      }
    }
    return nil
  }

  /// Ends a hold with the tokens that were used.
  public static func settle(_ hold: Hold, input: TokenCount, output: TokenCount, now: UInt64) {
    hold.window.settle(
      amount(hold.unit, input: input, output: output), of: hold.amount, takenAt: hold.start, now: now)
  }

  static func amount(_ unit: LimitUnit, input: TokenCount, output: TokenCount) -> TokenCount {
    switch unit {
    case .requests: 1
    case .inputTokens: input
    case .outputTokens: output
    case .tokens: input + output
    }
  }

  /// The window with the least left: of requests, or of tokens.
  public func reading(ofTokens: Bool, now: UInt64) -> Reading? {
    var tightest: Reading?
    func consider(_ window: RateWindow) {
      let reading = window.reading(now: now)
      if let known = tightest, known.remaining <= reading.remaining { return }
      tightest = reading
    }
    if ofTokens { for (_, window) in tokens { consider(window) } } else { for window in requests { consider(window) } }
    return tightest
  }

  private static func milliseconds(_ nanoseconds: UInt64) -> Int { Int((nanoseconds + 999_999) / 1_000_000) }
}

/// The generic cell rate algorithm (ITU-T I.371): `limit` units at once, and one more every `seconds / limit`.
///
/// In any span of T seconds at most `limit + T * limit / seconds` pass. One word, changed by compare and exchange.
final class RateWindow: Sendable {
  enum Answer { case taken(start: UInt64), wait(UInt64) }

  // Time is counted in 64ths of a nanosecond (nine years of them fit), so that a unit can be less than a nanosecond and a cost is
  // one multiplication. What a unit stands for is rounded up: the rate is never above the limit's.
  private static let ticks: UInt64 = 64
  /// Windows that can be used up in advance.
  private static let debtMax: UInt64 = 64
  private let limit: Int64
  private let perUnit: UInt64
  private let capacity: UInt64
  /// When the bucket will be empty again, in ticks.
  private let emptyAt = Atomic<UInt64>(0)

  init(limit: Int64, seconds: Int64) {
    self.limit = limit
    perUnit = (UInt64(seconds) * 1_000_000_000 * Self.ticks + UInt64(limit - 1)) / UInt64(limit)
    capacity = perUnit * UInt64(limit)
  }

  /// Ticks that `amount` units stand for; `.max` when there are never so many.
  private func cost(_ amount: TokenCount) -> UInt64 {
    let (cost, overflow) = UInt64(amount.count).multipliedReportingOverflow(by: perUnit)
    return overflow ? .max : cost
  }

  /// Takes `amount` units; or says how many nanoseconds are to be waited, `.max` when there are never so many.
  func take(_ amount: TokenCount, now: UInt64) -> Answer {
    let (cost, now) = (cost(amount), now * Self.ticks)
    guard cost <= capacity else { return .wait(.max) }
    var seen = emptyAt.load(ordering: .relaxed)
    while true {
      let start = max(seen, now)
      if start - now > capacity - cost { return .wait((start - now - (capacity - cost) + Self.ticks - 1) / Self.ticks) }
      let result = emptyAt.weakCompareExchange(expected: seen, desired: start + cost, ordering: .relaxed)
      if result.exchanged { return .taken(start: start) }
      seen = result.original
    }
  }

  func giveBack(_ amount: TokenCount) { emptyAt.wrappingSubtract(cost(amount), ordering: .relaxed) }

  /// Corrects a `take` of `amount` to what was used. Only time that still lies ahead is given back: what has gone by has filled
  /// the bucket already, and would count twice.
  func settle(_ used: TokenCount, of amount: TokenCount, takenAt start: UInt64, now: UInt64) {
    let (taken, now) = (cost(amount), now * Self.ticks)
    if used < amount {
      let ahead = start + taken > now ? start + taken - now : 0
      emptyAt.wrappingSubtract(min(taken - cost(used), ahead), ordering: .relaxed)
    } else if used > amount {
      let more = min(cost(used - amount), capacity)
      var seen = emptyAt.load(ordering: .relaxed)
      while true {
        // However often more is used than was held, the debt is so many windows at most: nobody is shut out for years.
        let desired = min(max(seen, now) + more, now + Self.debtMax * capacity)
        let result = emptyAt.weakCompareExchange(expected: seen, desired: max(seen, desired), ordering: .relaxed)
        if result.exchanged { return }
        seen = result.original
      }
    }
  }

  func reading(now: UInt64) -> Pace.Reading {
    let now = now * Self.ticks
    let ahead = min(max(emptyAt.load(ordering: .relaxed), now) - now, capacity)
    return Pace.Reading(
      limit: limit, remaining: Int64((capacity - ahead) / perUnit), resetMilliseconds: Int(ahead / Self.ticks / 1_000_000))
  }
}
