import Cryptography
import Domain
import FoundationEssentials
import KeyService
public import Primitives
import Providers
import Wire

/// What a change is bound to (RFC 9110 section 13): that the thing is as it was read, or that it is not there.
public enum Precondition: Equatable, Sendable {
  case matches([String])
  case differs([String])
  case exists
  case isAbsent

  /// Reads `If-Match` and `If-None-Match`; throws `.invalidInput` for what is no list of entity tags.
  public static func read(ifMatch: String?, ifNoneMatch: String?) throws(Fault) -> [Precondition] {
    var all: [Precondition] = []
    if let ifMatch { all.append(ifMatch == "*" ? .exists : .matches(try tags(ifMatch))) }
    if let ifNoneMatch { all.append(ifNoneMatch == "*" ? .isAbsent : .differs(try tags(ifNoneMatch))) }
    return all
  }

  /// What is a list of entity tags, or `*`.
  static let pattern = #"^(\*|("[!#-~]*"( *, *"[!#-~]*")*)?)$"#

  private static func tags(_ text: String) throws(Fault) -> [String] {
    // The list of none: nothing matches it.
    guard !text.isEmpty else { return [] }
    var tags: [String] = []
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      var bytes = item.utf8[...]
      while bytes.first == 32 || bytes.first == 9 { bytes.removeFirst() }
      while bytes.last == 32 || bytes.last == 9 { bytes.removeLast() }
      guard bytes.count >= 2, bytes.first == 34, bytes.last == 34 else {
        throw Fault(
          .invalidInput, "that is no list of entity tags", hint: "send an ETag as it was answered, with its quotes, or *")
      }
      tags.append(String(item[bytes.startIndex..<bytes.endIndex]))
    }
    return tags
  }

  func holds(of tag: String?) -> Bool {
    switch self {
    case .matches(let tags): tag.map(tags.contains) ?? false
    case .differs(let tags): !(tag.map(tags.contains) ?? false)
    case .exists: tag != nil
    case .isAbsent: tag == nil
    }
  }
}

// One thing at a time, and changes that overwrite nobody's.
extension AdminAPI {
  /// The entity tag of what `path` (behind `/v1`) is about: another whenever what can be set is another. What it has spent, served or
  /// counted does not matter to it. Nil where nothing is there, or nothing that can be set.
  func entityTag(_ path: [String]) -> String? {
    guard path.count >= 2 else { return nil }
    let name = path[1]
    let pair = path.count > 2 ? "\(name)/\(path[2])" : ""
    switch path[0] {
    case "providers": return digest(service.providers().first { $0.name == name })
    case "keys": return RecordID(name).flatMap { try? service.key($0) }.map { "\"\($0.revision)\"" }
    case "provider-keys":
      guard let id = RecordID(name), let known = try? service.listProviderKeys().first(where: { $0.key.id == id }) else {
        return nil
      }
      return digest(service.pools[id] ?? PoolSettings(), version: known.key.version)
    case "teams": return digest(service.teams[name])
    case "policies": return digest(service.sharedPolicies[name])
    case "budgets": return digest(service.budgets[name])
    case "triggers": return digest(service.allTriggers()[name])
    case "destinations": return digest(service.destinations[name])
    case "schedules": return digest(service.schedules[pair])
    case "rotations": return RecordID(name).flatMap { digest(service.plans[$0]) }
    case "prices" where path.count > 2: return digest(service.priceOverrides[PriceName(list: name, model: path[2])])
    default: return nil
    }
  }

  private func digest(_ value: (some Encodable)?, version: UInt32 = 0) -> String? {
    guard let value, let data = try? JSONEncoder.stable.encode(value) else { return nil }
    let bytes = [UInt8](data) + Array("\(version)".utf8)
    return "\"\(hexadecimal(Array(SHA256.digest(bytes.span).prefix(16))))\""
  }

  /// Refuses a change of something that is no longer what the caller believes. Nothing suspends between this and the write, which
  /// all changes make before they wait for the loops.
  func check(_ preconditions: [Precondition], _ path: [String]) throws(Fault) {
    guard let failed = preconditions.first(where: { !$0.holds(of: entityTag(path)) }) else { return }
    throw failed == .isAbsent
      ? Fault(.preconditionFailed, "it is there already", hint: "read it, and change it with If-Match")
      : Fault(.preconditionFailed, "it is not what was read", hint: "read it again, and change that")
  }

  // MARK: once

  /// Does a POST under an idempotency key once: sent again, it gets the answer that it got.
  func answerOnce(
    _ r: borrowing AdminRequest, _ act: (borrowing AdminRequest) async throws(Fault) -> AdminResponse
  ) async throws(Fault) -> AdminResponse {
    guard let key = r.idempotencyKey, r.method == .post, !service.isSealed else { return try await act(r) }
    var fields = FieldEncoding()
    for segment in r.path { fields.append(segment) }
    for (name, value) in r.query.sorted(by: { $0.key < $1.key }) { fields.append("\(name)=\(value)") }
    fields.append(SHA256.digest(r.body.span))
    let digest = SHA256.digest(fields.bytes.span)
    let (name, known) = try service.begin(key, digest: digest)
    if let known {
      var response = AdminResponse(status: known.status, body: known.body)
      response.isRepeated = true
      return response
    }
    let response: AdminResponse
    do throws(Fault) { response = try await act(r) } catch {
      // What broke in the middle may have been done: the key stays taken. What was refused was not.
      if ![.system, .storage].contains(error.code) { try service.forget(name) }
      throw error
    }
    // After the vault was closed nothing can be kept any more.
    if service.isSealed { return response }
    try service.finish(name, digest: digest, status: response.status, body: response.body)
    return response
  }

  // MARK: one

  func one(_ r: borrowing AdminRequest, _ what: String, _ document: (some Encodable)?) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    guard let document else { throw Fault(.notFound, "there is no \(what)") }
    return try encode(document)
  }
}
