public import Primitives
import Synchronization

/// Randomness that is the same in every run (SplitMix64): for tests only.
public final class SeededRandomness: Randomness, RandomNumberGenerator, Sendable {
  private let state: Mutex<UInt64>
  public init(seed: UInt64) { state = Mutex(seed) }

  public func next() -> UInt64 {
    state.withLock { s in
      s &+= 0x9E37_79B9_7F4A_7C15
      var z = s
      z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
      return z ^ z >> 31
    }
  }

  public func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}

/// A clock that moves by hand.
public final class ManualClock: WallClock, Sendable {
  private let time: Mutex<Timestamp>
  public init(_ start: Timestamp = Timestamp(milliseconds: 1_800_000_000_000)) { time = Mutex(start) }
  public var now: Timestamp { time.withLock { $0 } }
  public func advance(seconds: Int64) { time.withLock { $0 = $0 + seconds } }
}
