import Domain
import PolicyEngine
import Primitives
import TestSupport
import Testing

struct PastLimitsTests {
  private let epoch = Timestamp(milliseconds: 1_790_000_000_000)

  private func policy(_ limits: [Limit: Int] = [:], concurrent: Int? = nil, models: [String]? = nil) -> Policy {
    var policy = Policy(providers: [Policy.any])
    let limits = Limits(limits, concurrent: concurrent)
    if let models { policy.modelLimits = [ModelLimits(models: models, limits: limits)] } else { policy.limits = limits }
    return policy
  }

  private func request(_ milliseconds: Int64, lasting: Int = 1000, tokens: Int64 = 0, model: String = "m") -> PastLimits.Request {
    PastLimits.Request(
      start: Timestamp(milliseconds: epoch.milliseconds + milliseconds), microseconds: Microseconds(clamping: lasting),
      inputTokens: TokenCount(tokens / 2), outputTokens: TokenCount(tokens - tokens / 2), model: Array(model.utf8))
  }

  private func refusals(_ policies: [Policy], _ requests: [PastLimits.Request]) throws -> [Refusal?] {
    let limits = try #require(PastLimits(policies, since: epoch))
    return requests.map { limits.refusal($0) }
  }

  @Test("requests are refused as the gateway's own windows refuse them") func asTheGateway() throws {
    let random = SeededRandomness(seed: 5)
    for (limit, window) in [(5, LimitWindow.second), (30, .minute), (100, .hour)] {
      let pace = try #require(Pace(Limits([Limit(.requests, per: window): limit])))
      var at: Int64 = 0
      let requests = (0..<2000).map { _ in
        at += Int64(random.next() % UInt64(window.seconds * 1200 / Int64(limit)))
        return request(at)
      }
      let told = try refusals([policy([Limit(.requests, per: window): limit])], requests)
      for (request, told) in zip(requests, told) {
        let now = UInt64(request.start.milliseconds - epoch.milliseconds) * 1_000_000
        let isAdmitted = pace.admit(now: now) == .admitted
        if isAdmitted { pace.finish() }
        #expect(told == (isAdmitted ? nil : .rateLimited))
      }
      #expect(told.contains(.rateLimited) && told.contains(nil))
    }
  }

  @Test("tokens count as what requests came to, and one that is refused takes none") func tokens() throws {
    let told = try refusals(
      [policy([Limit(.tokens, per: .minute): 100])],
      [request(0, tokens: 60), request(0, tokens: 60), request(0, tokens: 40), request(60_000, tokens: 100)])
    #expect(told == [nil, .tokensLimited, nil, nil])
  }

  @Test("a day moves: what was taken is free again a day later, and not before") func days() throws {
    let hour: Int64 = 3_600_000
    let told = try refusals(
      [policy([Limit(.requests, per: .day): 2])],
      [request(0), request(hour), request(2 * hour), request(23 * hour), request(25 * hour), request(25 * hour)])
    #expect(told == [nil, nil, .rateLimited, .rateLimited, nil, .rateLimited])
    let tokens = try refusals(
      [policy([Limit(.outputTokens, per: .month): 10])], [request(0, tokens: 20), request(hour, tokens: 2)])
    #expect(tokens == [nil, .tokensLimited])
  }

  @Test("requests in flight are counted from their beginnings to their ends") func concurrent() throws {
    let told = try refusals(
      [policy(concurrent: 2)],
      [
        request(0, lasting: 5_000_000), request(1000, lasting: 1_000_000), request(1500), request(2000), request(4999),
        request(5000),
      ])
    #expect(told == [nil, nil, .tooManyAtOnce, nil, nil, nil])
  }

  @Test("limits of some models count requests for these only, beside the others") func models() throws {
    let told = try refusals(
      [policy([Limit(.requests, per: .hour): 1], models: ["gpt-*"]), policy([Limit(.requests, per: .hour): 3])],
      [request(0, model: "gpt-a"), request(0, model: "gpt-b"), request(0, model: "claude"), request(0, model: "claude")])
    #expect(told == [nil, .rateLimited, nil, .rateLimited])
  }

  @Test("policies that limit nothing have nothing to say, and one that comes too late began just now") func edges() throws {
    #expect(PastLimits([policy()], since: epoch) == nil)
    let told = try refusals([policy([Limit(.requests, per: .minute): 1])], [request(120_000), request(0), request(180_000)])
    #expect(told == [nil, .rateLimited, nil])
  }
}
