import Domain
import KeyService
import PolicyEngine
import Primitives

// Least privilege, and what a policy would have said of the past.
extension AdminAPI {
  private static let daysUsual = 30

  func adviseKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: ["days"])
    var days = Self.daysUsual
    if let text = r.query["days"] {
      guard let number = ASCII.decimal(Array(text.utf8).span) else { throw Fault(.invalidInput, "the days are no number") }
      days = number
    }
    await flushActivity()
    return try encode(AdviceDocument(try await service.advise(on: try recordID(id), days: days)))
  }

  func replayPolicy(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: PolicyReplayDocument = try decode(r)
    let change: PolicyChange
    switch (document.key, document.team, document.shared_policy) {
    case (let key?, nil, nil):
      let key = try ownKey(key)
      let isBounded = key.grant.sharedPolicy != nil || key.team != nil
      change = .key(key.id, try document.policy.policy(providers: isBounded ? [Policy.any] : []))
    case (nil, let team?, nil): change = .team(team, try document.policy.policy(providers: [Policy.any]))
    case (nil, nil, let name?): change = .shared(name, try document.policy.policy(providers: [Policy.any]))
    default: throw Fault(.invalidInput, "a policy is of one key, one team, or is one that keys share", hint: "name one of them")
    }
    await flushActivity()
    return try encode(ReplayedPolicyDocument(try await service.replay(change, days: document.days ?? Self.daysUsual)))
  }
}

/// What a key has used of what it may, and the smallest policy that would have been enough.
public struct AdviceDocument: Codable, Sendable {
  public var key: String
  public var days: Int
  /// Requests that were not refused.
  public var requests: Int
  public var providers_used: [String]
  public var providers_allowed: Int
  public var endpoints_used: [String]
  public var endpoints_allowed: Int
  public var models_used: [String]
  /// Of the models that have a known price.
  public var models_allowed: Int
  public var networks_used: [String]
  /// The key's own policy, narrowed; absent where the key was not used.
  public var policy: PolicyDocument?
  public var replay: ReplayedPolicyDocument

  init(_ advice: Advice) {
    (key, days, requests) = (advice.key.description, advice.days, advice.requests)
    (providers_used, providers_allowed) = (advice.providers.used, advice.providers.allowed)
    (endpoints_used, endpoints_allowed) = (advice.endpoints.used, advice.endpoints.allowed)
    (models_used, models_allowed, networks_used) = (advice.models.used, advice.models.allowed, advice.networks)
    (policy, replay) = (advice.proposal.map { PolicyDocument($0) }, ReplayedPolicyDocument(advice.replay))
  }
}

/// A policy that is to be: of a key, of a team, or one that keys share.
public struct PolicyReplayDocument: Codable, Sendable {
  public var key: String?
  public var team: String?
  public var shared_policy: String?
  public var policy: PolicyDocument
  /// How far back: 30 days where nothing is said.
  public var days: Int?
  public init(policy: PolicyDocument) { self.policy = policy }
}

/// What a policy would have said of the requests that were not refused.
public struct ReplayedPolicyDocument: Codable, Sendable {
  public var requests: Int
  public var would_refuse: Int
  /// By code.
  public var refusals: [String: Int]
  /// The twenty keys with the most of them.
  public var keys: [String: Int]
  /// Answers that were longer than `output_tokens_max`, and would have been shorter.
  public var would_shorten: Int
  /// What of the policy the record says too little for.
  public var not_judged: [String]

  init(_ replay: PolicyReplay) {
    (requests, would_refuse, not_judged) = (replay.requests, replay.refused, replay.notJudged)
    would_shorten = replay.shortened
    refusals = Dictionary(uniqueKeysWithValues: replay.byRefusal.map { ("\($0.key.code)", $0.value) })
    let most = replay.byKey.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(20)
    keys = Dictionary(uniqueKeysWithValues: most.map { ($0.key.description, $0.value) })
  }
}
