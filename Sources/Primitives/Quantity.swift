/// A whole number of one unit whose arithmetic never traps: sums, differences and products stop at the ends of `range`.
///
/// Numbers from outside (requests, answers, identity providers, settings, stored records) are added up only as quantities. Raw
/// arithmetic on `count` outside this module is refused by a house rule.
public protocol Quantity: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
  /// All values there are.
  static var range: ClosedRange<Int64> { get }
  /// Values that somebody outside can mean for one request: anything else is a fault or a lie.
  static var toldRange: ClosedRange<Int64> { get }
  /// The number, within `range`.
  var count: Int64 { get }
  /// Takes a number that is known to be within `range`.
  init(unchecked count: Int64)
}

extension Quantity {
  /// The nearest value of `range`.
  @inlinable public init(_ count: Int64) {
    self.init(unchecked: Swift.min(Swift.max(count, Self.range.lowerBound), Self.range.upperBound))
  }

  /// The nearest value of `range`.
  @inlinable public init(clamping count: some BinaryInteger) { self.init(Int64(clamping: count)) }

  /// A number that somebody outside told of one request; nil when it cannot be true.
  @inlinable public init?(told count: Int64) {
    guard Self.toldRange.contains(count) else { return nil }
    self.init(unchecked: count)
  }

  @inlinable public init(integerLiteral value: Int64) { self.init(value) }

  @inlinable public static var zero: Self { Self(unchecked: 0) }
  @inlinable public static var max: Self { Self(unchecked: range.upperBound) }

  @inlinable public static func < (a: Self, b: Self) -> Bool { a.count < b.count }

  @inlinable public static func + (a: Self, b: Self) -> Self {
    let (sum, overflow) = a.count.addingReportingOverflow(b.count)
    return overflow ? Self(b.count < 0 ? .min : .max) : Self(sum)
  }

  @inlinable public static func - (a: Self, b: Self) -> Self {
    let (difference, overflow) = a.count.subtractingReportingOverflow(b.count)
    return overflow ? Self(b.count < 0 ? .max : .min) : Self(difference)
  }

  @inlinable public static func * (a: Self, times: Int64) -> Self {
    let (product, overflow) = a.count.multipliedReportingOverflow(by: times)
    return overflow ? Self((a.count < 0) == (times < 0) ? .max : .min) : Self(product)
  }

  @inlinable public static func += (a: inout Self, b: Self) { a = a + b }
  @inlinable public static func -= (a: inout Self, b: Self) { a = a - b }

  /// The quotient, rounded towards zero; `divisor` is above 0.
  @inlinable public static func / (a: Self, divisor: Int64) -> Self {
    precondition(divisor > 0)
    return Self(a.count / divisor)
  }

  public var description: String { "\(count)" }

  /// The nearest value that can be told of one request.
  @inlinable public var told: Self {
    Self(unchecked: Swift.min(Swift.max(count, Self.toldRange.lowerBound), Self.toldRange.upperBound))
  }
}

extension FixedWidthInteger {
  /// Adds one, and stops at the largest number: for counters that are read back from what was stored.
  @inlinable public mutating func increment() { if self < .max { self += 1 } }
}

extension Sequence where Element: Quantity {
  /// The sum, which stops at the ends of the range.
  @inlinable public func sum() -> Element { reduce(.zero, +) }
}

/// Tokens, 0 or more. No request has more than 2⁴⁰ of them.
public struct TokenCount: Quantity {
  public let count: Int64
  @inlinable public init(unchecked count: Int64) { self.count = count }
  @inlinable public static var range: ClosedRange<Int64> { 0...(.max) }
  @inlinable public static var toldRange: ClosedRange<Int64> { 0...(1 << 40) }
}

/// How many there are of something else: requests, pictures, seconds of sound; 0 or more.
public struct Count: Quantity {
  public let count: Int64
  @inlinable public init(unchecked count: Int64) { self.count = count }
  @inlinable public static var range: ClosedRange<Int64> { 0...(.max) }
  @inlinable public static var toldRange: ClosedRange<Int64> { 0...(1 << 40) }
}

/// Bytes, 0 or more. No request has more than 2⁴⁸ of them.
public struct ByteCount: Quantity {
  public let count: Int64
  @inlinable public init(unchecked count: Int64) { self.count = count }
  @inlinable public static var range: ClosedRange<Int64> { 0...(.max) }
  @inlinable public static var toldRange: ClosedRange<Int64> { 0...(1 << 48) }
}

/// A duration in microseconds, 0 or more. No request takes longer than a year.
public struct Microseconds: Quantity {
  public let count: Int64
  @inlinable public init(unchecked count: Int64) { self.count = count }
  @inlinable public static var range: ClosedRange<Int64> { 0...(.max) }
  @inlinable public static var toldRange: ClosedRange<Int64> { 0...(366 * 86_400_000_000) }
}

/// A wait in milliseconds that somebody outside asks for, 0 to a day: more is not believed.
public struct Milliseconds: Quantity {
  public let count: Int64
  @inlinable public init(unchecked count: Int64) { self.count = count }
  @inlinable public static var range: ClosedRange<Int64> { 0...86_400_000 }
  @inlinable public static var toldRange: ClosedRange<Int64> { range }
  @inlinable public init(seconds: some BinaryInteger) { self = Self(clamping: seconds) * 1000 }
  /// The same in nanoseconds.
  @inlinable public var nanoseconds: UInt64 { UInt64(count) * 1_000_000 }
}

/// What a budget account counts in its own unit (nano-dollars, requests, tokens); negative where more was spent than there was.
public struct Amount: Quantity {
  public let count: Int64
  @inlinable public init(unchecked count: Int64) { self.count = count }
  @inlinable public static var range: ClosedRange<Int64> { -(.max)...(.max) }
  @inlinable public static var toldRange: ClosedRange<Int64> { range }
  @inlinable public init(_ tokens: TokenCount) { self.init(unchecked: tokens.count) }
  @inlinable public init(_ money: NanoDollars) { self.init(unchecked: money.count) }
  @inlinable public static prefix func - (a: Self) -> Self { Self(unchecked: -a.count) }
}
