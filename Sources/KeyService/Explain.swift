public import Domain
public import PolicyEngine
public import Primitives
import Cryptography
import Vault

// What would happen to a request.
extension KeyService {
  /// Explains `request` of the key `id`, as of now; nothing is counted.
  public func explain(key id: RecordID, _ request: AskedRequest) throws(Fault) -> Explanation {
    _ = try key(id)
    let snapshot = inForce ?? snapshot()
    guard let index = snapshot.position(of: id) else { throw Fault(.notFound, "key \(id) is of a pepper that is not known") }
    var told = snapshot.explain(key: index, request)
    for (account, bound) in told.counted { explain(account, bound, request.at, &told) }
    return told
  }

  /// Explains `request` of a key that had `policy` and nothing else.
  public func explain(policy: Policy, _ request: AskedRequest) throws(Fault) -> Explanation {
    let vault = try requireVault()
    try check(policy)
    guard let pepper = vault.peppers().last else { throw Fault(.tampered, "the vault has no pepper") }
    let key = MaskedKey(
      id: .random(randomness), name: "asked", grant: Grant(policy: policy), state: .active, createdAt: request.at, expiresAt: nil,
      hash: [UInt8](repeating: 0, count: 32), pepperVersion: pepper.version, revision: 1)
    var book = Rulebook()
    book.prices = priceList
    let upstreams = self.upstreams()
    // Counters of its own: none of what was used is this policy's.
    _ = Counters().fill(&book, keys: [key], budgets: [], providers: upstreams.map(\.provider.name))
    let snapshot = Snapshot(generation: 0, keys: [key], peppers: [pepper], upstreams: upstreams, rulebook: book)
    return snapshot.explain(key: 0, request)
  }

  private func explain(_ account: Account, _ bound: Bound, _ now: Timestamp, _ told: inout Explanation) {
    let money = account.unit == .nanoDollars
    func text(_ amount: Amount) -> String { money ? "\(NanoDollars(amount.count).dollars) USD" : "\(amount)" }
    guard let standing = ledger?.standing(account.name, now: now), let need = bound.amount(account.unit) else {
      told.add(account.name, "what the request can come to is not known", .refuse(money ? .priceUnknown : .ledgerUnavailable))
      return
    }
    let left = standing.limit - standing.spent - standing.held
    let refusal: Refusal = money ? .budgetExhausted : account.unit == .requests ? .rateLimited : .tokensLimited
    told.add(
      account.name, "\(text(max(0, left))) of \(text(standing.limit)) are left; the request can come to \(text(need))",
      need <= left ? .pass : .refuse(refusal))
  }
}
