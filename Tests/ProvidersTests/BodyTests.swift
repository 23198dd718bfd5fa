import Domain
import FoundationEssentials
import Primitives
import Providers
import TestSupport
import Testing
import Wire

struct BodyTests {
  private func reach(_ body: String, _ dialect: Dialect = .openaiChat) -> BodyReach {
    let bytes = Array(body.utf8)
    return BodyReach.of(bytes.span, dialect)
  }

  @Test(
    "what comes in from elsewhere is seen, however the JSON is spaced",
    arguments: [
      (#"{"messages":[{"role":"user","content":"an \"image_url\" and a \"type\":\"image_url\" in words"}]}"#, BodyReach.itself),
      (
        #"{"tools":[{"type":"function","function":{"parameters":{"properties":{"image":{"type":"string"},"file":{"type":"object"}}}}}]}"#,
        .itself
      ),
      (#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}"#, .elsewhere),
      ("{\"content\":[{\"type\" \n:\t \"image\",\"source\":{}}]}", .elsewhere), (#"{"previous_response_id":"r"}"#, .elsewhere),
      (#"{"x":[{"type":"input_file","file_id":"f"}]}"#, .elsewhere),
      (#"{"source":{"type":"url","url":"https://x"}}"#, .elsewhere),
      (#"{"tools":[{"type":"web_search_20250305"}]}"#, .unbounded),
      (#"{"tools":[{"type":"mcp","server_url":"https://x"}]}"#, .unbounded),
      (#"{"web_search_options":{}}"#, .unbounded), (#"{"tools":[{"google_search":{}}]}"#, .unbounded),
      (#"{"tools":[{"type":"web\u005fsearch"}]}"#, .unbounded), (#"{"tools":[{"t\u0079pe":"web_search"}]}"#, .unbounded),
      (#"{"content":"caf\u00e9 \u003cb\u003e \\u0041"}"#, .itself), ("{}", .itself), ("", .itself), ("\"", .itself),
    ])
  func reaches(body: String, expected: BodyReach) { #expect(reach(body) == expected, "\(body)") }

  @Test("a stored prompt adds input to responses, and is the whole input of a completion") func prompts() {
    #expect(reach(#"{"prompt":{"id":"p"}}"#, .openaiResponses) == .elsewhere && reach(#"{"prompt":"text"}"#) == .itself)
    #expect(reach(#"{"content":[{"image":{"format":"png"}}]}"#, .bedrockConverse) == .elsewhere)
  }

  private func edited(_ body: String, _ dialect: Dialect, to tokens: Int64, usage: Bool = false) -> String? {
    let bytes = Array(body.utf8)
    var reader = RequestReader()
    reader.readAll(dialect)
    reader.isJSON = true
    // In pieces, so that places count from the start of the body and not of a piece.
    for i in bytes.indices { reader.feed(bytes.span.extracting(i..<(i + 1))) }
    guard reader.isClear() else { return nil }
    var edits: [RequestReader.Edit] = []
    guard reader.limitOutput(to: TokenCount(tokens), name: .maxTokens, into: &edits) else { return nil }
    if usage { _ = reader.askForUsage(into: &edits) }
    edits.sort { $0.place.lowerBound < $1.place.lowerBound }
    var target = ByteBuffer(capacity: 64)
    BodyEditor.apply(edits, to: bytes.span, into: &target)
    return String(decoding: target.copy(), as: UTF8.self)
  }

  @Test(
    "an answer's limit is lowered, or set where there is none, and nothing else is touched",
    arguments: [
      (#"{"model":"m","max_tokens":500}"#, Dialect.openaiChat, #"{"model":"m","max_tokens":100}"#),
      (#"{"model":"m","max_tokens":50}"#, .openaiChat, #"{"model":"m","max_tokens":50}"#),
      (
        #"{"max_tokens" : 500 , "max_completion_tokens":2000}"#, .openaiChat,
        #"{"max_tokens" : 100 , "max_completion_tokens":100}"#
      ),
      (#"{"model":"m","max_tokens":null}"#, .openaiChat, #"{"model":"m","max_tokens":100}"#),
      (#" { "model":"m"}"#, .openaiChat, #" {"max_tokens":100, "model":"m"}"#), ("{ }", .openaiChat, #"{"max_tokens":100 }"#),
      (#"{"input":"x"}"#, .openaiResponses, #"{"max_output_tokens":100,"input":"x"}"#),
      (#"{"x":{"max_tokens":900},"max_tokens":900}"#, .anthropicMessages, #"{"x":{"max_tokens":900},"max_tokens":100}"#),
      (#"{"contents":[]}"#, .gemini, #"{"generationConfig":{"maxOutputTokens":100},"contents":[]}"#),
      (#"{"generationConfig":{"temperature":1}}"#, .gemini, #"{"generationConfig":{"maxOutputTokens":100,"temperature":1}}"#),
      (#"{"generationConfig":{}}"#, .gemini, #"{"generationConfig":{"maxOutputTokens":100}}"#),
      (#"{"inferenceConfig":{"maxTokens":101}}"#, .bedrockConverse, #"{"inferenceConfig":{"maxTokens":100}}"#),
    ])
  func limits(body: String, dialect: Dialect, expected: String) { #expect(edited(body, dialect, to: 100) == expected) }

  @Test("where there is no limit to set, nothing pretends to") func opaque() { #expect(edited("{}", .opaque, to: 1) == nil) }

  @Test(
    "usage is asked for in a stream that would not tell it, however the options stand",
    arguments: [
      (#"{"max_tokens":1,"stream":true}"#, #"{"stream_options":{"include_usage":true},"max_tokens":1,"stream":true}"#),
      (
        #"{"max_tokens":1,"stream":true,"stream_options":{}}"#,
        #"{"max_tokens":1,"stream":true,"stream_options":{"include_usage":true}}"#
      ),
      (
        #"{"max_tokens":1,"stream":true,"stream_options":{"include_usage":false}}"#,
        #"{"max_tokens":1,"stream":true,"stream_options":{"include_usage":true}}"#
      ),
      (
        #"{"max_tokens":1,"stream":true,"stream_options":{"include_usage":true}}"#,
        #"{"max_tokens":1,"stream":true,"stream_options":{"include_usage":true}}"#
      ),
      (#"{"max_tokens":1,"stream":false}"#, #"{"max_tokens":1,"stream":false}"#), (#"{"max_tokens":1}"#, #"{"max_tokens":1}"#),
    ])
  func usage(body: String, expected: String) { #expect(edited(body, .openaiChat, to: 100, usage: true) == expected) }

  private func output(_ body: String, _ dialect: Dialect = .openaiChat) -> (RequestReader.OutputLimit, Int64?) {
    var reader = RequestReader()
    reader.readAll(dialect)
    reader.isJSON = true
    let bytes = Array(body.utf8)
    reader.feed(bytes.span)
    _ = reader.isClear()
    return (reader.outputLimit, reader.choices)
  }

  @Test("limits and choices that are no plain numbers are unclear, not absent") func unclear() {
    for value in [
      "\"100\"", "100.5", "1e30", "1e400", "9223372036854775807", "-1", "0", "true", "[1]", "{}", "99999999999999999999",
    ] {
      #expect(output("{\"max_tokens\":\(value)}").0 == .unclear, "\(value)")
      #expect(output("{\"n\":\(value)}").1 == nil, "\(value)")
    }
    for value in ["100.0", "1e2", "100"] { #expect(output("{\"max_tokens\":\(value),\"n\":\(value)}") == (.tokens(100), 100)) }
    #expect(output("{}") == (.absent, 1) && output(#"{"max_tokens":null,"n":null}"#) == (.absent, 1))
    #expect(output(#"{"max_tokens":5,"max_completion_tokens":9,"n":3,"best_of":4}"#) == (.tokens(9), 4))
    #expect(output(#"{"generation_config":{}}"#, .gemini).0 == .unclear)
    #expect(output(#"{"generationConfig":{"max_output_tokens":5}}"#, .gemini).0 == .unclear)
    #expect(output(#"{"generationConfig":[]}"#, .gemini).0 == .unclear)
  }

  @Test("only the event that the gateway asked for is taken out of a stream, wherever its bytes are cut") func filter() {
    let chunk = #"data: {"choices":[{"delta":{"content":"\"choices\":[] \"usage\":{"}}],"usage":null}"#
    let usage = #"data: {"id":"x", "choices" : [ ] , "usage": {"prompt_tokens":1}}"#
    let azure = #"data: {"choices":[],"prompt_filter_results":[]}"#
    let both = #"data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#
    for end in ["\n", "\r\n"] {
      let gap = end + end
      let stream = [azure, chunk, both, usage, "data: [DONE]"].map { $0 + gap }.joined()
      let expected = [azure, chunk, both, "data: [DONE]"].map { $0 + gap }.joined()
      for width in Array(1...200) + [10_000] {
        var filter = UsageEventFilter()
        var at = 0
        let bytes = Array(stream.utf8)
        while at < bytes.count {
          filter.feed(bytes.span.extracting(at..<min(at + width, bytes.count)))
          at += width
        }
        filter.finish()
        let passed = String(decoding: filter.ready.copy(), as: UTF8.self)
        #expect(passed.filter { $0 != "\r\n" && $0 != "\n" } == expected.filter { $0 != "\r\n" && $0 != "\n" }, "\(width)")
        #expect(passed.split(separator: gap).count == 4, "\(width): \(passed)")
      }
    }
  }
}

struct MultipartTests {
  private func find(_ body: String, boundary: String = "b") -> String {
    let (bytes, b) = (Array(body.replacing("\n", with: "\r\n").utf8), Array(boundary.utf8))
    switch MultipartForm.find("model", in: bytes.span, boundary: b.span) {
    case .absent: return "absent"
    case .unclear(.form): return "unclear"
    case .unclear(.charset): return "charset"
    case .unclear(.member(let range)): return "member \(String(decoding: bytes[range], as: UTF8.self))"
    case .value(let range): return String(decoding: bytes[range], as: UTF8.self)
    }
  }

  private let file =
    "--b\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\nContent-Type: audio/wav\n\nRIFF\n--x\n"

  @Test("the field is found before and after a file") func found() {
    let model = "--b\nContent-Disposition: form-data; name=\"model\"\n\nwhisper-1\n"
    #expect(find(model + file + "--b--\n") == "whisper-1" && find(file + model + "--b--") == "whisper-1")
    #expect(find(file + "--b--\n") == "absent")
  }

  @Test(
    "a form that two parsers could read differently is refused",
    arguments: [
      "--b\nContent-Disposition: form-data; name=\"model\"\n\na\n--b\nContent-Disposition: form-data; name=\"model\"\n\nb\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"Model\"\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name=model\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"mod\\el\"\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"mod%65l\"\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name*=UTF-8''model\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"model\"; filename=\"x\"\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"; name=\"model\"\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"model\"\nContent-Transfer-Encoding: base64\n\nYQ==\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"x\"\nContent-Disposition: form-data; name=\"model\"\n\na\n--b--\n",
      "preamble\n--b\nContent-Disposition: form-data; name=\"model\"\n\na\n--b--\n",
      "--b\nContent-Disposition: form-data; name=\"model\"\n\na\n--b--\nepilogue",
      "--b\nContent-Disposition: form-data; name=\"model\"\n\na\n", "--b\nContent-Disposition: form-data; name=\"model\"", "",
      "--b--",
      "--b\n\na\n--b--\n",
      // A line that begins like the boundary: the end of the part to some, content to others.
      "--b\nContent-Disposition: form-data; name=\"model\"\n\na\n--bx\n--b--\n",
    ])
  func unclear(body: String) { #expect(find(body) == "unclear", "\(body)") }

  @Test(
    "a part in a character set of its own is refused, and so is a field that may name another model",
    arguments: [
      ("--b\nContent-Disposition: form-data; name=\"model\"\nContent-Type: text/plain; charset=utf-7\n\na\n--b--\n", "charset"),
      ("--b\nContent-Type: text/plain;charset=\"UTF-16\"\nContent-Disposition: form-data; name=\"x\"\n\na\n--b--\n", "charset"),
      ("--b\nContent-Disposition: form-data; name=\"model\"\nContent-Type: text/plain; charset=UTF-8\n\na\n--b--\n", "a"),
      (
        "--b\nContent-Disposition: form-data; name=\"_charset_\"\n\nutf-7\n--b\nContent-Disposition: form-data; name=\"model\"\n\na\n--b--\n",
        "charset"
      ),
      (
        "--b\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\nContent-Type: text/plain; charset=utf-16\n\na\n--b--\n",
        "absent"
      ),
      ("--b\nContent-Disposition: form-data; name=\"fallbacks\"\n\na\n--b--\n", "member fallbacks"),
      ("--b\nContent-Disposition: form-data; name=\"draft_Model\"\n\na\n--b--\n", "member draft_Model"),
      ("--b\nContent-Disposition: form-data; name=\"route\"\n\na\n--b--\n", "member route"),
    ])
  func charsets(body: String, found: String) { #expect(find(body) == found, "\(body)") }

  @Test("bare line feeds end no line") func lineFeeds() {
    let bytes = Array("--b\nContent-Disposition: form-data; name=\"model\"\n\na\n--b--\n".utf8)
    let b: [UInt8] = [98]
    let found = MultipartForm.find("model", in: bytes.span, boundary: b.span)
    #expect(found == .unclear(.form))
  }

  @Test(
    "one plain boundary is read off a content type, and nothing that could be another",
    arguments: [
      ("multipart/form-data; boundary=abc-1", "abc-1"), ("Multipart/Form-Data;boundary=\"a.b\"", "a.b"),
      ("multipart/form-data", nil), ("multipart/form-data; boundary=", nil), ("multipart/form-data; boundary=a; boundary=b", nil),
      ("multipart/form-data; charset=x; boundary=a", nil), ("multipart/mixed; boundary=a", nil),
      ("multipart/form-data; boundary=a b", nil), ("multipart/form-data; boundary=\"a", nil),
    ])
  func boundaries(type: String, boundary: String?) {
    let bytes = Array(type.utf8)
    let range = MultipartForm.boundary(contentType: bytes.span)
    #expect(range.map { String(decoding: bytes[$0], as: UTF8.self) } == boundary)
  }
}

struct PathModelTests {
  @Test(
    "a model in a path is the one that the provider reads there",
    arguments: [
      ("azure", "/openai/deployments/my-gpt/chat/completions", "my-gpt"),
      ("gemini", "/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro"),
      ("gemini", "/models/gemini-2.5-pro:streamGenerateContent", "gemini-2.5-pro"),
      ("bedrock", "/model/anthropic.claude-v2%3A1/converse", "anthropic.claude-v2:1"),
      ("bedrock", "/model/anthropic.claude-v2:1/converse", "anthropic.claude-v2:1"),
      (
        "bedrock", "/model/arn%3aaws%3abedrock%3aeu-west-1%3a123%3Ainference-profile%2Feu.x/invoke",
        "arn:aws:bedrock:eu-west-1:123:inference-profile/eu.x"
      ),
      (
        "bedrock", "/model/arn:aws:bedrock:eu-west-1:123:inference-profile/eu.x/converse",
        "arn:aws:bedrock:eu-west-1:123:inference-profile/eu.x"
      ),
    ])
  func models(kind: String, path: String, model: String) {
    let bytes = Array(path.utf8)
    guard let found = Catalogue.builtIn[kind]?.endpoint(.post, bytes.span) else {
      Issue.record("\(path) is no endpoint")
      return
    }
    let name = PathName.decoded(bytes.span.extracting(found.model))
    #expect(String(decoding: [UInt8](copying: name.span), as: UTF8.self) == model)
  }

  @Test(
    "a path that two parsers could read differently is no endpoint",
    arguments: [
      // A server behind a front that decodes would see other folders.
      ("azure", "/openai/deployments/gpt-4o-mini%2F..%2Fgpt-5-pro/chat/completions"),
      ("azure", "/openai/deployments/a%2Fb/chat/completions"),
      ("azure", "/openai/deployments/..%2Fb/chat/completions"), ("azure", "/openai/deployments/a%5C..%5Cb/chat/completions"),
      ("azure", "/openai/deployments/a\\b/chat/completions"), ("azure", "/openai/deployments/%2F/chat/completions"),
      ("azure", "/openai/deployments/a%252Fb/chat/completions"), ("azure", "/openai/deployments/a%2/chat/completions"),
      ("azure", "/openai/deployments/%2e%2e/chat/completions"), ("azure", "/openai/deployments/.../chat/completions"),
      ("bedrock", "/model/a%2F..%2Fb/converse"), ("bedrock", "/model/a/../b/converse"), ("bedrock", "/model/a%2f%2fb/converse"),
      ("bedrock", "/model/a//b/converse"), ("bedrock", "/model/%2Fa/converse"), ("bedrock", "/model/a%2F/converse"),
      ("bedrock", "/model/..%2Fa/converse"), ("bedrock", "/model/a%2F.%2Fb/converse"), ("bedrock", "/model/a%5Cb/converse"),
      ("bedrock", "/model/1/2/3/4/5/6/7/8/9/converse"), ("gemini", "/v1beta/models/a%2F..%2Fb:generateContent"),
      ("gemini", "/v1beta/models/a:countTokens:generateContent"), ("gemini", "/v1beta/models/a%3AcountTokens:generateContent"),
      ("vertex", "/v1/projects/p%2F..%2Fq/locations/l/publishers/google/models/m:generateContent"),
      ("vertex", "/v1/projects/p/locations/../publishers/google/models/m:generateContent"),
      ("huggingface", "/..%2Fx/v1/chat/completions"), ("huggingface", "/a%2Fb/v1/chat/completions"),
      ("databricks", "/serving-endpoints/a%2F..%2Fb/invocations"), ("replicate", "/v1/models/a%2Fb/c/predictions"),
      ("openai", "/v1/responses/resp_1%2F..%2Fresp_2/cancel"), ("openai", "/v1/vector_stores/..%2Ffiles%2Ff/search"),
      ("azure", "/openai/deployments//chat/completions"), ("azure", "/openai/deployments/a/b/chat/completions"),
      ("azure", "/openai/deployments/../chat/completions"), ("azure", "/openai/deployments/a%2e/chat/completions"),
      ("gemini", "/v1beta/models/:generateContent"), ("gemini", "/v1beta/models/a/../b:generateContent"),
      ("gemini", "/v1beta/models/a%00:generateContent"), ("bedrock", "/model/a%252Fb/converse"),
      ("bedrock", "/model/a;b/converse"),
      ("bedrock", "/model/a/converse/"), ("bedrock", "/model//converse"), ("openai", "/v1/v1/models"),
      ("openai", "/v1/chat/completions/"),
    ])
  func refused(kind: String, path: String) {
    let bytes = Array(path.utf8)
    let isThere = Catalogue.builtIn[kind]?.endpoint(.post, bytes.span) != nil
    #expect(!isThere)
  }

  @Test(
    "no placeholder of any endpoint takes a separator or dots, escaped or not, unless the catalogue says that names have slashes")
  func everyPlaceholder() throws {
    let names = ["{}", "{model}", "{object}", "{model/}"]
    let parts = [
      "..", ".", "", "..%2Ffiles", "a%2F..%2Fb", "a%2F", "%2Fa", "a%2F%2Fb", "%2e%2e", "%2e", "a%5Cb", "a%5c..%5cb", "a%252Fb",
      "a%00", "a;b",
    ]
    var placeholders = 0
    for entry in Catalogue.builtIn.all {
      for line in try Repository.text("Sources/CCatalogue/\(entry.name).yaml").split(separator: "\n") {
        let words = line.split(separator: " ").map(String.init).filter { $0 != "-" }
        guard line.hasPrefix("  - "), words.count > 3, words[1].hasPrefix("/") else { continue }
        let path = words[1]
        let method = try #require(words[0] == "WS" ? .get : Wire.Method.allCases.first { "\($0.name)" == words[0] })
        func isFound(_ path: String) -> Bool {
          let bytes = Array(path.utf8)
          return entry.endpoint(method, bytes.span, isSocket: words[0] == "WS") != nil
        }
        // Each placeholder in turn, the others plain.
        func plain(_ path: String) -> String { names.reduce(path) { $0.replacing($1, with: "x1") } }
        #expect(isFound(plain(path)), "\(entry.name) \(line)")
        for name in names {
          for place in path.ranges(of: name) {
            placeholders += 1
            for part in parts {
              let asked = plain(String(path[..<place.lowerBound])) + part + plain(String(path[place.upperBound...]))
              #expect(!isFound(asked), "\(entry.name) \(asked)")
            }
            #expect(
              isFound(plain(String(path[..<place.lowerBound])) + "a%2Fb" + plain(String(path[place.upperBound...])))
                == (name == "{model/}"))
          }
        }
      }
    }
    #expect(placeholders > 100)
  }
}
