import AdminAPI
import KeyService
import Primitives
import Wire

/// Rotation by hand, and stopping keys for good.
enum RevokeCommands {
  static let all = [rotate, revoke, tag, throttle]

  private static let rotate = Command(
    path: ["key", "rotate"], operand: "ID", summary: "give a key a new secret and show it, once",
    options: Unsealing.options + [
      Option(
        name: "grace", value: "DURATION",
        help: "for how long the old secret still works: 0, 90s, 30m, 24h, 7d (default: 24h)"),
      Option(
        name: "request-id", value: "TEXT",
        help: "names this rotation: repeated within an hour it gives the same secret and rotates nothing"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let document = RotationDocument(
      grace_seconds: try Duration.seconds(arguments, "grace"), request_id: arguments.value("request-id"))
    let body = try AdminLink.open(arguments).call(.post, "/v1/keys/\(percentEncoded(id))/rotate", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let rotated: CreatedKeyDocument = try decode(body)
    let old = rotated.key.versions.dropFirst().first
    Terminal.note(
      "key \(rotated.key.id) is at version \(rotated.key.version); version \(old?.version ?? 0) works until \(old?.valid_until ?? "now"). This is the only time the new text is shown:"
    )
    Terminal.result(rotated.masked_key)
  }

  private static let revoke = Command(
    path: ["revoke"], summary: "stop keys for good, at once, and print the receipt; all conditions have to fit",
    options: Unsealing.options + [
      Option(name: "key", value: "ID", help: "this key", isRepeatable: true),
      Option(name: "version", value: "N", help: "of the one --key: an earlier secret, and not the key"),
      Option(name: "team", value: "NAME", help: "keys of this team"),
      Option(name: "tag", value: "TAG", help: "keys with this tag"),
      Option(name: "issued-before", value: "TIME", help: "keys whose present secret was made before this, and earlier secrets"),
      Option(name: "everything", value: nil, help: "every masked key there is"),
      Option(name: "provider-key", value: "ID", help: "stop using this provider key (reversible: provider-key enable)"),
      Option(name: "reason", value: "TEXT", help: "why; goes into the receipt and the audit"),
      Option(name: "rehearse", value: nil, help: "only say what would be done"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    var document = RevocationDocument(reason: try arguments.reason())
    document.keys = arguments.has("key") ? arguments.all("key") : nil
    document.version = try arguments.number("version", 1...Int(UInt32.max))
    (document.team, document.tag) = (arguments.value("team"), arguments.value("tag"))
    (document.provider_key, document.issued_before) = (arguments.value("provider-key"), arguments.value("issued-before"))
    if arguments.has("everything") { document.everything = true }
    if arguments.has("rehearse") { document.rehearse = true }
    let body = try AdminLink.open(arguments).call(.post, "/v1/revocations", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let receipt: ReceiptDocument = try decode(body)
    Terminal.result(text(receipt))
  }

  private static func text(_ receipt: ReceiptDocument) -> String {
    let verb = receipt.rehearsal ? "would revoke" : "revoked"
    var lines = ["receipt    \(receipt.receipt)\(receipt.rehearsal ? " (rehearsal: nothing was done)" : "")"]
    lines.append("at         \(receipt.at)")
    lines.append("reason     \(Terminal.plain(receipt.reason))")
    lines.append("\(verb)    \(receipt.revoked.count) keys")
    lines += receipt.revoked.map { "           \($0)" }
    if !receipt.revoked_before.isEmpty { lines.append("before     \(receipt.revoked_before.count) were revoked already") }
    lines += receipt.retired_versions.map { "retired    version \($0.version) of \($0.key)" }
    if let id = receipt.disabled_provider_key { lines.append("disabled   provider key \(id)") }
    if let node = receipt.acknowledged.first, node.event_loops > 0 {
      lines.append(
        "in force   on \(node.event_loops) event loops after \(receipt.in_force_after_us) us; nothing outstanding")
    } else if !receipt.rehearsal {
      lines.append("in force   no gateway was running on this data directory")
    }
    return lines.joined(separator: "\n")
  }

  private static let tag = Command(
    path: ["key", "tag"], operand: "ID", summary: "give a key other tags, to find and revoke it by",
    options: Unsealing.options + [
      Option(name: "tag", value: "TAG", help: "a tag; without any, all are taken away", isRepeatable: true), Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    try KeyCommands.show(
      try AdminLink.open(arguments).call(
        .put, "/v1/keys/\(percentEncoded(id))/tags", json: TagsDocument(tags: arguments.all("tag"))), arguments)
  }

  private static let throttle = Command(
    path: ["key", "throttle"], operand: "ID", summary: "leave a key so many requests a minute, or lift that",
    options: Unsealing.options + [
      Option(name: "per-minute", value: "N", help: "requests a minute; without it, what the policy says again"),
      Option(name: "reason", value: "TEXT", help: "why"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let document = ThrottleDocument(
      requests_per_minute: try arguments.number("per-minute", 1...1_000_000), reason: arguments.value("reason"))
    try KeyCommands.show(
      try AdminLink.open(arguments).call(.put, "/v1/keys/\(percentEncoded(id))/throttle", json: document), arguments)
  }
}

/// Lengths of time on the command line: `90s`, `30m`, `24h`, `7d`, or seconds.
enum Duration {
  static func seconds(_ arguments: Arguments, _ name: String) throws(Fault) -> Int? {
    guard let text = arguments.value(name) else { return nil }
    let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    let unit = text.last.flatMap { units[$0] }
    let digits = unit == nil ? text[...] : text.dropLast()
    guard let n = ASCII.decimal(Array(digits.utf8).span), n <= 1_000_000_000 else {
      throw Fault(.invalidInput, "'--\(name)' is no length of time", hint: "write it as 0, 90s, 30m, 24h or 7d")
    }
    return n * (unit ?? 1)
  }
}
