import AdminAPI
import Cryptography
import Domain
import Leaks
import Primitives
import Providers
import Wire

/// `maskllm import`: takes over what other places know of providers, keys and limits, and says what it could not.
enum ImportCommand {
  static let command = Command(
    path: ["import"], operand: "[FILE...]",
    summary: "seal the providers' keys of .env files, the environment or a LiteLLM configuration",
    options: Unsealing.options + [
      Option(name: "environment", value: nil, help: "the keys in this command's own environment"),
      Option(name: "litellm", value: "PATH", help: "a config.yaml of LiteLLM: its models, keys, limits"),
      Option(name: "litellm-keys", value: "PATH", help: "its virtual keys, as /key/list?return_full_object=true gives them"),
      Option(name: "rehearse", value: nil, help: "only say what would be done"),
    ]
  ) { arguments throws(Fault) in
    let sources = [
      arguments.has("environment"), arguments.has("litellm"), arguments.has("litellm-keys"), !arguments.operands.isEmpty,
    ]
    guard sources.contains(true) else {
      throw Fault(.invalidInput, "what to import is missing", hint: "name a .env file, or give --environment or --litellm")
    }
    let link = try AdminLink.open(arguments)
    var work = ImportWork(link, rehearses: arguments.has("rehearse"))
    try work.load()
    for path in arguments.operands {
      guard let content = try Files.read(path) else { throw Fault(.notFound, "there is no file \(path)") }
      try work.take(EnvironmentFile.read(content), from: path)
    }
    let own = EnvironmentFile.own()
    if arguments.has("environment") { try work.take(own, from: "the environment") }
    if let path = arguments.value("litellm") {
      guard let content = try Files.read(path) else { throw Fault(.notFound, "there is no file \(path)") }
      try LiteLLMImport.take(content, path, environment: own, &work)
    }
    if let path = arguments.value("litellm-keys") {
      guard let content = try Files.read(path) else { throw Fault(.notFound, "there is no file \(path)") }
      try LiteLLMImport.takeKeys(content, path, &work)
    }
    for line in work.done { Terminal.note(Terminal.plain(line)) }
    for line in work.left { Terminal.note("not carried over: \(Terminal.plain(line))") }
    if work.sealed > 0, !work.rehearses {
      Terminal.note(
        "now take the keys out of where they were, and give programs masked keys: maskllm run -- COMMAND, or maskllm key create")
    }
  }
}

/// What is taken over, and what is said about it.
struct ImportWork {
  let link: AdminLink
  let rehearses: Bool
  private(set) var done: [String] = []
  private(set) var left: [String] = []
  private(set) var sealed = 0
  /// The providers' names of models, by the names that callers of a former gateway used.
  var natives: [String: [String]] = [:]
  private var kinds: [KindDocument] = []
  private var providers: [ProviderDocument] = []
  private var keys: Set<String> = []
  private let finder = try? SecretFinder(.builtIn)

  init(_ link: AdminLink, rehearses: Bool) { (self.link, self.rehearses) = (link, rehearses) }

  mutating func load() throws(Fault) {
    kinds = try decode(try link.call(.get, "/v1/provider-kinds"))
    providers = try decode(try link.call(.get, "/v1/providers"))
    let known: [ProviderKeyDocument] = try decode(try link.call(.get, "/v1/provider-keys"))
    keys = Set(known.map { "\($0.provider)/\($0.name)" })
  }

  mutating func note(_ text: String) { done.append(text) }
  mutating func leave(_ text: String) { left.append(text) }

  /// Takes what variables hold that name a provider, or whose values look like a provider's key.
  mutating func take(_ variables: [EnvironmentFile.Variable], from place: String) throws(Fault) {
    func value(_ name: String) -> [UInt8]? { variables.last { $0.name == name }?.value }
    if let access = value("AWS_ACCESS_KEY_ID"), let secret = value("AWS_SECRET_ACCESS_KEY") {
      let region = (value("AWS_REGION") ?? value("AWS_DEFAULT_REGION")).map { String(decoding: $0, as: UTF8.self) }
      if let region {
        try provider("bedrock", kind: "bedrock", at: "https://bedrock-runtime.\(region).amazonaws.com")
        try seal(access + [58] + secret, as: "AWS_ACCESS_KEY_ID", of: "bedrock", from: place)
      } else {
        leave("AWS_ACCESS_KEY_ID of \(place): the region is not said (AWS_REGION)")
      }
    }
    for variable in variables where !variable.name.hasPrefix("AWS_") {
      guard let kind = kind(of: variable) else { continue }
      if isMasked(variable.value) {
        leave("\(variable.name) of \(place): it is a masked key already")
        continue
      }
      if variable.isUnclear {
        leave("\(variable.name) of \(place): its value refers to another variable")
        continue
      }
      let name = kind.name
      if kind.base_url == nil, !providers.contains(where: { $0.name == name }) {
        guard let at = address(of: kind, variables) else {
          leave(
            "\(variable.name) of \(place): where '\(name)' is reached is yours to say: maskllm provider add \(name) --base-url URL"
          )
          continue
        }
        try provider(name, kind: name, at: at)
      }
      try seal(variable.value, as: variable.name, of: name, from: place)
    }
  }

  private func isMasked(_ value: [UInt8]) -> Bool {
    (finder?.find(in: value.span) ?? []).contains { if case .maskedKey = $0.kind { true } else { false } }
  }

  /// The kind that a variable holds a key of: by its name where SDKs have one, else by what its value looks like.
  private func kind(of variable: EnvironmentFile.Variable) -> KindDocument? {
    guard variable.value.count >= 8 else { return nil }
    let lower = variable.name.lowercased()
    let named = kinds.filter { kind in
      (kind.client[ClientLines.Language.environment.rawValue] ?? "").split(separator: " ").contains {
        $0.hasSuffix("=\(ClientLines.key)") && $0.hasPrefix("\(variable.name)=")
      }
    }
    if let best = named.first(where: { lower.contains($0.name) }) ?? (named.count == 1 ? named.first : nil) { return best }
    var looks: [String] = []
    for finding in finder?.find(in: variable.value.span) ?? [] where finding.length == variable.value.count {
      if case .providerKey(let found) = finding.kind { looks += found }
    }
    let fitting = kinds.filter { looks.contains($0.name) }
    return fitting.first { lower.contains($0.name) } ?? (fitting.count == 1 ? fitting.first : nil)
  }

  private func address(of kind: KindDocument, _ variables: [EnvironmentFile.Variable]) -> String? {
    for item in (kind.client[ClientLines.Language.environment.rawValue] ?? "").split(separator: " ") {
      let pair = item.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2, pair[1].contains(ClientLines.url), let found = variables.last(where: { $0.name == pair[0] }) else {
        continue
      }
      return String(decoding: found.value, as: UTF8.self)
    }
    return nil
  }

  /// Adds a provider unless it is there.
  mutating func provider(_ name: String, kind: String, at url: String?) throws(Fault) {
    guard !providers.contains(where: { $0.name == name }) else { return }
    var document = NewProviderDocument(name: name)
    (document.kind, document.base_url) = (kind, url)
    if !rehearses { providers.append(try decode(try link.call(.post, "/v1/providers", json: document))) }
    note("\(rehearses ? "would add" : "added") provider '\(name)'\(url.map { " at \($0)" } ?? "")")
  }

  func hasProvider(_ name: String) -> Bool { providers.contains { $0.name == name } }
  func hasKind(_ name: String) -> Bool { kinds.contains { $0.name == name } }

  mutating func seal(_ secret: [UInt8], as name: String, of provider: String, from place: String) throws(Fault) {
    guard keys.insert("\(provider)/\(name)").inserted else {
      note("provider '\(provider)' has a key named '\(name)' already: left as it is")
      return
    }
    guard !rehearses else { return note("would seal \(name) of \(place) as a key of '\(provider)'") }
    do throws(Fault) {
      let body = try link.call(
        .post, "/v1/provider-keys?provider=\(percentEncoded(provider))&name=\(percentEncoded(name))",
        body: SecretBytes(copying: secret.span))
      let key: ProviderKeyDocument = try decode(body)
      sealed += 1
      note("sealed \(name) of \(place) as provider key \(key.id) of '\(provider)'")
    } catch { leave("\(name) of \(place): \(error.message)") }
  }
}

/// Variables as `.env` files have them.
enum EnvironmentFile {
  struct Variable {
    let name: String
    let value: [UInt8]
    /// Whether the value has a part that only a shell could fill in.
    let isUnclear: Bool
  }

  static func own() -> [Variable] {
    Files.environment.compactMap { entry in
      guard let equals = entry.firstIndex(of: "=") else { return nil }
      return Variable(name: String(entry[..<equals]), value: Array(entry[entry.index(after: equals)...].utf8), isUnclear: false)
    }
  }

  /// `NAME=VALUE`, with `export` before it or not, in quotes or not; comments and everything else are passed over.
  static func read(_ content: [UInt8]) -> [Variable] {
    var variables: [Variable] = []
    for line in content.split(whereSeparator: { $0 == 10 || $0 == 13 }) {
      var rest = line.drop { $0 == 32 || $0 == 9 }
      let export = Array("export ".utf8)
      if rest.starts(with: export) { rest = rest.dropFirst(export.count).drop { $0 == 32 } }
      guard let equals = rest.firstIndex(of: 61) else { continue }
      let name = rest[..<equals].filter { $0 != 32 && $0 != 9 }
      guard let first = name.first, ASCII.isLetter(first) || first == 95,
        name.allSatisfy({ ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 95 })
      else { continue }
      var value = Array(rest[(equals + 1)...].drop { $0 == 32 || $0 == 9 })
      let quote = value.first
      var isUnclear = false
      if quote == 34 || quote == 39 {
        let end = value.dropFirst().firstIndex(of: quote!) ?? value.endIndex
        value = Array(value[1..<end])
      } else if let comment = value.indices.first(where: {
        value[$0] == 35 && $0 > 0 && (value[$0 - 1] == 32 || value[$0 - 1] == 9)
      }) {
        value = Array(value[..<comment])
      }
      while let last = value.last, last == 32 || last == 9 { value.removeLast() }
      if quote != 39 { isUnclear = value.contains(36) || value.contains(96) }
      variables.append(Variable(name: String(decoding: name, as: UTF8.self), value: value, isUnclear: isUnclear))
    }
    return variables
  }
}
