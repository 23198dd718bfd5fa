import Glibc

// Comparisons on bytes, because Swift's `==` on `String` merges canonically equal strings (K and the Kelvin sign).

extension Span where Element == UInt8 {
  /// Whether the bytes are exactly those of `text`. Not constant-time: never for secrets.
  @inlinable public func equals(_ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount else { return false }
    return text.withUTF8Buffer { other in
      for i in indices where unsafe self[i] != other[i] { return false }
      return true
    }
  }

  /// Whether the bytes are those of `other`. Not constant-time: never for secrets.
  @inlinable public func equals(_ other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    for i in indices where self[i] != other[i] { return false }
    return true
  }

  /// Whether the bytes are those of `lowercase` when ASCII letters are folded; `lowercase` is in lower case.
  @inlinable public func equalsIgnoringCase(_ lowercase: StaticString) -> Bool {
    guard count == lowercase.utf8CodeUnitCount else { return false }
    return lowercase.withUTF8Buffer { other in
      for i in indices where unsafe ASCII.lower(self[i]) != other[i] { return false }
      return true
    }
  }

  @inlinable public func starts(with prefix: StaticString) -> Bool {
    guard count >= prefix.utf8CodeUnitCount else { return false }
    return extracting(0..<prefix.utf8CodeUnitCount).equals(prefix)
  }

  /// The first position of `byte` at or after `from`.
  public func firstIndex(of byte: UInt8, from: Int = 0) -> Int? {
    guard from < count else { return nil }
    // SAFETY: memchr reads the bytes of the span from `from` on, and answers with a pointer to one of them or with none.
    return unsafe withUnsafeBytes { bytes in
      let base = bytes.baseAddress!
      guard let found = unsafe memchr(base + from, Int32(byte), count - from) else { return nil }
      return unsafe UnsafeRawPointer(found) - base
    }
  }

  /// The first position of `other`; nil when it is empty or nowhere. Not constant-time in where it stands.
  public func firstIndex(of other: Span<UInt8>) -> Int? {
    guard other.count > 0, other.count <= count else { return nil }
    // Looked for by a capital letter where it has one: those are rare in most texts.
    var anchor = 0
    for i in other.indices where other[i] &- UInt8(ascii: "A") < 26 {
      anchor = i
      break
    }
    var from = anchor
    while let hit = firstIndex(of: other[anchor], from: from) {
      let start = hit - anchor
      guard start + other.count <= count else { return nil }
      if extracting(start..<(start + other.count)).equals(other) { return start }
      from = hit + 1
    }
    return nil
  }

  /// The first position of `text`, which is not empty, at or after `from`.
  public func firstIndex(of text: StaticString, from: Int = 0) -> Int? {
    let (first, length) = (text.span[0], text.utf8CodeUnitCount)
    var i = from
    while let at = firstIndex(of: first, from: i) {
      guard at + length <= count else { return nil }
      if extracting(at..<(at + length)).equals(text) { return at }
      i = at + 1
    }
    return nil
  }
}

extension StaticString {
  /// The bytes of the literal, which is always there.
  @inlinable public var span: Span<UInt8> {
    @_lifetime(immortal) get {
      // SAFETY: a StaticString in UTF-8 points at constant data of the program.
      precondition(hasPointerRepresentation)
      let span = unsafe Span<UInt8>(_unsafeStart: utf8Start, count: utf8CodeUnitCount)
      return unsafe _overrideLifetime(span, copying: ())
    }
  }
}

/// ASCII without locale.
public enum ASCII {
  @inlinable public static func lower(_ b: UInt8) -> UInt8 { b &- 65 < 26 ? b | 0x20 : b }
  @inlinable public static func isDigit(_ b: UInt8) -> Bool { b &- 48 < 10 }
  @inlinable public static func isLetter(_ b: UInt8) -> Bool { (b | 0x20) &- 97 < 26 }

  /// The value of decimal digits and nothing else (no sign, no space), at most 18 of them; nil otherwise.
  @inlinable public static func decimal(_ bytes: Span<UInt8>) -> Int? {
    guard bytes.count > 0, bytes.count <= 18 else { return nil }
    var value = 0
    for i in bytes.indices {
      guard isDigit(bytes[i]) else { return nil }
      value = value * 10 + Int(bytes[i] &- 48)
    }
    return value
  }

  /// The value of a hexadecimal digit.
  @inlinable public static func hexadecimal(_ b: UInt8) -> UInt8? {
    if isDigit(b) { return b &- 48 }
    let letter = b | 0x20
    return letter &- 97 < 6 ? letter &- 87 : nil
  }
}

/// Lower-case hexadecimal of `bytes`.
public func hexadecimal(_ bytes: [UInt8]) -> String {
  var text = ""
  text.reserveCapacity(bytes.count * 2)
  let digits = Array("0123456789abcdef")
  for b in bytes {
    text.append(digits[Int(b >> 4)])
    text.append(digits[Int(b & 15)])
  }
  return text
}

/// The bytes that lower- or upper-case hexadecimal `text` stands for; nil when it is not hexadecimal.
public func bytes(hexadecimal text: String) -> [UInt8]? {
  let utf8 = Array(text.utf8)
  guard utf8.count % 2 == 0 else { return nil }
  var out: [UInt8] = []
  out.reserveCapacity(utf8.count / 2)
  for i in stride(from: 0, to: utf8.count, by: 2) {
    guard let high = ASCII.hexadecimal(utf8[i]), let low = ASCII.hexadecimal(utf8[i + 1]) else { return nil }
    out.append(high << 4 | low)
  }
  return out
}
