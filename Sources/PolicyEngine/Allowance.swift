import Domain
import Primitives

/// Everything that the requests of a key, of a team, or of all keys are counted against.
public final class Allowance: Sendable {
  /// An account, and which requests count against it.
  final class Counted: Sendable {
    let account: Account
    /// Position of a provider; nil: all.
    let provider: Int?
    /// nil: all.
    let models: [[UInt8]]?

    init(account: Account, provider: Int?, models: [[UInt8]]?) {
      (self.account, self.provider, self.models) = (account, provider, models)
    }

    func counts(provider index: Int, model: Span<UInt8>) -> Bool {
      if let provider, provider != index { return false }
      guard let models else { return true }
      return ModelGlob.any(of: models, match: model)
    }
  }

  final class ModelPace: Sendable {
    let models: [[UInt8]]
    let pace: Pace

    init(models: [[UInt8]], pace: Pace) { (self.models, self.pace) = (models, pace) }

    func counts(_ model: Span<UInt8>) -> Bool { ModelGlob.any(of: models, match: model) }
  }

  let pace: Pace?
  let modelPaces: [ModelPace]
  let accounts: [Counted]
  /// Whether the model has to be known, and how many tokens there can be, before a request may go on.
  let readsBody: Bool
  /// Whether it matters how many tokens there can be.
  let countsTokens: Bool
  let hasBudget: Bool

  init(pace: Pace?, modelPaces: [ModelPace], accounts: [Counted]) {
    self.pace = pace
    self.modelPaces = modelPaces
    self.accounts = accounts
    hasBudget = accounts.contains { $0.account.unit == .nanoDollars }
    countsTokens =
      pace?.countsTokens ?? false || modelPaces.contains { $0.pace.countsTokens }
      || accounts.contains { $0.account.unit != .requests }
    readsBody = countsTokens || !modelPaces.isEmpty || accounts.contains { $0.models != nil }
  }

  var isEmpty: Bool { pace == nil && modelPaces.isEmpty && accounts.isEmpty }
}
