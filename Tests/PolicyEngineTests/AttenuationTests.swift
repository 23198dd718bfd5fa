import Cryptography
import Domain
import PolicyEngine
import Primitives
import Providers
import TestSupport
import Testing
import Wire

/// A key never does what one of the policies above it does not permit, and an explanation says what the decision is.
struct AttenuationTests {
  private let random = SeededRandomness(seed: 31)
  private let peppers = [Pepper(version: 1, key: HMACKey([UInt8](repeating: 1, count: 32).span))]

  private func pick<T>(_ list: [T]) -> T { list[Int(random.next() % UInt64(list.count))] }

  private func some(_ list: [String]) -> [String] {
    if random.next() % 4 != 0 { return ["*"] }
    let chosen = list.filter { _ in random.next() % 2 == 0 }
    return chosen.isEmpty ? [list[0]] : chosen
  }

  private func policy() -> Policy {
    Policy(
      providers: some(["openai", "other"]), models: some(["gpt-4*", "gpt-4o", "o?", "*mini"]),
      deniedModels: random.next() % 3 == 0 ? ["*preview"] : [], endpoints: some(["chat", "models", "embeddings"]),
      paths: some(["POST /v1/chat/completions", "* /models/*", "GET /v1/models"]),
      networks: some(["10.0.0.0/8", "192.0.2.0/24"]), hours: some(["mon-fri 08:00-18:00 UTC", "sat,sun 22:00-04:00 UTC"]),
      bodyBytesMax: random.next() % 2 == 0 ? nil : pick([10, 100, 1000]))
  }

  private func upstreams() throws -> [Upstream] {
    let secret = SecretBytes(copying: Array("sk-made-up-0000".utf8).span)
    let credential = try Credential(keyID: RecordID("PPPPPPPPPPPP")!, version: 1, style: .bearer, secret: secret)
    return try ["openai", "other"].enumerated().map { index, name in
      Upstream(
        Provider(name: name, baseURL: try BaseURL("https://\(name).test"), credential: .bearer, kind: "openai"),
        Catalogue.builtIn["openai"]!, index: index,
        credentials: [credential])
    }
  }

  private func key(_ grant: Grant) -> MaskedKey {
    MaskedKey(
      id: .random(random), name: "n", grant: grant, state: .active,
      createdAt: Timestamp(milliseconds: 0), expiresAt: nil, hash: [UInt8](repeating: 0, count: 32), pepperVersion: 1, revision: 1
    )
  }

  private func request() -> AskedRequest {
    let model = pick(["gpt-4o", "gpt-4o-mini", "o3", "gpt-4-preview", "claude", ""])
    let (method, path) = pick([
      (Wire.Method.post, "chat/completions"), (.post, "embeddings"), (.get, "models"), (.get, "models/gpt-4o"), (.get, "files"),
    ])
    let body =
      method == .get ? "" : pick(["{\"model\":\"\(model)\"}", "{\"model\":\"\(model)\",\"model\":\"x\"}", "{}", "nonsense"])
    return AskedRequest(
      method: method, target: Array("/\(pick(["openai", "other", "none"]))/v1/\(path)\(pick(["", "", "?model=x", "?a=b"]))".utf8),
      body: Array(body.utf8), contentType: Array("application/json".utf8),
      from: pick([nil, NetworkAddress("10.1.2.3"), NetworkAddress("192.0.2.9"), NetworkAddress("203.0.113.1")]),
      at: Timestamp(milliseconds: 1_800_000_000_000 + Int64(random.next() % 604_800_000)))
  }

  @Test("what a key may do is what its own policy, the shared one and the team's all permit") func intersection() throws {
    let upstreams = try upstreams()
    var (allowed, refused) = (0, 0)
    for _ in 0..<300 {
      var book = Rulebook()
      (book.teams, book.sharedPolicies) = (["t": policy()], ["p": policy()])
      let whole = key(Grant(policy: policy(), sharedPolicy: "p", team: "t"))
      let layers = [whole.policy, book.sharedPolicies["p"]!, book.teams["t"]!]
      let snapshot = Snapshot(generation: 1, keys: [whole], peppers: peppers, upstreams: upstreams, rulebook: book)
      let alone = layers.map { layer in
        Snapshot(generation: 1, keys: [key(Grant(policy: layer))], peppers: peppers, upstreams: upstreams)
      }
      for _ in 0..<40 {
        let request = request()
        let verdict = snapshot.explain(key: 0, request).refusal
        let each = alone.map { $0.explain(key: 0, request).refusal }
        // A layer that asks for the model may find it unclear where another does not look: then it is refused as a whole.
        if verdict == nil { #expect(each.allSatisfy { $0 == nil }, "\(request) passes, and not each layer permits it: \(each)") }
        if each.allSatisfy({ $0 == nil }) { #expect(verdict == nil, "\(request) is refused, and each layer permits it") }
        if verdict == nil { allowed += 1 } else { refused += 1 }
      }
    }
    #expect(allowed > 200 && refused > 200)
  }

  @Test("the first rule that an explanation says refuses is the one that refuses") func explained() throws {
    let upstreams = try upstreams()
    var refusals: Set<Refusal> = []
    for _ in 0..<4000 {
      let key = key(Grant(policy: policy()))
      let snapshot = Snapshot(generation: 1, keys: [key], peppers: peppers, upstreams: upstreams)
      let request = request()
      let told = snapshot.explain(key: 0, request)
      // The gateway's own order, by the gateway's own calls.
      let parts = GatewayTarget(request.target.span)
      let name = request.target.span.extracting(parts.provider)
      guard let upstream = snapshot.upstream(named: name) else {
        #expect(told.refusal == .unknownProvider)
        continue
      }
      let path = [UInt8](copying: request.target.span.extracting(parts.path))
      guard let found = upstream.entry.endpoint(request.method, path.span) else {
        #expect(told.refusal == .endpointNotAllowed)
        continue
      }
      var model = JSONText()
      if found.endpoint.namesModelInPath { model = PathName.decoded(path.span.extracting(found.model)) }
      let method = request.method.name
      do throws(Refusal) {
        _ = try snapshot.decide(
          key: 0, upstream: upstream, from: request.from, at: request.at, endpoint: found.endpoint.kind, method: method.span,
          path: path.span, pathModel: model)
      } catch {
        #expect(told.refusal == error, "\(request)")
        refusals.insert(error)
      }
    }
    #expect(
      refusals.isSuperset(of: [.networkNotAllowed, .hoursNotAllowed, .endpointNotInScope, .pathNotAllowed, .modelNotAllowed]))
  }

  @Test("nobody can grant more than they hold: what exceeds a policy above is found, list by list") func excess() {
    let parent = Policy(
      providers: ["openai"], models: ["gpt-4*", "o?"], endpoints: ["chat"], networks: ["10.0.0.0/8"], bodyBytesMax: 100,
      outputTokensMax: 50)
    let within = Policy(
      providers: ["openai"], models: ["gpt-4o*", "gpt-4", "o3"], endpoints: ["chat"], networks: ["10.1.0.0/16"], bodyBytesMax: 99)
    #expect(within.firstExcess(over: parent) == nil)
    #expect(Policy(providers: ["*"]).firstExcess(over: parent) == nil, "all means all that is permitted above")
    for (policy, list) in [
      (Policy(providers: ["other"]), "providers"), (Policy(providers: ["*"], models: ["*4o"]), "models"),
      (Policy(providers: ["*"], models: ["o*"]), "models"), (Policy(providers: ["*"], endpoints: ["audio"]), "endpoints"),
      (Policy(providers: ["*"], networks: ["0.0.0.0/0"]), "networks"),
      (Policy(providers: ["*"], bodyBytesMax: 101), "body_bytes_max"),
      (Policy(providers: ["*"], outputTokensMax: 51), "output_tokens_max"),
    ] { #expect(policy.firstExcess(over: parent) == list) }
  }

  @Test("a policy above that is not there permits nothing") func missing() throws {
    let key = key(Grant(policy: Policy(providers: ["*"]), team: "gone"))
    let snapshot = Snapshot(generation: 1, keys: [key], peppers: peppers, upstreams: try upstreams())
    #expect(snapshot.explain(key: 0, request()).refusal != nil)
  }
}
