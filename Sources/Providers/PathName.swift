import Domain
import Primitives
import Wire

/// A name that stands in a path or a query: of a model, of an object. The only place that undoes escapes there, and undoes them once.
public enum PathName {
  static let lengthMax = JSONProbe.textMax
  /// Parts that a name with slashes has at most: `accounts/fireworks/models/NAME` has four.
  static let partsMax = 8

  /// Whether `text` means the same to every parser: letters, digits and `-._:@~`, of which a colon, an at sign and (with `slashes`) a
  /// slash may be escaped, and no part between slashes that is empty or of dots alone. With `colons` false it has none.
  static func isPlain(_ text: Span<UInt8>, slashes: Bool, colons: Bool = true) -> Bool {
    guard text.count > 0, text.count <= lengthMax else { return false }
    var (count, dots, parts, i) = (0, 0, 1, 0)
    while i < text.count {
      let (b, next) = EscapedPath.byte(text, at: i)
      if next > i + 1 {
        // Other escapes are written in more than one way, or hide what ends a name.
        guard b == UInt8(ascii: ":") || b == UInt8(ascii: "@") || b == UInt8(ascii: "/") else { return false }
      }
      i = next
      if b == UInt8(ascii: "/") {
        guard slashes, dots < count, parts < partsMax else { return false }
        (count, dots, parts) = (0, 0, parts + 1)
        continue
      }
      let isOther = b == 45 || b == 46 || b == 58 || b == 64 || b == 95 || b == 126
      guard ASCII.isLetter(b) || ASCII.isDigit(b) || isOther, colons || b != UInt8(ascii: ":") else { return false }
      count += 1
      if b == UInt8(ascii: ".") { dots += 1 }
    }
    return dots < count
  }

  /// The name that a plain text stands for.
  public static func decoded(_ text: Span<UInt8>) -> JSONText {
    var name = JSONText()
    var i = 0
    while i < text.count {
      let (b, next) = EscapedPath.byte(text, at: i)
      name.append(b)
      i = next
    }
    return name
  }
}
