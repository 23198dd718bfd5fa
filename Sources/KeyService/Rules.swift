public import Domain
public import PolicyEngine
public import Primitives
public import Providers
import Storage
import Vault

/// What kinds of document there are.
public enum DocumentKind: String, Sendable, CaseIterable {
  case team, policy, budget, price, trigger, schedule, destination, rotation
  case rotationRun = "rotation-run"
  case adminToken = "admin-token"
  case alertChannel = "alert-channel"
  case silence
  case providerKey = "provider-key"

  /// How acts on it are named.
  var auditName: String { rawValue.replacing("-", with: "_") }
}

/// Kind and name of a document.
struct DocumentPlace: Hashable {
  let kind: DocumentKind
  let name: String
}

/// Whose price: a price list (or a provider's name) and a model or a glob.
public struct PriceName: Hashable, Sendable, Comparable {
  public let list: String
  public let model: String
  public init(list: String, model: String) {
    self.list = list
    self.model = model
  }
  public static func < (a: Self, b: Self) -> Bool { (a.list, a.model) < (b.list, b.model) }
  var text: String { "\(list)/\(model)" }
  init?(_ text: String) {
    guard let slash = text.firstIndex(of: "/") else { return nil }
    (list, model) = (String(text[..<slash]), String(text[text.index(after: slash)...]))
  }
}

// Teams, shared policies, budgets and prices. A change is durable, then in force for every key, then answered.
extension KeyService {
  func loadDocuments(_ vault: Vault) throws(Fault) {
    let rows = try store.documents()
    guard try store.blob(Vault.manifestBlob) == vault.manifest(rows) else {
      throw Fault(
        .tampered, "teams, policies, budgets or prices were added, removed or replaced outside maskllm", hint: "restore a backup")
    }
    (documents, teams, sharedPolicies, budgets, priceOverrides, pools) = ([:], [:], [:], [:], [:], [:])
    (ownTriggers, schedules, destinations, dues) = ([:], [:], [:], [:])
    (plans, runs, tokens) = ([:], [:], [:])
    for row in rows {
      guard let kind = DocumentKind(rawValue: row.kind) else {
        throw Fault(.storage, "the store has a document of a kind that is not known here", hint: "upgrade maskllm")
      }
      documents[DocumentPlace(kind: kind, name: row.name)] = row
      switch kind {
      case .team: teams[row.name] = try vault.document(from: row)
      case .policy: sharedPolicies[row.name] = try vault.document(from: row)
      case .budget: budgets[row.name] = try vault.document(from: row)
      case .providerKey:
        guard let id = RecordID(row.name) else { throw Fault(.tampered, "provider key '\(row.name)' cannot be read") }
        pools[id] = try vault.document(from: row)
      case .adminToken:
        guard let id = RecordID(row.name) else { throw Fault(.tampered, "token '\(row.name)' cannot be read") }
        tokens[id] = try vault.document(from: row)
      case .rotation:
        guard let id = RecordID(row.name) else { throw Fault(.tampered, "rotation '\(row.name)' cannot be read") }
        plans[id] = try vault.document(from: row)
      case .rotationRun:
        guard let id = RecordID(row.name) else { throw Fault(.tampered, "rotation '\(row.name)' cannot be read") }
        runs[id] = try vault.document(from: row)
      case .schedule: schedules[row.name] = try vault.document(from: row)
      case .alertChannel: channels[row.name] = try vault.document(from: row)
      case .silence: silences[row.name] = try vault.document(from: row)
      case .destination: destinations[row.name] = try vault.document(from: row)
      case .trigger: ownTriggers[row.name] = try vault.document(from: row)
      case .price:
        guard let name = PriceName(row.name) else { throw Fault(.tampered, "price '\(row.name)' cannot be read") }
        priceOverrides[name] = try vault.document(from: row)
      }
    }
    rebuildPrices()
  }

  private func rebuildPrices() {
    priceList = PriceList(
      overrides: priceOverrides.sorted { $0.key < $1.key }.map { .init(list: $0.key.list, model: $0.key.model, price: $0.value) })
  }

  /// Keeps `document` under the manifest; nil erases it.
  func write(_ kind: DocumentKind, _ name: String, _ document: (some Encodable)?) throws(Fault) {
    let vault = try requireVault()
    let place = DocumentPlace(kind: kind, name: name)
    var after = documents
    if let document {
      after[place] = try vault.row(
        kind: kind.rawValue, name: name, document, revision: (documents[place]?.revision ?? 0) + 1)
    } else {
      after[place] = nil
    }
    try audit("\(kind.auditName).\(document == nil ? "remove" : "set")", "\(kind.rawValue)/\(name)")
    let manifest = (Vault.manifestBlob, vault.manifest(Array(after.values)))
    try store.change(
      save: after[place].map { [$0] } ?? [], delete: document == nil ? [(kind.rawValue, name)] : [], blob: manifest)
    documents = after
  }

  func erase(_ kind: DocumentKind, _ name: String) throws(Fault) {
    _ = try requireVault()
    guard documents[DocumentPlace(kind: kind, name: name)] != nil else {
      throw Fault(.notFound, "there is no \(kind.rawValue) '\(name.prefix(64))'", hint: "see 'maskllm \(kind.rawValue) list'")
    }
    try write(kind, name, Policy?.none)
  }

  // MARK: teams and policies

  /// How many keys that have not ended are in each team and have each policy. Counted once for as long as no key changes.
  public func keyCounts() -> (teams: [String: Int], policies: [String: Int]) {
    if let knownCounts { return knownCounts }
    var counts: (teams: [String: Int], policies: [String: Int]) = ([:], [:])
    for key in keys.values where !key.state.isFinal {
      if let team = key.team { counts.teams[team, default: 0] += 1 }
      if let policy = key.sharedPolicy { counts.policies[policy, default: 0] += 1 }
    }
    knownCounts = counts
    return counts
  }

  public func setTeam(_ name: String, _ policy: Policy) async throws(Fault) {
    try DocumentName.validate(name, of: "team")
    try check(policy)
    try write(.team, name, policy)
    teams[name] = policy
    await publish()
  }

  /// Throws `.conflict` while keys are in the team.
  public func removeTeam(_ name: String) async throws(Fault) {
    try refuseWhileUsed(.team, name) { $0.team == name }
    if let budget = budgets.values.first(where: { $0.team == name }) {
      throw Fault(.conflict, "budget '\(budget.name)' is for team '\(name)'", hint: "remove it first")
    }
    try erase(.team, name)
    teams[name] = nil
    await publish()
  }

  public func setSharedPolicy(_ name: String, _ policy: Policy) async throws(Fault) {
    try DocumentName.validate(name, of: "policy")
    try check(policy)
    try write(.policy, name, policy)
    sharedPolicies[name] = policy
    await publish()
  }

  /// Throws `.conflict` while keys share it.
  public func removeSharedPolicy(_ name: String) async throws(Fault) {
    try refuseWhileUsed(.policy, name) { $0.sharedPolicy == name }
    try erase(.policy, name)
    sharedPolicies[name] = nil
    await publish()
  }

  private func refuseWhileUsed(_ kind: DocumentKind, _ name: String, _ uses: (MaskedKey) -> Bool) throws(Fault) {
    // A revoked key never comes back, and needs nothing.
    let count = keys.values.count { !$0.state.isFinal && uses($0) }
    guard count == 0 else {
      throw Fault(
        .conflict, "\(count == 1 ? "a key has" : "\(count) keys have") the \(kind.rawValue) '\(name)'",
        hint: "give them another with 'maskllm key set', or revoke them")
    }
  }

  // MARK: budgets

  /// Makes a budget or changes one; what was spent stays spent.
  public func setBudget(_ budget: Budget) async throws(Fault) {
    try budget.validate()
    if let key = budget.key, keys[key] == nil { throw Fault(.notFound, "there is no key \(key)", hint: "see 'maskllm key list'") }
    if let team = budget.team, teams[team] == nil {
      throw Fault(.notFound, "there is no team '\(team.prefix(64))'", hint: "see 'maskllm team list'")
    }
    if let provider = budget.provider, providersByName[provider] == nil {
      throw Fault(.notFound, "there is no provider '\(provider.prefix(64))'", hint: "see 'maskllm provider list'")
    }
    if let raise = budget.raise, raise.until <= clock.now.milliseconds {
      throw Fault(.invalidInput, "the end of the raise lies in the past")
    }
    try write(.budget, budget.name, budget)
    budgets[budget.name] = budget
    await publish()
  }

  public func budget(_ name: String) throws(Fault) -> Budget {
    _ = try requireVault()
    guard let budget = budgets[name] else {
      throw Fault(.notFound, "there is no budget '\(name.prefix(64))'", hint: "see 'maskllm budget list'")
    }
    return budget
  }

  /// Erases a budget and what was spent on it.
  public func removeBudget(_ name: String) async throws(Fault) {
    try erase(.budget, name)
    budgets[name] = nil
    if batch != nil { batch?.removedBudgets.append(name) }
    await publish()
    if batch == nil { try ledger?.remove("budget/\(name)") }
  }

  public func standing(ofBudget name: String) -> Ledger.Standing? { ledger?.standing("budget/\(name)", now: clock.now) }

  // MARK: ledger

  /// Takes what requests need from the ledger; one transaction.
  public func replenish(_ needs: [Charges.Need]) throws(Fault) -> [Ledger.Outcome] {
    guard let ledger else { throw Fault(.sealed, "the vault is sealed") }
    return try ledger.replenish(needs.map { ($0.account, $0.amount) }, now: clock.now)
  }

  /// Keeps what requests came to since the last time.
  public func settleLedger() throws(Fault) { try ledger?.settle() }

  /// Gives back what nobody used, at the end.
  public func closeLedger() throws(Fault) { try ledger?.close() }

  // MARK: pools

  /// Says how a provider key shares requests with the others; in force when it returns.
  public func setPool(_ id: RecordID, _ pool: PoolSettings) async throws(Fault) {
    let vault = try requireVault()
    guard providerKeys.contains(where: { $0.id == id }) else { throw Fault(.notFound, "there is no provider key \(id)") }
    try pool.validate()
    try write(.providerKey, id.description, pool)
    pools[id] = pool
    renewCredentials(of: id, vault)
    await publish()
  }

  /// Takes a provider key out of use, reversibly; the caller publishes.
  func disableProviderKey(_ id: RecordID, reason: String) throws(Fault) {
    var pool = pools[id] ?? PoolSettings()
    pool.disabledBecause = reason
    try write(.providerKey, id.description, pool)
    pools[id] = pool
    credentials = credentials.filter { $0.key.id != id }
  }

  /// Takes a provider key into use again; in force when it returns.
  public func enableProviderKey(_ id: RecordID) async throws(Fault) {
    guard var pool = pools[id], pool.disabledBecause != nil else {
      guard providerKeys.contains(where: { $0.id == id }) else { throw Fault(.notFound, "there is no provider key \(id)") }
      return
    }
    pool.disabledBecause = nil
    try await setPool(id, pool)
  }

  func forgetPool(_ id: RecordID) throws(Fault) {
    if pools[id] != nil { try erase(.providerKey, id.description) }
    pools[id] = nil
    healths = healths.filter { $0.key.id != id }
  }

  /// Lets a provider key be used again that the provider had refused.
  public func releaseProviderKey(_ id: RecordID) throws(Fault) {
    guard let health = health(of: id) else { throw Fault(.notFound, "there is no provider key \(id) that is used") }
    try audit("provider_key.release", "provider-key/\(id)")
    health.release()
  }

  // MARK: prices

  public func setPrice(_ name: PriceName, _ price: Price) async throws(Fault) {
    try ProviderName.validate(name.list)
    try ModelGlob.validate(name.model)
    guard [price.input, price.output, price.image, price.second].contains(where: { $0 != nil }) else {
      throw Fault(
        .invalidInput, "a price needs an input or an output, an image or a second",
        hint: "give --input and --output in dollars per million tokens")
    }
    try write(.price, name.text, price)
    priceOverrides[name] = price
    rebuildPrices()
    await publish()
  }

  /// Takes an override away; what is shipped is in force again.
  public func removePrice(_ name: PriceName) async throws(Fault) {
    guard priceOverrides[name] != nil else {
      throw Fault(.notFound, "there is no price of yours for '\(name.text.prefix(100))'", hint: "see 'maskllm price list --own'")
    }
    try erase(.price, name.text)
    priceOverrides[name] = nil
    rebuildPrices()
    await publish()
  }
}
