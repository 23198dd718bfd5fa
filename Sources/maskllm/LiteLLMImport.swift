import AdminAPI
import Configuration
import Domain
import FoundationEssentials
import Primitives
import Wire

/// What a configuration of LiteLLM becomes here.
enum LiteLLMImport {
  /// Its names of providers, where ours differ.
  private static let kinds = [
    "vertex_ai": "vertex", "together_ai": "together", "fireworks_ai": "fireworks", "nvidia_nim": "nvidia", "jina_ai": "jina",
    "cohere_chat": "cohere", "ollama_chat": "ollama", "azure_ai": "azure", "text-completion-openai": "openai",
  ]

  static func take(_ content: [UInt8], _ path: String, environment: [EnvironmentFile.Variable], _ work: inout ImportWork)
    throws(Fault)
  {
    let root = try YAMLNode.parse(content, name: path)
    var policy = PolicyDocument()
    var (providers, models, limits): ([String], [String], [ModelLimits]) = ([], [], [])
    for item in root["model_list"]?.items ?? [] {
      guard let parameters = item["litellm_params"], let model = parameters["model"]?.text else {
        work.leave("line \(item.line) of \(path): a model without 'litellm_params.model'")
        continue
      }
      let parts = model.split(separator: "/", maxSplits: 1).map(String.init)
      let named = parts.count == 2 ? parts[0] : "openai"
      let native = parts.count == 2 ? parts[1] : model
      var kind = kinds[named] ?? named
      var provider = kind
      if let base = parameters["api_base"]?.text, !base.hasPrefix("os.environ/"), let url = try? BaseURL(base) {
        // A server of their own: named by its host, spoken to as the provider that they say, or as OpenAI.
        provider = String(
          url.host.map { ASCII.isLetter($0.asciiValue ?? 0) || ASCII.isDigit($0.asciiValue ?? 0) ? $0 : "-" }.prefix(40))
        if !work.hasKind(kind) || kind == "openai" { kind = "openai-compatible" }
        // The SDKs of OpenAI have the version in their base URL; here it is in the path.
        let whole = base.hasSuffix("/v1") ? String(base.dropLast(3)) : base
        try work.provider(provider, kind: kind, at: whole)
      } else if !work.hasKind(kind) {
        work.leave("line \(item.line) of \(path): provider '\(named)' is not known: maskllm provider add \(named) --base-url URL")
        continue
      } else if !work.hasProvider(provider) {
        work.leave(
          "line \(item.line) of \(path): where '\(provider)' is reached is yours to say: maskllm provider add \(provider) --base-url URL"
        )
        continue
      }
      if let alias = item["model_name"]?.text, alias != native, alias != model {
        work.leave(
          "line \(item.line) of \(path): the name '\(alias)' for '\(native)': requests pass unchanged, and name models as the provider does"
        )
      }
      if let alias = item["model_name"]?.text { work.natives[alias, default: []].append(native) }
      try takeKey(parameters, provider, item.line, path, environment, &work)
      if !providers.contains(provider) { providers.append(provider) }
      if !models.contains(native) { models.append(native) }
      var counts: [Limit: Int] = [:]
      if let n = parameters["rpm"]?.number { counts[Limit(.requests, per: .minute)] = n }
      if let n = parameters["tpm"]?.number { counts[Limit(.tokens, per: .minute)] = n }
      if !counts.isEmpty { limits.append(ModelLimits(models: [native], limits: Limits(counts))) }
      for other in parameters.names where !["model", "api_key", "api_base", "rpm", "tpm", "api_version"].contains(other) {
        work.leave("line \(item.line) of \(path): 'litellm_params.\(other)'")
      }
    }
    for (section, node) in root.members where section != "model_list" {
      for name in node.names { work.leave("'\(section).\(name)' of \(path)") }
    }
    guard !providers.isEmpty else { return }
    (policy.providers, policy.models) = (providers, models)
    policy.model_limits = limits.isEmpty ? nil : limits
    if !work.rehearses { _ = try work.link.call(.put, "/v1/policies/litellm", json: policy) }
    work.note(
      "\(work.rehearses ? "would set" : "set") policy 'litellm': \(providers.count) providers, \(models.count) models, \(limits.count) with limits; use it: maskllm key create --name NAME --policy litellm"
    )
  }

  private static func takeKey(
    _ parameters: YAMLNode, _ provider: String, _ line: Int, _ path: String, _ environment: [EnvironmentFile.Variable],
    _ work: inout ImportWork
  ) throws(Fault) {
    guard let text = parameters["api_key"]?.text else { return }
    let prefix = "os.environ/"
    guard text.hasPrefix(prefix) else {
      return try work.seal(Array(text.utf8), as: "litellm-line-\(line)", of: provider, from: path)
    }
    let name = String(text.dropFirst(prefix.count))
    guard let variable = environment.last(where: { $0.name == name }), !variable.value.isEmpty else {
      return work.leave("line \(line) of \(path): the variable \(name) is not set here")
    }
    try work.seal(variable.value, as: name, of: provider, from: "the environment")
  }

  // MARK: virtual keys

  private struct Listing: Decodable { let keys: [VirtualKey] }
  private struct VirtualKey: Decodable {
    let key_alias: String?
    let key_name: String?
    let max_budget: Decimal?
    let budget_duration: String?
    let rpm_limit: Int?
    let tpm_limit: Int?
    let max_parallel_requests: Int?
    let models: [String]?
    let expires: String?
    let blocked: Bool?
  }

  private static let windows = ["1h": "hour", "1d": "day", "24h": "day", "7d": "week", "30d": "month", "1mo": "month"]

  /// A masked key for each virtual key, with its limits and its budget; printed once, as `name TAB masked key`.
  static func takeKeys(_ content: [UInt8], _ path: String, _ work: inout ImportWork) throws(Fault) {
    guard let listing = try? JSONDecoder().decode(Listing.self, from: Data(content)) else {
      throw Fault(.invalidInput, "\(path) is no list of keys", hint: "save what /key/list?return_full_object=true answers")
    }
    for (i, virtual) in listing.keys.enumerated() {
      let name = Label.fitting(virtual.key_alias ?? virtual.key_name ?? "litellm-\(i + 1)")
      if virtual.blocked == true {
        work.leave("virtual key '\(name)': it is blocked")
        continue
      }
      var document = NewKeyDocument(name: name)
      document.shared_policy = "litellm"
      document.tags = ["litellm"]
      var policy = PolicyDocument()
      // Keys name models as their callers did; policies name them as the provider does.
      policy.models = virtual.models.flatMap { models in
        models.isEmpty || models.contains { $0.hasPrefix("all-") } ? nil : models.flatMap { work.natives[$0] ?? [$0] }
      }
      var counts: [Limit: Int] = [:]
      if let n = virtual.rpm_limit { counts[Limit(.requests, per: .minute)] = n }
      if let n = virtual.tpm_limit { counts[Limit(.tokens, per: .minute)] = n }
      let limits = Limits(counts, concurrent: virtual.max_parallel_requests)
      if !limits.isEmpty { policy.limits = limits }
      document.policy = policy
      if let expires = virtual.expires { document.expires_at = "\(expires.prefix(19))Z" }
      guard !work.rehearses else {
        work.note("would make a masked key '\(name)'")
        continue
      }
      do throws(Fault) {
        let created: CreatedKeyDocument = try decode(try work.link.call(.post, "/v1/keys", json: document))
        Terminal.result("\(name)\t\(created.masked_key)")
        if let usd = virtual.max_budget {
          let window = virtual.budget_duration.flatMap { windows[$0] }
          if virtual.budget_duration != nil, window == nil {
            work.leave("the duration '\(virtual.budget_duration!)' of virtual key '\(name)': its budget is for a month")
          }
          guard let limit = NanoDollars(dollars: usd.description) else {
            work.leave("the budget of virtual key '\(name)': \(usd) is no amount of dollars")
            continue
          }
          var budget = BudgetDocument(
            usd: limit.dollars, window: window ?? (virtual.budget_duration == nil ? "total" : "month"))
          budget.key = created.key.id
          _ = try work.link.call(.put, "/v1/budgets/litellm-\(created.key.id.lowercased())", json: budget)
        }
        work.note("made masked key \(created.key.id) for virtual key '\(name)'")
      } catch { work.leave("virtual key '\(name)': \(error.message)") }
    }
  }
}

extension YAMLNode {
  fileprivate subscript(_ name: String) -> YAMLNode? {
    guard case .mapping(let members) = value else { return nil }
    return members.first { $0.name == name }?.value
  }
  fileprivate var members: [(String, YAMLNode)] {
    guard case .mapping(let members) = value else { return [] }
    return members.map { ($0.name, $0.value) }
  }
  fileprivate var names: [String] { members.map(\.0) }
  fileprivate var items: [YAMLNode] {
    guard case .sequence(let items) = value else { return [] }
    return items
  }
  fileprivate var text: String? {
    guard case .scalar(let text) = value else { return nil }
    return text
  }
  fileprivate var number: Int? { text.flatMap { Int($0) } }
}
