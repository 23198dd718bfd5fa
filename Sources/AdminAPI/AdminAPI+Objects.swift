import Domain
import KeyService
import Primitives
import Storage

// Whose the objects at the providers are.
extension AdminAPI {
  func listObjects(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: ["key"] + Page.parameters)
    let page = try Page(r, usual: 100)
    let key: RecordID? = if let text = r.query["key"] { try recordID(text) } else { nil }
    let after = page.after.flatMap(ObjectCursor.init)
    guard (after == nil) == (page.after == nil) else { throw Page.badCursor }
    let found = try service.objects(of: key, after: after, limit: page.limit)
    var response = try encode(found.map(ObjectDocument.init))
    if found.count == page.limit, let last = found.last { response.next = page.next(ObjectCursor(last).text) }
    return response
  }

  func giveObject(_ r: borrowing AdminRequest, _ provider: String, _ id: String) throws(Fault) -> AdminResponse {
    let document: GivenObjectDocument = try decode(r)
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
