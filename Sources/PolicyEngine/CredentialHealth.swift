public import Primitives
import Synchronization

/// What the provider has said of one of its keys. Shared by all loops, without a lock; outlives snapshots.
///
/// One request alone never takes a key out of use: where the provider's words blame the key, that is a suspicion (`suspected`), and only
/// a look of ours at the provider (or, where it has nothing cheap to look at, its words about the key) makes it a refusal (`refused`).
public final class CredentialHealth: Sendable {
  public enum State: String, Sendable {
    case usable
    /// Refused by the provider: not used while there is another, and tried now and then when there is none.
    case quarantined
    /// Too often used: rests until a moment.
    case cooling
  }

  private let isQuarantined = Atomic<Bool>(false)
  /// Of the monotonic clock, in nanoseconds.
  private let coolUntil = Atomic<UInt64>(0)
  /// When a suspicion may be looked into next.
  private let suspectAt = Atomic<UInt64>(0)
  /// When a quarantined key may be tried next.
  private let probeAt = Atomic<UInt64>(0)

  /// Requests that have chosen it and are not over, on all loops.
  private let inFlight = Atomic<Int>(0)
  /// When the last of them that is over had begun, in milliseconds since 1970; 0: none was.
  private let lastUse = Atomic<Int64>(0)

  /// A provider that refuses everybody for a moment must not end in an outage that lasts until somebody wakes up.
  static let probeEvery: UInt64 = 30_000_000_000
  /// Nanoseconds between two looks at a key that is suspected: what one user brings about costs the provider two calls a minute.
  static let suspectEvery: UInt64 = 30_000_000_000
  /// Milliseconds after which the provider is asked again, however long it says.
  static let coolMax: Milliseconds = 300_000

  public init() {}

  public func state(now: UInt64) -> State {
    if isQuarantined.load(ordering: .relaxed) { return .quarantined }
    return now < coolUntil.load(ordering: .relaxed) ? .cooling : .usable
  }

  /// Seconds, rounded up, for which it still rests; nil when it does not.
  public func coolSeconds(now: UInt64) -> Int? {
    let until = coolUntil.load(ordering: .relaxed)
    return now < until ? Int((until - now + 999_999_999) / 1_000_000_000) : nil
  }

  var readyAt: UInt64 { coolUntil.load(ordering: .relaxed) }

  /// A provider's answer to somebody's request says that the key is bad. True for one caller a while, who finds out if that is so.
  public func suspected(now: UInt64) -> Bool {
    guard !isQuarantined.load(ordering: .relaxed) else { return false }
    let at = suspectAt.load(ordering: .relaxed)
    return now >= at && suspectAt.compareExchange(expected: at, desired: now + Self.suspectEvery, ordering: .relaxed).exchanged
  }

  /// The provider refuses the key itself. Returns whether that is news.
  public func refused(now: UInt64) -> Bool {
    probeAt.store(now + Self.probeEvery, ordering: .relaxed)
    return !isQuarantined.exchange(true, ordering: .relaxed)
  }

  /// Whether the key, quarantined, may carry this one request; true for one caller a while.
  func mayProbe(now: UInt64) -> Bool {
    let at = probeAt.load(ordering: .relaxed)
    return now >= at && probeAt.compareExchange(expected: at, desired: now + Self.probeEvery, ordering: .relaxed).exchanged
  }

  /// The provider has answered: the key is good.
  public func answered() {
    if isQuarantined.load(ordering: .relaxed) { isQuarantined.store(false, ordering: .relaxed) }
  }

  /// The provider has had too many requests, and says for how long; 1 ms to `coolMax` of it count.
  public func limited(for wait: Milliseconds, now: UInt64) {
    coolUntil.store(now &+ min(max(wait, Milliseconds(1)), Self.coolMax).nanoseconds, ordering: .relaxed)
  }

  /// A request has chosen the key.
  public func began() { inFlight.wrappingAdd(1, ordering: .relaxed) }

  /// A request that had chosen it is over, or has chosen another; `usedAt` where the provider was sent something with it.
  public func ended(usedAt: Timestamp?) {
    if let usedAt { lastUse.store(usedAt.milliseconds, ordering: .relaxed) }
    inFlight.wrappingSubtract(1, ordering: .releasing)
  }

  public var requestsInFlight: Int { inFlight.load(ordering: .acquiring) }
  public var lastUsedAt: Timestamp? {
    let at = lastUse.load(ordering: .relaxed)
    return at == 0 ? nil : Timestamp(milliseconds: at)
  }

  /// Somebody has looked into it.
  public func release() {
    isQuarantined.store(false, ordering: .relaxed)
    coolUntil.store(0, ordering: .relaxed)
    suspectAt.store(0, ordering: .relaxed)
  }
}
