/// Money in whole nano-dollars (10⁻⁹ USD). Never a floating-point number.
public struct NanoDollars: Hashable, Comparable, Sendable {
  public var count: Int64
  @inlinable public init(_ count: Int64) { self.count = count }
  @inlinable public static func < (a: Self, b: Self) -> Bool { a.count < b.count }

  public static let perDollar: Int64 = 1_000_000_000

  /// Reads dollars in decimal without sign or exponent, with at most nine places: `12`, `0.000125`; nil for anything else.
  public init?(dollars text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), let whole = ASCII.decimal(Array(parts[0].utf8).span), whole < 1_000_000_000 else {
      return nil
    }
    var fraction: Int64 = 0
    if parts.count == 2 {
      let digits = Array(parts[1].utf8)
      guard digits.count <= 9, let value = ASCII.decimal(digits.span) else { return nil }
      fraction = Int64(value)
      for _ in digits.count..<9 { fraction *= 10 }
    }
    count = Int64(whole) * Self.perDollar + fraction
  }

  /// Dollars with two places at least, and as many as are needed: `12.00`, `0.000125`.
  public var dollars: String {
    let magnitude = count.magnitude
    var places = String(magnitude % UInt64(Self.perDollar))
    places = String(repeating: "0", count: 9 - places.count) + places
    while places.utf8.count > 2, places.utf8.last == 48 { places.removeLast() }
    return "\(count < 0 ? "-" : "")\(magnitude / UInt64(Self.perDollar)).\(places)"
  }
}
