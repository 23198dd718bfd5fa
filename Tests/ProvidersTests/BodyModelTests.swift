import Domain
import Primitives
import TestSupport
import Testing
import Wire

@testable import Providers

struct BodyModelTests {
  private func text(_ text: JSONText) -> String { String(decoding: [UInt8](copying: text.span), as: UTF8.self) }

  /// The models that a request can lead to, the own one first, or why that is unclear.
  private func models(
    _ body: String, _ kind: String = "openai", _ path: String = "/v1/chat/completions", type: String = "application/json"
  ) throws -> [String] {
    let entry = try #require(Catalogue.builtIn[kind])
    let (target, bytes, contentType) = (Array(path.utf8), Array(body.utf8), Array(type.utf8))
    guard let found = entry.endpoint(.post, target.span) else {
      Issue.record("\(path) is no endpoint")
      return []
    }
    var reader = RequestReader()
    reader.readAll(found.endpoint.dialect)
    reader.isJSON = MediaType(contentType.span).kind == .json
    reader.feed(bytes.span)
    let own = found.model.isEmpty ? JSONText() : PathName.decoded(target.span.extracting(found.model))
    let boundary = MultipartForm.boundary(contentType: contentType.span).map { Array(contentType[$0]) } ?? []
    let resolved = reader.resolved(
      found.endpoint, of: entry, type.isEmpty ? MediaType() : MediaType(contentType.span), pathModel: own, body: bytes.span,
      boundary: boundary.span)
    switch resolved {
    case .success(let named): return [text(named.own)] + named.others.map(text)
    case .failure(let unclear): return ["\(unclear.reason)\(unclear.subject.isEmpty ? "" : " \(text(unclear.subject))")"]
    }
  }

  @Test(
    "every model that a request can lead to is seen",
    arguments: [
      ("openai", #"{"model":"a"}"#, ["a"]),
      ("openrouter", #"{"model":"a","models":["b","c","a"],"route":"fallback"}"#, ["a", "b", "c", "a"]),
      ("openrouter", #"{"model":"a","fallbacks":["b",{"model":"c"}]}"#, ["a", "b", "c"]),
      ("openrouter", #"{"model":"a","preset":null,"models":null}"#, ["a"]),
      (
        "litellm",
        #"{"model":"a","fallbacks":[{"a":["b","c"]}],"metadata":{"fallbacks":["d"],"my_model":"x","y":{"model":"z"}}}"#,
        ["a", "b", "c", "d"]
      ),
      ("litellm", #"{"model":"a","fallbacks":[{"model":"b","messages":[{"role":"user"}],"stop":["x"]}]}"#, ["a", "b"]),
      ("litellm", #"{"model":"a","context_window_fallbacks":[{"a":["b"]}],"content_policy_fallbacks":["c"]}"#, ["a", "b", "c"]),
      ("litellm", #"{"model":"a","mock_testing_fallbacks":false}"#, ["a"]),
      ("openai-compatible", #"{"model":"a","metadata":{"fallbacks":["b"]}}"#, ["a", "b"]),
      ("groq", #"{"model":"a","compound_custom":{"models":{"answering_model":"b","reasoning_model":"c"}}}"#, ["a", "b", "c"]),
      ("together", #"{"model":"a","safety_model":"b"}"#, ["a", "b"]),
      (
        "openai", #"{"model":"a","tools":[{"type":"image_generation","model":"b"},{"type":"x","model":"\u0063"}]}"#,
        ["a", "b", "c"]
      ),
      ("openai", #"{ "model" : "a" , "x" : { "y" : [ 1 , { "model" : "b" } ] , "z" : "\"model\":\"c\"" } }"#, ["a", "b"]),
      // The user's own: nobody takes a model from there.
      (
        "openai",
        #"{"model":"a","messages":[{"content":"x","model":"b"}],"metadata":{"model":"c","fallback":"d"},"tools":[{"type":"function","function":{"parameters":{"properties":{"model":{"type":"string"}}}}},{"type":"function","parameters":{"model":1}}],"response_format":{"json_schema":{"schema":{"properties":{"car_model":{}}}}}}"#,
        ["a"]
      ), ("openai", #"{"model":"a","modalities":["text"],"moderation":{},"prompt_cache_key":"model","x":"model"}"#, ["a"]),
    ])
  func seen(kind: String, body: String, expected: [String]) throws {
    let path = ["openrouter": "/api/v1/chat/completions", "groq": "/openai/v1/chat/completions"][kind] ?? "/v1/chat/completions"
    #expect(try models(body, kind, path) == expected)
  }

  @Test(
    "a member that may name another model is refused by its name",
    arguments: [
      (#"{"model":"a","fallbacks":["b"]}"#, "member fallbacks"), (#"{"model":"a","models":["b"]}"#, "member models"),
      (#"{"model":"a","route":"fallback"}"#, "member route"), (#"{"model":"a","routing":{}}"#, "member routing"),
      (#"{"model":"a","draft_model":"b"}"#, "member draft_model"),
      (#"{"model":"a","fallBackModel":"b"}"#, "member fallBackModel"),
      (#"{"model":"a","mod\u0065ls":["b"]}"#, "member models"), (#"{"model":"a","x":{"y":{"fallback":"b"}}}"#, "member fallback"),
      (#"{"model":"a","deployment_id":"b"}"#, "member deployment_id"), (#"{"model":"a","model_id":"b"}"#, "member model_id"),
      (#"{"model":"a","tools":[{"advisor_model":"b"}]}"#, "member advisor_model"),
      (#"{"model":"a","tools":[{"model":5}]}"#, "notText model"), (#"{"model":true}"#, "notText model"),
      (#"{"model":null}"#, "notText model"),
      (#"{"model":"a","Model":"b"}"#, "caseVariant"), (#"{"model":"a","model":"a"}"#, "duplicate"), ("{}", "absent"),
      (#"{"model":"a","Models":["b"]}"#, "member Models"), (#"{"model":"a","FALLBACKS":[]}"#, "member FALLBACKS"),
    ])
  func refused(body: String, expected: String) throws { #expect(try models(body) == [expected]) }

  @Test(
    "what a provider documents as choosing models where nobody can look is refused",
    arguments: [
      ("openrouter", "/api/v1/chat/completions", #"{"model":"a","preset":"x"}"#, "member preset"),
      (
        "openrouter", "/api/v1/chat/completions", #"{"model":"a","plugins":[{"id":"auto-router","allowed_models":["b"]}]}"#,
        "member allowed_models"
      ),
      ("openrouter", "/api/v1/chat/completions", #"{"model":"a","models":["b"],"models":["c"]}"#, "twice models"),
      ("openrouter", "/api/v1/chat/completions", #"{"model":"a","models":[true]}"#, "notText models"),
      ("openrouter", "/api/v1/chat/completions", #"{"model":"a","models":{"x":"b"}}"#, "member models"),
      ("litellm", "/v1/chat/completions", #"{"model":"a","mock_testing_fallbacks":true}"#, "member mock_testing_fallbacks"),
      (
        "vertex", "/v1/publishers/google/models/a:generateContent",
        #"{"generationConfig":{"routingConfig":{"autoMode":{"modelRoutingPreference":"X"}}}}"#, "member modelRoutingPreference"
      ),
      ("openai", "/v1/batches", #"{"input_file_id":"file-1","model":"a"}"#, "batchFile"),
      ("openai", "/v1/batches", #"{"input_file_id":"file-1"}"#, "batchFile"),
      ("anthropic", "/v1/messages/batches", #"{"requests":[{"params":{"model":"a"}}],"input_file_id":"x"}"#, "batchFile"),
    ])
  func hidden(kind: String, path: String, body: String, expected: String) throws {
    #expect(try models(body, kind, path) == [expected])
  }

  @Test(
    "models stand elsewhere in other dialects",
    arguments: [
      (
        "anthropic", "/v1/messages",
        #"{"model":"a","fallbacks":[{"model":"b"}],"tools":[{"type":"advisor_20260301","model":"c"}]}"#, ["a", "b", "c"]
      ),
      (
        "anthropic", "/v1/messages/batches",
        #"{"requests":[{"custom_id":"1","params":{"model":"a"}},{"params":{"model":"b","messages":[]}}]}"#, ["a", "a", "b"]
      ),
      (
        "gemini", "/v1beta/models/a:batchEmbedContents", #"{"requests":[{"model":"models/a"},{"model":"models/b"}]}"#,
        ["a", "a", "b"]
      ),
      ("gemini", "/v1beta/models/a:embedContent", #"{"model":"models/a","content":{}}"#, ["a"]),
      ("gemini", "/v1beta/models/a:embedContent", #"{"model":"models/b","content":{}}"#, ["differ"]),
      ("gemini", "/v1beta/models/a:generateContent", #"{"model":true}"#, ["notText model"]),
      (
        "vertex", "/v1/publishers/google/models/a:generateContent",
        #"{"generationConfig":{"routingConfig":{"manualMode":{"modelName":"b"}}}}"#, ["a", "b"]
      ),
      ("watsonx", "/ml/v1/text/chat", #"{"model_id":"a"}"#, ["a"]),
      ("watsonx", "/ml/v1/text/chat", #"{"model_id":"a","model":"b"}"#, ["a", "b"]),
      (
        "azure", "/openai/deployments/a/chat/completions",
        #"{"data_sources":[{"parameters":{"embedding_dependency":{"deployment_name":"b"}}}]}"#, ["a", "b"]
      ),
      ("azure", "/openai/deployments/a/chat/completions", #"{"model":true}"#, ["notText model"]),
      (
        "bedrock", "/model/a/converse",
        #"{"additionalModelRequestFields":{"thinking":{}},"additionalModelResponseFieldPaths":["/x"]}"#, ["a"]
      ),
      ("bedrock", "/model/a/converse", #"{"additionalModelRequestFields":{"fallbacks":[{"model":"b"}]}}"#, ["member fallbacks"]),
    ])
  func dialects(kind: String, path: String, body: String, expected: [String]) throws {
    #expect(try models(body, kind, path) == expected)
  }

  @Test(
    "what is not clear is said",
    arguments: [
      ("", #"{"model":"a"}"#, "noContentType"), ("text/plain", #"{"model":"a"}"#, "contentType"),
      ("application/json; charset=utf-7", #"{"model":"a"}"#, "charset"),
      ("application/json, application/json", #"{"model":"a"}"#, "contentType"),
      ("application/json", "\u{feff}{\"model\":\"a\"}", "byteOrderMark"),
      ("application/json", #"{"model":"a","x":"\ud800"}"#, "surrogate"),
      ("application/json", #"{"model":"a","x":"\udc00\ud800"}"#, "surrogate"),
      ("application/json", #"{"model":"a","x":NaN}"#, "notANumber"),
      ("application/json", #"{"model":"a","x":-Infinity}"#, "notANumber"), ("application/json", #"{"model":"a",}"#, "notJSON"),
      ("application/json", #"{"model":"a""#, "unfinished"), ("application/json", "", "unfinished"),
      ("application/json", "{\0\"\0", "wide"),
      ("application/json", #"{"model":"\#(String(repeating: "a", count: 129))"}"#, "tooLong"),
      ("application/json", #"{"model":"a"} x"#, "notJSON"),
    ])
  func unclear(type: String, body: String, expected: String) throws { #expect(try models(body, type: type) == [expected]) }

  @Test("each reason has a sentence of its own") func sentences() {
    let all = Unclear.Reason.allCases.map { "\(Unclear($0).sentence)" }
    #expect(Set(all).count == all.count && all.allSatisfy { $0.hasSuffix(".") })
  }

  @Test("no more than sixteen models are looked at, and the seventeenth is not let go") func many() throws {
    func body(_ n: Int) -> String { #"{"model":"m","models":[\#((0..<n).map { "\"m\($0)\"" }.joined(separator: ","))]}"# }
    #expect(try models(body(16), "openrouter", "/api/v1/chat/completions").count == 17)
    #expect(try models(body(17), "openrouter", "/api/v1/chat/completions") == ["tooMany"])
  }

  @Test("any JSON text is read to its end, and no model in a member 'model' is missed") func random() throws {
    let random = SeededRandomness(seed: 14)
    func value(_ depth: Int, _ named: inout Set<String>) -> String {
      switch random.next() % (depth > 4 ? 5 : 8) {
      case 0: return "null"
      case 1: return "-1.5e3"
      case 2: return "[]"
      case 3: return #""a\"}]\\""#
      case 4: return "{}"
      case 5: return "[\((0..<(random.next() % 3)).map { _ in value(depth + 1, &named) }.joined(separator: ", "))]"
      default:
        let members = (0..<(random.next() % 4)).map { _ -> String in
          guard random.next() % 3 == 0 else { return "\"k\(random.next() % 5)\" : \(value(depth + 1, &named))" }
          let name = "m\(random.next() % 8)"
          named.insert(name)
          return random.next() % 2 == 0 ? "\"model\":\"\(name)\"" : #""mod\u0065l" :"\#(name)""#
        }
        return "{\(members.joined(separator: ","))}"
      }
    }
    var seen = 0
    for _ in 0..<3000 {
      var named: Set<String> = []
      let body = #"{"model":"own","x":\#(value(0, &named))}"#
      let found = try models(body)
      #expect(Set(found.dropFirst()) == named && found.first == "own", "\(body)")
      seen += named.count
    }
    #expect(seen > 400)
  }
}
