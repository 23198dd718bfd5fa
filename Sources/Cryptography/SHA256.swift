import CCrypto
import Primitives

/// SHA-256 (FIPS 180-4).
public enum SHA256 {
  public static func digest(_ bytes: Span<UInt8>) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 32)
    unsafe bytes.withUnsafeBufferPointer { input in
      var nothing: UInt8 = 0
      _ = unsafe out.withUnsafeMutableBufferPointer {
        unsafe CCrypto.SHA256(input.baseAddress ?? withUnsafePointer(to: &nothing) { unsafe $0 }, input.count, $0.baseAddress!)
      }
    }
    return out
  }
}

/// A 256-bit digest as four big-endian words: compared and stored without an allocation.
public struct Digest256: Equatable, Sendable {
  public var words: (UInt64, UInt64, UInt64, UInt64)

  @inlinable public init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

  /// Reads 32 bytes; nil for any other length.
  public init?(_ bytes: Span<UInt8>) {
    guard bytes.count == 32 else { return nil }
    func word(_ at: Int) -> UInt64 { (0..<8).reduce(0) { $0 << 8 | UInt64(bytes[at + $1]) } }
    words = (word(0), word(8), word(16), word(24))
  }

  public var bytes: [UInt8] {
    [words.0, words.1, words.2, words.3].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
    }
  }

  /// Constant-time: every word is looked at, with no branch between.
  @inlinable public static func == (a: Self, b: Self) -> Bool {
    ((a.words.0 ^ b.words.0) | (a.words.1 ^ b.words.1) | (a.words.2 ^ b.words.2) | (a.words.3 ^ b.words.3)) == 0
  }
}
