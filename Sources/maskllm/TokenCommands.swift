import AdminAPI
import Domain
import Primitives
import Wire

/// Admin tokens: who may manage, and what.
enum TokenCommands {
  static let all = [create, list, rotate, revoke, matrix, openAPI]

  private static let create = Command(
    path: ["token", "create"], summary: "make an admin token and show it, once",
    options: Unsealing.options + [
      Option(name: "name", value: "NAME", help: "whom or what it is for"),
      Option(name: "role", value: "ROLE", help: AdminRole.allCases.map(\.rawValue).joined(separator: ", ")),
      Option(
        name: "grant", value: "VERB:RESOURCE",
        help: "of the role custom: read, create, change or end, of keys, teams, ...; '*' for all", isRepeatable: true),
      Option(name: "team", value: "NAME", help: "all that it sees and does is of this team"),
      Option(name: "network", value: "CIDR", help: "where it may be used from (default: anywhere)", isRepeatable: true),
      Option(name: "expires", value: "TIME", help: "2027-01-31 or 2027-01-31T12:00:00Z, in UTC (default: never)"), Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    guard let name = arguments.value("name"), let role = arguments.value("role") else {
      throw Fault(.invalidInput, "'--name' and '--role' are needed")
    }
    var document = NewTokenDocument(name: name, role: role)
    document.grants = arguments.has("grant") ? arguments.all("grant") : nil
    document.networks = arguments.has("network") ? arguments.all("network") : nil
    (document.team, document.expires_at) = (arguments.value("team"), arguments.value("expires"))
    try show(try AdminLink.open(arguments).call(.post, "/v1/tokens", json: document), arguments)
  }

  private static func show(_ body: [UInt8], _ arguments: Arguments) throws(Fault) {
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let created: CreatedTokenDocument = try decode(body)
    Terminal.note("token \(created.token.id), \(created.token.role); this is the only time its text is shown:")
    Terminal.result(created.secret)
  }

  private static let list = Command(
    path: ["token", "list"], summary: "list the admin tokens, without their secrets", options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try printList("/v1/tokens", arguments, ["ID", "NAME", "ROLE", "TEAM", "NETWORKS", "EXPIRES"]) { (t: TokenDocument) in
      [
        t.id, Terminal.plain(t.name), t.grants.map { "\(t.role) \($0.joined(separator: ","))" } ?? t.role, t.team ?? "-",
        t.networks?.joined(separator: ",") ?? "-", t.expires_at ?? "never",
      ]
    }
  }

  private static let rotate = Command(
    path: ["token", "rotate"], operand: "ID", summary: "give an admin token a new secret; the old one ends at once",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    try show(try AdminLink.open(arguments).call(.post, "/v1/tokens/\(percentEncoded(id))/rotate"), arguments)
  }

  private static let revoke = Command(
    path: ["token", "revoke"], operand: "ID", summary: "end an admin token", options: Unsealing.options
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/tokens/\(percentEncoded(id))")
    Terminal.result("admin token \(id) is ended")
  }

  private static let openAPI = Command(
    path: ["openapi"], summary: "print the OpenAPI document of the management side", usesData: false
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    Terminal.result(String(decoding: AdminAPI.openAPI(), as: UTF8.self))
  }

  private static let matrix = Command(
    path: ["token", "matrix"], summary: "show who may do what, as a table", usesData: false
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    Terminal.result(AdminAPI.permissionMatrix())
  }
}
