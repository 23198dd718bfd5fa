import Audit
import Domain
public import Primitives
import Providers
import Storage
public import Vault

/// What is still under keys that newer ones have followed.
public struct KeyringState: Sendable {
  public var dataKeys: [UInt32] = []
  public var peppers: [UInt32] = []
  /// Sealed records, and those of them that are under an older data key.
  public var records = 0
  public var outdatedRecords = 0
  /// Masked keys that have not ended and admin tokens, and those of them whose present secret is hashed with an older pepper.
  public var hashed = 0
  public var outdatedKeys: [RecordID] = []
  public var outdatedTokens: [RecordID] = []
}

// New keys under everything, while everything goes on.
extension KeyService {
  /// Makes the root key, the data key or the pepper anew; `secret` is what opens the vault now.
  public func rotate(_ change: Rekeying, named name: String, secret: Span<UInt8>) async throws(Fault) {
    try await adopt(change, "vault.rotate_\(name)", secret)
  }

  /// Written down and done as one: a wrong secret leaves neither.
  private func adopt(_ change: Rekeying, _ act: String, _ secret: Span<UInt8>) async throws(Fault) {
    let vault = try requireVault()
    try store.begin()
    do throws(Fault) {
      try audit(act, "vault")
      let renewed = try vault.rekeyed(store, secret: secret, change)
      try store.commit()
      self.vault = renewed
    } catch {
      store.rollBack()
      throw error
    }
    await publish()
  }

  /// Forgets data keys and peppers that nothing needs any more. Secrets that have been replaced and were hashed with such a pepper are not
  /// recognised from then on: they are refused like any text that is no key.
  public func retireKeys(secret: Span<UInt8>) async throws(Fault) {
    let vault = try requireVault()
    var data: Set<UInt32> = []
    try forEachSealed { sealed in vault.dataKeyVersion(of: sealed).map { _ = data.insert($0) } }
    var peppers = Set(keys.values.filter { !$0.state.isFinal }.map(\.pepperVersion)).union(tokens.values.map(\.pepperVersion))
    for key in keys.values where !key.state.isFinal {
      for old in key.details.older where (old.validUntil ?? .max) > clock.now.milliseconds { peppers.insert(old.pepperVersion) }
    }
    try await adopt(.retire(keepingData: data, keepingPeppers: peppers), "vault.retire", secret)
  }

  public func keyringState() throws(Fault) -> KeyringState {
    let vault = try requireVault()
    var state = KeyringState(dataKeys: vault.dataKeyVersions, peppers: vault.pepperVersions)
    try forEachSealed { sealed in
      state.records += 1
      if vault.isOutdated(sealed) { state.outdatedRecords += 1 }
    }
    let living = keys.values.filter { !$0.state.isFinal }
    state.hashed = living.count + tokens.count
    state.outdatedKeys = living.filter { $0.pepperVersion != vault.pepperVersion }.map(\.id).sorted()
    state.outdatedTokens = tokens.filter { $0.value.pepperVersion != vault.pepperVersion }.map(\.key).sorted()
    return state
  }

  private func rotationOrigin(_ plan: RotationPlan) throws(Fault) -> String {
    if plan.connector == RotationPlan.webhook { return try Self.origin(plan.address ?? "") }
    guard let connector = connectors()[plan.connector] else {
      throw Fault(.notFound, "there is no connector '\(plan.connector)'")
    }
    return try BaseURL(plan.address ?? connector.baseURL.text).origin
  }

  private func forEachSealed(_ look: ([UInt8]) -> Void) throws(Fault) {
    for key in providerKeys { look(key.sealed) }
    for destination in destinations.values { if let sealed = destination.sealed { look(sealed) } }
    for channel in channels.values { if let sealed = channel.sealed { look(sealed) } }
    for plan in plans.values { if let sealed = plan.sealed { look(sealed) } }
    for name in try store.answerNames() { if let answer = try store.answer(name) { look(answer.sealed) } }
    if let keys = try auditLog().keys() { look(keys.sealedKey) }
    try store.forEachCapture(of: nil, before: .max) { row in
      look(row.sealed)
      return true
    }
  }

  /// Seals at most `limit` records that are under an older data key again; how many there were. What does not open stays as it is.
  public func resealSome(_ limit: Int) throws(Fault) -> Int {
    guard let vault, vault.dataKeyVersions.count > 1 else { return 0 }
    var count = 0
    for i in providerKeys.indices where count < limit && vault.isOutdated(providerKeys[i].sealed) {
      guard let provider = providersByName[providerKeys[i].provider], let key = try? vault.resealed(providerKeys[i], of: provider)
      else { continue }
      try store.reseal(key)
      providerKeys[i] = key
      count += 1
    }
    for (name, destination) in destinations where count < limit {
      guard let sealed = destination.sealed, vault.isOutdated(sealed), let origin = (try? destination.origin()) ?? nil
      else { continue }
      guard let renewed = try? vault.resealed(sealed, for: "destination/\(name)", hosts: [origin]) else { continue }
      var destination = destination
      destination.sealed = renewed
      try write(.destination, name, destination)
      destinations[name] = destination
      count += 1
    }
    for (name, channel) in channels where count < limit {
      guard let sealed = channel.sealed, vault.isOutdated(sealed), let origin = try? channel.origin(),
        let renewed = try? vault.resealed(sealed, for: "alert-channel/\(name)", hosts: [origin])
      else { continue }
      var channel = channel
      channel.sealed = renewed
      try write(.alertChannel, name, channel)
      channels[name] = channel
      count += 1
    }
    for (id, plan) in plans where count < limit {
      guard let sealed = plan.sealed, vault.isOutdated(sealed), let origin = try? rotationOrigin(plan) else { continue }
      guard let renewed = try? vault.resealed(sealed, for: "rotation/\(id)", hosts: [origin]) else { continue }
      var plan = plan
      plan.sealed = renewed
      try write(.rotation, id.description, plan)
      plans[id] = plan
      count += 1
    }
    for name in try store.answerNames() where count < limit {
      guard let answer = try store.answer(name), vault.isOutdated(answer.sealed),
        let renewed = try? vault.resealed(answer.sealed, for: Self.place(name), hosts: [])
      else { continue }
      try store.save(answer: name, at: answer.at, sealed: renewed)
      count += 1
    }
    var outdated: [CaptureRow] = []
    try store.forEachCapture(of: nil, before: .max) { row in
      if vault.isOutdated(row.sealed) { outdated.append(row) }
      return outdated.count < limit
    }
    for row in outdated where count < limit {
      guard let renewed = try? vault.resealed(row.sealed, for: "capture/\(row.key)", hosts: []) else { continue }
      try store.resealCapture(row.number, renewed)
      count += 1
    }
    if let keys = try auditLog().keys(), vault.isOutdated(keys.sealedKey) {
      try auditLog().reseal()
      count += 1
    }
    return count
  }

  /// Takes the hash of a key's text under the newest pepper from where the text was just seen and found right; in force some seconds later,
  /// so that many keys need few publications.
  public func rehash(_ id: RecordID, version: UInt32, hash: [UInt8], pepperVersion: UInt32) throws(Fault) {
    guard let vault, var key = keys[id], key.details.version == version, !key.state.isFinal,
      key.pepperVersion < pepperVersion, pepperVersion == vault.pepperVersion, hash.count == 32
    else { return }
    (key.hash, key.pepperVersion) = (hash, pepperVersion)
    key.revision += 1
    try store.save(try vault.row(for: key))
    keys[id] = key
    due = min(due ?? .max, clock.now.milliseconds + 5000)
  }
}
