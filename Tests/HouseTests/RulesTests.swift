import FoundationEssentials
import Primitives
import TestSupport
import Testing

/// House rules that a reader would otherwise have to remember.
struct RulesTests {
  @Test(
    "no source has marks of unfinished work, prints, or stops the process with a half-sentence",
    arguments: ["TO" + "DO", "FIX" + "ME", "try! ", "Task.detached"])
  func banned(word: String) throws {
    for path in try Repository.swiftFiles(under: "Sources") {
      for (n, line) in try Repository.text(path).split(separator: "\n", omittingEmptySubsequences: false).enumerated()
      where line.contains(word) {
        Issue.record("\(path):\(n + 1): \(word)")
      }
    }
  }

  @Test("print is for nobody: results go through the terminal, events through the log") func prints() throws {
    for path in try Repository.swiftFiles(under: "Sources") {
      for line in try Repository.text(path).split(separator: "\n") where line.drop(while: { $0 == " " }).hasPrefix("print(") {
        Issue.record("\(path): \(line)")
      }
    }
  }

  @Test("files stay rooms: none above 400 lines, the median below 150") func sizes() throws {
    let sizes = try Repository.swiftFiles(under: "Sources").map {
      (path: $0, lines: try Repository.text($0).split(separator: "\n", omittingEmptySubsequences: false).count)
    }
    for file in sizes where file.lines > 400 { Issue.record("\(file.path) has \(file.lines) lines") }
    #expect(sizes.map(\.lines).sorted()[sizes.count / 2] < 150)
  }

  @Test("folders are named by concept") func names() throws {
    for path in try Repository.swiftFiles(under: "Sources") {
      for part in path.split(separator: "/") {
        for word in ["Utils", "Helpers", "Common", "Manager", "Misc"] { #expect(!part.contains(word), "\(path)") }
      }
    }
  }

  @Test("every link in the documents leads somewhere") func links() throws {
    for path in try Repository.files(under: "", suffix: ".md") where !path.hasPrefix("Examples/") {
      let folder = path.split(separator: "/").dropLast().joined(separator: "/")
      for part in try Repository.text(path).split(separator: "](").dropFirst() {
        let target = part.prefix(while: { $0 != ")" && $0 != "#" })
        if target.isEmpty || target.hasPrefix("http") || target.hasPrefix("mailto:") { continue }
        let full = folder.isEmpty ? String(target) : "\(folder)/\(target)"
        #expect(FileManager.default.fileExists(atPath: "\(Repository.root)/\(full)"), "\(path): \(target)")
      }
    }
  }

  @Test(
    "unsafe code above the doors and the wire needs a stated reason",
    arguments: ["Domain", "Providers", "Vault", "PolicyEngine", "Audit", "KeyService", "Gateway", "AdminAPI", "MaskLLM"])
  func unsafeCode(module: String) throws {
    for path in try Repository.swiftFiles(under: "Sources/\(module)") {
      let text = try Repository.text(path)
      #expect(!text.contains("unsafe ") || text.contains("SAFETY:") || text.contains("withUnsafeContinuation"), "\(path)")
    }
  }
}
