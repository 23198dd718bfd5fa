public import Cryptography
public import Domain
public import Primitives
import Wire

/// How a provider key is exchanged for a token (RFC 6749, section 4.4; RFC 7523): what is asked of whom, and what the answer says.
public struct TokenGrant: Sendable {
  public let source: TokenSource
  /// Who is asked. What is sent there is the key itself, or, of a service account, a proof that it is held.
  public let url: BaseURL

  /// Throws `.invalidInput` when `secret` is no key that can be exchanged there.
  public init(_ source: TokenSource, secret: Span<UInt8>) throws(Fault) {
    self.source = source
    switch source {
    case .google:
      let account = try ServiceAccount.read(secret)
      url = account.tokenURL
      _ = try RSASignature.sign(secret, pem: account.privateKey.span)
    case .ibm(let url): self.url = url
    case .entra, .clientCredentials:
      guard let colon = secret.firstIndex(of: UInt8(ascii: ":")), colon > 0, colon + 1 < secret.count, let url = source.url else {
        throw Fault(
          .invalidInput, "a key that is exchanged for tokens is a client ID and a client secret",
          hint: "write it as CLIENT-ID:CLIENT-SECRET, with a colon between")
      }
      self.url = url
    }
  }

  /// The whole request, with the key in it: the caller wipes it.
  public func request(secret: Span<UInt8>, now: Timestamp) throws(Fault) -> ByteBuffer {
    var form = ByteBuffer(capacity: 4096)
    var basic = ByteBuffer(capacity: 256)
    switch source {
    case .google:
      form.append("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
      try appendAssertion(try ServiceAccount.read(secret), now, to: &form)
    case .ibm:
      form.append("grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=")
      Self.append(secret, to: &form)
    case .entra, .clientCredentials:
      let colon = secret.firstIndex(of: UInt8(ascii: ":")) ?? 0
      let (id, password) = (secret.extracting(0..<colon), secret.extracting((colon + 1)..<secret.count))
      form.append("grant_type=client_credentials")
      if case .entra = source {
        form.append("&client_id=")
        Self.append(id, to: &form)
        form.append("&client_secret=")
        Self.append(password, to: &form)
      } else {
        // RFC 6749, section 2.3.1: every server takes it so, and both parts are encoded first.
        Self.append(id, to: &basic)
        basic.append(":")
        Self.append(password, to: &basic)
      }
      if !source.scope.isEmpty {
        form.append("&scope=")
        Self.append(Array(source.scope.utf8).span, to: &form)
      }
    }
    defer {
      form.wipe()
      basic.wipe()
    }
    var request = ByteBuffer(capacity: form.count + 512)
    request.append("POST \(url.prefix.isEmpty ? "/" : url.prefix) HTTP/1.1\r\nHost: \(url.hostHeader)\r\n")
    request.append("Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n")
    request.append("Accept-Encoding: identity\r\nConnection: close\r\n")
    if !basic.isEmpty {
      request.append("Authorization: Basic ")
      request.append(base64: basic.readable)
      request.append("\r\n")
    }
    request.append("Content-Length: ")
    request.append(decimal: form.count)
    request.append("\r\n\r\n")
    request.append(form)
    return request
  }

  /// A JSON Web Token that says who asks, valid for an hour, signed.
  private func appendAssertion(_ account: borrowing ServiceAccount, _ now: Timestamp, to form: inout ByteBuffer) throws(Fault) {
    var token = ByteBuffer(capacity: 1024)
    token.append(base64: Array(#"{"alg":"RS256","typ":"JWT","kid":"\#(account.keyID)"}"#.utf8).span, forURL: true)
    token.append(".")
    let seconds = now.milliseconds / 1000
    let claims =
      #"{"iss":"\#(account.email)","scope":"\#(source.scope)","aud":"\#(url.text)","iat":\#(seconds),"exp":\#(seconds + 3600)}"#
    token.append(base64: Array(claims.utf8).span, forURL: true)
    let signature = try RSASignature.sign(token.readable, pem: account.privateKey.span)
    token.append(".")
    token.append(base64: signature.span, forURL: true)
    form.append(token)
  }

  private static func append(_ text: Span<UInt8>, to form: inout ByteBuffer) {
    for i in text.indices {
      let b = text[i]
      if ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 46 || b == 95 || b == 126 {
        form.append(b)
      } else {
        let digits: StaticString = "0123456789ABCDEF"
        form.append("%")
        form.append(digits.span[Int(b >> 4)])
        form.append(digits.span[Int(b & 15)])
      }
    }
  }

  // MARK: the answer

  private static let paths = JSONPaths([("access_token", .object(0)), ("expires_in", .number(1)), ("error", .text(0))])
  /// Seconds that a token is taken to last when nobody says.
  static let lifeDefault: Int64 = 300
  public static let answerMax = 64 * 1024

  /// A token, as the header line that presents it, and for how many seconds it is good.
  public struct Token: ~Copyable, Sendable {
    public let line: SecretBytes
    public let seconds: Int64
  }

  /// The token in the body of a good answer; nil when there is none.
  public static func token(in body: Span<UInt8>) -> Token? {
    var probe = JSONProbe()
    probe.feed(body, paths)
    probe.finish(paths)
    let start = probe.place(0).lowerBound + 1
    guard probe.status == .complete, !probe.hasDuplicate, probe.kind(0) == .other, start > 1,
      let end = body.firstIndex(of: UInt8(ascii: "\""), from: start), end > start
    else { return nil }
    let token = body.extracting(start..<end)
    for i in token.indices { guard token[i] > 32, token[i] < 127, token[i] != 92 else { return nil } }
    let prefix: StaticString = "Authorization: Bearer "
    let line = SecretBytes(count: prefix.utf8CodeUnitCount + token.count + 2) { target in
      for i in prefix.span.indices { target[i] = prefix.span[i] }
      for i in token.indices { target[prefix.utf8CodeUnitCount + i] = token[i] }
      target[target.count - 2] = 13
      target[target.count - 1] = 10
    }
    return Token(line: line, seconds: max(probe.number(1) ?? lifeDefault, 1))
  }

  /// What the body of a refusal calls it (`invalid_grant`): letters, digits and underscores; empty for anything else.
  public static func error(in body: Span<UInt8>) -> String {
    var probe = JSONProbe()
    probe.feed(body, paths)
    let text = [UInt8](copying: probe.text(0).span)
    guard text.allSatisfy({ ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 95 }) else { return "" }
    return String(decoding: text, as: UTF8.self)
  }
}

/// What is used of a service account's JSON file.
private struct ServiceAccount: ~Copyable {
  let email: String
  let keyID: String
  let tokenURL: BaseURL
  /// In PEM.
  let privateKey: SecretBytes

  private static let paths = JSONPaths([
    ("client_email", .text(0)), ("private_key_id", .text(1)), ("token_uri", .text(2)), ("private_key", .object(0)),
  ])

  static func read(_ file: Span<UInt8>) throws(Fault) -> ServiceAccount {
    var probe = JSONProbe()
    probe.feed(file, paths)
    probe.finish(paths)
    let bad = Fault(
      .invalidInput, "that is no service account's key", hint: "give the whole JSON file that Google made, as it is")
    guard probe.status == .complete, !probe.hasDuplicate, !probe.isTruncated, probe.kind(0) == .other else { throw bad }
    return ServiceAccount(
      email: try plain(probe.text(0), bad), keyID: try plain(probe.text(1), bad),
      tokenURL: try BaseURL(try plain(probe.text(2), bad)),
      privateKey: try unescaped(file, from: probe.place(0).lowerBound, bad))
  }

  /// A text that stands in a token without being escaped.
  private static func plain(_ text: JSONProbe.Text, _ bad: Fault) throws(Fault) -> String {
    let bytes = [UInt8](copying: text.span)
    guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 34 && $0 != 92 }) else { throw bad }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The string that begins at `quote` of a valid document, which is ASCII when unescaped; throws `bad` when it is not.
  private static func unescaped(_ file: Span<UInt8>, from quote: Int, _ bad: Fault) throws(Fault) -> SecretBytes {
    var out = ByteBuffer(capacity: file.count)
    defer { out.wipe() }
    var i = quote + 1
    guard file[quote] == UInt8(ascii: "\"") else { throw bad }
    while file[i] != UInt8(ascii: "\"") {
      var b = file[i]
      if b == UInt8(ascii: "\\") {
        switch file[i + 1] {
        case UInt8(ascii: "n"): b = 10
        case UInt8(ascii: "r"): b = 13
        case UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "\""): b = file[i + 1]
        case UInt8(ascii: "u"):
          guard file[i + 2] == 48, file[i + 3] == 48, let high = ASCII.hexadecimal(file[i + 4]), high < 8,
            let low = ASCII.hexadecimal(file[i + 5])
          else { throw bad }
          b = high << 4 | low
          i += 4
        default: throw bad
        }
        i += 1
      }
      out.append(b)
      i += 1
    }
    return SecretBytes(copying: out.readable)
  }
}
