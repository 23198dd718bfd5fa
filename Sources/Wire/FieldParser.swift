import Primitives

/// The header lines of a head and what they say about framing, shared by requests and responses.
///
/// RFC 9112 without any of its lenient readings: no obs-fold, no bare CR or LF, no space before the colon, one length at most.
@usableFromInline
struct FieldParser {
  var contentLength: Int?
  var isChunked = false
  var hosts = 0
  var wantsClose = false
  var wantsKeepAlive = false
  var expectsContinue = false

  /// Parses from `at` to the blank line; the position after it, or nil when more bytes are needed.
  mutating func parse(_ b: Span<UInt8>, from at: Int, into fields: inout [Field], limits: HeadLimits) throws(HTTPError) -> Int? {
    fields.removeAll(keepingCapacity: true)
    var i = at
    while true {
      guard i < b.count else { return nil }
      if b[i] == 13 {
        guard i + 1 < b.count else { return nil }
        guard b[i + 1] == 10 else { throw .bad("bare CR in the headers") }
        return i + 2
      }
      let nameStart = i
      while i < b.count, Characters.isToken(b[i]) { i += 1 }
      guard i < b.count else { return nil }
      guard b[i] == 58 else { throw .bad("a header name holds a character that is not allowed") }
      guard i > nameStart else { throw .bad("a header without a name") }
      let name = nameStart..<i
      i += 1
      while i < b.count, b[i] == 32 || b[i] == 9 { i += 1 }
      let valueStart = i
      i = skipValue(b, i)
      guard i < b.count else { return nil }
      guard b[i] == 13 else { throw .bad("a control character in a header value") }
      guard i + 1 < b.count else { return nil }
      guard b[i + 1] == 10 else { throw .bad("bare CR in a header value") }
      var valueEnd = i
      while valueEnd > valueStart, b[valueEnd - 1] == 32 || b[valueEnd - 1] == 9 { valueEnd -= 1 }
      guard fields.count < limits.fieldsMax else { throw HTTPError(431, "too many headers") }
      let kind = FieldKind.of(b.extracting(name))
      if kind != .other { try note(kind, b.extracting(valueStart..<valueEnd)) }
      fields.append(Field(name: Slice(name), value: Slice(valueStart..<valueEnd), kind: kind))
      i += 2
    }
  }

  /// The first position at or after `i` that ends a field value.
  @inline(__always)
  private func skipValue(_ b: Span<UInt8>, _ i: Int) -> Int {
    var i = i
    while true {
      i = EightBytes.run(b, from: i) { EightBytes.fieldSpecials($0) }
      // Tabs and obs-text are marked and allowed.
      guard i < b.count, Characters.isFieldValue(b[i]) else { return i }
      i += 1
    }
  }

  private mutating func note(_ kind: FieldKind, _ value: Span<UInt8>) throws(HTTPError) {
    switch kind {
    case .contentLength:
      guard contentLength == nil else { throw .bad("Content-Length twice") }
      guard let n = ASCII.decimal(value) else { throw .bad("Content-Length is not a number of bytes") }
      contentLength = n
    case .transferEncoding:
      guard !isChunked else { throw .bad("Transfer-Encoding twice") }
      guard value.equalsIgnoringCase("chunked") else { throw HTTPError(501, "a Transfer-Encoding other than chunked") }
      isChunked = true
    case .host:
      hosts += 1
      guard isHost(value) else { throw .bad("the Host header cannot be a host") }
    case .connection:
      forEachToken(value) { token in
        if token.equalsIgnoringCase("close") { wantsClose = true }
        if token.equalsIgnoringCase("keep-alive") { wantsKeepAlive = true }
      }
    case .expect:
      guard value.equalsIgnoringCase("100-continue") else { throw HTTPError(417, "an expectation other than 100-continue") }
      expectsContinue = true
    default: break
    }
  }

  private func isHost(_ value: Span<UInt8>) -> Bool {
    for i in value.indices {
      let b = value[i]
      guard ASCII.isDigit(b) || ASCII.isLetter(b) || b == 45 || b == 46 || b == 58 || b == 95 || b == 91 || b == 93 else {
        return false
      }
    }
    return value.count > 0 && value.count <= 255
  }

  private func forEachToken(_ value: Span<UInt8>, _ body: (Span<UInt8>) -> Void) {
    var start = 0
    while start <= value.count {
      let comma = value.firstIndex(of: 44, from: start) ?? value.count
      var a = start
      var z = comma
      while a < z, value[a] == 32 || value[a] == 9 { a += 1 }
      while z > a, value[z - 1] == 32 || value[z - 1] == 9 { z -= 1 }
      body(value.extracting(a..<z))
      start = comma + 1
    }
  }
}
