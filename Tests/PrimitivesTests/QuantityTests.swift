import Primitives
import TestSupport
import Testing

struct QuantityTests {
  static let extremes: [Int64] = [0, 1, -1, 2, -2, .max, .min, .max - 1, .min + 1, 1 << 40, 1 << 53, 1_000_000_007, -(1 << 40)]

  private func check<Q: Quantity>(_: Q.Type) {
    let clamp = { (value: Int128) in Int64(min(max(value, Int128(Q.range.lowerBound)), Int128(Q.range.upperBound))) }
    for a in Self.extremes {
      let x = Q(a)
      #expect(x.count == clamp(Int128(a)) && Q.range.contains(x.count) && Q.toldRange.contains(x.told.count))
      #expect(Q(told: a)?.count == (Q.toldRange.contains(a) ? a : nil))
      for b in Self.extremes {
        let y = Q(b)
        #expect((x + y).count == clamp(Int128(x.count) + Int128(y.count)), "\(Q.self): \(x) + \(y)")
        #expect((x - y).count == clamp(Int128(x.count) - Int128(y.count)), "\(Q.self): \(x) - \(y)")
        #expect((x * b).count == clamp(Int128(x.count) * Int128(b)), "\(Q.self): \(x) * \(b)")
        if b > 0 { #expect((x / b).count == x.count / b) }
        #expect((x < y) == (x.count < y.count))
      }
    }
  }

  @Test("sums, differences and products of quantities stop at the ends of their range, and nothing traps") func saturating() {
    check(TokenCount.self)
    check(Count.self)
    check(ByteCount.self)
    check(Microseconds.self)
    check(Milliseconds.self)
    check(Amount.self)
    check(NanoDollars.self)
  }

  @Test("money is added up exactly, rounded up once, and is as much as there is where it does not fit") func money() {
    var sum = MoneySum()
    #expect(sum.rounded == 0)
    sum.add(TokenCount(1), perMillion: 1)
    sum.add(TokenCount(1), perMillion: 999_999)
    #expect(sum.rounded == 1)
    sum.add(Count(3), each: 7)
    #expect(sum.rounded == 22)
    sum.add(TokenCount(5), perMillion: -1)
    #expect(sum.rounded == 22)
    for _ in 0..<9 { sum.add(TokenCount.max, perMillion: .max) }
    #expect(sum.rounded == .max)
  }

  @Test("moments lie in the years 1 to 9999: their differences, and a moment in microseconds, fit") func moments() {
    for a in Self.extremes {
      let x = Timestamp(milliseconds: a)
      #expect(Timestamp(rfc3339: x.rfc3339) == x, "\(x.rfc3339)")
      #expect(x + .max == .distantFuture && x + .min == Timestamp(milliseconds: .min))
      _ = Timestamp(seconds: a).milliseconds * 1000
      for b in Self.extremes { _ = x.milliseconds - Timestamp(milliseconds: b).milliseconds }
    }
    #expect(Timestamp.distantFuture.rfc3339 == "9999-12-31T23:59:59.999Z")
    #expect(Timestamp(seconds: 5) == Timestamp(milliseconds: 5000))
    for value in Self.extremes {
      let (quotient, remainder) = Int128(value).quotientAndRemainder(dividingBy: 86_400)
      #expect(Int128(value.floorDivided(by: 86_400)) == quotient - (remainder < 0 ? 1 : 0))
    }
  }

  @Test("a counter that was stored stops at the largest number") func counters() {
    var (byte, count) = (UInt8.max - 1, Int.max)
    byte.increment()
    byte.increment()
    count.increment()
    #expect(byte == .max && count == .max)
  }
}
