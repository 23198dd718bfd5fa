/// Character classes of RFC 9110 and 9112 as bit sets, two words each.
@usableFromInline enum Characters {
  /// `tchar` of RFC 9110 section 5.6.2.
  @inlinable static func isToken(_ b: UInt8) -> Bool {
    let low: UInt64 = 0x03FF_6CFA_0000_0000  // ! # $ % & ' * + - . 0-9
    let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE  // A-Z ^ _ ` a-z | ~
    guard b < 128 else { return false }
    return (b < 64 ? low >> UInt64(b) : high >> UInt64(b & 63)) & 1 == 1
  }

  /// What a field value may hold: visible ASCII, space, tab, and obs-text.
  @inlinable static func isFieldValue(_ b: UInt8) -> Bool { (b >= 32 && b != 127) || b == 9 }

  /// What a request target may hold: visible ASCII but `"`, `<`, `>`, `\`, `^`, `` ` ``, `{`, `|`, `}` and `#`.
  @inlinable static func isTarget(_ b: UInt8) -> Bool {
    let low: UInt64 = 0xAFFF_FFF2_0000_0000
    let high: UInt64 = 0x47FF_FFFE_AFFF_FFFF
    guard b < 128 else { return false }
    return (b < 64 ? low >> UInt64(b) : high >> UInt64(b & 63)) & 1 == 1
  }
}
