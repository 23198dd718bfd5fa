public import Primitives

/// Takes the event out of a chat stream that is there only because the gateway asked for it: no choices, and the usage.
///
/// Holds back an event until it is whole. A chunk with choices passes, usage or not; so does one without both, which Azure sends.
public struct UsageEventFilter: ~Copyable, Sendable {
  private var held = ByteBuffer(capacity: 1024)
  /// What may pass; whoever sends it clears it.
  public var ready = ByteBuffer(capacity: 1024)
  /// An event that is larger is no usage event: it passes as it comes, to its end.
  static let heldMax = 64 * 1024
  private var passes = false
  private var lastWasLineEnd = false
  private var lastWasCR = false

  public init() {}

  /// Adds to `ready` what may pass of `bytes` and of what came before.
  public mutating func feed(_ bytes: Span<UInt8>) {
    var i = 0
    while i < bytes.count {
      if held.isEmpty, !passes, !lastWasLineEnd {
        if lastWasCR, bytes[i] == 10 {
          // The rest of the line end that ended an event.
          ready.append(10)
          lastWasCR = false
          i += 1
          continue
        }
        if let end = Self.endOfEvent(bytes, from: i) {
          let event = bytes.extracting(i..<end)
          if !Self.isUsageOnly(event) { ready.append(event) }
          (i, lastWasCR) = (end, false)
          continue
        }
      }
      let b = bytes[i]
      i += 1
      held.append(b)
      let isLineEnd = b == 10 || b == 13
      // CRLF is one line end.
      let isSecondHalf = b == 10 && lastWasCR
      if isLineEnd, lastWasLineEnd, !isSecondHalf {
        endEvent()
        // The line feed of a blank CRLF line belongs to what follows, and is harmless there.
        lastWasLineEnd = false
      } else if !isSecondHalf {
        lastWasLineEnd = isLineEnd
      }
      lastWasCR = b == 13
      if held.count > Self.heldMax {
        passes = true
        finish()
      }
    }
    if passes { finish() }
  }

  /// Where the event ends that begins at `from`, if it is here whole: behind its blank line. (Lines that end with CR alone are left to
  /// the slower way.)
  private static func endOfEvent(_ bytes: Span<UInt8>, from: Int) -> Int? {
    var i = from
    while let end = bytes.firstIndex(of: 10, from: i) {
      if end + 1 < bytes.count, bytes[end + 1] == 10 { return end + 2 }
      if end + 2 < bytes.count, bytes[end + 1] == 13, bytes[end + 2] == 10 { return end + 3 }
      i = end + 1
    }
    return nil
  }

  private mutating func endEvent() {
    if !passes, Self.isUsageOnly(held.readable) { held.clear() } else { finish() }
    passes = false
  }

  /// At the end of the stream, or when it breaks off: what is held passes.
  public mutating func finish() {
    ready.append(held)
    held.clear()
  }

  /// In JSON a quote inside a string is escaped: these names stand for themselves.
  private static func isUsageOnly(_ event: Span<UInt8>) -> Bool {
    guard let usage = event.firstIndex(of: "\"usage\"").map({ $0 + 7 }),
      let choices = event.firstIndex(of: "\"choices\"").map({ $0 + 9 })
    else { return false }
    let open = afterColon(choices, event)
    guard open < event.count, event[open] == UInt8(ascii: "[") else { return false }
    let close = skip(open + 1, event)
    guard close < event.count, event[close] == UInt8(ascii: "]") else { return false }
    let value = afterColon(usage, event)
    return value < event.count && event[value] == UInt8(ascii: "{")
  }

  private static func skip(_ from: Int, _ event: Span<UInt8>) -> Int {
    var i = from
    while i < event.count, event[i] == 32 || event[i] == 9 { i += 1 }
    return i
  }

  private static func afterColon(_ from: Int, _ event: Span<UInt8>) -> Int {
    let colon = skip(from, event)
    return colon < event.count && event[colon] == UInt8(ascii: ":") ? skip(colon + 1, event) : event.count
  }
}
