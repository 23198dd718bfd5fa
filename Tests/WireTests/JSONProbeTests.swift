import FoundationEssentials
import Primitives
import TestSupport
import Testing
import Wire

struct JSONProbeTests {
  let paths = JSONPaths([("model", .text(0)), ("stream", .number(0)), ("usage.total", .number(1)), ("a", .number(2))])

  private func probe(_ text: [UInt8], pieces: Int = .max) -> JSONProbe {
    var probe = JSONProbe()
    var at = 0
    while at < text.count {
      let end = min(at + pieces, text.count)
      probe.feed(text.span.extracting(at..<end), paths)
      at = end
    }
    probe.finish(paths)
    return probe
  }

  @Test("JSONTestSuite: every y file is taken, every n file refused, whole or byte by byte", arguments: [Int.max, 1])
  func suite(pieces: Int) throws {
    guard let folder = Corpora.folder("JSONTestSuite/test_parsing") else { return }
    var counts = (y: 0, n: 0, i: 0)
    for file in try Corpora.files(in: folder) {
      let name = String(file.split(separator: "/").last!)
      let status = probe(try Corpora.data(file), pieces: pieces).status
      switch name.first {
      case "y":
        counts.y += 1
        #expect(status == .complete, "\(name)")
      case "n":
        counts.n += 1
        #expect(status != .complete, "\(name)")
      default: counts.i += 1
      }
    }
    #expect(counts.y == 95 && counts.n == 188, "the corpus changed")
  }

  @Test("the members asked for are read wherever the text is cut") func members() {
    let text = Array(
      #"{"x":[{"model":"no"}],"model":"gpt\u002d4\u00e9o","stream":true,"usage":{"total": 42 ,"b":1.5},"a":-7}"#.utf8)
    for pieces in 1...text.count {
      let p = probe(text, pieces: pieces)
      #expect(p.status == .complete)
      #expect(String(decoding: [UInt8](copying: p.text(0).span), as: UTF8.self) == "gpt-4éo")
      #expect(p.number(0) == 1)
      #expect(p.number(1) == 42)
      #expect(p.number(2) == -7)
      #expect(!p.hasDuplicate)
    }
  }

  @Test(
    "a name that occurs twice is reported, however it is spelt",
    arguments: [#"{"model":"a","model":"b"}"#, #"{"model":"a","mod\u0065l":"b"}"#])
  func duplicates(text: String) { #expect(probe(Array(text.utf8)).hasDuplicate) }

  @Test(
    "half of a surrogate pair alone is refused, wherever the text is cut; both halves are one character",
    arguments: [
      #"\ud83d"#, #"\ude00"#, #"\ud83dx"#, #"\ud83d\n"#, #"\ud83d\\u"#, #"\ud83d\ud83d"#, #"\ud83d\u0041"#, #"\ude00\ud83d"#,
      #"\ud83d\ude00\ude00"#, #"\ud83"#, #"\ud83g"#,
      #"\ud83dxude00"#, #"\ud83d\xde00"#,
    ])
  func surrogates(text: String) {
    let bad = Array("{\"model\":\"\(text)\"}".utf8)
    for pieces in 1...bad.count { #expect(probe(bad, pieces: pieces).status == .invalid) }
    let good = Array(#"{"model":"\uD83D\ude00"}"#.utf8)
    for pieces in 1...good.count {
      let p = probe(good, pieces: pieces)
      #expect(p.status == .complete && String(decoding: [UInt8](copying: p.text(0).span), as: UTF8.self) == "😀")
    }
  }

  @Test("numbers that are no 63-bit integers are absent", arguments: ["1e3", "1.0", "99999999999999999999", "\"5\"", "null"])
  func notIntegers(text: String) { #expect(probe(Array("{\"a\":\(text)}".utf8)).number(2) == nil) }

  @Test("a string longer than the room for it is absent and says so") func truncated() {
    let p = probe(Array("{\"model\":\"\(String(repeating: "m", count: 129))\"}".utf8))
    #expect(p.isTruncated)
    #expect(p.text(0).count == 0)
    #expect(probe(Array("{\"model\":\"\(String(repeating: "m", count: 128))\"}".utf8)).text(0).count == 128)
  }

  @Test("depth is bounded: 64 levels pass, 65 do not") func depth() {
    for (levels, status) in [(64, JSONProbe.Status.complete), (65, .invalid)] {
      let text = String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
      #expect(probe(Array(text.utf8)).status == status)
    }
  }
}
