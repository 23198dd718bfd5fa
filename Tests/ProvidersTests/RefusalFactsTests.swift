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
      ("99999999999999999999s", nil), ("2026-11-99T10:00:30Z", nil), ("s", nil), ("1s2", nil),
    ] as [(String, Int?)])
  func waits(text: String, expected: Int?) {
    let bytes = Array(text.utf8)
    let milliseconds = RefusalFacts.milliseconds(bytes.span, now: now)
    #expect(milliseconds == expected)
  }

  @Test("a body blames the key only where the provider says so, and nowhere that a client can write") func blame() throws {
    let google = Catalogue.builtIn["gemini"]!.refusals
    let xai = Catalogue.builtIn["xai"]!.refusals
    func isReset(_ facts: RefusalFacts, _ name: String) -> Bool { facts.isReset(Array(name.utf8).span) }
    func read(_ facts: RefusalFacts, _ body: String) -> RefusalFacts.Told { facts.read(Array(body.utf8).span, now: now) }
    #expect(google.readsBody(status: 400) && google.readsBody(status: 429) && !google.readsBody(status: 401))
    #expect(read(google, #"{"error":{"code":400,"details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}"#).blamesKey)
    #expect(!read(google, #"{"error":{"code":400,"message":"API_KEY_INVALID","details":[{"reason":"BAD"}]}}"#).blamesKey)
    #expect(read(google, #"{"error":{"details":[{"violations":[]},{"retryDelay":"48.9s"}]}}"#).milliseconds == 48_900)
    #expect(xai.readsBody(status: 400) && !xai.readsBody(status: 429))
    #expect(read(xai, #"{"code":"invalid-argument","error":"Incorrect API key provided. You can"}"#).blamesKey)
    #expect(!read(xai, #"{"code":"x","error":"The model Incorrect API key provided does not exist"}"#).blamesKey)
    #expect(!read(xai, "not json").blamesKey && !read(xai, "").blamesKey)
    let none = Catalogue.builtIn["openai"]!.refusals
    #expect(!none.readsBody(status: 400) && isReset(none, "X-RateLimit-Reset-Tokens"))
    #expect(!isReset(none, "x-ratelimit-remaining-tokens"))
  }
}
