public import Domain
import Synchronization

/// How often and how many at once: the counters of one key, shared by all loops without a lock.
///
/// They live as long as the process and as the key's limits stay the same: a restart begins afresh.
public final class KeyMeters: Sendable {
  /// What became of a request.
  public enum Admission: Equatable, Sendable {
    case admitted
    /// Too many within a window; another try can succeed after so many milliseconds.
    case tooOften(retryAfterMilliseconds: Int)
    case tooManyAtOnce
  }

  public let limits: Policy.Limits
  private let windows: [RateWindow]
  private let inFlight = Atomic<Int>(0)

  public init(_ limits: Policy.Limits) {
    self.limits = limits
    windows = [(limits.requestsPerSecond, 1), (limits.requestsPerMinute, 60), (limits.requestsPerHour, 3600)].compactMap {
      count, seconds in
      count.map { RateWindow(limit: $0, seconds: seconds) }
    }
  }

  /// Counts a request that starts at `now` nanoseconds of the monotonic clock. An admitted one is to be `finish`ed, once.
  public func admit(now: UInt64) -> Admission {
    let others = inFlight.wrappingAdd(1, ordering: .relaxed).oldValue
    guard others < limits.concurrent ?? .max else {
      finish()
      return .tooManyAtOnce
    }
    for (i, window) in windows.enumerated() {
      guard let wait = window.take(now: now) else { continue }
      for taken in windows[..<i] { taken.giveBack() }
      finish()
      return .tooOften(retryAfterMilliseconds: Int((wait + 999_999) / 1_000_000))
    }
    return .admitted
  }

  public func finish() { inFlight.wrappingSubtract(1, ordering: .relaxed) }
}

/// The generic cell rate algorithm (ITU-T I.371): `limit` requests at once, and one more every `seconds / limit`.
///
/// In any span of T seconds at most `limit + T * limit / seconds` pass. One word, changed by compare and exchange.
final class RateWindow: Sendable {
  private let interval: UInt64
  private let tolerance: UInt64
  /// When the bucket will be empty again, in nanoseconds.
  private let emptyAt = Atomic<UInt64>(0)

  init(limit: Int, seconds: UInt64) {
    interval = seconds * 1_000_000_000 / UInt64(limit)
    tolerance = interval * UInt64(limit - 1)
  }

  /// nil when the request fits; else how many nanoseconds are to be waited.
  func take(now: UInt64) -> UInt64? {
    var seen = emptyAt.load(ordering: .relaxed)
    while true {
      let start = max(seen, now)
      if start - now > tolerance { return start - now - tolerance }
      let result = emptyAt.weakCompareExchange(expected: seen, desired: start + interval, ordering: .relaxed)
      if result.exchanged { return nil }
      seen = result.original
    }
  }

  func giveBack() { emptyAt.wrappingSubtract(interval, ordering: .relaxed) }
}
