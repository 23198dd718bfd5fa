/// The public half of a masked key, and the name of every other record: 12 base62 characters, 71 random bits.
///
/// Never authority by itself.
public struct RecordID: Hashable, Sendable, Comparable, CustomStringConvertible {
  public static let length = 12
  /// The first eight characters, then the last four, as big-endian numbers.
  public let high: UInt64
  public let low: UInt32

  @inlinable public init(high: UInt64, low: UInt32) {
    self.high = high
    self.low = low
  }

  /// Reads exactly 12 base62 characters; nil otherwise.
  @inlinable public init?(_ bytes: Span<UInt8>) {
    guard bytes.count == Self.length else { return nil }
    var high: UInt64 = 0
    var low: UInt32 = 0
    for i in 0..<8 {
      guard Base62.isDigit(bytes[i]) else { return nil }
      high = high << 8 | UInt64(bytes[i])
    }
    for i in 8..<12 {
      guard Base62.isDigit(bytes[i]) else { return nil }
      low = low << 8 | UInt32(bytes[i])
    }
    self.init(high: high, low: low)
  }

  public init?(_ text: String) {
    let utf8 = Array(text.utf8)
    self.init(utf8.span)
  }

  /// A new ID: the top 71 of 72 random bits.
  public static func random(_ randomness: any Randomness) -> RecordID {
    var bytes = randomness.bytes(9)
    bytes[0] &= 0x7F
    return RecordID(Base62.encode(bytes, width: length).span)!
  }

  public var bytes: [UInt8] {
    let first = (0..<8).map { UInt8(truncatingIfNeeded: high >> UInt64(56 - 8 * $0)) }
    let last = (0..<4).map { UInt8(truncatingIfNeeded: low >> UInt32(24 - 8 * $0)) }
    return first + last
  }

  public var description: String { String(decoding: bytes, as: UTF8.self) }

  @inlinable public static func < (a: Self, b: Self) -> Bool { a.high != b.high ? a.high < b.high : a.low < b.low }
}
