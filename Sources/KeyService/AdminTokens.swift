import Cryptography
public import Domain
public import Primitives
public import Vault

/// Who asks the management side for something.
public struct Caller: Sendable {
  public let name: String
  public let permissions: Set<Permission>
  /// Everything it sees and does is of this team.
  public let team: String?

  /// The server's own user, over the Unix socket or in process.
  public static let local = Caller(name: "administrator", permissions: AdminRole.owner.permissions, team: nil)

  /// Whom what is done now is done for.
  @TaskLocal public static var current = Caller.local

  /// Whether the caller of now may know of what is of `team`.
  public static func sees(team: String?) -> Bool { current.team == nil || current.team == team }

  public init(name: String, permissions: Set<Permission>, team: String?) {
    (self.name, self.permissions, self.team) = (name, permissions, team)
  }
}

/// A new admin token with its secret, which is shown once.
public struct CreatedToken: ~Copyable {
  public let id: RecordID
  public let token: AdminToken
  public let secret: IssuedSecret
}

// Tokens that manage.
extension KeyService {
  /// Who presents `text` from `address`. Throws `.unauthorized` for anything but a token that is in force and may be used from there.
  ///
  /// An unknown ID costs what a wrong secret costs.
  public func caller(_ text: Span<UInt8>, from address: NetworkAddress?) throws(Fault) -> Caller {
    let vault = try requireVault()
    let refused = Fault(
      .unauthorized, "that is no admin token that is in force here", hint: "an owner makes one: maskllm token create")
    guard let id = MaskedKeyFormat.keyID(of: text) else { throw refused }
    let known = tokens[id]
    let peppers = vault.peppers()
    guard let pepper = peppers.first(where: { $0.version == known?.pepperVersion }) ?? peppers.last else { throw refused }
    let digest = pepper.key.authenticate(text).bytes
    let expected = known?.hash ?? [UInt8](repeating: 0, count: 32)
    let isRight = constantTimeEqual(digest.span, expected.span)
    guard isRight, let known, known.expiresAt.map({ clock.now.milliseconds < $0 }) ?? true else { throw refused }
    if !known.networks.isEmpty {
      guard let address, known.networks.contains(where: { Network($0)?.contains(address) ?? false }) else { throw refused }
    }
    // Its text is seen here and nowhere else: the time to hash it with the newest pepper.
    if known.pepperVersion != vault.pepperVersion {
      var renewed = known
      (renewed.hash, renewed.pepperVersion) = vault.rehashed(text)
      let owner = Caller(name: "token/\(id)", permissions: [], team: nil)
      Caller.$current.withValue(owner) {
        if (try? write(.adminToken, id.description, renewed)) != nil { tokens[id] = renewed }
      }
    }
    return Caller(name: "token/\(id)", permissions: known.permissions, team: known.team)
  }

  /// Makes a token. Nobody makes one that may more than they do themselves.
  public func createToken(_ token: AdminToken) throws(Fault) -> CreatedToken {
    let vault = try requireVault()
    try check(token)
    let id = RecordID.random(randomness)
    return try issue(token, id, vault, act: "token.create")
  }

  /// Gives a token a new secret; the old one ends at once.
  public func rotateToken(_ id: RecordID) throws(Fault) -> CreatedToken {
    let vault = try requireVault()
    guard let token = tokens[id] else { throw Self.noToken(id) }
    try check(token)
    return try issue(token, id, vault, act: "token.rotate")
  }

  private func issue(_ token: AdminToken, _ id: RecordID, _ vault: Vault, act: String) throws(Fault) -> CreatedToken {
    var token = token
    let secret = vault.issueSecret(prefix: AdminToken.prefix, id: id)
    (token.hash, token.pepperVersion) = (secret.hash, secret.pepperVersion)
    try audit(act, "token/\(id)", ["name": token.name, "role": token.role.rawValue])
    try write(.adminToken, id.description, token)
    tokens[id] = token
    return CreatedToken(id: id, token: token, secret: secret)
  }

  private func check(_ token: AdminToken) throws(Fault) {
    let caller = Caller.current
    try token.validate()
    if let expiry = token.expiresAt, expiry <= clock.now.milliseconds {
      throw Fault(.invalidInput, "the expiry lies in the past")
    }
    if let team = token.team, teams[team] == nil {
      throw Fault(.notFound, "there is no team '\(team.prefix(64))'", hint: "see 'maskllm team list'")
    }
    guard token.permissions.isSubset(of: caller.permissions), caller.team == nil || caller.team == token.team else {
      throw Fault(.forbidden, "nobody can grant more than they hold")
    }
  }

  /// Writes down that a person has signed in with the OpenID provider.
  public func noteSignIn(_ name: String, role: AdminRole, team: String?) throws(Fault) {
    _ = try requireVault()
    try audit("person.sign_in", "person/\(name)", ["role": role.rawValue, "team": team ?? ""])
  }

  private static func noToken(_ id: RecordID) -> Fault {
    Fault(.notFound, "there is no admin token \(id)", hint: "see 'maskllm token list'")
  }

  /// Ends a token; in force when it returns.
  public func revokeToken(_ id: RecordID) throws(Fault) {
    _ = try requireVault()
    guard tokens[id] != nil else { throw Self.noToken(id) }
    try audit("token.revoke", "token/\(id)")
    try erase(.adminToken, id.description)
    tokens[id] = nil
  }
}
