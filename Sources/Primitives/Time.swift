import Glibc

/// A moment of wall-clock time, in milliseconds since 1970-01-01T00:00:00Z: of the years 1 to 9999, so that the difference of two
/// moments, and a moment in microseconds, always fit into 64 bits.
public struct Timestamp: Hashable, Comparable, Sendable {
  public let milliseconds: Int64
  /// The nearest moment of the years 1 to 9999.
  @inlinable public init(milliseconds: Int64) { self.milliseconds = min(max(milliseconds, Self.first), Self.last) }
  /// The nearest moment of the years 1 to 9999.
  @inlinable public init(seconds: Int64) {
    self.init(milliseconds: min(max(seconds, Self.first / 1000), Self.last / 1000) * 1000)
  }
  @inlinable public static func < (a: Self, b: Self) -> Bool { a.milliseconds < b.milliseconds }
  /// Stops at the ends of the range.
  @inlinable public static func + (a: Self, seconds: Int64) -> Self {
    Self(milliseconds: a.milliseconds + min(max(seconds, -reach), reach) * 1000)
  }
  public static let distantFuture = Timestamp(milliseconds: last)
  /// Seconds that are more than all there are.
  @usableFromInline static let reach: Int64 = 400_000_000_000
  /// 0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
  @usableFromInline static let first: Int64 = -62_135_596_800_000
  @usableFromInline static let last: Int64 = 253_402_300_799_999
}

extension Timestamp {
  /// RFC 3339 in UTC with milliseconds: `2026-11-24T10:00:00.000Z`.
  public var rfc3339: String {
    let seconds = milliseconds.floorDivided(by: 1000)
    let (year, month, day) = CivilDate.of(days: seconds.floorDivided(by: 86_400))
    let inDay = seconds - seconds.floorDivided(by: 86_400) * 86_400
    func pad(_ value: Int64, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    return "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T\(pad(inDay / 3600, 2)):\(pad(inDay / 60 % 60, 2)):"
      + "\(pad(inDay % 60, 2)).\(pad(milliseconds - seconds * 1000, 3))Z"
  }

  /// Reads `2026-11-24`, `2026-11-24T10:00:00Z` or `2026-11-24T10:00:00.250Z`; only UTC, only these forms; nil otherwise.
  public init?(rfc3339 text: String) {
    let b = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int64? {
      range.upperBound <= b.count ? ASCII.decimal(b.span.extracting(range)).map(Int64.init) : nil
    }
    guard b.count >= 10, b[4] == 45, b[7] == 45, let y = number(0..<4), let m = number(5..<7), let d = number(8..<10),
      (1...12).contains(m), (1...CivilDate.daysIn(month: m, year: y)).contains(d)
    else { return nil }
    var value = CivilDate.days(year: y, month: m, day: d) * 86_400_000
    if b.count > 10 {
      guard b.count == 20 || b.count == 24, b[10] == 84, b[13] == 58, b[16] == 58, b[b.count - 1] == 90,
        let h = number(11..<13), let min = number(14..<16), let s = number(17..<19), h < 24, min < 60, s < 60
      else { return nil }
      value += (h * 3600 + min * 60 + s) * 1000
      if b.count == 24 {
        guard b[19] == 46, let fraction = number(20..<23) else { return nil }
        value += fraction
      }
    }
    self.init(milliseconds: value)
  }
}

/// Where the time comes from: the system, or a test's hand.
public protocol WallClock: Sendable {
  var now: Timestamp { get }
}

/// The system's real-time clock.
public struct SystemClock: WallClock {
  public init() {}
  public var now: Timestamp {
    var t = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &t)
    return Timestamp(milliseconds: Int64(t.tv_sec) * 1000 + Int64(t.tv_nsec) / 1_000_000)
  }
}

/// Nanoseconds of the monotonic clock: for durations, never for dates.
@inlinable public func monotonicNanoseconds() -> UInt64 { clock_gettime_nsec() }

@usableFromInline func clock_gettime_nsec() -> UInt64 {
  var t = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &t)
  return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
}
