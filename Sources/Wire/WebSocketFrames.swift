public import Primitives

/// Finds the payloads of WebSocket frames (RFC 6455, section 5) in the bytes of one direction: a value that is fed bytes.
///
/// Without extensions: reserved bits are refused, so that nothing compressed passes unread.
public struct WebSocketFrames: Sendable {
  public enum Step: Equatable, Sendable {
    /// Bytes of a message's payload, still masked where the sender masks.
    case payload(Range<Int>)
    /// The message is over; this many bytes are used.
    case endOfMessage(Int)
    /// All bytes are used.
    case more
    /// These are no frames, or not those of this side.
    case invalid
  }

  private let isMasked: Bool
  // The head of the current frame, and how much of it is there.
  private var head = InlineArray<14, UInt8>(repeating: 0)
  private var headCount = 0
  private var headLength = 2
  private var left = 0
  private var at = 0
  private var isInMessage = false
  private var isInvalid = false

  /// `fromClient`: the side that masks.
  public init(fromClient: Bool) { isMasked = fromClient }

  /// Whether a frame may begin here: the place for one of our own.
  public var isBetweenFrames: Bool { headCount == 0 && !isInvalid }

  private var opcode: UInt8 { head[0] & 15 }
  private var isControl: Bool { opcode >= 8 }
  private var isFinal: Bool { head[0] & 0x80 != 0 }

  /// Looks at `bytes` from position `from` on. Control frames are passed over.
  public mutating func step(_ bytes: Span<UInt8>, from: Int) -> Step {
    var i = from
    while true {
      if isInvalid { return .invalid }
      if headCount < headLength {
        guard i < bytes.count else { return .more }
        head[headCount] = bytes[i]
        headCount += 1
        i += 1
        if headCount == 2, !startHead() { isInvalid = true }
        if headCount == headLength, !startPayload() { isInvalid = true }
        continue
      }
      if left > 0 {
        guard i < bytes.count else { return .more }
        let n = min(left, bytes.count - i)
        left -= n
        if isControl {
          i += n
          continue
        }
        defer { at += n }
        return .payload(i..<(i + n))
      }
      let isEnd = !isControl && isFinal
      (headCount, headLength, at) = (0, 2, 0)
      if isEnd {
        isInMessage = false
        return .endOfMessage(i)
      }
    }
  }

  private mutating func startHead() -> Bool {
    guard head[0] & 0x70 == 0, (head[1] & 0x80 != 0) == isMasked, [0, 1, 2, 8, 9, 10].contains(opcode) else { return false }
    let length = head[1] & 0x7F
    if isControl {
      guard isFinal, length < 126 else { return false }
    } else {
      guard (opcode == 0) == isInMessage else { return false }
      isInMessage = true
    }
    headLength = 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (isMasked ? 4 : 0)
    return true
  }

  private mutating func startPayload() -> Bool {
    let short = head[1] & 0x7F
    var length = UInt64(short)
    if short >= 126 {
      length = 0
      for i in 0..<(short == 126 ? 2 : 8) { length = length << 8 | UInt64(head[2 + i]) }
    }
    guard length <= 1 << 40 else { return false }
    left = Int(length)
    return true
  }

  /// Lends the payload at `range`, which the last step has told of, piece by piece without its mask.
  public func unmask(_ bytes: Span<UInt8>, _ range: Range<Int>, _ body: (Span<UInt8>) -> Void) {
    guard isMasked else { return body(bytes.extracting(range)) }
    var plain = InlineArray<256, UInt8>(repeating: 0)
    var position = at - range.count
    var count = 0
    for i in range {
      plain[count] = bytes[i] ^ head[headLength - 4 + position & 3]
      position += 1
      count += 1
      if count == 256 {
        body(plain.span)
        count = 0
      }
    }
    if count > 0 { body(plain.span.extracting(0..<count)) }
  }

  /// Appends a frame from a server that ends the connection, with a code (RFC 6455, section 7.4) and a reason of at most 123 bytes.
  public static func writeClose(_ code: UInt16, _ reason: StaticString, to buffer: inout ByteBuffer) {
    precondition(reason.utf8CodeUnitCount <= 123)
    buffer.append(0x88)
    buffer.append(UInt8(2 + reason.utf8CodeUnitCount))
    buffer.append(UInt8(code >> 8))
    buffer.append(UInt8(code & 255))
    buffer.append(reason)
  }
}

/// The HTTP side of a WebSocket (RFC 6455, section 4).
public enum WebSocketHandshake {
  /// Whether `head`, which was parsed from `bytes`, asks for a WebSocket of the only version there is.
  public static func isAsked(_ head: borrowing RequestHead, _ bytes: Span<UInt8>) -> Bool {
    guard head.method == .get, head.isHTTP11, head.framing == .none, let upgrade = head.value(of: .upgrade),
      bytes.extracting(upgrade.range).equalsIgnoringCase("websocket")
    else { return false }
    var (hasKey, hasVersion) = (0, 0)
    for field in head.fields where field.kind == .webSocket {
      let value = bytes.extracting(field.value.range)
      if bytes.extracting(field.name.range).equalsIgnoringCase("sec-websocket-key") { hasKey += value.count == 24 ? 1 : 2 }
      if bytes.extracting(field.name.range).equalsIgnoringCase("sec-websocket-version") {
        hasVersion += value.equals("13") ? 1 : 2
      }
    }
    return hasKey == 1 && hasVersion == 1
  }

  /// What a browser, which cannot set headers, puts the key behind.
  private static let keyPrefix: StaticString = "openai-insecure-api-key."

  /// The key among the protocols in `list`; nil when there is none.
  public static func key(in list: Span<UInt8>) -> Range<Int>? {
    var found: Range<Int>?
    forEachProtocol(list) { range in
      if list.extracting(range).starts(with: keyPrefix) {
        found = (range.lowerBound + keyPrefix.utf8CodeUnitCount)..<range.upperBound
      }
    }
    return found
  }

  /// Appends the protocols in `list` but for those that say who somebody is. False when none is left.
  public static func appendProtocols(_ list: Span<UInt8>, to buffer: inout ByteBuffer) -> Bool {
    var isFirst = true
    forEachProtocol(list) { range in
      let name = list.extracting(range)
      guard !name.starts(with: keyPrefix), !name.starts(with: "openai-organization."), !name.starts(with: "openai-project.")
      else {
        return
      }
      buffer.append(isFirst ? "Sec-WebSocket-Protocol: " : ", ")
      buffer.append(name)
      isFirst = false
    }
    if !isFirst { buffer.append("\r\n") }
    return !isFirst
  }

  private static func forEachProtocol(_ list: Span<UInt8>, _ body: (Range<Int>) -> Void) {
    var start = 0
    while start < list.count {
      let end = list.firstIndex(of: UInt8(ascii: ","), from: start) ?? list.count
      var (a, b) = (start, end)
      while a < b, list[a] == 32 || list[a] == 9 { a += 1 }
      while b > a, list[b - 1] == 32 || list[b - 1] == 9 { b -= 1 }
      if a < b { body(a..<b) }
      start = end + 1
    }
  }
}
