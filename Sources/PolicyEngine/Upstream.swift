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
  public let health: CredentialHealth
  private let bare: SecretBytes
  /// Signs requests, in place of a line that is the same for all; nil: there is one.
  public let signer: AmazonSignature?
  /// Of what is signed with: where the secret and the session token (empty: none) stand in the key.
  private let signing: (secret: Range<Int>, token: Range<Int>)

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

  /// Lends the bare secret to `use`.
  public func withSecret<Result>(_ use: (Span<UInt8>) -> Result) -> Result { bare.withBytes(0..<bare.count, use) }

  /// Throws `.invalidInput` when the secret could not stand in a header.
  public init(
    keyID: RecordID, version: UInt32, style: CredentialStyle, secret: borrowing SecretBytes, host: String = "",
    pool: PoolSettings = PoolSettings(),
    health: CredentialHealth = CredentialHealth()
  ) throws(Fault) {
    self.pool = pool
    self.health = health
    try Self.validate(secret.span)
    if case .aws(let service, let region) = style {
      let parts = try Self.parts(secret.span)
      guard let region = region.isEmpty ? CredentialStyle.region(ofHost: host) : region else {
        throw Fault(.invalidInput, "the region of \(host) is not known", hint: "say it in the style: aws:\(service):REGION")
      }
      signer = AmazonSignature(
        region: region, service: service, accessKey: [UInt8](copying: secret.span.extracting(0..<(parts.secret.lowerBound - 1))))
      signing = parts
      self.keyID = keyID
      self.version = version
      queryName = nil
      bare = secret.copy()
      line = SecretBytes(count: 0) { _ in }
      return
    }
    signer = nil
    signing = (0..<0, 0..<0)
    self.keyID = keyID
    self.version = version
    let start: [UInt8]
    switch style {
    case .bearer: start = Array("Authorization: Bearer ".utf8)
    case .header(let name): start = Array("\(name): ".utf8)
    case .basic: start = Array("Authorization: Basic ".utf8)
    // After the `?` or `&` of the request's own query.
    case .query(let name): start = Array("\(name)=".utf8)
    case .aws: preconditionFailure("signed above")
    }
    queryName = if case .query(let name) = style { Array(name.utf8) } else { nil }
    let isQuery = queryName != nil
    if isQuery { try Self.validateForQuery(secret.span) }
    let encoded = style == .basic ? Self.base64(secret.span) : secret.copy()
    let (prefix, count) = (start.count, encoded.count)
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

  /// RFC 4648, with padding.
  private static func base64(_ secret: Span<UInt8>) -> SecretBytes {
    let digits: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return SecretBytes(count: (secret.count + 2) / 3 * 4) { target in
      for group in 0..<((secret.count + 2) / 3) {
        func byte(_ i: Int) -> UInt32 { group * 3 + i < secret.count ? UInt32(secret[group * 3 + i]) : 0 }
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2)
        for i in 0..<4 {
          let isPadding = group * 3 + i > secret.count
          target[group * 4 + i] = isPadding ? 61 : digits.span[Int(bits >> UInt32(18 - 6 * i) & 63)]
        }
      }
    }
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
  public let provider: Provider
  /// Position in the snapshot.
  public let index: Int
  public let name: [UInt8]
  /// `Host: …\r\n`.
  public let hostLine: [UInt8]
  /// What goes before the native path.
  public let pathPrefix: [UInt8]
  public let entry: CatalogueEntry
  /// The keys that can be used, the oldest first.
  public let credentials: [Credential]

  public init(_ provider: Provider, _ entry: CatalogueEntry, index: Int, credentials: [Credential]) {
    self.provider = provider
    self.index = index
    self.credentials = credentials
    name = Array(provider.name.utf8)
    hostLine = Array("Host: \(provider.baseURL.hostHeader)\r\n".utf8)
    self.entry = entry
    pathPrefix = Array(provider.baseURL.prefix.utf8)
  }
}
