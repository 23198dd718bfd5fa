import Audit
import Cryptography
import Domain
import FoundationEssentials
public import KeyService
import PolicyEngine
import Primitives
import Providers
import Vault
import Wire

/// The management side as functions from request to answer. The command line is its client, over a socket or in process.
public final class AdminAPI: @unchecked Sendable {
  // Belongs to the thread of its key service.
  let service: KeyService
  private let version: String
  private let activityLost: @Sendable () -> Int
  let flushActivity: @Sendable () async -> Void

  /// `flushActivity` has the loops hand over what they have recorded, so that a query sees it.
  public init(
    service: KeyService, version: String, activityLost: @escaping @Sendable () -> Int = { 0 },
    flushActivity: @escaping @Sendable () async -> Void = {}
  ) {
    self.service = service
    self.version = version
    self.activityLost = activityLost
    self.flushActivity = flushActivity
  }

  /// Answers `request`; every fault becomes a problem document.
  public func answer(_ request: borrowing AdminRequest) async -> AdminResponse {
    do throws(Fault) { return try await route(request) } catch { return problem(error) }
  }

  private func route(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    guard r.path.first == "v1" else { throw Self.noSuchPath }
    let path = Array(r.path.dropFirst())
    switch (r.method, path.count, path.first) {
    case (.get, 1, "status"): return try status(r)
    case (.post, 1, "unseal"): return try await unseal(r)
    case (.get, 1, "providers"): return try listProviders(r)
    case (.post, 1, "providers"): return try await addProvider(r)
    case (.get, 1, "provider-kinds"): return try listKinds(r)
    case (.get, 1, "provider-keys"): return try listProviderKeys(r)
    case (.post, 1, "provider-keys"): return try await addProviderKey(r)
    case (.put, 2, "provider-keys"): return try await setPool(r, path[1])
    case (.post, 3, "provider-keys") where path[2] == "release": return try releaseProviderKey(r, path[1])
    case (.post, 3, "provider-keys") where path[2] == "disable": return try await switchProviderKey(r, path[1], on: false)
    case (.post, 3, "provider-keys") where path[2] == "enable": return try await switchProviderKey(r, path[1], on: true)
    case (.delete, 2, "provider-keys"): return try await removeProviderKey(r, path[1])
    case (.get, 1, "keys"): return try listKeys(r)
    case (.post, 1, "keys"): return try await createKey(r)
    case (.get, 2, "keys"): return try await showKey(r, path[1])
    case (.post, 3, "keys") where path[2] == "rotate": return try await rotateKey(r, path[1])
    case (.put, 3, "keys") where path[2] == "tags": return try await retagKey(r, path[1])
    case (.put, 3, "keys") where path[2] == "throttle": return try await throttleKey(r, path[1])
    case (.post, 1, "revocations"): return try await revoke(r)
    case (.put, 3, "keys") where path[2] == "expiry": return try await setExpiry(r, path[1])
    case (.post, 3, "keys") where path[2] == "deliver": return try await retryDelivery(r, path[1])
    case (.get, 1, "schedules"): return try listSchedules(r)
    case (.put, 3, "schedules"): return try setSchedule(r, "\(path[1])/\(path[2])")
    case (.delete, 3, "schedules"): return try removeSchedule(r, "\(path[1])/\(path[2])")
    case (.get, 1, "destinations"): return try listDestinations(r)
    case (.put, 2, "destinations"): return try setDestination(r, path[1])
    case (.delete, 2, "destinations"): return try removeDestination(r, path[1])
    case (.get, 1, "connectors"): return try listConnectors(r)
    case (.get, 1, "rotations"): return try listRotations(r)
    case (.get, 2, "rotations"): return try showRotation(r, path[1])
    case (.put, 2, "rotations"): return try setRotation(r, path[1])
    case (.delete, 2, "rotations"): return try removeRotation(r, path[1])
    case (.post, 3, "rotations") where path[2] == "start": return try await startRotation(r, path[1])
    case (.post, 3, "rotations") where ["abort", "confirm"].contains(path[2]): return try await endRotation(r, path[1], path[2])
    case (.get, 1, "triggers"): return try listTriggers(r)
    case (.put, 2, "triggers"): return try await setTrigger(r, path[1])
    case (.delete, 2, "triggers"): return try await removeTrigger(r, path[1])
    case (.post, 2, "triggers") where path[1] == "replay": return try await replayTriggers(r)
    case (.post, 1, "leaks"): return try await reportLeaks(r)
    case (.get, 1, "audit"): return try audit(r)
    case (.put, 2, "keys"): return try await regrantKey(r, path[1])
    case (.post, 3, "keys") where MaskedKey.Change(rawValue: path[2]) != nil:
      return try await changeKey(r, path[1], path[2])
    case (.get, 1, "teams"): return try listNamedPolicies(r, .team)
    case (.put, 2, "teams"): return try await setNamedPolicy(r, .team, path[1])
    case (.delete, 2, "teams"): return try await removeNamedPolicy(r, .team, path[1])
    case (.get, 1, "policies"): return try listNamedPolicies(r, .policy)
    case (.put, 2, "policies"): return try await setNamedPolicy(r, .policy, path[1])
    case (.delete, 2, "policies"): return try await removeNamedPolicy(r, .policy, path[1])
    case (.get, 1, "budgets"): return try listBudgets(r)
    case (.get, 2, "budgets"): return try showBudget(r, path[1])
    case (.put, 2, "budgets"): return try await setBudget(r, path[1])
    case (.post, 3, "budgets") where path[2] == "raise": return try await raiseBudget(r, path[1])
    case (.delete, 2, "budgets"): return try await removeBudget(r, path[1])
    case (.get, 1, "prices"): return try listPrices(r)
    case (.put, 3, "prices"): return try await setPrice(r, path[1], path[2])
    case (.delete, 3, "prices"): return try await removePrice(r, path[1], path[2])
    case (.get, 1, "objects"): return try listObjects(r)
    case (.put, 3, "objects"): return try giveObject(r, path[1], path[2])
    case (.post, 1, "explain"): return try explain(r)
    case (.get, 1, "activity"): return try await activity(r)
    default: throw Self.noSuchPath
    }
  }

  static let noSuchPath = Fault(
    .notFound, "there is no such path or method", hint: "is the command newer than the server?")

  // MARK: server

  private func status(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    let providerKeys = try service.listProviderKeys()
    return try encode(
      StatusDocument(
        version: version, sealed: service.isSealed, seal_method: try service.sealMethod().name,
        keys: service.isSealed ? 0 : try service.listKeys().count, provider_keys: providerKeys.count,
        tampered_keys: service.tamperedKeys.map(\.description), tampered_providers: service.tamperedProviders,
        unusable_provider_keys: service.isSealed ? [] : providerKeys.filter { !$0.isUsable }.map(\.key.id.description),
        activity_lost: activityLost()))
  }

  private func unseal(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.unseal(secret: r.body.span)
    await service.publish()
    return AdminResponse(status: 204, body: [])
  }

  // MARK: providers

  private func listProviders(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    guard !service.isSealed else { throw Fault(.sealed, "the vault is sealed", hint: "run 'maskllm unseal' first") }
    let keys = try service.listProviderKeys()
    return try encode(
      service.providers().map { provider in ProviderDocument(provider, keys: keys.count { $0.key.provider == provider.name }) })
  }

  private func addProvider(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: NewProviderDocument = try decode(
      r, fields: ["name", "base_url", "credential", "kind", "authority_file", "price_list", "fallback_urls"])
    let kind = document.kind ?? (service.catalogue[document.name] == nil ? Catalogue.compatible : document.name)
    guard let entry = service.catalogue[kind] else {
      throw Fault(.invalidInput, "there is no kind of provider '\(kind.prefix(40))'", hint: "see 'maskllm provider kinds'")
    }
    var credential = entry.credential
    if let text = document.credential {
      guard let style = CredentialStyle(text) else {
        throw Fault(.invalidInput, "that credential style is not known", hint: "use one of: \(CredentialStyle.forms)")
      }
      credential = style
    }
    guard let url = try document.base_url.map({ (text) throws(Fault) in try BaseURL(text) }) ?? entry.baseURL else {
      throw Fault(.invalidInput, "'\(kind)' has no address of its own", hint: "say where yours is, with https://")
    }
    let fallbacks = try (document.fallback_urls ?? []).map { (text) throws(Fault) in try BaseURL(text) }
    guard fallbacks.count <= Provider.fallbacksMax, Set(fallbacks.map(\.text)).union([url.text]).count == fallbacks.count + 1
    else {
      throw Fault(
        .invalidInput, "those fall-back addresses cannot be used", hint: "at most \(Provider.fallbacksMax), each another one")
    }
    let provider = Provider(
      name: document.name, baseURL: url, credential: credential, kind: kind, authorityFile: document.authority_file,
      priceList: document.price_list ?? entry.priceList, fallbackURLs: fallbacks)
    try await service.setProvider(provider)
    return try encode(ProviderDocument(provider, keys: nil), status: 201)
  }

  private func listKinds(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try encode(
      service.catalogue.all.map { entry in
        KindDocument(
          name: entry.name, title: entry.title, base_url: entry.baseURL.map { $0.origin + $0.prefix },
          credential: entry.credential.text, errors: entry.errors.rawValue, price_list: entry.priceList,
          client: entry.client.lines)
      })
  }

  private func listProviderKeys(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try encode(try service.listProviderKeys().map { document($0.key, isUsable: $0.isUsable) })
  }

  private func addProviderKey(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: ["provider", "name"], hasBody: true)
    guard let provider = r.query["provider"], let name = r.query["name"] else {
      throw Fault(.invalidInput, "a provider key needs a provider and a name")
    }
    let key = try await service.addProviderKey(provider: provider, name: name, secret: r.body)
    return try encode(document(key, isUsable: true), status: 201)
  }

  private func setPool(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: PoolDocument = try decode(r, fields: ["weight", "tags"])
    let id = try recordID(id)
    var pool = service.pools[id] ?? PoolSettings()
    (pool.weight, pool.tags) = (document.weight ?? 1, document.tags ?? [])
    try await service.setPool(id, pool)
    return try showProviderKey(id)
  }

  private func releaseProviderKey(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    let id = try recordID(id)
    try service.releaseProviderKey(id)
    return try showProviderKey(id)
  }

  private func showProviderKey(_ id: RecordID) throws(Fault) -> AdminResponse {
    guard let entry = try service.listProviderKeys().first(where: { $0.key.id == id }) else {
      throw Fault(.notFound, "there is no provider key \(id)")
    }
    return try encode(document(entry.key, isUsable: entry.isUsable))
  }

  private func switchProviderKey(_ r: borrowing AdminRequest, _ id: String, on: Bool) async throws(Fault) -> AdminResponse {
    let id = try recordID(id)
    if on {
      try allow(r, query: [])
      try await service.enableProviderKey(id)
    } else {
      let document: ReasonDocument = try decode(r, fields: ["reason"])
      var selection = Selection()
      selection.providerKey = id
      _ = try await service.revoke(selection, reason: document.reason)
    }
    return try showProviderKey(id)
  }

  private func removeProviderKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.removeProviderKey(try recordID(id))
    return AdminResponse(status: 204, body: [])
  }

  private func document(_ key: ProviderKey, isUsable: Bool) -> ProviderKeyDocument {
    ProviderKeyDocument(
      id: key.id.description, provider: key.provider, name: key.name, version: Int(key.version), usable: isUsable,
      state: service.pools[key.id]?.disabledBecause != nil
        ? "disabled" : isUsable ? service.health(of: key.id)?.state(now: monotonicNanoseconds()).rawValue ?? "usable" : "broken",
      cools_seconds: service.health(of: key.id)?.coolSeconds(now: monotonicNanoseconds()),
      weight: service.pools[key.id]?.weight ?? 1, tags: service.pools[key.id]?.tags ?? [], created_at: key.createdAt.rfc3339,
      reason: service.pools[key.id]?.disabledBecause)
  }

  // MARK: activity

  private func activity(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: ["key", "provider", "from", "to", "limit"])
    var query = ActivityQuery()
    if let key = r.query["key"] { query.key = try recordID(key) }
    query.provider = r.query["provider"]
    query.from = try moment(r.query["from"]) ?? query.from
    query.to = try moment(r.query["to"]) ?? query.to
    if let limit = r.query["limit"] {
      guard let n = Int(limit), (1...1000).contains(n) else {
        throw Fault(.invalidInput, "the limit is no number from 1 to 1000")
      }
      query.limit = n
    }
    await flushActivity()
    return try encode(try service.activity(query).map(ActivityDocument.init))
  }

  // MARK: shared

  func recordID(_ text: String) throws(Fault) -> RecordID {
    guard let id = RecordID(text) else { throw Fault(.invalidInput, "that is no ID", hint: "an ID has 12 letters and digits") }
    return id
  }

  /// Refuses what the path does not know.
  func allow(_ r: borrowing AdminRequest, query names: [String], hasBody: Bool = false) throws(Fault) {
    for name in r.query.keys where !names.contains(name) {
      throw Fault(.invalidInput, "the parameter '\(name)' is not known here")
    }
    if !hasBody, r.method == .get || r.method == .delete, r.body.count > 0 {
      throw Fault(.invalidInput, "a body is not wanted here")
    }
  }

  /// Reads a JSON object strictly: no unknown member, none twice, nothing Foundation is lenient about. `inner` are the members of
  /// members.
  func decode<Document: Decodable>(
    _ r: borrowing AdminRequest, fields: [String], inner: [String: [String]] = [:]
  ) throws(Fault) -> Document {
    try allow(r, query: [])
    let names = fields + inner.flatMap { outer, fields in fields.map { "\(outer).\($0)" } }
    let paths = JSONPaths(names.map { ($0, .inner) })
    var probe = JSONProbe()
    probe.feed(r.body.span, paths)
    probe.finish(paths)
    guard probe.status == .complete else { throw Fault(.invalidInput, "the body is not valid JSON") }
    guard !probe.hasDuplicate else { throw Fault(.invalidInput, "a member occurs twice in the body") }
    let data = Data([UInt8](copying: r.body.span))
    do {
      let members = try JSONDecoder().decode(Members.self, from: data)
      try members.check(fields)
      for (outer, fields) in inner { try members.inner[outer]?.check(fields) }
      for policy in [members] + inner.keys.compactMap({ members.inner[$0] }) {
        for entry in policy.lists["model_limits"] ?? [] { try entry.check(["models", "limits"]) }
      }
      return try JSONDecoder().decode(Document.self, from: data)
    } catch let fault as Fault { throw fault } catch {
      throw Fault(.invalidInput, "the body does not have the members that are needed: \(fields.joined(separator: ", "))")
    }
  }

  func encode(_ document: some Encodable, status: Int = 200) throws(Fault) -> AdminResponse {
    guard let data = try? JSONEncoder.stable.encode(document) else { throw Fault(.system, "the answer cannot be written") }
    return AdminResponse(status: status, body: [UInt8](data))
  }

  func problem(_ fault: Fault) -> AdminResponse {
    let status =
      switch fault.code {
      case .invalidInput: 400
      case .unsealFailed, .forbidden: 403
      case .notFound: 404
      case .conflict, .tampered: 409
      case .sealed: 503
      default: 500
      }
    let document = ProblemDocument(
      status: status, code: fault.code.rawValue, title: fault.message, hint: fault.hint.isEmpty ? nil : fault.hint)
    return AdminResponse(status: status, body: (try? [UInt8](JSONEncoder.stable.encode(document))) ?? [])
  }
}

/// The names of an object's members, whatever they are, and of those within.
private struct Members: Decodable {
  let names: [String]
  let inner: [String: Members]
  let lists: [String: [Members]]
  private struct Name: CodingKey {
    let stringValue: String
    init?(stringValue: String) { self.stringValue = stringValue }
    var intValue: Int? { nil }
    init?(intValue: Int) { return nil }
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Name.self)
    names = container.allKeys.map(\.stringValue)
    var (inner, lists): ([String: Members], [String: [Members]]) = ([:], [:])
    for key in container.allKeys {
      inner[key.stringValue] = try? container.decode(Members.self, forKey: key)
      lists[key.stringValue] = try? container.decode([Members].self, forKey: key)
    }
    (self.inner, self.lists) = (inner, lists)
  }

  func check(_ fields: [String]) throws(Fault) {
    for name in names where !fields.contains(name) {
      throw Fault(
        .invalidInput, "the member '\(name.prefix(64))' is not known here", hint: "use some of: \(fields.joined(separator: ", "))"
      )
    }
  }
}
