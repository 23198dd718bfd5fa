import AdminAPI
import FoundationEssentials
import Primitives
import Wire

/// What has to be done for the server to be as files say, found out by rehearsing it there: what is shown is what would happen.
struct DeclarationPlan {
  enum Action: String { case add = "+", change = "~", remove = "-" }

  struct Change {
    let action: Action
    let kind: Declaration.Kind
    let name: String
    /// nil: the calls of a provider key, which has a secret and goes alone.
    let call: BatchDocument.Call?
    var before: JSONTree?
    var after: JSONTree?
    /// What is needed for a provider key.
    var providerKey: (id: String?, entry: Declaration.Entry)?
  }

  private(set) var changes: [Change] = []
  /// Entries that are as they are declared.
  private(set) var unchanged = 0
  /// What is there and is not declared, where it is not removed.
  private(set) var undeclared: [String] = []
  private let link: AdminLink
  private let declaration: Declaration

  /// Calls that are rehearsed, or made, as one.
  static let chunk = 200

  init(_ declaration: Declaration, _ link: AdminLink, prunes: Bool) throws(Fault) {
    (self.link, self.declaration) = (link, declaration)
    let there = try Present(link, declaration.kinds)
    for kind in Declaration.Kind.allCases where declaration.kinds.contains(kind) {
      let entries = declaration.entries.filter { $0.kind == kind }
      switch kind {
      case .providerKeys: try planProviderKeys(entries, there)
      case .keys: try planKeys(entries, there)
      default:
        var calls: [Wanted] = []
        for entry in entries { calls.append(Wanted(entry: entry, call: try Self.call(for: entry))) }
        try rehearse(calls)
      }
    }
    try planRemovals(there, prunes: prunes)
  }

  // MARK: calls

  private struct Wanted {
    let entry: Declaration.Entry
    let call: BatchDocument.Call
    var isNew = false
  }

  private static func call(for entry: Declaration.Entry) throws(Fault) -> BatchDocument.Call {
    let name = percentEncoded(entry.name)
    switch entry.kind {
    case .providers: return BatchDocument.Call("POST", "/v1/providers", entry.members.with(["name": .text(entry.name)]))
    case .prices:
      return BatchDocument.Call("PUT", "/v1/prices/\(try pair(entry))", ["prices": entry.members])
    case .schedules: return BatchDocument.Call("PUT", "/v1/schedules/\(try pair(entry))", entry.members)
    default: return BatchDocument.Call("PUT", "/v1/\(entry.kind.rawValue)/\(name)", entry.members)
    }
  }

  /// A name of two parts as two segments of a path.
  private static func pair(_ entry: Declaration.Entry) throws(Fault) -> String {
    guard let slash = entry.name.firstIndex(of: "/") else {
      throw Fault(
        .invalidInput, "\(entry.place): the name of a \(entry.kind.one) has two parts",
        hint: "write it as \(entry.kind == .prices ? "provider/model" : "team/NAME, policy/NAME or key/ID")")
    }
    return
      "\(percentEncoded(String(entry.name[..<slash])))/\(percentEncoded(String(entry.name[entry.name.index(after: slash)...])))"
  }

  private mutating func planKeys(_ entries: [Declaration.Entry], _ there: Present) throws(Fault) {
    var calls: [Wanted] = []
    for entry in entries {
      let declared: DeclaredKey = try Self.decode(entry)
      let name = declared.name ?? entry.name
      guard let key = try there.key(declared.id, name, entry.place) else {
        var members: [String: JSONTree] = ["name": .text(name)]
        for member in ["team", "shared_policy", "policy", "expires_at", "tags", "prefix", "decoy"] {
          members[member] = entry.members[member]
        }
        calls.append(Wanted(entry: entry, call: BatchDocument.Call("POST", "/v1/keys", .object(members)), isNew: true))
        continue
      }
      let path = "/v1/keys/\(key.id)"
      var grant: [String: JSONTree] = [:]
      for member in ["team", "shared_policy", "policy"] { grant[member] = entry.members[member] }
      calls.append(Wanted(entry: entry, call: BatchDocument.Call("PUT", path, .object(grant))))
      if declared.tags ?? [] != key.tags {
        calls.append(
          Wanted(
            entry: entry,
            call: BatchDocument.Call("PUT", "\(path)/tags", ["tags": .list((declared.tags ?? []).map { .text($0) })])))
      }
      if try there.moment(declared.expires_at, entry.place) != there.moment(key.expires_at, entry.place) {
        let expiry = declared.expires_at.map { JSONTree.text($0) } ?? .null
        calls.append(Wanted(entry: entry, call: BatchDocument.Call("PUT", "\(path)/expiry", ["expires_at": expiry])))
      }
    }
    try rehearse(calls)
  }

  private mutating func planProviderKeys(_ entries: [Declaration.Entry], _ there: Present) throws(Fault) {
    for entry in entries {
      let declared: DeclaredProviderKey = try Self.decode(entry)
      guard entry.name.contains("/") else {
        throw Fault(.invalidInput, "\(entry.place): a provider key is named provider/name")
      }
      let after: JSONTree = [
        "weight": .integer(declared.weight ?? 1), "tags": .list((declared.tags ?? []).map { .text($0) }),
      ]
      let known = there.providerKeys.first { "\($0.provider)/\($0.name)" == entry.name }
      guard let known else {
        try SecretSource(declared.secret, entry.place).check()
        changes.append(
          Change(action: .add, kind: .providerKeys, name: entry.name, call: nil, after: after, providerKey: (nil, entry)))
        continue
      }
      let before: JSONTree = ["weight": .integer(known.weight), "tags": .list(known.tags.map { .text($0) })]
      guard before != after else {
        unchanged += 1
        continue
      }
      changes.append(
        Change(
          action: .change, kind: .providerKeys, name: entry.name, call: nil, before: before, after: after,
          providerKey: (known.id, entry)))
    }
  }

  static func decode<Document: Decodable>(_ entry: Declaration.Entry) throws(Fault) -> Document {
    guard let data = try? JSONEncoder.stable.encode(entry.members),
      let document = try? JSONDecoder().decode(Document.self, from: data)
    else { throw Fault(.invalidInput, "\(entry.place): this cannot be read") }
    return document
  }

  // MARK: rehearsal

  /// Has the server try the calls, in chunks; what they need of what does not exist yet comes before them.
  private mutating func rehearse(_ wanted: [Wanted]) throws(Fault) {
    var rest = wanted[...]
    var changed: Set<String> = []
    while !rest.isEmpty {
      let part = rest.prefix(Self.chunk)
      rest = rest.dropFirst(Self.chunk)
      let needed = needs(of: part.map(\.entry))
      let calls = needed + part.map(\.call)
      let answers: [BatchAnswerDocument]
      do throws(Fault) { answers = try Self.send(calls, to: link, isRehearsal: true) } catch {
        throw Self.placed(error, part.map(\.entry), after: needed.count)
      }
      for (wanted, answer) in zip(part, answers.dropFirst(needed.count)) where answer.changed {
        let after = wanted.isNew ? answer.answer?["key"] : answer.answer
        changes.append(
          Change(
            action: wanted.isNew || answer.before == nil ? .add : .change, kind: wanted.entry.kind, name: wanted.entry.name,
            call: wanted.call, before: answer.before, after: after))
        changed.insert(wanted.entry.name)
      }
    }
    unchanged += Set(wanted.map(\.entry.name)).count - changed.count
  }

  /// The calls that bring about what `entries` name: providers all, teams and policies those that they have.
  private func needs(of entries: [Declaration.Entry]) -> [BatchDocument.Call] {
    var teams: Set<String> = []
    var policies: Set<String> = []
    for entry in entries {
      if let team = entry.members["team"]?.text { teams.insert(team) }
      if let policy = entry.members["shared_policy"]?.text { policies.insert(policy) }
      if entry.kind == .schedules {
        if entry.name.hasPrefix("team/") { teams.insert(String(entry.name.dropFirst(5))) }
        if entry.name.hasPrefix("policy/") { policies.insert(String(entry.name.dropFirst(7))) }
      }
    }
    return changes.filter { change in
      switch change.kind {
      case .providers: true
      case .teams: teams.contains(change.name)
      case .policies: policies.contains(change.name)
      default: false
      }
    }.compactMap(\.call)
  }

  static func send(_ calls: [BatchDocument.Call], to link: AdminLink, isRehearsal: Bool) throws(Fault) -> [BatchAnswerDocument] {
    let document = BatchDocument(calls: calls, rehearse: isRehearsal)
    return try maskllm.decode(try link.call(.post, "/v1/batches", json: document))
  }

  /// The fault of a call, with the place in the files that it comes from.
  private static func placed(_ fault: Fault, _ entries: [Declaration.Entry], after needed: Int) -> Fault {
    guard fault.message.hasPrefix("call "), let n = Int(fault.message.dropFirst(5).prefix { $0 != "," }),
      entries.indices.contains(n - 1 - needed), let colon = fault.message.firstRange(of: ": ")
    else { return fault }
    let entry = entries[n - 1 - needed]
    return Fault(
      fault.code, "\(entry.place): \(entry.kind.one) '\(entry.name)': \(fault.message[colon.upperBound...])", hint: fault.hint)
  }

  // MARK: removals

  /// What is there of the declared sections and is not declared goes, the dependent first.
  private mutating func planRemovals(_ there: Present, prunes: Bool) throws(Fault) {
    for kind in [
      Declaration.Kind.schedules, .triggers, .prices, .budgets, .keys, .policies, .teams, .providerKeys, .providers,
    ] where declaration.kinds.contains(kind) {
      let names = Set(declaration.entries.filter { $0.kind == kind }.map(\.name))
      let keys = kind == .keys ? try declaredKeys(there) : []
      for (name, id, path) in there.all(kind) {
        guard kind == .keys ? !keys.contains(id) : !names.contains(name) else { continue }
        guard prunes else {
          undeclared.append("\(kind.one) \(name)")
          continue
        }
        let call =
          kind == .keys
          ? BatchDocument.Call("POST", "\(path)/revoke", ["reason": "no longer declared"]) : BatchDocument.Call("DELETE", path)
        changes.append(Change(action: .remove, kind: kind, name: name, call: call))
      }
    }
  }

  /// The IDs of keys that have an entry.
  private func declaredKeys(_ there: Present) throws(Fault) -> Set<String> {
    var ids: Set<String> = []
    for entry in declaration.entries where entry.kind == .keys {
      let declared: DeclaredKey = try Self.decode(entry)
      if let key = try there.key(declared.id, declared.name ?? entry.name, entry.place) { ids.insert(key.id) }
    }
    return ids
  }
}

/// What is there, of the sections that are declared.
private struct Present {
  private(set) var providerKeys: [ProviderKeyDocument] = []
  private var keys: [KeyDocument] = []
  private var keysByName: [String: [KeyDocument]] = [:]
  private var named: [Declaration.Kind: [(name: String, id: String, path: String)]] = [:]

  init(_ link: AdminLink, _ kinds: Set<Declaration.Kind>) throws(Fault) {
    func list<Entry: Decodable>(_ path: String) throws(Fault) -> [Entry] { try decode(try link.call(.get, "/v1/\(path)")) }
    for kind in kinds {
      switch kind {
      case .providers: named[kind] = try ownProviders(link).map { ($0.name, $0.name, "/v1/providers/\($0.name)") }
      case .providerKeys:
        providerKeys = try list("provider-keys")
        named[kind] = providerKeys.map { ("\($0.provider)/\($0.name)", $0.id, "/v1/provider-keys/\($0.id)") }
      case .keys:
        keys = try list("keys").filter { !["revoked", "destroyed", "tampered"].contains($0.state) }
        keysByName = Dictionary(grouping: keys, by: \.name)
        named[kind] = keys.map { ($0.name, $0.id, "/v1/keys/\($0.id)") }
      case .teams, .policies:
        let all: [NamedPolicyDocument] = try list(kind.rawValue)
        named[kind] = all.map { ($0.name, $0.name, "/v1/\(kind.rawValue)/\($0.name)") }
      case .budgets:
        let all: [BudgetDocument] = try list("budgets")
        named[kind] = all.compactMap(\.name).map { ($0, $0, "/v1/budgets/\($0)") }
      case .prices:
        let all: [PriceDocument] = try list("prices?own=1")
        named[kind] = all.map {
          let (list, model) = ($0.provider ?? "", $0.model ?? "")
          return ("\(list)/\(model)", "", "/v1/prices/\(percentEncoded(list))/\(percentEncoded(model))")
        }
      case .schedules:
        let all: [ScheduleDocument] = try list("schedules")
        named[kind] = all.compactMap(\.scope).map { ($0, $0, "/v1/schedules/\($0)") }
      case .triggers:
        let all: [NamedTriggerDocument] = try list("triggers")
        named[kind] = all.filter { $0.source == "own" }.map { ($0.name, $0.name, "/v1/triggers/\($0.name)") }
      }
    }
  }

  func all(_ kind: Declaration.Kind) -> [(name: String, id: String, path: String)] { named[kind] ?? [] }

  /// The key that an entry is about; nil where there is none yet.
  func key(_ id: String?, _ name: String, _ place: String) throws(Fault) -> KeyDocument? {
    if let id {
      guard let key = keys.first(where: { $0.id == id }) else {
        throw Fault(.notFound, "\(place): there is no key \(id) that has not ended", hint: "take 'id' out to have one made")
      }
      return key
    }
    let found = keysByName[name] ?? []
    guard found.count <= 1 else {
      throw Fault(
        .conflict, "\(place): \(found.count) keys are named '\(name)'", hint: "say which with 'id': \(found[0].id), …")
    }
    return found.first
  }

  func moment(_ text: String?, _ place: String) throws(Fault) -> Timestamp? {
    guard let text else { return nil }
    guard let moment = Timestamp(rfc3339: text) else { throw Fault(.invalidInput, "\(place): '\(text)' is no time") }
    return moment
  }
}

/// The providers that are not simply as the catalogue has them.
func ownProviders(_ link: AdminLink) throws(Fault) -> [ProviderDocument] {
  let kinds: [KindDocument] = try decode(try link.call(.get, "/v1/provider-kinds"))
  let shipped = Dictionary(kinds.map { ($0.name, $0) }) { first, _ in first }
  let all: [ProviderDocument] = try decode(try link.call(.get, "/v1/providers"))
  return all.filter { provider in
    guard let kind = shipped[provider.name], provider.kind == kind.name else { return true }
    return provider.base_url != kind.base_url || provider.credential != kind.credential || provider.authority_file != nil
      || !(provider.fallback_urls ?? []).isEmpty || provider.price_list != kind.price_list
  }
}
