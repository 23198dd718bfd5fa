public import Primitives

/// A run of time that a budget's money is for, in milliseconds since 1970; the end does not belong to it.
public struct BudgetSpan: Hashable, Sendable {
  public let start: Int64
  public let end: Int64
  public init(start: Int64, end: Int64) {
    self.start = start
    self.end = end
  }
  public func contains(_ moment: Timestamp) -> Bool { moment.milliseconds >= start && moment.milliseconds < end }
}

/// How a budget's time is cut: into windows on a calendar, or into the slices of a window that moves.
public struct BudgetCalendar: Sendable, Equatable {
  private let window: Budget.Window
  private let rules: ZoneRules
  /// Milliseconds of a moving window; nil: on the calendar.
  public let rolling: Int64?
  /// A moving window is counted in so many slices: what is spent is forgotten when its whole slice lies outside.
  static let slices: Int64 = 60

  /// On the calendar of `rules`.
  public init(_ window: Budget.Window, _ rules: ZoneRules) {
    self.window = window
    self.rules = rules
    rolling = nil
  }

  /// A window of the last `seconds` at any moment.
  public init(rollingSeconds seconds: Int64) {
    window = .total
    rules = .utc
    rolling = seconds * 1000
  }

  public init(_ budget: Budget) throws(Fault) {
    if budget.isRolling {
      self.init(rollingSeconds: Self.nominalSeconds(budget.window))
    } else {
      self.init(budget.window, try ZoneRules(named: budget.zone))
    }
  }

  /// Of a window that moves: a month is thirty days, a quarter ninety, a year 365.
  private static func nominalSeconds(_ window: Budget.Window) -> Int64 {
    switch window {
    case .hour: 3600
    case .day: 86_400
    case .week: 7 * 86_400
    case .month: 30 * 86_400
    case .quarter: 90 * 86_400
    case .year, .total: 365 * 86_400
    }
  }

  /// The span that money spent at `moment` is counted in.
  public func span(at moment: Timestamp) -> BudgetSpan {
    if let rolling {
      let width = max(rolling / Self.slices, 1)
      let start = moment.milliseconds.floorDivided(by: width) * width
      return BudgetSpan(start: start, end: start + width)
    }
    guard window != .total else { return BudgetSpan(start: 0, end: .max) }
    let second = moment.milliseconds.floorDivided(by: 1000)
    let local = second + rules.offset(at: second)
    let day = local.floorDivided(by: 86_400)
    let (year, month, _) = CivilDate.of(days: day)
    func start(_ y: Int64, _ m: Int64) -> Int64 {
      rules.utc(local: CivilDate.days(year: m > 12 ? y + 1 : y, month: m > 12 ? m - 12 : m, day: 1) * 86_400)
    }
    let ends: (Int64, Int64)
    switch window {
    case .hour:
      // UTC's: there are zones whose clocks jump by half an hour.
      let first = second.floorDivided(by: 3600) * 3600
      ends = (first, first + 3600)
    case .day: ends = (rules.utc(local: day * 86_400), rules.utc(local: (day + 1) * 86_400))
    case .week:
      let monday = day - (day + 3 - (day + 3).floorDivided(by: 7) * 7)
      ends = (rules.utc(local: monday * 86_400), rules.utc(local: (monday + 7) * 86_400))
    case .month: ends = (start(year, month), start(year, month + 1))
    case .quarter:
      let first = (month - 1) / 3 * 3 + 1
      ends = (start(year, first), start(year, first + 3))
    case .year: ends = (start(year, 1), start(year + 1, 1))
    case .total: ends = (0, .max / 1000)
    }
    return BudgetSpan(start: ends.0 * 1000, end: ends.1 * 1000)
  }

  /// The start of the oldest span whose money still counts in `span`.
  public func oldest(countingIn span: BudgetSpan) -> Int64 { rolling.map { span.start - $0 } ?? span.start }
}
