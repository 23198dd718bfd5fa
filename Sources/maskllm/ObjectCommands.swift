import AdminAPI
import Primitives
import Wire

/// `maskllm object …`: whose the files, batches and stored answers at the providers are.
enum ObjectCommands {
  static let all = [list, give]

  private static let list = Command(
    path: ["object", "list"], summary: "list objects at the providers and the masked keys that they belong to, the newest first",
    options: Unsealing.options + [
      Option(name: "key", value: "ID", help: "only those of this masked key"),
      Option(name: "limit", value: "N", help: "so many at most, 1 to 1000 (default: 100)"), Command.json,
    ]
  ) { arguments throws(Fault) in
    var parameters = ["limit=\(try arguments.number("limit", 1...1000) ?? 100)"]
    if let key = arguments.value("key") { parameters.append("key=\(percentEncoded(key))") }
    let headings = ["PROVIDER", "OBJECT", "KEY", "MADE WITH", "CREATED", "EXPIRES"]
    try printList("/v1/objects?\(parameters.joined(separator: "&"))", arguments, headings) { (object: ObjectDocument) in
      [
        object.provider, Terminal.plain(object.id), object.key, object.provider_key, object.created_at, object.expires_at ?? "-",
      ]
    }
  }

  private static let give = Command(
    path: ["object", "give"], operand: "PROVIDER OBJECT", summary: "give an object at a provider to a masked key",
    options: Unsealing.options + [
      Option(name: "key", value: "ID", help: "the masked key that may use it from now on, alone"),
      Option(name: "provider-key", value: "ID", help: "the provider key whose account has it (default: the oldest)"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    guard arguments.operands.count == 2, let key = arguments.value("key") else {
      throw Fault(
        .invalidInput, "a provider, an object and '--key' are wanted",
        hint: "such as: maskllm object give openai file-abc123def456 --key 4fZx1kQ9aBcD")
    }
    let target = "/v1/objects/\(percentEncoded(arguments.operands[0]))/\(percentEncoded(arguments.operands[1]))"
    let document = GivenObjectDocument(key: key, provider_key: arguments.value("provider-key"))
    let body = try AdminLink.open(arguments).call(.put, target, json: document)
    Terminal.result(
      arguments.has("json") ? String(decoding: body, as: UTF8.self) : "\(arguments.operands[1]) belongs to masked key \(key)")
  }
}
