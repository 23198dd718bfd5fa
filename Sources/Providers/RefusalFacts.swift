public import Primitives
import Wire

/// What a kind of provider says when it refuses: in which words it blames its key and not the request, and how long to wait, where it
/// does not say so in `retry-after`.
public struct RefusalFacts: Sendable {
  /// What the body of a refusal says.
  public struct Told: Sendable {
    /// Whether it is about the key.
    public var blamesKey = false
    /// How long to wait.
    public var wait: Milliseconds?

    public init() {}
  }

  /// One way in which the provider blames the key: a status, and what a text of the body begins with (empty: any body will do).
  private struct Blame {
    let status: UInt16
    /// Place of the text among the probe's.
    let slot: Int
    let words: [UInt8]
  }

  /// Bytes of a body that are looked at.
  public static let bodyMax = 16 * 1024

  /// Header fields that say when a limit is over, in small letters.
  private let fields: [[UInt8]]
  private let paths: JSONPaths
  private let blames: [Blame]
  /// Place of the text that says how long to wait; nil: none does.
  private let wait: Int?

  /// `fields`: as `x-ratelimit-reset-requests`, by spaces. `badKey`: in which answers the key is blamed, by `;`, each a status, the place
  /// of a text and what that begins with, as `401 error.code invalid_api_key`, or a status alone; a place without a status is of a 400;
  /// empty: every 401. `wait`: where a 429 says how long, as `error.details.[].retryDelay`. nil when one of them cannot be read, or the
  /// texts stand in more than `JSONProbe.textsMax` places.
  init?(fields: String, badKey: String, wait: String) {
    self.fields = fields.split(separator: " ").map { Array($0.lowercased().utf8) }
    let isName = { (b: UInt8) in ASCII.isLetter(b) || ASCII.isDigit(b) || b == UInt8(ascii: "-") }
    guard self.fields.allSatisfy({ $0.allSatisfy(isName) }), !wait.contains(" ") else { return nil }
    var places: [String] = []
    func slot(_ place: String) -> Int {
      if !places.contains(place) { places.append(place) }
      return places.firstIndex(of: place) ?? 0
    }
    var blames: [Blame] = []
    for rule in (badKey.isEmpty ? "401" : badKey).split(separator: ";") {
      var parts = rule.split(separator: " ", maxSplits: 2).map(String.init)
      guard let first = parts.first else { return nil }
      var status: UInt16 = 400
      if let number = UInt16(first) {
        guard (400...499).contains(number), number != 429 else { return nil }
        status = number
        parts.removeFirst()
      } else {
        parts = rule.split(separator: " ", maxSplits: 1).map(String.init)
      }
      switch parts.count {
      case 0: blames.append(Blame(status: status, slot: 0, words: []))
      case 2:
        let words = Array(parts[1].utf8)
        // Longer texts are not read.
        guard words.count <= JSONProbe.textMax else { return nil }
        blames.append(Blame(status: status, slot: slot(parts[0]), words: words))
      default: return nil
      }
    }
    self.blames = blames
    self.wait = wait.isEmpty ? nil : slot(wait)
    guard places.count <= JSONProbe.textsMax,
      places.allSatisfy({ $0.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty } })
    else { return nil }
    paths = JSONPaths(places.enumerated().map { ($0.element, .text($0.offset)) })
  }

  /// Whether a body of this status can say something.
  public func readsBody(status: UInt16) -> Bool {
    status == 429 ? wait != nil : blames.contains { $0.status == status && !$0.words.isEmpty }
  }

  /// Reads a refusal; of one whose body says nothing, `body` may be empty.
  public func read(_ status: UInt16, _ body: Span<UInt8>, now: Timestamp) -> Told {
    var told = Told()
    guard readsBody(status: status) else {
      told.blamesKey = blames.contains { $0.status == status }
      return told
    }
    var probe = JSONProbe()
    probe.feed(body, paths)
    if status == 429, let wait {
      let text = probe.text(wait)
      told.wait = text.count == 0 ? nil : Self.wait(text.span, now: now)
      return told
    }
    for blame in blames where blame.status == status {
      let text = probe.text(blame.slot)
      if text.count >= blame.words.count, text.span.extracting(0..<blame.words.count).equals(blame.words.span) {
        told.blamesKey = true
      }
    }
    return told
  }

  /// How long `retry-after` says: seconds, or a moment (RFC 9110 section 10.2.3); nil for anything else.
  public static func retryAfter(_ value: Span<UInt8>, now: Timestamp) -> Milliseconds? {
    if let seconds = ASCII.decimal(value) { return Milliseconds(seconds: seconds) }
    if value.count > 0, value.count <= 40, isDigits(value) { return .max }
    return Timestamp(httpDate: value).map { Milliseconds($0.milliseconds - now.milliseconds) }
  }

  private static func isDigits(_ value: Span<UInt8>) -> Bool {
    for i in value.indices where !ASCII.isDigit(value[i]) { return false }
    return true
  }

  /// Whether the header field `name` says when a limit is over.
  public func isReset(_ name: Span<UInt8>) -> Bool {
    fields.contains { field in
      guard field.count == name.count else { return false }
      for i in name.indices where ASCII.lower(name[i]) != field[i] { return false }
      return true
    }
  }

  /// How long, rounded up, a span (`12`, `1.5s`, `6m0s`, `2ms`) or a moment (RFC 3339) is away; nil for anything else.
  public static func wait(_ text: Span<UInt8>, now: Timestamp) -> Milliseconds? {
    if text.count > 10, text[4] == UInt8(ascii: "-") {
      guard let moment = Timestamp(rfc3339: String(decoding: [UInt8](copying: text), as: UTF8.self)) else { return nil }
      return Milliseconds(moment.milliseconds - now.milliseconds)
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
    guard !text.isEmpty, total.isFinite else { return nil }
    return Milliseconds(Int64(min(total, Double(Milliseconds.range.upperBound)).rounded(.up)))
  }
}
