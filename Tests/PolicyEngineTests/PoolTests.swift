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
    #expect(health[0].refused(status: 401, now: 0) && !health[0].refused(status: 401, now: 0))
    for i in 0..<100 { #expect(pick(snapshot, UInt64(i), second) == 1) }
    _ = health[1].refused(status: 401, now: 0)
    #expect(pick(snapshot, 1, 29 * second) == nil)
    #expect(pick(snapshot, 1, 30 * second) != nil)
    #expect(pick(snapshot, 2, 30 * second) != nil, "the other one")
    #expect(pick(snapshot, 3, 30 * second) == nil && pick(snapshot, 4, 59 * second) == nil)
    #expect(pick(snapshot, 5, 60 * second) == 0)
    health[0].answered()
    for i in 0..<10 { #expect(pick(snapshot, UInt64(i), 61 * second) == 0) }
  }

  @Test("403 can be about the request: only several in a row are about the key") func forbidden() throws {
    let health = CredentialHealth()
    for _ in 0..<4 { #expect(!health.refused(status: 403, now: 0)) }
    health.answered()
    for _ in 0..<4 { #expect(!health.refused(status: 403, now: 0)) }
    #expect(health.state(now: 0) == .usable)
    #expect(health.refused(status: 403, now: 0) && health.state(now: 0) == .quarantined)
    health.release()
    #expect(health.state(now: 0) == .usable)
  }

  @Test("a key rests for as long as it is told, five minutes at most; when all rest, the first to be ready is used")
  func cooling() throws {
    let snapshot = try snapshot([PoolSettings(), PoolSettings()])
    let health = snapshot.upstreams[0].credentials.map(\.health)
    health[0].limited(milliseconds: 10_000, now: 0)
    for i in 0..<20 { #expect(pick(snapshot, UInt64(i), 9 * second) == 1) }
    #expect((0..<20).contains { pick(snapshot, $0, 10 * second) == 0 })
    health[0].limited(milliseconds: 10_000, now: 20 * second)
    health[1].limited(milliseconds: 3_600_000, now: 20 * second)
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
