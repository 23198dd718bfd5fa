public import Primitives

/// What a masked key may do. Default deny: an empty list permits nothing.
public struct Policy: Hashable, Sendable {
  /// Names of the providers that may be called; `"*"` stands for all of them.
  public var providers: [String]
  /// Globs of the models that may be named.
  public var models: [String]
  /// Globs of the models that may not, whatever `models` says.
  public var deniedModels: [String]
  /// Names of endpoint classes; `"*"` stands for all of them.
  public var endpoints: [String]
  /// Methods and paths as `PathTemplate` has them; `"*"` stands for all of them.
  public var paths: [String]
  /// Networks in CIDR form that requests may come from; `"*"` stands for all of them.
  public var networks: [String]
  /// Spans of the week as `Hours` has them; `"*"` stands for all of it.
  public var hours: [String]
  /// Not accepted before this moment, in milliseconds since 1970; nil: at once.
  public var notBefore: Int64?
  /// Bytes of one request body; nil: what the gateway accepts.
  public var bodyBytesMax: Int?
  /// Tokens of one answer; a request that asks for more is lowered to it. nil: what the provider gives.
  public var outputTokensMax: Int?
  /// Tags of the provider keys that requests may go out with; `"*"` stands for all of them.
  public var providerKeyTags: [String]
  public var limits: Limits
  public var modelLimits: [ModelLimits]

  public init(
    providers: [String], models: [String] = [any], deniedModels: [String] = [], endpoints: [String] = [any],
    paths: [String] = [any], networks: [String] = [any], hours: [String] = [any], notBefore: Int64? = nil,
    bodyBytesMax: Int? = nil, outputTokensMax: Int? = nil, providerKeyTags: [String] = [any], limits: Limits = Limits(),
    modelLimits: [ModelLimits] = []
  ) {
    self.providers = providers
    self.models = models
    self.deniedModels = deniedModels
    self.endpoints = endpoints
    self.paths = paths
    self.networks = networks
    self.hours = hours
    self.notBefore = notBefore
    self.bodyBytesMax = bodyBytesMax
    self.outputTokensMax = outputTokensMax
    self.providerKeyTags = providerKeyTags
    self.limits = limits
    self.modelLimits = modelLimits
  }

  public static let any = "*"
  /// Entries in one list.
  public static let entriesMax = 100

  public var hasLimits: Bool { !limits.isEmpty || !modelLimits.isEmpty }

  /// Whether which model is asked for makes a difference.
  public var restrictsModels: Bool { models != [Self.any] || !deniedModels.isEmpty }

  /// Throws `.invalidInput` when a list is empty, too long, or holds what cannot be a name, `.notFound` for a time zone that this
  /// machine does not know. Endpoint classes are for whoever knows them to check.
  public func validate() throws(Fault) {
    guard !providers.isEmpty else {
      throw Fault(.invalidInput, "a key without a provider can do nothing", hint: "name at least one provider, or '*' for all")
    }
    guard !models.isEmpty, !endpoints.isEmpty, !networks.isEmpty, !paths.isEmpty, !hours.isEmpty, !providerKeyTags.isEmpty else {
      throw Fault(
        .invalidInput, "a key without a model, an endpoint, a path, a network or an hour can do nothing",
        hint: "leave them out to permit all")
    }
    for list in [models, deniedModels, networks, paths, hours, providerKeyTags] {
      guard list.count <= Self.entriesMax else { throw Fault(.invalidInput, "more than \(Self.entriesMax) entries in one list") }
    }
    for name in providers where name != Self.any { try ProviderName.validate(name) }
    for network in networks where network != Self.any && Network(network) == nil {
      throw Fault(
        .invalidInput, "'\(network.prefix(50))' is no network", hint: "write it as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")
    }
    for tag in providerKeyTags where tag != Self.any { try DocumentName.validate(tag, of: "tag") }
    for glob in models + deniedModels { try ModelGlob.validate(glob) }
    for path in paths where path != Self.any && PathTemplate(path) == nil {
      throw Fault(
        .invalidInput, "'\(path.prefix(50))' is no path template",
        hint: "write it as 'POST /v1/chat/completions' or '* /v1/models/*'; * is one segment")
    }
    for span in hours where span != Self.any {
      guard let span = Hours(span) else {
        throw Fault(
          .invalidInput, "'\(span.prefix(50))' is no span of hours", hint: "write it as 'mon-fri 08:00-18:00 Europe/Berlin'")
      }
      _ = try ZoneRules(named: span.zone)
    }
    if let bodyBytesMax, bodyBytesMax < 1 { throw Fault(.invalidInput, "the body limit is no positive number of bytes") }
    if let outputTokensMax, !(1...1_000_000_000).contains(outputTokensMax) {
      throw Fault(.invalidInput, "the output limit is no positive number of tokens")
    }
    try Self.validate(limits)
    guard modelLimits.count <= Self.entriesMax else {
      throw Fault(.invalidInput, "more than \(Self.entriesMax) limits for models")
    }
    for entry in modelLimits {
      guard !entry.models.isEmpty, !entry.limits.isEmpty else {
        throw Fault(.invalidInput, "a limit for models needs a model and a limit")
      }
      for glob in entry.models { try ModelGlob.validate(glob) }
      try Self.validate(entry.limits)
    }
  }

  private static func validate(_ limits: Limits) throws(Fault) {
    for count in Array(limits.counts.values) + [limits.concurrent].compactMap({ $0 }) where !(1...Limits.countMax).contains(count)
    {
      throw Fault(.invalidInput, "a limit is no number from 1 to \(Limits.countMax)")
    }
  }

  /// The first list in which this policy names something that `parent` does not permit; nil when it stays within it.
  ///
  /// The decision is made on both anyway. This is for whoever writes a policy, who would otherwise believe it.
  public func firstExcess(over parent: Policy) -> String? {
    func exceeds(_ own: [String], _ others: [String], _ covers: (String, String) -> Bool) -> Bool {
      own != [Self.any] && own.contains { entry in !others.contains { $0 == Self.any || covers($0, entry) } }
    }
    if exceeds(providers, parent.providers, ==) { return "providers" }
    if exceeds(models, parent.models, { ModelGlob.covers($0, $1) }) { return "models" }
    if exceeds(endpoints, parent.endpoints, ==) { return "endpoints" }
    if exceeds(providerKeyTags, parent.providerKeyTags, ==) { return "provider key tags" }
    if exceeds(
      networks, parent.networks, { a, b in Network(a).map { net in Network(b).map { net.contains($0) } ?? false } ?? false })
    {
      return "networks"
    }
    if let own = bodyBytesMax, let limit = parent.bodyBytesMax, own > limit { return "body_bytes_max" }
    if let own = outputTokensMax, let limit = parent.outputTokensMax, own > limit { return "output_tokens_max" }
    return nil
  }
}

extension Policy: Codable {
  enum Field: String, CodingKey, CaseIterable {
    case providers, models, endpoints, paths, networks, hours, limits
    case notBefore = "not_before_ms"
    case bodyBytesMax = "body_bytes_max"
    case outputTokensMax = "output_tokens_max"
    case providerKeyTags = "provider_key_tags"
    case modelLimits = "model_limits"
    case deniedModels = "denied_models"
  }

  public static let fields = Field.allCases.map(\.rawValue)

  /// A list that is not there permits all of its kind: that is how keys were written before the list was known.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Field.self)
    func list(_ field: Field, _ absent: [String] = [Self.any]) throws -> [String] {
      try container.decodeIfPresent([String].self, forKey: field) ?? absent
    }
    providers = try list(.providers)
    models = try list(.models)
    deniedModels = try list(.deniedModels, [])
    endpoints = try list(.endpoints)
    paths = try list(.paths)
    networks = try list(.networks)
    hours = try list(.hours)
    providerKeyTags = try list(.providerKeyTags)
    notBefore = try container.decodeIfPresent(Int64.self, forKey: .notBefore)
    bodyBytesMax = try container.decodeIfPresent(Int.self, forKey: .bodyBytesMax)
    outputTokensMax = try container.decodeIfPresent(Int.self, forKey: .outputTokensMax)
    limits = try container.decodeIfPresent(Limits.self, forKey: .limits) ?? Limits()
    modelLimits = try container.decodeIfPresent([ModelLimits].self, forKey: .modelLimits) ?? []
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Field.self)
    try container.encode(providers, forKey: .providers)
    try container.encode(models, forKey: .models)
    try container.encode(deniedModels, forKey: .deniedModels)
    try container.encode(endpoints, forKey: .endpoints)
    try container.encode(paths, forKey: .paths)
    try container.encode(networks, forKey: .networks)
    try container.encode(hours, forKey: .hours)
    try container.encode(providerKeyTags, forKey: .providerKeyTags)
    try container.encodeIfPresent(notBefore, forKey: .notBefore)
    try container.encodeIfPresent(bodyBytesMax, forKey: .bodyBytesMax)
    try container.encodeIfPresent(outputTokensMax, forKey: .outputTokensMax)
    if !limits.isEmpty { try container.encode(limits, forKey: .limits) }
    if !modelLimits.isEmpty { try container.encode(modelLimits, forKey: .modelLimits) }
  }
}
