import Primitives
import TestSupport
import Testing

struct PrimitivesTests {
  @Test(
    "base64 is the one of RFC 4648, and its form for URLs has no padding",
    arguments: [
      ("", "", ""), ("f", "Zg==", "Zg"), ("fo", "Zm8=", "Zm8"), ("foo", "Zm9v", "Zm9v"), ("foob", "Zm9vYg==", "Zm9vYg"),
      ("fooba", "Zm9vYmE=", "Zm9vYmE"), ("foobar", "Zm9vYmFy", "Zm9vYmFy"), ("\u{3fb}\u{3ff}", "z7vPvw==", "z7vPvw"),
      ("i\u{7e}\u{7f}?", "aX5/Pw==", "aX5_Pw"),
    ])
  func base64(plain: String, encoded: String, forURL: String) {
    var standard = ByteBuffer(capacity: 16)
    var url = ByteBuffer(capacity: 16)
    let bytes = Array(plain.utf8)
    standard.append(base64: bytes.span)
    url.append(base64: bytes.span, forURL: true)
    #expect(standard.copy() == Array(encoded.utf8) && url.copy() == Array(forURL.utf8))
  }

  @Test("CRC-32 is the one of zlib") func crc() {
    #expect(CRC32.checksum(Array("123456789".utf8).span) == 0xCBF4_3926)
    #expect(CRC32.checksum([UInt8]().span) == 0)
  }

  @Test("base62 keeps order and width") func base62() {
    #expect(String(decoding: Base62.encode([0, 0], width: 3), as: UTF8.self) == "000")
    #expect(String(decoding: Base62.encode([61], width: 1), as: UTF8.self) == "z")
    #expect(String(decoding: Base62.encode([1, 0], width: 2), as: UTF8.self) == "48")  // 256 = 4·62 + 8
    let six = Base62.encode(UInt32.max)
    #expect((0..<6).map { six[$0] } == Base62.encode([255, 255, 255, 255], width: 6))
  }

  @Test("an ID is 12 base62 characters and nothing else") func ids() {
    let random = SeededRandomness(seed: 1)
    for _ in 0..<1000 {
      let id = RecordID.random(random)
      #expect(id.description.utf8.count == 12)
      #expect(RecordID(id.description) == id)
    }
    for bad in ["", "short", "thirteenchars", "twelve_chars", "twelve\u{212A}char", "twelve char"] {
      #expect(RecordID(bad) == nil)
    }
  }

  @Test("times are read and written in one form, and only real ones") func times() {
    for text in ["2026-11-24T10:00:00.250Z", "1970-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "2000-03-01T00:00:00.000Z"] {
      #expect(Timestamp(rfc3339: text)?.rfc3339 == text)
    }
    #expect(Timestamp(rfc3339: "2026-11-24") == Timestamp(rfc3339: "2026-11-24T00:00:00Z"))
    for bad in [
      "2026-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "2026-11-24T24:00:00Z", "2026-11-24T10:00:00+01:00",
      "2026-11-24 10:00:00Z", "tomorrow", "",
    ] {
      #expect(Timestamp(rfc3339: bad) == nil, "\(bad)")
    }
  }

  @Test("numbers on the wire are digits only", arguments: ["+5", "-0", "0x5", " 5", "5 ", "", "1234567890123456789", "٣"])
  func notDecimal(text: String) { #expect(ASCII.decimal(Array(text.utf8).span) == nil) }

  @Test("a buffer keeps its bytes through growth, consumption and compaction") func buffer() {
    let random = SeededRandomness(seed: 2)
    var buffer = ByteBuffer(capacity: 16)
    var model: [UInt8] = []
    for _ in 0..<2000 {
      let bytes = random.bytes(Int(random.next() % 40))
      if random.next() % 3 == 0 {
        let n = Int(random.next() % UInt64(model.count + 1))
        buffer.consume(n)
        model.removeFirst(n)
      } else {
        buffer.append(bytes.span)
        model += bytes
      }
      #expect(buffer.copy() == model)
    }
    let hasRoom = buffer.reserve(100, limit: model.count + 50)
    #expect(!hasRoom)
    #expect(buffer.copy() == model)
  }

  @Test(
    "decimal and hexadecimal are written without leading zeros",
    arguments: [0, 1, 9, 10, 15, 16, 255, 256, 4096, 65_535, Int.max])
  func digits(value: Int) {
    var buffer = ByteBuffer(capacity: 16)
    buffer.append(decimal: value)
    #expect(String(decoding: buffer.copy(), as: UTF8.self) == String(value))
    buffer.clear()
    buffer.append(hexadecimal: value)
    #expect(String(decoding: buffer.copy(), as: UTF8.self) == String(value, radix: 16))
  }

  @Test("comparison is on bytes: what String calls equal is not") func bytes() {
    #expect("K" == "\u{212A}")  // the trap
    let (kelvin, header, bracket) = (Array("\u{212A}".utf8), Array("Content-Length".utf8), Array("[ontent".utf8))
    let equal = (
      kelvin.span.equals("K"), header.span.equalsIgnoringCase("content-length"), bracket.span.equalsIgnoringCase("{ontent")
    )
    #expect(equal == (false, true, false))
  }
}

struct NetworkTests {
  @Test(
    "a network holds its addresses and no others",
    arguments: [
      ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false), ("0.0.0.0/0", "203.0.113.9", true),
      ("0.0.0.0/0", "2001:db8::1", false),
      ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false), ("192.0.2.128/25", "192.0.2.127", false),
      ("192.0.2.128/25", "192.0.2.128", true),
      ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/32", "2001:db9::", false), ("::/0", "10.0.0.1", false),
      ("::/8", "10.0.0.1", false),
      ("::/8", "::ffff:10.0.0.1", false), ("::/8", "::1", true), ("::fffe:0:0/95", "10.0.0.1", false),
      ("::ffff:0:0/96", "10.0.0.1", true),
      ("::ffff:0:0/96", "::fffe:0:1", false), ("0.0.0.0/0", "::a00:1", false), ("::/0", "2001:db8::1", true),
      ("::1", "::1", true), ("::1", "::2", false),
      ("10.0.0.0/8", "::ffff:10.1.2.3", true), ("::ffff:10.0.0.0/104", "10.1.2.3", true),
      ("2001:db8::/65", "2001:db8::8000:0:0:0", false),
    ])
  func contains(network: String, address: String, isInside: Bool) throws {
    #expect(try #require(Network(network)).contains(try #require(NetworkAddress(address))) == isInside)
  }

  @Test(
    "what could be read in two ways is no network",
    arguments: [
      "", "10", "10.1", "010.0.0.1", "0x0a.0.0.0/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/+8", "10.0.0.1/8",
      "2001:db8::1/32", "::/129", "fe80::1%eth0",
      "::ffff:0:0/95", "localhost", "10.0.0.0 /8", "1.2.3.4.5", "①.0.0.1",
    ])
  func refused(text: String) { #expect(Network(text) == nil) }
}

struct NetworkContainmentTests {
  @Test("a network of one kind holds none of the other, however short its prefix")
  func kinds() throws {
    let (all4, all6) = (try #require(Network("0.0.0.0/0")), try #require(Network("::/0")))
    let mapped = try #require(Network("::ffff:0:0/96"))
    #expect(
      !all6.contains(all4) && !all4.contains(all6) && all4.contains(mapped) && mapped.contains(all4) && !all6.contains(mapped))
  }
}

struct HTTPDateTests {
  @Test("HTTP dates are read in their one form, to the second") func dates() {
    func read(_ text: String) -> String? { Timestamp(httpDate: Array(text.utf8).span)?.rfc3339 }
    #expect(read("Sun, 06 Nov 1994 08:49:37 GMT") == "1994-11-06T08:49:37.000Z")
    #expect(read("Thu, 29 Feb 2024 23:59:59 GMT") == "2024-02-29T23:59:59.000Z")
    for bad in [
      "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 UTC",
      "Sun, 31 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nuv 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT", "",
    ] { #expect(read(bad) == nil, "\(bad)") }
  }
}
