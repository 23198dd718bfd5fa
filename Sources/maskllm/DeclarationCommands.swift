import AdminAPI
import Cryptography
import FoundationEssentials
import Glibc
import Primitives
import Wire

/// `maskllm plan`, `apply` and `export`: what there should be, as files.
enum DeclarationCommands {
  static let all = [plan, apply, export]

  /// What `plan` ends with where the server is not as declared.
  static let differs: Int32 = 3

  private static let common =
    Unsealing.options + [
      Option(name: "file", value: "PATH", help: "a YAML file, or a folder of them; also -f", isRepeatable: true),
      Option(name: "prune", value: nil, help: "remove (keys: revoke) what is there of the files' sections and not in them"),
      Command.json,
    ]

  private static let plan = Command(
    path: ["plan"], summary: "show what would make the server as files say; ends with 3 where something would", options: common
  ) { arguments throws(Fault) in
    let plan = try make(arguments, try AdminLink.open(arguments))
    try show(plan, arguments)
    if !plan.changes.isEmpty { exit(differs) }
  }

  private static let apply = Command(
    path: ["apply"], summary: "make the server as files say",
    options: common + [
      Option(
        name: "new-keys", value: "PATH",
        help: "a new file for the texts of keys that are made: name, ID, text; '-': standard output")
    ]
  ) { arguments throws(Fault) in
    let link = try AdminLink.open(arguments)
    let plan = try make(arguments, link)
    try show(plan, arguments)
    let made = plan.changes.count { $0.kind == .keys && $0.action == .add }
    let target = arguments.value("new-keys")
    guard made == 0 || target != nil else {
      throw Fault(
        .invalidInput, "\(made == 1 ? "a key" : "\(made) keys") would be made, and nothing says where the texts go",
        hint: "give --new-keys PATH; nothing was changed")
    }
    // Before anything is changed: every secret is where its reference says.
    for change in plan.changes where change.action == .add {
      if let entry = change.providerKey?.entry { _ = try secret(of: entry) }
    }
    let output = try made > 0 ? NewKeyFile(target ?? "-") : nil
    try carryOut(plan, link, output)
    if !plan.changes.isEmpty { Terminal.note("applied") }
  }

  private static let export = Command(
    path: ["export"], summary: "print what there is as the files that 'apply' takes; secrets as references",
    options: Unsealing.options
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    Terminal.result(try DeclarationExport(try AdminLink.open(arguments)).text)
  }

  // MARK: reading

  private static func make(_ arguments: Arguments, _ link: AdminLink) throws(Fault) -> DeclarationPlan {
    try arguments.noOperands()
    let paths = arguments.all("file")
    guard !paths.isEmpty else { throw Fault(.invalidInput, "no file is named", hint: "give --file PATH, a file or a folder") }
    var declaration = Declaration()
    for path in paths {
      for file in try files(path) {
        guard let bytes = try Files.read(file, max: 256 << 20) else { throw Fault(.notFound, "there is no file \(file)") }
        try declaration.read(bytes, file: file)
      }
    }
    return try DeclarationPlan(declaration, link, prunes: arguments.has("prune"))
  }

  /// `path`, or the YAML files of the folder that it is, by name.
  private static func files(_ path: String) throws(Fault) -> [String] {
    guard let names = Files.names(in: path) else { return [path] }
    let found = names.filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }.sorted()
    guard !found.isEmpty else { throw Fault(.notFound, "\(path) has no file that ends with .yaml or .yml") }
    return found.map { "\(path)/\($0)" }
  }

  // MARK: showing

  private static func show(_ plan: DeclarationPlan, _ arguments: Arguments) throws(Fault) {
    if arguments.has("json") { return Terminal.result(try json(plan)) }
    for change in plan.changes {
      let end = change.action == .remove && change.kind == .keys ? " (revoked)" : ""
      Terminal.result("\(change.action.rawValue) \(change.kind.one) \(Terminal.plain(change.name))\(end)")
      for line in differences(change) { Terminal.result("    \(line)") }
    }
    if !plan.undeclared.isEmpty {
      let some = plan.undeclared.prefix(5).joined(separator: ", ")
      Terminal.result(
        "not declared, left alone (--prune removes): \(some)\(plan.undeclared.count > 5 ? " and \(plan.undeclared.count - 5) more" : "")"
      )
    }
    func count(_ action: DeclarationPlan.Action) -> Int { plan.changes.count { $0.action == action } }
    Terminal.result(
      "\(count(.add)) to add, \(count(.change)) to change, \(count(.remove)) to remove; \(plan.unchanged) as declared")
  }

  /// Members of no interest: they follow from others, or count.
  private static let hidden: Set = [
    "keys", "revision", "id", "created_at", "state", "versions", "version", "source", "name", "next_at",
  ]

  private static func differences(_ change: DeclarationPlan.Change) -> [String] {
    let (before, after) = (flat(change.before), flat(change.after))
    return Set(before.keys).union(after.keys).sorted().compactMap { path in
      switch (before[path], after[path]) {
      case (let old?, let new?): old == new ? nil : "\(path): \(old) → \(new)"
      // What permits anything says nothing.
      case (nil, let new?): new == #"["*"]"# || new == "[]" ? nil : "\(path): \(new)"
      case (let old?, nil): "\(path): \(old) → not there"
      case (nil, nil): nil
      }
    }
  }

  /// The members of members by their paths, as JSON.
  private static func flat(_ tree: JSONTree?, _ path: String = "") -> [String: String] {
    guard case .object(let members)? = tree else { return [:] }
    var found: [String: String] = [:]
    for (name, value) in members where !path.isEmpty || !hidden.contains(name) {
      let place = path.isEmpty ? name : "\(path).\(name)"
      if case .object = value { found.merge(flat(value, place)) { $1 } } else { found[place] = jsonText(value) }
    }
    return found
  }

  private static func jsonText(_ value: JSONTree) -> String {
    (try? JSONEncoder.stable.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  private static func json(_ plan: DeclarationPlan) throws(Fault) -> String {
    let changes = plan.changes.map { change in
      var members: [String: JSONTree] = [
        "action": .text("\(change.action)"), "kind": .text(change.kind.one), "name": .text(change.name),
      ]
      (members["before"], members["after"]) = (change.before, change.after)
      return JSONTree.object(members)
    }
    return jsonText([
      "changes": .list(changes), "unchanged": .integer(plan.unchanged), "undeclared": .list(plan.undeclared.map { .text($0) }),
    ])
  }

  // MARK: doing

  private static func carryOut(_ plan: DeclarationPlan, _ link: AdminLink, _ output: NewKeyFile?) throws(Fault) {
    var done = 0
    var waiting: [(call: BatchDocument.Call, name: String)] = []
    func flush() throws(Fault) {
      guard !waiting.isEmpty else { return }
      let answers: [BatchAnswerDocument]
      do throws(Fault) { answers = try DeclarationPlan.send(waiting.map(\.call), to: link, isRehearsal: false) } catch {
        throw Fault(
          error.code, "\(error.message); \(done) of \(plan.changes.count) changes were made",
          hint: "run it again once that is mended")
      }
      var lines: [String] = []
      for (call, answer) in zip(waiting, answers) {
        guard let text = answer.answer?["masked_key"]?.text, let id = answer.answer?["key"]?["id"]?.text else { continue }
        lines.append("\(call.name)\t\(id)\t\(text)")
      }
      try output?.append(lines)
      done += waiting.count
      waiting = []
    }
    for change in plan.changes {
      guard change.kind == .providerKeys else {
        waiting.append((change.call!, change.name))
        if waiting.count == DeclarationPlan.chunk { try flush() }
        continue
      }
      try flush()
      try carryOut(change, link)
      done += 1
    }
    try flush()
  }

  private static func secret(of entry: Declaration.Entry) throws(Fault) -> SecretBytes {
    let declared: DeclaredProviderKey = try DeclarationPlan.decode(entry)
    return try SecretSource(declared.secret, entry.place).read()
  }

  /// A provider key: its secret goes alone and as bytes.
  private static func carryOut(_ change: DeclarationPlan.Change, _ link: AdminLink) throws(Fault) {
    if change.action == .remove {
      _ = try link.call(.delete, change.call!.path)
      return
    }
    guard let (known, entry) = change.providerKey, let after = change.after else { return }
    var id = known
    if id == nil {
      guard let slash = entry.name.firstIndex(of: "/") else { return }
      let secret = try secret(of: entry)
      let (provider, name) = (String(entry.name[..<slash]), String(entry.name[entry.name.index(after: slash)...]))
      let made: ProviderKeyDocument = try decode(
        try link.call(
          .post, "/v1/provider-keys?provider=\(percentEncoded(provider))&name=\(percentEncoded(name))", body: secret))
      id = made.id
    }
    _ = try link.call(.put, "/v1/provider-keys/\(id ?? "")", json: after)
  }
}

/// Where the texts of new keys go: a file of its owner's alone, on disk before more are made.
private struct NewKeyFile {
  private let fd: Int32
  private let path: String

  /// Throws `.conflict` where the file is there: it may hold texts that are nowhere else.
  init(_ path: String) throws(Fault) {
    self.path = path
    guard path != "-" else {
      fd = 1
      return
    }
    fd = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else {
      throw Fault(
        .conflict, unsafe "\(path) cannot be made: \(String(cString: strerror(errno)))",
        hint: "name a new file; nothing was changed")
    }
  }

  func append(_ lines: [String]) throws(Fault) {
    guard !lines.isEmpty else { return }
    var bytes = Array((lines.joined(separator: "\n") + "\n").utf8)
    defer { wipe(&bytes) }
    var at = 0
    while at < bytes.count {
      let n = unsafe bytes.withUnsafeBytes { unsafe write(fd, $0.baseAddress! + at, bytes.count - at) }
      guard n > 0 || errno == EINTR else {
        throw Fault(
          .system, unsafe "\(path) cannot be written: \(String(cString: strerror(errno)))",
          hint: "the keys are made: give those that are not in it a new secret with 'maskllm key rotate'")
      }
      at += Swift.max(n, 0)
    }
    if fd != 1 { fsync(fd) }
  }
}
