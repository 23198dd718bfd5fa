import Cryptography
import Domain
public import Primitives
public import Providers

extension Snapshot {
  /// The position of the key whose text is `presented`, if that text is right and the key is in force at `now`.
  public func authenticate(_ presented: Span<UInt8>, now: Timestamp) throws(Refusal) -> Int {
    let key = try identify(presented)
    try decide(key, validAt: now)
    return key.index
  }

  /// Which key's text `presented` is, and which of its secrets; not whether it is in force.
  ///
  /// An unknown ID costs what a wrong secret costs: one HMAC and one comparison. (One that has earlier secrets may cost another
  /// HMAC for each pepper.) Allocates nothing.
  public func identify(_ presented: Span<UInt8>) throws(Refusal) -> PresentedKey {
    guard !isSealed else { throw .sealed }
    guard let id = MaskedKeyFormat.keyID(of: presented) else { throw .malformedKey }
    let index = keys.index(of: id)
    let pepper = index.map { Int(keys[$0].pepper) } ?? peppers.count - 1
    let digest = peppers[pepper].key.authenticate(presented)
    let expected = index.map { keys[$0].hash } ?? Digest256(words: (0, 0, 0, 0))
    // The comparison comes first and the look at the result second, for known and unknown IDs alike.
    let isRight = digest == expected
    guard let index else { throw .unknownKey }
    // Where a key is destroyed there is nothing to recognise it by: its hash is zero, which no text has.
    if isRight { return PresentedKey(index: index, version: keys[index].version) }
    for i in keys[index].earlier.reversed() {
      let old = earlierSecrets[Int(i)]
      let other = Int(old.pepper) == pepper ? digest : peppers[Int(old.pepper)].key.authenticate(presented)
      if other == old.hash { return PresentedKey(index: index, version: old.version) }
    }
    throw .unknownKey
  }

  /// The hash under the newest pepper of a text that was just found right, where the key is still known by an older one.
  public func renewedHash(of presented: Span<UInt8>, _ key: PresentedKey) -> (hash: [UInt8], pepperVersion: UInt32)? {
    guard Int(keys[key.index].pepper) != peppers.count - 1, key.version == keys[key.index].version else { return nil }
    let pepper = peppers[peppers.count - 1]
    return (pepper.key.authenticate(presented).bytes, pepper.version)
  }

  /// Whether the key, presented by one of its secrets, is in force.
  public func decide(_ key: PresentedKey, validAt now: Timestamp) throws(Refusal) {
    try decide(key: key.index, validAt: now)
    guard key.version != keys[key.index].version else { return }
    for i in keys[key.index].earlier where earlierSecrets[Int(i)].version == key.version {
      guard now.milliseconds < earlierSecrets[Int(i)].validUntil else { break }
      return
    }
    throw .retiredVersion
  }

  /// The position of the key `id`; positions mean something within one snapshot only.
  public func position(of id: RecordID) -> Int? { keys.index(of: id) }

  public func keyID(at index: Int) -> RecordID { keys[index].id }

  func policy(_ key: Int) -> CompiledPolicy { policies[Int(keys[key].policy)] }

  // MARK: one rule each

  /// Whether the key at `index` is in force.
  public func decide(key index: Int, validAt now: Timestamp) throws(Refusal) {
    let key = keys[index]
    if key.isDecoy { throw .decoyKey }
    switch key.state {
    case .revoked, .destroyed: throw .revokedKey
    case .disabled: throw .disabledKey
    case .active:
      if now.milliseconds >= key.expiresAt { throw .expiredKey }
      if now.milliseconds < policies[Int(key.policy)].notBefore { throw .notYetValidKey }
    }
  }

  /// The one upstream that the key at `index` may call; nil when it may call several, or none.
  public func onlyUpstream(key index: Int) -> Upstream? {
    let policy = policies[Int(keys[index].policy)]
    let allowed = upstreams.filter { policy.allows(provider: $0.index) }
    return allowed.count == 1 ? allowed[0] : nil
  }

  /// Whether the key at `index` may call `upstream`, and with which of its credentials (a position).
  ///
  /// Of those that the policy permits and the provider takes, one by weight: `pick` is any number that differs from request to
  /// request. While all rest, the one that is ready first.
  public func decide(key index: Int, upstream: Upstream, pick: UInt64 = 0, now: UInt64 = monotonicNanoseconds()) throws(Refusal)
    -> Int
  {
    let policy = policies[Int(keys[index].policy)]
    guard policy.allows(provider: upstream.index) else { throw .providerNotAllowed }
    guard let position = Self.choose(upstream, policy, pick: pick, now: now, except: 0) else {
      throw upstream.credentials.isEmpty ? .noProviderKey : .noUsableProviderKey
    }
    return position
  }

  /// Another credential than those in `tried` (a bit each) for a request that one was refused for; nil when there is none that is
  /// ready. At most 64 are looked at.
  public func another(key index: Int, upstream: Upstream, pick: UInt64, now: UInt64, except tried: UInt64) -> Int? {
    let policy = policies[Int(keys[index].policy)]
    guard let position = Self.choose(upstream, policy, pick: pick, now: now, except: tried) else { return nil }
    return upstream.credentials[position].health.state(now: now) == .usable ? position : nil
  }

  private static func choose(_ upstream: Upstream, _ policy: CompiledPolicy, pick: UInt64, now: UInt64, except tried: UInt64)
    -> Int?
  {
    let count = min(upstream.credentials.count, 64)
    // One key is the usual case.
    var (total, firstReady, readyAt) = (0, -1, UInt64.max)
    for i in 0..<count where tried >> UInt64(i) & 1 == 0 && policy.allows(credential: i, of: upstream.index) {
      let credential = upstream.credentials[i]
      guard credential.weight > 0 else { continue }
      switch credential.health.state(now: now) {
      case .usable: total += credential.weight
      case .cooling:
        if credential.health.readyAt < readyAt { (firstReady, readyAt) = (i, credential.health.readyAt) }
      case .quarantined: break
      }
    }
    guard total > 0 else {
      if firstReady >= 0 { return firstReady }
      // All are refused. One request now and then finds out whether that is still so.
      guard tried == 0 else { return nil }
      for i in 0..<count where policy.allows(credential: i, of: upstream.index) {
        if upstream.credentials[i].weight > 0, upstream.credentials[i].health.mayProbe(now: now) { return i }
      }
      return nil
    }
    // Spread by the golden ratio: even over few requests, too.
    var rest = Int((pick &* 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: UInt64(total)).high)
    for i in 0..<count where tried >> UInt64(i) & 1 == 0 && policy.allows(credential: i, of: upstream.index) {
      let credential = upstream.credentials[i]
      guard credential.health.state(now: now) == .usable else { continue }
      if rest < credential.weight { return i }
      rest -= credential.weight
    }
    // A state changed between the two looks.
    return firstReady >= 0 ? firstReady : nil
  }

  /// Whether requests of the key at `index` may come from `address`.
  public func decide(key index: Int, from address: @autoclosure () -> NetworkAddress?) throws(Refusal) {
    let policy = Int(keys[index].policy)
    guard policies[policy].isFromAnywhere || policies[policy].allows(from: address()) else { throw .networkNotAllowed }
  }

  /// Whether `now` lies in the hours of the key at `index`.
  public func decide(key index: Int, at now: Timestamp) throws(Refusal) {
    guard policies[Int(keys[index].policy)].allows(at: now) else { throw .hoursNotAllowed }
  }

  /// Whether the key at `index` may use endpoints of `kind`.
  public func decide(key index: Int, endpoint kind: EndpointClass) throws(Refusal) {
    guard policies[Int(keys[index].policy)].allows(endpoint: kind) else { throw .endpointNotInScope }
  }

  /// The same where the endpoint may not be known: then all of them have to be in scope.
  public func decide(key index: Int, anyOr kind: EndpointClass?) throws(Refusal) {
    if let kind { return try decide(key: index, endpoint: kind) }
    guard policies[Int(keys[index].policy)].allowsEveryEndpoint else { throw .endpointNotInScope }
  }

  /// Whether the key at `index` may use `method` on `path` (without query, below the provider's name), in which a model's name stands at
  /// `name`.
  public func decide(key index: Int, method: Span<UInt8>, path: Span<UInt8>, name: Range<Int> = 0..<0) throws(Refusal) {
    guard policies[Int(keys[index].policy)].allows(method: method, path: path, name: name) else { throw .pathNotAllowed }
  }

  public func restrictsPaths(key index: Int) -> Bool { policies[Int(keys[index].policy)].restrictsPaths }

  /// Whether what the key at `index` sends and gets is to be kept.
  public func captures(key index: Int, at now: Timestamp) -> Bool { now.milliseconds < keys[index].capturesUntil }

  /// Bytes of a request body that the policy of the key at `index` permits.
  public func bodyBytesMax(key index: Int) -> Int { policies[Int(keys[index].policy)].bodyBytesMax }

  /// Tokens of an answer that the policy of the key at `index` permits; nil: as many as the provider gives.
  public func outputTokensMax(key index: Int) -> Int64? { policies[Int(keys[index].policy)].outputTokensMax }

  /// Whether which model is asked for makes a difference to the key at `index`.
  public func restrictsModels(key index: Int) -> Bool { policies[Int(keys[index].policy)].restrictsModels }

  /// Whether the key at `index` may name `model`.
  public func decide(key index: Int, model: Span<UInt8>) throws(Refusal) {
    guard policies[Int(keys[index].policy)].allows(model: model) else { throw .modelNotAllowed }
  }

  // MARK: all of them

  /// Every rule that needs no body, in this order. Returns the position of the credential to use.
  public func decide(
    key index: Int, upstream: Upstream, from address: @autoclosure () -> NetworkAddress?, at now: Timestamp,
    endpoint kind: EndpointClass, method: Span<UInt8>, path: Span<UInt8>, name: Range<Int> = 0..<0, pathModel: JSONText,
    pick: UInt64 = 0
  ) throws(Refusal) -> Int {
    let position = try decide(key: index, upstream: upstream, pick: pick)
    try decide(key: index, from: address())
    try decide(key: index, at: now)
    try decide(key: index, endpoint: kind)
    try decide(key: index, method: method, path: path, name: name)
    if !pathModel.isEmpty { try decide(key: index, model: pathModel.span) }
    return position
  }

  // MARK: later

  /// Whether an exchange that was decided on an earlier snapshot may go on: same key, still in force, provider still allowed,
  /// same credential still in use.
  public func stillAllows(
    key id: RecordID, version: UInt32, upstream name: Span<UInt8>, credential: Credential, now: Timestamp
  ) throws(Refusal) {
    guard !isSealed else { throw .sealed }
    guard let index = keys.index(of: id) else { throw .unknownKey }
    try decide(PresentedKey(index: index, version: version), validAt: now)
    guard let upstream = upstream(named: name) else { throw .noProviderKey }
    guard policies[Int(keys[index].policy)].allows(provider: upstream.index) else { throw .providerNotAllowed }
    guard upstream.credentials.contains(where: { $0.keyID == credential.keyID && $0.version == credential.version }) else {
      throw .noProviderKey
    }
  }
}
