/// Where a request belongs in a trace, as its `traceparent` says (W3C Trace Context).
public struct TraceContext: Hashable, Sendable {
  public let high: UInt64
  public let low: UInt64
  /// The span that the request comes from.
  public let span: UInt64
  public let isSampled: Bool

  public init(high: UInt64, low: UInt64, span: UInt64, isSampled: Bool) {
    (self.high, self.low, self.span, self.isSampled) = (high, low, span, isSampled)
  }

  /// Reads `00-` trace `-` span `-` flags, in lower-case hexadecimal; nil for anything else, all zeros included. Later versions may go on
  /// after a dash.
  public init?(_ text: Span<UInt8>) {
    guard text.count >= 55, text[2] == 45, text[35] == 45, text[52] == 45, text.count == 55 || (text[55] == 45 && text[1] != 48),
      let version = Self.number(text, 0..<2), version != 0xFF, let high = Self.number(text, 3..<19),
      let low = Self.number(text, 19..<35), let span = Self.number(text, 36..<52), let flags = Self.number(text, 53..<55),
      high | low != 0, span != 0
    else { return nil }
    self.init(high: high, low: low, span: span, isSampled: flags & 1 == 1)
  }

  private static func number(_ text: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
    var value: UInt64 = 0
    for i in range {
      let byte = text[i]
      guard let digit = ASCII.hexadecimal(byte), !(65...70).contains(byte) else { return nil }
      value = value << 4 | UInt64(digit)
    }
    return value
  }

  /// 32 digits.
  public var traceID: String { Self.digits(high) + Self.digits(low) }

  /// 16 digits.
  public static func digits(_ value: UInt64) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }
}
