import FoundationEssentials
import AdminAPI
import Leaks
import Primitives

/// What a search has found, and how it is told. Never a whole key.
struct ScanReport {
  enum Format: String { case text, json, sarif }

  struct Place: Encodable {
    let file: String
    let line: Int
    let commit: String?
  }

  struct Found: Encodable {
    let rule: String
    let says: String
    let key_id: String?
    let providers: [String]?
    let shown: String
    let file: String
    let line: Int
    let column: Int
    let commit: String?
  }

  let isMaskedOnly: Bool
  let keepsTexts: Bool
  private(set) var findings: [Found] = []
  /// The masked keys themselves, for the server.
  private(set) var texts: [(key: [UInt8], place: String)] = []
  var unread: [String] = []
  var bytes = 0

  init(isMaskedOnly: Bool, keepsTexts: Bool) {
    self.isMaskedOnly = isMaskedOnly
    self.keepsTexts = keepsTexts
  }

  mutating func add(_ finding: Finding, _ place: Place, _ bytes: Span<UInt8>) {
    switch finding.kind {
    case .maskedKey(let id):
      if keepsTexts {
        texts.append(
          ([UInt8](copying: bytes.extracting(finding.offset..<(finding.offset + finding.length))), "\(place.file):\(place.line)"))
      }
      findings.append(
        Found(
          rule: "masked-key", says: "a masked key", key_id: id.description, providers: nil, shown: finding.shown,
          file: place.file, line: place.line, column: finding.column, commit: place.commit))
    case .providerKey(let kinds):
      if isMaskedOnly { return }
      findings.append(
        Found(
          rule: "provider-key", says: "what looks like a key of \(kinds.joined(separator: " or "))", key_id: nil,
          providers: kinds, shown: finding.shown, file: place.file, line: place.line, column: finding.column,
          commit: place.commit))
    }
  }

  func text(_ format: Format) -> String {
    switch format {
    case .json: encoded(findings)
    case .sarif: encoded(Sarif(self))
    case .text:
      (findings.map { found in
        let commit = found.commit.map { " (commit \($0.prefix(12)))" } ?? ""
        return Terminal.plain("\(found.file):\(found.line):\(found.column): \(found.says): \(found.shown)\(commit)")
      } + [
        findings.isEmpty
          ? "no keys found in \(bytes) bytes"
          : "\(findings.count) found in \(bytes) bytes. Revoke what is real ('maskllm revoke --key ID --reason leaked'; a provider's key: rotate it), then take it out. A line that is meant to have it says '\(SecretFinder.allowance)'."
      ]).joined(separator: "\n")
    }
  }

  private func encoded(_ document: some Encodable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(document)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }
}

/// SARIF 2.1.0 (OASIS), as code hosts read it.
private struct Sarif: Encodable {
  struct Text: Encodable { let text: String }
  struct Rule: Encodable {
    let id: String
    let shortDescription: Text
    let help: Text
  }
  struct Driver: Encodable {
    let name = "maskllm"
    let version = Version.text
    let rules: [Rule]
  }
  struct Tool: Encodable { let driver: Driver }
  struct Region: Encodable {
    let startLine: Int
    let startColumn: Int
  }
  struct Artifact: Encodable { let uri: String }
  struct Physical: Encodable {
    let artifactLocation: Artifact
    let region: Region
  }
  struct Location: Encodable { let physicalLocation: Physical }
  struct Result: Encodable {
    let ruleId: String
    let level = "error"
    let message: Text
    let locations: [Location]
    let partialFingerprints: [String: String]
  }
  struct Run: Encodable {
    let tool: Tool
    let columnKind = "utf16CodeUnits"
    let results: [Result]
  }
  let version = "2.1.0"
  let schema = "https://json.schemastore.org/sarif-2.1.0.json"
  let runs: [Run]

  private enum CodingKeys: String, CodingKey {
    case version, runs
    case schema = "$schema"
  }

  init(_ report: ScanReport) {
    let rules = [
      Rule(
        id: "masked-key", shortDescription: Text(text: "A masked key of MaskLLM"),
        help: Text(text: "Revoke it: maskllm revoke --key ID --reason leaked. Then take it out of the file and of the history.")),
      Rule(
        id: "provider-key", shortDescription: Text(text: "What looks like an API key of an LLM provider"),
        help: Text(text: "Rotate it at the provider, seal the new one in MaskLLM, and give the program a masked key.")),
    ]
    let results = report.findings.map { found in
      Result(
        ruleId: found.rule, message: Text(text: "\(found.says): \(found.shown)"),
        locations: [
          Location(
            physicalLocation: Physical(
              artifactLocation: Artifact(uri: Self.uri(found.file)),
              region: Region(startLine: found.line, startColumn: found.column)))
        ], partialFingerprints: ["key/v1": found.key_id ?? "\(found.shown)\(found.file)"])
    }
    runs = [Run(tool: Tool(driver: Driver(rules: rules)), results: results)]
  }

  /// A relative reference (RFC 3986): slashes stay, the rest is percent-encoded.
  private static func uri(_ path: String) -> String {
    let relative = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
    return relative.split(separator: "/", omittingEmptySubsequences: false).map { percentEncoded(String($0)) }.joined(
      separator: "/")
  }
}
