import Primitives

/// Finds the content in the bytes of a message body: a value that is fed bytes and says what they are.
public struct BodyDecoder: Sendable {
  /// What the front of the bytes is.
  public enum Step: Equatable, Sendable {
    /// Content at these positions; everything up to its end is used.
    case content(Range<Int>)
    /// This many bytes are framing and used; more are needed.
    case more(Int)
    /// The body has ended; this many bytes of framing are used.
    case end(Int)
  }

  private enum State: UInt8 {
    case data, size, sizeDigits, extensionStart, extensions, quoted, quotedPair, sizeLF, dataCR, dataLF, trailerStart, trailer,
      trailerLF, lastLF, done
  }

  private let isChunked: Bool
  private let isUntilClose: Bool
  private var state: State
  private var left: Int
  private var skipped = 0

  /// Bytes of chunk extensions of one chunk, and of all trailers together; both are dropped.
  public static let droppedMax = 4096

  public init(_ framing: Framing) {
    isChunked = framing == .chunked
    isUntilClose = framing == .untilClose
    switch framing {
    case .none: (state, left) = (.done, 0)
    case .length(let n): (state, left) = (n == 0 ? .done : .data, n)
    case .chunked: (state, left) = (.size, 0)
    case .untilClose: (state, left) = (.data, .max)
    }
  }

  public var isDone: Bool { state == .done }

  /// Whether the end of the connection is the end of the body (rather than a body cut short).
  public var mayEndHere: Bool { isUntilClose || state == .done }

  /// Looks at `bytes`, which start where the last step ended. Throws when the framing is broken.
  public mutating func step(_ bytes: Span<UInt8>) throws(HTTPError) -> Step {
    var i = 0
    while true {
      if state == .done { return .end(i) }
      guard i < bytes.count else { return .more(i) }
      if state == .data {
        let n = min(left, bytes.count - i)
        if !isUntilClose { left -= n }
        if left == 0 { state = isChunked ? .dataCR : .done }
        return .content(i..<(i + n))
      }
      try frame(bytes[i])
      i += 1
    }
  }

  /// One byte of chunk framing (RFC 9112 section 7.1).
  private mutating func frame(_ b: UInt8) throws(HTTPError) {
    switch state {
    case .size:
      guard let digit = ASCII.hexadecimal(b) else { throw .bad("a chunk size is not a number") }
      (left, skipped, state) = (Int(digit), 0, .sizeDigits)
    case .sizeDigits:
      if let digit = ASCII.hexadecimal(b) {
        guard left < 1 << 40 else { throw .bad("a chunk is too large") }
        left = left << 4 | Int(digit)
      } else if b == 13 {
        state = .sizeLF
      } else if b == 59 {
        state = .extensionStart
      } else {
        throw .bad("a chunk size is not a number")
      }
    case .extensionStart:
      guard b != 13, b != 59 else { throw .bad("a chunk extension without a name") }
      try drop(b)
      if b != 32, b != 9 { state = .extensions }
    case .extensions:
      switch b {
      case 13: state = .sizeLF
      case 59: state = .extensionStart
      case 34:
        try drop(b)
        state = .quoted
      default: try drop(b)
      }
    case .quoted, .quotedPair:
      try drop(b)
      state = state == .quoted ? (b == 34 ? .extensions : b == 92 ? .quotedPair : .quoted) : .quoted
    case .sizeLF: try expect(b, 10, then: left == 0 ? .trailerStart : .data)
    case .dataCR: try expect(b, 13, then: .dataLF)
    case .dataLF: try expect(b, 10, then: .size)
    case .trailerStart:
      if b == 13 {
        state = .lastLF
      } else {
        guard Characters.isToken(b) else { throw .bad("a trailer name holds a character that is not allowed") }
        try drop(b)
        state = .trailer
      }
    case .trailer:
      if b == 13 { state = .trailerLF } else { try drop(b) }
    case .trailerLF: try expect(b, 10, then: .trailerStart)
    case .lastLF: try expect(b, 10, then: .done)
    case .data, .done: break
    }
  }

  private mutating func expect(_ b: UInt8, _ wanted: UInt8, then next: State) throws(HTTPError) {
    guard b == wanted else { throw .bad("the chunk framing is broken") }
    state = next
  }

  private mutating func drop(_ b: UInt8) throws(HTTPError) {
    skipped += 1
    guard skipped <= Self.droppedMax else { throw .bad("too many bytes of chunk extensions or trailers") }
    guard Characters.isFieldValue(b) else { throw .bad("a control character in the chunk framing") }
  }
}
