// Times what a decision costs, alone: 100,000 keys, ten scopes, three limits and two budgets; the reading of bodies;
// the metering of streams.
//
//   bench-decide [ROUNDS]
//
// With ROUNDS, only so many decisions.
// Prints nanoseconds of CPU of this thread. `bench.py` runs it and counts its allocations.
import Cryptography
import Domain
import Glibc
import PolicyEngine
import Primitives
import Providers
import Storage
import TestSupport
import Wire

/// Nanoseconds of CPU of this thread, by `clock_gettime`.
func cpuNanoseconds() -> Double {
  var t = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
  return Double(t.tv_sec) * 1e9 + Double(t.tv_nsec)
}

func say(_ line: String) { unsafe puts(line) }

func run() throws {
  let rounds = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1])! : 1_000_000

  let random = SeededRandomness(seed: 1)
  let full = Policy(
    providers: ["openai", "anthropic"], models: ["gpt-4*", "gpt-5*", "o?", "claude-*"], deniedModels: ["*-preview"],
    endpoints: ["chat", "responses", "models"], paths: ["POST /v1/chat/completions", "POST /v1/responses", "GET /v1/models/*"],
    networks: ["10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8"], hours: ["mon-sun 00:00-24:00 Europe/Berlin"], notBefore: 1,
    bodyBytesMax: 1 << 20, outputTokensMax: 4096,
    limits: Limits([
      Limit(.requests, per: .minute): 1_000_000_000, Limit(.tokens, per: .minute): 1_000_000_000_000,
      Limit(.tokens, per: .day): 1_000_000_000_000,
    ]))
  let upstreams: [Upstream] = try ["openai", "anthropic"].enumerated().map { index, name in
    let secret = SecretBytes(copying: Array("sk-made-up-0000".utf8).span)
    let credential = try Credential(keyID: RecordID.random(random), version: 1, style: .bearer, secret: secret)
    return Upstream(
      Provider(name: name, baseURL: try BaseURL("https://api.\(name).com"), credential: .bearer, kind: "openai"), Catalogue.builtIn["openai"]!, index: index,
      credentials: [credential])
  }
  let pepper = Pepper(version: 1, key: HMACKey([UInt8](repeating: 7, count: 32).span))
  var texts: [[UInt8]] = []
  var keys: [MaskedKey] = []
  let grant = Grant(policy: full, team: "team")
  for _ in 0..<100_000 {
    let id = RecordID.random(random)
    let text = MaskedKeyFormat.text(prefix: "mk", id: id, secret: random.bytes(32))
    keys.append(
      MaskedKey(
        id: id, name: "n", grant: grant, state: .active, createdAt: Timestamp(milliseconds: 0), expiresAt: nil,
        hash: pepper.key.authenticate(text.span).bytes, pepperVersion: 1, revision: 1))
    if texts.count < 1000 { texts.append(text) }
  }
  let store = MemoryStore()
  let ledger = try Ledger(store)
  let counters = Counters()
  var book = Rulebook()
  book.teams = ["team": full]
  book.prices = PriceList()
  let now = SystemClock().now
  let budgets =
    [Budget(name: "team", amount: NanoDollars(dollars: "900000000")!, window: .month, team: "team")]
    + keys.prefix(1000).map {
      Budget(name: "k-\($0.id)".lowercased(), amount: NanoDollars(dollars: "900000000")!, window: .month, key: $0.id)
    }
  ledger.adopt(counters.fill(&book, keys: keys, budgets: budgets, providers: ["openai", "anthropic"]))
  let snapshot = Snapshot(generation: 1, keys: keys, peppers: [pepper], upstreams: upstreams, rulebook: book)

  let target = Array("/openai/v1/chat/completions".utf8)
  let address = NetworkAddress("10.1.2.3")
  let charges = Charges()

  /// A conversation: messages of about half a kilobyte.
  func body(_ bytes: Int) -> [UInt8] {
    var out = Array(##"{"model":"gpt-4o","max_tokens":256,"stream":true,"temperature":0.7,"messages":["##.utf8)
    let words = #"the quick brown fox jumps over the lazy dog, and says \"hello\"\n"#
    while out.count < bytes - 80 {
      if out.last != UInt8(ascii: "[") { out.append(UInt8(ascii: ",")) }
      let text = String(repeating: words, count: max(1, min(8, (bytes - out.count - 60) / words.utf8.count)))
      out += Array(##"{"role":"user","content":"\##(text)"}"##.utf8)
    }
    return out + Array("]}".utf8)
  }

  let small = body(1024)
  var reader = RequestReader()
  reader.readAll(.openaiChat)
  reader.isJSON = true
  reader.feed(small.span)
  guard let model = reader.resolveModel(pathModel: JSONText(), body: small.span, boundary: Span(), mayBeAbsent: false) else {
    fatalError("the body is unclear")
  }

  /// One request, from the key's position to the settled budgets.
  func decide(_ key: Int) throws {
    let parts = GatewayTarget(target.span)
    let upstream = snapshot.upstream(named: target.span.extracting(parts.provider))!
    let path = target.span.extracting(parts.path)
    let endpoint = upstream.entry.endpoint(.post, path)!.endpoint
    let method: StaticString = "POST"
    _ = try snapshot.decide(
      key: key, upstream: upstream, from: address, at: now, endpoint: endpoint.kind, method: method.span, path: path,
      pathModel: JSONText())
    let started = monotonicNanoseconds()
    try charges.admit(snapshot, key: key, now: started)
    try snapshot.decide(key: key, model: model.span)
    let (bound, _) = try snapshot.bound(
      key: key, endpoint: endpoint, provider: upstream.index, model: model.span, reader: reader, body: Span(), isForm: false)
    try charges.admit(snapshot, key: key, model: model.span, bound: bound!, now: started)
    while let need = try charges.hold(snapshot, key: key, provider: upstream.index, model: model.span, bound: bound!, now: now) {
      _ = try ledger.replenish([(need.account, need.amount)], now: now)
    }
    let usage = Usage(input: 200, output: 64)
    charges.settle((200, 64, bound!.price!.price.cost(usage)), now: started)
  }

  func measure(_ name: String, _ rounds: Int, _ work: (Int) throws -> Void) rethrows -> Double {
    for i in 0..<min(rounds, 2000) { try work(i) }
    let before = cpuNanoseconds()
    for i in 0..<rounds { try work(i) }
    return (cpuNanoseconds() - before) / Double(rounds)
  }

  let positions = try texts.map { text in try snapshot.authenticate(text.span, now: now) }
  let authentication = try measure("authenticate", rounds) { i in
    let text = texts[i % texts.count]
    _ = try snapshot.authenticate(text.span, now: now)
  }
  let decision = try measure("decide", rounds) { i in try decide(positions[i % positions.count]) }
  say("authenticate: \(Int(authentication)) ns")
  say("decide: \(Int(decision)) ns")
  // Whose allocations are counted decides, and does nothing else.
  if CommandLine.arguments.count > 1 { return }

  for (name, bytes, times) in [("2 KiB", 2048, rounds / 10), ("1 MiB", 1 << 20, max(rounds / 5000, 1))] {
    let content = body(bytes)
    let nanoseconds = measure(name, times) { _ in
      var reader = RequestReader()
      reader.readAll(.openaiChat)
      reader.isJSON = true
      reader.feed(content.span)
      precondition(reader.isClear())
    }
    say("read \(name): \(Int(nanoseconds)) ns, \(Int(Double(bytes) / nanoseconds * 1000)) MB/s")
    let reach = measure(name, times) { _ in precondition(BodyReach.of(content.span, .openaiChat) == .itself) }
    say("bound \(name): \(Int(reach)) ns")
    let references = measure(name, times) { _ in
      var reader = ReferenceReader()
      reader.expect(Catalogue.builtIn["openai"]!.objects)
      reader.feed(content.span)
      precondition(!reader.hasFound)
    }
    say("look for objects in \(name): \(Int(references)) ns")
  }
  measureMeters(rounds)
}

try run()
