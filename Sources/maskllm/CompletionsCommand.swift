import Primitives

/// `maskllm completions bash|zsh|fish`: made from the command table, so they cannot fall behind it.
enum CompletionsCommand {
  static let command = Command(
    path: ["completions"], operand: "bash|zsh|fish", summary: "print completions for a shell", usesData: false
  ) { arguments throws(Fault) in
    switch try arguments.operand("SHELL") {
    case "bash": Terminal.result(bash(completing: "complete -F _maskllm maskllm"))
    case "zsh":
      Terminal.result(
        "#compdef maskllm\nautoload -U bashcompinit && bashcompinit\n" + bash(completing: "complete -F _maskllm maskllm"))
    case "fish": Terminal.result(fish)
    default: throw Fault(.invalidInput, "there are completions for bash, zsh and fish")
    }
  }

  private static func bash(completing: String) -> String {
    var cases: [String] = []
    let groups = Dictionary(grouping: CommandTable.all, by: { $0.path[0] })
    for (name, commands) in groups.sorted(by: { $0.key < $1.key }) {
      let seconds = commands.compactMap { $0.path.count > 1 ? $0.path[1] : nil }
      if !seconds.isEmpty { cases.append("    '\(name)') words='\(seconds.joined(separator: " "))' ;;") }
      for command in commands {
        cases.append("    '\(command.name)') words='\(command.allOptions.map { "--\($0.name)" }.joined(separator: " "))' ;;")
      }
    }
    return """
      _maskllm() {
        local words='\(groups.keys.sorted().joined(separator: " ")) help'
        local name="${COMP_WORDS[*]:1:COMP_CWORD-1}"
        while [[ "$name" == *' -'* ]]; do name="${name% -*}"; done
        case "$name" in
          '') ;;
      \(cases.joined(separator: "\n"))
          *) words='' ;;
        esac
        COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
      }
      \(completing)
      """
  }

  private static var fish: String {
    var lines = ["complete -c maskllm -f"]
    for name in Set(CommandTable.all.map { $0.path[0] }).sorted() {
      lines.append("complete -c maskllm -n __fish_use_subcommand -a '\(name)'")
    }
    for command in CommandTable.all {
      let seen = "__fish_seen_subcommand_from \(command.path[0])"
      if command.path.count > 1 {
        lines.append("complete -c maskllm -n '\(seen)' -a '\(command.path[1])' -d '\(command.summary.filter { $0 != "'" })'")
      }
      for option in command.allOptions where command.path.count == 1 {
        lines.append(
          "complete -c maskllm -n '\(seen)' -l '\(option.name)'\(option.value == nil ? "" : " -r") -d '\(option.help.filter { $0 != "'" })'"
        )
      }
    }
    return lines.joined(separator: "\n")
  }
}
