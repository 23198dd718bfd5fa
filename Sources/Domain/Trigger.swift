public import Primitives

/// A condition on what keys are seen to do, and what is done about it.
public struct Trigger: Hashable, Sendable {
  public enum Condition: String, Sendable, Codable, CaseIterable {
    /// A key was found where it should not be.
    case leaked
    /// The provider did not take a provider key.
    case providerKeyRefused = "provider_key_refused"
    /// An old secret of a key was used after its grace period.
    case usedAfterGrace = "used_after_grace"
    /// A key was used from a network that it was never used from.
    case newNetwork = "new_network"
    /// A key asked for a model that it had never asked for.
    case newModel = "new_model"
    /// A few requests, a pause, then many.
    case probeThenBurst = "probe_then_burst"
    /// Money spent in an hour against what an hour usually comes to.
    case spendSpike = "spend_spike"
    /// The same in tokens.
    case tokenSpike = "token_spike"
    /// Refused requests in a minute.
    case refusals
    /// A key was used at an hour at which it is never used.
    case unusualHours = "unusual_hours"
    /// Nobody uses a key.
    case unused
    /// A budget had nothing left for a request.
    case budgetReached = "budget_reached"
    /// A decoy was used.
    case decoyUsed = "decoy_used"

    /// Which numbers it goes by, beside the cooldown.
    public var parameters: Set<Parameter> {
      switch self {
      case .leaked, .providerKeyRefused, .usedAfterGrace, .budgetReached, .decoyUsed: []
      case .newNetwork, .newModel, .unusualHours: [.learnDays]
      case .probeThenBurst: [.count]
      case .spendSpike, .tokenSpike: [.times, .count]
      case .refusals: [.count]
      case .unused: [.days]
      }
    }
  }

  public enum Action: String, Sendable, Codable, CaseIterable { case alert, throttle, disable, revoke, rotate }

  public enum Parameter: String, Sendable, CaseIterable {
    case learnDays = "learn_days"
    case count, times, days
  }

  public var when: Condition
  public var then: Action
  /// Only reports what it would have done.
  public var isShadow: Bool
  /// Only for keys of this team, or with this tag.
  public var team: String?
  public var tag: String?
  /// Days from its first use for which a key is learned from, and nothing about it is new.
  public var learnDays: Int?
  /// Requests in a minute (a burst, refusals), millionths of a dollar, or tokens in an hour below which nothing is a spike.
  public var count: Int?
  /// How many times the usual.
  public var times: Int?
  public var days: Int?
  /// Requests a minute that throttling leaves.
  public var perMinute: Int?
  /// Seconds after which the same is said of the same key again.
  public var cooldown: Int

  public init(
    _ when: Condition, then: Action = .alert, isShadow: Bool = true, learnDays: Int? = nil, count: Int? = nil, times: Int? = nil,
    days: Int? = nil, cooldown: Int = 3600
  ) {
    (self.when, self.then, self.isShadow) = (when, then, isShadow)
    (self.learnDays, self.count, self.times, self.days, self.cooldown) = (learnDays, count, times, days, cooldown)
  }

  /// What is there before anybody has said anything: all of it only reports.
  public static let shipped: [String: Trigger] = [
    "leaked": Trigger(.leaked, then: .disable),
    "provider-key-refused": Trigger(.providerKeyRefused, then: .disable),
    "used-after-grace": Trigger(.usedAfterGrace),
    "new-network": Trigger(.newNetwork, learnDays: 7),
    "new-model": Trigger(.newModel, learnDays: 7),
    "probe-then-burst": Trigger(.probeThenBurst, then: .disable, count: 100),
    "spend-spike": Trigger(.spendSpike, then: .throttle, count: 1_000_000, times: 5),
    "token-spike": Trigger(.tokenSpike, count: 100_000, times: 5),
    "refusals": Trigger(.refusals, count: 60),
    "unusual-hours": Trigger(.unusualHours, learnDays: 14, cooldown: 86_400),
    "unused": Trigger(.unused, days: 90, cooldown: 30 * 86_400),
    "budget-reached": Trigger(.budgetReached),
    "decoy-used": Trigger(.decoyUsed),
  ]

  /// Throws `.invalidInput` for a number that is missing, out of range, or means nothing to the condition.
  public func validate() throws(Fault) {
    let given: [Parameter: (Int?, ClosedRange<Int>)] = [
      .learnDays: (learnDays, 0...365), .count: (count, 1...1_000_000_000_000), .times: (times, 2...1000),
      .days: (days, 1...3650),
    ]
    for (parameter, (value, range)) in given.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      guard when.parameters.contains(parameter) else {
        guard value == nil else {
          throw Fault(.invalidInput, "'\(parameter.rawValue)' means nothing to '\(when.rawValue)'")
        }
        continue
      }
      guard let value, range.contains(value) else {
        throw Fault(
          .invalidInput, "'\(when.rawValue)' needs '\(parameter.rawValue)', from \(range.lowerBound) to \(range.upperBound)")
      }
    }
    guard (0...366 * 86_400).contains(cooldown) else {
      throw Fault(.invalidInput, "the cooldown is no number of seconds in a year")
    }
    guard (perMinute == nil) || (then == .throttle && (1...1_000_000).contains(perMinute!)) else {
      throw Fault(.invalidInput, "'per_minute' goes with throttling, from 1 to 1000000")
    }
    if then == .throttle, perMinute == nil, isShadow == false {
      throw Fault(.invalidInput, "throttling needs 'per_minute'", hint: "say how many requests a minute are left")
    }
    if when == .providerKeyRefused, then == .throttle || then == .revoke {
      throw Fault(.invalidInput, "a provider key can be disabled or rotated, or there can be an alert")
    }
    for name in [team, tag].compactMap({ $0 }) { try DocumentName.validate(name, of: "name") }
  }
}

extension Trigger: Codable {
  private enum CodingKeys: String, CodingKey {
    case when, then, team, tag, count, times, days, cooldown
    case isShadow = "shadow"
    case learnDays = "learn_days"
    case perMinute = "per_minute"
  }
}
