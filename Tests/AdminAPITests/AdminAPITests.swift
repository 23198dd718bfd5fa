import AdminAPI
import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import Synchronization
import TestSupport
import Testing
import Transport
import Vault
import Wire

struct AdminAPITests {
  private struct Nobody: SnapshotSink { func publish(_ snapshot: Snapshot) async -> Int { 0 } }
  private let api: AdminAPI

  init() throws {
    let store = MemoryStore()
    let service = KeyService(store: store, sink: Nobody())
    let content = KeyFile.generate()
    try service.adopt(try Vault.initialize(store, method: .keyFile, secret: content.span))
    api = AdminAPI(service: service, version: "test")
  }

  private func call(_ method: Wire.Method, _ target: String, _ body: String = "") async -> (status: Int, text: String) {
    let secret = SecretBytes(copying: Array(body.utf8).span)
    do {
      let request = try AdminRequest(method, target, body: secret)
      let response = await api.answer(request)
      return (response.status, String(decoding: response.body, as: UTF8.self))
    } catch { return (400, "\(error)") }
  }

  @Test("what is read is in force: who asks meanwhile is answered when every loop has it") func settled() throws {
    /// A snapshot takes its time to get there.
    final class Slow: SnapshotSink {
      let isThere = LoopEvent()
      func publish(_ snapshot: Snapshot) async -> Int {
        await isThere.wait()
        return 2
      }
    }
    final class Order: Sendable {
      let seen = Mutex<[String]>([])
      func note(_ text: String) { seen.withLock { $0.append(text) } }
    }
    let (loop, sink, store, order) = (EventLoop(), Slow(), MemoryStore(), Order())
    let service = KeyService(store: store, sink: sink)
    try service.adopt(try Vault.initialize(store, method: .keyFile, secret: KeyFile.generate().span))
    let api = AdminAPI(service: service, version: "test")
    loop.run {
      await withDiscardingTaskGroup { group in
        group.addTask(executorPreference: loop) {
          _ = try? await service.setTeam("red", Policy(providers: ["openai"]))
          order.note("changed")
        }
        group.addTask(executorPreference: loop) {
          try? await loop.turn()
          let request = try? AdminRequest(.get, "/v1/teams/red", body: SecretBytes(count: 0) { _ in })
          guard let request else { return }
          let status = await api.answer(request).status
          order.note("read \(status)")
        }
        group.addTask(executorPreference: loop) {
          for _ in 0..<5 { try? await loop.turn() }
          order.note("there")
          sink.isThere.fire()
        }
      }
    }
    let seen = order.seen.withLock { $0 }
    #expect(seen.first == "there" && Set(seen) == ["there", "changed", "read 200"])
  }

  @Test("every path answers what it should, and a wrong method or path is not found") func paths() async {
    #expect(await call(.get, "/v1/status").status == 200)
    #expect(await call(.get, "/v1/providers").text.contains("\"name\":\"openai\""))
    #expect(await call(.post, "/v1/provider-keys?provider=openai&name=a", "sk-made-up-00000000").status == 201)
    #expect(await call(.get, "/v1/provider-keys").text.contains("\"usable\":true"))
    let created = await call(.post, "/v1/keys", #"{"name":"n","policy":{"providers":["openai"]}}"#)
    #expect(created.status == 201 && created.text.contains("\"masked_key\":\"mk_"))
    #expect(await call(.get, "/v1/keys").status == 200)
    #expect(await call(.get, "/v1/activity?limit=5").text == "[]")
    for (method, path) in [
      (Wire.Method.get, "/"), (.get, "/v2/status"),
      (.post, "/v1/keys/AAAAAAAAAAAA/destroy"), (.get, "/v1/keys/AAAAAAAAAAAA/x/y"),
    ] {
      #expect(await call(method, path).status == 404, "\(path)")
    }
    for method in [Wire.Method.put, .delete] { #expect(await call(method, "/v1/keys").status == 405) }
  }

  @Test("many keys are made at once, all or none") func many() async {
    let made = await call(.post, "/v1/keys", #"{"name":"n","policy":{"providers":["openai"]},"count":3}"#)
    #expect(made.status == 201 && made.text.split(separator: "masked_key").count == 4 && made.text.contains("\"name\":\"n-3\""))
    for count in ["0", "1001", "-1", "1.5", "\"3\""] {
      #expect(
        await call(.post, "/v1/keys", "{\"name\":\"n\",\"policy\":{\"providers\":[\"openai\"]},\"count\":\(count)}").status
          == 400, "\(count)")
    }
    #expect(await call(.get, "/v1/keys").text.split(separator: "\"id\"").count == 4)
  }

  @Test("no answer but the one to a new key holds a secret") func secrets() async {
    _ = await call(.post, "/v1/provider-keys?provider=openai&name=a", "sk-made-up-canary-0000")
    let created = await call(.post, "/v1/keys", #"{"name":"n","policy":{"providers":["openai"]}}"#).text
    let start = created.firstRange(of: "mk_")!.lowerBound
    let secret = created[start...].prefix(while: { $0 != "\"" })
    for path in ["/v1/status", "/v1/providers", "/v1/provider-keys", "/v1/keys", "/v1/activity"] {
      let text = await call(.get, path).text
      #expect(!text.contains("canary") && !text.contains(secret.suffix(30)), "\(path)")
    }
  }

  @Test(
    "bodies are read strictly: unknown, doubled and missing members, wrong types, bad JSON",
    arguments: [
      #"{"name":"n","policy":{"providers":["openai"]},"admin":true}"#,
      #"{"name":"n","name":"m","policy":{"providers":["openai"]}}"#,
      #"{"name":"n","n\u0061me":"m","policy":{"providers":["openai"]}}"#,
      #"{"name":"n"}"#, #"{"name":1,"policy":{"providers":["openai"]}}"#, #"{"name":"n","policy":{"providers":"openai"}}"#,
      #"{"name":"n","policy":{"providers":["openai"]},}"#, "", "[]", "null",
      #"{"name":"n","policy":{"providers":["openai"]}} x"#, "\u{FEFF}{}", #"{"name":"","policy":{"providers":["openai"]}}"#,
      #"{"name":"n","policy":{"providers":[]}}"#,
      #"{"name":"n","policy":{"providers":["openai"]},"expires_at":"tomorrow"}"#,
      #"{"name":"n","policy":{"providers":["openai"]},"expires_at":"2001-01-01"}"#,
      #"{"name":"n","policy":{"providers":["openai"]},"prefix":"a b"}"#,
      #"{"name":"a\u001b[31m","policy":{"providers":["openai"]}}"#,
    ])
  func strictBodies(body: String) async {
    let answer = await call(.post, "/v1/keys", body)
    #expect(answer.status == 400 && answer.text.contains("\"code\":\"invalid_input\""), "\(answer)")
  }

  @Test(
    "parameters are read strictly",
    arguments: [
      "/v1/activity?limit=0", "/v1/activity?limit=1001", "/v1/activity?limit=x", "/v1/activity?nope=1", "/v1/activity?key=short",
      "/v1/activity?from=yesterday",
      "/v1/activity?limit=1&limit=2", "/v1/activity?limit=%zz", "/v1/status?x=1", "/v1/keys/short", "/v1/keys/..%2f..",
      "/v1/keys/%27%20OR%201=1",
    ])
  func strictParameters(target: String) async { #expect(await call(.get, target).status == 400) }

  @Test(
    "providers are checked",
    arguments: [
      #"{"name":"p","base_url":"http://api.test","credential":"bearer","kind":"openai-compatible"}"#,
      #"{"name":"P","base_url":"https://api.test","credential":"bearer","kind":"openai-compatible"}"#,
      #"{"name":"p","base_url":"https://api.test","credential":"cookie","kind":"openai-compatible"}"#,
      #"{"name":"p","base_url":"https://api.test","credential":"bearer","kind":"other"}"#,
      #"{"name":"healthz","base_url":"https://api.test","credential":"bearer","kind":"openai-compatible"}"#,
      #"{"name":"p","credential":"bearer","kind":"openai-compatible","x":1}"#,
      #"{"name":"p","credential":"header:Host","base_url":"https://api.test"}"#,
      #"{"name":"p","credential":"header:content-length","base_url":"https://api.test"}"#,
      #"{"name":"p","credential":"query:a b","base_url":"https://api.test"}"#,
      #"{"name":"p","kind":"azure"}"#,
    ])
  func providers(body: String) async { #expect(await call(.post, "/v1/providers", body).status == 400) }

  @Test("a missing key, a repeated revocation and a revoked key's way back have their own answers") func lifecycle() async {
    #expect(await call(.get, "/v1/keys/AAAAAAAAAAAA").status == 404)
    let created = await call(.post, "/v1/keys", #"{"name":"n","policy":{"providers":["openai"]}}"#).text
    let id = created[created.firstRange(of: "\"id\":\"")!.upperBound...].prefix(12)
    #expect(await call(.post, "/v1/keys/\(id)/revoke").text.contains("\"state\":\"revoked\""))
    #expect(await call(.post, "/v1/keys/\(id)/revoke").status == 200)
    #expect(await call(.post, "/v1/keys/\(id)/enable").status == 409)
  }

  @Test("teams, policies, budgets and prices are set, listed and removed") func rules() async {
    #expect(await call(.put, "/v1/teams/ml", #"{"limits":{"tokens_per_day":5}}"#).text.contains("\"tokens_per_day\":5"))
    #expect(
      await call(.put, "/v1/policies/p", #"{"models":["gpt-4*"],"model_limits":[{"models":["*"],"limits":{"concurrent":2}}]}"#)
        .status == 200)
    let created = await call(.post, "/v1/keys", #"{"name":"n","team":"ml","shared_policy":"p"}"#).text
    #expect(created.contains("\"team\":\"ml\"") && created.contains("\"shared_policy\":\"p\""))
    let id = created[created.firstRange(of: "\"id\":\"")!.upperBound...].prefix(12)
    #expect(await call(.get, "/v1/teams").text.contains("\"keys\":1"))
    #expect(await call(.delete, "/v1/policies/p").status == 409)
    #expect(await call(.put, "/v1/keys/\(id)", #"{"policy":{"providers":["openai"]}}"#).text.contains("\"revision\":2"))
    #expect(await call(.delete, "/v1/policies/p").status == 204)
    #expect(await call(.put, "/v1/budgets/b", #"{"usd":"0.5","window":"month"}"#).text.contains("\"left_usd\":\"0.50\""))
    #expect(
      await call(.post, "/v1/budgets/b/raise", #"{"usd":"1","until":"2099-01-01"}"#).text.contains("\"limit_usd\":\"1.50\""))
    #expect(await call(.get, "/v1/budgets").text.contains("\"name\":\"b\""))
    #expect(await call(.get, "/v1/budgets/b").status == 200)
    #expect(await call(.delete, "/v1/budgets/b").status == 204)
    #expect(await call(.delete, "/v1/budgets/b").status == 404)
    #expect(
      await call(.put, "/v1/prices/openai/x%2Fy", #"{"prices":{"input":"1.25","max_output":"100"}}"#).text.contains(
        "\"model\":\"x/y\""))
    #expect(await call(.get, "/v1/prices?own=").text.contains("\"input\":\"1.25\""))
    #expect(await call(.get, "/v1/prices?provider=openai&model=gpt-4o").text.contains("\"input\":\"2.50\""))
    #expect(await call(.delete, "/v1/prices/openai/x%2Fy").status == 204)
    let told = await call(.post, "/v1/explain", "{\"key\":\"\(id)\",\"method\":\"GET\",\"path\":\"/openai/v1/models\"}").text
    #expect(told.contains("\"refused_by\":\"no_provider_key\"") && told.contains("\"allowed\":false"))
  }

  @Test(
    "rules are read strictly",
    arguments: [
      (Wire.Method.put, "/v1/teams/ml", #"{"admin":true}"#), (.put, "/v1/teams/ml", #"{"limits":{"requests_per_year":1}}"#),
      (.put, "/v1/teams/ml", #"{"limits":{"requests_per_day":0}}"#),
      (.put, "/v1/teams/ml", #"{"limits":{"requests_per_day":1.5}}"#),
      (.put, "/v1/teams/ml", #"{"limits":{"requests_per_day":1},"limits":{}}"#), (.put, "/v1/teams/Ml", "{}"),
      (.put, "/v1/teams/%20", "{}"),
      (.put, "/v1/teams/ml", #"{"hours":["always"]}"#), (.put, "/v1/teams/ml", #"{"paths":["x"]}"#),
      (.put, "/v1/teams/ml", #"{"models":[]}"#),
      (.put, "/v1/teams/ml", #"{"output_tokens_max":0}"#), (.put, "/v1/teams/ml", #"{"body_bytes_max":0}"#),
      (.put, "/v1/teams/ml", #"{"model_limits":[{"models":[],"limits":{"concurrent":1}}]}"#),
      (.put, "/v1/teams/ml", #"{"model_limits":[{"models":["*"],"limits":{}}]}"#),
      (.put, "/v1/policies/p", #"{"model_limits":[{"models":["*"],"limits":{"concurrent":1},"x":1}]}"#),
      (.put, "/v1/budgets/b", #"{"usd":1,"window":"day"}"#), (.put, "/v1/budgets/b", #"{"usd":"1e3","window":"day"}"#),
      (.put, "/v1/budgets/b", #"{"usd":"1"}"#), (.put, "/v1/budgets/b", #"{"usd":"1","window":"decade"}"#),
      (.put, "/v1/budgets/b", #"{"usd":"1","window":"day","key":"short"}"#),
      (.put, "/v1/budgets/b", #"{"usd":"1","window":"day","raise":{"usd":"1","until":"2099-01-01","x":1}}"#),
      (.put, "/v1/budgets/b", #"{"usd":"1","window":"day","state":{}}"#),
      (.put, "/v1/budgets/b", #"{"usd":"1","window":"day","alerts":[0]}"#),
      (.post, "/v1/budgets/b/raise", #"{"usd":"1"}"#), (.put, "/v1/prices/openai/x", #"{"prices":{"input":"-1"}}"#),
      (.put, "/v1/prices/openai/x", #"{"prices":{"inptu":"1"}}"#), (.put, "/v1/prices/openai/x", #"{"prices":{}}"#),
      (.put, "/v1/prices/openai/x", #"{"prices":{"max_input":"1.5","input":"1"}}"#),
      (.post, "/v1/explain", #"{"method":"POST","path":"/openai/v1/models"}"#),
      (.post, "/v1/explain", #"{"key":"AAAAAAAAAAAA","policy":{},"method":"POST","path":"/x"}"#),
      (.post, "/v1/explain", #"{"policy":{},"method":"FETCH","path":"/x"}"#),
      (.post, "/v1/explain", #"{"policy":{},"method":"GET","path":"x"}"#),
      (.post, "/v1/explain", #"{"policy":{},"method":"GET","path":"/x","from":"host"}"#),
      (.post, "/v1/explain", #"{"policy":{},"method":"GET","path":"/x","at":"now"}"#),
      (.post, "/v1/explain", #"{"policy":{"nope":1},"method":"GET","path":"/x"}"#),
      (.post, "/v1/keys", #"{"name":"n","team":"ml","policy":{"providers":["openai"],"nope":1}}"#),
    ])
  func strictRules(method: Wire.Method, target: String, body: String) async {
    let answer = await call(method, target, body)
    #expect(answer.status == 400 && answer.text.contains("\"code\":\"invalid_input\""), "\(answer)")
  }
}
