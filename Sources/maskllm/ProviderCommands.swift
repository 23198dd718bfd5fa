import AdminAPI
import Primitives
import Wire

enum ProviderCommands {
  static let all = [list, add, remove, kinds, ClientCommand.command]

  private static let list = Command(
    path: ["provider", "list"], summary: "list the providers", options: Unsealing.options + [Command.json]
  ) {
    arguments throws(Fault) in
    try printList("/v1/providers", arguments, ["NAME", "BASE URL", "KIND", "CREDENTIAL", "KEYS"]) {
      (provider: ProviderDocument) in
      [provider.name, provider.base_url, provider.kind, provider.credential, "\(provider.keys ?? 0)"]
    }
  }

  private static let add = Command(
    path: ["provider", "add"], operand: "NAME", summary: "add a provider, or change one",
    options: Unsealing.options + [
      Option(name: "base-url", value: "URL", help: "where it lives; https, or http on loopback (default: its kind's)"),
      Option(
        name: "fallback-url", value: "URL", help: "where to go when that cannot be reached: another region of the account",
        isRepeatable: true),
      Option(name: "kind", value: "KIND", help: "whose endpoints it has (default: that of its name, else openai-compatible)"),
      Option(name: "credential", value: "STYLE", help: "how its keys are presented, see docs/providers.md (default: its kind's)"),
      Option(name: "price-list", value: "NAME", help: "what its models cost, such as openai (default: its own name)"),
      Option(name: "ca-file", value: "PATH", help: "trust only the authorities in this PEM file (default: the system's)"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    var document = NewProviderDocument(name: name)
    (document.base_url, document.kind) = (arguments.value("base-url"), arguments.value("kind"))
    (document.credential, document.price_list) = (arguments.value("credential"), arguments.value("price-list"))
    document.authority_file = arguments.value("ca-file")
    document.fallback_urls = arguments.all("fallback-url")
    let body = try AdminLink.open(arguments).call(.post, "/v1/providers", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    Terminal.result("provider '\(name)' is set")
    Terminal.note("next: maskllm provider-key add \(name)")
  }

  private static let remove = Command(
    path: ["provider", "remove"], operand: "NAME", summary: "remove a provider; one of the catalogue is as shipped again",
    options: Unsealing.options
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/providers/\(percentEncoded(name))")
    Terminal.result("provider '\(name)' is removed")
  }

  private static let kinds = Command(
    path: ["provider", "kinds"], summary: "list the kinds of providers that are known",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let headings = ["KIND", "TITLE", "BASE URL", "CREDENTIAL", "ERRORS"]
    try printList("/v1/provider-kinds", arguments, headings) { (kind: KindDocument) in
      [kind.name, kind.title, kind.base_url ?? "yours", kind.credential, kind.errors]
    }
  }
}

enum ProviderKeyCommands {
  static let all = [add, list, set, release, disable, enable, remove]

  private static let disable = Command(
    path: ["provider-key", "disable"], operand: "ID", summary: "stop using a provider key, for now; requests with it are cut",
    options: Unsealing.options + [Option(name: "reason", value: "TEXT", help: "why; shown with the key"), Command.json]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let reason = ReasonDocument(reason: arguments.value("reason") ?? "disabled by an administrator")
    let body = try AdminLink.open(arguments).call(.post, "/v1/provider-keys/\(percentEncoded(id))/disable", json: reason)
    Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : "provider key \(id) is no longer used")
  }

  private static let enable = Command(
    path: ["provider-key", "enable"], operand: "ID", summary: "use a disabled provider key again",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let body = try AdminLink.open(arguments).call(.post, "/v1/provider-keys/\(percentEncoded(id))/enable")
    Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : "provider key \(id) is used again")
  }

  private static let add = Command(
    path: ["provider-key", "add"], operand: "PROVIDER", summary: "seal a provider's real key, read from standard input",
    options: Unsealing.options + [
      Option(name: "name", value: "NAME", help: "what to call it (default: default)"),
      Option(name: "secret-fd", value: "N", help: "read the key from file descriptor N"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let provider = try arguments.operand("PROVIDER")
    let link = try AdminLink.open(arguments)
    let secret = try Terminal.secret("\(provider) API key", fd: try arguments.number("secret-fd", 0...1023))
    let target =
      "/v1/provider-keys?provider=\(percentEncoded(provider))&name=\(percentEncoded(arguments.value("name") ?? "default"))"
    let body = try link.call(.post, target, body: secret)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let key: ProviderKeyDocument = try decode(body)
    Terminal.result("sealed provider key \(key.id) for '\(key.provider)'")
    Terminal.note("next: maskllm key create --name my-app --provider \(key.provider)")
  }

  private static let list = Command(
    path: ["provider-key", "list"], summary: "list the provider keys, without their secrets",
    options: Unsealing.options + [Command.json]
  ) {
    arguments throws(Fault) in
    try printList("/v1/provider-keys", arguments, ["ID", "PROVIDER", "NAME", "VERSION", "STATE", "WEIGHT", "TAGS", "CREATED"]) {
      (key: ProviderKeyDocument) in
      [
        key.id, key.provider, Terminal.plain(key.name), "\(key.version)",
        key.cools_seconds.map { "\(key.state) for \($0) s" } ?? key.state, "\(key.weight)",
        key.tags.isEmpty ? "-" : key.tags.joined(separator: ","), key.created_at,
      ]
    }
  }

  private static let set = Command(
    path: ["provider-key", "set"], operand: "ID",
    summary: "say how a provider key shares requests with the others of its provider",
    options: Unsealing.options + [
      Option(name: "weight", value: "N", help: "its part, against the sum of all, 1 to 1000 (default: 1)"),
      Option(name: "tag", value: "TAG", help: "what policies pick it by, with --key-tag", isRepeatable: true), Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let document = PoolDocument(weight: try arguments.number("weight", 1...1000), tags: arguments.all("tag"))
    let body = try AdminLink.open(arguments).call(.put, "/v1/provider-keys/\(percentEncoded(id))", json: document)
    Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : "provider key \(id) is set")
  }

  private static let release = Command(
    path: ["provider-key", "release"], operand: "ID", summary: "use a provider key again that the provider had refused",
    options: [Command.json]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let body = try AdminLink.toServer(arguments).call(.post, "/v1/provider-keys/\(percentEncoded(id))/release")
    Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : "provider key \(id) is used again")
  }

  private static let remove = Command(
    path: ["provider-key", "remove"], operand: "ID", summary: "erase a provider key", options: Unsealing.options + [Command.json]
  ) {
    arguments throws(Fault) in
    let id = try arguments.operand("ID")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/provider-keys/\(percentEncoded(id))")
    Terminal.result(arguments.has("json") ? "{\"erased\":\"\(id)\"}" : "erased provider key \(id)")
  }
}
