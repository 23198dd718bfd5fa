import AdminAPI
import Cryptography
import Domain
import Primitives
import Wire

/// When keys get new secrets, and where these are brought.
enum ScheduleCommands {
  static let all = [list, set, remove, next, listDestinations, setDestination, removeDestination, expire, deliver]

  private static func path(_ arguments: Arguments) throws(Fault) -> String {
    let parts = try arguments.operand("SCOPE").split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(
      String.init)
    guard parts.count == 2, !parts[1].isEmpty else {
      throw Fault(
        .invalidInput, "a schedule is of a key, a policy or a team", hint: "write it as key/ID, policy/NAME or team/NAME")
    }
    return "/v1/schedules/\(percentEncoded(parts[0]))/\(percentEncoded(parts[1]))"
  }

  private static let list = Command(
    path: ["schedule", "list"], summary: "list when keys get new secrets by themselves",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/schedules", arguments, ["OF", "WHEN", "GRACE", "SPREAD", "TO", "KEYS", "NEXT"]) { (s: ScheduleDocument) in
      [
        s.scope ?? "", s.cron.map { "\($0) \(s.time_zone ?? "")" } ?? "every \(s.every_seconds ?? 0) s",
        "\(s.grace_seconds ?? 0) s",
        "\(s.spread_seconds ?? 0) s", (s.destinations ?? []).joined(separator: ","), "\(s.keys ?? 0)", s.next_at ?? "-",
      ]
    }
  }

  private static let set = Command(
    path: ["schedule", "set"], operand: "key/ID|policy/NAME|team/NAME", summary: "have keys get new secrets by themselves",
    options: Unsealing.options + [
      Option(name: "every", value: "DURATION", help: "such as 30d"),
      Option(name: "cron", value: "EXPRESSION", help: "or at moments such as '0 3 * * 0': minute hour day month weekday"),
      Option(name: "time-zone", value: "ZONE", help: "whose clocks, such as Europe/Berlin (default: UTC)"),
      Option(
        name: "grace", value: "DURATION",
        help: "for how long an old secret works once the new one has been brought (default: 24h)"),
      Option(name: "spread", value: "DURATION", help: "over which its keys come (default: a tenth of the interval, at most 1h)"),
      Option(name: "to", value: "DESTINATION", help: "where the new secret is brought", isRepeatable: true), Command.json,
    ]
  ) { arguments throws(Fault) in
    let target = try path(arguments)
    var document = ScheduleDocument()
    document.every_seconds = try Duration.seconds(arguments, "every")
    (document.cron, document.time_zone) = (arguments.value("cron"), arguments.value("time-zone"))
    document.grace_seconds = try Duration.seconds(arguments, "grace")
    document.spread_seconds = try Duration.seconds(arguments, "spread")
    document.destinations = arguments.all("to")
    let body = try AdminLink.open(arguments).call(.put, target, json: document)
    Terminal.result(
      arguments.has("json") ? String(decoding: body, as: UTF8.self) : "the schedule is set; see 'maskllm schedule list'")
  }

  private static let remove = Command(
    path: ["schedule", "remove"], operand: "key/ID|policy/NAME|team/NAME", summary: "have them get no new secrets by themselves",
    options: Unsealing.options
  ) { arguments throws(Fault) in
    _ = try AdminLink.open(arguments).call(.delete, try path(arguments))
    Terminal.result("the schedule is removed")
  }

  private static let next = Command(
    path: ["schedule", "next"], operand: "EXPRESSION", summary: "show when a cron expression comes next",
    options: [
      Option(name: "time-zone", value: "ZONE", help: "whose clocks, such as Europe/Berlin (default: UTC)"),
      Option(name: "from", value: "TIME", help: "after when (default: now)"),
      Option(name: "count", value: "N", help: "so many (default: 5)"),
    ], usesData: false
  ) { arguments throws(Fault) in
    let cron = try CronExpression(try arguments.operand("EXPRESSION"))
    let zone = try ZoneRules(named: arguments.value("time-zone") ?? "UTC")
    var moment = SystemClock().now
    if let text = arguments.value("from") {
      guard let from = Timestamp(rfc3339: text) else {
        throw Fault(.invalidInput, "'--from' is no time", hint: "write it as 2027-01-31T12:00:00Z")
      }
      moment = from
    }
    for _ in 0..<(try arguments.number("count", 1...1000) ?? 5) {
      guard let next = cron.next(after: moment, zone) else { break }
      Terminal.result(next.rfc3339)
      moment = next
    }
  }

  // MARK: destinations

  private static let listDestinations = Command(
    path: ["destination", "list"], summary: "list where new secrets can be brought", options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/destinations", arguments, ["NAME", "KIND", "PLACE", "AT", "CREDENTIAL"]) { (d: DestinationDocument) in
      [d.name ?? "", d.kind, Terminal.plain(d.place), d.address ?? d.region ?? "-", d.sealed == true ? "sealed" : "none"]
    }
  }

  private static let setDestination = Command(
    path: ["destination", "set"], operand: "NAME",
    summary: "say where new secrets are brought; a credential is read from standard input",
    options: Unsealing.options + [
      Option(name: "kind", value: "KIND", help: Destination.Kind.allCases.map(\.rawValue).joined(separator: ", ")),
      Option(
        name: "place", value: "PLACE",
        help: "a path, a program in the folder 'hooks', a URL, a secret's name; {key}, {name}, {team}, {version} are filled in"),
      Option(name: "mode", value: "OCTAL", help: "of a file (default: 0400)"),
      Option(name: "owner", value: "USER", help: "of a file"),
      Option(name: "variable", value: "NAME", help: "write NAME=KEY; of a folder: the file's name; of Vault: the field"),
      Option(name: "address", value: "URL", help: "of AWS or Vault: where it is reached"),
      Option(name: "region", value: "REGION", help: "of AWS"),
      Option(name: "mount", value: "NAME", help: "of Vault: the KV engine, version 2 (default: secret)"),
      Option(name: "namespace", value: "NAME", help: "of Vault"),
      Option(name: "argument", value: "TEXT", help: "of a program", isRepeatable: true),
      Option(name: "ca-file", value: "PATH", help: "trust only the authorities in this PEM file"),
      Option(name: "secret-fd", value: "N", help: "read the credential from file descriptor N"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    guard let kind = arguments.value("kind"), let place = arguments.value("place") else {
      throw Fault(.invalidInput, "'--kind' and '--place' are needed")
    }
    var document = DestinationDocument(kind: kind, place: place)
    (document.mode, document.owner, document.variable) = (
      arguments.value("mode"), arguments.value("owner"), arguments.value("variable")
    )
    (document.address, document.region) = (arguments.value("address"), arguments.value("region"))
    (document.mount, document.namespace) = (arguments.value("mount"), arguments.value("namespace"))
    document.arguments = arguments.has("argument") ? arguments.all("argument") : nil
    document.ca_file = arguments.value("ca-file")
    if Destination.Kind(rawValue: kind).map({ Destination($0, place: place).needsSecret }) == true {
      let secret = try Terminal.secret("credential", fd: try arguments.number("secret-fd", 0...1023))
      if secret.count > 0 { document.secret = String(decoding: [UInt8](copying: secret.span), as: UTF8.self) }
    }
    let body = try AdminLink.open(arguments).call(.put, "/v1/destinations/\(percentEncoded(name))", json: document)
    Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : "destination '\(name)' is set")
  }

  private static let removeDestination = Command(
    path: ["destination", "remove"], operand: "NAME", summary: "forget a destination and its credential",
    options: Unsealing.options
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/destinations/\(percentEncoded(name))")
    Terminal.result("destination '\(name)' is removed")
  }

  // MARK: keys

  private static let expire = Command(
    path: ["key", "expire"], operand: "ID", summary: "give a key another end, or none",
    options: Unsealing.options + [
      Option(name: "at", value: "TIME", help: "2027-01-31 or 2027-01-31T12:00:00Z, in UTC"),
      Option(name: "never", value: nil, help: "no end"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    guard arguments.has("at") != arguments.has("never") else {
      throw Fault(.invalidInput, "either '--at' or '--never' is wanted")
    }
    try KeyCommands.show(
      try AdminLink.open(arguments).call(
        .put, "/v1/keys/\(percentEncoded(id))/expiry", json: ExpiryDocument(expires_at: arguments.value("at"))), arguments)
  }

  private static let deliver = Command(
    path: ["key", "deliver"], operand: "ID",
    summary: "try at once again to bring a key's new secret where it could not be brought",
    options: [Command.json]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    try KeyCommands.show(try AdminLink.toServer(arguments).call(.post, "/v1/keys/\(percentEncoded(id))/deliver"), arguments)
  }
}
