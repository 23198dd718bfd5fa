public import Domain
import Primitives

// Policies, teams and keys over the wire.

/// A policy, as it is written and shown. What is not there is not restricted.
public struct PolicyDocument: Codable, Sendable {
  public var providers: [String]?
  /// Globs.
  public var models: [String]?
  public var denied_models: [String]?
  /// Endpoint classes.
  public var endpoints: [String]?
  /// `POST /v1/chat/completions`
  public var paths: [String]?
  /// In CIDR form.
  public var networks: [String]?
  /// `mon-fri 08:00-18:00 Europe/Berlin`
  public var hours: [String]?
  public var not_before: String?
  public var body_bytes_max: Int?
  public var output_tokens_max: Int?
  public var provider_key_tags: [String]?
  public var limits: Limits?
  public var model_limits: [ModelLimits]?
  public init() {}
}

/// A team or a shared policy.
public struct NamedPolicyDocument: Codable, Sendable {
  public var name: String
  public var policy: PolicyDocument
  /// Keys that it bounds.
  public var keys: Int
}

/// A masked key, without its secret.
public struct KeyDocument: Codable, Sendable {
  public var id: String
  public var name: String
  /// `active`, `disabled`, `revoked`, `expired`, or `tampered`.
  public var state: String
  public var team: String?
  public var shared_policy: String?
  /// The key's own; what is in force is what this, the shared policy and the team's all permit.
  public var policy: PolicyDocument
  public var created_at: String
  public var expires_at: String?
  public var revision: Int64
}

/// What is asked for a new key.
public struct NewKeyDocument: Codable, Sendable {
  public var name: String
  public var team: String?
  public var shared_policy: String?
  public var policy: PolicyDocument?
  public var expires_at: String?
  public var prefix: String?
  /// Makes so many, named `name-1`, `name-2`, …; the answer is then a list.
  public var count: Int?
  public init(name: String) { self.name = name }
}

/// What a key is to be granted from now on.
public struct GrantDocument: Codable, Sendable {
  public var team: String?
  public var shared_policy: String?
  public var policy: PolicyDocument?
  public init() {}
}

extension KeyDocument {
  init(_ key: MaskedKey, isExpired: Bool) {
    self.init(
      id: key.id.description, name: key.name, state: key.state == .active && isExpired ? "expired" : key.state.rawValue,
      team: key.team, shared_policy: key.sharedPolicy, policy: PolicyDocument(key.policy), created_at: key.createdAt.rfc3339,
      expires_at: key.expiresAt?.rfc3339, revision: key.revision)
  }
}

extension PolicyDocument {
  init(_ policy: Policy) {
    self.init()
    providers = policy.providers
    models = policy.models
    denied_models = policy.deniedModels.isEmpty ? nil : policy.deniedModels
    endpoints = policy.endpoints
    paths = policy.paths == [Policy.any] ? nil : policy.paths
    networks = policy.networks
    hours = policy.hours == [Policy.any] ? nil : policy.hours
    not_before = policy.notBefore.map { Timestamp(milliseconds: $0).rfc3339 }
    (body_bytes_max, output_tokens_max) = (policy.bodyBytesMax, policy.outputTokensMax)
    provider_key_tags = policy.providerKeyTags == [Policy.any] ? nil : policy.providerKeyTags
    limits = policy.limits.isEmpty ? nil : policy.limits
    model_limits = policy.modelLimits.isEmpty ? nil : policy.modelLimits
  }

  static let fields = [
    "providers", "models", "denied_models", "endpoints", "paths", "networks", "hours", "not_before", "body_bytes_max",
    "output_tokens_max", "provider_key_tags", "limits", "model_limits",
  ]

  /// `providers` are for when none are named.
  func policy(providers absent: [String]) throws(Fault) -> Policy {
    Policy(
      providers: providers ?? absent, models: models ?? [Policy.any], deniedModels: denied_models ?? [],
      endpoints: endpoints ?? [Policy.any], paths: paths ?? [Policy.any], networks: networks ?? [Policy.any],
      hours: hours ?? [Policy.any], notBefore: try moment(not_before)?.milliseconds, bodyBytesMax: body_bytes_max,
      outputTokensMax: output_tokens_max, providerKeyTags: provider_key_tags ?? [Policy.any], limits: limits ?? Limits(),
      modelLimits: model_limits ?? [])
  }
}

func moment(_ text: String?) throws(Fault) -> Timestamp? {
  guard let text else { return nil }
  guard let time = Timestamp(rfc3339: text) else {
    throw Fault(.invalidInput, "that is no time", hint: "write it as 2027-01-31T12:00:00Z")
  }
  return time
}
