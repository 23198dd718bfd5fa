import Glibc

/// The offsets of a time zone from UTC, as the system's tz database has them (RFC 9636).
///
/// Read once; asked without a system call, a lock or an allocation, which the C library's functions do not offer.
public struct ZoneRules: Sendable, Equatable {
  /// Seconds since 1970, ascending: from each on, the offset of the same index holds.
  private let starts: [Int64]
  private let offsets: [Int64]
  /// Before the first start.
  private let before: Int64

  public static let utc = ZoneRules(starts: [], offsets: [], before: 0)
  static let directory = "/usr/share/zoneinfo"
  /// Transitions are worked out up to this year; later ones keep the last offset.
  private static let lastYear: Int64 = 2100

  private init(starts: [Int64], offsets: [Int64], before: Int64) {
    self.starts = starts
    self.offsets = offsets
    self.before = before
  }

  /// Whether `name` could be a zone's name, and nothing that leads out of the database: `Area/City`, `UTC`, `Etc/GMT+3`.
  public static func isName(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return name.utf8.count <= 64
      && parts.allSatisfy { part in
        guard let first = part.utf8.first, ASCII.isLetter(first) else { return false }
        return part.utf8.allSatisfy { ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 95 || $0 == 45 || $0 == 43 }
      }
  }

  /// Throws `.notFound` when the system does not know the zone.
  public init(named name: String) throws(Fault) {
    if name == "UTC" {
      self = .utc
      return
    }
    let missing = Fault(
      .notFound, "the time zone '\(name.prefix(64))' is not known here",
      hint: "use a name such as Europe/Berlin; is tzdata installed?")
    guard Self.isName(name), let bytes = Self.file("\(Self.directory)/\(name)"), let rules = Self.parse(bytes) else {
      throw missing
    }
    self = rules
  }

  /// Seconds to add to UTC at `second` seconds since 1970.
  public func offset(at second: Int64) -> Int64 {
    var (low, high) = (0, starts.count)
    while low < high {
      let middle = (low + high) / 2
      if starts[middle] <= second { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? before : offsets[low - 1]
  }

  /// The first moment of the local civil second `local` (seconds since 1970 read off a local clock); of one that is skipped, the
  /// moment at which the clock jumps over it.
  public func utc(local: Int64) -> Int64 {
    // Offsets lie within a day and a bit: the right one is in force at one of these.
    let candidates = [offset(at: local - 90_000), offset(at: local + 90_000)]
    let fitting = candidates.map { local - $0 }.filter { offset(at: $0) + $0 == local }
    if let first = fitting.min() { return first }
    return starts.first { $0 > local - 90_000 } ?? local - candidates[0]
  }

  private static func file(_ path: String) -> [UInt8]? {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let n = unsafe bytes.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress!, $0.count) }
    return n > 0 && n < bytes.count ? Array(bytes[..<n]) : nil
  }

  /// Version 2 or later of the format: the 64-bit block after the old one, and the footer for the years after it.
  static func parse(_ b: [UInt8]) -> ZoneRules? {
    func number(_ at: Int, _ width: Int) -> Int64? {
      guard at >= 0, at + width <= b.count else { return nil }
      let value = b[at..<(at + width)].reduce(Int64(0)) { $0 << 8 | Int64($1) }
      return width == 4 ? Int64(Int32(truncatingIfNeeded: value)) : value
    }
    func counts(_ at: Int) -> [Int]? {
      guard at + 44 <= b.count, Array(b[at..<(at + 4)]) == Array("TZif".utf8), b[at + 4] >= 50 else { return nil }
      return (0..<6).compactMap { number(at + 20 + 4 * $0, 4).map(Int.init) }
    }
    // isutc, isstd, leap, time, type, char
    guard let old = counts(0), old.allSatisfy({ $0 >= 0 && $0 < 10_000 }) else { return nil }
    let second = 44 + old[3] * 5 + old[4] * 6 + old[5] + old[2] * 8 + old[1] + old[0]
    guard let new = counts(second), new.allSatisfy({ $0 >= 0 && $0 < 10_000 }), new[4] > 0 else { return nil }
    let (times, types) = (second + 44, second + 44 + new[3] * 8)
    let records = types + new[3]
    func offset(_ type: Int) -> Int64? { type < new[4] ? number(records + 6 * type, 4) : nil }
    var (starts, offsets): ([Int64], [Int64]) = ([], [])
    for i in 0..<new[3] {
      guard let start = number(times + 8 * i, 8), let value = offset(Int(b[types + i])) else { return nil }
      starts.append(start)
      offsets.append(value)
    }
    guard let before = offset(0) else { return nil }
    let footer = records + new[4] * 6 + new[5] + new[2] * 12 + new[1] + new[0]
    guard footer < b.count, b[footer] == 10, let end = b[(footer + 1)...].firstIndex(of: 10) else { return nil }
    if let rule = DaylightRule(Array(b[(footer + 1)..<end])) {
      let last = starts.last ?? .min
      for year in 1970...lastYear {
        for (start, value) in rule.transitions(in: year) where start > last {
          starts.append(start)
          offsets.append(value)
        }
      }
    }
    return ZoneRules(starts: starts, offsets: offsets, before: before)
  }
}

/// The footer of a zone file with daylight saving in the form that files have it: `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX TZ).
private struct DaylightRule {
  private let standard: Int64
  private let daylight: Int64
  private let start: (month: Int64, week: Int64, day: Int64, time: Int64)
  private let end: (month: Int64, week: Int64, day: Int64, time: Int64)

  /// nil for a zone without daylight saving: its last offset holds for ever.
  init?(_ text: [UInt8]) {
    var rest = text[...]
    func name() -> Bool {
      if rest.first == 60 {  // <+03>
        guard let end = rest.firstIndex(of: 62) else { return false }
        rest = rest[(end + 1)...]
        return true
      }
      let letters = rest.prefix { ASCII.isLetter($0) }
      rest = rest.dropFirst(letters.count)
      return letters.count >= 3
    }
    func digits() -> Int64? {
      let run = Array(rest.prefix { ASCII.isDigit($0) })
      rest = rest.dropFirst(run.count)
      return ASCII.decimal(run.span).map(Int64.init)
    }
    func take(_ b: UInt8) -> Bool {
      guard rest.first == b else { return false }
      rest = rest.dropFirst()
      return true
    }
    func time() -> Int64? {
      let isNegative = take(45)
      if !isNegative { _ = take(43) }
      guard let h = digits() else { return nil }
      var value = h * 3600
      if take(58) { value += (digits() ?? 0) * 60 }
      if take(58) { value += digits() ?? 0 }
      return isNegative ? -value : value
    }
    func rule() -> (Int64, Int64, Int64, Int64)? {
      guard take(44), take(77), let m = digits(), take(46), let w = digits(), take(46), let d = digits() else { return nil }
      if take(47) { return time().map { (m, w, d, $0) } }
      return (m, w, d, 7200)
    }
    guard name(), let west = time(), name() else { return nil }
    standard = -west
    daylight = rest.first == 44 ? -west + 3600 : -(time() ?? 0)
    guard let start = rule(), let end = rule(), rest.isEmpty else { return nil }
    self.start = start
    self.end = end
  }

  func transitions(in year: Int64) -> [(Int64, Int64)] {
    func moment(_ rule: (month: Int64, week: Int64, day: Int64, time: Int64), _ offset: Int64) -> Int64 {
      let first = CivilDate.days(year: year, month: rule.month, day: 1)
      // 1970-01-01 was a Thursday; the rule counts days from Sunday.
      var day = first + (rule.day - (first + 4) % 7 + 7) % 7 + (rule.week - 1) * 7
      while day >= first + CivilDate.daysIn(month: rule.month, year: year) { day -= 7 }
      return day * 86_400 + rule.time - offset
    }
    return [(moment(start, standard), daylight), (moment(end, daylight), standard)].sorted { $0.0 < $1.0 }
  }
}
