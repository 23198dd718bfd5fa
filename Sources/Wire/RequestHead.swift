import Primitives

/// A parsed request head: positions in the buffer it came from, valid while those bytes stay where they are.
///
/// One value is reused for all requests of a connection, so that parsing allocates nothing.
public struct RequestHead: Sendable {
  public private(set) var method = Method.get
  /// The request target as sent: origin form, `*` (OPTIONS), or authority (CONNECT).
  public private(set) var target = Slice.empty
  public private(set) var fields: [Field] = []
  public private(set) var framing = Framing.none
  public private(set) var isKeepAlive = true
  /// False for HTTP/1.0, whose clients know no chunks.
  public private(set) var isHTTP11 = true
  public private(set) var expectsContinue = false
  /// Bytes of the whole head.
  public private(set) var length = 0

  public init() { fields.reserveCapacity(32) }

  /// Parses the head at the front of `bytes`: true when it is complete, false when more bytes are needed.
  ///
  /// Throws on anything that RFC 9112 forbids or leaves to the reader's taste; after a throw the connection is to be closed.
  public mutating func parse(_ bytes: Span<UInt8>, limits: HeadLimits) throws(HTTPError) -> Bool {
    let end = try parseAll(bytes, limits)
    guard let end else {
      guard bytes.count < limits.bytesMax else { throw HTTPError(431, "the head is too large") }
      return false
    }
    guard end <= limits.bytesMax else { throw HTTPError(431, "the head is too large") }
    length = end
    return true
  }

  private mutating func parseAll(_ b: Span<UInt8>, _ limits: HeadLimits) throws(HTTPError) -> Int? {
    // RFC 9112 section 2.2: one empty line before the request line is forgiven.
    var i = 0
    if b.count >= 1, b[0] == 13 {
      guard b.count >= 2 else { return nil }
      guard b[1] == 10 else { throw .bad("bare CR before the request line") }
      i = 2
    }
    guard let fieldsStart = try parseLine(b, i) else { return nil }
    var parser = FieldParser()
    guard let end = try parser.parse(b, from: fieldsStart, into: &fields, limits: limits) else { return nil }
    if parser.isChunked {
      guard parser.contentLength == nil else { throw .bad("both Content-Length and Transfer-Encoding") }
      guard isHTTP11 else { throw .bad("Transfer-Encoding in HTTP/1.0") }
      framing = .chunked
    } else {
      framing = parser.contentLength.map { $0 == 0 ? .none : .length($0) } ?? .none
    }
    guard parser.hosts == 1 || (parser.hosts == 0 && !isHTTP11) else { throw .bad("exactly one Host header is needed") }
    isKeepAlive = isHTTP11 ? !parser.wantsClose : parser.wantsKeepAlive && !parser.wantsClose
    expectsContinue = parser.expectsContinue && isHTTP11
    return end
  }

  /// `method SP target SP HTTP/1.x CRLF`; the position after it, or nil when more bytes are needed.
  private mutating func parseLine(_ b: Span<UInt8>, _ start: Int) throws(HTTPError) -> Int? {
    var i = start
    while i < b.count, Characters.isToken(b[i]) { i += 1 }
    guard i < b.count else { return nil }
    guard i > start, b[i] == 32 else { throw .bad("that is not an HTTP request line") }
    guard let method = Method.of(b.extracting(start..<i)) else { throw HTTPError(501, "an unknown method") }
    i += 1
    let targetStart = i
    while i < b.count, Characters.isTarget(b[i]) { i += 1 }
    guard i < b.count else { return nil }
    guard b[i] == 32, i > targetStart else { throw .bad("the request target holds a character that is not allowed") }
    target = Slice(targetStart..<i)
    try check(b.extracting(targetStart..<i), of: method)
    guard b.count >= i + 11 else {
      for j in (i + 1)..<b.count where j - i <= 7 && b[j] != Self.version[j - i - 1] {
        throw .bad("that is not an HTTP request line")
      }
      return nil
    }
    guard b.extracting((i + 1)..<(i + 8)).equals("HTTP/1."), b[i + 9] == 13, b[i + 10] == 10 else {
      throw .bad("that is not an HTTP request line")
    }
    guard b[i + 8] == 49 || b[i + 8] == 48 else { throw HTTPError(505, "an HTTP version other than 1.0 and 1.1") }
    isHTTP11 = b[i + 8] == 49
    self.method = method
    return i + 11
  }

  private static let version: InlineArray<7, UInt8> = [72, 84, 84, 80, 47, 49, 46]

  private func check(_ target: Span<UInt8>, of method: Method) throws(HTTPError) {
    if method == .connect {
      guard target[0] != 47, target.firstIndex(of: 58) != nil, target.firstIndex(of: 47) == nil else {
        throw .bad("CONNECT needs host:port")
      }
    } else if target[0] != 47, !(method == .options && target.equals("*")) {
      // Absolute form is for proxies; we are an origin server.
      throw .bad("the request target is not a path")
    }
  }

  /// The value of the first field of `kind`.
  @inlinable public func value(of kind: FieldKind) -> Slice? {
    for field in fields where field.kind == kind { return field.value }
    return nil
  }
}
