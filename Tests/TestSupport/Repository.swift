import FoundationEssentials

/// The checkout that the tests run in: its files by their path from the top.
public enum Repository {
  /// `swift test` runs in the package's folder.
  public static let root = FileManager.default.currentDirectoryPath

  public static func text(_ path: String) throws -> String { try Corpora.text("\(root)/\(path)") }

  public static func swiftFiles(under folder: String) throws -> [String] { try files(under: folder, suffix: ".swift") }

  /// Files below `folder` with that ending, sorted; nothing hidden or built.
  public static func files(under folder: String, suffix: String) throws -> [String] {
    var found: [String] = []
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? root : "\(root)/\(folder)").sorted()
    where !name.hasPrefix(".") {
      let path = folder.isEmpty ? name : "\(folder)/\(name)"
      var isFolder = false
      _ = FileManager.default.fileExists(atPath: "\(root)/\(path)", isDirectory: &isFolder)
      if isFolder { found += try files(under: path, suffix: suffix) } else if name.hasSuffix(suffix) { found.append(path) }
    }
    return found
  }
}
