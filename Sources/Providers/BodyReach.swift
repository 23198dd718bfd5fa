import Primitives
import Wire

/// How far what a request body says leads: to what can come in from where the gateway does not see.
public enum BodyReach: Equatable, Sendable {
  /// All input is in the body, and a token is at least one byte of it.
  case itself
  /// Something is fetched or added by the provider: pictures, files, an earlier conversation. The model's window bounds it.
  case elsewhere
  /// Tools that the provider runs make calls of their own, as many as they like.
  case unbounded

  private struct Name: Sendable {
    let text: StaticString
    let reach: BodyReach
    /// Whether it counts only as the value of a member `type`, and with whatever follows.
    let isType: Bool
  }

  /// By their first letter; names with the quotes around them, types with the one before them.
  private static let names: [[Name]] = {
    var table = [[Name]](repeating: [], count: 128)
    func add(_ text: StaticString, _ reach: BodyReach, isType: Bool = false) {
      table[Int(text.span[1])].append(Name(text: text, reach: reach, isType: isType))
    }
    for type: StaticString in [
      "\"image", "\"input_image", "\"input_file", "\"input_audio", "\"file\"", "\"document\"", "\"container_upload\"", "\"url\"",
      "\"item_reference\"",
    ] { add(type, .elsewhere, isType: true) }
    for key: StaticString in [
      "\"file_id\"", "\"file_url\"", "\"previous_response_id\"", "\"conversation\"", "\"container\"", "\"fileData\"",
      "\"file_data\"",
      "\"inlineData\"", "\"inline_data\"", "\"cachedContent\"", "\"cached_content\"", "\"s3Location\"",
    ] { add(key, .elsewhere) }
    for type: StaticString in [
      "\"web_search", "\"web_fetch", "\"code_execution", "\"code_interpreter", "\"file_search", "\"mcp", "\"image_generation",
      "\"advisor", "\"computer_use_preview", "\"shell", "\"tool_search",
    ] { add(type, .unbounded, isType: true) }
    for key: StaticString in [
      "\"web_search_options\"", "\"search_parameters\"", "\"mcp_servers\"", "\"googleSearch\"", "\"google_search\"",
      "\"googleSearchRetrieval\"", "\"urlContext\"", "\"url_context\"", "\"codeExecution\"", "\"code_execution\"", "\"plugins\"",
    ] { add(key, .unbounded) }
    return table
  }()

  /// `body` is valid JSON. In a JSON string a quote is escaped, so a name with its quotes stands for itself.
  public static func of(_ body: Span<UInt8>, _ dialect: Dialect) -> BodyReach {
    var reach = BodyReach.itself
    var i = 0
    while true {
      i = JSONProbe.nextSpecial(in: body, from: i)
      guard i + 1 < body.count else { return reach }
      if body[i] == UInt8(ascii: "\\") {
        // No encoder escapes letters; whoever does hides a name.
        if hidesLetter(body, i) { return .unbounded }
        i += 2
        continue
      }
      if body[i] == UInt8(ascii: "\""), body[i + 1] < 128 {
        for name in names[Int(body[i + 1])] where body.extracting(i..<body.count).starts(with: name.text) {
          if name.isType, !isValueOfType(body, i) { continue }
          if name.reach == .unbounded { return .unbounded }
          reach = .elsewhere
        }
        if adds(dialect, body, i) { reach = .elsewhere }
      }
      i += 1
    }
  }

  /// `\u00XX` that stands for a letter, a digit or an underscore.
  private static func hidesLetter(_ body: Span<UInt8>, _ i: Int) -> Bool {
    guard i + 5 < body.count, body[i + 1] == UInt8(ascii: "u"), body[i + 2] == 48, body[i + 3] == 48,
      let high = ASCII.hexadecimal(body[i + 4]), let low = ASCII.hexadecimal(body[i + 5])
    else { return false }
    let b = high << 4 | low
    return ASCII.isLetter(b) || ASCII.isDigit(b) || b == 95
  }

  /// Whether the string at `i` is the value of a member named `type`.
  private static func isValueOfType(_ body: Span<UInt8>, _ i: Int) -> Bool {
    func isSpace(_ b: UInt8) -> Bool { b == 32 || b == 9 || b == 10 || b == 13 }
    var j = i - 1
    while j >= 0, isSpace(body[j]) { j -= 1 }
    guard j >= 0, body[j] == UInt8(ascii: ":") else { return false }
    j -= 1
    while j >= 0, isSpace(body[j]) { j -= 1 }
    return j >= 5 && body.extracting((j - 5)..<(j + 1)).equals("\"type\"")
  }

  /// Names that mean something in one dialect only.
  private static func adds(_ dialect: Dialect, _ body: Span<UInt8>, _ i: Int) -> Bool {
    let rest = body.extracting(i..<body.count)
    switch dialect {
    case .openaiResponses: return rest.starts(with: "\"prompt\"")
    case .bedrockConverse:
      return rest.starts(with: "\"image\"") || rest.starts(with: "\"document\"") || rest.starts(with: "\"video\"")
    default: return false
    }
  }
}
