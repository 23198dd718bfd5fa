import Primitives

/// Eight bytes looked at in one register: what long runs of ordinary characters are skipped with.
///
/// The tests are the classic ones on words (Warren, Hacker's Delight, section 6-1). A byte above a hit may be reported falsely;
/// the lowest hit, which is the first byte, is always true.
@usableFromInline
enum EightBytes {
  private static let ones: UInt64 = 0x0101_0101_0101_0101
  private static let tops: UInt64 = 0x8080_8080_8080_8080

  @inline(__always)
  private static func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word }

  /// Quote, backslash, control character, or not ASCII: what ends a plain run inside a JSON string.
  @inline(__always)
  static func stringSpecials(_ word: UInt64) -> UInt64 {
    (zeros(word ^ ones &* 0x22) | zeros(word ^ ones &* 0x5C) | (word &- ones &* 0x20) & ~word | word) & tops
  }

  /// Quote or backslash: what a string that does not matter can end with.
  @inline(__always)
  static func quotes(_ word: UInt64) -> UInt64 { (zeros(word ^ ones &* 0x22) | zeros(word ^ ones &* 0x5C)) & tops }

  /// Control character, DEL, or not ASCII: what ends a plain run inside a field value.
  @inline(__always)
  static func fieldSpecials(_ word: UInt64) -> UInt64 {
    (zeros(word ^ ones &* 0x7F) | (word &- ones &* 0x20) & ~word | word) & tops
  }

  /// The first position at or after `from` of a byte that `specials` marks, or the count.
  @inline(__always)
  static func run(_ bytes: Span<UInt8>, from: Int, _ specials: (UInt64) -> UInt64) -> Int {
    var i = from
    while i + 8 <= bytes.count {
      let word = unsafe UInt64(littleEndian: bytes.bytes.unsafeLoadUnaligned(fromByteOffset: i, as: UInt64.self))
      let hits = specials(word)
      if hits != 0 { return i + hits.trailingZeroBitCount >> 3 }
      i += 8
    }
    while i < bytes.count, specials(UInt64(bytes[i]) | ones &* 0x41 << 8) == 0 { i += 1 }
    return i
  }
}
