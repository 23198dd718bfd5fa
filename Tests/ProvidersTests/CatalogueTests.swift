import Domain
import Primitives
import Providers
import TestSupport
import Testing
import Wire

struct CatalogueTests {
  private let good = """
    title: T
    base_url: https://api.example.com
    key: bearer
    errors: openai
    endpoints:
      - POST /chat/completions chat openai-chat
    """

  private func read(_ text: String, _ name: String = "test") throws(Fault) -> CatalogueEntry {
    try CatalogueEntry(Array(text.utf8), name: name, file: "test.yaml")
  }

  @Test("an entry is read, with defaults for what it does not say") func entry() throws {
    let entry = try read(good)
    #expect(entry.baseURL?.host == "api.example.com" && entry.credential == .bearer && entry.errors == .openai)
    #expect(entry.outputLimit == .maxTokens && entry.asksForUsage && entry.priceList == nil)
  }

  @Test(
    "an entry that says something wrong is refused with its line",
    arguments: [
      ("title: T\n", "line 1: 'key' is missing"), ("- a", "line 1: a mapping"), ("key: cookie", "line 2: 'key' is one of"),
      ("key: header:Host", "'key' is one of"), ("key: header:content-length", "'key' is one of"),
      ("key: query:a=b", "'key' is one of"),
      ("errors: xml", "line 2: 'errors' is one of"),
      ("base_url: http://api.example.com", "line 2: a key must not travel in the clear"),
      ("base_url: ftp://x", "line 2: the URL has no scheme"), ("nope: 1", "line 2: there is no 'nope'"),
      ("prefixes: v1", "'prefixes' are paths"), ("prefixes: /v1/", "'prefixes' are paths"),
      ("usage_option: always", "can only be never"), ("rate_limits: 'x:y'", "line 2: 'rate_limits' are"),
      ("bad_key: error", "'bad_key' is a status, a place"), ("bad_key: a..b c", "'bad_key' is a status, a place"),
      ("retry_in: a b", "'retry_in' is a place"), ("python: print(1)", "line 2: 'python' names neither"),
      ("curl: curl http://x", "'curl' names neither"),
      ("output_limit: max", "'output_limit' is"), ("endpoints: POST", "nothing would pass"),
      ("endpoints: []", "nothing would pass"),
      ("endpoints:\n  - POST /x chat", "line 3: an endpoint is wanted"),
      ("endpoints:\n  - FETCH /x chat openai-chat", "an endpoint is wanted"),
      ("endpoints:\n  - POST x chat openai-chat", "an endpoint is wanted"),
      ("endpoints:\n  - POST /x?a=b chat openai-chat", "an endpoint is wanted"),
      ("endpoints:\n  - POST /x thing openai-chat", "an endpoint is wanted"),
      ("endpoints:\n  - POST /x chat klingon", "an endpoint is wanted"),
      ("endpoints:\n  - POST /{model}/{model} chat openai-chat", "an endpoint is wanted"),
      ("endpoints:\n  - POST /{id} chat openai-chat", "an endpoint is wanted"), ("title: [a]", "'title' is one value"),
    ])
  func refused(change: String, says: String) {
    // The changed member comes second, in place of the good one.
    let name = change.prefix { $0 != ":" }
    var lines = good.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if change.contains(":") && change != "title: T\n" {
      let at = lines.firstIndex { $0.hasPrefix("\(name):") }
      if let at { lines.removeSubrange(at...(name == "endpoints" ? at + 1 : at)) }
      lines.insert(change, at: min(1, lines.count))
    } else {
      lines = [change]
    }
    do throws(Fault) {
      _ = try read(lines.joined(separator: "\n"))
      Issue.record("read: \(lines)")
    } catch { #expect(error.description.contains(says), "\(error) for \(lines)") }
  }

  @Test("a name that cannot be in a URL is no kind", arguments: ["", "A", "a b", "../x"])
  func names(name: String) { #expect(throws: Fault(.invalidInput, "")) { _ = try read(good, name) } }

  @Test("every provider that is promised is there; none that is shared lacks an address, and none sends its key in the clear")
  func shipped() throws {
    let names = [
      "openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "mistral", "cohere", "groq", "together", "fireworks",
      "deepseek",
      "xai", "perplexity", "openrouter", "huggingface", "nvidia", "cerebras", "replicate", "voyage", "jina", "ai21", "databricks",
      "cloudflare", "watsonx", "ollama", "vllm", "lmstudio", "llamacpp", "litellm", "openai-compatible",
    ]
    #expect(Catalogue.builtIn.all.map(\.name) == names.sorted())
    for entry in Catalogue.builtIn.all { #expect(entry.baseURL?.secure ?? true || entry.baseURL!.isLoopback, "\(entry.name)") }
    #expect(Catalogue.builtIn.providers.count == 19)
    for entry in Catalogue.builtIn.all {
      if let list = entry.priceList, !["huggingface"].contains(list) {
        #expect(PriceList.shippedEntries.contains { $0.list == list }, "\(entry.name) has no prices")
      }
    }
  }

  private func kind(_ name: String, _ method: Wire.Method, _ path: String) -> EndpointClass? {
    Catalogue.builtIn[name]?.endpoint(method, Array(path.utf8).span)?.endpoint.kind
  }

  @Test("administration, minting of credentials and others' objects are no endpoint of any provider") func neverPassed() {
    let paths = [
      "/v1/organization/users", "/v1/organization/admin_api_keys", "/v1/organizations/api_keys", "/v1/realtime/client_secrets",
      "/v1/realtime/sessions",
      "/v1/threads", "/v1/assistants",
      "/v1beta/auth_tokens",
      "/api/v1/keys",
      "/api/v1/credits", "/api/v1/auth/keys",
      "/v1/accounts/x/apiKeys", "/api/pull", "/api/delete", "/api/create", "/key/generate", "/user/new",
      "/model/new", "/config",
      "/openai/deployments", "/v2/datasets", "/v1/connectors", "/serving-endpoints", "/token", "/guardrail/x/version/1/apply",
      "/async-invoke",
    ]
    for entry in Catalogue.builtIn.all {
      for path in paths {
        for method in [Wire.Method.get, .post, .delete, .put, .patch] {
          #expect(kind(entry.name, method, path) == nil, "\(entry.name) passes \(method.name) \(path)")
        }
      }
    }
  }

  @Test("what everybody has made on an account is listed to nobody") func lists() {
    for entry in Catalogue.builtIn.all {
      for path in [
        "/v1/files", "/v1/batches", "/v1/fine_tuning/jobs", "/v1/responses", "/v1/vector_stores", "/v1/conversations",
        "/v1beta/cachedContents", "/v1beta/files", "/v1/messages/batches", "/openai/files", "/openai/v1/batches",
      ] {
        #expect(kind(entry.name, .get, path) == nil && kind(entry.name, .delete, path) == nil, "\(entry.name) lists \(path)")
      }
    }
  }

  @Test("an endpoint is found with its prefix and without, and with no other") func prefixes() {
    #expect(kind("groq", .post, "/openai/v1/chat/completions") == .chat && kind("groq", .post, "/chat/completions") == .chat)
    #expect(kind("groq", .post, "/v1/chat/completions") == nil && kind("groq", .post, "/openai/v1x/chat/completions") == nil)
    #expect(
      kind("fireworks", .post, "/inference/v1/messages") == .messages && kind("openrouter", .post, "/api/v1/rerank") == .rerank)
    #expect(kind("deepseek", .post, "/beta/chat/completions") == .chat && kind("cohere", .post, "/v2/chat") == .chat)
    #expect(kind("vertex", .post, "/v1/projects/p/locations/l/publishers/google/models/m:generateContent") == .chat)
    #expect(kind("vertex", .post, "/v1/projects/p/x/locations/l/publishers/google/models/m:generateContent") == nil)
    #expect(kind("databricks", .post, "/serving-endpoints/my-model/invocations") == .chat)
  }

  @Test("every error shape is JSON with our sentence and our code in it, and nothing of the request") func shapes() throws {
    for shape in ErrorShape.allCases {
      var buffer = ByteBuffer(capacity: 64)
      let id = Array("req_1".utf8)
      ErrorBody(403, "model_not_allowed", "Not this model.").write(to: &buffer, shape: shape, requestID: id.span, closing: false)
      let text = String(decoding: buffer.copy(), as: UTF8.self)
      let parts = text.split(separator: "\r\n\r\n", maxSplits: 1)
      var probe = JSONProbe()
      let (paths, body) = (JSONPaths([]), Array(parts[1].utf8))
      probe.feed(body.span, paths)
      #expect(probe.status == .complete && parts[1].contains("Not this model."), "\(shape): \(text)")
      #expect(parts[1].contains("model_not_allowed") || shape == .cloudflare || shape == .amazon || shape == .message, "\(shape)")
      #expect(parts[0].contains("Content-Length: \(body.count)\r\n"))
    }
  }

  @Test("a key in the query is found, and no parameter that could be one is passed on") func query() {
    func passed(_ query: String, without name: String? = nil) -> String {
      var target = ByteBuffer(capacity: 64)
      let bytes = Array(query.utf8)
      _ = GatewayTarget.appendQuery(bytes.span, without: name.map { Array($0.utf8) }, into: &target)
      return String(decoding: target.copy(), as: UTF8.self)
    }
    #expect(passed("?alt=sse&key=mk_1") == "?alt=sse" && passed("?key=mk_1&alt=sse") == "?alt=sse" && passed("?key=mk_1") == "")
    #expect(passed("?%6bey=mk_1&k%65y=2&a=b") == "?a=b" && passed("?key") == "" && passed("") == "")
    #expect(passed("?monkey=1&keys=2&a=key=3") == "?monkey=1&keys=2&a=key=3")
    #expect(passed("?api_key=1&a=b", without: "api_key") == "?a=b")
    let target = Array("/gemini/v1/models?alt=sse&key=mk_x".utf8)
    #expect(GatewayTarget.key(in: target.span).map { String(decoding: target[$0], as: UTF8.self) } == "mk_x")
    #expect(GatewayTarget.key(in: Array("/x?monkey=1".utf8).span) == nil)
  }
}

struct FramesTests {
  @Test("an exception frame is one that a reader of frames finds whole, however it is cut") func exception() {
    var buffer = ByteBuffer(capacity: 64)
    let payload = Array(#"{"message":"no"}"#.utf8)
    AmazonFrames.writeException("throttlingException", payload.span, to: &buffer)
    let bytes = buffer.copy()
    for width in 1...bytes.count {
      var frames = AmazonFrames()
      var (seen, ends, at): ([UInt8], Int, Int) = ([], 0, 0)
      while at < bytes.count {
        let piece = Array(bytes[at..<min(at + width, bytes.count)])
        var i = 0
        loop: while true {
          switch frames.step(piece.span, from: i) {
          case .payload(let range):
            seen += piece[range]
            i = range.upperBound
          case .endOfFrame(let used): (ends, i) = (ends + 1, used)
          case .more, .invalid: break loop
          }
        }
        at += width
      }
      #expect(seen == payload && ends == 1, "\(width)")
    }
  }

  @Test("lengths that cannot be are refused and never read further") func invalid() {
    for prelude: [UInt8] in [
      [0, 0, 0, 15, 0, 0, 0, 0], [255, 255, 255, 255, 0, 0, 0, 0], [0, 0, 0, 20, 0, 0, 0, 5], [0, 0, 0, 20, 255, 255, 255, 255],
    ] {
      var frames = AmazonFrames()
      let bytes = prelude + [UInt8](repeating: 0, count: 100)
      #expect(frames.step(bytes.span, from: 0) == .invalid && frames.step(bytes.span, from: 0) == .invalid)
    }
  }

  @Test("numbers with fractions are scaled exactly, and rounded up") func scaled() {
    let paths = JSONPaths([("c", .scaled(0, power: 9))])
    for (text, value) in [
      ("0.000735", 735_000), ("1.2e-08", 12), ("3.4e-07", 340), ("12", 12_000_000_000), ("0.00502", 5_020_000), ("1e-10", 1),
      ("0", 0),
      ("0.0000000001", 1), ("1.5E+2", 150_000_000_000), ("0.0", 0), ("0e5", 0),
    ] as [(String, Int64)] {
      var probe = JSONProbe()
      probe.feed(Array("{\"c\":\(text)}".utf8).span, paths)
      #expect(probe.number(0) == value, "\(text)")
    }
    for text in ["-1.5", "1e30", "1e400", "99999999999999999999", "9223372036854775807", "true", "[1]"] {
      var probe = JSONProbe()
      probe.feed(Array("{\"c\":\(text)}".utf8).span, paths)
      #expect(probe.number(0) == nil && probe.isImpossible(0), "\(text)")
    }
  }
}
