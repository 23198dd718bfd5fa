import CCatalogue
import Configuration
public import Domain
public import Primitives

/// How keys are made and ended at a provider, as data: the calls of its management API.
public struct RotationConnector: Sendable {
  public enum Action: String, Sendable, CaseIterable { case create, find, used, disable, enable, delete }

  /// One call. Texts may have words in braces, which are filled in.
  public struct Call: Sendable {
    public let method: String
    public let path: String
    public let body: String
    public let contentType: String?
    /// What is taken from the answer, in order; `isText`: the place is a text to be filled in.
    public let takes: [(name: String, place: String, isText: Bool)]
    /// Asked again until this place is true.
    public let until: String?
    /// The list that is looked through.
    public let list: String?
    /// The field that has to be the new key's name.
    public let named: String?
    /// The field that says when an item was made: it counts when that was after the rotation began.
    public let since: String?
    /// The value that the old key has, which is not meant.
    public let not: String?
    /// The field and the text that it has to be.
    public let equals: (field: String, text: String)?
    /// Where the moment of the last use is.
    public let at: String?
  }

  public let name: String
  public let title: String
  public let baseURL: BaseURL
  /// How its administrator's credential is presented; may have parameters in it.
  public let credential: String
  public let headers: [(name: String, value: String)]
  public let needs: [String]
  /// Of keys that a person makes and pastes: what has to be told with one.
  public let pasted: [String]
  /// Of providers that have two keys at any time: the slots' names, and where each is in an answer.
  public let slots: [(name: String, place: String)]
  public let calls: [Action: [Call]]

  public func has(_ action: Action) -> Bool { calls[action] != nil }

  /// The shipped ones by name.
  public static let shipped: [String: RotationConnector] = {
    // SAFETY: a constant file of the program, with its size.
    let file = unsafe maskllm_connectors()!.pointee
    let bytes = unsafe Array(UnsafeRawBufferPointer(start: file.bytes, count: file.size))
    guard let all = try? read(bytes, file: "connectors.yaml") else { preconditionFailure("the shipped connectors are broken") }
    return all
  }()

  /// Reads a file; throws `.invalidInput` with its line.
  public static func read(_ bytes: [UInt8], file: String) throws(Fault) -> [String: RotationConnector] {
    let root = try YAMLNode.parse(bytes, name: file)
    guard case .mapping(let members) = root.value else { throw Fault(.invalidInput, "\(file): a mapping is wanted") }
    var all: [String: RotationConnector] = [:]
    for (name, line, node) in members {
      do { try DocumentName.validate(name, of: "connector") } catch {
        throw Fault(.invalidInput, "\(file), line \(line): \(error.message)")
      }
      all[name] = try RotationConnector(name, node, file: file)
    }
    return all
  }

  private init(_ name: String, _ node: YAMLNode, file: String) throws(Fault) {
    func fault(_ line: Int, _ what: String) -> Fault { Fault(.invalidInput, "\(file), line \(line): \(what)") }
    guard case .mapping(let members) = node.value else { throw fault(node.line, "a mapping is wanted") }
    var texts: [String: String] = [:]
    var calls: [Action: [Call]] = [:]
    for (member, line, value) in members {
      switch value.value {
      case .scalar(let text): texts[member] = text
      case .sequence(let items):
        guard let action = Action(rawValue: member) else { throw fault(line, "there is no '\(member)' in a connector") }
        for item in items { calls[action, default: []].append(try Self.call(item, file: file)) }
      case .mapping:
        guard let action = Action(rawValue: member) else { throw fault(line, "there is no '\(member)' in a connector") }
        calls[action] = [try Self.call(value, file: file)]
      }
    }
    func take(_ member: String) -> String? { texts.removeValue(forKey: member) }
    func words(_ member: String) -> [String] { (take(member) ?? "").split(separator: " ").map(String.init) }
    func pairs(_ member: String) throws(Fault) -> [(name: String, value: String)] {
      var pairs: [(name: String, value: String)] = []
      for word in words(member) {
        guard let equals = word.firstIndex(of: "=") else { throw fault(node.line, "'\(member)' is NAME=VALUE") }
        pairs.append((String(word[..<equals]), String(word[word.index(after: equals)...])))
      }
      return pairs
    }
    self.name = name
    guard let at = take("at"), let url = try? BaseURL(at), let key = take("key") else {
      throw fault(node.line, "'at' (an https URL) and 'key' are needed")
    }
    (baseURL, credential) = (url, key)
    title = take("title") ?? name
    (needs, pasted) = (words("needs"), words("pasted"))
    headers = try pairs("headers")
    slots = try pairs("slots").map { ($0.name, $0.value) }
    self.calls = calls
    if let unknown = texts.keys.min() { throw fault(node.line, "there is no '\(unknown)' in a connector") }
    guard calls[.create] != nil || !pasted.isEmpty else { throw fault(node.line, "it can make no key, and none is pasted") }
    guard slots.isEmpty || slots.count == 2 else { throw fault(node.line, "there are two slots or none") }
    guard calls[.create]?.contains(where: { $0.takes.contains { $0.name == "secret" } }) ?? true else {
      throw fault(node.line, "'create' takes no 'secret'")
    }
  }

  private static func call(_ node: YAMLNode, file: String) throws(Fault) -> Call {
    func fault(_ what: String) -> Fault { Fault(.invalidInput, "\(file), line \(node.line): \(what)") }
    guard case .mapping(let members) = node.value else { throw fault("a call is a mapping") }
    var texts: [String: String] = [:]
    for (member, _, value) in members {
      guard case .scalar(let text) = value.value else { throw fault("'\(member)' is one value") }
      texts[member] = text
    }
    func take(_ member: String) -> String? { texts.removeValue(forKey: member) }
    let words = (take("call") ?? "").split(separator: " ").map(String.init)
    guard words.count == 2, ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(words[0]), words[1].hasPrefix("/") else {
      throw fault("'call' is a method and a path")
    }
    let (json, form) = (take("json"), take("form"))
    guard json == nil || form == nil else { throw fault("a body is 'json' or 'form'") }
    var takes: [(name: String, place: String, isText: Bool)] = []
    for word in (take("take") ?? "").split(separator: " ") {
      guard let equals = word.firstIndex(of: "="), equals > word.startIndex else {
        throw fault("'take' is NAME=PLACE or NAME:=TEXT")
      }
      let isText = word[word.index(before: equals)] == ":"
      let name = word[..<(isText ? word.index(before: equals) : equals)]
      takes.append((String(name), String(word[word.index(after: equals)...]), isText))
    }
    var equals: (field: String, text: String)?
    if let text = take("is") {
      guard let sign = text.firstIndex(of: "=") else { throw fault("'is' is FIELD=TEXT") }
      equals = (String(text[..<sign]), String(text[text.index(after: sign)...]))
    }
    let call = Call(
      method: words[0], path: words[1], body: json ?? form ?? "",
      contentType: json != nil ? "application/json" : form != nil ? "application/x-www-form-urlencoded" : nil, takes: takes,
      until: take("until"), list: take("in"), named: take("where"), since: take("since"), not: take("not"), equals: equals,
      at: take("at"))
    if let unknown = texts.keys.min() { throw fault("there is no '\(unknown)' in a call") }
    return call
  }
}
