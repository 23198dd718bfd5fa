import Audit
import PolicyEngine
public import Primitives
import Storage

// Many changes as one: all durable and in force together, or none.
extension KeyService {
  /// Does the changes that `body` makes as one; it must not wait for anything. With `isRehearsal` they are undone, and leave no trace.
  public func atomically(isRehearsal: Bool = false, _ body: () async throws(Fault) -> Void) async throws(Fault) {
    _ = try requireVault()
    guard batch == nil else { throw Fault(.conflict, "there is a batch within this batch") }
    let putBack = checkpoint()
    try store.begin()
    batch = Batch()
    do throws(Fault) {
      try await body()
      if isRehearsal {
        store.rollBack()
        putBack()
        batch = nil
        return
      }
      try store.append(endings: batch?.endings ?? [])
      try store.commit()
    } catch {
      store.rollBack()
      putBack()
      batch = nil
      throw error
    }
    let removed = batch?.removedBudgets ?? []
    batch = nil
    await publish()
    for name in removed { try ledger?.remove("budget/\(name)") }
  }
}

/// What waits for the end of a batch, since it could not be undone.
struct Batch {
  var endings: [String] = []
  var removedBudgets: [String] = []
}

extension KeyService {
  /// What a batch may change, as it is now, to be put back. Nothing is copied until it is changed.
  private func checkpoint() -> () -> Void {
    let (keys, documents, providersByName, tamperedProviders) = (keys, documents, providersByName, tamperedProviders)
    let (teams, sharedPolicies, budgets, priceOverrides, priceList) = (
      teams, sharedPolicies, budgets, priceOverrides, priceList
    )
    let (ownTriggers, schedules) = (ownTriggers, schedules)
    return { [unowned self] in
      (self.keys, self.keyOrder, self.documents, self.providersByName) = (keys, [], documents, providersByName)
      self.tamperedProviders = tamperedProviders
      (self.teams, self.sharedPolicies, self.budgets) = (teams, sharedPolicies, budgets)
      (self.priceOverrides, self.priceList) = (priceOverrides, priceList)
      (self.ownTriggers, self.schedules, self.dues, self.knownIndex) = (ownTriggers, schedules, [:], nil)
      self.engine?.triggers = self.allTriggers()
    }
  }
}
