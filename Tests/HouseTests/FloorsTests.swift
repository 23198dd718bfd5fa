import FoundationEssentials
import Primitives
import TestSupport
import Testing

/// The floors of ARCHITECTURE.md: what each module may import, and which one module is the door to each C library.
struct Floors {
  static let floor: [String: Int] = [
    "Primitives": 1, "Cryptography": 2, "Domain": 2, "Wire": 2, "Transport": 3, "Storage": 3, "Configuration": 2, "Providers": 3,
    "Vault": 4,
    "PolicyEngine": 4, "Audit": 4, "Leaks": 4, "KeyService": 5, "Gateway": 6, "AdminAPI": 6, "MaskLLM": 6, "DemoProvider": 6,
    "maskllm": 7,
  ]
  static let doors = [
    "CSodium": "Cryptography", "CCrypto": "Cryptography", "CSSL": "Transport", "CLinuxShims": "Transport", "CMail": "Transport",
    "CDashboard": "AdminAPI",
    "CSQLite": "Storage",
    "CYAML": "Configuration", "CPCRE2": "Leaks", "CPriceList": "Providers", "CCatalogue": "Providers",
  ]
  static let system: Set<String> = ["Glibc", "Synchronization", "FoundationEssentials", "Swift"]

  /// What `module` breaks by importing `imported`; nil when nothing.
  static func violation(_ module: String, imports imported: String) -> String? {
    if system.contains(imported) { return nil }
    if let door = doors[imported] { return door == module ? nil : "\(module) imports \(imported), whose door is \(door)" }
    guard let own = floor[module] else { return "\(module) has no floor" }
    guard let other = floor[imported] else { return "\(module) imports \(imported), which is no module of ours" }
    return other < own ? nil : "\(module) (floor \(own)) imports \(imported) (floor \(other))"
  }

  static func imports(of source: String) -> [String] {
    source.split(separator: "\n").compactMap { line in
      var words = line.split(separator: " ")[...]
      if ["public", "internal", "package", "private", "fileprivate", "@testable", "@_exported"].contains(
        words.first.map(String.init) ?? "")
      {
        words = words.dropFirst()
      }
      guard words.first == "import", words.count >= 2 else { return nil }
      return String(words.last!.split(separator: ".").first!)
    }
  }

  /// Module → what the manifest lets it depend on.
  static func manifest(_ text: String) -> [String: Set<String>] {
    var out: [String: Set<String>] = [:]
    let flat = text.split(separator: "\n").map { $0.drop(while: { $0 == " " }) }.joined(separator: " ")
    for marker in ["floor(", "tests("] {
      for part in flat.split(separator: marker, omittingEmptySubsequences: false).dropFirst() {
        guard let close = part.firstIndex(of: "]") else { continue }
        let names = quoted(part[..<close])
        if let name = names.first { out[name] = Set(names.dropFirst()) }
      }
    }
    if let start = flat.firstRange(of: ".executableTarget("), let close = flat[start.upperBound...].firstIndex(of: "]") {
      let names = quoted(flat[start.upperBound..<close])
      out[names[0]] = Set(names.dropFirst())
    }
    return out
  }

  private static func quoted(_ text: Substring) -> [String] {
    text.split(separator: "\"", omittingEmptySubsequences: false).enumerated().compactMap {
      $0.offset % 2 == 1 ? String($0.element) : nil
    }
  }
}

struct FloorsTests {
  private let root = Repository.root

  private func sources() throws -> [(module: String, path: String, text: String)] {
    try Repository.swiftFiles(under: "Sources").map { path in
      (String(path.split(separator: "/")[1]), path, try Repository.text(path))
    }
  }

  @Test("no module imports upwards or sideways, or goes through another's door to a C library") func imports() throws {
    for (module, path, text) in try sources() {
      for imported in Floors.imports(of: text) {
        if let violation = Floors.violation(module, imports: imported) { Issue.record("\(path): \(violation)") }
      }
    }
  }

  @Test("the manifest lets each module depend on exactly what it imports") func manifest() throws {
    let allowed = Floors.manifest(try Repository.text("Package.swift"))
    var imported: [String: Set<String>] = [:]
    for (module, _, text) in try sources() { imported[module, default: []].formUnion(Floors.imports(of: text)) }
    for (module, names) in imported { #expect(names.subtracting(Floors.system) == allowed[module], "\(module)") }
    #expect(Set(imported.keys) == Set(Floors.floor.keys))
  }

  @Test("the checker finds an upward import, a sideways import, a foreign door, and an unknown module")
  func checker() {
    #expect(Floors.violation("Domain", imports: "Vault") != nil)
    #expect(Floors.violation("Domain", imports: "Wire") != nil)
    #expect(Floors.violation("Gateway", imports: "CSSL") != nil)
    #expect(Floors.violation("Gateway", imports: "Foundation") != nil)
    #expect(Floors.violation("Gateway", imports: "Wire") == nil)
    #expect(
      Floors.imports(of: "public import Wire\nimport struct Domain.Policy\n  import Vault\n// import X") == [
        "Wire", "Domain", "Vault",
      ])
    #expect(Floors.manifest("floor(\"A\", [\"B\", \"C\"]),\n tests(\"T\", [\"A\"])") == ["A": ["B", "C"], "T": ["A"]])
  }
}
