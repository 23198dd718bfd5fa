import Audit
public import Domain
import PolicyEngine
public import Primitives
import Providers
import Transport
import Wire

/// Where a loop learns whose the objects are that providers keep. Called on the loop's thread.
public protocol ObjectDesk: Sendable {
  /// Throws when it cannot be found out.
  func owner(provider: String, id: String) async throws(Fault) -> ProviderObject?
  /// Notes a new object, so that whoever asks afterwards, from wherever, is told of it.
  func note(_ object: ProviderObject)
  /// The same, durable on return; false when it is not.
  func keep(_ object: ProviderObject) async -> Bool
  func forget(provider: String, id: String)
  /// Notes, durably, that what a batch came to has been counted; false when it had been, or cannot be.
  func count(provider: String, id: String) async -> Bool
}

// Many masked keys share a provider's account: what it keeps for one of them is not for the others.
extension Exchange {
  /// The ID of the object that the path names, as it is kept.
  static func objectID(_ found: CatalogueEntry.Found, _ path: Span<UInt8>, _ entry: CatalogueEntry) -> String? {
    guard !found.object.isEmpty else { return nil }
    return entry.objects.id(segment: path.extracting(found.object), of: found.endpoint.objectCollection)
  }

  /// Refuses an object that another key has made, or nobody here. Has it asked for with the provider key that it was made with.
  mutating func checkOwner(_ id: String) async throws(Ending) {
    let provider = upstream!.provider.name
    let object: ProviderObject?
    do throws(Fault) { object = try await shard.objects.owner(provider: provider, id: id) } catch {
      throw .refused(Refusal.ledgerUnavailable.answer, .refused)
    }
    try recheck()
    guard let object, object.key == keyID else { throw .refused(Refusal.objectNotFound.answer, .refused) }
    pin(to: object.providerKey)
  }

  /// The same for all objects that were found in the body since the last time. What was found is not sent on before.
  mutating func checkReferences() async throws(Ending) {
    // In another encoding the same text would have other bytes. A file's own bytes are nobody's text.
    let isText =
      mediaType.kind == .json || mediaType.kind == .urlEncoded || (mediaType.kind == .absent && endpoint!.kind != .files)
    if work.references.isWide, isText {
      throw .refused(Answers.unclear(Unclear(.wide)), .refused)
    }
    guard let ids = work.references.take() else { throw .refused(Refusal.objectNotFound.answer, .refused) }
    for id in ids { try await checkOwner(id) }
  }

  mutating func pin(to providerKey: RecordID) {
    guard !isSent, let upstream, let position = upstream.position(of: providerKey) else {
      return
    }
    choose(upstream.credentials[position])
    pinned = position
    // Nowhere else would it be found.
    tried = ~0
  }

  // MARK: what is made

  /// Reads `content` of the answer for new objects, and makes them the key's own.
  mutating func noteObjects(in content: Span<UInt8>) {
    for id in work.made.feed(content) {
      let now = shard.clock.now
      let object = ProviderObject(
        provider: upstream!.provider.name, id: id, key: keyID!, providerKey: credential!.keyID, createdAt: now,
        expiresAt: upstream!.entry.objects.days(id).map { now + Int64($0) * 86_400 })
      // An answer that is waited for does not wait for a disk; what a crash then forgets is refused to everybody.
      if endpoint!.generates { shard.objects.note(object) } else { unkept.append(object) }
    }
  }

  /// Keeps what was noted and has to be durable before the client hears of it.
  mutating func keepObjects() async throws(Ending) {
    for object in unkept where await !shard.objects.keep(object) {
      shard.log.warn(
        "provider '\(object.provider, .provider)' has made '\(object.id, .object)', which could not be kept: give it to its key by hand"
      )
      throw .cut(Refusal.ledgerUnavailable.answer)
    }
    unkept = []
  }

  /// A batch can be asked for as often as one likes what it came to. It is recorded the first time.
  mutating func countBatch() async {
    guard endpoint!.dialect.tellsOfBatch, record.status < 300, let objectID else { return }
    guard work.meter.usage.isKnown else { return }
    countsBatch = await shard.objects.count(provider: upstream!.provider.name, id: objectID)
  }

  /// The provider has erased what the path names.
  func forgetObject() {
    guard endpoint!.effect == .ends, let objectID else { return }
    shard.objects.forget(provider: upstream!.provider.name, id: objectID)
  }
}
