import Primitives

/// One command of the command line: what it is called, what it takes, what it does.
struct Command: Sendable {
  /// `["key", "create"]`
  let path: [String]
  /// What follows the name: `ID`, or nothing.
  var operand = ""
  let summary: String
  var options: [Option] = []
  /// Whether it works on a data directory.
  var usesData = true
  /// Whether it asks the management side, and so can ask that of a server elsewhere.
  var isManaging = true
  let run: @Sendable (Arguments) throws(Fault) -> Void

  var name: String { path.joined(separator: " ") }

  var allOptions: [Option] {
    options
      + (usesData
        ? [Option(name: "data", value: "DIR", help: "the data directory (default: $MASKLLM_DATA, else ~/.maskllm)")] : [])
      + (usesData && isManaging ? RemoteCall.options : [])
      + [Option(name: "help", value: nil, help: "show this help")]
  }

  var help: String {
    let left = allOptions.map { "  --\($0.name)\($0.value.map { " \($0)" } ?? "")" }
    let width = left.map(\.count).max() ?? 0
    let lines = zip(left, allOptions).map { text, option in
      "\(text)\(String(repeating: " ", count: width - text.count))  \(option.help)\(option.isRepeatable ? " (repeatable)" : "")"
    }
    return
      "usage: maskllm \(name)\(operand.isEmpty ? "" : " \(operand)") [options]\n\n\(summary)\n\noptions:\n\(lines.joined(separator: "\n"))"
  }

  static let json = Option(name: "json", value: nil, help: "print JSON instead of a table")
}

/// All commands, and the way from words to one of them.
enum CommandTable {
  static let all: [Command] =
    [
      InitCommand.command, ServeCommand.command, DemoCommand.command, StatusCommand.status, StatusCommand.seal,
      StatusCommand.unseal,
    ]
    + ProviderCommands.all + ProviderKeyCommands.all + KeyCommands.all + PolicyCommands.all + BudgetCommands.all
    + PriceCommands.all + TriggerCommands.all + ScheduleCommands.all + RotationCommands.all + ObjectCommands.all
    + ExplainCommands.all
    + TokenCommands.all + BackupCommands.all + VaultCommands.all + [DoctorCommand.command, ImportCommand.command]
    + DeclarationCommands.all
    + AuditCommands.all + ActivityCommands.all + AdviceCommands.all + AlertCommands.all + CaptureCommands.all
    + RunCommands.all + [
      ScanCommand.command, CompletionsCommand.command, StatusCommand.version,
    ]

  static func run(_ words: [String]) throws(Fault) {
    if words.isEmpty || ["help", "--help", "-h"].contains(words[0]) { return Terminal.result(help) }
    if words[0] == "--version" { return Terminal.result("maskllm \(Version.text)") }
    // The longest name that the words start with.
    let matches = all.filter { words.starts(with: $0.path) }
    guard let command = matches.max(by: { $0.path.count < $1.path.count }) else {
      let group = all.filter { $0.path[0] == words[0] }
      if !group.isEmpty {
        throw Fault(.invalidInput, "'\(words[0])' needs one of: \(group.map { $0.path[1] }.joined(separator: ", "))")
      }
      throw Fault(.invalidInput, "there is no command of that name", hint: "see 'maskllm help'")
    }
    let arguments = try Arguments(Array(words.dropFirst(command.path.count)), options: command.allOptions)
    if arguments.has("help") { return Terminal.result(command.help) }
    try command.run(arguments)
  }

  static var help: String {
    let width = all.map { $0.name.count }.max() ?? 0
    let lines = all.map { "  \($0.name)\(String(repeating: " ", count: width - $0.name.count))  \($0.summary)" }
    return """
      maskllm keeps your LLM providers' API keys sealed and hands out masked keys instead.

      usage: maskllm COMMAND [options]

      \(lines.joined(separator: "\n"))

      'maskllm COMMAND --help' tells more. Secrets are read from standard input or a file descriptor, never from arguments.
      """
  }
}
