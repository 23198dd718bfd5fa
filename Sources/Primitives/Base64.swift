extension ByteBuffer {
  /// Appends `bytes` in base64: RFC 4648 section 4, with padding; or, for tokens and addresses, section 5, without.
  public mutating func append(base64 bytes: Span<UInt8>, forURL: Bool = false) {
    let digits: StaticString =
      forURL
      ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    var at = 0
    while at < bytes.count {
      let n = min(bytes.count - at, 3)
      var bits: UInt32 = 0
      for i in 0..<3 { bits = bits << 8 | (i < n ? UInt32(bytes[at + i]) : 0) }
      for i in 0..<4 {
        if i <= n { append(digits.span[Int(bits >> UInt32(18 - 6 * i) & 63)]) } else if !forURL { append(UInt8(ascii: "=")) }
      }
      at += 3
    }
  }
}
