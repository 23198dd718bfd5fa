public import Primitives

/// When something recurs: `minute hour day-of-month month day-of-week`, as cron has it: `*`, numbers, `a-b`, `*/n`, `a-b/n`, lists,
/// names of months and days; Sunday is 0 or 7. Where both days are restricted, either will do.
public struct CronExpression: Hashable, Sendable {
  public let text: String
  private let minutes: UInt64
  private let hours: UInt64
  private let days: UInt64
  private let months: UInt64
  private let weekdays: UInt64
  private let isAnyDay: Bool
  private let isAnyWeekday: Bool

  private static let monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
  private static let dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

  /// Throws `.invalidInput`, and for what never comes (the 30th of February).
  public init(_ text: String) throws(Fault) {
    let fields = text.lowercased().split(separator: " ").map(String.init)
    guard fields.count == 5 else {
      throw Fault(.invalidInput, "a cron expression has five fields", hint: "minute hour day month weekday, as '0 3 * * 0'")
    }
    self.text = fields.joined(separator: " ")
    minutes = try Self.set(fields[0], 0...59)
    hours = try Self.set(fields[1], 0...23)
    days = try Self.set(fields[2], 1...31)
    months = try Self.set(fields[3], 1...12, names: Self.monthNames, first: 1)
    let week = try Self.set(fields[4], 0...7, names: Self.dayNames, first: 0)
    weekdays = week & 0x7F | (week >> 7 & 1)
    (isAnyDay, isAnyWeekday) = (fields[2].hasPrefix("*"), fields[4].hasPrefix("*"))
    guard next(after: Timestamp(milliseconds: 0), .utc) != nil else {
      throw Fault(.invalidInput, "the moment '\(self.text)' never comes")
    }
  }

  private static func set(_ field: String, _ range: ClosedRange<Int>, names: [String] = [], first: Int = 0) throws(Fault)
    -> UInt64
  {
    let bad = Fault(
      .invalidInput, "'\(field.prefix(40))' is no field of a cron expression from \(range.lowerBound) to \(range.upperBound)")
    func number(_ text: Substring) -> Int? {
      if let i = names.firstIndex(of: String(text)) { return i + first }
      guard let n = ASCII.decimal(Array(text.utf8).span), range.contains(n) else { return nil }
      return n
    }
    var bits: UInt64 = 0
    for part in field.split(separator: ",", omittingEmptySubsequences: false) {
      let steps = part.split(separator: "/", omittingEmptySubsequences: false)
      guard steps.count <= 2 else { throw bad }
      var step = 1
      if steps.count == 2 {
        guard let n = ASCII.decimal(Array(steps[1].utf8).span), n >= 1, n <= range.upperBound else { throw bad }
        step = n
      }
      let ends = steps[0].split(separator: "-", omittingEmptySubsequences: false)
      var (low, high) = (range.lowerBound, range.upperBound)
      if steps[0] != "*" {
        guard ends.count <= 2, let a = number(ends[0]), let b = ends.count == 2 ? number(ends[1]) : a, a <= b else { throw bad }
        (low, high) = (a, ends.count == 1 && steps.count == 2 ? range.upperBound : b)
      }
      for n in stride(from: low, through: high, by: step) { bits |= 1 << UInt64(n) }
    }
    return bits
  }

  /// The first moment after `moment` that fits, on the clocks of `zone`; nil when there is none within nine years. A moment that a
  /// clock jumps over comes when it jumps.
  public func next(after moment: Timestamp, _ zone: ZoneRules) -> Timestamp? {
    let second = moment.milliseconds.floorDivided(by: 1000)
    let local = second + zone.offset(at: second)
    let first = local.floorDivided(by: 86_400)
    for day in first...(first + 9 * 366) {
      let (_, month, dayOfMonth) = CivilDate.of(days: day)
      guard months >> UInt64(month) & 1 == 1 else { continue }
      // 1970-01-01 was a Thursday.
      let weekday = (day + 4) - (day + 4).floorDivided(by: 7) * 7
      let (fitsDay, fitsWeekday) = (days >> UInt64(dayOfMonth) & 1 == 1, weekdays >> UInt64(weekday) & 1 == 1)
      guard isAnyDay || isAnyWeekday ? fitsDay && fitsWeekday : fitsDay || fitsWeekday else { continue }
      for hour in 0..<24 where hours >> UInt64(hour) & 1 == 1 {
        // A day before the one of the moment is over; so are its hours before it, but for a clock that is turned back.
        for minute in 0..<60 where minutes >> UInt64(minute) & 1 == 1 {
          let at = zone.utc(local: day * 86_400 + Int64(hour) * 3600 + Int64(minute) * 60)
          if at > second { return Timestamp(milliseconds: at * 1000) }
        }
      }
    }
    return nil
  }
}

extension CronExpression: Codable {
  public init(from decoder: any Decoder) throws { try self.init(try decoder.singleValueContainer().decode(String.self)) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}
