import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import Providers
import Storage
import TestSupport
import Testing
import Vault
import Wire

struct DocumentTests: AtBench {
  let bench: Bench

  init() throws { bench = try Bench(seed: 9) }

  private func create(_ grant: Grant) async throws -> RecordID {
    let created = try await service.createKey(name: "n", grant: grant, expiresAt: nil)
    return created.key.id
  }

  private func refusal(_ id: RecordID, _ model: String = "gpt-4o") throws -> Refusal? {
    let body = Array("{\"model\":\"\(model)\",\"max_tokens\":10}".utf8)
    return try service.explain(
      key: id,
      AskedRequest(
        method: .post, target: Array("/openai/v1/chat/completions".utf8), body: body,
        contentType: Array("application/json".utf8), from: nil, at: clock.now)
    ).refusal
  }

  private func addProviderKey() async throws {
    let secret = SecretBytes(copying: Array("sk-made-up-00000000".utf8).span)
    _ = try await service.addProviderKey(provider: "openai", name: "default", secret: secret)
  }

  @Test("a change of a shared policy or a team is in force at once for all its keys, and after a restart") func shared()
    async throws
  {
    try await addProviderKey()
    try await service.setTeam("t", Policy(providers: ["*"]))
    try await service.setSharedPolicy("p", Policy(providers: ["openai"]))
    let keys = [
      try await create(Grant(policy: Policy(providers: ["*"]), sharedPolicy: "p")),
      try await create(Grant(policy: Policy(providers: ["*"]), sharedPolicy: "p", team: "t")),
    ]
    for key in keys { #expect(try refusal(key) == nil) }
    try await service.setSharedPolicy("p", Policy(providers: ["openai"], models: ["o3"]))
    for key in keys { #expect(try refusal(key) == .modelNotAllowed && refusal(key, "o3") == nil) }
    try await service.setTeam("t", Policy(providers: ["anthropic"]))
    #expect(try refusal(keys[0], "o3") == nil && refusal(keys[1], "o3") == .providerNotAllowed)
    let restarted = try again()
    #expect(restarted.teams["t"]?.providers == ["anthropic"] && restarted.sharedPolicies["p"]?.models == ["o3"])
    #expect(try restarted.key(keys[1]).team == "t")
  }

  @Test("a key cannot be granted what its team does not hold, nor a team or policy that is not there") func excess() async throws
  {
    try await service.setTeam("t", Policy(providers: ["openai"], models: ["gpt-4*"]))
    await #expect(throws: Fault(.forbidden, "")) {
      _ = try await create(Grant(policy: Policy(providers: ["anthropic"]), team: "t"))
    }
    await #expect(throws: Fault(.forbidden, "")) {
      _ = try await create(Grant(policy: Policy(providers: ["*"], models: ["o3"]), team: "t"))
    }
    for grant in [Grant(policy: Policy(providers: ["*"]), team: "x"), Grant(policy: Policy(providers: ["*"]), sharedPolicy: "x")]
    {
      await #expect(throws: Fault(.notFound, "")) { _ = try await create(grant) }
    }
    let key = try await create(Grant(policy: Policy(providers: ["*"], models: ["gpt-4o"]), team: "t"))
    await #expect(throws: Fault(.forbidden, "")) {
      _ = try await service.regrantKey(key, Grant(policy: Policy(providers: ["*"], models: ["o3"]), team: "t"))
    }
    #expect(try service.key(key).policy.models == ["gpt-4o"], "a refused change changes nothing")
  }

  @Test("what keys or budgets still have is not removed") func inUse() async throws {
    try await service.setTeam("t", Policy(providers: ["*"]))
    let key = try await create(Grant(policy: Policy(providers: ["*"]), team: "t"))
    await #expect(throws: Fault(.conflict, "")) { try await service.removeTeam("t") }
    _ = try await service.changeKey(key, .revoke)
    try await service.setBudget(Budget(name: "b", amount: NanoDollars(1), window: .day, team: "t"))
    await #expect(throws: Fault(.conflict, "")) { try await service.removeTeam("t") }
    try await service.removeBudget("b")
    try await service.removeTeam("t")
    await #expect(throws: Fault(.notFound, "")) { try await service.removeTeam("t") }
    #expect(try again().teams.isEmpty)
  }

  @Test("documents edited, removed, added or rolled back outside are found, and nothing opens") func tampering() async throws {
    try await service.setTeam("t", Policy(providers: ["openai"]))
    let old = try store.documents()
    try await service.setTeam("t", Policy(providers: ["anthropic"]))
    try await service.setBudget(Budget(name: "b", amount: NanoDollars(5), window: .day))
    let whole = try store.documents()
    let edits: [@Sendable (inout [DocumentRow]) -> Void] = [
      { $0.removeAll { $0.kind == "budget" } }, { $0[0] = old[0] }, { $0.append($0[0]) },
      { $0[0].body = Array(String(decoding: $0[0].body, as: UTF8.self).replacing("anthropic", with: "openai").utf8) },
      { $0[0].name = "u" }, { $0[0].kind = "policy" }, { $0[0].revision += 1 }, { $0 = [] },
    ]
    for (i, edit) in edits.enumerated() {
      store.editDocuments { $0 = whole }
      _ = try again()
      store.editDocuments(edit)
      #expect(throws: Fault(.tampered, ""), "edit \(i)") { _ = try again() }
    }
  }

  @Test("an unknown price under a budget is refused; a price of yours is in force at once, and so is its removal") func prices()
    async throws
  {
    try await addProviderKey()
    let key = try await create(Grant(policy: Policy(providers: ["openai"])))
    try await service.setBudget(Budget(name: "b", amount: NanoDollars(dollars: "1")!, window: .day, key: key))
    #expect(try refusal(key, "gpt-4o") == nil && refusal(key, "my-model") == .priceUnknown)
    var price = Price()
    (price.input, price.output) = (1_000_000_000, 2_000_000_000)
    try await service.setPrice(PriceName(list: "openai", model: "my-*"), price)
    #expect(try refusal(key, "my-model") == nil)
    (price.input, price.output) = (1_000_000_000_000_000, 1)
    try await service.setPrice(PriceName(list: "openai", model: "my-*"), price)
    #expect(try refusal(key, "my-model") == .budgetExhausted)
    try await service.removePrice(PriceName(list: "openai", model: "my-*"))
    #expect(try refusal(key, "my-model") == .priceUnknown)
    await #expect(throws: Fault(.notFound, "")) { try await service.removePrice(PriceName(list: "openai", model: "my-*")) }
    await #expect(throws: Fault(.invalidInput, "")) { try await service.setPrice(PriceName(list: "openai", model: "x"), Price()) }
    await #expect(throws: Fault(.invalidInput, "")) { try await service.setPrice(PriceName(list: "Open AI", model: "x"), price) }
  }

  @Test("a write that fails changes nothing") func failing() async throws {
    try await service.setTeam("t", Policy(providers: ["openai"]))
    store.fail(true)
    await #expect(throws: Fault(.storage, "")) { try await service.setTeam("t", Policy(providers: ["anthropic"])) }
    await #expect(throws: Fault(.storage, "")) {
      try await service.setBudget(Budget(name: "b", amount: NanoDollars(1), window: .day))
    }
    store.fail(false)
    #expect(service.teams["t"]?.providers == ["openai"] && service.budgets.isEmpty)
    #expect(try again().teams["t"]?.providers == ["openai"])
  }

  @Test("a budget names what there is, and ends in the future") func budgetChecks() async throws {
    for budget in [
      Budget(name: "b", amount: NanoDollars(1), window: .day, key: RecordID("AAAAAAAAAAAA")!),
      Budget(name: "b", amount: NanoDollars(1), window: .day, team: "x"),
      Budget(name: "b", amount: NanoDollars(1), window: .day, provider: "x"),
      Budget(name: "b", amount: NanoDollars(1), window: .day, zone: "Europe/Atlantis"),
    ] { await #expect(throws: Fault(.notFound, "")) { try await service.setBudget(budget) } }
    await #expect(throws: Fault(.invalidInput, "")) {
      try await service.setBudget(
        Budget(name: "b", amount: NanoDollars(1), window: .day, raise: Budget.Raise(amount: NanoDollars(1), until: 1)))
    }
    #expect(throws: Fault(.notFound, "")) { _ = try service.budget("b") }
  }
}
