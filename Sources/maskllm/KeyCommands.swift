import AdminAPI
import Domain
import KeyService
import Primitives
import Wire

enum KeyCommands {
  static let all =
    [
      create, list, show, set, change(.disable, "stop a key for now"), change(.enable, "let a disabled key work again"),
      change(.revoke, "stop a key for good"),
      change(.destroy, "erase what a revoked key's secrets could be recognised by"),
    ] + RevokeCommands.all

  private static let create = Command(
    path: ["key", "create"], summary: "make a masked key and show it, once",
    options: Unsealing.options + [
      Option(name: "name", value: "NAME", help: "what or whom it is for"),
      Option(name: "team", value: "NAME", help: "the team that it belongs to, whose policy bounds it"),
      Option(name: "policy", value: "NAME", help: "the policy that it shares with others, which bounds it, too"),
    ] + PolicyOptions.all + [
      Option(name: "expires", value: "TIME", help: "2027-01-31 or 2027-01-31T12:00:00Z, in UTC (default: never)"),
      Option(name: "count", value: "N", help: "make so many, named NAME-1, NAME-2, ... (at most 1000)"),
      Option(name: "prefix", value: "TEXT", help: "what it starts with (default: mk)"),
      Option(name: "tag", value: "TAG", help: "what it can be found and revoked by", isRepeatable: true),
      Option(name: "decoy", value: nil, help: "made to be found: it opens nothing, and its use is an alarm"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    guard let name = arguments.value("name") else {
      throw Fault(.invalidInput, "'--name' is missing", hint: "say what or whom the key is for")
    }
    let count = try arguments.number("count", 1...KeyService.createMax)
    var document = NewKeyDocument(name: name)
    (document.team, document.shared_policy) = (arguments.value("team"), arguments.value("policy"))
    document.policy = try PolicyOptions.document(arguments)
    (document.expires_at, document.prefix, document.count) = (arguments.value("expires"), arguments.value("prefix"), count)
    if arguments.has("tag") { document.tags = arguments.all("tag") }
    if arguments.has("decoy") { document.decoy = true }
    let body = try AdminLink.open(arguments).call(.post, "/v1/keys", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let created: [CreatedKeyDocument] = count == nil ? [try decode(body)] : try decode(body)
    let providers = (created[0].key.policy.providers ?? []).joined(separator: ", ")
    Terminal.note(
      created.count == 1
        ? "key \(created[0].key.id) for \(providers); this is the only time its text is shown:"
        : "\(created.count) keys for \(providers); this is the only time their texts are shown:")
    for key in created { Terminal.result(key.masked_key) }
  }

  private static let list = Command(
    path: ["key", "list"], summary: "list the masked keys, without their secrets",
    options: Unsealing.options + [
      Option(name: "team", value: "NAME", help: "only those of that team"),
      Option(name: "policy", value: "NAME", help: "only those that share that policy"),
      Option(name: "tag", value: "TAG", help: "only those with that tag"),
      Option(name: "state", value: "STATE", help: "only those that are active, disabled, revoked, destroyed or expired"),
      Option(name: "name", value: "GLOB", help: "only those of such names, such as 'ci-*'"), Command.json,
    ]
  ) {
    arguments throws(Fault) in
    let filters = ["team", "policy", "tag", "state", "name"].compactMap { name in
      arguments.value(name).map { "\(name)=\(percentEncoded($0))" }
    }
    try printList(
      "/v1/keys\(filters.isEmpty ? "" : "?")\(filters.joined(separator: "&"))", arguments,
      ["ID", "NAME", "STATE", "TEAM", "POLICY", "PROVIDERS", "CREATED", "EXPIRES"]
    ) {
      (key: KeyDocument) in
      [
        key.id, Terminal.plain(key.name), key.state, key.team ?? "-", key.shared_policy ?? "-",
        (key.policy.providers ?? []).joined(separator: ","), key.created_at, key.expires_at ?? "never",
      ]
    }
  }

  private static let show = Command(
    path: ["key", "show"], operand: "ID", summary: "show one masked key, without its secret",
    options: Unsealing.options + [Command.json]
  ) {
    arguments throws(Fault) in
    let id = try arguments.operand("ID")
    try show(try AdminLink.open(arguments).call(.get, "/v1/keys/\(percentEncoded(id))"), arguments)
  }

  private static let set = Command(
    path: ["key", "set"], operand: "ID", summary: "give a key another policy; what is not named is no longer restricted",
    options: Unsealing.options + [
      Option(name: "team", value: "NAME", help: "the team that it belongs to"),
      Option(name: "policy", value: "NAME", help: "the policy that it shares with others"),
    ] + PolicyOptions.all + [Command.json]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    var document = GrantDocument()
    (document.team, document.shared_policy) = (arguments.value("team"), arguments.value("policy"))
    document.policy = try PolicyOptions.document(arguments)
    try show(try AdminLink.open(arguments).call(.put, "/v1/keys/\(percentEncoded(id))", json: document), arguments)
  }

  private static func change(_ change: MaskedKey.Change, _ summary: String) -> Command {
    Command(
      path: ["key", change.rawValue], operand: "ID", summary: summary,
      options: Unsealing.options + [Option(name: "reason", value: "TEXT", help: "why; shown with the key"), Command.json]
    ) { arguments throws(Fault) in
      let id = try arguments.operand("ID")
      let (link, target) = (try AdminLink.open(arguments), "/v1/keys/\(percentEncoded(id))/\(change.rawValue)")
      guard let reason = arguments.value("reason") else { return try show(try link.call(.post, target), arguments) }
      try show(try link.call(.post, target, json: ReasonDocument(reason: reason)), arguments)
    }
  }

  static func show(_ body: [UInt8], _ arguments: Arguments) throws(Fault) {
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let key: KeyDocument = try decode(body)
    Terminal.result(
      """
      id         \(key.id)
      name       \(Terminal.plain(key.name))
      state      \(key.state)
      team       \(key.team ?? "none")
      policy     \(key.shared_policy ?? "none")
      \(PolicyOptions.text(key.policy))
      created    \(key.created_at)
      expires    \(key.expires_at ?? "never")
      """ + more(key))
  }

  /// What most keys do not have.
  private static func more(_ key: KeyDocument) -> String {
    var lines: [String] = []
    if !key.tags.isEmpty { lines.append("tags       \(key.tags.joined(separator: ", "))") }
    if key.decoy == true { lines.append("decoy      yes: it opens nothing, and its use is an alarm") }
    if let reason = key.reason { lines.append("because    \(Terminal.plain(reason))") }
    if let rate = key.throttled_to { lines.append("throttled  to \(rate) requests a minute") }
    if let next = key.next_rotation_at { lines.append("rotates    at \(next)") }
    if let left = key.undelivered {
      lines.append(
        "waiting    to be brought to \(left.joined(separator: ", ")); the secret before this one stays in force until then")
    }
    for version in key.versions {
      let until = version.valid_until.map { version.state == "retired" ? " since \($0)" : " until \($0)" } ?? ""
      lines.append("version \(version.version)  made \(version.made_at), \(version.state)\(until)")
      guard let requests = version.requests, let hosts = version.hosts else { continue }
      let number = hosts.count == 1 ? "1 host" : "\(hosts.count) hosts"
      let still = version.state == "present" ? "" : " still"
      lines.append(
        "           \(number)\(still) used it: \(hosts.joined(separator: ", ")); \(requests) requests, the last at \(version.last_used_at ?? "")"
      )
    }
    return lines.map { "\n\($0)" }.joined()
  }
}
