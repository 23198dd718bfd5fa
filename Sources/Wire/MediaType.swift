import Primitives

/// Media type of a request, read strictly, because what the body is taken for decides (RFC 9110 section 8.3).
public struct MediaType: Sendable {
  public enum Kind: Equatable, Sendable {
    case absent, json, form, urlEncoded, other
  }
  public private(set) var kind = Kind.absent
  /// False for a character set other than UTF-8, one that is said twice or in another way than as `charset`.
  public private(set) var isUTF8 = true
  /// False where parsers could read it differently: two types, a parameter without a value, an unclosed quote.
  public private(set) var isClear = true

  public init() {}

  public init(_ value: Span<UInt8>) {
    kind = .other
    let end = value.firstIndex(of: UInt8(ascii: ";")) ?? value.count
    let type = Self.trimmed(value, 0..<end)
    for i in type where !Characters.isToken(value[i]) && value[i] != UInt8(ascii: "/") { isClear = false }
    let name = value.extracting(type)
    if name.equalsIgnoringCase("application/json") { kind = .json }
    if name.equalsIgnoringCase("multipart/form-data") { kind = .form }
    if name.equalsIgnoringCase("application/x-www-form-urlencoded") { kind = .urlEncoded }
    var hasCharset = false
    var i = end
    while i < value.count {
      let (stop, isClosed) = Self.endOfParameter(value, i + 1)
      isClear = isClear && isClosed
      let parameter = Self.trimmed(value, (i + 1)..<stop)
      i = stop
      if parameter.isEmpty { continue }
      guard let equals = value.extracting(parameter).firstIndex(of: UInt8(ascii: "=")) else {
        isClear = false
        continue
      }
      let key = value.extracting(Self.trimmed(value, parameter.lowerBound..<(parameter.lowerBound + equals)))
      guard key.count >= 7, key.extracting(0..<7).equalsIgnoringCase("charset") else { continue }
      var text = Self.trimmed(value, (parameter.lowerBound + equals + 1)..<parameter.upperBound)
      if text.count >= 2, value[text.lowerBound] == 34, value[text.upperBound - 1] == 34 {
        text = (text.lowerBound + 1)..<(text.upperBound - 1)
      }
      let charset = value.extracting(text)
      let isPlain = key.count == 7 && (charset.equalsIgnoringCase("utf-8") || charset.equalsIgnoringCase("utf8"))
      isUTF8 = isUTF8 && isPlain && !hasCharset
      hasCharset = true
    }
  }

  /// Where the parameter that starts at `from` ends, and whether all its quotes are closed.
  private static func endOfParameter(_ value: Span<UInt8>, _ from: Int) -> (Int, Bool) {
    var isQuoted = false
    var i = from
    while i < value.count {
      if value[i] == UInt8(ascii: "\\") { return (value.count, false) }
      if value[i] == UInt8(ascii: "\"") { isQuoted.toggle() }
      if value[i] == UInt8(ascii: ";"), !isQuoted { return (i, true) }
      i += 1
    }
    return (i, !isQuoted)
  }

  private static func trimmed(_ value: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
    var (a, z) = (range.lowerBound, range.upperBound)
    while a < z, value[a] == 32 || value[a] == 9 { a += 1 }
    while z > a, value[z - 1] == 32 || value[z - 1] == 9 { z -= 1 }
    return a..<z
  }
}
