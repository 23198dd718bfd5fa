import Primitives

/// A parsed response head: positions in the buffer it came from. Reused as `RequestHead` is.
public struct ResponseHead: Sendable {
  public private(set) var status: UInt16 = 0
  public private(set) var reason = Slice.empty
  public private(set) var fields: [Field] = []
  public private(set) var framing = Framing.none
  public private(set) var isKeepAlive = true
  public private(set) var length = 0

  public init() { fields.reserveCapacity(32) }

  /// Parses the head at the front of `bytes`, an answer to `method`: true when complete, false when more is needed.
  ///
  /// As strict as the request side, but for what real servers leave out: an empty reason may lack its space.
  public mutating func parse(_ bytes: Span<UInt8>, answering method: Method, limits: HeadLimits) throws(HTTPError) -> Bool {
    guard let end = try parseAll(bytes, method, limits) else {
      guard bytes.count < limits.bytesMax else { throw .bad("the head is too large") }
      return false
    }
    guard end <= limits.bytesMax else { throw .bad("the head is too large") }
    length = end
    return true
  }

  private mutating func parseAll(_ b: Span<UInt8>, _ method: Method, _ limits: HeadLimits) throws(HTTPError) -> Int? {
    let version: StaticString = "HTTP/1."
    let seen = min(b.count, version.utf8CodeUnitCount)
    for i in 0..<seen where version.withUTF8Buffer({ unsafe $0[i] }) != b[i] { throw .bad("that is not an HTTP response") }
    guard b.count >= 14 else { return nil }
    guard b[7] == 49 || b[7] == 48, b[8] == 32, let code = ASCII.decimal(b.extracting(9..<12)), code >= 100, code < 600 else {
      throw .bad("that is not an HTTP status line")
    }
    var i = 12
    if b[i] == 32 {
      i += 1
      while i < b.count, Characters.isFieldValue(b[i]) { i += 1 }
      reason = Slice(13..<i)
    } else {
      reason = .empty
    }
    guard i + 1 < b.count else { return nil }
    guard b[i] == 13, b[i + 1] == 10 else { throw .bad("that is not an HTTP status line") }
    status = UInt16(code)
    var parser = FieldParser()
    guard let end = try parser.parse(b, from: i + 2, into: &fields, limits: limits) else { return nil }
    try frame(parser, method)
    let isHTTP11 = b[7] == 49
    isKeepAlive = framing != .untilClose && (isHTTP11 ? !parser.wantsClose : parser.wantsKeepAlive && !parser.wantsClose)
    return end
  }

  private mutating func frame(_ parser: FieldParser, _ method: Method) throws(HTTPError) {
    if parser.isChunked, parser.contentLength != nil { throw .bad("both Content-Length and Transfer-Encoding") }
    if method == .head || status < 200 || status == 204 || status == 304 {
      framing = .none
    } else if parser.isChunked {
      framing = .chunked
    } else if let n = parser.contentLength {
      framing = n == 0 ? .none : .length(n)
    } else {
      framing = .untilClose
    }
  }
}
