public import Domain
import Primitives
public import Wire

/// What kind of thing an endpoint does: the unit that scopes are granted in.
public enum EndpointClass: UInt8, Sendable, CaseIterable {
  case chat, completions, responses, messages, embeddings, images, audio, moderations, models, tokens

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
    }
  }
}

/// A wire format: where usage stands in an answer, and how streams are framed.
public enum Dialect: UInt8, Sendable, CaseIterable {
  case openaiChat, openaiResponses, anthropicMessages, gemini, bedrockConverse
  /// Passed without a meter: audio, images, lists of models.
  case opaque
}

extension EndpointClass {
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

/// An allow-listed endpoint of a family.
public struct Endpoint: Sendable {
  public let kind: EndpointClass
  public let dialect: Dialect
  public let method: Wire.Method
  /// Path below the version, before and after the model's name where the path has one.
  let start: StaticString
  let end: StaticString
  /// Whether a path segment is a model's name.
  public let namesModelInPath: Bool

  /// `path` has `*` where the model's name stands.
  init(
    _ method: Wire.Method, _ start: StaticString, _ kind: EndpointClass, _ dialect: Dialect, model: Bool = false,
    end: StaticString = ""
  ) {
    self.method = method
    self.start = start
    self.end = end
    self.kind = kind
    self.dialect = dialect
    namesModelInPath = model
  }

  /// The model's name in `path` (without query), as sent; empty where the path has none.
  public func model(in path: Span<UInt8>) -> Range<Int> {
    guard namesModelInPath else { return 0..<0 }
    let version = Self.version(of: path)
    return (version + start.utf8CodeUnitCount)..<(path.count - end.utf8CodeUnitCount)
  }

  /// A leading version may stand or not: it is part of some providers' base URL and of other providers' paths.
  fileprivate static func version(of path: Span<UInt8>) -> Int {
    path.starts(with: "/v1/") ? 3 : path.starts(with: "/v1beta/") ? 7 : 0
  }

  fileprivate func matches(_ rest: Span<UInt8>) -> Bool {
    guard namesModelInPath else { return rest.equals(start) }
    let (a, b) = (start.utf8CodeUnitCount, end.utf8CodeUnitCount)
    guard rest.count > a + b, rest.starts(with: start), rest.extracting((rest.count - b)..<rest.count).equals(end) else {
      return false
    }
    return ModelName.isPlain(rest.extracting(a..<(rest.count - b)))
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

  /// The byte that `%3A` or `%2F` at `i` stands for; nil for every other escape.
  private static func escaped(_ segment: Span<UInt8>, at i: Int) -> UInt8? {
    guard i + 2 < segment.count else { return nil }
    switch (segment[i + 1], ASCII.lower(segment[i + 2])) {
    case (51, 97): return 58
    case (50, 102): return 47
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

extension Provider.Family {
  /// Endpoints that pass. What is missing here is refused: the provider's administration, minting of credentials, and
  /// objects on the shared account (files, batches, stored responses), until each belongs to the key that made it.
  var endpoints: [Endpoint] {
    switch self {
    case .openai: Self.openaiEndpoints
    case .anthropic: Self.anthropicEndpoints
    case .azure: Self.azureEndpoints
    case .gemini: Self.geminiEndpoints
    case .bedrock: Self.bedrockEndpoints
    }
  }

  private static let openaiEndpoints: [Endpoint] = [
    Endpoint(.post, "/chat/completions", .chat, .openaiChat),
    Endpoint(.post, "/responses", .responses, .openaiResponses),
    Endpoint(.post, "/embeddings", .embeddings, .openaiChat),
    Endpoint(.post, "/completions", .completions, .openaiChat),
    Endpoint(.post, "/moderations", .moderations, .opaque),
    Endpoint(.post, "/images/generations", .images, .openaiResponses),
    Endpoint(.post, "/images/edits", .images, .openaiResponses),
    Endpoint(.post, "/images/variations", .images, .openaiResponses),
    Endpoint(.post, "/audio/speech", .audio, .opaque),
    Endpoint(.post, "/audio/transcriptions", .audio, .openaiResponses),
    Endpoint(.post, "/audio/translations", .audio, .openaiResponses),
    Endpoint(.get, "/models", .models, .opaque),
    Endpoint(.get, "/models/", .models, .opaque, model: true),
  ]

  private static let anthropicEndpoints: [Endpoint] = [
    Endpoint(.post, "/messages", .messages, .anthropicMessages),
    Endpoint(.post, "/messages/count_tokens", .tokens, .opaque),
    Endpoint(.post, "/complete", .completions, .opaque),
    Endpoint(.get, "/models", .models, .opaque),
    Endpoint(.get, "/models/", .models, .opaque, model: true),
  ]

  private static let azureEndpoints: [Endpoint] = [
    Endpoint(.post, "/openai/deployments/", .chat, .openaiChat, model: true, end: "/chat/completions"),
    Endpoint(.post, "/openai/deployments/", .completions, .openaiChat, model: true, end: "/completions"),
    Endpoint(.post, "/openai/deployments/", .embeddings, .openaiChat, model: true, end: "/embeddings"),
    Endpoint(.post, "/openai/deployments/", .images, .openaiResponses, model: true, end: "/images/generations"),
    Endpoint(.post, "/openai/deployments/", .audio, .openaiResponses, model: true, end: "/audio/transcriptions"),
    Endpoint(.post, "/openai/deployments/", .audio, .openaiResponses, model: true, end: "/audio/translations"),
    Endpoint(.post, "/openai/deployments/", .audio, .opaque, model: true, end: "/audio/speech"),
    Endpoint(.post, "/openai/v1/chat/completions", .chat, .openaiChat),
    Endpoint(.post, "/openai/v1/responses", .responses, .openaiResponses),
    Endpoint(.post, "/openai/v1/embeddings", .embeddings, .openaiChat),
  ]

  private static let geminiEndpoints: [Endpoint] = [
    Endpoint(.post, "/models/", .chat, .gemini, model: true, end: ":generateContent"),
    Endpoint(.post, "/models/", .chat, .gemini, model: true, end: ":streamGenerateContent"),
    Endpoint(.post, "/models/", .embeddings, .opaque, model: true, end: ":embedContent"),
    Endpoint(.post, "/models/", .embeddings, .opaque, model: true, end: ":batchEmbedContents"),
    Endpoint(.post, "/models/", .tokens, .opaque, model: true, end: ":countTokens"),
    Endpoint(.get, "/models", .models, .opaque),
    Endpoint(.get, "/models/", .models, .opaque, model: true),
  ]

  private static let bedrockEndpoints: [Endpoint] = [
    Endpoint(.post, "/model/", .chat, .bedrockConverse, model: true, end: "/converse"),
    Endpoint(.post, "/model/", .chat, .opaque, model: true, end: "/converse-stream"),
    Endpoint(.post, "/model/", .completions, .opaque, model: true, end: "/invoke"),
    Endpoint(.post, "/model/", .completions, .opaque, model: true, end: "/invoke-with-response-stream"),
  ]

  /// The endpoint that `method` and `path` (without query) name, byte for byte; nil when none does.
  public func endpoint(_ method: Wire.Method, _ path: Span<UInt8>) -> Endpoint? {
    let rest = path.extracting(Endpoint.version(of: path)..<path.count)
    for endpoint in endpoints where endpoint.method == method && endpoint.matches(rest) { return endpoint }
    return nil
  }
}
