import Cryptography
public import Domain
import FoundationEssentials
public import KeyService
import Primitives
import Wire

/// Which OpenID provider people sign in with, and what its groups may do.
public struct OpenIDSettings: Sendable {
  /// Who is in `group` has the role, of a team where one is named.
  public struct Mapping: Sendable {
    public let group: String
    public let role: AdminRole
    public let team: String?

    /// Reads `group=role` or `group=developer:team`; nil for anything else.
    public init?(_ text: String) {
      guard let equals = text.lastIndex(of: "=") else { return nil }
      let parts = text[text.index(after: equals)...].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard let role = AdminRole(rawValue: parts[0]), role != .custom, parts.count <= 2, equals > text.startIndex,
        (role == .developer) == (parts.count == 2)
      else { return nil }
      (group, self.role, team) = (String(text[..<equals]), role, parts.count == 2 ? parts[1] : nil)
    }
  }

  public var issuer: String
  public var clientID: String
  /// nil: the client is a public one.
  public var secretFile: String?
  /// Where the management side is for a browser: `https://maskllm.example.com:8781`.
  public var url: String
  public var scopes = "openid profile email groups"
  public var groupsClaim = "groups"
  /// The first that a person has counts.
  public var roles: [Mapping]
  public var authorityFile: String?
  /// For how long one is signed in.
  public var sessionMinutes = 60

  public init(issuer: String, clientID: String, url: String, roles: [Mapping]) {
    (self.issuer, self.clientID, self.url, self.roles) = (issuer, clientID, url, roles)
  }

  var isSecure: Bool { url.hasPrefix("https://") }
}

/// Signs people in with an OpenID provider (OpenID Connect Core 1.0, authorization code with PKCE), and knows them for a while.
///
/// Belongs to the thread of its key service. Who is signed in is in memory only: a restart signs everybody out.
public final class OpenIDDesk: @unchecked Sendable {
  private let settings: OpenIDSettings
  private let outside: any Outside
  private let service: KeyService
  /// Content of the client's secret file; wiped never, as the file holds it too.
  private let secret: [UInt8]?
  private var provider: Provider?
  private var attempts: [String: Attempt] = [:]
  private var sessions: [[UInt8]: Session] = [:]

  private struct Provider {
    let authorization: String
    let token: String
    let keysURL: String
    let secretGoesInBody: Bool
    var keys: [(id: String?, key: JSONWebKey)] = []
    var readAt: Timestamp
  }

  /// A sign-in that has begun and not ended.
  private struct Attempt {
    let nonce: String
    let verifier: String
    /// Of the cookie of the browser that has begun it.
    let browser: [UInt8]
    let until: Timestamp
  }

  private struct Session {
    let caller: Caller
    let role: AdminRole
    let token: [UInt8]
    let until: Timestamp
  }

  private static let attemptMilliseconds: Int64 = 600_000
  private static let attemptsMax = 1000
  private static let sessionsMax = 10_000
  /// For how long what the provider says of itself is believed.
  private static let providerMilliseconds: Int64 = 3_600_000

  public init(_ settings: OpenIDSettings, secret: [UInt8]?, service: KeyService, outside: any Outside) {
    (self.settings, self.secret, self.service, self.outside) = (settings, secret, service, outside)
  }

  // MARK: requests

  /// Answers what is asked for under `/oidc/`; `cookies` are the browser's.
  func answer(_ request: borrowing AdminRequest, cookies: String?, csrf: String?) async throws(Fault) -> AdminResponse {
    switch (request.method, request.path.dropFirst().first) {
    case (.get, "login"): return try await begin()
    case (.get, "callback"): return try await end(request.query, cookies)
    case (.get, "session"):
      guard let session = session(cookies) else { throw Self.nobody }
      return AdminResponse(status: 200, body: try document(session))
    case (.post, "logout"):
      _ = try caller(cookies, csrf: csrf, isChange: true)
      if let text = Self.cookie(sessionCookie, cookies) { sessions[SHA256.digest(Array(text.utf8).span)] = nil }
      var response = AdminResponse(status: 204, body: [])
      response.cookies = [cookie(sessionCookie, "", seconds: 0)]
      return response
    default: throw AdminAPI.noSuchPath
    }
  }

  /// Who presents the session's cookie. What changes something has to bring along the token that only our own pages know.
  func caller(_ cookies: String?, csrf: String?, isChange: Bool) throws(Fault) -> Caller {
    guard let session = session(cookies) else { throw Self.nobody }
    guard !isChange || constantTimeEqual(Array((csrf ?? "").utf8).span, session.token.span) else {
      throw Fault(
        .forbidden, "the request does not come from a page of this server", hint: "send X-CSRF-Token as /oidc/session says it")
    }
    return session.caller
  }

  private static let nobody = Fault(.unauthorized, "nobody is signed in", hint: "sign in at /oidc/login, or send an admin token")

  private func session(_ cookies: String?) -> Session? {
    guard let text = Self.cookie(sessionCookie, cookies),
      let session = sessions[SHA256.digest(Array(text.utf8).span)], service.now < session.until, !service.isSealed
    else { return nil }
    return session
  }

  private func document(_ session: Session) throws(Fault) -> [UInt8] {
    let document = SessionDocument(
      name: session.caller.name, role: session.role.rawValue, team: session.caller.team, expires_at: session.until.rfc3339,
      csrf_token: String(decoding: session.token, as: UTF8.self))
    guard let data = try? JSONEncoder.stable.encode(document) else { throw Fault(.system, "the answer cannot be written") }
    return [UInt8](data)
  }

  // MARK: signing in

  private func begin() async throws(Fault) -> AdminResponse {
    let provider = try await known()
    attempts = attempts.filter { $0.value.until > service.now }
    // Anybody can begin: who begins many pushes out the oldest, and keeps nobody from ending soon what they have begun.
    if attempts.count >= Self.attemptsMax, let oldest = attempts.min(by: { $0.value.until < $1.value.until })?.key {
      attempts[oldest] = nil
    }
    let (state, nonce, verifier, browser) = (Self.random(), Self.random(), Self.random(), Self.random())
    attempts[state] = Attempt(
      nonce: nonce, verifier: verifier, browser: SHA256.digest(Array(browser.utf8).span),
      until: service.now + Self.attemptMilliseconds / 1000)
    let challenge = Self.text(SHA256.digest(Array(verifier.utf8).span))
    let parameters = [
      ("response_type", "code"), ("client_id", settings.clientID), ("redirect_uri", redirectURL), ("scope", settings.scopes),
      ("state", state), ("nonce", nonce), ("code_challenge", challenge), ("code_challenge_method", "S256"),
    ]
    var response = AdminResponse(status: 302, body: [])
    response.location =
      "\(provider.authorization)\(provider.authorization.contains("?") ? "&" : "?")\(Self.form(parameters))"
    response.cookies = [cookie(attemptCookie, browser, seconds: 600)]
    return response
  }

  private func end(_ query: [String: String], _ cookies: String?) async throws(Fault) -> AdminResponse {
    guard let state = query["state"], let attempt = attempts.removeValue(forKey: state), attempt.until > service.now,
      let browser = Self.cookie(attemptCookie, cookies),
      constantTimeEqual(SHA256.digest(Array(browser.utf8).span).span, attempt.browser.span)
    else { throw Fault(.unauthorized, "this sign-in was not begun here, or long ago", hint: "begin again at /oidc/login") }
    // Where the provider says who it is (RFC 9207), it has to be the one that was asked.
    guard query["iss"].map({ $0 == settings.issuer }) ?? true else {
      throw Fault(.unauthorized, "another provider has answered", hint: "begin again at /oidc/login")
    }
    guard let code = query["code"] else {
      let said = Label.fitting(query["error"] ?? "nothing")
      throw Fault(.unauthorized, "the provider did not let you in: \(said)", hint: "begin again at /oidc/login")
    }
    let token = try await redeem(code, attempt)
    let mapping = settings.roles.first { token.texts(settings.groupsClaim).contains($0.group) }
    let name = Label.fitting(token.name)
    guard let mapping, mapping.team.map({ service.teams[$0] != nil }) ?? true else {
      throw Fault(
        .forbidden, "\(name) is in no group that may manage", hint: "an owner maps groups to roles: admin.oidc.roles")
    }
    return try open(name, mapping)
  }

  /// Knows a person from now on, for a while.
  func open(_ name: String, _ mapping: OpenIDSettings.Mapping) throws(Fault) -> AdminResponse {
    sessions = sessions.filter { $0.value.until > service.now }
    guard sessions.count < Self.sessionsMax else { throw Fault(.tooMany, "too many people are signed in") }
    try service.noteSignIn(name, role: mapping.role, team: mapping.team)
    let text = Self.random()
    sessions[SHA256.digest(Array(text.utf8).span)] = Session(
      caller: Caller(name: "person/\(name)", permissions: mapping.role.permissions, team: mapping.team), role: mapping.role,
      token: Array(Self.random().utf8), until: service.now + Int64(settings.sessionMinutes) * 60)
    var response = AdminResponse(status: 302, body: [])
    response.location = "/ui/"
    response.cookies = [
      cookie(sessionCookie, text, seconds: settings.sessionMinutes * 60), cookie(attemptCookie, "", seconds: 0),
    ]
    return response
  }

  private func redeem(_ code: String, _ attempt: Attempt) async throws(Fault) -> IdentityToken {
    var provider = try await known()
    var parameters = [
      ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirectURL), ("code_verifier", attempt.verifier),
      ("client_id", settings.clientID),
    ]
    var headers = [
      ("Content-Type", Array("application/x-www-form-urlencoded".utf8)), ("Accept", Array("application/json".utf8)),
    ]
    if let secret {
      let text = String(decoding: secret, as: UTF8.self)
      if provider.secretGoesInBody {
        parameters.append(("client_secret", text))
      } else {
        // Each part is form-encoded before they are joined (RFC 6749 section 2.3.1).
        let pair = Data("\(percentEncoded(settings.clientID)):\(percentEncoded(text))".utf8).base64EncodedString()
        headers.append(("Authorization", Array("Basic \(pair)".utf8)))
      }
    }
    let answer = try await outside.call(
      OutboundRequest(
        "POST", provider.token, headers: headers, body: Array(Self.form(parameters).utf8), authorityFile: settings.authorityFile))
    guard answer.status == 200, let text = Self.json(answer.body)?["id_token"]?.text else {
      throw Fault(.unauthorized, "the provider did not take the code", hint: "begin again at /oidc/login")
    }
    let token = try IdentityToken(Array(text.utf8))
    // A key that is not known yet: the provider has made a new one. Asked for at most once for each sign-in.
    if token.keyID != nil, !provider.keys.contains(where: { $0.id == token.keyID }) {
      self.provider = nil
      provider = try await known()
    }
    let keys = provider.keys.filter { token.keyID == nil || $0.id == token.keyID }.map(\.key)
    try token.check(keys, issuer: settings.issuer, client: settings.clientID, nonce: attempt.nonce, now: service.now)
    return token
  }

  private var redirectURL: String { "\(settings.url)/oidc/callback" }

  // MARK: the provider

  private func known() async throws(Fault) -> Provider {
    if let provider, service.now.milliseconds - provider.readAt.milliseconds < Self.providerMilliseconds { return provider }
    let base = settings.issuer.hasSuffix("/") ? String(settings.issuer.dropLast()) : settings.issuer
    let document = try await fetch("\(base)/.well-known/openid-configuration")
    guard document["issuer"]?.text == settings.issuer, let authorization = document["authorization_endpoint"]?.text,
      let token = document["token_endpoint"]?.text, let keysURL = document["jwks_uri"]?.text
    else { throw Fault(.unavailable, "what \(settings.issuer) says of itself is not of an OpenID provider of that name") }
    var takesBasic = true
    if case .list(let methods)? = document["token_endpoint_auth_methods_supported"] {
      takesBasic = methods.contains("client_secret_basic") || !methods.contains("client_secret_post")
    }
    var found = Provider(
      authorization: authorization, token: token, keysURL: keysURL, secretGoesInBody: !takesBasic, readAt: service.now)
    if case .list(let keys)? = try await fetch(keysURL)["keys"] {
      for key in keys {
        // What signs; a key that says nothing of its use may.
        guard key["use"] == nil || key["use"]?.text == "sig", let made = Self.key(key) else { continue }
        found.keys.append((key["kid"]?.text, made))
      }
    }
    provider = found
    return found
  }

  private static func key(_ key: JSONTree) -> JSONWebKey? {
    func bytes(_ name: String) -> [UInt8] { key[name]?.text.flatMap { base64URLDecoded($0.utf8) } ?? [] }
    switch key["kty"]?.text {
    case "RSA": return JSONWebKey(modulus: bytes("n"), exponent: bytes("e"))
    case "EC" where key["crv"]?.text == "P-256": return JSONWebKey(x: bytes("x"), y: bytes("y"))
    default: return nil
    }
  }

  private func fetch(_ url: String) async throws(Fault) -> JSONTree {
    let answer = try await outside.call(
      OutboundRequest("GET", url, headers: [("Accept", Array("application/json".utf8))], authorityFile: settings.authorityFile))
    guard answer.status == 200, let document = Self.json(answer.body) else {
      throw Fault(.unavailable, "\(settings.issuer) did not say what it should: it answered \(answer.status)")
    }
    return document
  }

  // MARK: small things

  private static func json(_ body: [UInt8]) -> JSONTree? { try? JSONDecoder().decode(JSONTree.self, from: Data(body)) }

  /// 32 random bytes as text.
  private static func random() -> String { text(SystemRandomness().bytes(32)) }

  private static func text(_ bytes: [UInt8]) -> String {
    var buffer = ByteBuffer(capacity: 64)
    buffer.append(base64: bytes.span, forURL: true)
    return String(decoding: buffer.copy().filter { $0 != UInt8(ascii: "=") }, as: UTF8.self)
  }

  private static func form(_ parameters: [(String, String)]) -> String {
    parameters.map { "\($0)=\(percentEncoded($1))" }.joined(separator: "&")
  }

  /// The name ties a cookie to this host and to TLS, where there is TLS.
  private var sessionCookie: String { settings.isSecure ? "__Host-maskllm-session" : "maskllm-session" }
  private var attemptCookie: String { settings.isSecure ? "__Host-maskllm-login" : "maskllm-login" }

  private func cookie(_ name: String, _ value: String, seconds: Int) -> String {
    "\(name)=\(value); Path=/; HttpOnly; SameSite=Lax; Max-Age=\(seconds)\(settings.isSecure ? "; Secure" : "")"
  }

  /// The value of the cookie `name`; nil where it is not there, or more than once.
  private static func cookie(_ name: String, _ cookies: String?) -> String? {
    let values = (cookies ?? "").split(whereSeparator: { $0 == ";" || $0 == "," }).compactMap { part -> String? in
      let pair = part.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return pair.count == 2 && pair[0] == name ? String(pair[1]) : nil
    }
    return values.count == 1 && !values[0].isEmpty ? values[0] : nil
  }
}

/// Who is signed in, for the pages that ask.
public struct SessionDocument: Codable, Sendable {
  public var name: String
  public var role: String
  public var team: String?
  public var expires_at: String
  /// What changes have to bring along as `X-CSRF-Token`.
  public var csrf_token: String
}
