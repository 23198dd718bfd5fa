import Domain
import Primitives
public import Wire

/// What kind of thing an endpoint does: the unit that scopes are granted in.
public enum EndpointClass: UInt8, Sendable, CaseIterable {
  // Kept in activity by number: only ever added to.
  case chat, completions, responses, messages, embeddings, images, audio, moderations, models, tokens, rerank, other

  public var name: StaticString {
    switch self {
    case .chat: "chat"
    case .completions: "completions"
    case .responses: "responses"
    case .messages: "messages"
    case .embeddings: "embeddings"
    case .images: "images"
    case .audio: "audio"
    case .moderations: "moderations"
    case .models: "models"
    case .tokens: "tokens"
    case .rerank: "rerank"
    case .other: "other"
    }
  }

  init?(_ name: String) {
    guard let kind = Self.allCases.first(where: { "\($0.name)" == name }) else { return nil }
    self = kind
  }

  /// Whether answers are made of tokens that a request can bound.
  public var generates: Bool {
    switch self {
    case .chat, .completions, .responses, .messages: true
    default: false
    }
  }

  /// Whether requests cost nothing.
  public var isFree: Bool { self == .models || self == .tokens || self == .moderations }
}

/// A wire format: where the model and usage stand, and how streams are framed. Named in the catalogue.
public enum Dialect: String, Sendable, CaseIterable {
  case openaiChat = "openai-chat"
  case openaiResponses = "openai-responses"
  case anthropicMessages = "anthropic-messages"
  case gemini
  case bedrockConverse = "bedrock-converse"
  case bedrockInvoke = "bedrock-invoke"
  case cohere, ollama, watsonx, replicate
  /// Embeddings and ranks that count one kind of token.
  case totalTokens = "total-tokens"
  /// Passed without a meter: sounds, pictures, lists of models.
  case opaque
}

/// An allow-listed endpoint of a catalogue entry: `POST /models/{model}:generateContent chat gemini`.
public struct Endpoint: Sendable {
  public let kind: EndpointClass
  public let dialect: Dialect
  public let method: Wire.Method
  /// The path between its placeholders; each placeholder is one segment, or the part of one.
  private let pieces: [[UInt8]]
  /// Which placeholder is the model; nil: none.
  private let modelAt: Int?

  static let placeholder = "{}"
  static let modelPlaceholder = "{model}"

  /// nil when the line cannot be read.
  init?(_ line: String) {
    let words = line.split(separator: " ")
    guard words.count == 4, let method = Wire.Method.allCases.first(where: { "\($0.name)" == words[0] }),
      let kind = EndpointClass(String(words[2])), let dialect = Dialect(rawValue: String(words[3])), words[1].hasPrefix("/"),
      words[1].utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 63 && $0 != 35 && $0 != 37 })
    else { return nil }
    var (pieces, model): ([[UInt8]], Int?) = ([], nil)
    var rest = words[1][...]
    while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
      let name = rest[open...close]
      if name == Self.modelPlaceholder {
        guard model == nil else { return nil }
        model = pieces.count
      } else if name != Self.placeholder {
        return nil
      }
      pieces.append(Array(rest[..<open].utf8))
      rest = rest[rest.index(after: close)...]
    }
    pieces.append(Array(rest.utf8))
    (self.kind, self.dialect, self.method, self.pieces, modelAt) = (kind, dialect, method, pieces, model)
  }

  /// Whether a path segment is a model's name.
  public var namesModelInPath: Bool { modelAt != nil }

  /// Where the model stands in `path`, which is below the prefix and matches; nil when it does not match, empty without a model.
  func match(_ path: Span<UInt8>) -> Range<Int>? {
    var at = 0
    var model = 0..<0
    for (i, piece) in pieces.enumerated() {
      guard path.count >= at + piece.count, path.extracting(at..<(at + piece.count)).equals(piece.span) else { return nil }
      at += piece.count
      guard i + 1 < pieces.count else { return at == path.count ? model : nil }
      // A placeholder goes on to where the next piece begins; without a slash in between.
      let start = at
      let next = pieces[i + 1]
      while at < path.count {
        if !next.isEmpty, path.count >= at + next.count, path.extracting(at..<(at + next.count)).equals(next.span),
          i + 2 < pieces.count || at + next.count == path.count
        {
          break
        }
        guard path[at] != UInt8(ascii: "/") else { return nil }
        at += 1
      }
      guard ModelName.isPlain(path.extracting(start..<at)) else { return nil }
      if i == modelAt { model = start..<at }
    }
    return nil
  }
}

/// A model's name as one path segment.
public enum ModelName {
  static let lengthMax = JSONProbe.textMax

  /// Whether a segment means the same to every parser: no slash but `%2F`, no colon in other spelling than `%3A`, no dot segment.
  static func isPlain(_ segment: Span<UInt8>) -> Bool {
    guard segment.count > 0, segment.count <= lengthMax else { return false }
    var dots = 0
    var i = 0
    while i < segment.count {
      let b = segment[i]
      if b == UInt8(ascii: "%") {
        guard escaped(segment, at: i) != nil else { return false }
        i += 3
        continue
      }
      guard ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 46 || b == 95 || b == 58 || b == 64 else { return false }
      if b == 46 { dots += 1 }
      i += 1
    }
    return dots < segment.count
  }

  /// The byte that `%3A`, `%2F` or `%40` at `i` stands for; nil for every other escape.
  private static func escaped(_ segment: Span<UInt8>, at i: Int) -> UInt8? {
    guard i + 2 < segment.count else { return nil }
    switch (segment[i + 1], ASCII.lower(segment[i + 2])) {
    case (51, 97): return 58
    case (50, 102): return 47
    case (52, 48): return 64
    default: return nil
    }
  }

  /// The name that a plain segment stands for.
  public static func decoded(_ segment: Span<UInt8>) -> JSONText {
    var text = JSONText()
    var i = 0
    while i < segment.count {
      if segment[i] == UInt8(ascii: "%"), let b = escaped(segment, at: i) {
        text.append(b)
        i += 3
      } else {
        text.append(segment[i])
        i += 1
      }
    }
    return text
  }
}
