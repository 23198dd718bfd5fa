import Domain
import KeyService
import Primitives
import Wire

/// One thing that the management side does: where it is asked for, what one needs to be allowed, and what answers.
struct AdminRoute: Sendable {
  let method: Wire.Method
  /// Behind `/v1`: segments, `*` for any one.
  let pattern: [Substring]
  let permission: Permission
  /// Whether it keeps itself to the caller's team, so that a caller of a team may ask for it.
  let isOfTeams: Bool
  let answer: @Sendable (AdminAPI, borrowing AdminRequest, [String]) async throws(Fault) -> AdminResponse

  init(
    _ method: Wire.Method, _ path: StaticString, _ verb: Permission.Verb, _ resource: Permission.Resource, ofTeams: Bool = false,
    _ answer: @escaping @Sendable (AdminAPI, borrowing AdminRequest, [String]) async throws(Fault) -> AdminResponse
  ) {
    self.method = method
    pattern = "\(path)".split(separator: "/")
    permission = Permission(verb, resource)
    isOfTeams = ofTeams
    self.answer = answer
  }

  var text: String { "\(method.name) /v1/\(pattern.map { $0 == "*" ? "{}" : String($0) }.joined(separator: "/"))" }

  /// What stands for the wildcards; nil when it is another path.
  func match(_ method: Wire.Method, _ path: [String]) -> [String]? {
    guard method == self.method, path.count == pattern.count else { return nil }
    var found: [String] = []
    for (segment, expected) in zip(path, pattern) {
      if expected == "*" { found.append(segment) } else if segment != expected { return nil }
    }
    return found
  }
}

extension AdminAPI {
  /// All of it. Who may ask for what is decided here and nowhere else.
  static let routes: [AdminRoute] = [
    AdminRoute(.get, "status", .read, .status, ofTeams: true) { (api, r, p) async throws(Fault) in try api.status(r) },
    AdminRoute(.post, "unseal", .change, .seal) { (api, r, p) async throws(Fault) in try await api.unseal(r) },
    AdminRoute(.get, "providers", .read, .providers, ofTeams: true) { (api, r, p) async throws(Fault) in try api.listProviders(r)
    },
    AdminRoute(.post, "providers", .create, .providers) { (api, r, p) async throws(Fault) in try await api.addProvider(r) },
    AdminRoute(.get, "providers/*", .read, .providers, ofTeams: true) { (api, r, p) async throws(Fault) in
      try api.showProvider(r, p[0])
    },
    AdminRoute(.get, "provider-kinds", .read, .providers, ofTeams: true) { (api, r, p) async throws(Fault) in try api.listKinds(r)
    },
    AdminRoute(.get, "provider-keys", .read, .providerKeys) { (api, r, p) async throws(Fault) in try api.listProviderKeys(r) },
    AdminRoute(.post, "provider-keys", .create, .providerKeys) { (api, r, p) async throws(Fault) in
      try await api.addProviderKey(r)
    },
    AdminRoute(.get, "provider-keys/*", .read, .providerKeys) { (api, r, p) async throws(Fault) in
      try api.allow(r, query: [])
      return try api.showProviderKey(try api.recordID(p[0]))
    },
    AdminRoute(.put, "provider-keys/*", .change, .providerKeys) { (api, r, p) async throws(Fault) in
      try await api.setPool(r, p[0])
    },
    AdminRoute(.post, "provider-keys/*/release", .change, .providerKeys) { (api, r, p) async throws(Fault) in
      try api.releaseProviderKey(r, p[0])
    },
    AdminRoute(.post, "provider-keys/*/disable", .change, .providerKeys) { (api, r, p) async throws(Fault) in
      try await api.switchProviderKey(r, p[0], on: false)
    },
    AdminRoute(.post, "provider-keys/*/enable", .change, .providerKeys) { (api, r, p) async throws(Fault) in
      try await api.switchProviderKey(r, p[0], on: true)
    },
    AdminRoute(.delete, "provider-keys/*", .end, .providerKeys) { (api, r, p) async throws(Fault) in
      try await api.removeProviderKey(r, p[0])
    },
    AdminRoute(.get, "keys", .read, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in try api.listKeys(r) },
    AdminRoute(.post, "keys", .create, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in try await api.createKey(r) },
    AdminRoute(.get, "keys/*", .read, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in try await api.showKey(r, p[0]) },
    AdminRoute(.post, "keys/*/rotate", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.rotateKey(r, p[0])
    },
    AdminRoute(.post, "keys/*/disable", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "disable")
    },
    AdminRoute(.post, "keys/*/enable", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "enable")
    },
    AdminRoute(.post, "keys/*/revoke", .end, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "revoke")
    },
    AdminRoute(.post, "keys/*/destroy", .end, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "destroy")
    },
    AdminRoute(.put, "keys/*/tags", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.retagKey(r, p[0])
    },
    AdminRoute(.put, "keys/*/throttle", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.throttleKey(r, p[0])
    },
    AdminRoute(.post, "revocations", .end, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in try await api.revoke(r) },
    AdminRoute(.put, "keys/*/expiry", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.setExpiry(r, p[0])
    },
    AdminRoute(.post, "keys/*/deliver", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.retryDelivery(r, p[0])
    },
    AdminRoute(.get, "schedules", .read, .schedules) { (api, r, p) async throws(Fault) in try api.listSchedules(r) },
    AdminRoute(.get, "schedules/*/*", .read, .schedules) { (api, r, p) async throws(Fault) in
      try api.showSchedule(r, "\(p[0])/\(p[1])")
    },
    AdminRoute(.put, "schedules/*/*", .change, .schedules) { (api, r, p) async throws(Fault) in
      try api.setSchedule(r, "\(p[0])/\(p[1])")
    },
    AdminRoute(.delete, "schedules/*/*", .end, .schedules) { (api, r, p) async throws(Fault) in
      try api.removeSchedule(r, "\(p[0])/\(p[1])")
    },
    AdminRoute(.get, "destinations", .read, .destinations) { (api, r, p) async throws(Fault) in try api.listDestinations(r) },
    AdminRoute(.get, "destinations/*", .read, .destinations) { (api, r, p) async throws(Fault) in
      try api.showDestination(r, p[0])
    },
    AdminRoute(.put, "destinations/*", .change, .destinations) { (api, r, p) async throws(Fault) in
      try api.setDestination(r, p[0])
    },
    AdminRoute(.delete, "destinations/*", .end, .destinations) { (api, r, p) async throws(Fault) in
      try api.removeDestination(r, p[0])
    },
    AdminRoute(.get, "connectors", .read, .providers) { (api, r, p) async throws(Fault) in try api.listConnectors(r) },
    AdminRoute(.get, "rotations", .read, .rotations) { (api, r, p) async throws(Fault) in try api.listRotations(r) },
    AdminRoute(.get, "rotations/*", .read, .rotations) { (api, r, p) async throws(Fault) in try api.showRotation(r, p[0]) },
    AdminRoute(.put, "rotations/*", .change, .rotations) { (api, r, p) async throws(Fault) in try api.setRotation(r, p[0]) },
    AdminRoute(.delete, "rotations/*", .end, .rotations) { (api, r, p) async throws(Fault) in try api.removeRotation(r, p[0]) },
    AdminRoute(.post, "rotations/*/start", .change, .rotations) { (api, r, p) async throws(Fault) in
      try await api.startRotation(r, p[0])
    },
    AdminRoute(.post, "rotations/*/abort", .change, .rotations) { (api, r, p) async throws(Fault) in
      try await api.endRotation(r, p[0], "abort")
    },
    AdminRoute(.post, "rotations/*/confirm", .change, .rotations) { (api, r, p) async throws(Fault) in
      try await api.endRotation(r, p[0], "confirm")
    },
    AdminRoute(.get, "triggers", .read, .triggers) { (api, r, p) async throws(Fault) in try api.listTriggers(r) },
    AdminRoute(.get, "triggers/*", .read, .triggers) { (api, r, p) async throws(Fault) in try api.showTrigger(r, p[0]) },
    AdminRoute(.put, "triggers/*", .change, .triggers) { (api, r, p) async throws(Fault) in try await api.setTrigger(r, p[0]) },
    AdminRoute(.delete, "triggers/*", .end, .triggers) { (api, r, p) async throws(Fault) in try await api.removeTrigger(r, p[0])
    },
    AdminRoute(.post, "triggers/replay", .read, .triggers) { (api, r, p) async throws(Fault) in try await api.replayTriggers(r) },
    AdminRoute(.post, "leaks", .create, .leaks) { (api, r, p) async throws(Fault) in try await api.reportLeaks(r) },
    AdminRoute(.get, "audit", .read, .audit) { (api, r, p) async throws(Fault) in try api.audit(r) },
    AdminRoute(.put, "keys/*", .change, .keys, ofTeams: true) { (api, r, p) async throws(Fault) in
      try await api.regrantKey(r, p[0])
    },
    AdminRoute(.get, "teams", .read, .teams, ofTeams: true) { (api, r, p) async throws(Fault) in
      try api.listNamedPolicies(r, .team)
    },
    AdminRoute(.get, "teams/*", .read, .teams, ofTeams: true) { (api, r, p) async throws(Fault) in
      try api.showNamedPolicy(r, .team, p[0])
    },
    AdminRoute(.put, "teams/*", .change, .teams) { (api, r, p) async throws(Fault) in try await api.setNamedPolicy(r, .team, p[0])
    },
    AdminRoute(.delete, "teams/*", .end, .teams) { (api, r, p) async throws(Fault) in
      try await api.removeNamedPolicy(r, .team, p[0])
    },
    AdminRoute(.get, "policies", .read, .policies, ofTeams: true) { (api, r, p) async throws(Fault) in
      try api.listNamedPolicies(r, .policy)
    },
    AdminRoute(.get, "policies/*", .read, .policies, ofTeams: true) { (api, r, p) async throws(Fault) in
      try api.showNamedPolicy(r, .policy, p[0])
    },
    AdminRoute(.put, "policies/*", .change, .policies) { (api, r, p) async throws(Fault) in
      try await api.setNamedPolicy(r, .policy, p[0])
    },
    AdminRoute(.delete, "policies/*", .end, .policies) { (api, r, p) async throws(Fault) in
      try await api.removeNamedPolicy(r, .policy, p[0])
    },
    AdminRoute(.get, "budgets", .read, .budgets, ofTeams: true) { (api, r, p) async throws(Fault) in try api.listBudgets(r) },
    AdminRoute(.get, "budgets/*", .read, .budgets, ofTeams: true) { (api, r, p) async throws(Fault) in try api.showBudget(r, p[0])
    },
    AdminRoute(.put, "budgets/*", .change, .budgets) { (api, r, p) async throws(Fault) in try await api.setBudget(r, p[0]) },
    AdminRoute(.post, "budgets/*/raise", .change, .budgets) { (api, r, p) async throws(Fault) in
      try await api.raiseBudget(r, p[0])
    },
    AdminRoute(.delete, "budgets/*", .end, .budgets) { (api, r, p) async throws(Fault) in try await api.removeBudget(r, p[0]) },
    AdminRoute(.get, "prices", .read, .prices) { (api, r, p) async throws(Fault) in try api.listPrices(r) },
    AdminRoute(.get, "prices/*/*", .read, .prices) { (api, r, p) async throws(Fault) in try api.showPrice(r, p[0], p[1]) },
    AdminRoute(.put, "prices/*/*", .change, .prices) { (api, r, p) async throws(Fault) in try await api.setPrice(r, p[0], p[1]) },
    AdminRoute(.delete, "prices/*/*", .end, .prices) { (api, r, p) async throws(Fault) in try await api.removePrice(r, p[0], p[1])
    },
    AdminRoute(.get, "objects", .read, .objects) { (api, r, p) async throws(Fault) in try api.listObjects(r) },
    AdminRoute(.put, "objects/*/*", .change, .objects) { (api, r, p) async throws(Fault) in try api.giveObject(r, p[0], p[1]) },
    AdminRoute(.post, "explain", .read, .policies) { (api, r, p) async throws(Fault) in try api.explain(r) },
    AdminRoute(.get, "activity", .read, .activity, ofTeams: true) { (api, r, p) async throws(Fault) in try await api.activity(r)
    },
    AdminRoute(.post, "checkups", .read, .status) { (api, r, p) async throws(Fault) in try await api.checkUp(r) },
    AdminRoute(.post, "backups", .create, .backups) { (api, r, p) async throws(Fault) in try await api.backUp(r) },
    AdminRoute(.get, "tokens", .read, .tokens) { (api, r, p) async throws(Fault) in try api.listTokens(r) },
    AdminRoute(.post, "tokens", .create, .tokens) { (api, r, p) async throws(Fault) in try api.createToken(r) },
    AdminRoute(.get, "tokens/*", .read, .tokens) { (api, r, p) async throws(Fault) in try api.showToken(r, p[0]) },
    AdminRoute(.post, "tokens/*/rotate", .change, .tokens) { (api, r, p) async throws(Fault) in try api.rotateToken(r, p[0]) },
    AdminRoute(.delete, "tokens/*", .end, .tokens) { (api, r, p) async throws(Fault) in try api.revokeToken(r, p[0]) },
  ]
}

extension AdminAPI {
  /// Who may ask for what, as the page of the documentation that a test compares with.
  public static func permissionMatrix() -> String {
    let roles: [AdminRole] = [.owner, .operator, .developer, .auditor]
    var lines = [
      "# Who may do what", "",
      "Made from the routes of the management side (`maskllm token matrix`). A token of the role `custom` has the permissions that it lists. A",
      "developer, and any token that is bound to a team, sees and does only what is of that team. What one may not do answers as if it were not there.",
      "", "| endpoint | permission | \(roles.map(\.rawValue).joined(separator: " | ")) |",
      "|---|---|\(roles.map { _ in "---" }.joined(separator: "|"))|",
    ]
    for route in routes.sorted(by: {
      ($0.pattern.joined(separator: "/"), "\($0.method.name)") < ($1.pattern.joined(separator: "/"), "\($1.method.name)")
    }) {
      let cells = roles.map { role in
        role.permissions.contains(route.permission) && (role != .developer || route.isOfTeams) ? "yes" : ""
      }
      lines.append("| `\(route.text)` | `\(route.permission)` | \(cells.joined(separator: " | ")) |")
    }
    return lines.joined(separator: "\n")
  }
}
