import AdminAPI
import Domain
import KeyService
import Primitives
import Wire

enum KeyCommands {
  static let all = [
    create, list, show, change(.disable, "stop a key for now"), change(.enable, "let a disabled key work again"),
    change(.revoke, "stop a key for good"),
  ]

  private static let create = Command(
    path: ["key", "create"], summary: "make a masked key and show it, once",
    options: Unsealing.options + [
      Option(name: "name", value: "NAME", help: "what or whom it is for"),
      Option(name: "provider", value: "NAME", help: "a provider that it may call, or '*' for all", isRepeatable: true),
      Option(name: "model", value: "GLOB", help: "a model that it may name, such as 'gpt-4*' (default: all)", isRepeatable: true),
      Option(name: "deny-model", value: "GLOB", help: "a model that it may not name", isRepeatable: true),
      Option(
        name: "endpoint", value: "CLASS", help: "chat, responses, messages, embeddings, ... (default: all)", isRepeatable: true),
      Option(name: "network", value: "CIDR", help: "a network that requests may come from (default: all)", isRepeatable: true),
      Option(name: "body-bytes-max", value: "N", help: "bytes of one request body"),
      Option(name: "requests-per-second", value: "N", help: "requests, on each node; so many may come at once"),
      Option(name: "requests-per-minute", value: "N", help: "the same by the minute"),
      Option(name: "requests-per-hour", value: "N", help: "the same by the hour"),
      Option(name: "concurrent", value: "N", help: "requests in flight at the same time"),
      Option(name: "not-before", value: "TIME", help: "not valid before 2027-01-31 or 2027-01-31T12:00:00Z, in UTC"),
      Option(name: "expires", value: "TIME", help: "2027-01-31 or 2027-01-31T12:00:00Z, in UTC (default: never)"),
      Option(name: "count", value: "N", help: "make so many, named NAME-1, NAME-2, ... (at most 1000)"),
      Option(name: "prefix", value: "TEXT", help: "what it starts with (default: mk)"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    guard let name = arguments.value("name") else {
      throw Fault(.invalidInput, "'--name' is missing", hint: "say what or whom the key is for")
    }
    let count = try arguments.number("count", 1...KeyService.createMax)
    var document = NewKeyDocument(name: name, providers: arguments.all("provider"))
    document.models = arguments.has("model") ? arguments.all("model") : nil
    document.denied_models = arguments.has("deny-model") ? arguments.all("deny-model") : nil
    document.endpoints = arguments.has("endpoint") ? arguments.all("endpoint") : nil
    document.networks = arguments.has("network") ? arguments.all("network") : nil
    document.not_before = arguments.value("not-before")
    document.body_bytes_max = try arguments.number("body-bytes-max", 1...(1 << 32))
    let counts = 1...Policy.Limits.countMax
    document.requests_per_second = try arguments.number("requests-per-second", counts)
    document.requests_per_minute = try arguments.number("requests-per-minute", counts)
    document.requests_per_hour = try arguments.number("requests-per-hour", counts)
    document.concurrent = try arguments.number("concurrent", counts)
    (document.expires_at, document.prefix, document.count) = (arguments.value("expires"), arguments.value("prefix"), count)
    let body = try AdminLink.open(arguments).call(.post, "/v1/keys", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let created: [CreatedKeyDocument] = count == nil ? [try decode(body)] : try decode(body)
    let providers = created[0].key.providers.joined(separator: ", ")
    Terminal.note(
      created.count == 1
        ? "key \(created[0].key.id) for \(providers); this is the only time its text is shown:"
        : "\(created.count) keys for \(providers); this is the only time their texts are shown:")
    for key in created { Terminal.result(key.masked_key) }
  }

  private static let list = Command(
    path: ["key", "list"], summary: "list the masked keys, without their secrets", options: Unsealing.options + [Command.json]
  ) {
    arguments throws(Fault) in
    try printList("/v1/keys", arguments, ["ID", "NAME", "STATE", "PROVIDERS", "CREATED", "EXPIRES"]) { (key: KeyDocument) in
      [
        key.id, Terminal.plain(key.name), key.state, key.providers.joined(separator: ","), key.created_at,
        key.expires_at ?? "never",
      ]
    }
  }

  private static let show = Command(
    path: ["key", "show"], operand: "ID", summary: "show one masked key, without its secret",
    options: Unsealing.options + [Command.json]
  ) {
    arguments throws(Fault) in
    let id = try arguments.operand("ID")
    try print(try AdminLink.open(arguments).call(.get, "/v1/keys/\(percentEncoded(id))"), arguments)
  }

  private static func limits(_ limits: Policy.Limits) -> String {
    let parts = [
      (limits.requestsPerSecond, "a second"), (limits.requestsPerMinute, "a minute"), (limits.requestsPerHour, "an hour"),
      (limits.concurrent, "at once"),
    ].compactMap { count, window in count.map { "\($0) \(window)" } }
    return parts.isEmpty ? "none" : parts.joined(separator: ", ")
  }

  private static func change(_ change: MaskedKey.Change, _ summary: String) -> Command {
    Command(path: ["key", change.rawValue], operand: "ID", summary: summary, options: Unsealing.options + [Command.json]) {
      arguments throws(Fault) in
      let id = try arguments.operand("ID")
      try print(try AdminLink.open(arguments).call(.post, "/v1/keys/\(percentEncoded(id))/\(change.rawValue)"), arguments)
    }
  }

  private static func print(_ body: [UInt8], _ arguments: Arguments) throws(Fault) {
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let key: KeyDocument = try decode(body)
    Terminal.result(
      """
      id         \(key.id)
      name       \(Terminal.plain(key.name))
      state      \(key.state)
      providers  \(key.providers.joined(separator: ", "))
      models     \(key.models.joined(separator: ", "))\(key.denied_models.isEmpty ? "" : "; not \(key.denied_models.joined(separator: ", "))")
      endpoints  \(key.endpoints.joined(separator: ", "))
      networks   \(key.networks.joined(separator: ", "))
      body       \(key.body_bytes_max.map { "\($0) bytes" } ?? "as the gateway accepts")
      limits     \(limits(key.limits))
      valid      \(key.not_before ?? "at once")
      created    \(key.created_at)
      expires    \(key.expires_at ?? "never")
      """)
  }
}
