import Cryptography
import Domain
public import Primitives
public import Providers

/// Why a request is refused. Each has a name that is the same in answers, activity and docs.
public enum Refusal: UInt8, Sendable, CaseIterable, Error {
  case sealed, missingKey, malformedKey, unknownKey, disabledKey, revokedKey, expiredKey, providerNotAllowed, noProviderKey
  case endpointNotInScope, modelNotAllowed, modelUnclear, networkNotAllowed, notYetValidKey, rateLimited
}

extension Snapshot {
  /// The position of the key whose text is `presented`, if that text is right and the key is in force at `now`.
  ///
  /// An unknown ID costs what a wrong secret costs: one HMAC and one comparison. Allocates nothing.
  public func authenticate(_ presented: Span<UInt8>, now: Timestamp) throws(Refusal) -> Int {
    guard !isSealed else { throw .sealed }
    guard let id = MaskedKeyFormat.keyID(of: presented) else { throw .malformedKey }
    let index = keys.index(of: id)
    let pepper = index.map { Int(keys[$0].pepper) } ?? peppers.count - 1
    let digest = peppers[pepper].key.authenticate(presented)
    let expected = index.map { keys[$0].hash } ?? Digest256(words: (0, 0, 0, 0))
    // The comparison comes first and the look at the result second, for known and unknown IDs alike.
    let isRight = digest == expected
    guard let index, isRight else { throw .unknownKey }
    try check(keys[index], now: now)
    return index
  }

  private func check(_ key: KeyEntry, now: Timestamp) throws(Refusal) {
    switch key.state {
    case .revoked: throw .revokedKey
    case .disabled: throw .disabledKey
    case .active:
      if now.milliseconds >= key.expiresAt { throw .expiredKey }
      if now.milliseconds < policies[Int(key.policy)].notBefore { throw .notYetValidKey }
    }
  }

  /// The position of the key `id`; positions mean something within one snapshot only.
  public func position(of id: RecordID) -> Int? { keys.index(of: id) }

  public func keyID(at index: Int) -> RecordID { keys[index].id }

  /// Whether the key at `index` may call `upstream`, and with which of its credentials (a position).
  public func decide(key index: Int, upstream: Upstream) throws(Refusal) -> Int {
    guard policies[Int(keys[index].policy)].allows(provider: upstream.index) else { throw .providerNotAllowed }
    guard !upstream.credentials.isEmpty else { throw .noProviderKey }
    return 0
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

  /// Whether requests of the key at `index` may come from `address`.
  public func decide(key index: Int, from address: @autoclosure () -> NetworkAddress?) throws(Refusal) {
    let policy = Int(keys[index].policy)
    guard policies[policy].isFromAnywhere || policies[policy].allows(from: address()) else { throw .networkNotAllowed }
  }

  /// The counters of the key at `index`; nil when it has no limits.
  public func meters(key index: Int) -> KeyMeters? { meters.isEmpty ? nil : meters[index] }

  /// Bytes of a request body that the policy of the key at `index` permits.
  public func bodyBytesMax(key index: Int) -> Int { policies[Int(keys[index].policy)].bodyBytesMax }

  /// Whether which model is asked for makes a difference to the key at `index`.
  public func restrictsModels(key index: Int) -> Bool { policies[Int(keys[index].policy)].restrictsModels }

  /// Whether the key at `index` may name `model`.
  public func decide(key index: Int, model: Span<UInt8>) throws(Refusal) {
    guard policies[Int(keys[index].policy)].allows(model: model) else { throw .modelNotAllowed }
  }

  /// Whether an exchange that was decided on an earlier snapshot may go on: same key, still in force, provider still allowed,
  /// same credential still in use.
  public func stillAllows(key id: RecordID, upstream name: Span<UInt8>, credential: Credential, now: Timestamp) throws(Refusal) {
    guard !isSealed else { throw .sealed }
    guard let index = keys.index(of: id) else { throw .unknownKey }
    try check(keys[index], now: now)
    guard let upstream = upstream(named: name) else { throw .noProviderKey }
    guard policies[Int(keys[index].policy)].allows(provider: upstream.index) else { throw .providerNotAllowed }
    guard upstream.credentials.contains(where: { $0.keyID == credential.keyID && $0.version == credential.version }) else {
      throw .noProviderKey
    }
  }
}
