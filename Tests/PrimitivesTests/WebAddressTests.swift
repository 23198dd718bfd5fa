import Primitives
import Testing

struct WebAddressTests {
  @Test(
    "an address that is taken means what the URL Standard makes of it",
    arguments: [
      ("https://EXAMPLE.com", "https://example.com", "/"), ("https://example.com:443/", "https://example.com", "/"),
      ("https://example.com:0443/a", "https://example.com", "/a"), ("http://a:81", "http://a:81", "/"),
      ("https://a.b/c//d/?e=f&g=%22", "https://a.b", "/c//d/?e=f&g=%22"), ("https://a?b", "https://a", "/?b"),
      ("https://a/b|c'd", "https://a", "/b|c'd"), ("https://a/..b/c..", "https://a", "/..b/c.."),
      ("http://127.0.0.1", "http://127.0.0.1", "/"), ("http://0.0.0.0", "http://0.0.0.0", "/"),
      ("http://255.255.255.255:8/x", "http://255.255.255.255:8", "/x"), ("http://1.2.3.x4", "http://1.2.3.x4", "/"),
      ("http://0xg", "http://0xg", "/"), ("http://1.2.3.4a", "http://1.2.3.4a", "/"),
      ("http://[::1]:8", "http://[::1]:8", "/"), ("http://[0:0:0:0:0:0:0:1]", "http://[::1]", "/"),
      ("http://[2001:DB8:0:0:1:0:0:0]", "http://[2001:db8:0:0:1::]", "/"),
      ("http://[1:0:2:3:4:5:6:7]", "http://[1:0:2:3:4:5:6:7]", "/"),
      ("http://[::1.2.3.4]", "http://[::102:304]", "/"), ("http://[1:2:3:4:5:6:7::]", "http://[1:2:3:4:5:6:7:0]", "/"),
      ("http://[::]", "http://[::]", "/"), ("http://[64:ff9b::10.0.0.1]", "http://[64:ff9b::a00:1]", "/"),
    ])
  func taken(text: String, origin: String, target: String) throws {
    let address = try WebAddress(text)
    #expect(address.origin == origin && address.target == target, "\(address.origin)\(address.target)")
  }

  @Test(
    "addresses in disguise, and what another parser would repair, are refused",
    arguments: [
      "http://0127.0.0.1", "http://0177.0.0.1", "http://0x7f000001", "http://0x7f.0.0.1", "http://2130706433",
      "http://017700000001",
      "http://127.1", "http://127.0.1", "http://127.0.0.1.", "http://127.0.0.0x1", "http://127.0.0.01", "http://127.0.0.00",
      "http://256.256.256.256", "http://256.0.0.1", "http://1.2.3", "http://1.2.3.4.5", "http://4294967296", "http://foo.0x4",
      "http://foo.0X4", "http://foo.0x", "http://foo.0", "http://foo.09", "http://a.1.", "http://127.0.0.4294967295",
      "http://[:::]", "http://[::1", "http://::1", "http://[::1]x", "http://[1:2]", "http://[::ffff:127.0.0.1]",
      "http://[::ffff:7f00:1]",
      "http://[fe80::1%25eth0]", "http://[::01.2.3.4]", "http://[1:2:3:4:5:6:7:8:9]", "http://[::12345]", "http://[]",
      "http://user@a", "http://user:pw@a", "http://@a", "http://a@b@c", "http://a:pw@127.0.0.1:80/", "http://a/\\b", "http:\\\\a",
      "http:/a", "http:a", "HTTP://a", " http://a", "http://a ", "http://a\n", "http://a\t.b", "http://a\u{0}",
      "http://\u{e9}.com",
      "http://\u{ff11}27.0.0.1", "http://127\u{3002}0.0.1", "http://a\u{ad}b", "http://%31", "http://a%2eb", "http://a_b",
      "http://a b",
      "http://", "http:///a", "http://?a", "http://a.", "http://.a", "http://a..b", "http://a:", "http://a:0", "http://a:65536",
      "http://a:8x", "http://a:-1", "http://a: 1", "http://a:1:2", "http://a;b", "http://a,b", "http://a*b", "http://a^b",
      "http://a|b",
      "http://a/b\"", "http://a/<", "http://a/>", "http://a/{b}", "http://a/^", "http://a/`", "http://a/b c", "http://a/%",
      "http://a/%2",
      "http://a/%zz", "http://a/.", "http://a/..", "http://a/b/../c", "http://a/%2e%2e/c", "http://a/.%2E/c", "http://a/%2e",
      "http://a/./",
      "http://a/\u{e9}", "http://a?\"", "http://a?'", "http://a?<", "http://a?b>", "http://a#", "http://a/#b", "http://a?b#c",
      "file:///etc/passwd", "javascript:0", "data:,x", "ws://a", "wss://a", "//a", "a", "",
      "http://" + String(repeating: "a", count: 64), "http://" + String(repeating: "a.", count: 127) + "a",
    ])
  func refused(text: String) { #expect(throws: Fault(.invalidInput, "")) { _ = try WebAddress(text) } }

  @Test("a secret goes in the clear to this machine and to nobody else")
  func secrecy() throws {
    for text in [
      "http://127.0.0.1", "http://127.255.255.254:9", "http://localhost", "http://LOCALHOST:1/x", "http://[::1]", "https://a.b",
    ] {
      try WebAddress(text).requireSecrecy()
    }
    for text in [
      "http://126.255.255.255", "http://128.0.0.1", "http://10.0.0.1", "http://0.0.0.0", "http://localhost.evil.test",
      "http://127.evil.test",
      "http://a.localhost", "http://[::2]", "http://[::]", "http://[::127.0.0.1]", "http://87.0.0.1",
    ] {
      #expect(throws: Fault(.invalidInput, "")) { try WebAddress(text).requireSecrecy() }
    }
  }
}
