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

  @Test(
    "numbers that are not whole or do not fit into 63 bits are absent",
    arguments: [
      "1.5", "1e-1", "99999999999999999999", "1e19", "1e400", "9223372036854775808", "1.00000000000000000000001", "\"5\"", "null",
    ])
  func notIntegers(text: String) { #expect(probe(Array("{\"a\":\(text)}".utf8)).number(2) == nil) }

  @Test(
    "a whole number is read as such, however it is written",
    arguments: [
      ("1e3", 1000), ("1.0", 1), ("1024.000", 1024), ("-0.0", 0), ("12.5e1", 125), ("5E+2", 500), ("1000e-3", 1),
      ("9223372036854775807", .max), ("-9223372036854775807", -.max), ("0e999", 0),
    ] as [(String, Int64)])
  func wholeNumbers(text: String, value: Int64) {
    let bytes = Array("{\"a\":\(text)}".utf8)
    for pieces in 1...bytes.count { #expect(probe(bytes, pieces: pieces).number(2) == value) }
  }

  @Test(
    "what is not a count is marked, and stays marked: negative, not whole, above the range, of another type",
    arguments: [
      ("-1", true), ("1.5", true), ("1e400", true), ("1e30", true), ("1099511627777", true), ("9223372036854775807", true),
      ("\"5\"", true), ("true", true), ("[1]", true), ("{}", true), ("{\"a\":1}", true), ("-9223372036854775808", true),
      ("0", false), ("7", false), ("1e3", false), ("-0.0", false), ("null", false), ("1099511627776", false),
    ] as [(String, Bool)])
  func impossible(text: String, isImpossible: Bool) {
    for slot in [JSONPaths.Slot.number(0), .sum(0)] {
      let paths = JSONPaths([("a", slot)])
      var probe = JSONProbe()
      let bytes = Array("{\"a\":\(text)}".utf8)
      for i in bytes.indices { probe.feed(bytes.span.extracting(i..<(i + 1)), paths) }
      #expect(probe.isImpossible(0) == isImpossible, "\(slot)")
      probe.startNextDocument()
      probe.feed(Array(#"{"a":1}"#.utf8).span, paths)
      #expect(probe.isImpossible(0) == isImpossible && probe.number(0) != nil, "the next document does not clear it")
      probe.reset()
      #expect(!probe.isImpossible(0) && probe.number(0) == nil)
    }
  }

  @Test("nothing of a document is left after a reset: sums, counts and numbers begin anew") func resets() {
    let paths = JSONPaths([("s.[]", .sum(8)), ("c.[]", .count(9)), ("f", .scaled(7, power: 9)), ("n", .number(0))])
    var used = JSONProbe()
    used.feed(Array(#"{"s":[100000,5],"c":[1,2,3],"f":1.5,"n":-3}"#.utf8).span, paths)
    #expect(used.number(8) == 100_005 && used.number(9) == 3 && used.number(7) == 1_500_000_000)
    used.reset()
    for slot in 0..<JSONProbe.numbersMax {
      #expect(used.number(slot) == nil && used.kind(slot) == .absent && !used.isImpossible(slot))
    }
    used.feed(Array(#"{"s":[10],"c":[1]}"#.utf8).span, paths)
    #expect(used.number(8) == 10 && used.number(9) == 1 && used.number(7) == nil)
  }

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
