import Primitives

/// An option of a command: `--name` or `--name VALUE`.
struct Option: Sendable {
  let name: String
  /// What stands for the value in help; nil: the option is a switch.
  let value: String?
  let help: String
  var isRepeatable = false
}

/// What a command was called with, checked against its options.
struct Arguments {
  private(set) var operands: [String] = []
  private var values: [String: [String]] = [:]

  /// Throws `.invalidInput` on an unknown option, a missing or unwanted value, or an option given twice.
  init(_ words: [String], options: [Option]) throws(Fault) {
    var rest = words[...]
    while var word = rest.popFirst() {
      // The one short name, which everybody's fingers know.
      if word == "-f", options.contains(where: { $0.name == "file" }) { word = "--file" }
      // Behind two dashes stands what is not for us.
      if word == "--" {
        operands += rest
        break
      }
      guard word.hasPrefix("--"), word.count > 2 else {
        guard !word.hasPrefix("-") || word == "-" else {
          throw Fault(.invalidInput, "there is no option '\(word)'", hint: "options start with --")
        }
        operands.append(word)
        continue
      }
      let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      guard let option = options.first(where: { $0.name == name }) else {
        // An unknown option may hold a secret: its value is not repeated.
        throw Fault(.invalidInput, "there is no option '--\(name)' here", hint: "see --help")
      }
      let value: String
      if option.value == nil {
        guard parts.count == 1 else { throw Fault(.invalidInput, "the option '--\(name)' takes no value") }
        value = ""
      } else if parts.count == 2 {
        value = String(parts[1])
      } else {
        guard let next = rest.popFirst() else {
          throw Fault(.invalidInput, "the option '--\(name)' needs a value: \(option.value!)")
        }
        value = next
      }
      guard option.isRepeatable || values[name] == nil else {
        throw Fault(.invalidInput, "the option '--\(name)' is given twice")
      }
      values[name, default: []].append(value)
    }
  }

  func has(_ name: String) -> Bool { values[name] != nil }
  func value(_ name: String) -> String? { values[name]?.first }
  func all(_ name: String) -> [String] { values[name] ?? [] }

  /// A whole number within `range`.
  func number(_ name: String, _ range: ClosedRange<Int>) throws(Fault) -> Int? {
    guard let text = value(name) else { return nil }
    guard let n = ASCII.decimal(Array(text.utf8).span), range.contains(n) else {
      throw Fault(.invalidInput, "'--\(name)' is no number from \(range.lowerBound) to \(range.upperBound)")
    }
    return n
  }

  /// The only operand, called `what` in messages.
  func operand(_ what: String) throws(Fault) -> String {
    guard operands.count == 1 else {
      throw Fault(.invalidInput, operands.isEmpty ? "\(what) is missing" : "only one \(what) is wanted", hint: "see --help")
    }
    return operands[0]
  }

  /// Why something is done that cannot be taken back.
  func reason() throws(Fault) -> String {
    guard let reason = value("reason") else {
      throw Fault(.invalidInput, "'--reason' is missing", hint: "say why, for whoever reads the audit")
    }
    return reason
  }

  /// Throws without repeating what was given: it may be a secret in the wrong place.
  func noOperands() throws(Fault) {
    guard operands.isEmpty else {
      throw Fault(
        .invalidInput, "an argument is not wanted here",
        hint: "see --help; secrets are read from standard input, never from the command line")
    }
  }
}
