import Primitives
import Testing
import Wire

struct RequestHeadTests {
  private func status(_ text: String, _ limits: HeadLimits = HeadLimits()) -> UInt16 {
    var head = RequestHead()
    let bytes = Array(text.utf8)
    do throws(HTTPError) { return try head.parse(bytes.span, limits: limits) ? 200 : 0 } catch { return error.status }
  }

  private static let host = "Host: a\r\n"

  @Test(
    "smuggling: two readings of a length are no reading",
    arguments: [
      "Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5",
      "Content-Length: +5",
      "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length: ", "Content-Length: -0",
      "Content-Length: 99999999999999999999", "Content-Length : 5",
      "Content-Length: 5\r\n continued", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
      "Transfer-Encoding\u{0B}: chunked", " Content-Length: 5",
      "X: a\rContent-Length: 5", "X: a\nContent-Length: 5", "X: \0", "X y: 1", ": 1", "Host: b", "Host: a/b", "Host: a?b",
    ])
  func smuggling(fields: String) { #expect(status("POST / HTTP/1.1\r\n\(Self.host)\(fields)\r\n\r\n") == 400) }

  @Test("codings, expectations, methods and versions that we do not have are named as such") func unsupported() {
    for coding in ["gzip", "chunked, gzip", "gzip, chunked", "identity", "xchunked", "chunked;q=1"] {
      #expect(status("POST / HTTP/1.1\r\n\(Self.host)Transfer-Encoding: \(coding)\r\n\r\n") == 501, "\(coding)")
    }
    #expect(status("POST / HTTP/1.1\r\n\(Self.host)Expect: 200-ok\r\n\r\n") == 417)
    #expect(status("BREW / HTTP/1.1\r\n\(Self.host)\r\n") == 501)
    #expect(status("GET / HTTP/2.0\r\n\(Self.host)\r\n") == 400)
    #expect(status("GET / HTTP/1.2\r\n\(Self.host)\r\n") == 505)
  }

  @Test("a target is a path of plain characters", arguments: ["http://a/", "a", "/a b", "/a#b", "/a\\b", "/ä", "/a\"", "*", ""])
  func targets(target: String) { #expect(status("GET \(target) HTTP/1.1\r\n\(Self.host)\r\n") == 400) }

  @Test("limits hold on both sides of the boundary") func limits() {
    let line = "GET / HTTP/1.1\r\n\(Self.host)"
    let limits = HeadLimits(bytesMax: 200, fieldsMax: 3)
    func padded(_ total: Int) -> String { "\(line)X: \(String(repeating: "a", count: total - line.utf8.count - 7))\r\n\r\n" }
    #expect(status(padded(200), limits) == 200)
    #expect(status(padded(201), limits) == 431)
    #expect(status(String(padded(300).dropLast(2)), limits) == 431)
    #expect(status("\(line)A: 1\r\nB: 1\r\n\r\n", limits) == 200)
    #expect(status("\(line)A: 1\r\nB: 1\r\nC: 1\r\n\r\n", limits) == 431)
  }

  @Test("a head is read the same wherever it is cut") func incremental() throws {
    let bytes = Array(
      "POST /v1/x?q=1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 7\r\nConnection: keep-alive, close\r\nExpect: 100-continue\r\n\r\nBODY"
        .utf8)
    for n in 0..<(bytes.count - 4) {
      var head = RequestHead()
      #expect(try !head.parse(bytes.span.extracting(0..<n), limits: HeadLimits()), "\(n)")
    }
    var head = RequestHead()
    #expect(try head.parse(bytes.span, limits: HeadLimits()))
    #expect(head.length == bytes.count - 4 && head.framing == .length(7) && !head.isKeepAlive && head.expectsContinue)
    #expect(String(decoding: [UInt8](copying: bytes.span.extracting(head.target.range)), as: UTF8.self) == "/v1/x?q=1")
  }

  @Test("HTTP/1.0 keeps a connection only when asked, and knows no chunks") func http10() throws {
    var head = RequestHead()
    #expect(try head.parse(Array("GET / HTTP/1.0\r\n\r\n".utf8).span, limits: HeadLimits()) && !head.isKeepAlive)
    #expect(
      try head.parse(Array("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".utf8).span, limits: HeadLimits())
        && head.isKeepAlive)
    #expect(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400)
  }
}

struct BodyDecoderTests {
  private func decode(_ text: String) -> String? {
    var decoder = BodyDecoder(.chunked)
    let bytes = Array(text.utf8)
    var body: [UInt8] = []
    var at = 0
    do throws(HTTPError) {
      while true {
        switch try decoder.step(bytes.span.extracting(at..<bytes.count)) {
        case .content(let range):
          body += bytes[(at + range.lowerBound)..<(at + range.upperBound)]
          at += range.upperBound
        case .more: return nil
        case .end: return String(decoding: body, as: UTF8.self)
        }
      }
    } catch { return "refused" }
  }

  @Test("chunks, extensions and trailers are taken apart and the last two dropped") func chunks() {
    #expect(decode("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n") == "abcde")
    #expect(decode("A;a=\"q;\\\"\"\r\n0123456789\r\n0\r\n\r\n") == "0123456789")
    #expect(decode("0\r\n\r") == nil)
  }

  @Test(
    "broken chunk framing is refused",
    arguments: [
      "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n", "-1\r\n", "+1\r\n", "0x1\r\na\r\n", " 1\r\na\r\n", "1 \r\na\r\n", "\r\n",
      "g\r\n", "FFFFFFFFFFFFFFFFF\r\n", "1;\r\na\r\n",
      "1;a=\"b\r\na\r\n", "1;a\u{1}\r\na", "1\r\na\n0\r\n\r\n", "0\r\n: x\r\n\r\n", "0\r\n x\r\n\r\n", "0\r\nA: b\n\r\n",
    ])
  func broken(text: String) { #expect(decode(text) == "refused") }

  @Test("extensions and trailers have a limit") func dropped() {
    #expect(decode("1;a=\(String(repeating: "b", count: BodyDecoder.droppedMax))\r\na\r\n0\r\n\r\n") == "refused")
    #expect(decode("0\r\n\(String(repeating: "A: b\r\n", count: 2000))\r\n") == "refused")
  }
}
