import Domain
public import Primitives
public import Wire

/// Models that a request can lead to.
public struct NamedModels: Sendable {
  /// Empty where an endpoint is free and none is named.
  public let own: JSONText
  /// Fall-backs and models of tools and of the requests of a batch; the request's own may be among them.
  public let others: [JSONText]
}

/// Reads what a decision needs out of a request body while it flows past.
public struct RequestReader: Sendable {
  /// How much a request asks for of what can be bounded.
  public enum OutputLimit: Equatable, Sendable {
    case absent
    /// Tokens of one choice.
    case tokens(TokenCount)
    /// Something stands there that is no positive whole number.
    case unclear
  }

  private var probe = JSONProbe()
  private var paths = Self.modelOnly
  private var dialect = Dialect.opaque
  /// Whether the body is to be read at all.
  public var isJSON = false

  public init() {}

  /// As new, for the next request: nothing of the last one is left, since nothing of it is taken over.
  public mutating func reset() { self = RequestReader() }

  /// Has everything read that requests of `dialect` can say of their size, not the model alone.
  public mutating func readAll(_ dialect: Dialect) {
    self.dialect = dialect
    paths =
      switch dialect {
      case .openaiChat: Self.openaiChat
      case .openaiResponses: Self.openaiResponses
      case .anthropicMessages: Self.anthropic
      case .gemini: Self.gemini
      case .bedrockConverse: Self.bedrock
      case .bedrockInvoke, .cohere: Self.plainLimit
      case .ollama: Self.ollama
      case .watsonx: Self.watsonx
      case .replicate, .totalTokens, .opaque, .openaiRealtime, .geminiLive, .geminiInteractions, .openaiBatch, .anthropicBatch:
        Self.strictModel
      }
  }

  public mutating func feed(_ bytes: Span<UInt8>) {
    if isJSON { probe.feed(bytes, paths) }
  }

  public var model: JSONText { JSONText(probe.text(0)) }

  /// After the last byte: whether the body was valid JSON that says everything that was looked for once and in full. What any
  /// strict or lenient parser upstream then reads is the same.
  public mutating func isClear() -> Bool {
    guard isJSON else { return false }
    probe.finish(paths)
    return probe.status == .complete && !probe.hasDuplicate && !probe.hasCaseVariant && !probe.isTruncated
  }

  /// The models that a request names: one of its own, in its path (`pathModel`, else empty), in its JSON body or as a field of a form with
  /// this boundary (else empty), and others beside it. Throws where that is not said once, in a form that every parser reads alike. After
  /// the last byte of `body`, which has been fed.
  public mutating func resolveModels(
    _ endpoint: Endpoint, of entry: CatalogueEntry, _ type: MediaType, pathModel: JSONText, body: Span<UInt8>,
    boundary: Span<UInt8>
  ) throws(Unclear) -> NamedModels {
    var (named, others) = (JSONText(), [JSONText]())
    guard type.isUTF8 else { throw Unclear(.charset) }
    if boundary.isEmpty {
      guard type.kind != .absent else { throw Unclear(.noContentType) }
      guard type.kind == .json, type.isClear else { throw Unclear(.contentType) }
      try requireClarity(body)
      let isGoogle = dialect == .gemini
      let read = try BodyModels.read(
        body, places: entry.modelPlaces, own: dialect == .watsonx ? "model_id" : "model", isGoogle: isGoogle)
      (named, others) = (isGoogle ? BodyModels.withoutCollection(model) : model, read.models)
      if endpoint.kind == .batches {
        // What stands beside the requests of a batch says nothing of them.
        guard let first = others.first, !read.hasInputFile else { throw Unclear(.batchFile) }
        if !named.isEmpty { others.append(named) }
        return NamedModels(own: first, others: others)
      }
    } else {
      guard endpoint.kind != .batches else { throw Unclear(.batchFile) }
      switch MultipartForm.find("model", in: body, boundary: boundary) {
      case .absent: break
      case .unclear(.form): throw Unclear(.form)
      case .unclear(.charset): throw Unclear(.charset)
      case .unclear(.member(let range)): throw Unclear(.member, body.extracting(range))
      case .value(let range):
        guard range.count <= JSONProbe.textMax else { throw Unclear(.tooLong) }
        for i in range { named.append(body[i]) }
      }
    }
    // Path and body may both name it; then they have to agree.
    if pathModel.isEmpty {
      guard !named.isEmpty || endpoint.isFree else { throw Unclear(.absent) }
      return NamedModels(own: named, others: others)
    }
    guard named.isEmpty || named.span.equals(pathModel.span) else { throw Unclear(.differ) }
    return NamedModels(own: pathModel, others: others)
  }

  /// The same as a value.
  public mutating func resolved(
    _ endpoint: Endpoint, of entry: CatalogueEntry, _ type: MediaType, pathModel: JSONText, body: Span<UInt8>,
    boundary: Span<UInt8>
  ) -> Result<NamedModels, Unclear> {
    do throws(Unclear) {
      return .success(
        try resolveModels(endpoint, of: entry, type, pathModel: pathModel, body: body, boundary: boundary))
    } catch { return .failure(error) }
  }

  private mutating func requireClarity(_ body: Span<UInt8>) throws(Unclear) {
    guard !isClear() else { return }
    guard probe.status == .complete else { throw Unclear(Unclear.reason(body)) }
    throw Unclear(probe.hasDuplicate ? .duplicate : probe.hasCaseVariant ? .caseVariant : .tooLong)
  }

  // What stands in which place of the probe.
  private enum Place {
    static let limit = 0
    static let secondLimit = 1
    static let choices = 2
    static let drafts = 3
    static let stream = 4
    static let options = 5
    static let usage = 6
    static let root = 7
  }

  /// The tokens that the answer may have, by the request's own limit.
  public var outputLimit: OutputLimit {
    var largest: TokenCount?
    for slot in [Place.limit, Place.secondLimit] {
      switch probe.kind(slot) {
      case .absent, .null: continue
      case .integer:
        guard let n = probe.number(slot).flatMap({ TokenCount(told: $0) }), n > 0 else { return .unclear }
        largest = max(largest ?? 0, n)
      default: return .unclear
      }
    }
    if dialect == .gemini || dialect == .bedrockConverse || dialect == .ollama, probe.kind(Place.options) == .other {
      return .unclear
    }
    // A second spelling that Google's parser takes, too.
    if dialect == .gemini, probe.kind(Place.drafts) != .absent { return .unclear }
    return largest.map { .tokens($0) } ?? .absent
  }

  /// Answers that are asked for at once; nil when that is unclear.
  public var choices: Int64? {
    var most: Int64 = 1
    for slot in dialect == .gemini ? [Place.choices] : [Place.choices, Place.drafts] {
      switch probe.kind(slot) {
      case .absent, .null: continue
      case .integer:
        guard let n = probe.number(slot), (1...1024).contains(n) else { return nil }
        most = max(most, n)
      default: return nil
      }
    }
    return most
  }

  public var streams: Bool { probe.kind(Place.stream) == .boolean && probe.number(Place.stream) == 1 }

  /// Whether the answer is made after the request has been answered, so that nobody sees what it came to.
  public var runsInBackground: Bool {
    dialect == .openaiResponses && probe.kind(Place.usage) != .absent && probe.number(Place.usage) != 0
  }

  /// A change of the body: bytes taken out at a place, and what is written there.
  public struct Edit: Equatable, Sendable {
    public enum Text: Equatable, Sendable {
      case number(TokenCount)
      /// `"name":number,`
      case member(StaticName, TokenCount)
      /// `"name":{"inner":number},`
      case object(StaticName, StaticName, TokenCount)
      /// `"stream_options":{"include_usage":true},`
      case usageOptions
      /// `"include_usage":true,`
      case usageOption
      case isTrue
    }
    public let place: Range<Int>
    public let text: Text
  }

  /// Names that we write ourselves.
  public enum StaticName: UInt8, Sendable {
    case maxTokens, maxCompletionTokens, maxOutputTokens, generationConfig, geminiMaxOutputTokens, inferenceConfig,
      bedrockMaxTokens, options, numPredict

    public var text: StaticString {
      switch self {
      case .maxTokens: "max_tokens"
      case .maxCompletionTokens: "max_completion_tokens"
      case .maxOutputTokens: "max_output_tokens"
      case .generationConfig: "generationConfig"
      case .geminiMaxOutputTokens: "maxOutputTokens"
      case .inferenceConfig: "inferenceConfig"
      case .bedrockMaxTokens: "maxTokens"
      case .options: "options"
      case .numPredict: "num_predict"
      }
    }
  }

  /// What has to change so that the answer has at most `tokens`; adds to `edits`. False where requests of this dialect have no such
  /// limit. `name` is what this provider's chat endpoint calls it.
  public func limitOutput(to tokens: TokenCount, name: StaticName, into edits: inout [Edit]) -> Bool {
    var isSaid = false
    for slot in [Place.limit, Place.secondLimit] {
      switch probe.kind(slot) {
      case .integer:
        isSaid = true
        if let n = probe.number(slot), n > tokens.count { edits.append(Edit(place: probe.place(slot), text: .number(tokens))) }
      case .null:
        isSaid = true
        edits.append(Edit(place: probe.place(slot), text: .number(tokens)))
      default: break
      }
    }
    if isSaid { return true }
    let (start, inner) = (probe.place(Place.root).lowerBound + 1, probe.place(Place.options).lowerBound + 1)
    func insert(_ at: Int, _ text: Edit.Text) -> Bool {
      edits.append(Edit(place: at..<at, text: text))
      return true
    }
    switch dialect {
    case .openaiChat: return insert(start, .member(name, tokens))
    case .openaiResponses: return insert(start, .member(.maxOutputTokens, tokens))
    case .anthropicMessages, .cohere, .watsonx: return insert(start, .member(.maxTokens, tokens))
    case .gemini, .bedrockConverse, .ollama:
      let (outer, member): (StaticName, StaticName) =
        switch dialect {
        case .gemini: (.generationConfig, .geminiMaxOutputTokens)
        case .ollama: (.options, .numPredict)
        default: (.inferenceConfig, .bedrockMaxTokens)
        }
      if probe.kind(Place.options) == .object { return insert(inner, .member(member, tokens)) }
      return insert(start, .object(outer, member, tokens))
    case .bedrockInvoke, .replicate, .totalTokens, .opaque, .openaiRealtime, .geminiLive, .geminiInteractions, .openaiBatch,
      .anthropicBatch:
      return false
    }
  }

  /// Whether an answer can be given a limit that the request does not have.
  public var canLimitOutput: Bool {
    switch dialect {
    case .bedrockInvoke, .replicate, .totalTokens, .opaque, .openaiRealtime, .geminiLive, .geminiInteractions, .openaiBatch,
      .anthropicBatch:
      false
    default: true
    }
  }

  /// What has to change so that a stream ends with its usage; adds to `edits` and returns true when the client did not ask for it.
  public func askForUsage(into edits: inout [Edit]) -> Bool {
    guard dialect == .openaiChat, streams else { return false }
    switch (probe.kind(Place.options), probe.kind(Place.usage)) {
    case (.object, .boolean) where probe.number(Place.usage) == 1: return false
    case (.object, .absent):
      let at = probe.place(Place.options).lowerBound + 1
      edits.append(Edit(place: at..<at, text: .usageOption))
    case (.object, _): edits.append(Edit(place: probe.place(Place.usage), text: .isTrue))
    case (.absent, _):
      let at = probe.place(Place.root).lowerBound + 1
      edits.append(Edit(place: at..<at, text: .usageOptions))
    default: return false
    }
    return true
  }

  private static let modelOnly = JSONPaths([("model", .text(0))])
  private static let strictModel = JSONPaths([("", .object(Place.root)), ("model", .text(0))], noticesCaseVariants: true)

  private static func all(_ paths: [(String, JSONPaths.Slot)]) -> JSONPaths {
    JSONPaths([("", .object(Place.root)), ("model", .text(0))] + paths, noticesCaseVariants: true)
  }

  private static let openaiChat = all([
    ("max_tokens", .number(Place.limit)), ("max_completion_tokens", .number(Place.secondLimit)), ("n", .number(Place.choices)),
    ("best_of", .number(Place.drafts)), ("stream", .number(Place.stream)), ("stream_options", .object(Place.options)),
    ("stream_options.include_usage", .number(Place.usage)),
  ])
  private static let openaiResponses = all([
    ("max_output_tokens", .number(Place.limit)), ("stream", .number(Place.stream)), ("background", .number(Place.usage)),
    ("n", .number(Place.choices)),
  ])
  private static let anthropic = all([("max_tokens", .number(Place.limit)), ("stream", .number(Place.stream))])
  private static let gemini = all([
    ("generationConfig", .object(Place.options)), ("generationConfig.maxOutputTokens", .number(Place.limit)),
    ("generationConfig.max_output_tokens", .number(Place.drafts)), ("generation_config", .number(Place.drafts)),
    ("generationConfig.candidateCount", .number(Place.choices)),
  ])
  private static let bedrock = all([
    ("inferenceConfig", .object(Place.options)), ("inferenceConfig.maxTokens", .number(Place.limit)),
  ])
  // Models on Bedrock have their own names for it; Anthropic's is this one, and has to be there.
  private static let plainLimit = all([("max_tokens", .number(Place.limit)), ("stream", .number(Place.stream))])
  private static let ollama = all([
    ("options", .object(Place.options)), ("options.num_predict", .number(Place.limit)), ("stream", .number(Place.stream)),
  ])
  private static let watsonx = JSONPaths(
    [
      ("", .object(Place.root)), ("model_id", .text(0)), ("max_tokens", .number(Place.limit)),
      ("parameters.max_new_tokens", .number(Place.secondLimit)),
    ], noticesCaseVariants: true)
}
