import CCatalogue
import Configuration
public import Domain
public import Primitives
public import Wire

/// What is known of a kind of provider: one file of the catalogue.
public final class CatalogueEntry: Sendable {
  public let name: String
  public let title: String
  /// nil where it is the user's own: a resource, a region, a server of theirs.
  public let baseURL: BaseURL?
  public let credential: CredentialStyle
  public let errors: ErrorShape
  public let priceList: String?
  /// What its real keys look like, as a regular expression; for finding leaked ones.
  public let keyPattern: String?
  /// The same for keys that anything could look like: they count where one of `keyWords` (lower case) is on the line.
  public let keyPatternNear: String?
  public let keyWords: [[UInt8]]
  /// What its chat endpoint calls the limit of an answer.
  public let outputLimit: RequestReader.StaticName
  /// Whether a chat stream tells its usage only when asked to.
  public let asksForUsage: Bool
  /// What may stand before the paths of its endpoints, or not: it is part of some base URLs and of other clients' paths.
  private let prefixes: [[UInt8]]
  private let endpoints: [Endpoint]
  /// Where those without a placeholder stand, by fingerprint; and the rest, in order.
  private let literals: [UInt64: Int]
  private let patterns: [Endpoint]
  /// What IDs of objects that the provider keeps look like.
  public let objects: ObjectIDs
  /// Where its requests name models beside `model`.
  let modelPlaces: ModelPlaces
  public let refusals: RefusalFacts
  /// The header field, in small letters, in which an answer says where an upload goes on.
  public let uploadField: [UInt8]?
  public let client: ClientLines

  /// An endpoint that a request names, and where in its path the model and an object's ID stand (empty: not there).
  public struct Found: Sendable {
    public let endpoint: Endpoint
    public let model: Range<Int>
    public let object: Range<Int>
  }

  /// What the key is tried on when the provider has blamed it: a path that is answered for nothing, and only with a good key; nil: there
  /// is none, and the provider's own words have to do.
  public let probePath: String?

  /// Where models are listed, with the prefix that SDKs use: mostly the cheapest call that needs a key; nil when there is none.
  private static func listPath(_ endpoints: [Endpoint], _ prefixes: [[UInt8]]) -> String? {
    guard let endpoint = endpoints.first(where: { $0.kind == .models && $0.method == .get && $0.fingerprint != nil }) else {
      return nil
    }
    return String(decoding: prefixes.first ?? [], as: UTF8.self) + endpoint.path
  }

  /// The endpoint that `method` and `path` (without query) name, byte for byte; nil when none does. A WebSocket is another one than what
  /// GET finds there.
  public func endpoint(_ method: Wire.Method, _ path: Span<UInt8>, isSocket: Bool = false) -> Found? {
    // Most paths are on the list word by word, behind the prefix that SDKs use.
    for prefix in prefixes where starts(path, with: prefix) {
      if let found = literal(method, path, prefix.count, isSocket) { return found }
    }
    if let found = literal(method, path, 0, isSocket) { return found }
    if let found = pattern(method, path, 0, isSocket) { return found }
    for prefix in prefixes where starts(path, with: prefix) {
      if let found = pattern(method, path, prefix.count, isSocket) { return found }
    }
    return nil
  }

  private func starts(_ path: Span<UInt8>, with prefix: [UInt8]) -> Bool {
    path.count > prefix.count && path[prefix.count] == UInt8(ascii: "/") && path.extracting(0..<prefix.count).equals(prefix.span)
  }

  private func literal(_ method: Wire.Method, _ path: Span<UInt8>, _ start: Int, _ isSocket: Bool) -> Found? {
    let rest = path.extracting(start..<path.count)
    guard let i = literals[Endpoint.fingerprint(method, rest)], endpoints[i].isSocket == isSocket, endpoints[i].method == method,
      endpoints[i].match(rest) != nil
    else { return nil }
    return Found(endpoint: endpoints[i], model: 0..<0, object: 0..<0)
  }

  private func pattern(_ method: Wire.Method, _ path: Span<UInt8>, _ start: Int, _ isSocket: Bool) -> Found? {
    let rest = path.extracting(start..<path.count)
    // By index: to copy them all would count references.
    for i in patterns.indices where patterns[i].method == method && patterns[i].isSocket == isSocket {
      guard let match = patterns[i].match(rest) else { continue }
      func below(_ range: Range<Int>) -> Range<Int> { (start + range.lowerBound)..<(start + range.upperBound) }
      return Found(endpoint: patterns[i], model: below(match.model), object: below(match.object))
    }
    return nil
  }

  /// Reads a file; throws `.invalidInput` with its line.
  public init(_ bytes: [UInt8], name: String, file: String) throws(Fault) {
    func fault(_ line: Int, _ what: String) -> Fault { Fault(.invalidInput, "\(file), line \(line): \(what)") }
    let root = try YAMLNode.parse(bytes, name: file)
    guard case .mapping(let members) = root.value else { throw fault(root.line, "a mapping is wanted") }
    var texts: [String: (text: String, line: Int)] = [:]
    var endpoints: [Endpoint] = []
    for (member, line, node) in members {
      switch node.value {
      case .scalar(let text): texts[member] = (text, line)
      case .sequence(let items) where member == "endpoints":
        for item in items {
          guard case .scalar(let text) = item.value, let endpoint = Endpoint(text) else {
            throw fault(
              item.line,
              "an endpoint is wanted, as 'POST /chat/completions chat openai-chat' or 'POST /files files opaque makes=id links'")
          }
          endpoints.append(endpoint)
        }
      default: throw fault(line, "'\(member)' is one value")
      }
    }
    func take(_ member: String) -> (text: String, line: Int)? { texts.removeValue(forKey: member) }
    func required(_ member: String) throws(Fault) -> (text: String, line: Int) {
      guard let value = take(member) else { throw fault(root.line, "'\(member)' is missing") }
      return value
    }
    try ProviderName.validate(name)
    self.name = name
    title = try required("title").text
    if let (text, line) = take("base_url") {
      do { baseURL = try BaseURL(text) } catch { throw fault(line, error.description) }
    } else {
      baseURL = nil
    }
    let (key, keyLine) = try required("key")
    guard let credential = CredentialStyle(key) else { throw fault(keyLine, "'key' is one of: \(CredentialStyle.forms)") }
    self.credential = credential
    let (shape, shapeLine) = try required("errors")
    guard let errors = ErrorShape(rawValue: shape) else {
      throw fault(shapeLine, "'errors' is one of: \(ErrorShape.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    self.errors = errors
    priceList = take("prices")?.text
    keyPattern = take("key_pattern")?.text
    keyPatternNear = take("key_pattern_near")?.text
    let words = take("key_words")
    keyWords = (words?.text ?? "").split(separator: " ").map { Array($0.utf8) }
    guard (keyPatternNear == nil) == keyWords.isEmpty,
      keyWords.allSatisfy({ $0 == Array(String(decoding: $0, as: UTF8.self).lowercased().utf8) })
    else {
      throw fault(words?.line ?? root.line, "'key_pattern_near' goes with 'key_words', in lower case and parted by spaces")
    }
    switch take("output_limit") {
    case nil, ("max_tokens", _)?: outputLimit = .maxTokens
    case ("max_completion_tokens", _)?: outputLimit = .maxCompletionTokens
    case (_, let line)?: throw fault(line, "'output_limit' is max_tokens or max_completion_tokens")
    }
    switch take("usage_option") {
    case nil: asksForUsage = true
    case ("never", _)?: asksForUsage = false
    case (_, let line)?: throw fault(line, "'usage_option' can only be never")
    }
    let objects = take("objects")
    guard let ids = ObjectIDs(objects?.text ?? "") else {
      throw fault(objects?.line ?? root.line, "'objects' are what IDs begin with, as 'file- resp_:30d'")
    }
    self.objects = ids
    let models = take("models")
    guard let places = ModelPlaces(models?.text ?? "") else {
      throw fault(
        models?.line ?? root.line, "'models' are members that name models, as 'fallbacks metadata.fallbacks -route !preset'")
    }
    modelPlaces = places
    let facts = ["rate_limits", "bad_key", "retry_in"].map { (take($0)) }
    guard let refusals = RefusalFacts(fields: facts[0]?.text ?? "", badKey: facts[1]?.text ?? "", wait: facts[2]?.text ?? "")
    else {
      throw fault(
        facts.compactMap { $0?.line }.min() ?? root.line,
        "'rate_limits' are header fields, 'bad_key' is a status, a place and what stands there, as '401 error.code bad_key', 'retry_in' is a place"
      )
    }
    self.refusals = refusals
    uploadField = take("upload_field").map { Array($0.text.lowercased().utf8) }
    var lines: [ClientLines.Language: String] = [:]
    for language in ClientLines.Language.allCases {
      guard let (text, line) = take(language.rawValue) else { continue }
      guard text.contains(ClientLines.url) || text.contains(ClientLines.key) else {
        throw fault(
          line, "'\(language.rawValue)' names neither \(ClientLines.url), where the provider is, nor \(ClientLines.key)")
      }
      lines[language] = text
    }
    client = ClientLines(lines)
    let prefixes = take("prefixes")
    self.prefixes = (prefixes?.text ?? "").split(separator: " ").map { Array($0.utf8) }
    if let prefixes, !self.prefixes.allSatisfy({ $0.first == 47 && $0.last != 47 }) {
      throw fault(prefixes.line, "'prefixes' are paths that start with '/' and do not end with it")
    }
    guard !endpoints.isEmpty else { throw fault(root.line, "'endpoints' is missing: nothing would pass") }
    self.endpoints = endpoints
    var literals: [UInt64: Int] = [:]
    for (i, endpoint) in endpoints.enumerated() {
      if let fingerprint = endpoint.fingerprint, literals[fingerprint] == nil { literals[fingerprint] = i }
    }
    self.literals = literals
    switch take("probe") {
    case nil: probePath = Self.listPath(endpoints, self.prefixes)
    case ("none", _)?: probePath = nil
    case (let path, let line)?:
      guard path.hasPrefix("/"), path.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
        throw fault(line, "'probe' is a path that only a good key is answered on, or none")
      }
      probePath = path
    }
    patterns = endpoints.enumerated().filter { i, endpoint in endpoint.fingerprint.map { literals[$0] != i } ?? true }.map(
      \.element)
    if let (member, value) = texts.min(by: { $0.value.line < $1.value.line }) {
      throw fault(value.line, "there is no '\(member)' in a catalogue entry")
    }
  }
}

/// The kinds of providers that are known: those that are shipped, and what a user's own files put in their place or add.
public struct Catalogue: Sendable {
  private let entries: [String: CatalogueEntry]
  /// How keys are made and ended at providers, by name.
  public let connectors: [String: RotationConnector]

  /// What any server that speaks like OpenAI has.
  public static let compatible = "openai-compatible"

  public static let builtIn: Catalogue = {
    var entries: [String: CatalogueEntry] = [:]
    for i in 0..<maskllm_catalogue_count() {
      // SAFETY: constant files of the program, with their sizes and names.
      let file = unsafe maskllm_catalogue_at(i)!.pointee
      let name = unsafe String(cString: file.name)
      let bytes = unsafe Array(UnsafeRawBufferPointer(start: file.bytes, count: file.size))
      guard let entry = try? CatalogueEntry(bytes, name: name, file: "\(name).yaml") else {
        preconditionFailure("the shipped catalogue is broken: \(name)")
      }
      entries[name] = entry
    }
    return Catalogue(entries: entries)
  }()

  private init(entries: [String: CatalogueEntry], connectors: [String: RotationConnector] = RotationConnector.shipped) {
    self.entries = entries
    self.connectors = connectors
  }

  /// The same with `more` in place of connectors of their names.
  public func with(connectors more: [String: RotationConnector]) -> Catalogue {
    Catalogue(entries: entries, connectors: connectors.merging(more) { $1 })
  }

  /// The same with `more` in place of entries of their names.
  public func with(_ more: [CatalogueEntry]) -> Catalogue {
    Catalogue(entries: entries.merging(more.map { ($0.name, $0) }, uniquingKeysWith: { $1 }), connectors: connectors)
  }

  public var all: [CatalogueEntry] { entries.values.sorted { $0.name < $1.name } }

  public subscript(_ kind: String) -> CatalogueEntry? { entries[kind] }

  /// The providers that need no configuration: those whose address everybody shares.
  public var providers: [Provider] {
    all.compactMap { entry in
      guard let url = entry.baseURL, url.secure else { return nil }
      return Provider(name: entry.name, baseURL: url, credential: entry.credential, kind: entry.name, priceList: entry.priceList)
    }
  }
}
