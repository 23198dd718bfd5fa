import Audit
import Cryptography
import Domain
import FoundationEssentials
import KeyService
import Primitives
import Vault

// Masked keys.
extension AdminAPI {
  func document(_ key: MaskedKey) -> KeyDocument {
    var document = KeyDocument(
      key, isExpired: service.isExpired(key), now: service.now, profile: (try? service.profile(key.id)) ?? nil)
    document.next_rotation_at = service.nextRotation(of: key)?.rfc3339
    if let left = key.details.renewal?.undelivered, !left.isEmpty { document.undelivered = left }
    return document
  }

  func listKeys(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: ["team", "policy", "tag", "state", "name"] + Page.parameters)
    var wanted = try KeyFilter(r)
    let tampered = (Caller.current.team == nil ? service.tamperedKeys : []).map {
      KeyDocument(
        id: $0.description, name: "", state: "tampered", policy: PolicyDocument(), created_at: "", expires_at: nil, revision: 0)
    }
    var found: [KeyDocument] = []
    var hasMore = false
    try service.forEachKey(after: wanted.after) { key in
      let isExpired = service.isExpired(key)
      guard Caller.sees(team: key.team), wanted.takes(key, isExpired: isExpired) else { return true }
      guard found.count < wanted.limit else {
        hasMore = true
        return false
      }
      found.append(KeyDocument(key, isExpired: isExpired))
      wanted.pass(key)
      return true
    }
    if hasMore {
      var response = try encode(found)
      response.next = wanted.next
      return response
    }
    // Nothing is known of these but that they are there: they end the list that is not filtered.
    return try encode(found + (wanted.isAnything ? tampered : []))
  }

  func createKey(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: NewKeyDocument = try decode(r)
    let expiresAt = try moment(document.expires_at)
    let grant = try grant(document.policy, document.shared_policy, try ownTeam(document.team))
    let prefix = document.prefix ?? MaskedKeyFormat.defaultPrefix
    // Put together from bytes: the texts never become Strings here.
    var body = ByteBuffer(capacity: 4096)
    if let count = document.count {
      body.append("[")
      try await service.createKeys(
        count, name: document.name, grant: grant, expiresAt: expiresAt, prefix: prefix, tags: document.tags ?? [],
        isDecoy: document.decoy ?? false
      ) { created in
        if body.count > 1 { body.append(",") }
        Self.append(created, to: &body)
      }
      body.append("]")
    } else {
      let created = try await service.createKey(
        name: document.name, grant: grant, expiresAt: expiresAt, prefix: prefix, tags: document.tags ?? [],
        isDecoy: document.decoy ?? false)
      Self.append(created, to: &body)
    }
    let bytes = body.copy()
    body.wipe()
    return AdminResponse(status: 201, body: bytes)
  }

  /// Below a team or a policy, whatever those permit is the default; a key on its own has to name a provider.
  func grant(_ policy: PolicyDocument?, _ sharedPolicy: String?, _ team: String?) throws(Fault) -> Grant {
    let isBounded = sharedPolicy != nil || team != nil
    return Grant(
      policy: try (policy ?? PolicyDocument()).policy(providers: isBounded ? [Policy.any] : []), sharedPolicy: sharedPolicy,
      team: team)
  }

  /// The team that is asked for; of a caller of a team, theirs.
  func ownTeam(_ asked: String?) throws(Fault) -> String? {
    guard let own = Caller.current.team else { return asked }
    guard asked == nil || asked == own else {
      throw Fault(.notFound, "there is no team '\(asked!.prefix(64))'", hint: "see 'maskllm team list'")
    }
    return own
  }

  func regrantKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: GrantDocument = try decode(r)
    let key = try await service.regrantKey(
      try recordID(id), try grant(document.policy, document.shared_policy, try ownTeam(document.team)))
    return try encode(self.document(key))
  }

  static func append(_ created: borrowing CreatedKey, to body: inout ByteBuffer) {
    body.append("{\"key\":")
    if let key = try? JSONEncoder.stable.encode(KeyDocument(created.key, isExpired: false)) { body.append([UInt8](key)) }
    body.append(",\"masked_key\":\"")
    created.secret.text.append(to: &body)
    body.append("\"}")
  }

  func showKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    await flushActivity()
    return try encode(document(try service.key(try recordID(id))))
  }

  func changeKey(_ r: borrowing AdminRequest, _ id: String, _ change: String) async throws(Fault) -> AdminResponse {
    guard let change = MaskedKey.Change(rawValue: change) else { throw Self.noSuchPath }
    var reason: String?
    if r.body.count > 0 {
      let document: ReasonDocument = try decode(r)
      try Label.validate(document.reason, of: "reason")
      reason = document.reason
    }
    try allow(r, query: [])
    let key = try await service.changeKey(try recordID(id), change, reason: reason)
    return try encode(document(key))
  }

  // MARK: rotation and revocation

  func rotateKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: RotationDocument =
      r.body.count == 0 ? RotationDocument() : try decode(r)
    let rotated = try await service.rotateKey(
      try recordID(id), grace: document.grace_seconds.map(Int64.init) ?? KeyService.graceDefault,
      requestID: document.request_id)
    var body = ByteBuffer(capacity: 4096)
    Self.append(rotated, to: &body)
    let bytes = body.copy()
    body.wipe()
    return AdminResponse(status: 200, body: bytes)
  }

  func retagKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: TagsDocument = try decode(r)
    return try encode(self.document(try await service.retagKey(try recordID(id), document.tags)))
  }

  func throttleKey(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: ThrottleDocument = try decode(r)
    return try encode(
      self.document(
        try await service.throttleKey(try recordID(id), document.requests_per_minute, reason: document.reason)))
  }

  func revoke(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: RevocationDocument = try decode(r)
    var selection = Selection()
    for text in document.keys ?? [] { selection.keys.append(try ownKey(text).id) }
    if let n = document.version {
      guard let version = UInt32(exactly: n), version > 0 else { throw Fault(.invalidInput, "that is no version of a key") }
      selection.version = version
    }
    (selection.team, selection.tag) = (try ownTeam(document.team), document.tag)
    if let text = document.provider_key {
      guard Caller.current.permissions.contains(Permission(.change, .providerKeys)) else {
        throw Fault(.notFound, "there is no provider key '\(text.prefix(12))'")
      }
      selection.providerKey = try recordID(text)
    }
    selection.issuedBefore = try moment(document.issued_before)
    // All that a caller of a team can mean by everything is all of the team.
    selection.everything = (document.everything ?? false) && Caller.current.team == nil
    if Caller.current.team != nil, selection.version != nil { selection.team = nil }
    let receipt = try await service.revoke(selection, reason: document.reason, isRehearsal: document.rehearse ?? false)
    return try encode(ReceiptDocument(receipt))
  }
}

extension ReceiptDocument {
  init(_ receipt: Receipt) {
    self.init(
      receipt: receipt.id.description, at: receipt.at.rfc3339, reason: receipt.reason, rehearsal: receipt.isRehearsal,
      revoked: receipt.revoked.map(\.description), revoked_before: receipt.before.map(\.description),
      retired_versions: receipt.retired.map { Version(key: $0.key.description, version: Int($0.version)) },
      disabled_provider_key: receipt.providerKey?.description,
      acknowledged: receipt.isRehearsal ? [] : [Node(node: "this", event_loops: receipt.acknowledged)],
      in_force_after_us: receipt.microseconds, outstanding: [])
  }
}
