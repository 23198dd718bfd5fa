public import Domain
import Primitives
public import Providers

/// What a snapshot decides by, beside the keys: policies above keys, what requests are counted against, prices.
public struct Rulebook: Sendable {
  public var teams: [String: Policy] = [:]
  public var sharedPolicies: [String: Policy] = [:]
  public var prices = PriceList(shipped: [])
  var allowances: [RecordID: Allowance] = [:]
  var teamAllowances: [String: Allowance] = [:]
  var everyone: Allowance?

  public init() {}

  /// The policies that a grant has to pass, all of them. One that is not there permits nothing.
  public func policies(of grant: Grant) -> [Policy] {
    let none = Policy(providers: [])
    var layers = [grant.policy]
    if let name = grant.sharedPolicy { layers.append(sharedPolicies[name] ?? none) }
    if let name = grant.team { layers.append(teams[name] ?? none) }
    return layers
  }
}

/// The counters of a process. They outlive snapshots, so that a change elsewhere forgives nobody.
///
/// Belongs to one thread.
public final class Counters {
  private var paces: [String: Pace] = [:]
  private var accounts: [String: Account] = [:]
  private var rules: [Ledger.Rule] = []
  private var usedPaces: [String: Pace] = [:]

  public init() {}

  /// Fills in the allowances of `book` for `keys` and `budgets`; `providers` are the names by position. Returns the rules for the
  /// ledger.
  public func fill(_ book: inout Rulebook, keys: [MaskedKey], budgets: [Budget], providers: [String]) -> [Ledger
    .Rule]
  {
    (rules, usedPaces) = ([], [:])
    let byKey = Dictionary(grouping: budgets.filter { $0.key != nil }, by: { $0.key! })
    let byTeam = Dictionary(grouping: budgets.filter { $0.key == nil && $0.team != nil }, by: { $0.team! })
    let rest = budgets.filter { $0.key == nil && $0.team == nil }
    for key in keys {
      let grant = key.grant
      let shared = grant.sharedPolicy.flatMap { book.sharedPolicies[$0] }
      let own = byKey.isEmpty ? nil : byKey[key.id]
      // Most of 100,000 keys have nothing of the kind.
      let throttle = key.details.throttle
      if own == nil, throttle == nil, !grant.hasLimits, !(shared?.hasLimits ?? false) { continue }
      var layers = [grant.policy] + (shared.map { [$0] } ?? [])
      if let throttle { layers.append(Self.throttled(throttle)) }
      book.allowances[key.id] = allowance("key/\(key.id)", layers, own ?? [], providers)
    }
    for (name, policy) in book.teams {
      book.teamAllowances[name] = allowance("team/\(name)", [policy], byTeam[name] ?? [], providers)
    }
    book.everyone = allowance("everyone", [], rest, providers)
    paces = usedPaces
    let names = Set(rules.map(\.account.name))
    accounts = accounts.filter { names.contains($0.key) }
    return rules
  }

  private static func throttled(_ requestsPerMinute: Int) -> Policy {
    var policy = Policy(providers: [Policy.any])
    policy.limits.counts[Limit(.requests, per: .minute)] = requestsPerMinute
    return policy
  }

  private func allowance(_ owner: String, _ layers: [Policy], _ budgets: [Budget], _ providers: [String]) -> Allowance? {
    let limits = layers.map(\.limits).reduce(Limits()) { $0.tightened(by: $1) }
    var counted = durable(limits, "limit/\(owner)", models: nil)
    var modelPaces: [Allowance.ModelPace] = []
    for entry in layers.flatMap(\.modelLimits) {
      let name = "\(owner)/\(entry.models.joined(separator: " "))"
      let globs = entry.models.map { Array($0.utf8) }
      if let pace = pace(name, entry.limits) { modelPaces.append(Allowance.ModelPace(models: globs, pace: pace)) }
      counted += durable(entry.limits, "limit/\(name)", models: globs)
    }
    for budget in budgets {
      // Validated when it was set: where a zone is gone since then, nothing passes.
      let calendar = try? BudgetCalendar(budget)
      var rule = Ledger.Rule(
        account("budget/\(budget.name)", .nanoDollars), amount: calendar == nil ? 0 : Amount(budget.amount),
        calendar: calendar ?? BudgetCalendar(.total, .utc))
      (rule.raise, rule.rollsOver, rule.alerts) = (budget.raise, budget.rollsOver, budget.alerts)
      rules.append(rule)
      // A provider that is not there is nobody's.
      let provider = budget.provider.map { name in providers.firstIndex(of: name) ?? -1 }
      counted.append(
        Allowance.Counted(
          account: rule.account, provider: provider,
          models: budget.models == [Policy.any] ? nil : budget.models.map { Array($0.utf8) }))
    }
    let allowance = Allowance(pace: pace(owner, limits), modelPaces: modelPaces, accounts: counted)
    return allowance.isEmpty ? nil : allowance
  }

  private func pace(_ name: String, _ limits: Limits) -> Pace? {
    if let known = paces[name], known.limits == limits {
      usedPaces[name] = known
      return known
    }
    let pace = Pace(limits)
    usedPaces[name] = pace
    return pace
  }

  private func durable(_ limits: Limits, _ name: String, models: [[UInt8]]?) -> [Allowance.Counted] {
    limits.counts.filter { $0.key.window.isDurable }.sorted { $0.key.name < $1.key.name }.map { limit, count in
      let rule = Ledger.Rule(
        account("\(name)/\(limit.name)", Account.Unit(limit.unit)), amount: Amount(clamping: count),
        calendar: BudgetCalendar(rollingSeconds: limit.window.seconds))
      rules.append(rule)
      return Allowance.Counted(account: rule.account, provider: nil, models: models)
    }
  }

  private func account(_ name: String, _ unit: Account.Unit) -> Account {
    if let known = accounts[name] { return known }
    let account = Account(name: name, unit: unit)
    accounts[name] = account
    return account
  }
}

extension Account.Unit {
  init(_ unit: LimitUnit) {
    switch unit {
    case .requests: self = .requests
    case .inputTokens: self = .inputTokens
    case .outputTokens: self = .outputTokens
    case .tokens: self = .tokens
    }
  }
}
