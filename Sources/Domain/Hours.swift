import Primitives

/// A span of the week in which a key works: `mon-fri 08:00-18:00 Europe/Berlin`, `sat,sun 00:00-24:00 UTC`.
///
/// A span whose end is not after its start goes on past midnight, into the day after the one named.
public struct Hours: Hashable, Sendable {
  /// Bit 0 is Monday.
  public let days: UInt8
  /// Minutes of the local day; `from` belongs to the span, `to` does not.
  public let from: Int
  public let to: Int
  public let zone: String

  private static let dayNames = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
  static let minutesPerDay = 1440

  /// nil when `text` is not of that form. Whether the zone exists is for whoever has its rules to say.
  public init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 3, let days = Self.days(parts[0]), ZoneRules.isName(String(parts[2])) else { return nil }
    let times = parts[1].split(separator: "-", omittingEmptySubsequences: false)
    guard times.count == 2, let from = Self.minute(times[0]), let to = Self.minute(times[1]), from < Self.minutesPerDay,
      from != to
    else { return nil }
    (self.days, self.from, self.to, zone) = (days, from, to, String(parts[2]))
  }

  private static func days(_ text: Substring) -> UInt8? {
    var days: UInt8 = 0
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = item.split(separator: "-", omittingEmptySubsequences: false).map { dayNames.firstIndex(of: String($0)) }
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1] else { return nil }
      var day = first
      days |= 1 << UInt8(day)
      while day != last {
        day = (day + 1) % 7
        days |= 1 << UInt8(day)
      }
    }
    return days
  }

  private static func minute(_ text: Substring) -> Int? {
    let b = Array(text.utf8)
    guard b.count == 5, b[2] == 58, let h = ASCII.decimal(b.span.extracting(0..<2)),
      let m = ASCII.decimal(b.span.extracting(3..<5)),
      m < 60, h < 24 || (h == 24 && m == 0)
    else { return nil }
    return h * 60 + m
  }

  /// Whether a moment that is `minute` minutes into local day `day` (0 is Monday) lies in the span.
  public func contains(day: Int, minute: Int) -> Bool {
    let today = days >> UInt8(day) & 1 == 1
    if from < to { return today && minute >= from && minute < to }
    let yesterday = days >> UInt8((day + 6) % 7) & 1 == 1
    return (today && minute >= from) || (yesterday && minute < to)
  }
}
