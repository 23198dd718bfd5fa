/// What a part of a message is of. All there are: whoever reads logs can rely on them.
public enum LogKey: String, Sendable, CaseIterable {
  case provider, object, because, host, seconds, status, advice, count, channel, account, percent, trigger, subject, did
  case providerKey = "provider_key"
  case key
}

/// A message of the log, written as a text with values in it: `"channel '\(name, .channel)' was not told"`. As text it reads like that; as
/// a document the words are constant, and each value is a member.
public struct LogMessage: ExpressibleByStringInterpolation, Sendable {
  /// The words alone, with `{key}` where values are.
  public let words: String
  public let values: [(key: LogKey, value: String)]
  public let text: String

  public init(stringLiteral value: String) { (words, values, text) = (value, [], value) }

  public init(stringInterpolation parts: Parts) { (words, values, text) = (parts.words, parts.values, parts.text) }

  public struct Parts: StringInterpolationProtocol {
    fileprivate var words = ""
    fileprivate var values: [(key: LogKey, value: String)] = []
    fileprivate var text = ""

    public init(literalCapacity: Int, interpolationCount: Int) {}

    public mutating func appendLiteral(_ literal: String) {
      words += literal
      text += literal
    }

    public mutating func appendInterpolation(_ value: some CustomStringConvertible, _ key: LogKey) {
      words += "{\(key.rawValue)}"
      values.append((key, value.description))
      text += value.description
    }
  }
}
