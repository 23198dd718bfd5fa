import AdminAPI
import Domain
import Primitives

/// A policy as options: of a key, a team, or a policy that keys share.
enum PolicyOptions {
  static let all = [
    Option(name: "provider", value: "NAME", help: "a provider that may be called, or '*' for all", isRepeatable: true),
    Option(name: "model", value: "GLOB", help: "a model that may be named, such as 'gpt-4*' (default: all)", isRepeatable: true),
    Option(name: "deny-model", value: "GLOB", help: "a model that may not be named", isRepeatable: true),
    Option(
      name: "endpoint", value: "CLASS", help: "chat, responses, messages, embeddings, ... (default: all)", isRepeatable: true),
    Option(
      name: "path", value: "'METHOD PATH'", help: "such as 'POST /v1/chat/completions' or '* /v1/models/*' (default: all)",
      isRepeatable: true),
    Option(name: "network", value: "CIDR", help: "a network that requests may come from (default: all)", isRepeatable: true),
    Option(
      name: "hours", value: "SPAN", help: "such as 'mon-fri 08:00-18:00 Europe/Berlin' (default: always)", isRepeatable: true),
    Option(name: "not-before", value: "TIME", help: "not valid before 2027-01-31 or 2027-01-31T12:00:00Z, in UTC"),
    Option(name: "body-bytes-max", value: "N", help: "bytes of one request body"),
    Option(name: "output-tokens-max", value: "N", help: "tokens of one answer; requests for more are lowered"),
    Option(name: "key-tag", value: "TAG", help: "provider keys that requests may go out with (default: all)", isRepeatable: true),
    Option(
      name: "limit", value: "NAME=N",
      help: "requests, input_tokens, output_tokens or tokens, _per_second to _per_month; or concurrent", isRepeatable: true),
    Option(
      name: "model-limit", value: "'GLOB NAME=N'", help: "the same for some models, such as 'gpt-4* tokens_per_day=100000'",
      isRepeatable: true),
  ]

  static func document(_ arguments: Arguments) throws(Fault) -> PolicyDocument {
    func list(_ name: String) -> [String]? { arguments.has(name) ? arguments.all(name) : nil }
    var document = PolicyDocument()
    document.providers = list("provider")
    document.models = list("model")
    document.denied_models = list("deny-model")
    document.endpoints = list("endpoint")
    document.paths = list("path")
    document.networks = list("network")
    document.hours = list("hours")
    document.not_before = arguments.value("not-before")
    document.body_bytes_max = try arguments.number("body-bytes-max", 1...(1 << 32))
    document.output_tokens_max = try arguments.number("output-tokens-max", 1...1_000_000_000)
    document.provider_key_tags = list("key-tag")
    var limits = Limits()
    for text in arguments.all("limit") { try add(text, to: &limits) }
    document.limits = limits.isEmpty ? nil : limits
    var models: [ModelLimits] = []
    for text in arguments.all("model-limit") {
      let parts = text.split(separator: " ")
      guard parts.count >= 2 else { throw wrong(text) }
      var limits = Limits()
      for limit in parts.dropFirst() { try add(String(limit), to: &limits) }
      models.append(ModelLimits(models: [String(parts[0])], limits: limits))
    }
    document.model_limits = models.isEmpty ? nil : models
    return document
  }

  private static func wrong(_ text: String) -> Fault {
    Fault(
      .invalidInput, "'\(text.prefix(60))' is no limit",
      hint: "write it as NAME=N with one of: \(Limits.names.joined(separator: ", "))")
  }

  private static func add(_ text: String, to limits: inout Limits) throws(Fault) {
    let parts = text.split(separator: "=", omittingEmptySubsequences: false)
    guard parts.count == 2, let n = ASCII.decimal(Array(parts[1].utf8).span), (1...Limits.countMax).contains(n) else {
      throw wrong(text)
    }
    if parts[0] == "concurrent" {
      guard limits.concurrent == nil else { throw Fault(.invalidInput, "the limit 'concurrent' is given twice") }
      limits.concurrent = n
    } else if let limit = Limit(name: String(parts[0])) {
      guard limits.counts.updateValue(n, forKey: limit) == nil else {
        throw Fault(.invalidInput, "the limit '\(limit.name)' is given twice")
      }
    } else {
      throw wrong(text)
    }
  }

  /// One line for each part of a policy.
  static func text(_ policy: PolicyDocument) -> String {
    let denied = policy.denied_models.map { "; not \($0.joined(separator: ", "))" } ?? ""
    func list(_ entries: [String]?) -> String { (entries ?? ["*"]).joined(separator: ", ") }
    return """
      providers  \(list(policy.providers))
      models     \(list(policy.models))\(denied)
      endpoints  \(list(policy.endpoints))
      paths      \(list(policy.paths))
      networks   \(list(policy.networks))
      hours      \(list(policy.hours))
      key tags   \(list(policy.provider_key_tags))
      body       \(policy.body_bytes_max.map { "\($0) bytes" } ?? "as the gateway accepts")
      output     \(policy.output_tokens_max.map { "\($0) tokens" } ?? "as the provider gives")
      limits     \(limits(policy))
      valid      \(policy.not_before ?? "at once")
      """
  }

  static func limits(_ policy: PolicyDocument) -> String {
    func words(_ limits: Limits) -> [String] {
      Limit.all.compactMap { limit in limits.counts[limit].map { "\(limit.name)=\($0)" } }
        + (limits.concurrent.map { ["concurrent=\($0)"] } ?? [])
    }
    let all =
      words(policy.limits ?? Limits())
      + (policy.model_limits ?? []).map { "\($0.models.joined(separator: " ")): \(words($0.limits).joined(separator: " "))" }
    return all.isEmpty ? "none" : all.joined(separator: ", ")
  }
}
