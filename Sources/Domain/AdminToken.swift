public import Primitives

/// What may be done on the management side: a verb on a resource.
public struct Permission: Hashable, Sendable, CustomStringConvertible {
  public enum Verb: String, Sendable, CaseIterable { case read, create, change, end }

  public enum Resource: String, Sendable, CaseIterable {
    case status, seal, providers, keys, teams, policies, budgets, prices, objects, activity, audit, triggers, schedules
    case destinations, rotations, leaks, tokens, backups, alerts, captures
    case providerKeys = "provider-keys"
  }

  public let verb: Verb
  public let resource: Resource
  public init(_ verb: Verb, _ resource: Resource) { (self.verb, self.resource) = (verb, resource) }

  public var description: String { "\(verb.rawValue):\(resource.rawValue)" }

  /// Reads `verb:resource`, either of which may be `*`; nil for anything else.
  public static func set(_ text: String) -> Set<Permission>? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 else { return nil }
    let verbs = parts[0] == "*" ? Verb.allCases : Verb(rawValue: parts[0]).map { [$0] } ?? []
    let resources = parts[1] == "*" ? Resource.allCases : Resource(rawValue: parts[1]).map { [$0] } ?? []
    guard !verbs.isEmpty, !resources.isEmpty else { return nil }
    return Set(verbs.flatMap { verb in resources.map { Permission(verb, $0) } })
  }
}

/// Whoever manages: a set of permissions, for all or for one team.
public enum AdminRole: String, Sendable, Codable, CaseIterable {
  /// Everything.
  case owner
  /// Everything but who else manages.
  case `operator`
  /// The keys of one team.
  case developer
  /// Sees everything, changes nothing.
  case auditor
  /// What its token lists.
  case custom

  public var permissions: Set<Permission> {
    let all = Permission.set("*:*")!
    switch self {
    case .owner: return all
    // What keys send and get is for nobody who is not given it.
    case .operator: return all.filter { ($0.resource != .tokens || $0.verb == .read) && $0.resource != .captures }
    case .auditor: return all.filter { $0.verb == .read && $0.resource != .captures }
    case .developer:
      return Set(
        ["*:keys", "read:status", "read:providers", "read:teams", "read:policies", "read:budgets", "read:activity"].flatMap {
          Permission.set($0)!
        })
    case .custom: return []
    }
  }
}

/// A token that manages. It can never call a model, as no masked key can manage.
public struct AdminToken: Hashable, Sendable, Codable {
  public var name: String
  public var role: AdminRole
  /// Of a custom role: `verb:resource`.
  public var grants: [String]
  /// Everything it sees and does is of this team.
  public var team: String?
  /// Where it may be used from; empty: anywhere.
  public var networks: [String]
  /// HMAC-SHA-256 of its text under the pepper of `pepperVersion`.
  public var hash: [UInt8]
  public var pepperVersion: UInt32
  /// Milliseconds since 1970.
  public var createdAt: Int64
  public var expiresAt: Int64?

  public static let prefix = "mka"

  public init(
    name: String, role: AdminRole, grants: [String] = [], team: String? = nil, networks: [String] = [], createdAt: Timestamp,
    expiresAt: Timestamp? = nil
  ) {
    (self.name, self.role, self.grants, self.team, self.networks) = (name, role, grants, team, networks)
    (hash, pepperVersion, self.createdAt, self.expiresAt) = ([], 0, createdAt.milliseconds, expiresAt?.milliseconds)
  }

  public var permissions: Set<Permission> {
    role == .custom ? Set(grants.flatMap { Permission.set($0) ?? [] }) : role.permissions
  }

  /// Throws `.invalidInput` for what cannot be meant.
  public func validate() throws(Fault) {
    try Label.validate(name, of: "name")
    guard (role == .custom) == !grants.isEmpty else {
      throw Fault(
        .invalidInput, "grants go with the role 'custom', and it with them", hint: "write them as read:keys, '*:budgets'")
    }
    for grant in grants where Permission.set(grant) == nil {
      throw Fault(
        .invalidInput, "'\(grant.prefix(60))' is no grant",
        hint:
          "a verb (\(Permission.Verb.allCases.map(\.rawValue).joined(separator: ", "))) and a resource (\(Permission.Resource.allCases.map(\.rawValue).joined(separator: ", "))), as read:keys"
      )
    }
    guard role != .developer || team != nil else {
      throw Fault(.invalidInput, "a developer is of a team", hint: "name it with --team")
    }
    guard role == .developer || role == .custom || team == nil else {
      throw Fault(.invalidInput, "'\(role.rawValue)' is not bound to a team", hint: "use developer, or custom grants")
    }
    for network in networks where Network(network) == nil {
      throw Fault(.invalidInput, "'\(network.prefix(50))' is no network", hint: "write it as 10.0.0.0/8 or 192.0.2.7")
    }
  }
}
