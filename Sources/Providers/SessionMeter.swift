import Primitives
import Wire

/// Adds up the usage that the messages of a session tell, turn by turn, while they flow past.
public struct SessionMeter: Sendable {
  private var dialect = Dialect.openaiRealtime
  private var probe = JSONProbe()
  private var hasUsage = false
  /// What has been told so far.
  public private(set) var usage = Usage()
  /// True once a turn has told a count that cannot be true.
  public private(set) var isImpossible = false

  public init() {}

  public mutating func expect(_ dialect: Dialect) {
    self = SessionMeter()
    self.dialect = dialect
  }

  public mutating func feed(_ payload: Span<UInt8>) { probe.feed(payload, paths) }

  public mutating func endMessage() {
    if isTurnOver { add() }
    probe.reset()
  }

  private var isTurnOver: Bool {
    guard probe.status == .complete, probe.number(0) != nil || probe.number(1) != nil || probe.isImpossible(anyOf: 0x7F) else {
      return false
    }
    if dialect == .geminiLive { return true }
    let type = probe.text(1)
    return type.span.equals("response.done") || type.span.equals("response.completed") || type.span.equals("response.incomplete")
  }

  private mutating func add() {
    // A turn that tells what cannot be true makes all of the session unknown.
    guard !probe.isImpossible(anyOf: 0x7F) else { return isImpossible = true }
    func tokens(_ place: Int) -> TokenCount? { probe.number(place).map { TokenCount($0) } }
    func sum(_ a: TokenCount?, _ b: TokenCount?) -> TokenCount? { a == nil && b == nil ? nil : (a ?? 0) + (b ?? 0) }
    var turn = Usage(
      input: tokens(0) ?? 0, output: tokens(1) ?? 0, cacheRead: tokens(2), cacheWrite: nil, reasoning: tokens(4))
    if dialect == .geminiLive {
      // Thoughts stand beside the answer, what tools brought beside the prompt.
      turn.output = (turn.output ?? 0) + (turn.reasoning ?? 0)
      turn.input = (turn.input ?? 0) + (tokens(5) ?? 0)
    } else {
      (turn.audioInput, turn.audioOutput) = (tokens(5), tokens(6))
    }
    if let cached = turn.cacheRead, let input = turn.input, cached <= input { turn.input = input - cached }
    usage = Usage(
      input: sum(usage.input, turn.input), output: sum(usage.output, turn.output),
      cacheRead: sum(usage.cacheRead, turn.cacheRead),
      cacheWrite: nil, reasoning: sum(usage.reasoning, turn.reasoning), audioInput: sum(usage.audioInput, turn.audioInput),
      audioOutput: sum(usage.audioOutput, turn.audioOutput))
  }

  private var paths: JSONPaths { dialect == .geminiLive ? Self.gemini : Self.openai }

  private static let openai = JSONPaths([
    ("type", .text(1)), ("response.usage.input_tokens", .number(0)), ("response.usage.output_tokens", .number(1)),
    ("response.usage.input_token_details.cached_tokens", .number(2)),
    ("response.usage.input_token_details.audio_tokens", .number(5)),
    ("response.usage.output_token_details.audio_tokens", .number(6)),
  ])
  private static let gemini = JSONPaths([
    ("usageMetadata.promptTokenCount", .number(0)), ("usageMetadata.responseTokenCount", .number(1)),
    ("usageMetadata.cachedContentTokenCount", .number(2)), ("usageMetadata.thoughtsTokenCount", .number(4)),
    ("usageMetadata.toolUsePromptTokenCount", .number(5)),
  ])
}

/// Reads which models the messages of a client name in a session: every place that a session has for one is looked at.
public struct SessionModels: Sendable {
  // Of three places each, because a probe keeps three texts.
  private var session = JSONProbe()
  private var message = JSONProbe()
  public static let modelsMax = 6

  public init() {}

  public mutating func reset() {
    session.reset()
    message.reset()
  }

  public mutating func feed(_ payload: Span<UInt8>) {
    session.feed(payload, Self.sessionPaths)
    message.feed(payload, Self.messagePaths)
  }

  /// After the last byte of a message: whether every parser reads it alike. What it names is `model(0)` to `model(5)` until `reset`.
  public mutating func endMessage() -> Bool {
    session.finish(Self.sessionPaths)
    message.finish(Self.messagePaths)
    return Self.isClear(session) && Self.isClear(message)
  }

  private static func isClear(_ probe: JSONProbe) -> Bool {
    probe.status == .complete && !probe.hasDuplicate && !probe.hasCaseVariant && !probe.isTruncated
  }

  /// The model at one of the places, without Google's `models/` before it; empty when none stands there.
  public func model(_ place: Int) -> JSONText {
    let text = place < 3 ? message.text(place) : session.text(place - 3)
    guard text.span.starts(with: "models/") else { return JSONText(text) }
    var name = JSONText()
    for i in 7..<text.count { name.append(text.span[i]) }
    return name
  }

  private static let messagePaths = JSONPaths(
    [("setup.model", .text(0)), ("model", .text(1)), ("response.model", .text(2))], noticesCaseVariants: true)
  private static let sessionPaths = JSONPaths(
    [
      ("session.model", .text(0)), ("session.audio.input.transcription.model", .text(1)),
      ("session.input_audio_transcription.model", .text(2)),
    ], noticesCaseVariants: true)
}
