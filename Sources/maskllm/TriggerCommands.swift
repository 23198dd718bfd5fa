import AdminAPI
import Domain
import Primitives
import Wire

/// Conditions on what keys are seen to do, and what is done about it.
enum TriggerCommands {
  static let all = [list, set, remove, replay]

  private static let wishes = [
    Option(name: "when", value: "CONDITION", help: Trigger.Condition.allCases.map(\.rawValue).joined(separator: ", ")),
    Option(name: "then", value: "ACTION", help: Trigger.Action.allCases.map(\.rawValue).joined(separator: ", ")),
    Option(name: "live", value: nil, help: "do it"),
    Option(name: "shadow", value: nil, help: "only report what it would have done"),
    Option(name: "team", value: "NAME", help: "only for keys of this team"),
    Option(name: "tag", value: "TAG", help: "only for keys with this tag"),
    Option(name: "learn-days", value: "N", help: "days from its first use for which nothing about a key is new"),
    Option(
      name: "count", value: "N", help: "requests a minute; of a spike: tokens, or millionths of a dollar, in the hour, at least"),
    Option(name: "times", value: "N", help: "of a spike: how many times the usual"),
    Option(name: "days", value: "N", help: "without use"),
    Option(name: "per-minute", value: "N", help: "requests that throttling leaves"),
    Option(name: "cooldown", value: "DURATION", help: "for how long the same is not said of the same key again"),
  ]

  private static func document(_ arguments: Arguments) throws(Fault) -> TriggerDocument {
    guard !arguments.has("live") || !arguments.has("shadow") else {
      throw Fault(.invalidInput, "'--live' and '--shadow' do not go together")
    }
    var document = TriggerDocument()
    (document.when, document.then) = (arguments.value("when"), arguments.value("then"))
    if arguments.has("live") { document.shadow = false }
    if arguments.has("shadow") { document.shadow = true }
    (document.team, document.tag) = (arguments.value("team"), arguments.value("tag"))
    document.learn_days = try arguments.number("learn-days", 0...365)
    document.count = try arguments.number("count", 1...1_000_000_000_000)
    document.times = try arguments.number("times", 2...1000)
    document.days = try arguments.number("days", 1...3650)
    document.per_minute = try arguments.number("per-minute", 1...1_000_000)
    document.cooldown_seconds = try Duration.seconds(arguments, "cooldown")
    return document
  }

  private static let list = Command(
    path: ["trigger", "list"], summary: "list the triggers: what is looked for, and what is done about it",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/triggers", arguments, ["NAME", "MODE", "WHEN", "THEN", "BY", "FOR", "SOURCE"]) {
      (t: NamedTriggerDocument) in
      let by = [
        ("learn_days", t.learn_days), ("count", t.count), ("times", t.times), ("days", t.days), ("per_minute", t.per_minute),
      ]
      .compactMap { name, value in value.map { "\(name)=\($0)" } }
      let whose = [t.team.map { "team \($0)" }, t.tag.map { "tag \($0)" }].compactMap { $0 }
      return [
        t.name, t.shadow ? "shadow" : "live", t.when, t.then, by.isEmpty ? "-" : by.joined(separator: " "),
        whose.isEmpty ? "all keys" : whose.joined(separator: ", "), t.source,
      ]
    }
  }

  private static let set = Command(
    path: ["trigger", "set"], operand: "NAME", summary: "make a trigger or change one; what is not named stays as it was",
    options: Unsealing.options + wishes + [Command.json]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    let body = try AdminLink.open(arguments).call(.put, "/v1/triggers/\(percentEncoded(name))", json: try document(arguments))
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let trigger: NamedTriggerDocument = try decode(body)
    Terminal.result("trigger '\(name)': when \(trigger.when), \(trigger.shadow ? "would " : "")\(trigger.then)")
    if trigger.shadow {
      Terminal.note("it only reports; try it on the past with 'maskllm trigger replay \(name)', then give --live")
    }
  }

  private static let remove = Command(
    path: ["trigger", "remove"], operand: "NAME", summary: "take a trigger of yours away; a shipped one of that name is back",
    options: Unsealing.options
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/triggers/\(percentEncoded(name))")
    Terminal.result("trigger '\(name)' is removed")
  }

  private static let replay = Command(
    path: ["trigger", "replay"], operand: "[NAME]",
    summary: "show what triggers would have said of recorded activity; nothing is done",
    options: Unsealing.options + wishes + [
      Option(name: "from", value: "TIME", help: "since when (default: all there is)"), Command.json,
    ]
  ) { arguments throws(Fault) in
    guard arguments.operands.count <= 1 else { throw Fault(.invalidInput, "only one NAME is wanted") }
    let asksForOne = wishes.contains { arguments.has($0.name) }
    let document = ReplayDocument(
      from: arguments.value("from"), name: arguments.operands.first, trigger: asksForOne ? try document(arguments) : nil)
    let body = try AdminLink.open(arguments).call(.post, "/v1/replays", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let verdicts: [VerdictDocument] = try decode(body)
    if verdicts.isEmpty { return Terminal.result("nothing would have been said") }
    Terminal.result(
      Terminal.table(
        ["AT", "TRIGGER", "WOULD", "ON", "BECAUSE"],
        verdicts.map {
          [$0.at, $0.trigger, $0.then, $0.key ?? $0.provider_key.map { "provider key \($0)" } ?? "-", Terminal.plain($0.because)]
        }))
  }
}
