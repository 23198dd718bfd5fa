public import Primitives
import Wire

/// What a kind of provider says when it refuses: that its key is bad, where it does not say so with 401, and how long to wait, where
/// it does not say so in `retry-after`.
public struct RefusalFacts: Sendable {
  /// What the body of a refusal says.
  public struct Told: Sendable {
    /// Whether it is about the key.
    public var blamesKey = false
    /// How long to wait.
    public var milliseconds: Int?

    public init() {}
  }

  /// Bytes of a body that are looked at.
  public static let bodyMax = 16 * 1024

  /// Header fields that say when a limit is over, in small letters.
  private let fields: [[UInt8]]
  private let paths: JSONPaths
  /// What a text begins with that blames the key.
  private let blame: [UInt8]
  private let saysWait: Bool

  private enum Text {
    static let blame = 0
    static let wait = 1
  }

  /// `fields`: as `x-ratelimit-reset-requests`, by spaces. `badKey`: where a 400 blames the key, and what that begins with, as
  /// `error.details.[].reason API_KEY_INVALID`. `wait`: where a 429 says how long, as `error.details.[].retryDelay`. nil when one of
  /// them cannot be read.
  init?(fields: String, badKey: String, wait: String) {
    self.fields = fields.split(separator: " ").map { Array($0.lowercased().utf8) }
    let isName = { (b: UInt8) in ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 }
    guard self.fields.allSatisfy({ $0.allSatisfy(isName) }), !wait.contains(" ") else { return nil }
    let parts = badKey.split(separator: " ", maxSplits: 1).map(String.init)
    guard parts.count != 1 else { return nil }
    blame = parts.isEmpty ? [] : Array(parts[1].utf8)
    saysWait = !wait.isEmpty
    let places =
      (parts.isEmpty ? [] : [(parts[0], JSONPaths.Slot.text(Text.blame))]) + (saysWait ? [(wait, .text(Text.wait))] : [])
    guard
      places.allSatisfy({
        !$0.0.isEmpty && $0.0.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty }
      })
    else { return nil }
    paths = JSONPaths(places)
  }

  /// Whether a body of this status can say something.
  public func readsBody(status: UInt16) -> Bool { status == 400 ? !blame.isEmpty : status == 429 && saysWait }

  /// Reads the body of a refusal.
  public func read(_ body: Span<UInt8>, now: Timestamp) -> Told {
    var probe = JSONProbe()
    probe.feed(body, paths)
    var told = Told()
    let (reason, wait) = (probe.text(Text.blame), probe.text(Text.wait))
    told.blamesKey = !blame.isEmpty && reason.count >= blame.count && reason.span.extracting(0..<blame.count).equals(blame.span)
    told.milliseconds = wait.count == 0 ? nil : Self.milliseconds(wait.span, now: now)
    return told
  }

  /// Whether the header field `name` says when a limit is over.
  public func isReset(_ name: Span<UInt8>) -> Bool {
    fields.contains { field in
      guard field.count == name.count else { return false }
      for i in name.indices where ASCII.lower(name[i]) != field[i] { return false }
      return true
    }
  }

  /// Milliseconds, rounded up, that a span (`12`, `1.5s`, `6m0s`, `2ms`) or a moment (RFC 3339) is away; nil for anything else.
  public static func milliseconds(_ text: Span<UInt8>, now: Timestamp) -> Int? {
    if text.count > 10, text[4] == UInt8(ascii: "-") {
      guard let moment = Timestamp(rfc3339: String(decoding: [UInt8](copying: text), as: UTF8.self)) else { return nil }
      return Int(max(moment.milliseconds - now.milliseconds, 0))
    }
    var (total, i) = (0.0, 0)
    while i < text.count {
      var (value, scale, digits) = (0.0, 1.0, 0)
      var isFraction = false
      while i < text.count, ASCII.isDigit(text[i]) || (text[i] == UInt8(ascii: ".") && !isFraction) {
        if text[i] == UInt8(ascii: ".") {
          isFraction = true
        } else {
          digits += 1
          if isFraction { scale /= 10 }
          value = isFraction ? value + Double(text[i] - 48) * scale : value * 10 + Double(text[i] - 48)
        }
        i += 1
      }
      let start = i
      while i < text.count, ASCII.isLetter(text[i]) { i += 1 }
      guard digits > 0, digits < 16 else { return nil }
      let unit = text.extracting(start..<i)
      if unit.equals("s") || (unit.isEmpty && i == text.count && total == 0) {
        total += value * 1000
      } else if unit.equals("ms") {
        total += value
      } else if unit.equals("m") {
        total += value * 60_000
      } else if unit.equals("h") {
        total += value * 3_600_000
      } else {
        return nil
      }
    }
    return text.isEmpty || total > 1e12 ? nil : Int(total.rounded(.up))
  }
}
