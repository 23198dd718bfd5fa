import Domain
import KeyService
import Primitives

// Whose the objects at the providers are.
extension AdminAPI {
  func listObjects(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: ["key", "limit"])
    var limit = 100
    if let text = r.query["limit"] {
      guard let n = Int(text), (1...10_000).contains(n) else {
        throw Fault(.invalidInput, "the limit is no number from 1 to 10000")
      }
      limit = n
    }
    let key: RecordID? = if let text = r.query["key"] { try recordID(text) } else { nil }
    return try encode(try service.objects(of: key, limit: limit).map(ObjectDocument.init))
  }

  func giveObject(_ r: borrowing AdminRequest, _ provider: String, _ id: String) throws(Fault) -> AdminResponse {
    let document: GivenObjectDocument = try decode(r, fields: ["key", "provider_key"])
    let providerKey: RecordID? = if let text = document.provider_key { try recordID(text) } else { nil }
    return try encode(
      ObjectDocument(
        try service.giveObject(provider: provider, id: id, to: try recordID(document.key), providerKey: providerKey)))
  }
}

/// A file, batch or stored answer at a provider.
public struct ObjectDocument: Codable, Sendable {
  public var provider: String
  public var id: String
  public var key: String
  public var provider_key: String
  public var created_at: String
  public var expires_at: String?

  init(_ object: ProviderObject) {
    (provider, id, key) = (object.provider, object.id, object.key.description)
    (provider_key, created_at) = (object.providerKey.description, object.createdAt.rfc3339)
    expires_at = object.expiresAt?.rfc3339
  }
}

/// To whom an object is given.
public struct GivenObjectDocument: Codable, Sendable {
  public var key: String
  public var provider_key: String?
  public init(key: String, provider_key: String?) {
    self.key = key
    self.provider_key = provider_key
  }
}
