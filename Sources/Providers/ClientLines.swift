/// What a user of a provider changes, by language: the lines of the documentation.
public struct ClientLines: Sendable {
  public enum Language: String, Sendable, CaseIterable {
    case python, node, curl
    /// Variables that its SDK reads, as `NAME=VALUE NAME=VALUE`.
    case environment
  }

  /// Stands for where the gateway has the provider: `http://HOST:PORT/NAME`.
  public static let url = "{url}"
  /// Stands for the masked key. Code reads it from the environment variable `MASKLLM_KEY`.
  public static let key = "{key}"

  /// By the language's name.
  public let lines: [String: String]

  init(_ lines: [Language: String]) {
    self.lines = Dictionary(uniqueKeysWithValues: lines.map { ($0.key.rawValue, $0.value) })
  }
}
