import Domain
import PolicyEngine
import Primitives
import Synchronization
import TestSupport
import Testing

struct PaceTests {
  private let second: UInt64 = 1_000_000_000

  @Test(
    "in any span of T at most the limit and T times the rate pass, whatever the pattern",
    arguments: [(1, 60), (5, 1), (60, 60), (7, 3600), (1000, 1)])
  func bound(limit: Int, seconds: Int) throws {
    let window = try #require(LimitWindow.allCases.first { $0.seconds == Int64(seconds) })
    let meters = try #require(Pace(Limits([Limit(.requests, per: window): limit])))
    let random = SeededRandomness(seed: UInt64(limit))
    let rate = Double(limit) / Double(seconds)
    var now: UInt64 = 5 * second
    var admitted: [UInt64] = []
    for _ in 0..<20_000 {
      // Bursts and pauses.
      if random.next() % 50 == 0 {
        now += random.next() % UInt64(seconds * 400_000_000)
      } else {
        now += random.next() % 2_000_000
      }
      if meters.admit(now: now) == .admitted {
        admitted.append(now)
        meters.finish()
      }
    }
    #expect(admitted.count >= limit)
    for i in stride(from: 0, to: admitted.count, by: max(1, admitted.count / 100)) {
      for j in stride(from: i, to: admitted.count, by: max(1, admitted.count / 100)) {
        let span = Double(admitted[j] - admitted[i]) / 1e9
        #expect(Double(j - i + 1) <= Double(limit) + span * rate + 1e-6)
      }
    }
  }

  @Test("a refused request is told when to come again, and then it fits") func retryAfter() throws {
    let meters = try #require(Pace(Limits([Limit(.requests, per: .minute): 2])))
    var now = 100 * second
    #expect(meters.admit(now: now) == .admitted && meters.admit(now: now) == .admitted)
    #expect(meters.admit(now: now) == .tooOften(retryAfterMilliseconds: 30_000))
    now += 29 * second
    #expect(meters.admit(now: now) == .tooOften(retryAfterMilliseconds: 1000))
    now += second
    #expect(meters.admit(now: now) == .admitted)
  }

  @Test("what one window refuses is not counted by the others") func giveBack() throws {
    let counts = [Limit(.requests, per: .second): 100, Limit(.requests, per: .minute): 1, Limit(.requests, per: .hour): 100]
    let meters = try #require(Pace(Limits(counts)))
    let now = 100 * second
    #expect(meters.admit(now: now) == .admitted)
    for _ in 0..<1000 { #expect(meters.admit(now: now) != .admitted) }
    // Had the refused ones been counted, the second's and the hour's windows would be full now.
    #expect(meters.admit(now: now + 60 * second) == .admitted)
  }

  @Test("so many at once and no more; each that ends makes room for one") func concurrent() throws {
    let meters = try #require(Pace(Limits(concurrent: 3)))
    for _ in 0..<3 { #expect(meters.admit(now: 0) == .admitted) }
    for _ in 0..<10 { #expect(meters.admit(now: 0) == .tooManyAtOnce) }
    meters.finish()
    #expect(meters.admit(now: 0) == .admitted)
    #expect(meters.admit(now: 0) == .tooManyAtOnce)
  }

  @Test("many threads at once are admitted no more often than one") func threads() async throws {
    final class Shared: Sendable {
      let meters: Pace
      init(_ meters: Pace) { self.meters = meters }
      let admitted = Atomic<Int>(0)
    }
    let shared = Shared(try #require(Pace(Limits([Limit(.requests, per: .hour): 500], concurrent: 1_000_000))))
    await withDiscardingTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<5000 where shared.meters.admit(now: 1_000_000_000) == .admitted {
            shared.admitted.add(1, ordering: .relaxed)
          }
        }
      }
    }
    #expect(shared.admitted.load(ordering: .relaxed) == 500)
  }

  @Test("tokens: in any span of T at most the limit and T times the rate, with reservations that turn out too large")
  func tokens() throws {
    let pace = try #require(Pace(Limits([Limit(.tokens, per: .minute): 6000])))
    let random = SeededRandomness(seed: 77)
    var now = 10 * second
    var open: [(ends: UInt64, holds: [Pace.Hold], used: Int64)] = []
    var used: [(at: UInt64, tokens: Int64)] = []
    for _ in 0..<20_000 {
      now += random.next() % (random.next() % 20 == 0 ? 20 * second : second / 2)
      while let i = open.firstIndex(where: { $0.ends <= now }) {
        let entry = open.remove(at: i)
        for hold in entry.holds { Pace.settle(hold, input: 0, output: TokenCount(entry.used), now: now) }
      }
      let (asked, real) = (Int64(random.next() % 2000), Int64(random.next() % 2000))
      var holds: [Pace.Hold] = []
      if pace.reserve(input: 0, output: TokenCount(asked), now: now, into: &holds) == nil {
        // What is used counts from when it was asked for.
        used.append((now, min(real, asked)))
        open.append((now + random.next() % (30 * second), holds, min(real, asked)))
      }
    }
    var worst = 0.0
    for i in stride(from: 0, to: used.count, by: max(1, used.count / 300)) {
      var sum: Int64 = 0
      for j in i..<min(used.count, i + 400) {
        sum += used[j].tokens
        worst = max(worst, Double(sum) - 6000 - Double(used[j].at - used[i].at) / 1e9 * 100)
      }
    }
    #expect(worst <= 1)
    #expect(used.count > 1000)
  }

  @Test("what time has given back is not given back again when a request used less than it held") func lateRefund() throws {
    let pace = try #require(Pace(Limits([Limit(.tokens, per: .minute): 600])))
    var (first, second, third): ([Pace.Hold], [Pace.Hold], [Pace.Hold]) = ([], [], [])
    let start = 100 * self.second
    #expect(pace.reserve(input: 600, output: 0, now: start, into: &first) == nil)
    let later = start + 60 * self.second
    #expect(pace.reserve(input: 600, output: 0, now: later, into: &second) == nil)
    for hold in first { Pace.settle(hold, input: 0, output: 0, now: later) }
    #expect(pace.reserve(input: 1, output: 0, now: later, into: &third) == 100)
    for hold in second { Pace.settle(hold, input: 599, output: 0, now: later) }
    #expect(pace.reserve(input: 1, output: 0, now: later, into: &third) == nil)
  }

  @Test("a request larger than the whole window can never pass, and is not told to wait") func tooLarge() throws {
    let pace = try #require(Pace(Limits([Limit(.outputTokens, per: .hour): 100])))
    var holds: [Pace.Hold] = []
    #expect(pace.reserve(input: 0, output: 101, now: second, into: &holds) == .max)
    #expect(pace.reserve(input: 1_000_000, output: 100, now: second, into: &holds) == nil)
    #expect(holds.count == 1)
    Pace.settle(holds[0], input: 0, output: 160, now: second)
    // What was used beyond what was asked for is owed.
    #expect(pace.reserve(input: 0, output: 1, now: second, into: &holds) == 2_196_000)
  }
}
