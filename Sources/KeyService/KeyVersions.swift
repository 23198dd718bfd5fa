public import Audit
public import Domain
public import Primitives
import Storage
import Vault

// Masked keys get new secrets.
extension KeyService {
  /// Seconds for which an old secret still works, where nobody says otherwise.
  public static let graceDefault: Int64 = 86_400
  public static let graceMax: Int64 = 90 * 86_400
  /// Milliseconds for which a rotation can be asked for again by its request ID.
  static let repeatable: Int64 = 3_600_000

  /// Gives a key a new secret, for as long as `grace` (seconds) beside the old one. ID, policy, budgets and history stay.
  ///
  /// Repeating it with the same request ID within an hour gives the same secret again and rotates nothing.
  public func rotateKey(
    _ id: RecordID, grace: Int64 = graceDefault, requestID: String? = nil, by actor: Actor = .administrator
  ) async throws(Fault) -> CreatedKey {
    let vault = try requireVault()
    var key = try key(id)
    guard (0...Self.graceMax).contains(grace) else {
      throw Fault(.invalidInput, "the grace period is no number of seconds from 0 to \(Self.graceMax)")
    }
    if let requestID { try Label.validate(requestID, of: "request ID") }
    if let requestID, let renewal = key.details.renewal, renewal.requestID == requestID {
      guard clock.now.milliseconds < renewal.madeAt + Self.repeatable, !renewal.salt.isEmpty else {
        throw Fault(
          .conflict, "that rotation was made at \(Timestamp(milliseconds: renewal.madeAt).rfc3339)",
          hint: "its secret is not shown again after an hour; rotate once more with another request ID")
      }
      let secret = vault.renewedSecret(
        prefix: key.details.prefix, id: id, version: key.details.version, salt: renewal.salt)
      return CreatedKey(key: key, secret: secret)
    }
    let secret = try renew(&key, vault, grace: grace, requestID: requestID, destinations: [])
    try audit(
      "key.rotate", "key/\(id)", ["version": "\(key.details.version)", "grace_seconds": "\(grace)"], by: actor)
    try noteEndings([(id, key.details.version - 1)], at: clock.now + grace)
    try store.save(try vault.row(for: key))
    keys[id] = key
    await publish()
    return CreatedKey(key: key, secret: secret)
  }

  /// Puts a new secret in place of the present one, which becomes an earlier one. Where it has to be brought to `destinations`, or
  /// can be asked for again, it is derived, so that it can be had again.
  func renew(
    _ key: inout MaskedKey, _ vault: Vault, grace: Int64, requestID: String?, destinations: [String]
  ) throws(Fault) -> IssuedSecret {
    guard !key.state.isFinal else {
      throw Fault(.conflict, "key \(key.id) is \(key.state.rawValue), which is final", hint: "create a new key instead")
    }
    let now = clock.now
    key.details.older.append(
      KeyVersion(
        number: key.details.version, hash: key.hash, pepperVersion: key.pepperVersion, madeAt: key.versionMadeAt.milliseconds,
        validUntil: destinations.isEmpty ? now.milliseconds + grace * 1000 : nil))
    key.details.older.removeFirst(max(0, key.details.older.count - KeyDetails.olderMax))
    key.details.version += 1
    key.details.madeAt = now.milliseconds
    key.details.renewal = nil
    key.revision += 1
    let secret: IssuedSecret
    if requestID != nil || !destinations.isEmpty {
      let salt = randomness.bytes(32)
      key.details.renewal = KeyRenewal(
        requestID: requestID, salt: salt, grace: grace, madeAt: now.milliseconds, undelivered: destinations)
      secret = vault.renewedSecret(prefix: key.details.prefix, id: key.id, version: key.details.version, salt: salt)
    } else {
      secret = vault.issueSecret(prefix: key.details.prefix, id: key.id)
    }
    (key.hash, key.pepperVersion) = (secret.hash, secret.pepperVersion)
    return secret
  }

  /// Ends the grace period of an earlier secret now.
  public func retireVersion(_ id: RecordID, _ number: UInt32, by actor: Actor = .administrator) async throws(Fault) -> MaskedKey {
    let vault = try requireVault()
    var key = try key(id)
    guard number != key.details.version else {
      throw Fault(
        .conflict, "version \(number) is the present one of key \(id)",
        hint: "rotate it with a grace period of 0, or revoke the key"
      )
    }
    guard let i = key.details.older.firstIndex(where: { $0.number == number }) else {
      throw Fault(.notFound, "key \(id) has no version \(number)", hint: "see 'maskllm key show \(id)'")
    }
    let now = clock.now.milliseconds
    guard key.details.older[i].validUntil.map({ $0 > now }) ?? true else { return key }
    key.details.older[i].validUntil = now
    key.revision += 1
    try audit("key.retire_version", "key/\(id)", ["version": "\(number)"], by: actor)
    try noteEndings([(id, number)], at: clock.now)
    try store.save(try vault.row(for: key))
    keys[id] = key
    await publish()
    return key
  }

  /// The next moment at which time alone changes what a key may do; nil when there is none.
  func nextMoment(after now: Timestamp) -> Int64? {
    var next = Int64.max
    for key in keys.values where !key.state.isFinal {
      if let expiry = key.expiresAt?.milliseconds, expiry > now.milliseconds { next = min(next, expiry) }
      for version in key.details.older {
        if let end = version.validUntil, end > now.milliseconds { next = min(next, end) }
      }
    }
    return next == .max ? nil : next
  }
}
