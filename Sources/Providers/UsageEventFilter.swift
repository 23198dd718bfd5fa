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
    for i in bytes.indices {
      let b = bytes[i]
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
    guard let choices = end(of: "\"choices\"", in: event), let usage = end(of: "\"usage\"", in: event) else { return false }
    let open = afterColon(choices, event)
    guard open < event.count, event[open] == UInt8(ascii: "[") else { return false }
    let close = skip(open + 1, event)
    guard close < event.count, event[close] == UInt8(ascii: "]") else { return false }
    let value = afterColon(usage, event)
    return value < event.count && event[value] == UInt8(ascii: "{")
  }

  private static func end(of name: StaticString, in event: Span<UInt8>) -> Int? {
    var i = 0
    while let quote = event.firstIndex(of: 34, from: i) {
      if event.extracting(quote..<event.count).starts(with: name) { return quote + name.utf8CodeUnitCount }
      i = quote + 1
    }
    return nil
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
