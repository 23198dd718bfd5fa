import AdminAPI
import Cryptography
import Domain
import Primitives
import Wire

/// How real keys are replaced at their providers.
enum RotationCommands {
  static let all = [
    rotate, list, connectors, show, set, remove, end("abort", "give up a replacement, as long as the old key still works"),
    end("confirm", "say that the old key is deleted, or that nobody else needs it"),
  ]

  private static func pairs(_ arguments: Arguments, _ name: String) throws(Fault) -> [String: String]? {
    guard arguments.has(name) else { return nil }
    var pairs: [String: String] = [:]
    for text in arguments.all(name) {
      guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
        throw Fault(.invalidInput, "'--\(name)' is NAME=VALUE")
      }
      pairs[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
    return pairs
  }

  private static let rotate = Command(
    path: ["provider-key", "rotate"], operand: "ID", summary: "replace a real key at its provider, without a request failing",
    options: Unsealing.options + [
      Option(name: "guided", value: nil, help: "you have made the new key at the provider: it is read from standard input"),
      Option(name: "remote", value: "NAME=VALUE", help: "what the provider calls the new key", isRepeatable: true),
      Option(name: "secret-fd", value: "N", help: "read the new key from file descriptor N"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    var document = PastedKeyDocument(remote: try pairs(arguments, "remote"))
    if arguments.has("guided") {
      let secret = try Terminal.secret("new API key", fd: try arguments.number("secret-fd", 0...1023))
      document.secret = String(decoding: [UInt8](copying: secret.span), as: UTF8.self)
    }
    let body = try AdminLink.open(arguments).call(.post, "/v1/rotations/\(percentEncoded(id))/start", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let state: RotationStateDocument = try decode(body)
    Terminal.result("provider key \(id): version \(state.to_version ?? 0) is on its way, at the step '\(state.step ?? "")'")
    Terminal.note("watch it: maskllm rotation show \(id); it goes on while the server runs")
  }

  private static let list = Command(
    path: ["rotation", "list"], summary: "list how provider keys are replaced, and how far that is",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/rotations", arguments, ["PROVIDER KEY", "CONNECTOR", "WHEN", "STEP", "NEW KEY'S SHARE", "BECAUSE"]) {
      (r: RotationStateDocument) in
      [
        r.provider_key, r.connector,
        r.cron.map { "\($0) \(r.time_zone ?? "")" } ?? r.every_seconds.map { "every \($0) s" } ?? "by hand",
        r.step ?? "-", r.share.map { "\($0) %" } ?? "-", Terminal.plain(r.because ?? ""),
      ]
    }
  }

  private static let connectors = Command(
    path: ["rotation", "connectors"], summary: "list the providers whose keys can be replaced by their API",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/connectors", arguments, ["NAME", "TITLE", "PARAMETERS", "CAN"]) { (c: ConnectorDocument) in
      [c.name, c.title, c.needs.isEmpty ? "-" : c.needs.joined(separator: " "), c.actions.joined(separator: " ")]
    }
  }

  private static let show = Command(
    path: ["rotation", "show"], operand: "ID", summary: "show how a provider key is replaced, and how far that is",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    try print(try AdminLink.open(arguments).call(.get, "/v1/rotations/\(percentEncoded(id))"), arguments)
  }

  private static func print(_ body: [UInt8], _ arguments: Arguments) throws(Fault) {
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let r: RotationStateDocument = try decode(body)
    func text(_ values: [String: String]) -> String {
      values.isEmpty ? "-" : values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    }
    var lines = [
      "provider key  \(r.provider_key)", "connector     \(r.connector)\(r.hook.map { " \($0)" } ?? "")",
      "parameters    \(text(r.parameters))",
      "there called  \(text(r.remote))",
      "shares        \(r.shares.map(String.init).joined(separator: ", ")) %, \(r.stage_seconds) s each; drain at most \(r.drain_seconds) s",
      "proof         \(r.proof_seconds) s unused; then switched off, and deleted after \(r.hold_seconds) s",
    ]
    if let step = r.step {
      lines.append(
        "step          \(step), since \(r.step_at ?? ""): version \(r.from_version ?? 0) to \(r.to_version ?? 0), \(r.share ?? 0) % on the new one"
      )
    } else {
      lines.append("step          nothing is under way")
    }
    if let because = r.because { lines.append("because       \(Terminal.plain(because))") }
    Terminal.result(lines.joined(separator: "\n"))
  }

  private static let set = Command(
    path: ["rotation", "set"], operand: "ID",
    summary: "say how a provider key is replaced; an administrator's credential is read from standard input",
    options: Unsealing.options + [
      Option(name: "connector", value: "NAME", help: "see 'maskllm rotation connectors'; or hook, webhook, guided"),
      Option(name: "hook", value: "NAME", help: "a program in the folder 'hooks' that makes and deletes keys"),
      Option(name: "parameter", value: "NAME=VALUE", help: "what the connector needs", isRepeatable: true),
      Option(
        name: "remote", value: "NAME=VALUE", help: "what the provider calls the present key, so that it can be ended there",
        isRepeatable: true),
      Option(
        name: "address", value: "URL", help: "where the management API is, where that is not the usual place; the webhook's URL"),
      Option(name: "ca-file", value: "PATH", help: "trust only the authorities in this PEM file there"),
      Option(name: "probe-path", value: "PATH", help: "what a new key is tried with (default: the list of models)"),
      Option(
        name: "shares", value: "LIST", help: "percent of the requests with the new key, stage by stage (default: 10,50,100)"),
      Option(name: "stage", value: "DURATION", help: "how long a stage lasts (default: 60s)"),
      Option(name: "probe", value: "DURATION", help: "for how long a new key may be refused at first (default: 60s)"),
      Option(name: "drain", value: "DURATION", help: "requests in flight are waited for at most so long (default: 10m)"),
      Option(name: "proof", value: "DURATION", help: "unused for so long before it is switched off (default: 5m)"),
      Option(name: "hold", value: "DURATION", help: "from switching off to deleting (default: 24h)"),
      Option(name: "every", value: "DURATION", help: "replace it so often, such as 30d"),
      Option(name: "cron", value: "EXPRESSION", help: "or at moments such as '0 3 1 * *'"),
      Option(name: "time-zone", value: "ZONE", help: "whose clocks (default: UTC)"),
      Option(name: "secret-fd", value: "N", help: "read the credential from file descriptor N"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    guard let connector = arguments.value("connector") else {
      throw Fault(.invalidInput, "'--connector' is missing", hint: "see 'maskllm rotation connectors'")
    }
    var document = RotationPlanDocument(connector: connector)
    (document.hook, document.address, document.ca_file) = (
      arguments.value("hook"), arguments.value("address"), arguments.value("ca-file")
    )
    (document.parameters, document.remote) = (try pairs(arguments, "parameter"), try pairs(arguments, "remote"))
    document.probe_path = arguments.value("probe-path")
    var timing = RotationPlanDocument.Timing()
    if let shares = arguments.value("shares") {
      timing.shares = []
      for part in shares.split(separator: ",", omittingEmptySubsequences: false) {
        guard let n = Int(part) else { throw Fault(.invalidInput, "'--shares' is a list such as 10,50,100") }
        timing.shares!.append(n)
      }
    }
    timing.stage_seconds = try Duration.seconds(arguments, "stage")
    timing.probe_seconds = try Duration.seconds(arguments, "probe")
    timing.drain_seconds = try Duration.seconds(arguments, "drain")
    timing.proof_seconds = try Duration.seconds(arguments, "proof")
    timing.hold_seconds = try Duration.seconds(arguments, "hold")
    document.timing = timing
    document.every_seconds = try Duration.seconds(arguments, "every")
    (document.cron, document.time_zone) = (arguments.value("cron"), arguments.value("time-zone"))
    if ![RotationPlan.guided, RotationPlan.hook].contains(connector) {
      let secret = try Terminal.secret("administrator's credential", fd: try arguments.number("secret-fd", 0...1023))
      if secret.count > 0 { document.secret = String(decoding: [UInt8](copying: secret.span), as: UTF8.self) }
    }
    let body = try AdminLink.open(arguments).call(.put, "/v1/rotations/\(percentEncoded(id))", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    Terminal.result("provider key \(id) is replaced by '\(connector)'; begin with 'maskllm provider-key rotate \(id)'")
  }

  private static let remove = Command(
    path: ["rotation", "remove"], operand: "ID",
    summary: "forget how a provider key is replaced, and the administrator's credential",
    options: Unsealing.options
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/rotations/\(percentEncoded(id))")
    Terminal.result("it is forgotten how provider key \(id) is replaced")
  }

  private static func end(_ action: String, _ summary: String) -> Command {
    Command(path: ["rotation", action], operand: "ID", summary: summary, options: Unsealing.options + [Command.json]) {
      arguments throws(Fault) in
      let id = try arguments.operand("ID")
      try print(try AdminLink.open(arguments).call(.post, "/v1/rotations/\(percentEncoded(id))/\(action)"), arguments)
    }
  }
}
