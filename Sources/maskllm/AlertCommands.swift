import AdminAPI
import Cryptography
import Primitives
import Wire

/// Who is told of what.
enum AlertCommands {
  static let all = [
    list, acknowledge, resolve, test, listChannels, setChannel, removeChannel, listSilences, setSilence, removeSilence,
  ]

  private static let list = Command(
    path: ["alert", "list"], summary: "list what people have to be told",
    options: Unsealing.options + [
      Option(name: "state", value: "STATE", help: "only open, acknowledged or resolved ones"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let query = arguments.value("state").map { "?state=\(percentEncoded($0))" } ?? ""
    try printList("/v1/alerts\(query)", arguments, ["ID", "LAST", "SEVERITY", "STATE", "TOLD", "WHAT"]) {
      (alert: AlertDocument) in
      let waiting = alert.waiting.sorted { $0.key < $1.key }.map { $0.value.isEmpty ? "(\($0.key))" : "(\($0.key): \($0.value))" }
      let told = alert.silenced ? ["silenced"] : alert.told + waiting
      return [alert.id, alert.last_at, alert.severity, alert.state, told.joined(separator: ","), Terminal.plain(alert.title)]
    }
  }

  private static func change(_ word: String, _ summary: String, _ done: String) -> Command {
    Command(path: ["alert", word], operand: "ID", summary: summary, options: Unsealing.options + [Command.json]) {
      arguments throws(Fault) in
      let id = try arguments.operand("ID")
      let body = try AdminLink.open(arguments).call(.post, "/v1/alerts/\(percentEncoded(id))/\(word)")
      Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : "alert \(id) is \(done)")
    }
  }

  private static let acknowledge = change(
    "acknowledge", "say that you look at it: nobody is told of it any more, and it does not escalate", "acknowledged")
  private static let resolve = change("resolve", "say that it is over: the same again is a new alert", "resolved")

  private static let test = Command(
    path: ["alert", "test"], summary: "bring an alert that says that it is a test to every channel, or to one",
    options: Unsealing.options + [Option(name: "channel", value: "NAME", help: "only there")]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.toServer(arguments)
    let channels: [AlertChannelDocument] = try decode(try link.call(.get, "/v1/alert-channels"))
    let names = arguments.value("channel").map { [$0] } ?? channels.compactMap(\.name)
    guard !names.isEmpty else {
      throw Fault(.notFound, "alerts are brought nowhere", hint: "see 'maskllm alert-channel set --help'")
    }
    var failed = 0
    for name in names {
      do throws(Fault) {
        _ = try link.call(.post, "/v1/alert-channels/\(percentEncoded(name))/test")
        Terminal.result("\(name): told")
      } catch {
        if error == Fault(.notFound, "") { throw error }
        failed += 1
        Terminal.result("\(name): \(error.message)")
      }
    }
    if failed > 0 { throw Fault(.unavailable, "\(failed) of \(names.count) channels could not be told") }
  }

  // MARK: channels

  private static let listChannels = Command(
    path: ["alert-channel", "list"], summary: "list where alerts are brought", options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/alert-channels", arguments, ["NAME", "KIND", "PLACE", "FROM", "ACTS", "WAITING", "TROUBLE"]) {
      (channel: AlertChannelDocument) in
      [
        channel.name ?? "", channel.kind, channel.place ?? "", channel.severity ?? "",
        (channel.acts ?? []).joined(separator: ","),
        "\(channel.waiting ?? 0)", channel.trouble ?? "-",
      ]
    }
  }

  private static let setChannel = Command(
    path: ["alert-channel", "set"], operand: "NAME",
    summary: "say where alerts are brought; a credential is read from standard input or asked for",
    options: Unsealing.options + [
      Option(name: "kind", value: "KIND", help: "webhook, slack, pagerduty, email or command"),
      Option(name: "place", value: "PLACE", help: "a URL, smtp://host:587, smtps://host:465, or a program of the hooks folder"),
      Option(name: "severity", value: "SEVERITY", help: "only what matters as much: info, warning (default), error, critical"),
      Option(
        name: "act", value: "ACT", help: "only this act, or acts on this, such as event.leaked (default: all)", isRepeatable: true
      ),
      Option(name: "group", value: "DURATION", help: "how long the first of several waits for the others (default: 10s)"),
      Option(name: "again", value: "DURATION", help: "when one that goes on is told again (default: 4h)"),
      Option(name: "escalate-to", value: "NAME", help: "the channel that is told, too, when nobody acknowledges"),
      Option(name: "escalate-after", value: "DURATION", help: "after how long (default: 15m)"),
      Option(name: "from", value: "ADDRESS", help: "of e-mail: whom it is from"),
      Option(name: "to", value: "ADDRESS", help: "of e-mail: whom it goes to", isRepeatable: true),
      Option(name: "user", value: "NAME", help: "of e-mail: who signs in to the server"),
      Option(name: "ca-file", value: "PATH", help: "a PEM file with the only authorities to trust"),
      Option(name: "no-secret", value: nil, help: "leave the credential as it is, and do not ask for one"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    guard let kind = arguments.value("kind") else { throw Fault(.invalidInput, "'--kind' is missing") }
    var document = AlertChannelDocument(kind: kind)
    (document.place, document.severity) = (arguments.value("place"), arguments.value("severity"))
    document.acts = arguments.has("act") ? arguments.all("act") : nil
    document.group_seconds = try Duration.seconds(arguments, "group")
    document.again_seconds = try Duration.seconds(arguments, "again")
    document.escalate_to = arguments.value("escalate-to")
    document.escalate_seconds = try Duration.seconds(arguments, "escalate-after")
    (document.from, document.user) = (arguments.value("from"), arguments.value("user"))
    document.to = arguments.has("to") ? arguments.all("to") : nil
    document.authority_file = arguments.value("ca-file")
    let wants = kind != "command" && (kind != "email" || document.user != nil) && !arguments.has("no-secret")
    if wants, kind != "slack" || !Terminal.isInteractive {
      let secret = try Terminal.secret("credential", fd: nil)
      if secret.count > 0 { document.secret = String(decoding: [UInt8](copying: secret.span), as: UTF8.self) }
    }
    let body = try AdminLink.open(arguments).call(.put, "/v1/alert-channels/\(percentEncoded(name))", json: document)
    Terminal.result(
      arguments.has("json")
        ? String(decoding: body, as: UTF8.self) : "channel '\(name)' is set; try it: maskllm alert test --channel \(name)")
  }

  private static let removeChannel = remove("alert-channel", "channel", "forget a channel and its credential")

  // MARK: silences

  private static let listSilences = Command(
    path: ["silence", "list"], summary: "list what nobody is told of for a while", options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/silences", arguments, ["NAME", "ACT", "SUBJECT", "UNTIL", "REASON"]) { (silence: SilenceDocument) in
      [silence.name ?? "", silence.act ?? "-", silence.subject ?? "-", silence.until, Terminal.plain(silence.reason)]
    }
  }

  private static let setSilence = Command(
    path: ["silence", "set"], operand: "NAME", summary: "tell nobody of something for a while; it is written down all the same",
    options: Unsealing.options + [
      Option(name: "act", value: "ACT", help: "of this act, or acts on this"),
      Option(name: "subject", value: "SUBJECT", help: "of this: key/ID, provider-key/ID"),
      Option(name: "for", value: "DURATION", help: "how long: 30m, 4h, 7d"),
      Option(name: "reason", value: "TEXT", help: "why"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    guard let seconds = try Duration.seconds(arguments, "for"), let reason = arguments.value("reason") else {
      throw Fault(.invalidInput, "a silence needs '--for' and '--reason'")
    }
    var document = SilenceDocument(until: (SystemClock().now + Int64(seconds)).rfc3339, reason: reason)
    (document.act, document.subject) = (arguments.value("act"), arguments.value("subject"))
    let body = try AdminLink.open(arguments).call(.put, "/v1/silences/\(percentEncoded(name))", json: document)
    Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : "silence '\(name)' until \(document.until)")
  }

  private static let removeSilence = remove("silence", "silence", "end a silence")

  private static func remove(_ word: String, _ what: String, _ summary: String) -> Command {
    Command(path: [word, "remove"], operand: "NAME", summary: summary, options: Unsealing.options) { arguments throws(Fault) in
      let name = try arguments.operand("NAME")
      _ = try AdminLink.open(arguments).call(.delete, "/v1/\(word)s/\(percentEncoded(name))")
      Terminal.result("\(what) '\(name)' is removed")
    }
  }
}
