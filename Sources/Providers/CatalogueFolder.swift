import FoundationEssentials
public import Primitives

extension Catalogue {
  /// The shipped catalogue with the files of `folder` (`NAME.yaml`) in place of entries of their names, or beside them;
  /// `connectors.yaml` has connectors. No folder is
  /// no difference; a file that cannot be read stops everything, with its line.
  public static func with(folder: String) throws(Fault) -> Catalogue {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return builtIn }
    var entries: [CatalogueEntry] = []
    var connectors: [String: RotationConnector] = [:]
    for file in names.sorted() where file.hasSuffix(".yaml") {
      let path = "\(folder)/\(file)"
      guard let data = FileManager.default.contents(atPath: path), data.count < 1 << 20 else {
        throw Fault(.system, "\(path) cannot be read, or is too large")
      }
      if file == "connectors.yaml" {
        connectors = try RotationConnector.read([UInt8](data), file: path)
        continue
      }
      entries.append(try CatalogueEntry([UInt8](data), name: String(file.dropLast(5)), file: path))
    }
    return builtIn.with(entries).with(connectors: connectors)
  }
}
