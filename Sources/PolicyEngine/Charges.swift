public import Primitives
public import Providers

/// What a request can come to at most.
public struct Bound: Sendable {
  public var inputTokens: TokenCount
  public var outputTokens: TokenCount
  /// nil when nobody has said what the model costs; only money needs it.
  public var price: Tariff?

  public init(inputTokens: TokenCount, outputTokens: TokenCount, price: Tariff?) {
    self.inputTokens = inputTokens
    self.outputTokens = outputTokens
    self.price = price
  }

  /// The same in the unit of an account; nil without a price.
  public func amount(_ unit: Account.Unit) -> Amount? {
    switch unit {
    case .requests: 1
    case .inputTokens: Amount(inputTokens)
    case .outputTokens: Amount(outputTokens)
    case .tokens: Amount(inputTokens + outputTokens)
    case .nanoDollars: price?.price.bound(inputTokens: inputTokens, outputTokens: outputTokens).map { Amount($0) }
    }
  }
}

/// Why a request cannot be counted.
public struct Denial: Error, Sendable {
  public let refusal: Refusal
  /// 0 when another try does not help by itself.
  public let retryAfterMilliseconds: Int

  public init(_ refusal: Refusal, retryAfterMilliseconds: Int = 0) {
    self.refusal = refusal
    self.retryAfterMilliseconds = retryAfterMilliseconds
  }
}

/// What one request is counted against, from admission to the end. An object that is used again, so that counting allocates
/// nothing. Belongs to one thread.
public final class Charges {
  private var paces: [Pace] = []
  private var tokens: [Pace.Hold] = []
  private var holds: [Account.Hold] = []

  public init() {}

  public var isEmpty: Bool { tokens.isEmpty && holds.isEmpty }
  /// Whether tokens or money are held.
  public var isCounting: Bool { !tokens.isEmpty || holds.contains { $0.account.unit != .requests } }

  /// What has to be taken from the ledger before a request can be counted.
  public struct Need: Sendable {
    public let account: Account
    public let amount: Amount
  }

  /// Counts a request against the paces of its key, before its body is read.
  public func admit(_ snapshot: Snapshot, key: Int, now: UInt64) throws(Denial) {
    if let pace = snapshot.allowance(ofKey: key)?.pace { try admit(pace, now) }
    if let pace = snapshot.allowance(ofTeam: key)?.pace { try admit(pace, now) }
  }

  private func admit(_ pace: Pace, _ now: UInt64) throws(Denial) {
    switch pace.admit(now: now) {
    case .admitted: paces.append(pace)
    case .tooManyAtOnce: throw Denial(.tooManyAtOnce, retryAfterMilliseconds: 1000)
    case .tooOften(let milliseconds): throw Denial(.rateLimited, retryAfterMilliseconds: milliseconds)
    }
  }

  /// Counts it against the paces that its model and its tokens concern.
  public func admit(
    _ snapshot: Snapshot, key: Int, model: Span<UInt8>, bound: Bound, now: UInt64
  ) throws(Denial) {
    if let allowance = snapshot.allowance(ofKey: key) { try admit(allowance, model, bound, now) }
    if let allowance = snapshot.allowance(ofTeam: key) { try admit(allowance, model, bound, now) }
  }

  private func admit(_ allowance: Allowance, _ model: Span<UInt8>, _ bound: Bound, _ now: UInt64) throws(Denial) {
    if let pace = allowance.pace { try take(pace, bound, now) }
    for entry in allowance.modelPaces where entry.counts(model) {
      try admit(entry.pace, now)
      try take(entry.pace, bound, now)
    }
  }

  private func take(_ pace: Pace, _ bound: Bound, _ now: UInt64) throws(Denial) {
    guard pace.countsTokens else { return }
    if let wait = pace.reserve(input: bound.inputTokens, output: bound.outputTokens, now: now, into: &tokens) {
      throw Denial(.tokensLimited, retryAfterMilliseconds: wait == .max ? 0 : wait)
    }
  }

  /// Holds the most that the request can come to on every account it counts against; all or none. What is returned has to be
  /// taken from the ledger first, and then this called again.
  public func hold(
    _ snapshot: Snapshot, key: Int, provider: Int, model: Span<UInt8>, bound: Bound, now: Timestamp
  ) throws(Denial) -> Need? {
    if let need = try hold(snapshot.allowance(ofKey: key), provider, model, bound, now) { return need }
    if let need = try hold(snapshot.allowance(ofTeam: key), provider, model, bound, now) { return need }
    return try hold(snapshot.everyone, provider, model, bound, now)
  }

  private func hold(
    _ allowance: Allowance?, _ provider: Int, _ model: Span<UInt8>, _ bound: Bound, _ now: Timestamp
  ) throws(Denial) -> Need? {
    guard let allowance else { return nil }
    for entry in allowance.accounts where entry.counts(provider: provider, model: model) {
      guard let amount = bound.amount(entry.account.unit) else {
        release()
        throw Denial(.priceUnknown)
      }
      guard let hold = entry.account.reserve(amount, now: now) else {
        release()
        return Need(account: entry.account, amount: amount)
      }
      holds.append(hold)
    }
    return nil
  }

  /// Gives back what is held of accounts.
  public func release() {
    for hold in holds { Account.settle(hold, spent: 0) }
    holds.removeAll(keepingCapacity: true)
  }

  /// Ends the counting with what the request came to; nil: it never went out, and comes to nothing. `cost` nil: whatever was held.
  public func settle(_ usage: (input: TokenCount, output: TokenCount, cost: NanoDollars?)?, now: UInt64) {
    for pace in paces { pace.finish() }
    for hold in tokens { Pace.settle(hold, input: usage?.input ?? 0, output: usage?.output ?? 0, now: now) }
    for hold in holds {
      guard let usage else {
        Account.settle(hold, spent: 0)
        continue
      }
      switch hold.account.unit {
      case .requests: Account.settle(hold, spent: 1)
      case .inputTokens: Account.settle(hold, spent: Amount(usage.input))
      case .outputTokens: Account.settle(hold, spent: Amount(usage.output))
      case .tokens: Account.settle(hold, spent: Amount(usage.input + usage.output))
      case .nanoDollars: Account.settle(hold, spent: usage.cost.map { Amount($0) } ?? hold.amount)
      }
    }
    paces.removeAll(keepingCapacity: true)
    tokens.removeAll(keepingCapacity: true)
    holds.removeAll(keepingCapacity: true)
  }
}

extension Snapshot {
  func allowance(ofKey key: Int) -> Allowance? { allowances.isEmpty ? nil : allowances[key] }

  func allowance(ofTeam key: Int) -> Allowance? {
    let team = keys[key].team
    return team == .max ? nil : teamAllowances[Int(team)]
  }

  /// Whether anything but scopes concerns requests of the key at `index`.
  public func counts(key index: Int) -> Bool {
    allowance(ofKey: index) != nil || allowance(ofTeam: index) != nil || everyone != nil
  }

  /// Whether the model, or how many tokens there can be, has to be known before a request of the key at `index` may go on.
  public func readsBody(key index: Int) -> Bool {
    restrictsModels(key: index) || outputTokensMax(key: index) != nil || boundsBody(key: index)
  }

  /// Whether requests of the key at `index` are counted by what is in their body.
  public func boundsBody(key index: Int) -> Bool {
    allowance(ofKey: index)?.readsBody ?? false || allowance(ofTeam: index)?.readsBody ?? false || everyone?.readsBody ?? false
  }

  /// Whether it matters how many tokens requests of the key at `index` can take.
  public func countsTokens(key index: Int) -> Bool {
    allowance(ofKey: index)?.countsTokens ?? false || allowance(ofTeam: index)?.countsTokens ?? false
      || everyone?.countsTokens ?? false
  }

  /// Whether requests of the key at `index` count against money.
  public func hasBudget(key index: Int) -> Bool {
    allowance(ofKey: index)?.hasBudget ?? false || allowance(ofTeam: index)?.hasBudget ?? false || everyone?.hasBudget ?? false
  }

  /// Whether the key at `index` is counted in ways that a process without the ledger, and without the request, can count.
  public func isLendable(key index: Int) -> Bool {
    func isLendable(_ allowance: Allowance?) -> Bool { allowance.map { !$0.readsBody && $0.accounts.isEmpty } ?? true }
    return isLendable(allowance(ofKey: index)) && isLendable(allowance(ofTeam: index)) && isLendable(everyone)
  }

  /// Counts the loan of a real key as a request that is over at once. Allocates nothing.
  public func countLoan(key index: Int, now: UInt64) throws(Denial) {
    func count(_ pace: Pace?) throws(Denial) {
      switch pace?.admit(now: now) {
      case nil: return
      case .admitted: pace?.finish()
      case .tooManyAtOnce: throw Denial(.tooManyAtOnce, retryAfterMilliseconds: 1000)
      case .tooOften(let milliseconds): throw Denial(.rateLimited, retryAfterMilliseconds: milliseconds)
      }
    }
    try count(allowance(ofKey: index)?.pace)
    try count(allowance(ofTeam: index)?.pace)
  }

  /// What `model` costs at the upstream at `provider`; nil when nobody has said.
  public func price(provider: Int, model: Span<UInt8>) -> Tariff? {
    let lists = priceLists[provider]
    if let own = lists.own, let price = prices.price(list: own, model: model) { return price }
    return lists.shared.flatMap { prices.price(list: $0, model: model) }
  }

  /// What the pace of the key at `index` says of itself: of requests, or of tokens.
  public func reading(key index: Int, ofTokens: Bool, now: UInt64) -> Pace.Reading? {
    allowance(ofKey: index)?.pace?.reading(ofTokens: ofTokens, now: now)
      ?? allowance(ofTeam: index)?.pace?.reading(ofTokens: ofTokens, now: now)
  }
}
