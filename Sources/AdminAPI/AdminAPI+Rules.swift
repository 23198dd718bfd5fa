import Domain
import KeyService
import PolicyEngine
import Primitives
import Providers

// Teams, shared policies, budgets and prices.
extension AdminAPI {
  // MARK: teams and policies

  func listNamedPolicies(_ r: borrowing AdminRequest, _ kind: DocumentKind) throws(Fault) -> AdminResponse {
    try page(r, of: try namedPolicies(kind), by: \.name) { $0 }
  }

  func showNamedPolicy(_ r: borrowing AdminRequest, _ kind: DocumentKind, _ name: String) throws(Fault) -> AdminResponse {
    try one(
      r, "\(kind == .team ? "team" : "policy") '\(name.prefix(64))'", try namedPolicies(kind).first { $0.name == name })
  }

  /// Those that the caller may know of.
  private func namedPolicies(_ kind: DocumentKind) throws(Fault) -> [NamedPolicyDocument] {
    var all = kind == .team ? service.teams : service.sharedPolicies
    if let team = Caller.current.team {
      let own = Set(try service.unorderedKeys().filter { $0.team == team && !$0.state.isFinal }.compactMap(\.sharedPolicy))
      all = all.filter { name, _ in kind == .team ? name == team : own.contains(name) }
    } else if service.isSealed {
      try service.requireOpen()
    }
    return all.sorted { $0.key < $1.key }.map { document(kind, $0.key, $0.value) }
  }

  private func document(_ kind: DocumentKind, _ name: String, _ policy: Policy) -> NamedPolicyDocument {
    let counts = service.keyCounts()
    return NamedPolicyDocument(
      name: name, policy: PolicyDocument(policy), keys: (kind == .team ? counts.teams : counts.policies)[name] ?? 0)
  }

  func setNamedPolicy(_ r: borrowing AdminRequest, _ kind: DocumentKind, _ name: String) async throws(Fault) -> AdminResponse {
    let document: PolicyDocument = try decode(r)
    let policy = try document.policy(providers: [Policy.any])
    if kind == .team { try await service.setTeam(name, policy) } else { try await service.setSharedPolicy(name, policy) }
    return try encode(self.document(kind, name, policy))
  }

  func removeNamedPolicy(_ r: borrowing AdminRequest, _ kind: DocumentKind, _ name: String) async throws(Fault)
    -> AdminResponse
  {
    try allow(r, query: [])
    if kind == .team { try await service.removeTeam(name) } else { try await service.removeSharedPolicy(name) }
    return AdminResponse(status: 204, body: [])
  }

  // MARK: budgets

  func listBudgets(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    return try page(r, of: service.budgets.values.filter(isOwn), by: \.name, document)
  }

  private func document(_ budget: Budget) -> BudgetDocument {
    BudgetDocument(budget, service.standing(ofBudget: budget.name))
  }

  /// Whether the caller may know of it: it is of their team, or of a key of it.
  private func isOwn(_ budget: Budget) -> Bool {
    guard let team = Caller.current.team else { return true }
    return budget.team == team || budget.key.flatMap { try? service.key($0).team } == team
  }

  func showBudget(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    let budget = try service.budget(name)
    guard isOwn(budget) else {
      throw Fault(.notFound, "there is no budget '\(name.prefix(64))'", hint: "see 'maskllm budget list'")
    }
    return try encode(document(budget))
  }

  func setBudget(_ r: borrowing AdminRequest, _ name: String) async throws(Fault) -> AdminResponse {
    let document: BudgetDocument = try decode(r)
    let budget = try document.budget(named: name)
    try await service.setBudget(budget)
    return try encode(self.document(budget))
  }

  func raiseBudget(_ r: borrowing AdminRequest, _ name: String) async throws(Fault) -> AdminResponse {
    let document: RaiseDocument = try decode(r)
    var budget = try service.budget(name)
    budget.raise = try document.raise()
    try await service.setBudget(budget)
    return try encode(self.document(budget))
  }

  func removeBudget(_ r: borrowing AdminRequest, _ name: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.removeBudget(name)
    return AdminResponse(status: 204, body: [])
  }

  // MARK: prices

  /// All of a list: yours first, then what is shipped.
  func listPrices(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    let glob = Array((r.query["model"] ?? "*").utf8)
    let provider = r.query["provider"]
    func isWanted(_ list: String, _ model: String) -> Bool {
      let name = Array(model.utf8)
      return (provider == nil || provider == list) && ModelGlob.matches(glob.span, name.span)
    }
    var found = service.priceOverrides.sorted { $0.key < $1.key }.filter { isWanted($0.key.list, $0.key.model) }.map {
      PriceDocument($0.key, $0.value, source: "own")
    }
    if r.query["own"] == nil {
      for entry in PriceList.shippedEntries where isWanted(entry.list, entry.model) {
        found.append(PriceDocument(PriceName(list: entry.list, model: entry.model), entry.price, source: PriceList.shippedDate))
      }
    }
    return try page(
      r, of: found, filters: ["provider", "model", "own"],
      by: { "\($0.source == "own" ? 0 : 1)/\($0.provider ?? "")/\($0.model ?? "")" }
    ) { $0 }
  }

  /// Yours, else what is shipped.
  func showPrice(_ r: borrowing AdminRequest, _ provider: String, _ model: String) throws(Fault) -> AdminResponse {
    let name = PriceName(list: provider, model: model)
    let own = service.priceOverrides[name].map { PriceDocument(name, $0, source: "own") }
    let shipped = PriceList.shippedEntries.first { $0.list == provider && $0.model == model }.map {
      PriceDocument(name, $0.price, source: PriceList.shippedDate)
    }
    return try one(r, "price of '\(model.prefix(64))' at '\(provider.prefix(64))'", own ?? shipped)
  }

  func setPrice(_ r: borrowing AdminRequest, _ provider: String, _ model: String) async throws(Fault) -> AdminResponse {
    let document: PriceDocument = try decode(r)
    let name = PriceName(list: provider, model: model)
    let price = try document.price()
    try await service.setPrice(name, price)
    return try encode(PriceDocument(name, price, source: "own"))
  }

  func removePrice(_ r: borrowing AdminRequest, _ provider: String, _ model: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.removePrice(PriceName(list: provider, model: model))
    return AdminResponse(status: 204, body: [])
  }
}
