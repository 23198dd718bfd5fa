/// Money in whole nano-dollars (10⁻⁹ USD), of either sign. Never a floating-point number. No request costs more than a million
/// dollars.
public struct NanoDollars: Quantity {
  public let count: Int64
  @inlinable public init(unchecked count: Int64) { self.count = count }
  @inlinable public static var range: ClosedRange<Int64> { -(.max)...(.max) }
  @inlinable public static var toldRange: ClosedRange<Int64> { 0...(1_000_000 * 1_000_000_000) }

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
    self.init(Int64(whole) * Self.perDollar + fraction)
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

/// Adds up counts times rates without losing a digit, to be rounded up once at the end.
public struct MoneySum: Sendable {
  /// Nano-dollars times a million.
  private var total: Int128 = 0

  @inlinable public init() {}

  /// Adds `count` of what costs `rate` nano-dollars a million; a negative rate costs nothing.
  public mutating func add(_ count: some Quantity, perMillion rate: Int64) { add(Int128(count.count), Int128(rate)) }

  /// Adds `count` of what costs `rate` nano-dollars each.
  public mutating func add(_ count: some Quantity, each rate: Int64) { add(Int128(count.count), Int128(rate) * 1_000_000) }

  private mutating func add(_ count: Int128, _ rate: Int128) {
    guard count > 0, rate > 0 else { return }
    let (product, overflow) = count.multipliedReportingOverflow(by: rate)
    let (sum, overflow2) = total.addingReportingOverflow(product)
    total = overflow || overflow2 ? .max : sum
  }

  /// Whole nano-dollars, rounded up; the most there is where it is more.
  public var rounded: NanoDollars {
    // Nearly always it fits, and 64 bits divide many times faster.
    if let small = UInt64(exactly: total), small < 1 << 62 { return NanoDollars(Int64((small + 999_999) / 1_000_000)) }
    return NanoDollars(clamping: total / 1_000_000 + (total % 1_000_000 > 0 ? 1 : 0))
  }
}
