public import Cryptography
public import Providers
import Synchronization

/// The token that a provider key was last exchanged for. Shared by all loops.
///
/// The lock is held for reading or replacing one reference; only requests to providers that want tokens take it.
public final class AccessToken: Sendable {
  public let grant: TokenGrant

  /// One token, as the header line that presents it.
  public final class Value: Sendable {
    public let line: SecretBytes
    /// Of the monotonic clock, in nanoseconds.
    let from: UInt64
    let until: UInt64
    /// When the next one is to be got.
    var early: UInt64 { until - min((until - from) / 5, AccessToken.earlyMax) }

    /// Lends the token without what stands around it in the line: `Authorization: Bearer TOKEN\r\n`.
    func withToken(_ use: (Span<UInt8>) -> Void) {
      let start = ("Authorization: Bearer " as StaticString).utf8CodeUnitCount
      if start < line.count - 2 { line.withBytes(start..<(line.count - 2), use) }
    }

    init(line: consuming SecretBytes, from: UInt64, until: UInt64) {
      self.line = line
      (self.from, self.until) = (from, until)
    }
  }

  public enum Need: Equatable, Sendable {
    case none
    /// Good still, but a new one is to be got beside the requests that use it.
    case soon
    case now
    /// The last attempt failed a moment ago.
    case later
  }

  private struct State {
    var value: Value?
    var isAsked = false
    var retryAt: UInt64 = 0
  }
  private let state = Mutex(State())

  /// A request takes a moment to arrive: a token is not used for its last seconds, or its last tenth.
  static let margin: UInt64 = 10_000_000_000
  /// A new one is got before the last fifth of its life, and no sooner than five minutes before its end.
  static let earlyMax: UInt64 = 300_000_000_000
  static let retryAfter: UInt64 = 1_000_000_000

  init(_ grant: TokenGrant) { self.grant = grant }

  /// The token to use, if there is one that is good for a while, and whether another is to be got. Of many that ask, one is told
  /// `.soon`.
  public func current(now: UInt64) -> (value: Value?, need: Need) {
    state.withLock { state in
      let value = state.value.flatMap { $0.until > now ? $0 : nil }
      guard let value else { return (nil, now < state.retryAt ? .later : .now) }
      guard value.early <= now, !state.isAsked, now >= state.retryAt else { return (value, .none) }
      state.isAsked = true
      return (value, .soon)
    }
  }

  /// Whether there is nothing to be got now: true when the token at hand is new, false when the last attempt failed a moment ago, nil
  /// when another is to be got.
  public func settled(now: UInt64) -> Bool? {
    state.withLock { state in
      if now < state.retryAt { return false }
      return state.value.flatMap { now < $0.early ? true : nil }
    }
  }

  public func replace(_ token: borrowing TokenGrant.Token, now: UInt64) {
    let life = UInt64(min(token.seconds, 86_400)) * 1_000_000_000
    let value = Value(line: token.line.copy(), from: now, until: now + life - min(Self.margin, life / 10))
    state.withLock { $0 = State(value: value) }
  }

  /// No new one could be got: for a moment nobody tries again.
  public func failed(now: UInt64) {
    state.withLock {
      $0.isAsked = false
      $0.retryAt = now + Self.retryAfter
    }
  }

  /// The provider has refused `value`, before its time. Returns whether another is worth a try: not where this one was made a moment ago.
  public func drop(_ value: Value, now: UInt64) -> Bool {
    state.withLock { if $0.value === value { $0.value = nil } }
    return now - value.from > Self.retryAfter
  }
}
