import FoundationEssentials
import Primitives

/// Test vectors that nobody on this project wrote. They lie outside the repository; where they are absent, tests say so.
public enum Corpora {
  /// The folder of a corpus, or nil (after a loud line) where it is absent.
  public static func folder(_ name: String) -> String? {
    let root = ProcessInfo.processInfo.environment["MASKLLM_CORPORA"] ?? "../shared/corpora"
    let path = "\(root)/\(name)"
    if FileManager.default.fileExists(atPath: path) { return path }
    print("SKIPPED: the corpus '\(name)' is not at \(path); set MASKLLM_CORPORA")
    return nil
  }

  public static func data(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

  public static func text(_ path: String) throws -> String { String(decoding: try data(path), as: UTF8.self) }

  public static func files(in folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map { "\(folder)/\($0)" }
  }
}
