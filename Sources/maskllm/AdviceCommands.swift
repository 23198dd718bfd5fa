import AdminAPI
import Primitives
import Wire

/// What keys use of what they may, and what a policy would have refused.
enum AdviceCommands {
  static let all = [advise, replay]

  private static let days = Option(name: "days", value: "N", help: "how far back to look (default: 30)")

  private static let advise = Command(
    path: ["key", "advise"], operand: "ID", summary: "propose the smallest policy that a key's requests need",
    options: Unsealing.options + [
      days, Option(name: "apply", value: nil, help: "give the key that policy, unless it would have refused something"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let link = try AdminLink.open(arguments)
    let query = try arguments.number("days", 1...366).map { "?days=\($0)" } ?? ""
    let body = try link.call(.get, "/v1/keys/\(percentEncoded(id))/advice\(query)")
    let advice: AdviceDocument = try decode(body)
    if arguments.has("json") { Terminal.result(String(decoding: body, as: UTF8.self)) } else { Terminal.result(text(advice)) }
    guard arguments.has("apply") else { return }
    guard let policy = advice.policy, advice.replay.would_refuse == 0 else {
      throw Fault(.conflict, "there is nothing to go by, or the policy would have refused requests: nothing was changed")
    }
    let key: KeyDocument = try decode(try link.call(.get, "/v1/keys/\(percentEncoded(id))"))
    var grant = GrantDocument()
    (grant.policy, grant.team, grant.shared_policy) = (policy, key.team, key.shared_policy)
    _ = try link.call(.put, "/v1/keys/\(percentEncoded(id))", json: grant)
    Terminal.note("key \(id) has that policy now")
  }

  private static func text(_ advice: AdviceDocument) -> String {
    guard let policy = advice.policy else { return "key \(advice.key) was not used in \(advice.days) days: is it needed?" }
    func part(_ used: [String], _ allowed: Int, _ what: String) -> String {
      "\(used.count) of \(max(allowed, used.count)) \(what)"
    }
    let used = [
      part(advice.providers_used, advice.providers_allowed, "providers"),
      part(advice.models_used, advice.models_allowed, "models"),
      part(advice.endpoints_used, advice.endpoints_allowed, "endpoint classes"), "\(advice.networks_used.count) networks",
    ]
    return """
      \(advice.requests) requests in \(advice.days) days use \(used.joined(separator: ", "))
      enough for them would be:
      \(PolicyOptions.text(policy))
      \(told(advice.replay, advice.days))
      """
  }

  private static func told(_ replay: ReplayedPolicyDocument, _ days: Int) -> String {
    var lines = ["would have refused \(replay.would_refuse) of \(replay.requests) requests in \(days) days"]
    for (code, count) in replay.refusals.sorted(by: { $0.key < $1.key }) { lines.append("  \(code): \(count)") }
    for (key, count) in replay.keys.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
      lines.append("  key \(key): \(count)")
    }
    if replay.would_shorten > 0 {
      lines.append(
        "\(replay.would_shorten) answers were longer than the output tokens that it permits, and would have been shorter")
    }
    if !replay.not_judged.isEmpty {
      lines.append("not judged, because the record says too little: \(replay.not_judged.joined(separator: ", "))")
    }
    return lines.joined(separator: "\n")
  }

  private static let replay = Command(
    path: ["policy", "replay"],
    summary: "say what a policy would have refused in the past, before it is set; the exit status is 1 when there is something",
    options: Unsealing.options + [
      Option(name: "of-key", value: "ID", help: "the policy of this masked key"),
      Option(name: "of-team", value: "NAME", help: "the policy of this team"),
      Option(name: "of-policy", value: "NAME", help: "this shared policy"), days,
    ] + PolicyOptions.all + [Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    var document = PolicyReplayDocument(policy: try PolicyOptions.document(arguments))
    (document.key, document.team) = (arguments.value("of-key"), arguments.value("of-team"))
    (document.shared_policy, document.days) = (arguments.value("of-policy"), try arguments.number("days", 1...366))
    let body = try AdminLink.open(arguments).call(.post, "/v1/policy-replays", json: document)
    let replay: ReplayedPolicyDocument = try decode(body)
    Terminal.result(arguments.has("json") ? String(decoding: body, as: UTF8.self) : told(replay, document.days ?? 30))
    if replay.would_refuse > 0 { throw Fault(.conflict, "that policy would have refused requests") }
  }
}
