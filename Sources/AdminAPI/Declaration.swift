import Configuration
public import Primitives

/// What files say there should be: providers, their keys, teams, policies, masked keys and the rest, by name.
///
/// The members of an entry are those of the management side's documents.
public struct Declaration: Sendable {
  /// A section of the files, in the order in which its entries are made.
  public enum Kind: String, CaseIterable, Sendable {
    case providers, teams, policies
    case providerKeys = "provider_keys"
    case keys, budgets, prices, schedules, triggers

    /// How one of it is called.
    public var one: String {
      switch self {
      case .providers: "provider"
      case .teams: "team"
      case .policies: "policy"
      case .providerKeys: "provider key"
      case .keys: "key"
      case .budgets: "budget"
      case .prices: "price"
      case .schedules: "schedule"
      case .triggers: "trigger"
      }
    }

    fileprivate var shape: DocumentShape {
      let (type, without): (DocumentType, Set<String>) =
        switch self {
        case .providers: (NewProviderDocument.self, ["name"])
        case .teams, .policies: (PolicyDocument.self, [])
        case .providerKeys: (DeclaredProviderKey.self, [])
        case .keys: (DeclaredKey.self, [])
        case .budgets: (BudgetDocument.self, [])
        case .prices: ([String: String].self, [])
        case .schedules: (ScheduleDocument.self, [])
        case .triggers: (TriggerDocument.self, [])
        }
      guard case .object(let object) = DocumentShape.of(type) else { return .of(type) }
      var sent = object.asSent(type)
      sent.members.removeAll { without.contains($0.name) }
      return .object(sent)
    }
  }

  public struct Entry: Sendable {
    public let kind: Kind
    public let name: String
    public let members: JSONTree
    /// File and line.
    public let place: String
  }

  public private(set) var entries: [Entry] = []
  /// The sections that there are, empty ones too.
  public private(set) var kinds: Set<Kind> = []

  public init() {}

  /// Adds what a file says; throws `.invalidInput` with file and line.
  public mutating func read(_ bytes: [UInt8], file: String) throws(Fault) {
    let root = try YAMLNode.parse(bytes, name: file)
    guard case .mapping(let sections) = root.value else {
      throw Fault(.invalidInput, "\(file), line \(root.line): sections are wanted here", hint: Self.sections)
    }
    var known = Dictionary(uniqueKeysWithValues: entries.map { ("\($0.kind) \($0.name)", $0.place) })
    for section in sections {
      guard let kind = Kind(rawValue: section.name) else {
        throw Fault(
          .invalidInput, "\(file), line \(section.line): there is no section '\(section.name.prefix(64))'", hint: Self.sections)
      }
      kinds.insert(kind)
      if case .scalar("") = section.value.value { continue }
      guard case .mapping(let named) = section.value.value else {
        throw Fault(.invalidInput, "\(file), line \(section.line): names with their members are wanted in '\(section.name)'")
      }
      let shape = kind.shape
      for entry in named {
        let place = "\(file), line \(entry.line)"
        if let other = known["\(kind) \(entry.name)"] {
          throw Fault(.invalidInput, "\(place): \(kind.one) '\(entry.name)' is also in \(other)")
        }
        known["\(kind) \(entry.name)"] = place
        let members = try Self.tree(entry.value, shape, "\(kind.one) '\(entry.name.prefix(64))'", file)
        entries.append(Entry(kind: kind, name: entry.name, members: members, place: place))
      }
    }
  }

  private static let sections = "use some of: \(Kind.allCases.map(\.rawValue).joined(separator: ", "))"

  /// `node` as the document that `shape` says it is.
  private static func tree(_ node: YAMLNode, _ shape: DocumentShape, _ what: String, _ file: String) throws(Fault) -> JSONTree {
    func refuse(_ line: Int, _ wanted: String) -> Fault { Fault(.invalidInput, "\(file), line \(line): \(what): \(wanted)") }
    switch (shape, node.value) {
    case (.text, .scalar(let text)): return .text(text)
    case (.integer, .scalar(let text)):
      guard let number = Int(text) else { throw refuse(node.line, "a whole number is wanted") }
      return .integer(number)
    case (.number, .scalar(let text)):
      guard let number = Double(text) else { throw refuse(node.line, "a number is wanted") }
      return .number(number)
    case (.boolean, .scalar(let text)):
      guard ["true", "false"].contains(text) else { throw refuse(node.line, "true or false is wanted") }
      return .boolean(text == "true")
    case (.list(let inner), .sequence(let items)):
      return .list(try items.map { (item) throws(Fault) in try tree(item, inner, what, file) })
    case (.map(let inner), .mapping(let members)):
      var found: [String: JSONTree] = [:]
      for member in members { found[member.name] = try tree(member.value, inner, what, file) }
      return .object(found)
    case (.object(let object), .mapping(let members)):
      var found: [String: JSONTree] = [:]
      for member in members {
        guard let inner = object[member.name] else {
          throw Fault(
            .invalidInput, "\(file), line \(member.line): \(what) has no member '\(member.name.prefix(64))'",
            hint: "use some of: \(object.names.joined(separator: ", "))")
        }
        found[member.name] = try tree(member.value, inner, what, file)
      }
      for member in object.members where !member.isOptional && found[member.name] == nil {
        throw refuse(node.line, "'\(member.name)' is missing")
      }
      return .object(found)
    // A name with nothing behind it.
    case (.object(let object), .scalar("")) where object.members.allSatisfy(\.isOptional): return .object([:])
    case (.list, _): throw refuse(node.line, "a list is wanted")
    case (.object, _), (.map, _): throw refuse(node.line, "members are wanted")
    default: throw refuse(node.line, "a single value is wanted")
    }
  }
}

/// Where a secret is read from, when it is needed: one of them.
public struct SecretReference: Codable, Sendable {
  /// A variable of the environment.
  public var env: String?
  public var file: String?
  /// A program and its arguments: what it prints.
  public var command: [String]?
  /// The URL of a secret of Vault's (`https://vault:8200/v1/secret/data/openai`); the token is in `VAULT_TOKEN`.
  public var vault: String?
  /// The field of that secret (default: `value`).
  public var field: String?
}

/// A provider key in a file, named `provider/name`.
public struct DeclaredProviderKey: Codable, Sendable {
  public var secret: SecretReference
  public var weight: Int?
  public var tags: [String]?
}

/// A masked key in a file.
public struct DeclaredKey: Codable, Sendable {
  /// Which key it is, where several have its name.
  public var id: String?
  /// nil: the entry's.
  public var name: String?
  public var team: String?
  public var shared_policy: String?
  public var policy: PolicyDocument?
  public var expires_at: String?
  public var tags: [String]?
  /// Only for one that is made.
  public var prefix: String?
  public var decoy: Bool?
}
