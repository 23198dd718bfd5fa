public import Primitives

/// The text of a masked key: `<prefix>_<id12>_<secret43><crc6>`, ASCII base62.
///
/// The last six characters are the CRC-32 of everything before them, so that a typing error or a stray string needs no look-up.
public enum MaskedKeyFormat {
  public static let defaultPrefix = "mk"
  public static let secretLength = 43
  public static let checksumLength = 6
  /// Everything but the prefix: two underscores, ID, secret and checksum.
  @usableFromInline static let tail = 1 + RecordID.length + 1 + 43 + 6
  public static let prefixMax = 16
  /// Characters of a masked key behind its prefix.
  public static var tailLength: Int { tail }

  /// The key ID of a well-formed masked key; nil when the shape or the checksum is wrong. Allocates nothing.
  @inlinable public static func keyID(of text: Span<UInt8>) -> RecordID? {
    let prefix = text.count - tail
    guard prefix >= 1, prefix <= prefixMax else { return nil }
    for i in 0..<prefix where !(Base62.isDigit(text[i]) || text[i] == 45) { return nil }
    guard text[prefix] == 95, text[prefix + 13] == 95, let id = RecordID(text.extracting((prefix + 1)..<(prefix + 13))) else {
      return nil
    }
    for i in (prefix + 14)..<text.count where !Base62.isDigit(text[i]) { return nil }
    let body = text.count - checksumLength
    let checksum = Base62.encode(CRC32.checksum(text.extracting(0..<body)))
    for i in 0..<6 where checksum[i] != text[body + i] { return nil }
    return id
  }

  /// The text of a masked key from its parts; `secret` is 32 random bytes. The caller wipes what it is given and gets.
  public static func text(prefix: String, id: RecordID, secret: [UInt8]) -> [UInt8] {
    precondition(secret.count == 32)
    var out = Array(prefix.utf8) + [95] + id.bytes + [95]
    out.reserveCapacity(out.count + secretLength + checksumLength)
    out += Base62.encode(secret, width: secretLength)
    let checksum = Base62.encode(CRC32.checksum(out.span))
    for i in 0..<6 { out.append(checksum[i]) }
    return out
  }

  /// Throws `.invalidInput` unless `prefix` is 1 to 16 of `[A-Za-z0-9-]`.
  public static func validate(prefix: String) throws(Fault) {
    guard (1...prefixMax).contains(prefix.utf8.count), prefix.utf8.allSatisfy({ Base62.isDigit($0) || $0 == 45 }) else {
      throw Fault(.invalidInput, "that prefix cannot be used", hint: "use 1 to \(prefixMax) of A-Z, a-z, 0-9 and '-'")
    }
  }
}
