import Cryptography
import Domain
import PolicyEngine
import Primitives
import Providers
import TestSupport
import Testing

struct PoolTests {
  private let second: UInt64 = 1_000_000_000

  private func snapshot(_ pools: [PoolSettings], tags: [String] = ["*"]) throws -> Snapshot {
    let secret = SecretBytes(copying: Array("sk-made-up-0000".utf8).span)
    let random = SeededRandomness(seed: 4)
    var credentials: [Credential] = []
    for pool in pools {
      credentials.append(try Credential(keyID: .random(random), version: 1, style: .bearer, secret: secret, pool: pool))
    }
    let provider = Provider(name: "openai", baseURL: try BaseURL("https://api.openai.com"), credential: .bearer, kind: "openai")
    let key = MaskedKey(
      id: .random(random), name: "n", grant: Grant(policy: Policy(providers: ["*"], providerKeyTags: tags)), state: .active,
      createdAt: Timestamp(milliseconds: 0), expiresAt: nil, hash: [UInt8](repeating: 0, count: 32), pepperVersion: 1, revision: 1
    )
    return Snapshot(
      generation: 1, keys: [key], peppers: [Pepper(version: 1, key: HMACKey([UInt8](repeating: 1, count: 32).span))],
      upstreams: [Upstream(provider, Catalogue.builtIn["openai"]!, index: 0, credentials: credentials)])
  }

  private func pick(_ snapshot: Snapshot, _ number: UInt64, _ now: UInt64) -> Int? {
    try? snapshot.decide(key: 0, upstream: snapshot.upstreams[0], pick: number, now: now)
  }

  @Test("keys share requests by their weights, within one in a hundred over many") func weights() throws {
    let snapshot = try snapshot([PoolSettings(weight: 1), PoolSettings(weight: 3), PoolSettings(weight: 6)])
    var counts = [0, 0, 0]
    for i in 0..<100_000 { counts[pick(snapshot, UInt64(i), second)!] += 1 }
    for (count, part) in zip(counts, [10_000, 30_000, 60_000]) { #expect(abs(count - part) < 1000, "\(counts)") }
  }

  @Test("a quarantined key is not used while there is another; alone, one request every half minute tries it") func quarantine()
    throws
  {
    let snapshot = try snapshot([PoolSettings(), PoolSettings()])
    let health = snapshot.upstreams[0].credentials.map(\.health)
    #expect(health[0].refused(now: 0) && !health[0].refused(now: 0))
    for i in 0..<100 { #expect(pick(snapshot, UInt64(i), second) == 1) }
    _ = health[1].refused(now: 0)
    #expect(pick(snapshot, 1, 29 * second) == nil)
    #expect(pick(snapshot, 1, 30 * second) != nil)
    #expect(pick(snapshot, 2, 30 * second) != nil, "the other one")
    #expect(pick(snapshot, 3, 30 * second) == nil && pick(snapshot, 4, 59 * second) == nil)
    #expect(pick(snapshot, 5, 60 * second) == 0)
    health[0].answered()
    for i in 0..<10 { #expect(pick(snapshot, UInt64(i), 61 * second) == 0) }
  }

  @Test(
    "what answers to requests say of a key makes it suspected, never unused, and is looked into by one caller in half a minute")
  func suspicion() throws {
    let health = CredentialHealth()
    #expect(health.suspected(now: second) && !health.suspected(now: second) && !health.suspected(now: 30 * second))
    #expect(health.state(now: second) == .usable)
    #expect(health.suspected(now: 31 * second) && health.state(now: 31 * second) == .usable)
    #expect(health.refused(now: 32 * second) && health.state(now: 32 * second) == .quarantined)
    #expect(!health.suspected(now: 1000 * second), "there is nothing left to find out")
    health.release()
    #expect(health.state(now: 33 * second) == .usable && health.suspected(now: 33 * second))
  }

  @Test(
    "no wait that a provider says stops anything: it counts for five minutes at most",
    arguments: [
      Int.max, Int.max - 1, Int.max / 1_000_000 + 1, 99_999_999_999_000, 300_001, 300_000,
    ]) func longWaits(milliseconds: Int)
  {
    let health = CredentialHealth()
    for now in [0, second, UInt64.max - 1000 * second] {
      health.limited(for: Milliseconds(clamping: milliseconds), now: now)
      #expect(health.coolSeconds(now: now) == 300)
    }
    for short in [Int.min, -1, 0, 1] {
      health.limited(for: Milliseconds(clamping: short), now: second)
      #expect(health.coolSeconds(now: second) == 1)
    }
  }

  @Test("a key rests for as long as it is told, five minutes at most; when all rest, the first to be ready is used")
  func cooling() throws {
    let snapshot = try snapshot([PoolSettings(), PoolSettings()])
    let health = snapshot.upstreams[0].credentials.map(\.health)
    health[0].limited(for: 10_000, now: 0)
    for i in 0..<20 { #expect(pick(snapshot, UInt64(i), 9 * second) == 1) }
    #expect((0..<20).contains { pick(snapshot, $0, 10 * second) == 0 })
    health[0].limited(for: 10_000, now: 20 * second)
    health[1].limited(for: 3_600_000, now: 20 * second)
    #expect(pick(snapshot, 1, 21 * second) == 0)
    #expect(health[1].state(now: 319 * second) == .cooling && health[1].state(now: 320 * second) == .usable)
  }

  @Test("a policy's tags pick the keys, and a refused request goes to another of those only") func tags() throws {
    let pools = [PoolSettings(tags: ["eu"]), PoolSettings(tags: ["us"]), PoolSettings(tags: ["eu", "b"])]
    let snapshot = try snapshot(pools, tags: ["eu"])
    for i in 0..<50 { #expect(pick(snapshot, UInt64(i), second) != 1) }
    let upstream = snapshot.upstreams[0]
    #expect(snapshot.another(key: 0, upstream: upstream, pick: 1, now: second, except: 0b001) == 2)
    #expect(snapshot.another(key: 0, upstream: upstream, pick: 1, now: second, except: 0b101) == nil)
    #expect(pick(try self.snapshot(pools, tags: ["mars"]), 1, second) == nil)
  }
}
