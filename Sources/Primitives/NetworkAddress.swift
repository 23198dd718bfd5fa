import Glibc

/// An IPv4 or IPv6 address as 128 bits; IPv4 stands in its mapped form, `::ffff:a.b.c.d`.
public struct NetworkAddress: Hashable, Sendable, Codable, CustomStringConvertible {
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// An IPv4 address in host byte order.
  public init(v4: UInt32) { self.init(high: 0, low: 0xFFFF_0000_0000 | UInt64(v4)) }

  /// Reads dotted IPv4 or IPv6 text; nil for anything else (names, zones, octal and short forms).
  public init?(_ text: String) {
    var v4 = in_addr()
    var v6 = in6_addr()
    if unsafe inet_pton(AF_INET, text, &v4) == 1 {
      self.init(v4: UInt32(bigEndian: v4.s_addr))
    } else if unsafe inet_pton(AF_INET6, text, &v6) == 1 {
      // SAFETY: in6_addr is sixteen bytes, network byte order.
      let words = unsafe withUnsafeBytes(of: v6) { raw in
        unsafe (raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self), raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      }
      self.init(high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1))
    } else {
      return nil
    }
  }

  /// The same from bytes, with spaces around it.
  public init?(_ bytes: Span<UInt8>) {
    var (start, end) = (0, bytes.count)
    while start < end, bytes[start] == 32 { start += 1 }
    while end > start, bytes[end - 1] == 32 { end -= 1 }
    guard end > start, end - start <= 45 else { return nil }
    self.init(String(decoding: [UInt8](copying: bytes.extracting(start..<end)), as: UTF8.self))
  }

  public var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }

  /// Dotted IPv4, or IPv6 by RFC 5952.
  public var description: String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    if isV4 {
      var v4 = in_addr(s_addr: UInt32(truncatingIfNeeded: low).bigEndian)
      _ = unsafe inet_ntop(AF_INET, &v4, &text, socklen_t(text.count))
    } else {
      var words = (high.bigEndian, low.bigEndian)
      _ = unsafe inet_ntop(AF_INET6, &words, &text, socklen_t(text.count))
    }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// IPv6 as the URL Standard writes it: lower case, the first longest run of two zeros or more left out, and never dots.
  var standardText: String {
    var groups: [UInt16] = []
    for word in [high, low] {
      for shift: UInt64 in [48, 32, 16, 0] { groups.append(UInt16(truncatingIfNeeded: word >> shift)) }
    }
    var (longest, i) = (0..<0, 0)
    while i < 8 {
      var end = i
      while end < 8, groups[end] == 0 { end += 1 }
      if end - i > max(longest.count, 1) { longest = i..<end }
      i = max(end, i + 1)
    }
    func text(_ groups: ArraySlice<UInt16>) -> String { groups.map { String($0, radix: 16) }.joined(separator: ":") }
    return longest.isEmpty ? text(groups[...]) : "\(text(groups[..<longest.lowerBound]))::\(text(groups[longest.upperBound...]))"
  }

  /// The network around it that counts as one place: the /24 of an IPv4 address, the /48 of an IPv6 address.
  public var neighbourhood: NetworkAddress {
    isV4 ? NetworkAddress(high: 0, low: low & ~0xFF) : NetworkAddress(high: high & ~0xFFFF, low: 0)
  }
}

/// A run of addresses in CIDR form: `10.0.0.0/8`, `2001:db8::/32`; an address alone is a run of one.
///
/// IPv4 and IPv6 are worlds apart: `::/0` has no IPv4 address in it. `::ffff:10.0.0.0/104` is another spelling of `10.0.0.0/8`.
public struct Network: Hashable, Sendable {
  private let base: NetworkAddress
  /// Leading bits that count, of 128.
  private let bits: Int

  /// Reads CIDR text; nil when it is none, or when bits behind the prefix are set (a likely mistake).
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let address = NetworkAddress(String(parts[0])) else { return nil }
    let width = address.isV4 && !parts[0].contains(":") ? 32 : 128
    var prefix = width
    if parts.count == 2 {
      guard let n = ASCII.decimal(Array(parts[1].utf8).span), n <= width else { return nil }
      prefix = n
    }
    bits = 128 - width + prefix
    base = address
    guard Self.masked(base, bits) == base else { return nil }
  }

  /// A shorter prefix of the mapped form would be IPv6 with all of IPv4 in it; such text has bits set behind it and is refused.
  private var isV4: Bool { base.isV4 && bits >= 96 }

  public func contains(_ address: NetworkAddress) -> Bool { address.isV4 == isV4 && Self.masked(address, bits) == base }

  public func contains(_ other: Network) -> Bool { other.isV4 == isV4 && other.bits >= bits && contains(other.base) }

  private static func masked(_ a: NetworkAddress, _ bits: Int) -> NetworkAddress {
    let high: UInt64 = bits >= 64 ? .max : bits == 0 ? 0 : .max << UInt64(64 - bits)
    let low: UInt64 = bits >= 128 ? .max : bits <= 64 ? 0 : .max << UInt64(128 - bits)
    return NetworkAddress(high: a.high & high, low: a.low & low)
  }
}
