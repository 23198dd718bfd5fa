import Primitives

// Strings and names (RFC 8259 section 7).
extension JSONProbe {
  mutating func startString(asKey: Bool, capturing: Bool) {
    (state, isKey, captures, nameCount) = (.string, asKey, capturing, 0)
  }

  mutating func capture(_ b: UInt8) {
    guard captures else { return }
    if isKey {
      if nameCount < Self.nameMax { name[nameCount] = b }
      nameCount += 1
    } else if textSlot < Self.textsMax {
      let n = texts[textSlot].count
      if n < Self.textMax {
        texts[textSlot].bytes[n] = b
        texts[textSlot].count = n + 1
      } else {
        isTruncated = true
        captures = false
        texts[textSlot].count = 0
      }
    }
  }

  /// A run of plain bytes at once.
  mutating func capture(_ run: Span<UInt8>) {
    if isKey {
      let n = min(run.count, max(0, Self.nameMax - nameCount))
      for i in 0..<n { name[nameCount + i] = run[i] }
      nameCount += run.count
    } else {
      for i in run.indices { capture(run[i]) }
    }
  }

  private mutating func endString(_ paths: JSONPaths) {
    if !isKey {
      endValue()
      return
    }
    state = .colon
    node = JSONPaths.none
    guard captures, nameCount < Self.nameMax else { return }
    node = paths.child(of: stack[depth - 1], name.span.extracting(0..<nameCount))
    if node == JSONPaths.none {
      if paths.noticesCaseVariants, paths.hasCaseVariant(of: stack[depth - 1], name.span.extracting(0..<nameCount)) {
        hasCaseVariant = true
      }
    } else {
      if seen >> UInt64(node) & 1 == 1 { hasDuplicate = true }
      seen |= 1 << UInt64(node)
      if case .text(let slot) = paths.nodes[Int(node)].slot { textSlot = slot }
    }
  }

  mutating func stringStep(_ b: UInt8, _ paths: JSONPaths) -> Bool {
    switch state {
    case .string: return plainStep(b, paths)
    case .escape:
      state = .string
      switch b {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): capture(b)
      case UInt8(ascii: "b"): capture(8)
      case UInt8(ascii: "f"): capture(12)
      case UInt8(ascii: "n"): capture(10)
      case UInt8(ascii: "r"): capture(13)
      case UInt8(ascii: "t"): capture(9)
      case UInt8(ascii: "u"): (state, unit, unitDigits) = (.unicode, 0, 0)
      default: return false
      }
      return true
    case .unicode:
      guard let digit = ASCII.hexadecimal(b) else { return false }
      unit = unit << 4 | UInt32(digit)
      unitDigits += 1
      return unitDigits < 4 || endUnit()
    case .lowSurrogateBackslash:
      state = .lowSurrogateU
      return b == UInt8(ascii: "\\")
    default:
      (state, unit, unitDigits) = (.unicode, 0, 0)
      return b == UInt8(ascii: "u")
    }
  }

  /// The four digits after `\u` are there: a scalar, or one half of a surrogate pair. A lone half is refused.
  private mutating func endUnit() -> Bool {
    state = .string
    if highSurrogate != 0 {
      guard (0xDC00...0xDFFF).contains(unit) else { return false }
      captureScalar(0x10000 + (highSurrogate - 0xD800) << 10 + (unit - 0xDC00))
      highSurrogate = 0
    } else if (0xD800...0xDBFF).contains(unit) {
      highSurrogate = unit
      state = .lowSurrogateBackslash
    } else {
      guard !(0xDC00...0xDFFF).contains(unit) else { return false }
      captureScalar(unit)
    }
    return true
  }

  private mutating func captureScalar(_ scalar: UInt32) {
    if scalar < 0x80 {
      capture(UInt8(scalar))
    } else if scalar < 0x800 {
      capture(0xC0 | UInt8(scalar >> 6))
      capture(0x80 | UInt8(scalar & 63))
    } else if scalar < 0x10000 {
      capture(0xE0 | UInt8(scalar >> 12))
      capture(0x80 | UInt8(scalar >> 6 & 63))
      capture(0x80 | UInt8(scalar & 63))
    } else {
      capture(0xF0 | UInt8(scalar >> 18))
      capture(0x80 | UInt8(scalar >> 12 & 63))
      capture(0x80 | UInt8(scalar >> 6 & 63))
      capture(0x80 | UInt8(scalar & 63))
    }
  }

  private mutating func plainStep(_ b: UInt8, _ paths: JSONPaths) -> Bool {
    if utf8Left > 0 {
      guard b >= utf8Low, b <= utf8High else { return false }
      (utf8Low, utf8High) = (0x80, 0xBF)
      utf8Left -= 1
      capture(b)
      return true
    }
    switch b {
    case UInt8(ascii: "\""): endString(paths)
    case UInt8(ascii: "\\"): state = .escape
    case 0x20..<0x80: capture(b)
    default:
      // Unicode 15, table 3-7: well-formed UTF-8.
      switch b {
      case 0xC2...0xDF: utf8Left = 1
      case 0xE0: (utf8Left, utf8Low) = (2, 0xA0)
      case 0xED: (utf8Left, utf8High) = (2, 0x9F)
      case 0xE1...0xEF: utf8Left = 2
      case 0xF0: (utf8Left, utf8Low) = (3, 0x90)
      case 0xF4: (utf8Left, utf8High) = (3, 0x8F)
      case 0xF1...0xF3: utf8Left = 3
      default: return false
      }
      capture(b)
    }
    return true
  }
}
