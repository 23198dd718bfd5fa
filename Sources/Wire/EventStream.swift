import Primitives

/// Finds the data of server-sent events in the bytes of a stream (WHATWG HTML, section 9.2): a value that is fed bytes.
///
/// LF, CRLF and CR end lines; comments and other fields are passed over.
public struct EventStreamSplitter: Sendable {
  public enum Step: Equatable, Sendable {
    /// Bytes of the data of the current event. A further `data:` line continues it after a line feed, which is not reported.
    case data(Range<Int>)
    /// The event is over; this many bytes are used.
    case endOfEvent(Int)
    /// All bytes are used.
    case more
  }

  private enum State: UInt8 { case lineStart, name, space, data, other }
  private var state = State.lineStart
  private var matched = 0
  private var lastWasCR = false
  private var hasData = false

  public init() {}

  /// Looks at `bytes` from position `from` on.
  public mutating func step(_ bytes: Span<UInt8>, from: Int) -> Step {
    var i = from
    while i < bytes.count {
      let b = bytes[i]
      if b == 10, lastWasCR {
        lastWasCR = false
        i += 1
        continue
      }
      lastWasCR = false
      switch state {
      case .data, .space:
        if state == .space, b == 32 {
          state = .data
          i += 1
          continue
        }
        state = .data
        let start = i
        i = Self.endOfLine(bytes, from: i)
        if i > start { return .data(start..<i) }
        endLine(bytes[i])
        i += 1
      case .other:
        i = Self.endOfLine(bytes, from: i)
        if i < bytes.count {
          endLine(bytes[i])
          i += 1
        }
      case .lineStart, .name:
        if b == 10 || b == 13 {
          let isBlank = state == .lineStart
          endLine(b)
          i += 1
          if isBlank, hasData {
            hasData = false
            return .endOfEvent(i)
          }
          continue
        }
        if state == .lineStart, b == UInt8(ascii: "d"), bytes.extracting(i..<bytes.count).starts(with: "data:") {
          (state, hasData) = (.space, true)
          i += 5
          continue
        }
        match(b)
        i += 1
      }
    }
    return .more
  }

  /// The first position at or after `from` of a line end, or the count.
  private static func endOfLine(_ bytes: Span<UInt8>, from: Int) -> Int {
    let end = bytes.firstIndex(of: 10, from: from) ?? bytes.count
    return bytes.extracting(0..<end).firstIndex(of: 13, from: from) ?? end
  }

  private mutating func endLine(_ b: UInt8) {
    (state, matched) = (.lineStart, 0)
    lastWasCR = b == 13
  }

  private mutating func match(_ b: UInt8) {
    let name: StaticString = "data:"
    guard name.withUTF8Buffer({ unsafe $0[matched] }) == b else {
      state = .other
      return
    }
    matched += 1
    state = .name
    if matched == name.utf8CodeUnitCount { (state, hasData) = (.space, true) }
  }
}
