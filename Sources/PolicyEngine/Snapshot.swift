public import Cryptography
public import Domain
import Primitives
public import Providers

/// The immutable state that a request is decided on. A change makes a new one; nobody ever sees half of it.
public final class Snapshot: Sendable {
  public let isSealed: Bool
  /// Counts the snapshots of this process.
  public let generation: UInt64
  let keys: KeyTable
  /// Of all keys, those of one key side by side.
  let earlierSecrets: [EarlierSecret]
  let policies: [CompiledPolicy]
  let peppers: [Pepper]
  public let upstreams: [Upstream]
  /// By the key's position; empty when no key has any.
  let allowances: [Allowance?]
  let teamAllowances: [Allowance?]
  let everyone: Allowance?
  public let prices: PriceList
  /// The price lists of each upstream: its own, then the one of its kind.
  let priceLists: [(own: UInt16?, shared: UInt16?)]

  private init(
    isSealed: Bool, generation: UInt64, keys: KeyTable, policies: [CompiledPolicy], peppers: [Pepper], upstreams: [Upstream]
  ) {
    self.isSealed = isSealed
    self.generation = generation
    self.keys = keys
    earlierSecrets = []
    self.policies = policies
    self.peppers = peppers
    self.upstreams = upstreams
    (allowances, teamAllowances, everyone, priceLists) = ([], [], nil, [])
    prices = PriceList(shipped: [])
  }

  /// While the vault is sealed nothing is known and nothing passes.
  public static func sealed(generation: UInt64) -> Snapshot {
    Snapshot(isSealed: true, generation: generation, keys: KeyTable([]), policies: [], peppers: [], upstreams: [])
  }

  /// Keys whose pepper is unknown cannot be checked and are left out.
  public init(
    generation: UInt64, keys: [MaskedKey], peppers: [Pepper], upstreams: [Upstream], rulebook: Rulebook = Rulebook()
  ) {
    precondition(!peppers.isEmpty)
    isSealed = false
    self.generation = generation
    self.peppers = peppers
    self.upstreams = upstreams
    var policies: [CompiledPolicy] = []
    var compiled: [Grant: UInt32] = [:]
    // Most keys have one of a few grants, read from one document each, so that comparing them is comparing references.
    var recent: [(grant: Grant, policy: UInt32)] = []
    var allowances: [Allowance?] = []
    let teams = rulebook.teamAllowances.keys.sorted()
    let teamNumbers = Dictionary(uniqueKeysWithValues: teams.enumerated().map { ($0.element, UInt32($0.offset)) })
    var entries: [KeyEntry] = []
    var earlier: [EarlierSecret] = []
    entries.reserveCapacity(keys.count)
    for key in keys {
      guard let pepper = peppers.firstIndex(where: { $0.version == key.pepperVersion }), let hash = Digest256(key.hash.span)
      else { continue }
      let policy: UInt32
      let grant = key.grant
      if let known = recent.first(where: { $0.grant == grant }) {
        policy = known.policy
      } else if let index = compiled[grant] {
        policy = index
      } else {
        policy = UInt32(policies.count)
        compiled[grant] = policy
        policies.append(CompiledPolicy(rulebook.policies(of: grant), upstreams))
        if recent.count < 4 { recent.append((grant, policy)) }
      }
      let details = key.details
      let first = UInt32(earlier.count)
      for old in details.older {
        guard let pepper = peppers.firstIndex(where: { $0.version == old.pepperVersion }), let hash = Digest256(old.hash.span)
        else { continue }
        earlier.append(
          EarlierSecret(hash: hash, pepper: UInt16(pepper), version: old.number, validUntil: old.validUntil ?? .max))
      }
      entries.append(
        KeyEntry(
          id: key.id, hash: hash, expiresAt: key.expiresAt?.milliseconds ?? .max, state: key.state, version: details.version,
          isDecoy: details.isDecoy, capturesUntil: details.captureUntil ?? 0, earlier: first..<UInt32(earlier.count),
          pepper: UInt16(pepper), policy: policy,
          team: grant.team.flatMap { teamNumbers[$0] } ?? .max))
      if !rulebook.allowances.isEmpty { allowances.append(rulebook.allowances[key.id]) }
    }
    self.allowances = allowances
    teamAllowances = teams.map { rulebook.teamAllowances[$0] }
    everyone = rulebook.everyone
    let prices = rulebook.prices
    self.prices = prices
    priceLists = upstreams.map { upstream in
      let own = prices.list(named: upstream.provider.name)
      let shared = upstream.provider.priceList.flatMap { prices.list(named: $0) }
      return (own, shared)
    }
    self.policies = policies
    self.keys = KeyTable(entries)
    earlierSecrets = earlier
  }

  /// The upstream that a path segment names, compared byte for byte.
  public func upstream(named name: Span<UInt8>) -> Upstream? {
    for upstream in upstreams {
      let candidate = upstream.name
      if name.equals(candidate.span) { return upstream }
    }
    return nil
  }
}
