/// Where random bytes come from: the kernel, or a test's seed.
public protocol Randomness: Sendable {
  /// `count` random bytes.
  func bytes(_ count: Int) -> [UInt8]
}

/// The kernel's generator. Aborts when the kernel has none: there is nothing safe to do without.
public struct SystemRandomness: Randomness {
  public init() {}
  public func bytes(_ count: Int) -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
  }
}
