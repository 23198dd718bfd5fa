/// Base62 in the order 0-9, A-Z, a-z; numbers are big-endian and of fixed width.
public enum Base62 {
  public static let alphabet: InlineArray<62, UInt8> = {
    var digits = InlineArray<62, UInt8>(repeating: 0)
    for i in 0..<10 { digits[i] = 48 + UInt8(i) }
    for i in 0..<26 {
      digits[10 + i] = 65 + UInt8(i)
      digits[36 + i] = 97 + UInt8(i)
    }
    return digits
  }()

  /// The value 0...61 of a digit; nil for any other byte.
  @inlinable public static func value(_ b: UInt8) -> UInt8? {
    if b &- 48 < 10 { return b &- 48 }
    if b &- 65 < 26 { return b &- 55 }
    if b &- 97 < 26 { return b &- 61 }
    return nil
  }

  @inlinable public static func isDigit(_ b: UInt8) -> Bool { value(b) != nil }

  /// `bytes` as a big-endian number in exactly `width` digits; the number must fit.
  public static func encode(_ bytes: [UInt8], width: Int) -> [UInt8] {
    var number = bytes
    var out = [UInt8](repeating: 48, count: width)
    for position in stride(from: width - 1, through: 0, by: -1) {
      var remainder = 0
      for i in number.indices {
        let value = remainder << 8 | Int(number[i])
        number[i] = UInt8(value / 62)
        remainder = value % 62
      }
      out[position] = alphabet[remainder]
    }
    precondition(number.allSatisfy { $0 == 0 }, "the number does not fit the width")
    return out
  }

  /// A 32-bit number in exactly six digits.
  @inlinable public static func encode(_ value: UInt32) -> InlineArray<6, UInt8> {
    var rest = value
    var out = InlineArray<6, UInt8>(repeating: 48)
    for i in 0..<6 {
      let digit = UInt8(truncatingIfNeeded: rest % 62)
      out[5 - i] = digit < 10 ? 48 + digit : digit < 36 ? 55 + digit : 61 + digit
      rest /= 62
    }
    return out
  }
}
