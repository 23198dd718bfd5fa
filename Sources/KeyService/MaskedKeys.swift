public import Audit
public import Domain
public import Primitives
import Providers
import Storage
public import Vault

// Masked keys.
extension KeyService {
  /// Most keys that one call makes.
  public static let createMax = 1000

  /// Makes a key. Its text exists only in what this returns.
  public func createKey(
    name: String, grant: Grant, expiresAt: Timestamp?, prefix: String = MaskedKeyFormat.defaultPrefix, tags: [String] = [],
    isDecoy: Bool = false
  ) async throws(Fault) -> CreatedKey {
    let vault = try requireVault()
    try check(name: name, grant, expiresAt: expiresAt, prefix: prefix)
    try KeyDetails.validate(tags: tags)
    let created = issue(vault, name: name, grant, expiresAt: expiresAt, prefix: prefix, tags: tags, isDecoy: isDecoy)
    try audit("key.create", "key/\(created.key.id)", ["name": name])
    try store.save(try vault.row(for: created.key))
    keys[created.key.id] = created.key
    await publish()
    return created
  }

  /// Gives a key another policy, team or shared policy; in force when it returns.
  public func regrantKey(_ id: RecordID, _ grant: Grant) async throws(Fault) -> MaskedKey {
    let vault = try requireVault()
    var key = try key(id)
    try check(name: key.name, grant, expiresAt: nil, prefix: MaskedKeyFormat.defaultPrefix)
    guard key.grant != grant else { return key }
    (key.policy, key.sharedPolicy, key.team) = (grant.policy, grant.sharedPolicy, grant.team)
    key.revision += 1
    try audit("key.regrant", "key/\(id)")
    try store.save(try vault.row(for: key))
    keys[id] = key
    await publish()
    return key
  }

  /// Gives a key other tags, and lifts what a trigger has left of it.
  public func retagKey(_ id: RecordID, _ tags: [String]) async throws(Fault) -> MaskedKey {
    try KeyDetails.validate(tags: tags)
    return try await edit(id, "key.tag", ["tags": tags.joined(separator: " ")], by: .administrator) { $0.details.tags = tags }
  }

  /// Leaves a key so many requests a minute; nil: as many as its policy says.
  public func throttleKey(_ id: RecordID, _ requestsPerMinute: Int?, reason: String?, by actor: Actor = .administrator)
    async throws(Fault) -> MaskedKey
  {
    if let requestsPerMinute, !(1...1_000_000).contains(requestsPerMinute) {
      throw Fault(.invalidInput, "the requests a minute are no number from 1 to 1000000")
    }
    return try await edit(
      id, "key.throttle", ["requests_per_minute": requestsPerMinute.map(String.init) ?? "none"], by: actor
    ) {
      $0.details.throttle = requestsPerMinute
      $0.details.reason = requestsPerMinute == nil ? nil : reason
    }
  }

  /// Changes a key that is not at its end: written down, durable, in force.
  func edit(
    _ id: RecordID, _ act: String, _ details: [String: String], by actor: Actor, _ change: (inout MaskedKey) -> Void
  ) async throws(Fault) -> MaskedKey {
    let vault = try requireVault()
    var key = try key(id)
    guard !key.state.isFinal else { throw Fault(.conflict, "key \(id) is \(key.state.rawValue), which is final") }
    let before = key
    change(&key)
    guard key != before else { return key }
    key.revision += 1
    try audit(act, "key/\(id)", details, by: actor)
    try store.save(try vault.row(for: key))
    keys[id] = key
    await publish()
    return key
  }

  /// Makes `count` keys named `name-1`, `name-2`, …, all or none, and hands each to `take`.
  public func createKeys(
    _ count: Int, name: String, grant: Grant, expiresAt: Timestamp?, prefix: String = MaskedKeyFormat.defaultPrefix,
    tags: [String] = [], isDecoy: Bool = false,
    _ take: (borrowing CreatedKey) -> Void
  ) async throws(Fault) {
    let vault = try requireVault()
    guard (1...Self.createMax).contains(count) else {
      throw Fault(.invalidInput, "the count is no number from 1 to \(Self.createMax)")
    }
    try check(name: "\(name)-\(count)", grant, expiresAt: expiresAt, prefix: prefix)
    try KeyDetails.validate(tags: tags)
    var made: [MaskedKey] = []
    for n in 1...count {
      let created = issue(vault, name: "\(name)-\(n)", grant, expiresAt: expiresAt, prefix: prefix, tags: tags, isDecoy: isDecoy)
      made.append(created.key)
      take(created)
    }
    let rows = try vault.rows(for: made)
    try audit("key.create", made.map { "key/\($0.id)" }, ["name": name])
    try store.insert(rows)
    for key in made { keys[key.id] = key }
    await publish()
  }

  private func check(name: String, _ grant: Grant, expiresAt: Timestamp?, prefix: String) throws(Fault) {
    try Label.validate(name, of: "name")
    try check(grant.policy)
    try MaskedKeyFormat.validate(prefix: prefix)
    if let expiresAt, expiresAt <= clock.now { throw Fault(.invalidInput, "the expiry lies in the past") }
    for (kind, parent, all) in [("policy", grant.sharedPolicy, sharedPolicies), ("team", grant.team, teams)] {
      guard let parent else { continue }
      guard let policy = all[parent] else {
        throw Fault(.notFound, "there is no \(kind) '\(parent.prefix(64))'", hint: "see 'maskllm \(kind) list'")
      }
      if let list = grant.policy.firstExcess(over: policy) {
        throw Fault(
          .forbidden, "\(kind) '\(parent)' does not permit all of these \(list)", hint: "nobody can grant more than they hold")
      }
    }
  }

  /// What `Policy` cannot know of itself: which providers and endpoint classes there are.
  func check(_ policy: Policy) throws(Fault) {
    try policy.validate()
    for provider in policy.providers where provider != Policy.any && providersByName[provider] == nil {
      throw Fault(.notFound, "there is no provider '\(provider)'", hint: "see 'maskllm provider list'")
    }
    for name in policy.endpoints where name != Policy.any && !EndpointClass.allCases.contains(where: { "\($0.name)" == name }) {
      let names = EndpointClass.allCases.map { "\($0.name)" }.joined(separator: ", ")
      throw Fault(.invalidInput, "there is no endpoint class '\(name)'", hint: "use some of: \(names)")
    }
  }

  private func issue(
    _ vault: Vault, name: String, _ grant: Grant, expiresAt: Timestamp?, prefix: String, tags: [String], isDecoy: Bool
  ) -> CreatedKey {
    let id = RecordID.random(randomness)
    let secret = vault.issueSecret(prefix: prefix, id: id)
    var details = KeyDetails()
    (details.prefix, details.tags, details.isDecoy) = (prefix, tags, isDecoy)
    let key = MaskedKey(
      id: id, name: name, grant: grant, state: .active,
      createdAt: clock.now, expiresAt: expiresAt, hash: secret.hash,
      pepperVersion: secret.pepperVersion, details: details, revision: 1)
    return CreatedKey(key: key, secret: secret)
  }

  /// Throws `.sealed` where there is nothing to show because nothing is known.
  public func requireOpen() throws(Fault) { _ = try requireVault() }

  /// All keys, in no order.
  public func unorderedKeys() throws(Fault) -> some Collection<MaskedKey> {
    try requireOpen()
    return keys.values
  }

  /// All keys, the oldest first.
  public func listKeys() throws(Fault) -> [MaskedKey] {
    var all: [MaskedKey] = []
    try forEachKey { key in
      all.append(key)
      return true
    }
    return all
  }

  /// Goes through the keys, the oldest first, from behind the one that was made then and has that ID, until `body` says false.
  public func forEachKey(after place: (madeAt: Timestamp, id: RecordID)? = nil, _ body: (MaskedKey) -> Bool) throws(Fault) {
    try requireOpen()
    // Keys are never taken away one by one: as many as before are the same.
    if keyOrder.count != keys.count {
      keyOrder = keys.values.map { ($0.createdAt, $0.id) }.sorted { $0 < $1 }
    }
    var (low, high) = (0, keyOrder.count)
    while let place, low < high {
      let middle = (low + high) / 2
      if keyOrder[middle] <= (place.madeAt, place.id) { low = middle + 1 } else { high = middle }
    }
    for (_, id) in keyOrder[low...] { if let key = keys[id], !body(key) { return } }
  }

  public func key(_ id: RecordID) throws(Fault) -> MaskedKey {
    _ = try requireVault()
    if tamperedKeys.contains(id) {
      throw Fault(.tampered, "masked key \(id) was changed outside maskllm", hint: "create a new one")
    }
    guard let key = keys[id] else { throw Fault(.notFound, "there is no key \(id)", hint: "see 'maskllm key list'") }
    return key
  }

  /// Disables, enables, revokes or destroys a key: in force on this node when it returns. Doing it twice is no error.
  ///
  /// `reason` says why, where that is not an administrator's doing alone. Destroying erases what its secrets could be recognised
  /// by; a line that says that there was such a key stays.
  public func changeKey(
    _ id: RecordID, _ change: MaskedKey.Change, reason: String? = nil, by actor: Actor = .administrator
  ) async throws(Fault) -> MaskedKey {
    let vault = try requireVault()
    var key = try key(id)
    let state = try key.state(after: change)
    guard state != key.state else { return key }
    key.state = state
    key.details.reason = reason
    if key.state.isFinal { key.details.renewal = nil }
    if state == .destroyed {
      key.hash = [UInt8](repeating: 0, count: 32)
      key.details.older = []
    }
    key.revision += 1
    try audit("key.\(change.rawValue)", "key/\(id)", reason.map { ["reason": $0] } ?? [:], by: actor)
    if change == .revoke { try noteEndings([(id, 0)], at: clock.now) }
    try store.save(try vault.row(for: key))
    keys[id] = key
    await publish()
    return key
  }

  public func isExpired(_ key: MaskedKey) -> Bool { key.expiresAt.map { $0 <= clock.now } ?? false }
}

/// A new key with its secret, which is shown once.
public struct CreatedKey: ~Copyable {
  public let key: MaskedKey
  public let secret: IssuedSecret
}
