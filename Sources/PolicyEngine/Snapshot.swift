public import Cryptography
public import Domain
public import Primitives

/// The immutable state that a request is decided on. A change makes a new one; nobody ever sees half of it.
public final class Snapshot: Sendable {
  public let isSealed: Bool
  /// Counts the snapshots of this process.
  public let generation: UInt64
  let keys: KeyTable
  let policies: [CompiledPolicy]
  let peppers: [Pepper]
  public let upstreams: [Upstream]
  /// By the key's position; empty when no key has limits.
  let meters: [KeyMeters?]

  private init(
    isSealed: Bool, generation: UInt64, keys: KeyTable, policies: [CompiledPolicy], peppers: [Pepper], upstreams: [Upstream]
  ) {
    self.isSealed = isSealed
    self.generation = generation
    self.keys = keys
    self.policies = policies
    self.peppers = peppers
    self.upstreams = upstreams
    meters = []
  }

  /// While the vault is sealed nothing is known and nothing passes.
  public static func sealed(generation: UInt64) -> Snapshot {
    Snapshot(isSealed: true, generation: generation, keys: KeyTable([]), policies: [], peppers: [], upstreams: [])
  }

  /// Keys whose pepper is unknown cannot be checked and are left out.
  public init(
    generation: UInt64, keys: [MaskedKey], peppers: [Pepper], upstreams: [Upstream], meters known: [RecordID: KeyMeters] = [:]
  ) {
    precondition(!peppers.isEmpty)
    isSealed = false
    self.generation = generation
    self.peppers = peppers
    self.upstreams = upstreams
    var policies: [CompiledPolicy] = []
    var compiled: [Policy: UInt32] = [:]
    var meters: [KeyMeters?] = []
    var entries: [KeyEntry] = []
    entries.reserveCapacity(keys.count)
    for key in keys {
      guard let pepper = peppers.firstIndex(where: { $0.version == key.pepperVersion }), let hash = Digest256(key.hash.span)
      else { continue }
      let policy: UInt32
      if let index = compiled[key.policy] {
        policy = index
      } else {
        policy = UInt32(policies.count)
        compiled[key.policy] = policy
        policies.append(CompiledPolicy(key.policy, upstreams))
      }
      entries.append(
        KeyEntry(
          id: key.id, hash: hash, expiresAt: key.expiresAt?.milliseconds ?? .max, state: key.state, pepper: UInt16(pepper),
          policy: policy))
      if !known.isEmpty { meters.append(known[key.id]) }
    }
    self.meters = meters
    self.policies = policies
    self.keys = KeyTable(entries)
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
