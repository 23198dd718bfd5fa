import Primitives
import Providers
import Testing

struct RefusalFactsTests {
  private let now = Timestamp(rfc3339: "2026-11-24T10:00:00Z")!

  @Test(
    "how long to wait is read in every form that a provider writes it in",
    arguments: [
      ("12", 12_000), ("1.5s", 1500), ("6m0s", 360_000), ("2ms", 2), ("48.939935699s", 48_940), ("1h2m3s", 3_723_000), ("0", 0),
      ("2026-11-24T10:00:30Z", 30_000), ("2026-11-24T09:00:00Z", 0), ("", nil), ("soon", nil), ("5x", nil), ("-1", nil),
      ("1..2s", nil),
      ("99999999999999999999s", nil), ("999999999h", 86_400_000), ("9999-12-31T23:59:59Z", 86_400_000),
      ("2026-11-99T10:00:30Z", nil), ("s", nil), ("1s2", nil),
    ] as [(String, Int?)])
  func waits(text: String, expected: Int?) {
    let bytes = Array(text.utf8)
    let milliseconds = RefusalFacts.wait(bytes.span, now: now).map { Int($0.count) }
    #expect(milliseconds == expected)
  }

  @Test("a body blames the key only where the provider says so, and nowhere that a client can write") func blame() throws {
    let google = Catalogue.builtIn["gemini"]!.refusals
    let xai = Catalogue.builtIn["xai"]!.refusals
    func isReset(_ facts: RefusalFacts, _ name: String) -> Bool { facts.isReset(Array(name.utf8).span) }
    func blames(_ facts: RefusalFacts, _ status: UInt16, _ body: String) -> Bool {
      facts.read(status, Array(body.utf8).span, now: now).blamesKey
    }
    #expect(google.readsBody(status: 400) && google.readsBody(status: 429) && !google.readsBody(status: 401))
    #expect(blames(google, 400, #"{"error":{"code":400,"details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}"#))
    #expect(!blames(google, 400, #"{"error":{"code":400,"message":"API_KEY_INVALID","details":[{"reason":"BAD"}]}}"#))
    #expect(!blames(google, 403, #"{"error":{"code":403,"details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}"#))
    #expect(blames(google, 403, #"{"error":{"message":"Your API key was reported as leaked. Please use another API key."}}"#))
    let wait = #"{"error":{"details":[{"violations":[]},{"retryDelay":"48.9s"}]}}"#
    #expect(google.read(429, Array(wait.utf8).span, now: now).wait == 48_900)
    #expect(xai.readsBody(status: 400) && !xai.readsBody(status: 429))
    #expect(blames(xai, 400, #"{"code":"invalid-argument","error":"Incorrect API key provided. You can"}"#))
    #expect(!blames(xai, 400, #"{"code":"x","error":"The model Incorrect API key provided does not exist"}"#))
    #expect(!blames(xai, 400, "not json") && !blames(xai, 400, ""))
    let openai = Catalogue.builtIn["openai"]!.refusals
    #expect(!openai.readsBody(status: 400) && isReset(openai, "X-RateLimit-Reset-Tokens"))
    #expect(!isReset(openai, "x-ratelimit-remaining-tokens"))
    #expect(blames(openai, 401, #"{"error":{"message":"Incorrect","type":"invalid_request_error","code":"invalid_api_key"}}"#))
    #expect(!blames(openai, 401, #"{"error":{"message":"invalid_api_key","code":"mismatched_organization"}}"#))
  }

  @Test(
    "an answer about a prompt, a model or a region blames no key",
    arguments: [
      ("openrouter", 403, #"{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"],"flagged_input":"x"}}}"#),
      ("xai", 403, #"{"code":"The caller does not have permission","error":"Content violates usage guidelines. Team: 1"}"#),
      ("bedrock", 403, #"{"message":"You don't have access to the model with the specified model ID."}"#),
      ("openai", 403, #"{"error":{"code":"unsupported_country_region_territory"}}"#),
      ("openai", 403, #"{"error":{"code":"model_not_found"}}"#), ("anthropic", 403, #"{"error":{"type":"permission_error"}}"#),
      ("gemini", 403, #"{"error":{"status":"PERMISSION_DENIED","message":"no access"}}"#), ("mistral", 403, "{}"),
      ("openai-compatible", 403, ""), ("openai-compatible", 402, ""), ("azure", 403, #"{"error":{"code":"403"}}"#),
    ]) func blamesNothing(kind: String, status: UInt16, body: String)
  {
    #expect(!Catalogue.builtIn[kind]!.refusals.read(status, Array(body.utf8).span, now: now).blamesKey)
  }

  @Test(
    "every kind says in which words it blames its key",
    arguments: [
      ("openai", 401, #"{"error":{"code":"invalid_api_key"}}"#),
      ("anthropic", 401, #"{"error":{"type":"authentication_error"}}"#),
      ("groq", 401, #"{"error":{"code":"invalid_api_key"}}"#), ("deepseek", 401, #"{"error":{"type":"authentication_error"}}"#),
      ("bedrock", 403, #"{"message":"The security token included in the request is invalid."}"#),
      ("bedrock", 403, #"{"Message":"Authentication failed: Please make sure your API Key is valid."}"#),
      ("perplexity", 401, #"{"error":{"type":"invalid_api_key","code":401}}"#),
      ("databricks", 403, #"{"message":"Invalid access token."}"#),
      ("openai-compatible", 401, ""), ("mistral", 401, #"{"message":"Unauthorized"}"#), ("openrouter", 401, "{}"),
    ]) func blamesKey(kind: String, status: UInt16, body: String)
  {
    #expect(Catalogue.builtIn[kind]!.refusals.read(status, Array(body.utf8).span, now: now).blamesKey)
  }

  @Test(
    "retry-after is clamped to a day, whatever it says",
    arguments: [
      ("0", 0), ("30", 30_000), ("86400", 86_400_000), ("86401", 86_400_000), ("99999999999", 86_400_000),
      ("9223372036854775807", 86_400_000), ("99999999999999999999999", 86_400_000), ("Tue, 24 Nov 2026 10:00:30 GMT", 30_000),
      ("Tue, 24 Nov 2020 10:00:30 GMT", 0), ("-1", nil), ("1e9", nil), ("", nil), ("soon", nil),
    ] as [(String, Int64?)]) func retryAfter(text: String, expected: Int64?)
  {
    #expect(RefusalFacts.retryAfter(Array(text.utf8).span, now: now)?.count == expected)
  }
}
