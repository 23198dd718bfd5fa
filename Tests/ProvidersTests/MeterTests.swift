import Domain
import FoundationEssentials
import Primitives
import Providers
import TestSupport
import Testing
import Wire

/// The meters on what providers were recorded to send.
struct MeterTests {
  struct Cassette: Decodable {
    struct Response: Decodable {
      let status: Int
      let headers: [String: String]
      let body_b64: String
    }
    let response: Response
  }

  private func measure(_ body: [UInt8], _ dialect: Dialect, _ type: String, pieces: Int = 7) -> UsageMeter {
    var meter = UsageMeter(dialect, UsageMeter.format(contentType: Array(type.utf8).span))
    var at = 0
    while at < body.count {
      let end = min(at + pieces, body.count)
      meter.feed(body.span.extracting(at..<end))
      at = end
    }
    return meter
  }

  private func recorded(_ name: String) throws -> (body: [UInt8], type: String)? {
    let root = ProcessInfo.processInfo.environment["MASKLLM_CASSETTES"] ?? "../shared/cassettes"
    guard FileManager.default.fileExists(atPath: "\(root)/\(name).json") else {
      print("SKIPPED: no recorded answer at \(root)/\(name).json; set MASKLLM_CASSETTES")
      return nil
    }
    let cassette = try JSONDecoder().decode(Cassette.self, from: Data(try Corpora.data("\(root)/\(name).json")))
    return (
      [UInt8](Data(base64Encoded: cassette.response.body_b64)!), cassette.response.headers["content-type"] ?? "application/json"
    )
  }

  @Test(
    "usage is read from recorded answers, streaming and not, wherever the bytes are cut",
    arguments: [
      ("openai/chat", Dialect.openaiChat, Usage(input: 20, output: 3, cacheRead: 0, reasoning: 0)),
      (
        "openai/chat-stream-with-usage", .openaiChat,
        Usage(input: 13, output: 50, cacheRead: 0, reasoning: 50, audioInput: 0, audioOutput: 0)
      ),
      (
        "openai/chat-stream-tool-calls-usage", .openaiChat,
        Usage(input: 398, output: 10, cacheRead: 0, reasoning: 0, audioInput: 0, audioOutput: 0)
      ),
      ("openai/responses", .openaiResponses, Usage(input: 12, output: 8, cacheRead: 0, reasoning: 0)),
      ("azure/v1-responses-stream", .openaiResponses, Usage(input: 18, output: 120, cacheRead: 0, cacheWrite: 0, reasoning: 64)),
      ("anthropic/stream-cache-read", .anthropicMessages, Usage(input: 11, output: 100, cacheRead: 1031, cacheWrite: 0)),
      ("anthropic/message-tool-use", .anthropicMessages, Usage(input: 568, output: 58, cacheRead: 0, cacheWrite: 0)),
      ("openai/error-401", .openaiChat, Usage()),
    ])
  func recordings(name: String, dialect: Dialect, usage: Usage) throws {
    guard let (body, type) = try recorded(name) else { return }
    for pieces in [1, 7, 1000, Int.max] {
      let meter = measure(body, dialect, type, pieces: pieces)
      #expect(meter.usage == usage, "\(name) in pieces of \(pieces)")
      if type.hasPrefix("text/event-stream") { #expect(meter.isComplete, "\(name)") }
    }
  }

  @Test("cached tokens are taken off the input only where they are inside it") func cached() {
    let inside = Array(#"{"usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}}"#.utf8)
    #expect(measure(inside, .openaiChat, "application/json").usage == Usage(input: 6, output: 1, cacheRead: 4))
    let impossible = Array(
      #"{"usage":{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":163}}}"#.utf8)
    #expect(measure(impossible, .openaiChat, "application/json").usage.input == 7)
    let beside = Array(#"{"usage":{"input_tokens":10,"output_tokens":1,"cache_read_input_tokens":40}}"#.utf8)
    #expect(measure(beside, .anthropicMessages, "application/json").usage == Usage(input: 10, output: 1, cacheRead: 40))
  }

  @Test("usage in the text of an answer is not usage") func decoys() {
    let body = Array(
      #"{"choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":1}}","usage":{"prompt_tokens":2}}}],"x":{"usage":{"prompt_tokens":3}}}"#
        .utf8)
    #expect(measure(body, .openaiChat, "application/json").usage == Usage())
  }

  @Test(
    "events that are passed over change nothing: usage, model and pieces are those of reading every byte",
    arguments: [
      (
        Dialect.openaiChat,
        [
          #"{"model":"m","choices":[{"delta":{"role":"assistant"}}]}"#, #"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#,
          #"{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9}"}}]}"#,
          #"{"usage":null,"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":4}}}"#,
          #"{"choices":[],"usage" : {"prompt_tokens":5,"completion_tokens":6}}"#, "[DONE]",
        ], "m", 5, 6, 5
      ),
      (
        .anthropicMessages,
        [
          #"{"type":"message_start","message":{"model":"c","usage":{"input_tokens":7,"output_tokens":1}}}"#,
          #"{"type":"content_block_delta","usage":{"output_tokens":99}}"#,
          #"{"type":"message_delta","usage":{"output_tokens":8}}"#, #"{"type":"content_block_delta"}"#,
          #"{"type":"message_stop"}"#,
        ], "c", 7, 8, 2
      ),
      (
        .openaiResponses,
        [
          #"{"type":"response.created","response":{"model":"r"}}"#, #"{"type":"response.output_text.delta","delta":"usage"}"#,
          #"{"type":"response.output_text.done"}"#,
          #"{"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2}}}"#,
        ], "r", 1, 2, 1
      ),
    ] as [(Dialect, [String], String, TokenCount, TokenCount, TokenCount)])
  func passedOver(dialect: Dialect, events: [String], model: String, input: TokenCount, output: TokenCount, pieces: TokenCount) {
    for end in ["\n", "\r\n", "\r"] {
      let stream = Array(events.map { "data: \($0)\(end)\(end)" }.joined().utf8)
      for cut in [1, 7, 60, 200, stream.count] {
        var meter = UsageMeter(dialect, .eventStream)
        for at in stride(from: 0, to: stream.count, by: cut) {
          meter.feed(stream.span.extracting(at..<min(at + cut, stream.count)))
        }
        let (usage, name) = (meter.usage, String(decoding: [UInt8](copying: meter.model.span), as: UTF8.self))
        #expect(usage.input == input && usage.output == output && name == model && meter.isComplete, "\(cut) \(usage)")
        #expect(meter.pieces == pieces, "\(cut)")
      }
    }
  }

  @Test("a stream that breaks off is not complete, and [DONE] inside a text does not complete it") func incomplete() {
    let open = Array("data: {\"choices\":[{\"delta\":{\"content\":\"[DONE]\"}}]}\n\n".utf8)
    #expect(!measure(open, .openaiChat, "text/event-stream").isComplete)
    #expect(measure(open + Array("data: [DONE]\n\n".utf8), .openaiChat, "text/event-stream; charset=utf-8").isComplete)
  }
}

struct RequestReaderTests {
  private func model(_ body: String, isJSON: Bool = true) -> String? {
    var reader = RequestReader()
    reader.readAll(.opaque)
    reader.isJSON = isJSON
    let bytes = Array(body.utf8)
    reader.feed(bytes.span)
    let (path, type) = (Array("/v1/chat/completions".utf8), Array((isJSON ? "application/json" : "text/plain").utf8))
    guard let entry = Catalogue.builtIn["openai"], let found = entry.endpoint(.post, path.span),
      case .success(let named) = reader.resolved(
        found.endpoint, of: entry, MediaType(type.span), pathModel: JSONText(), body: bytes.span, boundary: Span())
    else { return nil }
    return String(decoding: [UInt8](copying: named.own.span), as: UTF8.self)
  }

  @Test("a body names one model when every parser would read that one") func clear() {
    #expect(model(#"{"messages":[{"model":"inner"}],"model":"gpt\u002d4"}"#) == "gpt-4")
    #expect(model(#" {"model":"a"} "#) == "a")
  }

  @Test(
    "a body that could be read in two ways names none",
    arguments: [
      #"{"model":"a","model":"b"}"#, #"{"model":"a","mod\u0065l":"b"}"#, #"{"model":"a","model":"a"}"#,
      #"{"model":"a","Model":"b"}"#, #"{"MODEL":"b","model":"a"}"#,
      #"{"model":["a"]}"#, #"{"model":null}"#, #"{"model":""}"#, #"{"model":1}"#, #"{"model":{"id":"a"}}"#, #"{}"#, "", "[]",
      #"["model"]"#, #"{"model":"a"}{"model":"b"}"#,
      #"{"model":"a",}"#, #"{"model":"a"} x"#, #"{"model":"a""#, "\u{FEFF}{\"model\":\"a\"}", #"{'model':'a'}"#,
      #"{"x":{"model":"a"}}"#, #"{"model":"a","b":"\ud800"}"#,
    ])
  func unclear(body: String) { #expect(model(body) == nil) }

  @Test("a name longer than is kept names none, and neither does what is not JSON") func other() {
    #expect(model("{\"model\":\"\(String(repeating: "m", count: 129))\"}") == nil)
    #expect(model(#"{"model":"a"}"#, isJSON: false) == nil)
  }
}

struct EndpointTests {
  private func kind(_ name: String, _ method: Wire.Method, _ path: String) -> EndpointClass? {
    Catalogue.builtIn[name]?.endpoint(method, Array(path.utf8).span)?.endpoint.kind
  }

  @Test("model endpoints pass, with and without the version") func allowed() {
    #expect(kind("openai", .post, "/v1/chat/completions") == .chat)
    #expect(kind("openai", .post, "/chat/completions") == .chat)
    #expect(kind("openai", .get, "/v1/models/gpt-4.1:x") == .models)
    #expect(kind("anthropic", .post, "/v1/messages") == .messages)
  }

  @Test(
    "administration, minting of credentials and spelling tricks do not pass",
    arguments: [
      "/v1/organization/admin_api_keys", "/v1/realtime/client_secrets",
      "/v1/chat/completions/", "//v1/chat/completions", "/v1//chat/completions", "/v1/../v1/chat/completions",
      "/v1/chat%2fcompletions", "/v1/chat/completions%00",
      "/V1/chat/completions", "/v1/Chat/completions", "/v2/chat/completions", "/v1/v1/chat/completions", "/v1/models/..",
      "/v1/models/a/b", "/v1/models/%2e%2e",
      "/v1/models/", "/v1/chat/completions;x", "/v1/chat\\completions", "", "/",
    ])
  func refused(path: String) {
    for method in Wire.Method.allCases { #expect(kind("openai", method, path) == nil && kind("anthropic", method, path) == nil) }
  }

  @Test("the method is part of the endpoint") func methods() {
    #expect(kind("openai", .get, "/v1/chat/completions") == nil)
    #expect(kind("openai", .delete, "/v1/models/gpt") == nil)
    #expect(kind("anthropic", .get, "/v1/messages") == nil)
  }
}

struct ErrorBodyTests {
  struct OpenAI: Decodable {
    struct Inner: Decodable { let message, type, code: String }
    let error: Inner
  }
  struct Anthropic: Decodable {
    struct Inner: Decodable { let type, message: String }
    let type: String
    let error: Inner
    let request_id: String
  }

  @Test("errors have the shape that each family's SDK parses") func shapes() throws {
    let error = ErrorBody(403, "some_code", "A sentence.")
    var buffer = ByteBuffer(capacity: 16)
    error.write(to: &buffer, shape: .openai, requestID: Array("req_1".utf8).span, closing: true)
    let openai = String(decoding: buffer.copy(), as: UTF8.self)
    #expect(
      openai.hasPrefix("HTTP/1.1 403 Forbidden\r\n") && openai.contains("Connection: close\r\n")
        && openai.contains("x-should-retry: false\r\n"))
    let body = try JSONDecoder().decode(OpenAI.self, from: Data(openai[openai.firstRange(of: "\r\n\r\n")!.upperBound...].utf8))
    #expect(body.error.code == "some_code" && body.error.message == "A sentence." && body.error.type == "permission_error")
    buffer.clear()
    error.write(to: &buffer, shape: .anthropic, requestID: Array("req_1".utf8).span, closing: false)
    let anthropic = String(decoding: buffer.copy(), as: UTF8.self)
    let other = try JSONDecoder().decode(
      Anthropic.self, from: Data(anthropic[anthropic.firstRange(of: "\r\n\r\n")!.upperBound...].utf8))
    #expect(other.error.type == "permission_error" && other.request_id == "req_1" && anthropic.contains("request-id: req_1\r\n"))
  }
}
