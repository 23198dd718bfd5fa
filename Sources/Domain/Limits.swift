/// What a limit counts.
public enum LimitUnit: String, Sendable, CaseIterable {
  case requests
  case inputTokens = "input_tokens"
  case outputTokens = "output_tokens"
  /// Input and output together.
  case tokens
}

/// Over how long a limit counts.
public enum LimitWindow: String, Sendable, CaseIterable {
  case second, minute, hour, day, month

  /// A month is thirty days: a limit is about pace, a budget knows the calendar.
  public var seconds: Int64 {
    switch self {
    case .second: 1
    case .minute: 60
    case .hour: 3600
    case .day: 86_400
    case .month: 30 * 86_400
    }
  }

  /// Whether what was used has to outlive the process: a restart must not give a day's worth again.
  public var isDurable: Bool { self == .day || self == .month }
}

/// One limit: so much of a unit in a window. Its name is `requests_per_minute`, `input_tokens_per_day`, ….
public struct Limit: Hashable, Sendable {
  public let unit: LimitUnit
  public let window: LimitWindow

  public init(_ unit: LimitUnit, per window: LimitWindow) {
    self.unit = unit
    self.window = window
  }

  public var name: String { "\(unit.rawValue)_per_\(window.rawValue)" }

  public static let all: [Limit] = LimitUnit.allCases.flatMap { unit in LimitWindow.allCases.map { Limit(unit, per: $0) } }
  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  public init?(name: String) {
    guard let known = Self.byName[name] else { return nil }
    self = known
  }
}

/// How much, in which windows, and how many requests at once. What is not there is not limited.
public struct Limits: Hashable, Sendable {
  public var counts: [Limit: Int]
  /// Requests in flight at the same time.
  public var concurrent: Int?

  public static let countMax = 1_000_000_000_000
  static let concurrentName = "concurrent"

  public init(_ counts: [Limit: Int] = [:], concurrent: Int? = nil) {
    self.counts = counts
    self.concurrent = concurrent
  }

  /// The smaller of both, limit by limit.
  public func tightened(by other: Limits) -> Limits {
    let concurrent = [concurrent, other.concurrent].compactMap { $0 }.min()
    return Limits(counts.merging(other.counts, uniquingKeysWith: min), concurrent: concurrent)
  }

  public var isEmpty: Bool { counts.isEmpty && concurrent == nil }
  /// Whether it has to be known how many tokens a request may take before it goes on.
  public var countsTokens: Bool { counts.keys.contains { $0.unit != .requests } }
}

extension Limits: Codable {
  public static let names = Limit.all.map(\.name) + [concurrentName]

  private struct Name: CodingKey {
    let stringValue: String
    init(stringValue: String) { self.stringValue = stringValue }
    var intValue: Int? { nil }
    init?(intValue: Int) { return nil }
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Name.self)
    self.init()
    for key in container.allKeys {
      let count = try container.decode(Int.self, forKey: key)
      if key.stringValue == Self.concurrentName {
        concurrent = count
      } else if let limit = Limit(name: key.stringValue) {
        counts[limit] = count
      } else {
        throw DecodingError.dataCorruptedError(forKey: key, in: container, debugDescription: "no such limit")
      }
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Name.self)
    for (limit, count) in counts { try container.encode(count, forKey: Name(stringValue: limit.name)) }
    if let concurrent { try container.encode(concurrent, forKey: Name(stringValue: Self.concurrentName)) }
  }
}

/// Limits of one key for some models only.
public struct ModelLimits: Hashable, Sendable, Codable {
  /// Globs; what they match is counted together.
  public var models: [String]
  public var limits: Limits

  public init(models: [String], limits: Limits) {
    self.models = models
    self.limits = limits
  }
}
