public import Domain
public import Primitives
import Providers
public import Storage
import Vault

// Whose the objects are that providers keep for an account that many masked keys share.
extension KeyService {
  /// Who made the object; nil when nobody here did.
  public func object(provider: String, id: String) throws(Fault) -> ProviderObject? {
    let vault = try requireVault()
    if let pending = pendingObjects[ObjectPlace(provider: provider, id: id)] { return pending }
    guard let found = try store.object(provider: provider, id: id).flatMap(vault.object(from:)) else { return nil }
    return found.expiresAt.map { $0 <= clock.now } == true ? nil : found
  }

  /// The objects of a masked key, or of all, the newest first.
  public func objects(of key: RecordID?, after: ObjectCursor? = nil, limit: Int) throws(Fault) -> [ProviderObject] {
    let vault = try requireVault()
    try keepObjects()
    return try store.objects(of: key, after: after, limit: limit).compactMap(vault.object(from:))
  }

  /// Notes whose an object is. It counts at once and is kept with the next flush.
  public func noteObject(_ object: ProviderObject) {
    pendingObjects[ObjectPlace(provider: object.provider, id: object.id)] = object
  }

  /// Keeps what was noted. What cannot be kept stays noted.
  public func keepObjects() throws(Fault) {
    guard !pendingObjects.isEmpty else { return }
    let vault = try requireVault()
    try store.save(pendingObjects.values.map(vault.row(for:)))
    pendingObjects = [:]
  }

  /// Notes, durably, that what a batch came to has been counted; false when it had been.
  public func countObject(provider: String, id: String) throws(Fault) -> Bool {
    try keepObjects()
    return try store.countObject(provider: provider, id: id, at: clock.now)
  }

  /// The provider has erased the object.
  public func forgetObject(provider: String, id: String) throws(Fault) {
    pendingObjects[ObjectPlace(provider: provider, id: id)] = nil
    try store.deleteObject(provider: provider, id: id)
  }

  public func forgetExpired() throws(Fault) {
    try store.deleteObjects(expiredBy: clock.now)
    try store.deleteAnswers(before: Timestamp(milliseconds: clock.now.milliseconds - Self.answersKept))
  }

  /// Gives an object to a masked key: one that was made before, or that another has to take over.
  public func giveObject(provider name: String, id: String, to key: RecordID, providerKey: RecordID?) throws(Fault)
    -> ProviderObject
  {
    guard let provider = providersByName[name] else {
      throw Fault(.notFound, "there is no provider '\(name.prefix(40))'", hint: "see 'maskllm provider list'")
    }
    guard keys[key] != nil else { throw Fault(.notFound, "there is no masked key \(key)") }
    let bytes = Array(id.utf8)
    guard let objects = catalogue[provider.kind]?.objects, let id = objects.id(bytes.span) else {
      throw Fault(
        .invalidInput, "that is no ID of an object that '\(name)' keeps", hint: "give it as the provider does: file-...")
    }
    let theirs = primaryKeys().filter { $0.provider == name }
    guard let chosen = providerKey.map({ id in theirs.first { $0.id == id } }) ?? theirs.first else {
      throw Fault(.notFound, "provider '\(name)' has no such provider key", hint: "see 'maskllm provider-key list'")
    }
    let object = ProviderObject(
      provider: name, id: id, key: key, providerKey: chosen.id, createdAt: clock.now,
      expiresAt: objects.days(id).map { clock.now + Int64($0) * 86_400 })
    noteObject(object)
    try keepObjects()
    return object
  }
}

/// Provider and ID of an object.
struct ObjectPlace: Hashable {
  let provider: String
  let id: String
}
