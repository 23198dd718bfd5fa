import Domain
import KeyService
import PolicyEngine
import Primitives
import Providers

// Budgets and prices over the wire.

/// A budget. Amounts are dollars in decimal, as text: no floating-point number is ever made of them.
public struct BudgetDocument: Codable, Sendable, AnsweredDocument {
  public var name: String?
  public var usd: String
  /// `hour`, `day`, `week`, `month`, `quarter`, `year` or `total`.
  public var window: String
  public var rolling: Bool?
  public var time_zone: String?
  public var key: String?
  public var team: String?
  public var provider: String?
  public var models: [String]?
  /// Percentages.
  public var alerts: [Int]?
  public var rolls_over: Bool?
  public var raise: RaiseDocument?
  /// Where it stands; only in answers.
  public var state: BudgetStateDocument?
  static let onlyInAnswers: Set = ["name", "state"]
  public init(usd: String, window: String) {
    self.usd = usd
    self.window = window
  }
}

/// More, until a moment.
public struct RaiseDocument: Codable, Sendable {
  public var usd: String
  public var until: String
  public init(usd: String, until: String) {
    self.usd = usd
    self.until = until
  }
}

/// Where a budget stands in the window in force.
public struct BudgetStateDocument: Codable, Sendable {
  public var limit_usd: String
  public var spent_usd: String
  /// The part of it that nobody counted.
  public var estimated_usd: String
  public var held_usd: String
  public var left_usd: String
  public var carried_usd: String
  public var window_start: String
  public var window_end: String?
}

/// The price of a model: dollars per million tokens (`image`: per image, `second`: per second of sound) in decimal, as text; `max_…` and `tier_above` in tokens.
public struct PriceDocument: Codable, Sendable, AnsweredDocument {
  public var provider: String?
  public var model: String?
  /// `own` or the date of the shipped list; only in answers.
  public var source: String?
  public var prices: [String: String]
  static let onlyInAnswers: Set = ["provider", "model", "source"]
  public init(prices: [String: String]) { self.prices = prices }
}

extension BudgetDocument {
  init(_ budget: Budget, _ standing: Ledger.Standing?) {
    self.init(usd: budget.amount.dollars, window: budget.window.rawValue)
    name = budget.name
    (rolling, time_zone, key, team, provider) = (
      budget.isRolling, budget.zone, budget.key?.description, budget.team, budget.provider
    )
    (models, alerts, rolls_over) = (budget.models, budget.alerts, budget.rollsOver)
    raise = budget.raise.map {
      RaiseDocument(usd: $0.amount.dollars, until: Timestamp(milliseconds: $0.until).rfc3339)
    }
    state = standing.map(BudgetStateDocument.init)
  }

  func budget(named name: String) throws(Fault) -> Budget {
    guard let window = Budget.Window(rawValue: window) else {
      let names = Budget.Window.allCases.map(\.rawValue).joined(separator: ", ")
      throw Fault(.invalidInput, "there is no window of that name", hint: "use one of: \(names)")
    }
    var budget = Budget(name: name, amount: try dollars(usd), window: window)
    budget.isRolling = rolling ?? false
    budget.zone = time_zone ?? budget.zone
    if let key {
      guard let id = RecordID(key) else { throw Fault(.invalidInput, "that is no ID", hint: "an ID has 12 letters and digits") }
      budget.key = id
    }
    (budget.team, budget.provider, budget.models) = (team, provider, models ?? [Policy.any])
    (budget.alerts, budget.rollsOver) = (alerts ?? budget.alerts, rolls_over ?? false)
    if let raise { budget.raise = try raise.raise() }
    return budget
  }
}

extension RaiseDocument {
  func raise() throws(Fault) -> Budget.Raise {
    guard let until = try moment(until) else { throw Fault(.invalidInput, "a raise needs an end") }
    return Budget.Raise(amount: try dollars(usd), until: until.milliseconds)
  }
}

private func dollars(_ text: String) throws(Fault) -> NanoDollars {
  guard let amount = NanoDollars(dollars: text) else {
    throw Fault(.invalidInput, "that is no amount of dollars", hint: "write it as 12 or 0.25")
  }
  return amount
}

extension BudgetStateDocument {
  init(_ standing: Ledger.Standing) {
    func usd(_ amount: Amount) -> String { NanoDollars(amount.count).dollars }
    self.init(
      limit_usd: usd(standing.limit), spent_usd: usd(standing.spent), estimated_usd: usd(standing.estimated),
      held_usd: usd(standing.held), left_usd: usd(max(0, standing.limit - standing.spent - standing.held)),
      carried_usd: usd(standing.carried), window_start: Timestamp(milliseconds: standing.span.start).rfc3339,
      window_end: standing.span.end == .max ? nil : Timestamp(milliseconds: standing.span.end).rfc3339)
  }
}

extension PriceDocument {
  init(_ name: PriceName, _ price: Price, source: String) {
    self.init(prices: [:])
    (provider, model, self.source) = (name.list, name.model, source)
    for (column, value) in price.values {
      prices[column] = Price.isCount(column) ? "\(value)" : NanoDollars(value).dollars
    }
  }

  func price() throws(Fault) -> Price {
    var price = Price()
    for (column, text) in prices {
      let value = Price.isCount(column) ? ASCII.decimal(Array(text.utf8).span).map(Int64.init) : NanoDollars(dollars: text)?.count
      guard let value else {
        throw Fault(.invalidInput, "the price '\(column.prefix(40))' is no amount", hint: "write it as 2.50")
      }
      guard value <= Price.valueMax else {
        throw Fault(
          .invalidInput, "the price '\(column.prefix(40))' is above \(NanoDollars(Price.valueMax).dollars)",
          hint: "prices are US dollars a million tokens, a picture or a second")
      }
      guard price.set(column, value) else {
        throw Fault(
          .invalidInput, "there is no price '\(column.prefix(40))'",
          hint: "use some of: \(Price.columnNames.joined(separator: ", "))")
      }
    }
    return price
  }
}
