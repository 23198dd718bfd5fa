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
  case openaiChat, openaiResponses, anthropicMessages
  /// Passed without a meter: audio, images, lists of models.
  case opaque
}

/// An allow-listed endpoint of a family.
public struct Endpoint: Sendable {
  public let kind: EndpointClass
  public let dialect: Dialect
  public let method: Wire.Method
  /// Path below the version (`/chat/completions`); a last segment of `*` stands for one segment of any name.
  let path: StaticString
  let hasWildcard: Bool
  /// Whether the last path segment is a model's name.
  public var namesModelInPath: Bool { hasWildcard }

  init(_ method: Wire.Method, _ path: StaticString, _ kind: EndpointClass, _ dialect: Dialect, wildcard: Bool = false) {
    self.method = method
    self.path = path
    self.kind = kind
    self.dialect = dialect
    hasWildcard = wildcard
  }
}

extension Provider.Family {
  /// Endpoints that pass. What is missing here is refused: the provider's administration, minting of credentials, and
  /// objects on the shared account (files, batches, stored responses), until each belongs to the key that made it.
  var endpoints: [Endpoint] {
    switch self {
    case .openai: Self.openaiEndpoints
    case .anthropic: Self.anthropicEndpoints
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
    Endpoint(.get, "/models/", .models, .opaque, wildcard: true),
  ]

  private static let anthropicEndpoints: [Endpoint] = [
    Endpoint(.post, "/messages", .messages, .anthropicMessages),
    Endpoint(.post, "/messages/count_tokens", .tokens, .opaque),
    Endpoint(.post, "/complete", .completions, .opaque),
    Endpoint(.get, "/models", .models, .opaque),
    Endpoint(.get, "/models/", .models, .opaque, wildcard: true),
  ]

  /// The endpoint that `method` and `path` (without query) name, byte for byte; nil when none does.
  ///
  /// A leading `/v1` may stand or not: it is part of some providers' base URL and of other providers' paths.
  public func endpoint(_ method: Wire.Method, _ path: Span<UInt8>) -> Endpoint? {
    let isVersioned = path.starts(with: "/v1/")
    let rest = path.extracting((isVersioned ? 3 : 0)..<path.count)
    for endpoint in endpoints where endpoint.method == method {
      if !endpoint.hasWildcard {
        if rest.equals(endpoint.path) { return endpoint }
      } else if rest.starts(with: endpoint.path), isName(rest.extracting(endpoint.path.utf8CodeUnitCount..<rest.count)) {
        return endpoint
      }
    }
    return nil
  }

  /// One path segment that means the same to every parser: no slash in any spelling, no dot segment.
  private func isName(_ segment: Span<UInt8>) -> Bool {
    guard segment.count > 0, segment.count <= 200 else { return false }
    var dots = 0
    for i in segment.indices {
      let b = segment[i]
      guard ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 46 || b == 95 || b == 58 else { return false }
      if b == 46 { dots += 1 }
    }
    return dots < segment.count
  }
}
