public import Cryptography
public import Domain
public import Primitives
public import Providers

/// A provider key ready for use: the whole header line that presents it, in guarded memory.
public final class Credential: Sendable {
  public let keyID: RecordID
  public let version: UInt32
  /// A whole header line (`Authorization: Bearer …\r\n`), or, where the key goes into the query, `name=key`.
  public let line: SecretBytes
  /// The name of the query parameter that carries the key; nil: a header does.
  public let queryName: [UInt8]?
  public let pool: PoolSettings
  /// Its part of the provider's requests, against the sum of all: the pool's weight, and what a rotation leaves it of that; 0: only
  /// what is under way goes on with it.
  let weight: Int
  public let health: CredentialHealth
  private let bare: SecretBytes
  /// Signs requests, in place of a line that is the same for all; nil: there is one.
  public let signer: AmazonSignature?
  /// What the key is exchanged for, in place of a line; nil: it is presented itself.
  public let token: AccessToken?
  /// Of what is signed with: where the secret and the session token (empty: none) stand in the key.
  private let signing: (secret: Range<Int>, token: Range<Int>)
  /// Bytes of the key as base64 before the end of the line, where it is presented so; 0: it is not.
  private let encoded: Int

  /// The header lines that present the key for `request`, whose headers get the date and the token.
  public func appendSigned(_ request: AmazonSignature.Request, now: Timestamp, to relay: inout ByteBuffer) {
    guard let signer else { return }
    let stamp = AmazonSignature.stamp(now)
    var request = request
    request.headers.append((Array("x-amz-date".utf8), stamp))
    relay.append("x-amz-date: ")
    relay.append(stamp)
    relay.append("\r\n")
    if !signing.token.isEmpty {
      var token = bare.withBytes(signing.token) { [UInt8](copying: $0) }
      request.headers.append((Array("x-amz-security-token".utf8), token))
      relay.append("x-amz-security-token: ")
      relay.append(token)
      relay.append("\r\n")
      wipe(&token)
    }
    relay.append("Authorization: ")
    relay.append(bare.withBytes(signing.secret) { signer.authorization(request, stamp: stamp, secret: $0) })
    relay.append("\r\n")
  }

  /// What is sent to exchange the key for a token; the caller wipes it.
  public func tokenRequest(now: Timestamp) throws(Fault) -> ByteBuffer {
    guard let token else { throw Fault(.system, "provider key \(keyID) is not exchanged for tokens") }
    let secret = bare.copy()
    return try token.grant.request(secret: secret.span, now: now)
  }

  /// Lends the bare secret to `use`.
  public func withSecret<Result>(_ use: (Span<UInt8>) -> Result) -> Result { bare.withBytes(0..<bare.count, use) }

  /// Lends each text in turn that must not come back in an answer: the key, its parts where it has several, or the token it is exchanged
  /// for (`token`). Of a key that signs, the access key ID is one of them.
  public func forEachSecret(_ token: AccessToken.Value?, _ use: (Span<UInt8>) -> Void) {
    if signer != nil {
      bare.withBytes(0..<max(signing.secret.lowerBound - 1, 0), use)
      bare.withBytes(signing.secret, use)
      if !signing.token.isEmpty { bare.withBytes(signing.token, use) }
    } else if let token {
      token.withToken(use)
    } else if self.token == nil {
      bare.withBytes(0..<bare.count, use)
      if encoded > 0 { line.withBytes((line.count - 2 - encoded)..<(line.count - 2), use) }
    }
  }

  /// Whether `text` repeats the key, or (where that is asked) ends with a beginning of it; of a key below `shortestKey` bytes never.
  /// One look at the text for each secret, and no allocation: it is done for every piece of every answer.
  public func isRepeated(in text: Span<UInt8>, orBegun: Bool, shortestKey: Int, token: AccessToken.Value?) -> Bool {
    var isFound = false
    forEachSecret(token) { secret in
      guard !isFound, secret.count >= shortestKey else { return }
      isFound = text.firstIndex(of: secret) != nil || (orBegun && Self.beginning(of: secret, atEndOf: text) > 0)
    }
    return isFound
  }

  /// Bytes at the end of `text` that a secret begins with: the most of all of them.
  public func beginning(atEndOf text: Span<UInt8>, token: AccessToken.Value?) -> Int {
    var most = 0
    forEachSecret(token) { most = max(most, Self.beginning(of: $0, atEndOf: text)) }
    return most
  }

  private static func beginning(of secret: Span<UInt8>, atEndOf text: Span<UInt8>) -> Int {
    guard secret.count > 0 else { return 0 }
    var from = max(0, text.count - secret.count + 1)
    while let at = text.firstIndex(of: secret[0], from: from) {
      let count = text.count - at
      if text.extracting(at..<text.count).equals(secret.extracting(0..<count)) { return count }
      from = at + 1
    }
    return 0
  }

  /// Lends a copy of the bare secret to `use`, which may throw.
  public func withSecretCopy<Result>(_ use: (borrowing SecretBytes) throws(Fault) -> Result) throws(Fault) -> Result {
    let secret = bare.copy()
    return try use(secret)
  }

  /// Throws `.invalidInput` when the secret could not stand in a header.
  public init(
    keyID: RecordID, version: UInt32, style: CredentialStyle, secret: borrowing SecretBytes, host: String = "",
    pool: PoolSettings = PoolSettings(), share: Int = 100,
    health: CredentialHealth = CredentialHealth()
  ) throws(Fault) {
    self.pool = pool
    weight = pool.weight * share
    self.health = health
    self.keyID = keyID
    self.version = version
    if case .token(let source) = style {
      if source != .google { try Self.validate(secret.span) }
      token = AccessToken(try TokenGrant(source, secret: secret.span))
      (signer, signing, queryName, self.encoded) = (nil, (0..<0, 0..<0), nil, 0)
      bare = secret.copy()
      line = SecretBytes(count: 0) { _ in }
      return
    }
    token = nil
    try Self.validate(secret.span)
    if case .aws(let service, let region) = style {
      let parts = try Self.parts(secret.span)
      guard let region = region.isEmpty ? CredentialStyle.region(ofHost: host) : region else {
        throw Fault(.invalidInput, "the region of \(host) is not known", hint: "say it in the style: aws:\(service):REGION")
      }
      signer = AmazonSignature(
        region: region, service: service, accessKey: [UInt8](copying: secret.span.extracting(0..<(parts.secret.lowerBound - 1))))
      signing = parts
      (queryName, self.encoded) = (nil, 0)
      bare = secret.copy()
      line = SecretBytes(count: 0) { _ in }
      return
    }
    signer = nil
    signing = (0..<0, 0..<0)
    let start: [UInt8]
    switch style {
    case .bearer: start = Array("Authorization: Bearer ".utf8)
    case .header(let name): start = Array("\(name): ".utf8)
    case .basic: start = Array("Authorization: Basic ".utf8)
    // After the `?` or `&` of the request's own query.
    case .query(let name): start = Array("\(name)=".utf8)
    case .aws, .token: preconditionFailure("dealt with above")
    }
    queryName = if case .query(let name) = style { Array(name.utf8) } else { nil }
    let isQuery = queryName != nil
    if isQuery { try Self.validateForQuery(secret.span) }
    let encoded = style == .basic ? Self.base64(secret.span) : secret.copy()
    let (prefix, count) = (start.count, encoded.count)
    self.encoded = style == .basic ? count : 0
    bare = secret.copy()
    line = SecretBytes(count: prefix + count + (isQuery ? 0 : 2)) { target in
      for i in 0..<prefix { target[i] = start[i] }
      for i in 0..<count { target[prefix + i] = encoded.span[i] }
      if !isQuery {
        target[prefix + count] = 13
        target[prefix + count + 1] = 10
      }
    }
  }

  /// `access-key-id:secret-access-key[:session-token]`
  private static func parts(_ secret: Span<UInt8>) throws(Fault) -> (secret: Range<Int>, token: Range<Int>) {
    guard let first = secret.firstIndex(of: UInt8(ascii: ":")), first >= 8 else {
      throw Fault(
        .invalidInput, "a key for AWS is an access key ID and a secret access key",
        hint: "write it as AKIA...:SECRET, with a colon between")
    }
    let second = secret.firstIndex(of: UInt8(ascii: ":"), from: first + 1) ?? secret.count
    guard second > first + 8 else { throw Fault(.invalidInput, "the secret access key is missing after the colon") }
    return ((first + 1)..<second, min(second + 1, secret.count)..<secret.count)
  }

  /// In a query the characters that a URL reads anew would change the key.
  private static func validateForQuery(_ secret: Span<UInt8>) throws(Fault) {
    for i in secret.indices {
      let b = secret[i]
      guard ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 46 || b == 95 || b == 126 else {
        throw Fault(.invalidInput, "a key that goes into the query holds only letters, digits and '-._~'")
      }
    }
  }

  private static func base64(_ secret: Span<UInt8>) -> SecretBytes {
    var encoded = ByteBuffer(capacity: secret.count * 2)
    defer { encoded.wipe() }
    encoded.append(base64: secret)
    return SecretBytes(copying: encoded.readable)
  }

  /// A provider key is 8 to 8,192 bytes of visible ASCII.
  public static func validate(_ secret: Span<UInt8>) throws(Fault) {
    guard secret.count >= 8, secret.count <= 8192 else {
      throw Fault(.invalidInput, "a provider key has 8 to 8192 characters", hint: "was all of it pasted?")
    }
    for i in secret.indices {
      guard secret[i] > 32, secret[i] < 127 else {
        throw Fault(
          .invalidInput, "a provider key holds only visible ASCII characters", hint: "was something else pasted with it?")
      }
    }
  }
}

/// A provider ready for use.
public final class Upstream: Sendable {
  /// One of its addresses, as requests need it.
  public struct Place: Sendable {
    public let url: BaseURL
    /// `Host: …\r\n`.
    public let hostLine: [UInt8]
    /// Origin and prefix, without a last slash.
    public let baseURL: [UInt8]
    /// What goes before the native path.
    public let pathPrefix: [UInt8]

    init(_ url: BaseURL) {
      self.url = url
      hostLine = Array("Host: \(url.hostHeader)\r\n".utf8)
      baseURL = Array(url.text.utf8)
      pathPrefix = Array(url.prefix.utf8)
    }
  }

  public let provider: Provider
  /// Position in the snapshot.
  public let index: Int
  public let name: [UInt8]
  /// Where it can be reached, the preferred one first.
  public let places: [Place]
  public let entry: CatalogueEntry
  /// The keys that can be used, the oldest first.
  public let credentials: [Credential]

  public init(_ provider: Provider, _ entry: CatalogueEntry, index: Int, credentials: [Credential]) {
    self.provider = provider
    self.index = index
    self.credentials = credentials
    name = Array(provider.name.utf8)
    places = provider.addresses.map { Place($0) }
    self.entry = entry
  }

  /// The position of the credential of a provider key: of two versions of it, the one that is used more.
  public func position(of providerKey: RecordID) -> Int? {
    credentials.indices.filter { credentials[$0].keyID == providerKey }.max { credentials[$0].weight < credentials[$1].weight }
  }
}
