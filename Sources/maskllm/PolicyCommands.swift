import AdminAPI
import Primitives
import Wire

/// `maskllm team …` and `maskllm policy …`: policies above keys.
enum PolicyCommands {
  static let all =
    commands("team", "teams", "a team, whose policy and counters its keys share")
    + commands("policy", "policies", "a policy that keys can share; its counters are each key's own")

  private static func commands(_ kind: String, _ collection: String, _ what: String) -> [Command] {
    let target = { @Sendable (name: String) in "/v1/\(collection)/\(percentEncoded(name))" }
    let set = Command(
      path: [kind, "set"], operand: "NAME", summary: "make or change \(what); in force at once",
      options: Unsealing.options + PolicyOptions.all + [Command.json]
    ) { arguments throws(Fault) in
      let name = try arguments.operand("NAME")
      let body = try AdminLink.open(arguments).call(.put, target(name), json: try PolicyOptions.document(arguments))
      if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
      let document: NamedPolicyDocument = try decode(body)
      Terminal.result("\(kind) '\(name)' is set; keys with it: \(document.keys)\n\(PolicyOptions.text(document.policy))")
    }
    let list = Command(
      path: [kind, "list"], summary: "list the \(collection)", options: Unsealing.options + [Command.json]
    ) { arguments throws(Fault) in
      let headings = ["NAME", "KEYS", "PROVIDERS", "MODELS", "LIMITS"]
      try printList("/v1/\(collection)", arguments, headings) { (entry: NamedPolicyDocument) in
        [
          entry.name, "\(entry.keys)", (entry.policy.providers ?? []).joined(separator: ","),
          (entry.policy.models ?? []).joined(separator: ","), PolicyOptions.limits(entry.policy),
        ]
      }
    }
    let remove = Command(
      path: [kind, "remove"], operand: "NAME", summary: "remove one that no key has", options: Unsealing.options + [Command.json]
    ) { arguments throws(Fault) in
      let name = try arguments.operand("NAME")
      _ = try AdminLink.open(arguments).call(.delete, target(name))
      Terminal.result(arguments.has("json") ? try jsonText(["removed": name]) : "removed \(kind) '\(name)'")
    }
    return [set, list, remove]
  }
}
