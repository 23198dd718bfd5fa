import AdminAPI
import FoundationEssentials
import Primitives
import Wire

/// What there is, as the YAML that `apply` takes.
struct DeclarationExport {
  private(set) var text = ""
  private let link: AdminLink

  init(_ link: AdminLink) throws(Fault) {
    self.link = link
    try section(.providers, try ownProviders(link).map { (p) throws(Fault) in (p.name, try tree(p, without: ["name", "keys"])) })
    for kind in [Declaration.Kind.teams, .policies] {
      let all: [NamedPolicyDocument] = try list(kind.rawValue)
      try section(kind, try all.map { (p) throws(Fault) in (p.name, try policy(p.policy)) })
    }
    let providerKeys: [ProviderKeyDocument] = try list("provider-keys")
    try section(
      .providerKeys,
      providerKeys.map { key in
        let variable = "\(key.provider)_\(key.name)".uppercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" }
        return (
          "\(key.provider)/\(key.name)",
          [
            "secret": ["env": .text(String(variable))], "weight": .integer(key.weight), "tags": .list(key.tags.map { .text($0) }),
          ]
        )
      })
    try section(.keys, try keys())
    let budgets: [BudgetDocument] = try list("budgets")
    try section(.budgets, try budgets.map { (b) throws(Fault) in (b.name ?? "", try tree(b, without: ["name", "state"])) })
    let prices: [PriceDocument] = try list("prices?own=1")
    try section(.prices, prices.map { ("\($0.provider ?? "")/\($0.model ?? "")", .object($0.prices.mapValues { .text($0) })) })
    let schedules: [ScheduleDocument] = try list("schedules")
    try section(
      .schedules, try schedules.map { (s) throws(Fault) in (s.scope ?? "", try tree(s, without: ["scope", "keys", "next_at"])) })
    let triggers: [NamedTriggerDocument] = try list("triggers")
    try section(
      .triggers,
      try triggers.filter { $0.source == "own" }.map { (t) throws(Fault) in (t.name, try tree(t, without: ["name", "source"])) })
  }

  private func list<Entry: Decodable>(_ path: String) throws(Fault) -> [Entry] { try decode(try link.call(.get, "/v1/\(path)")) }

  private func keys() throws(Fault) -> [(String, JSONTree)] {
    let all: [KeyDocument] = try list("keys").filter { !["revoked", "destroyed", "expired", "tampered"].contains($0.state) }
    let names = Dictionary(grouping: all, by: \.name)
    return try all.map { (key) throws(Fault) in
      var members: [String: JSONTree] = [:]
      members["team"] = key.team.map { .text($0) }
      members["shared_policy"] = key.shared_policy.map { .text($0) }
      members["expires_at"] = key.expires_at.map { .text($0) }
      if !key.tags.isEmpty { members["tags"] = .list(key.tags.map { .text($0) }) }
      if key.decoy == true { members["decoy"] = true }
      let policy = try policy(key.policy)
      if policy != [:] { members["policy"] = policy }
      guard names[key.name]?.count == 1 else {
        return ("\(key.name) (\(key.id))", .object(members).with(["id": .text(key.id), "name": .text(key.name)]))
      }
      return (key.name, .object(members))
    }
  }

  /// A policy without what permits anything, which is what is not there. Its providers are named in any case: on its own a key has to.
  private func policy(_ document: PolicyDocument) throws(Fault) -> JSONTree {
    guard case .object(let members) = try tree(document, without: []) else { return [:] }
    return .object(members.filter { $0.key == "providers" || $0.value != ["*"] })
  }

  private func tree(_ document: some Encodable, without names: Set<String>) throws(Fault) -> JSONTree {
    guard let data = try? JSONEncoder.stable.encode(document), let tree = try? JSONDecoder().decode(JSONTree.self, from: data),
      case .object(let members) = tree
    else { throw Fault(.system, "what there is cannot be written down") }
    return .object(members.filter { !names.contains($0.key) })
  }

  // MARK: YAML

  private mutating func section(_ kind: Declaration.Kind, _ entries: [(String, JSONTree)]) throws(Fault) {
    guard !entries.isEmpty else { return }
    text += "\(kind.rawValue):\n"
    for (name, members) in entries {
      text += "  \(Self.quoted(name)):"
      Self.append(members, depth: 2, to: &text)
    }
  }

  private static func append(_ value: JSONTree, depth: Int, to text: inout String) {
    guard case .object(let members) = value, !members.isEmpty else {
      text += " \(json(value))\n"
      return
    }
    text += "\n"
    for (name, inner) in members.sorted(by: { $0.key < $1.key }) {
      text += "\(String(repeating: "  ", count: depth))\(quoted(name)):"
      append(inner, depth: depth + 1, to: &text)
    }
  }

  /// `name` as it is where no reader of YAML takes it for anything else.
  private static func quoted(_ name: String) -> String {
    let isPlain =
      name.utf8.allSatisfy { ASCII.isDigit($0) || ASCII.isLetter($0) || $0 == 45 || $0 == 46 || $0 == 95 || $0 == 47 }
      && name.utf8.first.map(ASCII.isLetter) ?? false
      && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(name.lowercased())
    return isPlain ? name : json(.text(name))
  }

  /// JSON is YAML.
  private static func json(_ value: JSONTree) -> String {
    (try? JSONEncoder.stable.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
  }
}
