import Cryptography
import Domain
import PolicyEngine
import Primitives
import Providers
import TestSupport
import Testing

struct SnapshotTests {
  private let random = SeededRandomness(seed: 6)
  private let clock = ManualClock()

  private final class World {
    var keys: [MaskedKey] = []
    var texts: [[UInt8]] = []
    let peppers: [[UInt8]] = [[UInt8](repeating: 1, count: 32), [UInt8](repeating: 2, count: 32)]
    let random: SeededRandomness
    init(_ random: SeededRandomness) { self.random = random }

    func add(
      _ state: MaskedKey.State = .active, providers: [String] = ["openai"], expires: Timestamp? = nil, pepper: Int = 1,
      policy: Policy? = nil
    ) {
      let id = RecordID.random(random)
      let text = MaskedKeyFormat.text(prefix: "mk", id: id, secret: random.bytes(32))
      texts.append(text)
      let key = peppers[pepper]
      keys.append(
        MaskedKey(
          id: id, name: "n", grant: Grant(policy: policy ?? Policy(providers: providers)), state: state,
          createdAt: Timestamp(milliseconds: 0),
          expiresAt: expires,
          hash: HMACKey(key.span).authenticate(text.span).bytes, pepperVersion: UInt32(pepper + 1), revision: 1))
    }

    func snapshot() throws -> Snapshot {
      let secret = SecretBytes(copying: Array("sk-made-up-0000".utf8).span)
      let credential = try Credential(keyID: RecordID("PPPPPPPPPPPP")!, version: 1, style: .bearer, secret: secret)
      let openai = Provider(name: "openai", baseURL: try BaseURL("https://api.openai.com"), credential: .bearer, kind: "openai")
      let empty = Provider(name: "empty", baseURL: try BaseURL("https://api.empty.com"), credential: .bearer, kind: "openai")
      return Snapshot(
        generation: 1, keys: keys,
        peppers: peppers.enumerated().map { Pepper(version: UInt32($0.offset + 1), key: HMACKey($0.element.span)) },
        upstreams: [
          Upstream(empty, Catalogue.builtIn["openai"]!, index: 0, credentials: []),
          Upstream(openai, Catalogue.builtIn["openai"]!, index: 1, credentials: [credential]),
        ])
    }
  }

  private func refusal(_ snapshot: Snapshot, _ text: [UInt8]) -> Refusal? {
    do throws(Refusal) {
      _ = try snapshot.authenticate(text.span, now: clock.now)
      return nil
    } catch { return error }
  }

  @Test("each key is found by its own text and by no other's, among many and under either pepper") func many() throws {
    let world = World(random)
    for i in 0..<5000 { world.add(pepper: i % 2) }
    let snapshot = try world.snapshot()
    for (key, text) in zip(world.keys, world.texts) {
      let index = try snapshot.authenticate(text.span, now: clock.now)
      #expect(snapshot.keyID(at: index) == key.id)
    }
    // The right ID with another's secret: shape and checksum are right, the secret is not.
    for i in 0..<100 {
      let forged = MaskedKeyFormat.text(prefix: "mk", id: world.keys[i].id, secret: random.bytes(32))
      #expect(refusal(snapshot, forged) == .unknownKey)
    }
    #expect(refusal(snapshot, MaskedKeyFormat.text(prefix: "mk", id: .random(random), secret: random.bytes(32))) == .unknownKey)
    // The prefix is part of what is hashed.
    let other = MaskedKeyFormat.text(prefix: "sk", id: world.keys[0].id, secret: random.bytes(32))
    #expect(refusal(snapshot, other) == .unknownKey)
  }

  @Test("a disabled, revoked or expired key is refused, each by its name") func states() throws {
    let world = World(random)
    world.add(.disabled)
    world.add(.revoked)
    world.add(expires: clock.now + 1)
    let snapshot = try world.snapshot()
    #expect(refusal(snapshot, world.texts[0]) == .disabledKey)
    #expect(refusal(snapshot, world.texts[1]) == .revokedKey)
    #expect(refusal(snapshot, world.texts[2]) == nil)
    clock.advance(seconds: 1)
    #expect(refusal(snapshot, world.texts[2]) == .expiredKey)
  }

  @Test("a key may call what its policy names and nothing else; an empty policy permits nothing") func policies() throws {
    let world = World(random)
    world.add(providers: ["openai"])
    world.add(providers: ["*"])
    world.add(providers: [])
    world.add(providers: ["empty"])
    let snapshot = try world.snapshot()
    let openai = try #require(snapshot.upstreams.first { $0.provider.name == "openai" })
    let empty = try #require(snapshot.upstreams.first { $0.provider.name == "empty" })
    func refusal(_ i: Int, _ upstream: Upstream) -> Refusal? {
      do throws(Refusal) {
        let text = world.texts[i]
        _ = try snapshot.decide(key: try snapshot.authenticate(text.span, now: clock.now), upstream: upstream)
        return nil
      } catch { return error }
    }
    #expect(refusal(0, openai) == nil && refusal(0, empty) == .providerNotAllowed)
    #expect(refusal(1, openai) == nil && refusal(1, empty) == .noProviderKey)
    #expect(refusal(2, openai) == .providerNotAllowed)
    #expect(refusal(3, openai) == .providerNotAllowed)
  }

  @Test("a key may name the models and use the endpoints of its policy and nothing else; denial wins") func scopes() throws {
    let world = World(random)
    world.add(
      policy: Policy(providers: ["*"], models: ["gpt-4*", "o?"], deniedModels: ["gpt-4-32k"], endpoints: ["chat", "models"]))
    world.add()
    let snapshot = try world.snapshot()
    func allows(_ key: Int, _ model: String) -> Bool {
      let (text, name) = (world.texts[key], Array(model.utf8))
      do throws(Refusal) {
        try snapshot.decide(key: try snapshot.authenticate(text.span, now: clock.now), model: name.span)
        return true
      } catch { return false }
    }
    #expect(
      allows(0, "gpt-4o") && allows(0, "o3") && !allows(0, "gpt-4-32k") && !allows(0, "gpt-3.5") && !allows(0, "o3-mini")
        && !allows(0, ""))
    #expect(allows(1, "anything"))
    for (key, restricts) in [(0, true), (1, false)] {
      let text = world.texts[key]
      let index = try snapshot.authenticate(text.span, now: clock.now)
      #expect(snapshot.restrictsModels(key: index) == restricts)
      for kind in EndpointClass.allCases {
        let isAllowed = (try? snapshot.decide(key: index, endpoint: kind)) != nil
        #expect(isAllowed == (!restricts || kind == .chat || kind == .models), "\(kind)")
      }
    }
  }

  @Test("a key works from its networks, from its date on, and for bodies of its size") func whereAndWhen() throws {
    let world = World(random)
    let start = clock.now + 10
    world.add(policy: Policy(providers: ["*"], networks: ["10.0.0.0/8", "2001:db8::/32"], bodyBytesMax: 100))
    world.add(policy: Policy(providers: ["*"], notBefore: start.milliseconds))
    world.add(policy: Policy(providers: ["*"], networks: ["not a network"]))
    let snapshot = try world.snapshot()
    func isAllowed(_ key: Int, _ address: String?) throws -> Bool {
      let text = world.texts[key]
      let index = try snapshot.authenticate(text.span, now: start)
      return (try? snapshot.decide(key: index, from: address.flatMap { NetworkAddress($0) })) != nil
    }
    #expect(try isAllowed(0, "10.1.2.3") && isAllowed(0, "2001:db8::1") && !isAllowed(0, "11.0.0.1") && !isAllowed(0, nil))
    #expect(try isAllowed(1, nil) && isAllowed(1, "203.0.113.9") && !isAllowed(2, "10.1.2.3"))
    let text = world.texts[0]
    let index = try snapshot.authenticate(text.span, now: clock.now)
    #expect(snapshot.bodyBytesMax(key: index) == 100)
    #expect(refusal(snapshot, world.texts[1]) == .notYetValidKey)
    clock.advance(seconds: 9)
    #expect(refusal(snapshot, world.texts[1]) == .notYetValidKey)
    clock.advance(seconds: 1)
    #expect(refusal(snapshot, world.texts[1]) == nil)
  }

  @Test("a sealed snapshot knows nobody") func sealed() throws {
    let world = World(random)
    world.add()
    #expect(refusal(.sealed(generation: 1), world.texts[0]) == .sealed)
  }

  @Test("an exchange in flight loses its right when key, policy or provider key go") func inFlight() throws {
    let world = World(random)
    world.add()
    let before = try world.snapshot()
    let upstream = before.upstreams[1]
    let id = world.keys[0].id
    func refusal(_ after: Snapshot) -> Refusal? {
      let name = upstream.name
      do throws(Refusal) {
        try after.stillAllows(key: id, version: 1, upstream: name.span, credential: upstream.credentials[0], now: clock.now)
        return nil
      } catch { return error }
    }
    #expect(refusal(before) == nil)
    let key = world.keys[0]
    world.keys[0].state = .revoked
    #expect(refusal(try world.snapshot()) == .revokedKey)
    world.keys[0] = key
    world.keys[0].policy = Policy(providers: ["empty"])
    #expect(refusal(try world.snapshot()) == .providerNotAllowed)
    world.keys = []
    #expect(refusal(try world.snapshot()) == .unknownKey)
    let pepper = world.peppers[1]
    let withoutCredential = Snapshot(
      generation: 2, keys: [key], peppers: [Pepper(version: 2, key: HMACKey(pepper.span))],
      upstreams: [Upstream(upstream.provider, upstream.entry, index: 0, credentials: [])])
    #expect(refusal(withoutCredential) == .noProviderKey)
    #expect(refusal(.sealed(generation: 3)) == .sealed)
  }

  @Test(
    "a provider key that could not stand in a header is refused",
    arguments: ["", "short", "sk-with space-0000", "sk-with\r\nX: injected", "sk-with-\u{E4}-umlaut"])
  func credentials(text: String) {
    let secret = SecretBytes(copying: Array(text.utf8).span)
    do {
      _ = try Credential(keyID: RecordID("PPPPPPPPPPPP")!, version: 1, style: .bearer, secret: secret)
      Issue.record("taken")
    } catch { #expect(error == Fault(.invalidInput, "")) }
  }
}
