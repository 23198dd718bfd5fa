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
  let version: String
  private let activityLost: @Sendable () -> Int
  var lost: Int { activityLost() }
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

  /// The routes of `path` (behind `/v1`) that the caller may use. What one may not is as if it were not there.
  func open(_ path: [String]) -> [AdminRoute] {
    let caller = Caller.current
    return Self.routes.filter {
      $0.match(path) != nil && caller.permissions.contains($0.permission) && (caller.team == nil || $0.isOfTeams)
    }
  }

  private func route(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    // Where scrapers look for it.
    guard r.path.first == "v1" || r.path == ["metrics"] else { throw Self.noSuchPath }
    let path = r.path == ["metrics"] ? r.path : Array(r.path.dropFirst())
    let open = open(path)
    guard let route = open.first(where: { $0.method == r.method }), let found = route.match(path) else {
      if let hidden = Self.routes.first(where: { $0.method == r.method && $0.match(path) != nil }) {
        service.noteForbidden(Label.fitting(hidden.text))
      }
      guard !open.isEmpty else { throw Self.noSuchPath }
      var response = problem(
        Fault(.methodNotAllowed, "there is no such method here", hint: "or none for this token: see 'maskllm token matrix'"))
      response.allowed = open.map { "\($0.method.name)" }
      return response
    }
    try keepToTeam(path, found)
    guard r.method == .get else {
      try check(r.preconditions, path)
      // What only reads may be done as often as it is asked for.
      if route.permission.verb == .read, path != ["batches"] { return try await route.answer(self, r, found) }
      return try await answerOnce(r) { (r) async throws(Fault) in try await route.answer(self, r, found) }
    }
    var response = try await route.answer(self, r, found)
    // What was read may just have come about, and be on its way to the loops.
    await service.settled()
    response.entityTag = entityTag(path)
    return response
  }

  /// Of keys, a caller of a team is shown and does only what is of the team.
  func keepToTeam(_ path: [String], _ found: [String]) throws(Fault) {
    if Caller.current.team != nil, path[0] == "keys", let id = found.first { _ = try ownKey(id) }
  }

  static let noSuchPath = Fault(
    .notFound, "there is no such path or method", hint: "is the command newer than the server?")

  // MARK: server

  func status(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    let providerKeys = try service.listProviderKeys()
    return try encode(
      StatusDocument(
        version: version, sealed: service.isSealed, seal_method: try service.sealMethod().name,
        keys: service.isSealed ? 0 : try service.unorderedKeys().count, provider_keys: providerKeys.count,
        tampered_keys: service.tamperedKeys.map(\.description), tampered_providers: service.tamperedProviders,
        unusable_provider_keys: service.isSealed ? [] : providerKeys.filter { !$0.isUsable }.map(\.key.id.description),
        activity_lost: activityLost()))
  }

  /// Who serves: this process, alone.
  func listNodes(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    let this = NodeDocument(
      node: "this", version: version, started_at: service.startedAt.rfc3339, event_loops: service.eventLoops,
      sealed: service.isSealed)
    return try page(r, of: [this], by: \.node) { $0 }
  }

  func unseal(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.reopen(secret: r.body.span)
    return AdminResponse(status: 204, body: [])
  }

  func seal(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: SealDocument = try decode(r)
    return try encode(SealReceiptDocument(try await service.seal(reason: document.reason)))
  }

  // MARK: providers

  func listProviders(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try page(r, of: try providerDocuments(), by: \.name) { $0 }
  }

  private func providerDocuments() throws(Fault) -> [ProviderDocument] {
    guard !service.isSealed else { throw Fault(.sealed, "the vault is sealed", hint: "run 'maskllm unseal' first") }
    let keys = try service.listProviderKeys()
    return service.providers().map { provider in ProviderDocument(provider, keys: keys.count { $0.key.provider == provider.name })
    }
  }

  func showProvider(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try one(r, "provider '\(name.prefix(64))'", try providerDocuments().first { $0.name == name })
  }

  func addProvider(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: NewProviderDocument = try decode(r)
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

  func removeProvider(_ r: borrowing AdminRequest, _ name: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.removeProvider(name)
    return AdminResponse(status: 204, body: [])
  }

  func listKinds(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try page(r, of: service.catalogue.all, by: \.name) { entry in
      KindDocument(
        name: entry.name, title: entry.title, base_url: entry.baseURL.map { $0.origin + $0.prefix },
        credential: entry.credential.text, errors: entry.errors.rawValue, price_list: entry.priceList,
        client: entry.client.lines)
    }
  }

  func listProviderKeys(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try page(
      r, of: try service.listProviderKeys(), by: { "\($0.key.createdAt.milliseconds)-\($0.key.id)" }
    ) { document($0.key, isUsable: $0.isUsable) }
  }

  func addProviderKey(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: ["provider", "name"], hasBody: true)
    guard let provider = r.query["provider"], let name = r.query["name"] else {
      throw Fault(.invalidInput, "a provider key needs a provider and a name")
    }
    let key = try await service.addProviderKey(provider: provider, name: name, secret: r.body)
    return try encode(document(key, isUsable: true), status: 201)
  }

  func setPool(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: PoolDocument = try decode(r)
    let id = try recordID(id)
    var pool = service.pools[id] ?? PoolSettings()
    (pool.weight, pool.tags) = (document.weight ?? 1, document.tags ?? [])
    try await service.setPool(id, pool)
    return try showProviderKey(id)
  }

  func releaseProviderKey(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    let id = try recordID(id)
    try service.releaseProviderKey(id)
    return try showProviderKey(id)
  }

  func showProviderKey(_ id: RecordID) throws(Fault) -> AdminResponse {
    guard let entry = try service.listProviderKeys().first(where: { $0.key.id == id }) else {
      throw Fault(.notFound, "there is no provider key \(id)")
    }
    return try encode(document(entry.key, isUsable: entry.isUsable))
  }

  func switchProviderKey(_ r: borrowing AdminRequest, _ id: String, on: Bool) async throws(Fault) -> AdminResponse {
    let id = try recordID(id)
    if on {
      try allow(r, query: [])
      try await service.enableProviderKey(id)
    } else {
      let document: ReasonDocument = try decode(r)
      var selection = Selection()
      selection.providerKey = id
      _ = try await service.revoke(selection, reason: document.reason)
    }
    return try showProviderKey(id)
  }

  func removeProviderKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.removeProviderKey(try recordID(id))
    return AdminResponse(status: 204, body: [])
  }

  func document(_ key: ProviderKey, isUsable: Bool) -> ProviderKeyDocument {
    ProviderKeyDocument(
      id: key.id.description, provider: key.provider, name: key.name, version: Int(key.version), usable: isUsable,
      state: service.pools[key.id]?.disabledBecause != nil
        ? "disabled" : isUsable ? service.health(of: key.id)?.state(now: monotonicNanoseconds()).rawValue ?? "usable" : "broken",
      cools_seconds: service.health(of: key.id)?.coolSeconds(now: monotonicNanoseconds()),
      weight: service.pools[key.id]?.weight ?? 1, tags: service.pools[key.id]?.tags ?? [], created_at: key.createdAt.rfc3339,
      reason: service.pools[key.id]?.disabledBecause)
  }

  /// The key of that ID, where the caller may know of it.
  func ownKey(_ id: String) throws(Fault) -> MaskedKey {
    let id = try recordID(id)
    let key = try service.key(id)
    guard Caller.sees(team: key.team) else { throw Fault(.notFound, "there is no key \(id)", hint: "see 'maskllm key list'") }
    return key
  }

  // MARK: shared

  func recordID(_ text: String) throws(Fault) -> RecordID {
    guard let id = RecordID(text) else { throw Fault(.invalidInput, "that is no ID", hint: "an ID has 12 letters and digits") }
    return id
  }

  func encode(_ document: some Encodable, status: Int = 200) throws(Fault) -> AdminResponse {
    guard let data = try? JSONEncoder.stable.encode(document) else { throw Fault(.system, "the answer cannot be written") }
    return AdminResponse(status: status, body: [UInt8](data))
  }

  /// A message that is not HTTP as it should be.
  func problem(_ error: HTTPError) -> AdminResponse {
    let code: Fault.Code = error.status == 405 ? .methodNotAllowed : .invalidInput
    return problem(ProblemDocument(status: Int(error.status), code: code.rawValue, title: "\(error.reason)"))
  }

  private func problem(_ document: ProblemDocument) -> AdminResponse {
    AdminResponse(status: document.status, body: (try? [UInt8](JSONEncoder.stable.encode(document))) ?? [])
  }

  func problem(_ fault: Fault) -> AdminResponse {
    let status =
      switch fault.code {
      case .invalidInput: 400
      case .unauthorized: 401
      case .tooMany: 429
      case .unsealFailed, .forbidden: 403
      case .notFound: 404
      case .methodNotAllowed: 405
      case .conflict, .tampered: 409
      case .preconditionFailed: 412
      case .idempotencyKeyReused: 422
      case .unavailable: 502
      case .sealed: 503
      default: 500
      }
    return problem(
      ProblemDocument(
        status: status, code: fault.code.rawValue, title: fault.message, hint: fault.hint.isEmpty ? nil : fault.hint))
  }
}
