import FoundationEssentials
import Primitives
import TestSupport
import Testing
import Wire

/// The tests of Node's parser, read from their Markdown: what llhttp refuses we refuse, what it accepts we accept, with the
/// same framing, except where RFC 9112 lets us be stricter (`stricter` says why).
struct LlhttpCorpusTests {
  struct Case: Sendable {
    let name: String
    let type: String
    let input: [UInt8]
    let log: String
    var isError: Bool { log.contains(" error code=") }
    var bodies: String {
      log.split(separator: "\n").compactMap { line in
        guard let at = line.firstRange(of: "span[body]=") else { return nil }
        if line[at.upperBound...] == "cr" { return "\r" }
        if line[at.upperBound...] == "lf" { return "\n" }
        return Self.unescape(String(line[at.upperBound...]).trimmingPrefixAndSuffix("\""))
      }.joined()
    }
    static func unescape(_ text: String) -> String {
      text.replacing("\\r", with: "\r").replacing("\\n", with: "\n").replacing("\\t", with: "\t").replacing("\\f", with: "\u{0C}")
    }
  }

  /// What llhttp takes and we refuse, with the reason; anything else that differs fails the test.
  static let stricter: [(why: String, names: [String])] = [
    (
      "a method or protocol that no provider has",
      [
        "REPORT", "M-SEARCH", "PURGE", "SEARCH", "LINK", "SOURCE", "OPTIONS request with RTSP", "ANNOUNCE", "QUERY", "RTSP",
        "ICE",
        "HTTP version 0.9", "No HTTP version",
      ]
    ),
    (
      "a target that is no path, or holds a character that RFC 3986 does not have",
      [
        "Quotes in URI", "Host terminated", "`host:port`", "vertical bar", "Fragment in URI", "POST with `chunked` as last",
      ]
    ),
    (
      "a Host that is no host, or none in a request after the first",
      ["curl GET", "Firefox GET", "explicitly", "multiple events"]
    ),
    ("more than one empty line between messages", ["CRLF between requests", "Response starting with CRLF"]),
    (
      "a body where our client, which never reuses such a connection, has stopped reading",
      ["304 with Content-Length", "100 first"]
    ),
    ("a transfer coding other than chunked", ["other transfer-encoding", "not the last one", "chunkedchunked"]),
  ]

  /// llhttp refuses what comes after a message that closes the connection; we close and never look at it. CONNECT is refused
  /// later, by the server.
  static let closed = [
    "explicit `close`", "keep-alive disabled", "keep-alive is off", "pausing", "CONNECT", "Underscore in hostname",
    "Setting a flag",
  ]

  static func cases(_ folder: String) throws -> [Case] {
    guard let root = Corpora.folder("llhttp/test") else { return [] }
    var all: [Case] = []
    for file in try Corpora.files(in: "\(root)/\(folder)") {
      var name = ""
      var type: String?
      var http: [String]?
      var log: [String]?
      var block = ""
      for line in try Corpora.text(file).split(separator: "\n", omittingEmptySubsequences: false) {
        if block == "", line.hasPrefix("#") { name = String(line.drop(while: { $0 == "#" || $0 == " " })) }
        if block == "", line.hasPrefix("<!-- meta=") { type = line.split(separator: "\"").dropFirst(3).first.map(String.init) }
        if line.hasPrefix("```") {
          if block == "" {
            block = String(line.dropFirst(3)); if block == "http" { http = [] } else { log = [] }
          } else {
            if block == "log", let lines = http, let kind = type {
              all.append(
                Case(
                  name: "\(file.split(separator: "/").last!): \(name)", type: kind, input: bytes(lines),
                  log: (log ?? []).joined(separator: "\n")))
              http = nil
            }
            block = ""
          }
          continue
        }
        if block == "http" { http?.append(String(line)) } else if block == "log" { log?.append(String(line)) }
      }
    }
    return all
  }

  /// Lines end in CRLF unless they end in a backslash; `\r`, `\n`, `\t`, `\f` are escapes.
  private static func bytes(_ lines: [String]) -> [UInt8] {
    var out: [UInt8] = []
    for (i, line) in lines.enumerated() {
      let continues = line.hasSuffix("\\")
      out += Array(Case.unescape(continues ? String(line.dropLast()) : line).utf8)
      if !continues, i < lines.count - 1 { out += [13, 10] }
    }
    return out
  }

  /// Messages in `input`: their bodies, and the error that ended the run, if one did.
  private func parse(_ input: [UInt8], response: Bool) -> (body: String, messages: Int, error: HTTPError?) {
    var at = 0
    var body: [UInt8] = []
    var messages = 0
    do {
      while at < input.count {
        let rest = input.span.extracting(at..<input.count)
        var decoder: BodyDecoder
        var isKeepAlive = true
        if response {
          var head = ResponseHead()
          guard try head.parse(rest, answering: .get, limits: HeadLimits()) else { break }
          (at, decoder, isKeepAlive) = (at + head.length, BodyDecoder(head.framing), head.isKeepAlive)
        } else {
          var head = RequestHead()
          guard try head.parse(rest, limits: HeadLimits()) else { break }
          (at, decoder, isKeepAlive) = (at + head.length, BodyDecoder(head.framing), head.isKeepAlive)
        }
        messages += 1
        decoding: while true {
          switch try decoder.step(input.span.extracting(at..<input.count)) {
          case .content(let range):
            body += input[(at + range.lowerBound)..<(at + range.upperBound)]
            at += range.upperBound
          case .more(let used), .end(let used):
            at += used
            break decoding
          }
        }
        if !isKeepAlive { break }
      }
    } catch { return (String(decoding: body, as: UTF8.self), messages, error) }
    return (String(decoding: body, as: UTF8.self), messages, nil)
  }

  @Test("the strict cases of llhttp end as llhttp ends them, or stricter", arguments: ["request", "response"])
  func strictCases(folder: String) throws {
    var agreed = 0
    var stricter = 0
    for c in try Self.cases(folder) where c.type == folder {
      // Without a Host header no HTTP/1.1 request is complete for us; the corpus leaves it out.
      var input = c.input
      if folder == "request", let line = String(decoding: input, as: UTF8.self).firstRange(of: "HTTP/1.1\r\n"),
        !c.log.contains("=\"Host\"")
      {
        let text = String(decoding: input, as: UTF8.self)
        input = Array((text[..<line.upperBound] + "Host: x\r\n" + text[line.upperBound...]).utf8)
      }
      let result = parse(input, response: folder == "response")
      if c.isError {
        #expect(result.error != nil || Self.closed.contains(where: c.name.contains), "\(c.name): llhttp refuses this, we took it")
        agreed += 1
      } else if let error = result.error {
        stricter += 1
        let known = Self.stricter.contains { $0.names.contains(where: c.name.contains) }
        #expect(known, "\(c.name): llhttp takes this, we refuse it: \(error.reason)")
      } else {
        // A pause or an upgrade ends llhttp's run inside the input; a response without length has its whole rest as body.
        // "no body is received" is run by llhttp with bodies switched off.
        let runsOn = c.log.contains("ause") || c.log.contains("upgrade") || c.name.contains("no body is received")
        #expect(result.body == c.bodies || runsOn, "\(c.name)")
        agreed += 1
      }
    }
    print("llhttp \(folder): \(agreed) cases agree, \(stricter) are refused although llhttp takes them")
  }
}

extension String {
  fileprivate func trimmingPrefixAndSuffix(_ mark: Character) -> String {
    var text = self[...]
    if text.first == mark { text = text.dropFirst() }
    if text.last == mark { text = text.dropLast() }
    return String(text)
  }
}
