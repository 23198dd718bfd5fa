import Cryptography
import Domain
import FoundationEssentials
import KeyService
import Primitives
import Vault

// Tokens that manage.
extension AdminAPI {
  func listTokens(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    return try page(r, of: Array(service.tokens), by: \.key.description) { TokenDocument($0.key, $0.value, now: service.now) }
  }

  func showToken(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    let id = try recordID(id)
    return try one(r, "token \(id)", service.tokens[id].map { TokenDocument(id, $0, now: service.now) })
  }

  func createToken(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    let asked: NewTokenDocument = try decode(r)
    guard let role = AdminRole(rawValue: asked.role) else {
      throw Fault(
        .invalidInput, "there is no such role", hint: "use one of: \(AdminRole.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    let token = AdminToken(
      name: asked.name, role: role, grants: asked.grants ?? [], team: asked.team, networks: asked.networks ?? [],
      createdAt: service.now, expiresAt: try moment(asked.expires_at))
    return Self.answer(try service.createToken(token), status: 201, now: service.now)
  }

  func rotateToken(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return Self.answer(try service.rotateToken(try recordID(id)), status: 200, now: service.now)
  }

  func revokeToken(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.revokeToken(try recordID(id))
    return AdminResponse(status: 204, body: [])
  }

  /// Put together from bytes: the text never becomes a String here.
  private static func answer(_ created: borrowing CreatedToken, status: Int, now: Timestamp) -> AdminResponse {
    var body = ByteBuffer(capacity: 1024)
    defer { body.wipe() }
    body.append("{\"token\":")
    if let document = try? JSONEncoder.stable.encode(TokenDocument(created.id, created.token, now: now)) {
      body.append([UInt8](document))
    }
    body.append(",\"secret\":\"")
    created.secret.text.append(to: &body)
    body.append("\"}")
    return AdminResponse(status: status, body: body.copy())
  }
}

// Copies of everything.
extension AdminAPI {
  /// Writes an encrypted backup into the data directory, for whoever is on that machine to take from there.
  func backUp(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    await flushActivity()
    let path = "\(service.place)/backup-\(RecordID.random(SystemRandomness()))"
    let bytes = try await service.backUp(to: path)
    return try encode(BackupDocument(path: path, bytes: bytes), status: 201)
  }
}

// What is wrong.
extension AdminAPI {
  func checkUp(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try encode(await service.checkUp())
  }
}

/// Where a backup lies.
public struct BackupDocument: Codable, Sendable {
  public var path: String
  public var bytes: Int
}

/// A token that manages, without its secret.
public struct TokenDocument: Codable, Sendable {
  public var id: String
  public var name: String
  public var role: String
  public var grants: [String]?
  public var team: String?
  public var networks: [String]?
  public var created_at: String
  public var expires_at: String?
  public var expired: Bool

  init(_ id: RecordID, _ token: AdminToken, now: Timestamp) {
    (self.id, name, role, team) = (id.description, token.name, token.role.rawValue, token.team)
    grants = token.grants.isEmpty ? nil : token.grants
    networks = token.networks.isEmpty ? nil : token.networks
    created_at = Timestamp(milliseconds: token.createdAt).rfc3339
    expires_at = token.expiresAt.map { Timestamp(milliseconds: $0).rfc3339 }
    expired = token.expiresAt.map { $0 <= now.milliseconds } ?? false
  }
}

/// What is asked for a new token.
public struct NewTokenDocument: Codable, Sendable {
  public var name: String
  public var role: String
  public var grants: [String]?
  public var team: String?
  public var networks: [String]?
  public var expires_at: String?
  public init(name: String, role: String) { (self.name, self.role) = (name, role) }
}

/// A new token, with the text that is shown this once.
public struct CreatedTokenDocument: Codable, Sendable {
  public var token: TokenDocument
  public var secret: String
}
