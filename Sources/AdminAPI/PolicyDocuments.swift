import Audit
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
  /// `active`, `disabled`, `revoked`, `destroyed`, `expired`, or `tampered`.
  public var state: String
  public var team: String?
  public var shared_policy: String?
  /// The key's own; what is in force is what this, the shared policy and the team's all permit.
  public var policy: PolicyDocument
  public var created_at: String
  public var expires_at: String?
  public var revision: Int64
  /// Of the present secret.
  public var version = 1
  /// The present secret and those before it that are remembered, the newest first.
  public var versions: [KeyVersionDocument] = []
  public var last_used_at: String?
  public var tags: [String] = []
  public var decoy: Bool?
  /// Why it stands where it stands, when that was not an administrator's doing alone.
  public var reason: String?
  /// Requests a minute that a trigger has left it.
  public var throttled_to: Int?
  /// Until when what it sends and gets is kept, sealed.
  public var captures_until: String?
  /// When its schedule gives it a new secret.
  public var next_rotation_at: String?
  /// Destinations that do not have the present secret yet; the one before it stays in force until they have.
  public var undelivered: [String]?
}

/// One secret of a key, and who uses it.
public struct KeyVersionDocument: Codable, Sendable {
  public var version: Int
  public var made_at: String
  /// `present`, `in_grace`, `on_its_way` while its successor is being delivered, or `retired`.
  public var state: String
  public var valid_until: String?
  /// Requests with it, as far as there is a record.
  public var requests: Int?
  public var last_used_at: String?
  /// From where, the first 32.
  public var hosts: [String]?
}

/// What is asked of a rotation.
public struct RotationDocument: Codable, Sendable {
  /// Seconds for which the old secret still works.
  public var grace_seconds: Int?
  /// A repetition with the same one rotates nothing and gives the same secret.
  public var request_id: String?
  public init(grace_seconds: Int? = nil, request_id: String? = nil) {
    self.grace_seconds = grace_seconds
    self.request_id = request_id
  }
}

/// What is to be revoked: all that fits every member.
public struct RevocationDocument: Codable, Sendable {
  public var keys: [String]?
  public var version: Int?
  public var team: String?
  public var tag: String?
  public var provider_key: String?
  public var issued_before: String?
  public var everything: Bool?
  public var reason: String
  /// Only says what it would do.
  public var rehearse: Bool?
  public init(reason: String) { self.reason = reason }
}

/// What a revocation did.
public struct ReceiptDocument: Codable, Sendable {
  public struct Version: Codable, Sendable {
    public var key: String
    public var version: Int
  }
  public struct Node: Codable, Sendable {
    public var node: String
    public var event_loops: Int
  }
  public var receipt: String
  public var at: String
  public var reason: String
  /// Whether it only says what would be done.
  public var rehearsal: Bool
  public var revoked: [String]
  public var revoked_before: [String]
  public var retired_versions: [Version]
  public var disabled_provider_key: String?
  /// Who has it in force. It was, before this was answered.
  public var acknowledged: [Node]
  /// From the call to the last acknowledgement.
  public var in_force_after_us: Int
  /// Nodes that might not have it yet: none, on one node.
  public var outstanding: [String]
}

/// What is asked for a new key.
public struct NewKeyDocument: Codable, Sendable {
  public var name: String
  public var team: String?
  public var shared_policy: String?
  public var policy: PolicyDocument?
  public var expires_at: String?
  public var prefix: String?
  public var tags: [String]?
  /// Whether it is there to be found: it opens nothing, and its use is an alarm.
  public var decoy: Bool?
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
      id: key.id.description, name: key.name, state: key.stateName(isExpired: isExpired),
      team: key.team, shared_policy: key.sharedPolicy, policy: PolicyDocument(key.policy), created_at: key.createdAt.rfc3339,
      expires_at: key.expiresAt?.rfc3339, revision: key.revision)
    version = Int(key.details.version)
    (tags, reason, throttled_to) = (key.details.tags, key.details.reason, key.details.throttle)
    decoy = key.details.isDecoy ? true : nil
    captures_until = key.details.captureUntil.map { Timestamp(milliseconds: $0).rfc3339 }
  }

  /// With its secrets, as of `now`.
  init(_ key: MaskedKey, isExpired: Bool, now: Timestamp, profile: KeyProfile?) {
    self.init(key, isExpired: isExpired)
    if let profile, profile.lastAt > 0 { last_used_at = Timestamp(milliseconds: profile.lastAt).rfc3339 }
    defer {
      for i in versions.indices {
        guard let use = profile?.use(of: UInt32(versions[i].version)) else { continue }
        versions[i].requests = use.requests
        versions[i].last_used_at = Timestamp(milliseconds: use.lastAt).rfc3339
        versions[i].hosts = use.hosts.map(\.description)
      }
    }
    guard key.state != .destroyed else { return }
    versions = [
      KeyVersionDocument(
        version: version, made_at: key.versionMadeAt.rfc3339, state: "present", valid_until: key.expiresAt?.rfc3339)
    ]
    for old in key.details.older.reversed() {
      let state = old.validUntil.map { $0 > now.milliseconds ? "in_grace" : "retired" } ?? "on_its_way"
      versions.append(
        KeyVersionDocument(
          version: Int(old.number), made_at: Timestamp(milliseconds: old.madeAt).rfc3339, state: state,
          valid_until: old.validUntil.map { Timestamp(milliseconds: $0).rfc3339 }))
    }
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
