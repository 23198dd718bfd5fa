import Domain
import FoundationEssentials
import Primitives
import Providers
import TestSupport
import Testing
import Wire

/// Every recorded answer that a provider gave, through the endpoint that the catalogue finds for it.
struct CassetteTests {
  private struct Cassette: Decodable {
    struct Request: Decodable {
      let method: String
      let url: String
    }
    struct Response: Decodable {
      let status: Int
      let headers: [String: String]
      let body_b64: String
    }
    let request: Request
    let response: Response
  }

  /// What the provider said: all input, output, what of the input came from a cache, and its own cost in nano-dollars.
  private struct Told: Equatable {
    var input: Int64 = 0
    var output: Int64 = 0
    var cacheRead: Int64 = 0
    var cost: Int64?
    var seconds: Int64?
    init(_ input: Int64, _ output: Int64, cached: Int64 = 0, cost: Int64? = nil, seconds: Int64? = nil) {
      (self.input, self.output, cacheRead, self.cost, self.seconds) = (input, output, cached, cost, seconds)
    }
  }

  // From the recordings' own usage blocks, by hand; where a request was several turns, their sum.
  private static let told: [String: Told] = [
    "anthropic/message": Told(32, 15), "anthropic/message-tool-use": Told(568, 58),
    "anthropic/message-cache-read": Told(7361, 4, cached: 7351), "anthropic/message-compaction-iterations": Told(99357, 92),
    "anthropic/stream-advisor-iterations": Told(4954, 163), "anthropic/stream-cache-read": Told(1042, 100, cached: 1031),
    "anthropic/stream-compaction-iterations": Told(55377, 91, cached: 55096), "anthropic/stream-thinking": Told(52, 216),
    "azure/deployment-chat-stream": Told(12, 24), "azure/deployment-chat-stream-usage": Told(205, 18, cached: 159),
    "azure/v1-embeddings": Told(8, 0), "azure/v1-responses": Told(12, 5), "azure/v1-responses-stream": Told(18, 120),
    "bedrock/converse": Told(64, 5), "bedrock/converse-stream": Told(8, 10), "bedrock/converse-tool-use": Told(930, 14),
    "bedrock/invoke-anthropic-response-stream": Told(25, 4), "bedrock/mantle-openai-chat": Told(384, 296),
    "bedrock/mantle-openai-responses-stream": Told(75, 46), "cerebras/chat-1": Told(43, 9), "cerebras/chat-2": Told(42, 8),
    "cohere/embed": Told(7, 0), "cohere/v1-chat": Told(69, 16), "cohere/v2-chat": Told(8, 8),
    "cohere/v2-chat-tool-calls": Told(43, 21), "cohere/v2-stream-tool-calls": Told(68, 8),
    "deepseek/responses-stream": Told(440, 14, cached: 384), "deepseek/stream": Told(496, 31, cached: 384),
    "deepseek/stream-no-include-usage": Told(12, 89), "gemini/generate-cached": Told(9622, 171, cached: 9609),
    "gemini/generate-function-call": Told(259, 18), "gemini/stream": Told(30, 2815), "gemini/stream-function-call": Told(52, 5),
    "gemini/stream-multi-chunk": Told(13, 8), "groq/chat": Told(18, 26), "groq/chat-cached": Told(336, 96, cached: 256),
    "groq/chat-tool-calls": Told(711, 75), "groq/stream": Told(339, 58), "huggingface/chat": Told(19, 29),
    "huggingface/stream": Told(40, 2), "mistral/audio-transcription": Told(5, 11, seconds: 3),
    "mistral/chat-cached": Told(93, 29, cached: 16),
    "mistral/chat-tool-calls": Told(24, 7), "mistral/embeddings": Told(5, 0), "mistral/stream": Told(24, 2),
    "mistral/stream-tool-calls": Told(96, 23), "ollama/chat": Told(17, 66), "ollama/cloud-openai-compat-stream": Told(300, 45),
    "ollama/generate-ndjson": Told(16, 51), "openai/audio-transcription-stream-crlf": Told(37, 145), "openai/chat": Told(20, 3),
    "openai/chat-cached-tokens": Told(3806, 76, cached: 3072), "openai/chat-stream-tool-calls-usage": Told(398, 10),
    "openai/chat-stream-with-usage": Told(13, 50), "openai/embeddings": Told(2, 0), "openai/responses": Told(12, 8),
    "openrouter/chat-cost": Told(13, 9, cost: 735_000), "openrouter/stream-comments-cost": Told(254, 5, cost: 837_000),
    "openrouter/rerank": Told(0, 0, cost: 340), "perplexity/chat-cost": Told(9, 12, cost: 5_020_000),
    "perplexity/embeddings": Told(3, 0, cost: 12), "together/chat": Told(18, 35), "together/completions": Told(18, 35),
    "vertex/generate": Told(90, 8), "vertex/generate-cached": Told(9613, 72, cached: 9602),
    "vertex/generate-function-call": Told(26, 41), "vllm/completions": Told(20, 20), "voyage/embeddings": Told(12, 0),
    "voyage/rerank": Told(43, 0), "xai/image-cost": Told(0, 0, cost: 20_000_000),
    "xai/responses-cost-ticks": Told(4963, 45, cached: 1024, cost: 5_241_050),
    "xai/responses-stream": Told(289, 171, cached: 128, cost: 654_350), "bedrock/invoke-titan-or-nova": Told(9, 17),
    // What stands in two headers.
    "bedrock/invoke-anthropic": Told(23, 32), "openai/audio-transcription": Told(0, 0, seconds: 4),
    "anthropic/batch-results-jsonl": Told(20, 5), "gemini/interactions-stream": Told(266, 60),
    "watsonx/generation": Told(7, 2), "watsonx/generation-stream": Told(8, 11),
  ]

  // Answers that tell no tokens.
  private static let silent: Set<String> = [
    "vllm/completions-stream-no-usage", "bedrock/count-tokens", "cohere/rerank", "gemini/embed", "vertex/predict-embeddings",
    // Begun, and not over.
    "gemini/interactions", "openai/batch-object", "replicate/prediction", "replicate/prediction-create",
  ]

  private static let root = ProcessInfo.processInfo.environment["MASKLLM_CASSETTES"] ?? "../shared/cassettes"

  private static let names: [String] = {
    guard FileManager.default.fileExists(atPath: root) else { return [] }
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: root).sorted()) ?? []
    return folders.flatMap { folder in
      let files = (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/\(folder)").sorted()) ?? []
      return files.filter { $0.hasSuffix(".json") }.map { "\(folder)/\($0.dropLast(5))" }
    }
  }()

  private func read(_ name: String) throws -> Cassette {
    try JSONDecoder().decode(Cassette.self, from: Data(try Corpora.data("\(Self.root)/\(name).json")))
  }

  /// The path below the provider's name, without the query.
  private func path(_ url: String) -> [UInt8] {
    let rest = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)[3]
    let path = "/" + rest.prefix { $0 != "?" && $0 != "#" }
    return Array(path.replacing("<GOOGLE_CLOUD_PROJECT>", with: "p").replacing("<GOOGLE_CLOUD_LOCATION>", with: "l").utf8)
  }

  @Test("usage and cost of every recorded answer are what the provider said, wherever its bytes are cut") func usage() throws {
    if Self.names.isEmpty {
      print("SKIPPED: no recorded answers at \(Self.root); set MASKLLM_CASSETTES")
      return
    }
    var (checked, table) = (0, "")
    for name in Self.names {
      let cassette = try read(name)
      let kind = String(name.prefix { $0 != "/" })
      let path = path(cassette.request.url)
      let method = Wire.Method.allCases.first { "\($0.name)" == cassette.request.method }!
      guard let found = try #require(Catalogue.builtIn[kind]).endpoint(method, path.span) else {
        Issue.record("\(name): \(String(decoding: path, as: UTF8.self)) is no endpoint of '\(kind)'")
        continue
      }
      let type = Array((cassette.response.headers["content-type"] ?? "application/json").utf8)
      let body = [UInt8](Data(base64Encoded: cassette.response.body_b64)!)
      var events: TokenCount?
      for pieces in [1, 13, 4096, Int.max] {
        var meter = UsageMeter(found.endpoint.dialect, UsageMeter.format(contentType: type.span))
        var at = 0
        while at < body.count {
          let end = pieces == .max ? body.count : min(at + pieces, body.count)
          meter.feed(body.span.extracting(at..<end))
          at = end
        }
        for (name, value) in cassette.response.headers { meter.note(field: Array(name.utf8).span, Array(value.utf8).span) }
        let usage = meter.usage
        #expect(events == nil || events == meter.pieces, "\(name) in pieces of \(pieces)")
        events = meter.pieces
        let seen = Told(
          usage.allInput.count, usage.output?.count ?? 0, cached: usage.cacheRead?.count ?? 0, cost: meter.cost?.count,
          seconds: usage.seconds?.count)
        if cassette.response.status >= 400 || Self.silent.contains(name) {
          #expect(!usage.isKnown, "\(name) in pieces of \(pieces)")
        } else {
          let expected = try #require(Self.told[name], "no expectation for \(name)")
          #expect(seen == expected, "\(name) in pieces of \(pieces)")
        }
      }
      checked += 1
      table += "\(name) "
    }
    #expect(checked > 90 && Set(Self.told.keys).isSubset(of: Self.names), "\(checked) answers: \(table)")
  }
}
