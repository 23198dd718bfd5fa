import Domain
import PolicyEngine
import Synchronization
import TestSupport
import Testing

struct KeyMetersTests {
  private let second: UInt64 = 1_000_000_000

  @Test(
    "in any span of T at most the limit and T times the rate pass, whatever the pattern",
    arguments: [(1, 60), (5, 1), (60, 60), (7, 3600), (1000, 1)])
  func bound(limit: Int, seconds: Int) {
    let limits = Policy.Limits(
      requestsPerSecond: seconds == 1 ? limit : nil, requestsPerMinute: seconds == 60 ? limit : nil,
      requestsPerHour: seconds == 3600 ? limit : nil)
    let meters = KeyMeters(limits)
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

  @Test("a refused request is told when to come again, and then it fits") func retryAfter() {
    let meters = KeyMeters(Policy.Limits(requestsPerMinute: 2))
    var now = 100 * second
    #expect(meters.admit(now: now) == .admitted && meters.admit(now: now) == .admitted)
    #expect(meters.admit(now: now) == .tooOften(retryAfterMilliseconds: 30_000))
    now += 29 * second
    #expect(meters.admit(now: now) == .tooOften(retryAfterMilliseconds: 1000))
    now += second
    #expect(meters.admit(now: now) == .admitted)
  }

  @Test("what one window refuses is not counted by the others") func giveBack() {
    let meters = KeyMeters(Policy.Limits(requestsPerSecond: 100, requestsPerMinute: 1, requestsPerHour: 100))
    let now = 100 * second
    #expect(meters.admit(now: now) == .admitted)
    for _ in 0..<1000 { #expect(meters.admit(now: now) != .admitted) }
    // Had the refused ones been counted, the second's and the hour's windows would be full now.
    #expect(meters.admit(now: now + 60 * second) == .admitted)
  }

  @Test("so many at once and no more; each that ends makes room for one") func concurrent() {
    let meters = KeyMeters(Policy.Limits(concurrent: 3))
    for _ in 0..<3 { #expect(meters.admit(now: 0) == .admitted) }
    for _ in 0..<10 { #expect(meters.admit(now: 0) == .tooManyAtOnce) }
    meters.finish()
    #expect(meters.admit(now: 0) == .admitted)
    #expect(meters.admit(now: 0) == .tooManyAtOnce)
  }

  @Test("many threads at once are admitted no more often than one") func threads() async {
    final class Shared: Sendable {
      let meters = KeyMeters(Policy.Limits(requestsPerHour: 500, concurrent: 1_000_000))
      let admitted = Atomic<Int>(0)
    }
    let shared = Shared()
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
}
