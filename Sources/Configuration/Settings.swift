public import Primitives

/// A configuration file as named settings, each of which is asked for once; what nobody asked for is an error.
public struct Settings {
  private var members: [String: (text: String, line: Int)] = [:]
  private let name: String

  /// Reads a file of scalars, at most nested in groups: `limits: { body_bytes_max: 1 }` is the setting `limits.body_bytes_max`.
  public init(_ bytes: [UInt8], name: String) throws(Fault) {
    self.name = name
    try add(try YAMLNode.parse(bytes, name: name), prefix: "")
  }

  private mutating func add(_ node: YAMLNode, prefix: String) throws(Fault) {
    switch node.value {
    case .scalar(let text): members[prefix] = (text, node.line)
    case .sequence: throw Fault(.invalidInput, "\(name), line \(node.line): a list is not wanted here")
    case .mapping(let list):
      for member in list { try add(member.value, prefix: prefix.isEmpty ? member.name : "\(prefix).\(member.name)") }
    }
  }

  /// The text of a setting; nil when it is not set.
  public mutating func text(_ setting: String) -> String? { members.removeValue(forKey: setting)?.text }

  /// A whole number within `range`, with the unit in the setting's name.
  public mutating func number(_ setting: String, _ range: ClosedRange<Int>) throws(Fault) -> Int? {
    guard let (text, line) = members.removeValue(forKey: setting) else { return nil }
    guard let value = ASCII.decimal(Array(text.utf8).span), range.contains(value) else {
      throw Fault(
        .invalidInput, "\(name), line \(line): '\(setting)' is no number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// Throws when a setting is left that nobody asked for.
  public func finish() throws(Fault) {
    guard let (setting, value) = members.min(by: { $0.value.line < $1.value.line }) else { return }
    throw Fault(
      .invalidInput, "\(name), line \(value.line): there is no setting '\(setting)'",
      hint: "see docs/configuration.md for those there are")
  }
}
