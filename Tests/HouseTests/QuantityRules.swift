import FoundationEssentials
import Primitives
import TestSupport
import Testing

/// Numbers from outside are added up as quantities (`Primitives/Quantity.swift`), never as raw integers.
struct QuantityRules {
  /// Names of tokens, money and amounts, as members and variables have them.
  static let quantities = [
    "input", "output", "cacheRead", "cacheWrite", "reasoning", "audioInput", "audioOutput", "inputTokens", "outputTokens", "cost",
    "spent", "held", "carried", "estimated", "overdrawn", "atHand", "nanoDollars", "allInput",
  ]

  /// What a line of a source breaks; nil when nothing.
  static func violation(_ line: String) -> String? {
    let bytes = Array(line.utf8)
    guard
      [".count", ": Int", ": UInt64", ": Double", "probe.number("].contains(where: { (word: StaticString) in
        bytes.span.firstIndex(of: word) != nil
      })
    else { return nil }
    let code = line.split(separator: "//", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init) ?? line
    for name in quantities {
      for type in ["Int64", "Int", "UInt64", "Double"] {
        for declaration in ["var \(name): \(type)", "let \(name): \(type)"]
        where ends(code, after: declaration) {
          return "'\(name)' is a raw \(type)"
        }
      }
      for raw in ["\(name).count", "\(name)!.count", "\(name)?.count"] {
        guard let found = code.firstRange(of: raw) else { continue }
        let before = code[..<found.lowerBound].reversed().drop { $0.isLetter || $0 == "." || $0 == "$" || $0.isNumber }
        let after = code[found.upperBound...].drop { $0 == " " }
        if let sign = after.first, "+-*".contains(sign) { return "'\(raw)' is added up raw" }
        let signs = before.drop { $0 == " " || $0 == "(" || $0 == "=" }
        if let sign = signs.first, "+-*".contains(sign) { return "'\(raw)' is added up raw" }
      }
    }
    if let found = code.firstRange(of: "probe.number("), let close = code[found.upperBound...].firstIndex(of: ")") {
      let after = code[code.index(after: close)...].drop { $0 == " " || $0 == "!" }
      if let sign = after.first, "+-*".contains(sign) { return "a number of a document is added up raw" }
    }
    return nil
  }

  /// Whether `declaration` stands in `code` as a whole word: followed by the end, a space, a question mark, `=`, `,` or `)`.
  private static func ends(_ code: String, after declaration: String) -> Bool {
    guard let found = code.firstRange(of: declaration) else { return false }
    guard let next = code[found.upperBound...].first else { return true }
    return " ?=,)".contains(next)
  }

  @Test("no token, amount or sum is a raw integer above the edge, and none is added up raw") func raw() throws {
    // Columns of a price, documents of the wire, and the two-dimensional dashboards of figures are made of plain numbers.
    let plain = ["Sources/Primitives/", "Sources/Providers/Price.swift", "Sources/AdminAPI/", "Sources/DemoProvider/"]
    for path in try Repository.swiftFiles(under: "Sources") where !plain.contains(where: { path.hasPrefix($0) }) {
      for (n, line) in try Repository.text(path).split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
        if let violation = Self.violation(String(line)) { Issue.record("\(path):\(n + 1): \(violation)") }
      }
    }
  }

  @Test(
    "the checker finds raw declarations and raw sums",
    arguments: [
      ("  public var input: Int64?", true), ("  let cost: Int64 = 0", true), ("  var spent: Int", true),
      ("    sum += usage.input.count + 1", true), ("    let x = 3 * row.cost!.count", true),
      ("  a = b - (usage.output?.count ?? 0)", true),
      ("    let n = probe.number(0)! + 1", true), ("  public var input: TokenCount?", false), ("  var inputs: Int64", false),
      ("    attribute(\"x\", input.count)", false), ("  // input.count + 1", false),
      ("    sum += record.usage.input ?? 0", false),
    ]) func checker(line: String, isFound: Bool)
  {
    #expect((Self.violation(line) != nil) == isFound, "\(line)")
  }
}
