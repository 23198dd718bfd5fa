/// CRC-32 (IEEE 802.3, reflected, as in zlib): finds typing errors, proves nothing about origin.
public enum CRC32 {
  // One step a byte; 1 KiB that stays in the first-level cache.
  @usableFromInline static let table: InlineArray<256, UInt32> = {
    var entries = InlineArray<256, UInt32>(repeating: 0)
    for i in 0..<256 {
      var value = UInt32(i)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
      entries[i] = value
    }
    return entries
  }()

  @inlinable public static func checksum(_ bytes: Span<UInt8>) -> UInt32 {
    var crc: UInt32 = 0xFFFF_FFFF
    for i in bytes.indices { crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[i])) & 0xFF)] }
    return ~crc
  }
}
