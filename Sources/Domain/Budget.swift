public import Primitives

/// Money that requests may cost in a window. A request counts against every budget it matches.
public struct Budget: Hashable, Sendable, Codable {
  public let name: String
  public var amount: NanoDollars
  public var window: Window
  /// Whether the window is the last hour, day, … at any moment, instead of the one on the calendar.
  public var isRolling: Bool
  /// Whose calendar.
  public var zone: String
  /// Which requests count; nil and `"*"`: all.
  public var key: RecordID?
  public var team: String?
  public var provider: String?
  public var models: [String]
  /// Percentages of the amount at which somebody is to be told, ascending.
  public var alerts: [Int]
  /// Whether what is left of a window adds to the next, up to one amount.
  public var rollsOver: Bool
  public var raise: Raise?

  public enum Window: String, Sendable, Codable, CaseIterable {
    case hour, day, week, month, quarter, year, total
  }

  /// More, until a moment.
  public struct Raise: Hashable, Sendable, Codable {
    public var amount: NanoDollars
    /// Milliseconds since 1970.
    public var until: Int64
    public init(amount: NanoDollars, until: Int64) {
      self.amount = amount
      self.until = until
    }
  }

  public init(
    name: String, amount: NanoDollars, window: Window, isRolling: Bool = false, zone: String = "UTC", key: RecordID? = nil,
    team: String? = nil, provider: String? = nil, models: [String] = [Policy.any], alerts: [Int] = [80, 100],
    rollsOver: Bool = false, raise: Raise? = nil
  ) {
    self.name = name
    self.amount = amount
    self.window = window
    self.isRolling = isRolling
    self.zone = zone
    self.key = key
    self.team = team
    self.provider = provider
    self.models = models
    self.alerts = alerts
    self.rollsOver = rollsOver
    self.raise = raise
  }

  /// Throws `.invalidInput`, or `.notFound` for a time zone that this machine does not know.
  public func validate() throws(Fault) {
    try DocumentName.validate(name, of: "budget")
    guard amount.count > 0, amount.count <= NanoDollars.perDollar * 1_000_000_000 else {
      throw Fault(.invalidInput, "the amount of a budget is no positive number of dollars")
    }
    guard !(isRolling && (window == .total || rollsOver)) else {
      throw Fault(.invalidInput, "a rolling budget has a window and nothing to roll over")
    }
    guard !(rollsOver && window == .total) else {
      throw Fault(.invalidInput, "a budget for ever has no next window to roll over to")
    }
    guard !models.isEmpty, models.count <= Policy.entriesMax else {
      throw Fault(.invalidInput, "a budget needs 1 to \(Policy.entriesMax) model patterns", hint: "leave them out for all")
    }
    for glob in models { try ModelGlob.validate(glob) }
    guard alerts.count <= 10, alerts.allSatisfy({ (1...1000).contains($0) }), alerts == alerts.sorted() else {
      throw Fault(.invalidInput, "alerts are at most ten ascending percentages from 1 to 1000")
    }
    if let raise, raise.amount.count <= 0 { throw Fault(.invalidInput, "a raise is no positive number of dollars") }
    _ = try ZoneRules(named: zone)
  }
}

extension NanoDollars: Codable {
  public init(from decoder: any Decoder) throws { self.init(try decoder.singleValueContainer().decode(Int64.self)) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(count)
  }
}

extension RecordID: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let id = RecordID(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "no ID")
    }
    self = id
  }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
