import Audit
public import Domain
public import PolicyEngine
public import Primitives
import Providers
import Storage

/// What a key has used of what it may, and the smallest policy that would have been enough.
public struct Advice: Sendable {
  public let key: RecordID
  public let days: Int
  /// Requests that were not refused.
  public let requests: Int
  public let providers: Part
  public let endpoints: Part
  public let models: Part
  /// Networks that it was used from.
  public let networks: [String]
  /// The key's own policy, narrowed; nil where the key was not used.
  public let proposal: Policy?
  /// What the proposal would have said of the same requests.
  public let replay: PolicyReplay

  /// What was used of what there is, by name.
  public struct Part: Sendable {
    public let used: [String]
    public let allowed: Int
  }
}

/// What policies would have said of the requests of some days.
public struct PolicyReplay: Sendable {
  /// Requests that were not refused then.
  public internal(set) var requests = 0
  public internal(set) var refused = 0
  public internal(set) var byRefusal: [Refusal: Int] = [:]
  /// Refused requests by key.
  public internal(set) var byKey: [RecordID: Int] = [:]
  /// Answers that were longer than `output_tokens_max`, and would have been shorter.
  public internal(set) var shortened = 0
  /// Parts of a policy that the record says too little for, and that the replayed one has.
  public internal(set) var notJudged: [String] = []
  public init() {}

  fileprivate mutating func note(_ refusal: Refusal, _ key: RecordID) {
    refused += 1
    byRefusal[refusal, default: 0] += 1
    byKey[key, default: 0] += 1
  }

  /// Has the `count` that began first of those that wait judged by their limits.
  fileprivate mutating func judge(
    _ line: inout [(key: RecordID, request: PastLimits.Request)], _ count: Int, _ limits: [RecordID: PastLimits]
  ) {
    line.sort { $0.request.start < $1.request.start }
    for (key, request) in line.prefix(count) {
      if let refusal = limits[key]?.refusal(request) { note(refusal, key) }
    }
    line.removeFirst(count)
  }
}

extension PastLimits.Request {
  fileprivate init(_ record: ActivityRecord, model: [UInt8]) {
    self.init(
      start: record.start, microseconds: Microseconds(clamping: record.durationMicroseconds),
      inputTokens: record.usage.input ?? 0,
      outputTokens: record.usage.output ?? 0, model: model)
  }
}

extension Policy {
  fileprivate func limitsAsMuch(as other: Policy) -> Bool { limits == other.limits && modelLimits == other.modelLimits }
}

extension Grant {
  fileprivate var withoutTeam: Grant {
    var grant = self
    grant.team = nil
    return grant
  }
}

/// A policy that is to be, and of what.
public enum PolicyChange: Sendable {
  case key(RecordID, Policy)
  case team(String, Policy)
  case shared(String, Policy)
}

/// What a key's requests were, as far as policies ask.
private struct Habits {
  var requests = 0
  var providers: Set<String> = []
  var endpoints: Set<EndpointClass> = []
  var hasUnknownEndpoint = false
  var models: Set<String> = []
  var addresses: Set<NetworkAddress> = []
  var hasUnknownAddress = false
  static let most = 2000

  mutating func take(_ record: ActivityRecord, _ provider: String, _ model: ArraySlice<UInt8>) {
    requests += 1
    providers.insert(provider)
    if let endpoint = record.endpoint { endpoints.insert(endpoint) } else { hasUnknownEndpoint = true }
    if !model.isEmpty, models.count < Self.most { models.insert(String(decoding: model, as: UTF8.self)) }
    if let address = record.address {
      if addresses.count < Self.most { addresses.insert(address) }
    } else {
      hasUnknownAddress = true
    }
  }

  /// Single addresses while there are few, then their neighbourhoods; nil where they are too many to name.
  var networks: [String]? {
    guard !hasUnknownAddress, !addresses.isEmpty, addresses.count < Self.most else { return nil }
    if addresses.count <= 8 { return addresses.map(\.description).sorted() }
    let places = Set(addresses.map { "\($0.neighbourhood)/\($0.isV4 ? 24 : 48)" })
    return places.count <= Policy.entriesMax ? places.sorted() : nil
  }
}

// Least privilege, from what was seen.
extension KeyService {
  public static let adviceDaysMax = 366

  /// Looks at the requests of the last `days` days. Goes through the record in pieces, while everything goes on.
  public func advise(on id: RecordID, days: Int) async throws(Fault) -> Advice {
    let key = try key(id)
    var habits = Habits()
    try await forEachPast(days) { record, provider, model, bytes in
      if record.key == id { habits.take(record, provider, bytes[model]) }
    }
    let before = policies(of: key.grant)
    let verdicts = PastVerdicts(before, upstreams())
    let proposal = habits.requests == 0 ? nil : proposal(key.policy, habits)
    let replay = if let proposal { try await replay(.key(id, proposal), days: days) } else { PolicyReplay() }
    return Advice(
      key: id, days: days, requests: habits.requests,
      providers: Advice.Part(
        used: habits.providers.sorted(),
        allowed: heldProviders().count { provider in
          before.allSatisfy { $0.providers.contains(Policy.any) || $0.providers.contains(provider.name) }
        }),
      endpoints: Advice.Part(
        used: habits.endpoints.map { "\($0.name)" }.sorted(),
        allowed: EndpointClass.allCases.count { kind in
          before.allSatisfy { $0.endpoints.contains(Policy.any) || $0.endpoints.contains("\(kind.name)") }
        }),
      models: Advice.Part(used: habits.models.sorted(), allowed: knownModels(verdicts)), networks: habits.networks ?? [],
      proposal: proposal, replay: replay)
  }

  /// What a policy that is to be would have said of the requests of the last `days` days that were not refused.
  public func replay(_ change: PolicyChange, days: Int) async throws(Fault) -> PolicyReplay {
    let since = try start(ofLast: days)
    let (keys, policy) = try affected(change)
    var verdicts: [Grant: PastVerdicts] = [:]
    var byKey: [RecordID: PastVerdicts] = [:]
    let upstreams = upstreams()
    for key in keys {
      let known = verdicts[key.grant] ?? PastVerdicts(policies(of: key.grant, after: change), upstreams)
      verdicts[key.grant] = known
      byKey[key.id] = known
    }
    var replay = PolicyReplay()
    if policy.paths != [Policy.any] { replay.notJudged.append("paths") }
    let limits = limits(of: keys, after: change, since)
    // Refused by its scopes, a request counts against no limit.
    var line: [(key: RecordID, request: PastLimits.Request)] = []
    try await forEachPast(days) { record, provider, model, bytes in
      guard let id = record.key, let verdict = byKey[id] else { return }
      replay.requests += 1
      let refusal = verdict.refusal(
        provider: provider, model: bytes.span.extracting(model), endpoint: record.endpoint, from: record.address,
        at: record.start, bodyBytes: record.bytesIn)
      if let refusal { return replay.note(refusal, id) }
      if let most = verdict.outputTokensMax, record.usage.output ?? 0 > TokenCount(most) { replay.shortened += 1 }
      guard !limits.isEmpty else { return }
      line.append((id, PastLimits.Request(record, model: Array(bytes[model]))))
      if line.count >= 2 * Self.outOfOrderMax { replay.judge(&line, Self.outOfOrderMax, limits) }
    }
    replay.judge(&line, line.count, limits)
    return replay
  }

  /// So many requests, at least, may have ended before one that began earlier.
  private static let outOfOrderMax = 10_000

  /// The limits that a change changes, each once for what is counted together, by key. Those that stay have let pass what passed.
  private func limits(of keys: [MaskedKey], after change: PolicyChange, _ since: Timestamp) -> [RecordID: PastLimits] {
    if case .team(let name, let policy) = change {
      guard !policy.limitsAsMuch(as: teams[name] ?? policy), let together = PastLimits([policy], since: since) else { return [:] }
      return Dictionary(uniqueKeysWithValues: keys.map { ($0.id, together) })
    }
    var limits: [RecordID: PastLimits] = [:]
    for key in keys {
      let own = policies(of: key.grant.withoutTeam, after: change)
      let before = policies(of: key.grant.withoutTeam)
      guard zip(own, before).contains(where: { !$0.limitsAsMuch(as: $1) }) else { continue }
      limits[key.id] = PastLimits(own, since: since)
    }
    return limits
  }

  // MARK: parts

  private func policies(of grant: Grant, after change: PolicyChange? = nil) -> [Policy] {
    var (own, shared, team) = (grant.policy, grant.sharedPolicy.flatMap { sharedPolicies[$0] }, grant.team.flatMap { teams[$0] })
    switch change {
    case .key(_, let policy): own = policy
    case .team(_, let policy): team = policy
    case .shared(_, let policy): shared = policy
    case nil: break
    }
    return [own] + [shared, team].compactMap { $0 }
  }

  private func affected(_ change: PolicyChange) throws(Fault) -> (keys: [MaskedKey], policy: Policy) {
    switch change {
    case .key(let id, let policy):
      try check(policy)
      return ([try key(id)], policy)
    case .team(let name, let policy):
      try check(policy)
      guard teams[name] != nil else {
        throw Fault(.notFound, "there is no team '\(name.prefix(64))'", hint: "see 'maskllm team list'")
      }
      return (keys.values.filter { $0.team == name }, policy)
    case .shared(let name, let policy):
      try check(policy)
      guard sharedPolicies[name] != nil else {
        throw Fault(.notFound, "there is no policy '\(name.prefix(64))'", hint: "see 'maskllm policy list'")
      }
      return (keys.values.filter { $0.grant.sharedPolicy == name }, policy)
    }
  }

  /// Those that there are keys of.
  private func heldProviders() -> [Provider] {
    let held = Set(providerKeys.map(\.provider))
    return providers().filter { held.contains($0.name) }
  }

  /// Models that somebody knows a price of and that may be named.
  private func knownModels(_ verdicts: PastVerdicts) -> Int {
    let lists = Dictionary(heldProviders().map { ($0.priceList, $0.name) }) { first, _ in first }
    return PriceList.shippedEntries.count { entry in
      guard let provider = lists[entry.list] else { return false }
      let model = Array(entry.model.utf8)
      let refusal = verdicts.refusal(
        provider: provider, model: model.span, endpoint: .chat, from: nil, at: clock.now, bodyBytes: 0)
      return refusal != .modelNotAllowed && refusal != .providerNotAllowed
    }
  }

  /// Lists that are too long to be written down stay as they are.
  private func proposal(_ policy: Policy, _ habits: Habits) -> Policy {
    var narrow = policy
    narrow.providers = habits.providers.sorted()
    if !habits.hasUnknownEndpoint { narrow.endpoints = habits.endpoints.map { "\($0.name)" }.sorted() }
    let models = habits.models.filter { (try? ModelGlob.validate($0)) != nil && !$0.contains("*") && !$0.contains("?") }
    // Endpoints without a model name none; a key that never named one keeps what it has.
    if !models.isEmpty, models.count == habits.models.count, models.count <= Policy.entriesMax { narrow.models = models.sorted() }
    if let networks = habits.networks { narrow.networks = networks }
    return narrow
  }

  /// Moment so many days ago: the only place where days from outside are counted with. Throws where they are none from 1 to
  /// `adviceDaysMax`.
  private func start(ofLast days: Int) throws(Fault) -> Timestamp {
    guard (1...Self.adviceDaysMax).contains(days) else {
      throw Fault(.invalidInput, "the days are no number from 1 to \(Self.adviceDaysMax)")
    }
    return Timestamp(milliseconds: clock.now.milliseconds - Int64(days) * 86_400_000)
  }

  /// The requests of the last `days` days that were not refused.
  private func forEachPast(
    _ days: Int, _ body: (ActivityRecord, _ provider: String, _ model: Range<Int>, _ bytes: [UInt8]) -> Void
  ) async throws(Fault) {
    _ = try requireVault()
    let from = try start(ofLast: days)
    try await forEachSegment(from: from) { segment in
      let bytes = segment.records
      var names: [ArraySlice<UInt8>: String] = [:]
      ActivityEncoding.forEach(in: bytes) { record, provider, model, _ in
        guard record.outcome != .refused, record.start >= from else { return }
        let name = names[bytes[provider]] ?? String(decoding: bytes[provider], as: UTF8.self)
        names[bytes[provider]] = name
        body(record, name, model, bytes)
      }
    }
  }
}
