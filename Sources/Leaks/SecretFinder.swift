import Domain
public import Primitives
public import Providers

/// A key that stands where it should not.
public struct Finding: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// A masked key: its checksum is right, so that it is one.
    case maskedKey(RecordID)
    /// What looks like a key of the kinds of provider that are named.
    case providerKey([String])
  }
  public let kind: Kind
  /// Its first byte's place in what was searched.
  public let offset: Int
  /// Counted from 1; columns in bytes.
  public let line: Int
  public let column: Int
  public let length: Int
  /// As much of it as can be shown: enough to find it again, too little to use it.
  public let shown: String
}

/// Finds masked keys and providers' keys in bytes, whatever these are.
///
/// Masked keys are known by their checksum: what is found is one. Providers' keys are known by the catalogue's patterns; those
/// without a prefix of their own count only on a line that names the provider.
public final class SecretFinder: Sendable {
  private struct Rule: Sendable {
    let kind: String
    let pattern: Pattern
    /// Lower-case words of which the line has to have one; empty: none is needed.
    let words: [[UInt8]]
  }
  private let masked: Pattern
  private let rules: [Rule]

  /// What a line says that is meant to hold what looks like a key.
  public static let allowance: StaticString = "maskllm:allow"

  public init(_ catalogue: Catalogue) throws(Fault) {
    // A masked key may stand inside a word with a dash, never inside one of letters and digits.
    masked = try Pattern(
      "(?<![A-Za-z0-9])[A-Za-z0-9-]{1,\(MaskedKeyFormat.prefixMax)}_[A-Za-z0-9]{\(RecordID.length)}_[A-Za-z0-9]{\(MaskedKeyFormat.secretLength + MaskedKeyFormat.checksumLength)}(?![A-Za-z0-9])"
    )
    var rules: [Rule] = []
    for entry in catalogue.all {
      for (text, words) in [(entry.keyPattern, []), (entry.keyPatternNear, entry.keyWords)] {
        guard let text else { continue }
        rules.append(Rule(kind: entry.name, pattern: try Self.bounded(text), words: words))
      }
    }
    self.rules = rules
  }

  private static func bounded(_ text: String) throws(Fault) -> Pattern {
    try Pattern("(?<![A-Za-z0-9_])(?:\(text))(?![A-Za-z0-9_])")
  }

  /// All that is in `bytes`, in order. What one rule has found is not found again by another, unless that says more.
  public func find(in bytes: Span<UInt8>) -> [Finding] {
    var found: [(range: Range<Int>, kind: Finding.Kind)] = []
    masked.forEachMatch(in: bytes) { range in
      // The prefix may begin later than the characters do that a prefix could have.
      for start in range.lowerBound..<(range.upperBound - MaskedKeyFormat.tailLength) {
        if let id = MaskedKeyFormat.keyID(of: bytes.extracting(start..<range.upperBound)) {
          found.append((start..<range.upperBound, .maskedKey(id)))
          break
        }
      }
    }
    var byRange: [Range<Int>: [String]] = [:]
    for rule in rules {
      rule.pattern.forEachMatch(in: bytes) { range in
        guard !found.contains(where: { $0.range.overlaps(range) && $0.kind.isMasked }) else { return }
        if !rule.words.isEmpty, !Self.line(around: range, in: bytes, hasOneOf: rule.words) { return }
        byRange[range, default: []].append(rule.kind)
      }
    }
    for (range, kinds) in byRange {
      // The longest of those that overlap is the whole key.
      let isPart = byRange.keys.contains { $0 != range && $0.overlaps(range) && $0.count > range.count }
      if !isPart { found.append((range, .providerKey(kinds.sorted()))) }
    }
    found.sort { $0.range.lowerBound < $1.range.lowerBound }
    var (line, start, at) = (1, 0, 0)
    var findings: [Finding] = []
    for (range, kind) in found {
      while at < range.lowerBound {
        if bytes[at] == 10 { (line, start) = (line + 1, at + 1) }
        at += 1
      }
      if Self.line(around: range, in: bytes, hasOneOf: [[UInt8](copying: Self.allowance.span)]) { continue }
      findings.append(
        Finding(
          kind: kind, offset: range.lowerBound, line: line, column: range.lowerBound - start + 1, length: range.count,
          shown: Self.shown(bytes.extracting(range), kind)))
    }
    return findings
  }

  /// Bytes to either side of a key that its line is looked at for.
  private static let reach = 512

  private static func line(around range: Range<Int>, in bytes: Span<UInt8>, hasOneOf words: [[UInt8]]) -> Bool {
    var (start, end) = (range.lowerBound, range.upperBound)
    while start > 0, range.lowerBound - start < reach, bytes[start - 1] != 10 { start -= 1 }
    while end < bytes.count, end - range.upperBound < reach, bytes[end] != 10 { end += 1 }
    for word in words where word.count <= end - start {
      for at in start...(end - word.count) {
        var i = 0
        while i < word.count, lower(bytes[at + i]) == word[i] { i += 1 }
        if i == word.count { return true }
      }
    }
    return false
  }

  private static func lower(_ b: UInt8) -> UInt8 { b >= 65 && b <= 90 ? b | 32 : b }

  /// Of a masked key its public half; of a provider's key its first characters, at most a quarter of it.
  private static func shown(_ bytes: Span<UInt8>, _ kind: Finding.Kind) -> String {
    let count: Int
    switch kind {
    case .maskedKey: count = bytes.count - MaskedKeyFormat.secretLength - MaskedKeyFormat.checksumLength
    case .providerKey: count = min(8, bytes.count / 4)
    }
    return String(decoding: [UInt8](copying: bytes.extracting(0..<count)), as: UTF8.self) + "..."
  }
}

extension Finding.Kind {
  fileprivate var isMasked: Bool { if case .maskedKey = self { true } else { false } }
}
