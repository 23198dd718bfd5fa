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
  /// Networks in CIDR form that requests may come from; `"*"` stands for all of them.
  public var networks: [String]
  /// Not accepted before this moment, in milliseconds since 1970; nil: at once.
  public var notBefore: Int64?
  /// Bytes of one request body; nil: what the gateway accepts.
  public var bodyBytesMax: Int?
  public var limits: Limits

  /// Requests per window and at once, of one key on one node; nil: no limit.
  public struct Limits: Hashable, Sendable, Codable {
    public var requestsPerSecond: Int?
    public var requestsPerMinute: Int?
    public var requestsPerHour: Int?
    /// Requests in flight at the same time.
    public var concurrent: Int?

    public init(requestsPerSecond: Int? = nil, requestsPerMinute: Int? = nil, requestsPerHour: Int? = nil, concurrent: Int? = nil)
    {
      self.requestsPerSecond = requestsPerSecond
      self.requestsPerMinute = requestsPerMinute
      self.requestsPerHour = requestsPerHour
      self.concurrent = concurrent
    }

    public static let countMax = 1_000_000
    public var isEmpty: Bool { self == Limits() }

    private enum CodingKeys: String, CodingKey {
      case requestsPerSecond = "requests_per_second"
      case requestsPerMinute = "requests_per_minute"
      case requestsPerHour = "requests_per_hour"
      case concurrent
    }
  }

  public init(
    providers: [String], models: [String] = [any], deniedModels: [String] = [], endpoints: [String] = [any],
    networks: [String] = [any],
    notBefore: Int64? = nil, bodyBytesMax: Int? = nil, limits: Limits = Limits()
  ) {
    self.limits = limits
    self.providers = providers
    self.networks = networks
    self.notBefore = notBefore
    self.bodyBytesMax = bodyBytesMax
    self.models = models
    self.deniedModels = deniedModels
    self.endpoints = endpoints
  }

  public static let any = "*"
  /// Globs in one list.
  public static let globsMax = 100

  /// Whether which model is asked for makes a difference.
  public var restrictsModels: Bool { models != [Self.any] || !deniedModels.isEmpty }

  /// Throws `.invalidInput` when a list is empty, too long, or holds what cannot be a name. Endpoint classes are for whoever
  /// knows them to check.
  public func validate() throws(Fault) {
    guard !providers.isEmpty else {
      throw Fault(.invalidInput, "a key without a provider can do nothing", hint: "name at least one provider, or '*' for all")
    }
    guard !models.isEmpty, !endpoints.isEmpty, !networks.isEmpty else {
      throw Fault(
        .invalidInput, "a key without a model, an endpoint or a network can do nothing", hint: "leave them out to permit all")
    }
    for name in providers where name != Self.any { try ProviderName.validate(name) }
    for network in networks where network != Self.any && Network(network) == nil {
      throw Fault(
        .invalidInput, "'\(network.prefix(50))' is no network", hint: "write it as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")
    }
    for count in [limits.requestsPerSecond, limits.requestsPerMinute, limits.requestsPerHour, limits.concurrent] {
      guard let count, !(1...Limits.countMax).contains(count) else { continue }
      throw Fault(.invalidInput, "a limit is no number from 1 to \(Limits.countMax)")
    }
    if let bodyBytesMax, bodyBytesMax < 1 { throw Fault(.invalidInput, "the body limit is no positive number of bytes") }
    guard networks.count <= Self.globsMax else { throw Fault(.invalidInput, "more than \(Self.globsMax) networks") }
    for list in [models, deniedModels] {
      guard list.count <= Self.globsMax else { throw Fault(.invalidInput, "more than \(Self.globsMax) model patterns") }
      for glob in list { try ModelGlob.validate(glob) }
    }
  }
}

extension Policy: Codable {
  private enum Field: String, CodingKey {
    case providers, models, endpoints, networks
    case notBefore = "not_before_ms"
    case bodyBytesMax = "body_bytes_max"
    case limits
    case deniedModels = "denied_models"
  }

  /// A list that is not there permits all of its kind: that is how keys were written before the list was known.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Field.self)
    providers = try container.decode([String].self, forKey: .providers)
    models = try container.decodeIfPresent([String].self, forKey: .models) ?? [Self.any]
    deniedModels = try container.decodeIfPresent([String].self, forKey: .deniedModels) ?? []
    endpoints = try container.decodeIfPresent([String].self, forKey: .endpoints) ?? [Self.any]
    networks = try container.decodeIfPresent([String].self, forKey: .networks) ?? [Self.any]
    notBefore = try container.decodeIfPresent(Int64.self, forKey: .notBefore)
    bodyBytesMax = try container.decodeIfPresent(Int.self, forKey: .bodyBytesMax)
    limits = try container.decodeIfPresent(Limits.self, forKey: .limits) ?? Limits()
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Field.self)
    try container.encode(providers, forKey: .providers)
    try container.encode(models, forKey: .models)
    try container.encode(deniedModels, forKey: .deniedModels)
    try container.encode(endpoints, forKey: .endpoints)
    try container.encode(networks, forKey: .networks)
    try container.encodeIfPresent(notBefore, forKey: .notBefore)
    try container.encodeIfPresent(bodyBytesMax, forKey: .bodyBytesMax)
    if !limits.isEmpty { try container.encode(limits, forKey: .limits) }
  }
}
