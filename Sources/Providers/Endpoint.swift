import Domain
import Primitives
public import Wire

/// What kind of thing an endpoint does: the unit that scopes are granted in.
public enum EndpointClass: UInt8, Sendable, CaseIterable {
  // Kept in activity by number: only ever added to.
  case chat, completions, responses, messages, embeddings, images, audio, moderations, models, tokens, rerank, other
  case files, batches, fineTuning, realtime

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
    case .files: "files"
    case .batches: "batches"
    case .fineTuning: "fine-tuning"
    case .realtime: "realtime"
    }
  }

  init?(_ name: String) {
    guard let kind = Self.allCases.first(where: { "\($0.name)" == name }) else { return nil }
    self = kind
  }

  /// Whether answers are made of tokens that a request can bound.
  fileprivate var generates: Bool {
    switch self {
    case .chat, .completions, .responses, .messages: true
    default: false
    }
  }

  fileprivate var isFree: Bool { self == .models || self == .tokens || self == .moderations }
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
  case geminiInteractions = "gemini-interactions"
  /// A batch that tells what it came to when it is over, and one whose results tell, line by line.
  case openaiBatch = "openai-batch"
  case anthropicBatch = "anthropic-batch"
  /// Messages of a WebSocket.
  case openaiRealtime = "openai-realtime"
  case geminiLive = "gemini-live"
  /// Embeddings and ranks that count one kind of token.
  case totalTokens = "total-tokens"
  /// Passed without a meter: sounds, pictures, lists of models.
  case opaque
}

extension Dialect {
  /// Whether it is a session of messages in both directions.
  var isSession: Bool { self == .openaiRealtime || self == .geminiLive }

  /// Whether it tells what a batch came to: as often as it is asked, but to be counted once.
  public var tellsOfBatch: Bool { self == .openaiBatch || self == .anthropicBatch }

  /// Whether the first message names the model, in place of path and query.
  public var namesModelInMessages: Bool { self == .geminiLive }
}

/// An allow-listed endpoint of a catalogue entry: `POST /models/{model}:generateContent chat gemini`. A placeholder is one plain segment;
/// `{model/}` is a name that may have slashes in it, raw or as `%2F`.
public struct Endpoint: Sendable {
  public let kind: EndpointClass
  public let dialect: Dialect
  public let method: Wire.Method
  /// Whether it is a WebSocket: written as the method WS, asked for with GET.
  public let isSocket: Bool
  /// What it does to objects that the provider keeps.
  public let effect: ObjectEffect
  /// Whether its answer has addresses of the provider that a client goes on to.
  public let hasLinks: Bool
  /// The path between its placeholders; each placeholder is one segment, or the part of one.
  private let pieces: [[UInt8]]
  /// Of one without placeholders: the path.
  var path: String { String(decoding: pieces.joined(), as: UTF8.self) }
  /// Which placeholder is the model; nil: none.
  private let modelAt: Int?
  /// Whether the provider's names of models have slashes in them.
  private let hasSlashes: Bool
  /// Which placeholder is the ID of an object that the provider keeps; nil: none.
  private let objectAt: Int?

  static let placeholder = "{}"
  static let modelPlaceholder = "{model}"
  static let slashedModelPlaceholder = "{model/}"
  static let objectPlaceholder = "{object}"

  /// Where in a path the model and an object's ID stand; empty where they do not.
  public struct Match: Sendable {
    public var model = 0..<0
    public var object = 0..<0
  }

  /// Whether it does no more than keep, read or end what the provider keeps.
  private var onlyKeeps: Bool {
    kind == .files || method == .delete || ((kind == .batches || kind == .fineTuning) && method == .post && objectAt != nil)
      || (dialect == .opaque && kind.generates && (method == .get || objectAt != nil || effect != .none))
  }

  /// Whether answers are made of tokens that a request can bound.
  public var generates: Bool { kind.generates && !onlyKeeps }

  /// Whether a request says which model it is for.
  public var namesModel: Bool { !onlyKeeps }

  /// Whether requests cost nothing. (What the keeping of objects costs, no request says.)
  public var isFree: Bool { kind.isFree || onlyKeeps || (kind == .batches && method == .get) }

  /// nil when the line cannot be read.
  init?(_ line: String) {
    var words = line.split(separator: " ")
    hasLinks = words.count > 4 && words.last == "links"
    if hasLinks { words.removeLast() }
    guard (4...5).contains(words.count), let effect = ObjectEffect(words.count == 5 ? String(words[4]) : ""),
      let method = words[0] == "WS" ? .get : Wire.Method.allCases.first(where: { "\($0.name)" == words[0] }),
      let kind = EndpointClass(String(words[2])), let dialect = Dialect(rawValue: String(words[3])), words[1].hasPrefix("/"),
      words[1].utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 63 && $0 != 35 && $0 != 37 })
    else { return nil }
    var (pieces, model, object): ([[UInt8]], Int?, Int?) = ([], nil, nil)
    hasSlashes = words[1].contains(Self.slashedModelPlaceholder)
    var rest = words[1][...]
    while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
      let name = rest[open...close]
      if name == Self.modelPlaceholder || name == Self.slashedModelPlaceholder {
        guard model == nil else { return nil }
        model = pieces.count
      } else if name == Self.objectPlaceholder {
        guard object == nil else { return nil }
        object = pieces.count
      } else if name != Self.placeholder {
        return nil
      }
      pieces.append(Array(rest[..<open].utf8))
      rest = rest[rest.index(after: close)...]
    }
    pieces.append(Array(rest.utf8))
    isSocket = words[0] == "WS"
    guard isSocket == dialect.isSession else { return nil }
    (self.kind, self.dialect, self.method, self.effect) = (kind, dialect, method, effect)
    (self.pieces, modelAt, objectAt) = (pieces, model, object)
  }

  /// What stands in the path before an object's ID, from the last slash but one: `files/` of `/files/{object}`.
  public var objectCollection: [UInt8] {
    guard let objectAt else { return [] }
    let piece = pieces[objectAt].dropLast()
    return Array(piece.suffix(from: (piece.lastIndex(of: UInt8(ascii: "/")) ?? -1) + 1)) + [UInt8(ascii: "/")]
  }

  /// What its method and path are found by; nil where the path has placeholders.
  var fingerprint: UInt64? {
    guard pieces.count == 1 else { return nil }
    let path = pieces[0]
    return Self.fingerprint(method, path.span)
  }

  /// FNV-1a over method and path. A hit has to be compared: paths are the client's to choose.
  static func fingerprint(_ method: Wire.Method, _ path: Span<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ UInt64(method.rawValue)
    for i in path.indices { hash = (hash ^ UInt64(path[i])) &* 0x100_0000_01b3 }
    return hash
  }

  /// Whether a path segment is a model's name.
  public var namesModelInPath: Bool { modelAt != nil }

  /// Where model and object stand in `path`, which is below the prefix and matches; nil when it does not match.
  func match(_ path: Span<UInt8>) -> Match? {
    var at = 0
    var found = Match()
    for (i, piece) in pieces.enumerated() {
      guard path.count >= at + piece.count, path.extracting(at..<(at + piece.count)).equals(piece.span) else { return nil }
      at += piece.count
      guard i + 1 < pieces.count else { return at == path.count ? found : nil }
      // A placeholder goes on to where the next piece begins; without a slash in between, unless it may have some.
      let start = at
      let next = pieces[i + 1]
      let slashes = i == modelAt && hasSlashes
      while at < path.count {
        if !next.isEmpty, path.count >= at + next.count, path.extracting(at..<(at + next.count)).equals(next.span),
          i + 2 < pieces.count || at + next.count == path.count
        {
          break
        }
        guard slashes || path[at] != UInt8(ascii: "/") else { return nil }
        at += 1
      }
      // What stands after a colon is the method to some, so that no name has one where a method follows.
      guard PathName.isPlain(path.extracting(start..<at), slashes: slashes, colons: next.first != UInt8(ascii: ":")) else {
        return nil
      }
      if i == modelAt { found.model = start..<at }
      if i == objectAt { found.object = start..<at }
    }
    return nil
  }
}

/// What an endpoint does to the objects that a provider keeps for an account: files, batches, stored answers. Written as the last word
/// of its line.
public enum ObjectEffect: String, Sendable {
  case none = ""
  /// The answer tells the ID of a new one, or of more of them: as `id`, with those of its output files.
  case makesByID = "makes=id"
  /// The same, as `name`, with the collection in front.
  case makesByName = "makes=name"
  /// The answer tells the IDs of containers that its tools have made.
  case makesContainers = "makes=containers"
  /// It is gone afterwards.
  case ends

  init?(_ word: String) { self.init(rawValue: word) }
}
