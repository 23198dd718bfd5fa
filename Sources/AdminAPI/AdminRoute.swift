import Domain
import KeyService
import Primitives
import Wire

/// The type of what goes over the wire.
typealias DocumentType = any (Decodable & Sendable).Type

/// One thing that the management side does: where it is asked for, what one needs to be allowed, what is sent and answered, and what answers.
struct AdminRoute: Sendable {
  /// What a request brings along.
  enum Taken: Sendable {
    case nothing
    case document(DocumentType)
    /// A document, or nothing.
    case maybe(DocumentType)
    /// A list of documents that others write: members that are not known are ignored.
    case reports(DocumentType)
    /// The bytes of a secret.
    case secret
  }

  /// What is answered when nothing is in the way.
  enum Given: Sendable {
    case nothing
    case one(DocumentType)
    /// 201.
    case made(DocumentType)
    /// 202: it goes on by itself.
    case begun(DocumentType)
    /// 201, and a list of them where several were asked for.
    case oneOrList(DocumentType)
    /// All there is.
    case all(DocumentType)
    /// Page by page.
    case list(DocumentType)
    case openAPI
    /// Something else than JSON, of one of these media types.
    case text([String])
    /// Lines, page by page, in one of these media types.
    case lines([String])
  }

  let method: Wire.Method
  /// Behind `/v1`: segments, `{name}` for any one.
  let pattern: [Substring]
  let permission: Permission
  /// Whether it keeps itself to the caller's team, so that a caller of a team may ask for it.
  let isOfTeams: Bool
  let summary: String
  /// Whether it may be done together with others: it waits for nothing, and what it does can be undone.
  var isBatchable: Bool {
    [.providers, .keys, .teams, .policies, .budgets, .prices, .triggers, .schedules].contains(permission.resource)
      && permission.verb != .read && pattern.first != "revocations"
      && !["deliver", "rotate", "destroy"].contains(pattern.last)
  }
  let given: Given
  let taken: Taken
  /// Parameters besides those of pages.
  let query: [String]
  let answer: @Sendable (AdminAPI, borrowing AdminRequest, [String]) async throws(Fault) -> AdminResponse

  init(
    _ method: Wire.Method, _ path: StaticString, _ verb: Permission.Verb, _ resource: Permission.Resource, ofTeams: Bool = false,
    _ summary: StaticString, gives given: Given, takes taken: Taken = .nothing, query: [String] = [],
    _ answer: @escaping @Sendable (AdminAPI, borrowing AdminRequest, [String]) async throws(Fault) -> AdminResponse
  ) {
    self.method = method
    pattern = "\(path)".split(separator: "/")
    permission = Permission(verb, resource)
    isOfTeams = ofTeams
    (self.summary, self.given, self.taken, self.query) = ("\(summary)", given, taken, query)
    self.answer = answer
  }

  var path: String { "/v1/\(pattern.joined(separator: "/"))" }
  var text: String { "\(method.name) \(path)" }

  /// What stands for the names in braces; nil when it is another path.
  func match(_ path: [String]) -> [String]? {
    guard path.count == pattern.count else { return nil }
    var found: [String] = []
    for (segment, expected) in zip(path, pattern) {
      if expected.hasPrefix("{") { found.append(segment) } else if segment != expected { return nil }
    }
    return found
  }
}

extension AdminAPI {
  /// Who may ask for what, as the page of the documentation that a test compares with.
  public static func permissionMatrix() -> String {
    let roles: [AdminRole] = [.owner, .operator, .developer, .auditor]
    var lines = [
      "# Who may do what", "",
      "Made from the routes of the management side (`maskllm token matrix`). A token of the role `custom` has the permissions that it lists. A",
      "developer, and any token that is bound to a team, sees and does only what is of that team. What one may not do answers as if it were not there.",
      "", "| endpoint | permission | \(roles.map(\.rawValue).joined(separator: " | ")) |",
      "|---|---|\(roles.map { _ in "---" }.joined(separator: "|"))|",
    ]
    for route in routes.sorted(by: {
      ($0.pattern.joined(separator: "/"), "\($0.method.name)") < ($1.pattern.joined(separator: "/"), "\($1.method.name)")
    }) {
      let cells = roles.map { role in
        role.permissions.contains(route.permission) && (role != .developer || route.isOfTeams) ? "yes" : ""
      }
      lines.append("| `\(route.text)` | `\(route.permission)` | \(cells.joined(separator: " | ")) |")
    }
    return lines.joined(separator: "\n")
  }
}
