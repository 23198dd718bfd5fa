import Cryptography
import Domain
import FoundationEssentials
import KeyService
import Primitives
import Wire

// Many changes as one.
extension AdminAPI {
  static let callsMax = 500

  /// Makes all of the changes or none; with `rehearse` none, and says what each would come to.
  func doBatch(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: BatchDocument = try decode(r)
    let isRehearsal = document.rehearse ?? false
    guard (1...Self.callsMax).contains(document.calls.count) else {
      throw Fault(.invalidInput, "a batch has 1 to \(Self.callsMax) calls")
    }
    // Put together from bytes: the texts of new keys never become Strings here.
    var body = ByteBuffer(capacity: 64 * 1024)
    defer { body.wipe() }
    body.append("[")
    try await service.atomically(isRehearsal: isRehearsal) { () async throws(Fault) in
      for (n, call) in document.calls.enumerated() {
        if n > 0 { body.append(",") }
        do throws(Fault) { try await make(call, isRehearsal: isRehearsal, into: &body) } catch {
          throw Fault(error.code, "call \(n + 1), \(call.method) \(call.path.prefix(100)): \(error.message)", hint: error.hint)
        }
      }
    }
    body.append("]")
    return AdminResponse(status: 200, body: body.copy())
  }

  private func make(_ call: BatchDocument.Call, isRehearsal: Bool, into body: inout ByteBuffer) async throws(Fault) {
    guard let method = Method.allCases.first(where: { "\($0.name)" == call.method }) else { throw Self.noSuchPath }
    let content = try call.document.map { (tree) throws(Fault) in try encode(tree).body } ?? []
    let request = try AdminRequest(method, call.path, body: SecretBytes(copying: content.span))
    let path = Array(request.path.dropFirst())
    guard request.path.first == "v1", let route = open(path).first(where: { $0.method == method }),
      let found = route.match(path)
    else { throw Self.noSuchPath }
    guard route.isBatchable else {
      throw Fault(.invalidInput, "it cannot be part of a batch", hint: "do it on its own")
    }
    try keepToTeam(path, found)
    let thing = thing(path, call.document)
    let (tagBefore, before) = (thing.flatMap { entityTag($0) }, isRehearsal ? thing.flatMap { look($0) } : nil)
    var answer = try await route.answer(self, request, found)
    defer { wipe(&answer.body) }
    let isChanged = thing == nil || entityTag(thing!) != tagBefore
    body.append("{\"status\":\(answer.status),\"changed\":\(isChanged)")
    if isChanged {
      if let before {
        body.append(",\"before\":")
        body.append(before)
      }
      if !answer.body.isEmpty {
        body.append(",\"answer\":")
        body.append(answer.body)
      }
    }
    body.append("}")
  }

  /// The path of what a change is about; nil for what is made.
  private func thing(_ path: [String], _ document: JSONTree?) -> [String]? {
    if path == ["providers"] { return (document?["name"]?.text).map { ["providers", $0] } }
    guard path.count > 1 else { return nil }
    return Array(path.prefix(["prices", "schedules"].contains(path[0]) ? 3 : 2))
  }

  /// What can be set of it, as a document.
  private func look(_ path: [String]) -> [UInt8]? {
    let name = path[1]
    func bytes(_ document: (some Encodable)?) -> [UInt8]? { document.flatMap { try? encode($0).body } }
    switch path[0] {
    case "keys":
      return bytes((try? ownKey(name)).map { KeyDocument($0, isExpired: service.isExpired($0)) })
    case "providers": return bytes(service.providers().first { $0.name == name }.map { ProviderDocument($0, keys: nil) })
    case "teams": return bytes(service.teams[name].map { NamedPolicyDocument(name: name, policy: PolicyDocument($0), keys: 0) })
    case "policies":
      return bytes(service.sharedPolicies[name].map { NamedPolicyDocument(name: name, policy: PolicyDocument($0), keys: 0) })
    case "budgets": return bytes(service.budgets[name].map { BudgetDocument($0, nil) })
    case "triggers":
      return bytes(service.allTriggers()[name].map { NamedTriggerDocument(name: name, trigger: $0, source: "own") })
    case "prices" where path.count > 2:
      let price = PriceName(list: name, model: path[2])
      return bytes(service.priceOverrides[price].map { PriceDocument(price, $0, source: "own") })
    case "schedules" where path.count > 2:
      let scope = "\(name)/\(path[2])"
      return bytes(service.schedules[scope].map { ScheduleDocument(scope, $0, keys: nil, next: nil) })
    default: return nil
    }
  }
}

/// Changes that are made as one.
public struct BatchDocument: Codable, Sendable {
  public struct Call: Codable, Sendable {
    public var method: String
    /// `/v1/teams/red`
    public var path: String
    public var document: JSONTree?
    public init(_ method: String, _ path: String, _ document: JSONTree? = nil) {
      (self.method, self.path, self.document) = (method, path, document)
    }
  }
  public var calls: [Call]
  /// Makes none, and says what each would come to.
  public var rehearse: Bool?
  public init(calls: [Call], rehearse: Bool? = nil) { (self.calls, self.rehearse) = (calls, rehearse) }
}

/// What one of the calls came to.
public struct BatchAnswerDocument: Codable, Sendable {
  public var status: Int
  public var changed: Bool
  /// What was there before; only in rehearsals, and where it would change.
  public var before: JSONTree?
  /// What the call answered, where it changed something.
  public var answer: JSONTree?
}
