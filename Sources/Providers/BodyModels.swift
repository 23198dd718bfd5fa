import Primitives
import Wire

/// Reads the models that a JSON body names beside its own: fall-backs, models of tools, of the requests of a batch. Each has to be in the
/// scope of the key, and the dearest counts.
///
/// It goes through every member but those whose content is the user's own (messages, schemas, arguments). A member `model` names one,
/// wherever it stands, and so do those that the catalogue lists. Another whose name looks as if it did (`ModelMember`) is refused, unless
/// it is null or false.
struct BodyModels {
  static let modelsMax = 16

  private let places: ModelPlaces
  /// What the request's own model is called.
  private let own: StaticString
  /// Google's names begin with `models/` or do not.
  private let isGoogle: Bool
  private var i = 0
  /// Which of the places at the top were met.
  private var seen: UInt64 = 0
  private(set) var models: [JSONText] = []
  /// Whether the body names a file with requests of its own.
  private(set) var hasInputFile = false

  /// `body` is a whole JSON text (`JSONProbe`).
  static func read(_ body: Span<UInt8>, places: ModelPlaces, own: StaticString, isGoogle: Bool) throws(Unclear) -> BodyModels {
    var reader = BodyModels(places: places, own: own, isGoogle: isGoogle)
    reader.skipSpace(body)
    if reader.peek(body) == UInt8(ascii: "{") { try reader.object(body, node: ModelPlaces.root, isTool: false, isFree: false) }
    return reader
  }

  private init(places: ModelPlaces, own: StaticString, isGoogle: Bool) {
    (self.places, self.own, self.isGoogle) = (places, own, isGoogle)
  }

  // MARK: members

  private mutating func object(_ body: Span<UInt8>, node: Int, isTool: Bool, isFree: Bool) throws(Unclear) {
    i += 1
    while let name = try nextName(body) {
      let text = name.text(body)
      try member(body, named: text.span, node: node, isTool: isTool, isFree: isFree)
    }
  }

  /// `isFree`: in what is the user's own only the places that the catalogue lists count.
  private mutating func member(_ body: Span<UInt8>, named name: Span<UInt8>, node: Int, isTool: Bool, isFree: Bool)
    throws(Unclear)
  {
    let (place, first) = (places.child(of: node, name), peek(body))
    let isNothing = first == UInt8(ascii: "n") || first == UInt8(ascii: "f")
    if node == ModelPlaces.root {
      if name.equals(own) {
        guard first == UInt8(ascii: "\"") else { throw Unclear(.notText, name) }
        return skip(body)
      }
      if name.starts(with: "input_file") { hasInputFile = true }
    }
    if place != ModelPlaces.none {
      switch places.action(place) {
      case .walk: return try value(body, node: place, areTools: false, isFree: isFree || Self.isFree(name))
      case .harmless: return skip(body)
      case .refused:
        guard isNothing else { throw Unclear(.member, name) }
        return skip(body)
      case .models:
        guard place < 64, seen >> UInt64(place) & 1 == 0 || node != ModelPlaces.root else { throw Unclear(.twice, name) }
        seen |= 1 << UInt64(place)
        return try names(body, of: name)
      }
    }
    if isFree { return skip(body) }
    if name.equals("model") { return try names(body, of: name) }
    if ModelMember.isOne(name), !Self.isHarmless(name) {
      guard isNothing else { throw Unclear(.member, name) }
      return skip(body)
    }
    if Self.isFree(name) || (isTool && name.equals("parameters")) { return skip(body) }
    try value(body, node: ModelPlaces.none, areTools: name.equals("tools"), isFree: false)
  }

  private mutating func value(_ body: Span<UInt8>, node: Int, areTools: Bool, isFree: Bool) throws(Unclear) {
    switch peek(body) {
    case UInt8(ascii: "{"): try object(body, node: node, isTool: areTools, isFree: isFree)
    case UInt8(ascii: "["):
      i += 1
      while try nextElement(body) { try value(body, node: node, areTools: areTools, isFree: isFree) }
    default: skip(body)
    }
  }

  /// A value that names models: a string, a list, an object with a model in it, or one that maps names to lists.
  private mutating func names(_ body: Span<UInt8>, of member: Span<UInt8>) throws(Unclear) {
    switch peek(body) {
    case UInt8(ascii: "\""): try add(string(body), body)
    case UInt8(ascii: "["):
      i += 1
      while try nextElement(body) { try names(body, of: member) }
    case UInt8(ascii: "{"):
      let start = i
      let hasModel = try self.hasModel(body)
      i = start + 1
      var isNamed = false
      while let name = try nextName(body) {
        let text = name.text(body)
        if text.span.equals("model") || ModelMember.isOne(text.span) || (!hasModel && peek(body) == UInt8(ascii: "[")) {
          isNamed = true
          try names(body, of: text.span)
        } else {
          skip(body)
        }
      }
      guard isNamed else { throw Unclear(.member, member) }
    case UInt8(ascii: "n"), UInt8(ascii: "f"): skip(body)
    default: throw Unclear(.notText, member)
    }
  }

  private mutating func hasModel(_ body: Span<UInt8>) throws(Unclear) -> Bool {
    i += 1
    while let name = try nextName(body) {
      if name.text(body).span.equals("model") { return true }
      skip(body)
    }
    return false
  }

  private mutating func add(_ string: Quoted, _ body: Span<UInt8>) throws(Unclear) {
    guard var text = string.short(body) else { throw Unclear(.tooLong) }
    if isGoogle { text = Self.withoutCollection(text) }
    guard !text.isEmpty else { throw Unclear(.absent) }
    for known in models where known.span.equals(text.span) { return }
    guard models.count < Self.modelsMax else { throw Unclear(.tooMany) }
    models.append(text)
  }

  /// `gemini-x` of `models/gemini-x` and of `publishers/google/models/gemini-x`.
  static func withoutCollection(_ text: JSONText) -> JSONText {
    var start = 0
    for prefix: StaticString in ["models/", "publishers/google/models/"] where text.span.starts(with: prefix) {
      start = prefix.utf8CodeUnitCount
    }
    var name = JSONText()
    for j in start..<text.span.count { name.append(text.span[j]) }
    return name
  }

  // MARK: names that are known

  /// Members whose content is the user's own, at whatever depth.
  private static let free: [StaticString] = [
    "messages", "message", "content", "contents", "input", "inputs", "instances", "prompt", "prompts", "suffix", "system",
    "systemInstruction", "system_instruction", "instructions", "text", "texts", "query", "documents", "examples", "metadata",
    "labels", "variables", "prediction", "arguments", "functions", "function", "functionDeclarations", "function_declarations",
    "input_schema", "inputSchema", "schema", "json_schema", "responseSchema", "response_schema", "responseJsonSchema",
    "response_json_schema", "toolSpec", "properties", "response_format", "format", "output_format", "logit_bias", "guided_json",
    "structured_outputs", "chat_template_kwargs", "user", "promptVariables", "grammar",
  ]

  private static func isFree(_ name: Span<UInt8>) -> Bool {
    for known in free where name.equals(known) { return true }
    return false
  }

  /// Names that look as if they named a model and do not: what is in them is gone through.
  private static func isHarmless(_ name: Span<UInt8>) -> Bool {
    name.equals("additionalModelRequestFields") || name.equals("additionalModelResponseFieldPaths")
      || name.equals("modelArmorConfig") || name.equals("model_armor_config")
  }

  // MARK: the text

  /// A string of the body, without its quotes.
  private struct Quoted {
    let range: Range<Int>
    private static let whole = JSONPaths([("", .text(0))])

    /// Without its escapes; nil when it is longer than a model's name.
    func short(_ body: Span<UInt8>) -> JSONText? {
      var probe = JSONProbe()
      probe.feed(body.extracting((range.lowerBound - 1)..<(range.upperBound + 1)), Self.whole)
      return probe.isTruncated ? nil : JSONText(probe.text(0))
    }

    /// The same of a name; empty where it is too long to be one that is known.
    func text(_ body: Span<UInt8>) -> JSONText {
      var text = JSONText()
      guard range.count <= JSONProbe.textMax * 6 else { return text }
      for j in range {
        if body[j] == UInt8(ascii: "\\") { return short(body) ?? JSONText() }
        text.append(body[j])
      }
      return text
    }
  }

  private func peek(_ body: Span<UInt8>) -> UInt8 { i < body.count ? body[i] : 0 }

  private mutating func skipSpace(_ body: Span<UInt8>) {
    while i < body.count, body[i] == 32 || body[i] == 9 || body[i] == 10 || body[i] == 13 { i += 1 }
  }

  /// The name of the next member, with its value next; nil at the end of the object, which is passed.
  private mutating func nextName(_ body: Span<UInt8>) throws(Unclear) -> Quoted? {
    skipSpace(body)
    if peek(body) == UInt8(ascii: ",") {
      i += 1
      skipSpace(body)
    }
    if peek(body) == UInt8(ascii: "}") {
      i += 1
      return nil
    }
    guard peek(body) == UInt8(ascii: "\"") else { throw Unclear(.notJSON) }
    let name = string(body)
    skipSpace(body)
    guard peek(body) == UInt8(ascii: ":") else { throw Unclear(.notJSON) }
    i += 1
    skipSpace(body)
    return name
  }

  /// Whether another element comes, which is next; else the end of the list is passed.
  private mutating func nextElement(_ body: Span<UInt8>) throws(Unclear) -> Bool {
    skipSpace(body)
    if peek(body) == UInt8(ascii: ",") {
      i += 1
      skipSpace(body)
    }
    guard i < body.count else { throw Unclear(.notJSON) }
    guard body[i] == UInt8(ascii: "]") else { return true }
    i += 1
    return false
  }

  /// The string that begins at the quote at hand, which is passed.
  private mutating func string(_ body: Span<UInt8>) -> Quoted {
    let start = min(i + 1, body.count)
    let end = JSONProbe.endOfString(in: body, from: start)
    i = min(end + 1, body.count)
    return Quoted(range: start..<min(end, body.count))
  }

  /// Past the value at hand.
  private mutating func skip(_ body: Span<UInt8>) {
    var depth = 0
    while i < body.count {
      switch body[i] {
      case UInt8(ascii: "\""):
        _ = string(body)
        if depth == 0 { return }
        continue
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        // The end of what a number or a literal stands in is not its own.
        if depth == 0 { return }
        depth -= 1
        if depth == 0 {
          i += 1
          return
        }
      case UInt8(ascii: ","): if depth == 0 { return }
      default: break
      }
      i += 1
    }
  }
}
