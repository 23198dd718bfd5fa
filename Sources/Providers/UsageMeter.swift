import Primitives
import Wire

/// Reads the usage block out of an answer while its bytes flow past. Keeps nothing else of it and allocates nothing.
public struct UsageMeter: Sendable {
  /// How the answer is framed.
  public enum Format: Sendable { case json, eventStream, other }

  private var dialect: Dialect
  private var format: Format
  private var probe = JSONProbe()
  private var events = EventStreamSplitter()
  private var sentinel: UInt64 = 0
  /// The stream has said that it is complete: what follows is only its end.
  public private(set) var isComplete = false
  /// Events that carried some of the answer. A provider puts at least one token into each.
  public private(set) var pieces: Int64 = 0

  public init(_ dialect: Dialect = .opaque, _ format: Format = .other) {
    self.dialect = dialect
    self.format = dialect == .opaque ? .other : format
  }

  /// Says what is coming, before the first byte. (In place: a meter is half a kilobyte, and moving it costs more than this.)
  public mutating func expect(_ dialect: Dialect, _ format: Format) {
    self.dialect = dialect
    self.format = dialect == .opaque ? .other : format
  }

  /// As new, for the next answer.
  public mutating func reset() {
    probe.reset()
    events = EventStreamSplitter()
    (dialect, format, sentinel, isComplete, pieces) = (.opaque, .other, 0, false, 0)
  }

  /// The content type's format, by its first bytes.
  public static func format(contentType: Span<UInt8>) -> Format {
    func starts(_ with: StaticString) -> Bool {
      contentType.count >= with.utf8CodeUnitCount && contentType.extracting(0..<with.utf8CodeUnitCount).equalsIgnoringCase(with)
    }
    if starts("text/event-stream") { return .eventStream }
    return starts("application/json") ? .json : .other
  }

  public mutating func feed(_ bytes: Span<UInt8>) {
    switch format {
    case .other: return
    case .json: probe.feed(bytes, paths)
    case .eventStream: feedEvents(bytes)
    }
  }

  private mutating func feedEvents(_ bytes: Span<UInt8>) {
    var i = 0
    while true {
      switch events.step(bytes, from: i) {
      case .data(let range):
        let data = bytes.extracting(range)
        // "[DONE]" is six bytes; eight hold it, and an event that goes on is something else.
        for j in 0..<min(data.count, 8) { sentinel = sentinel << 8 | UInt64(data[j]) }
        probe.feed(data, paths)
        i = range.upperBound
      case .endOfEvent(let used):
        endEvent()
        i = used
      case .more: return
      }
    }
  }

  private static let done: UInt64 = 0x5B44_4F4E_455D  // "[DONE]"

  private mutating func endEvent() {
    switch dialect {
    case .openaiChat: if sentinel == Self.done { isComplete = true } else { pieces += 1 }
    case .anthropicMessages:
      if isType("message_stop") { isComplete = true } else if isType("content_block_delta") { pieces += 1 }
    case .openaiResponses:
      if isType("response.completed") || isType("response.incomplete") || isType("response.failed") {
        isComplete = true
      } else if hasType(ending: ".delta") {
        pieces += 1
      }
    case .gemini: pieces += 1
    case .bedrockConverse, .opaque: break
    }
    sentinel = 0
    probe.startNextDocument()
  }

  private func isType(_ name: StaticString) -> Bool {
    let text = probe.text(1)
    return text.span.equals(name)
  }

  private func hasType(ending: StaticString) -> Bool {
    let text = probe.text(1)
    let n = ending.utf8CodeUnitCount
    return text.count >= n && text.span.extracting((text.count - n)..<text.count).equals(ending)
  }

  /// What has been read so far.
  public var usage: Usage {
    var usage = Usage(
      input: probe.number(0), output: probe.number(1), cacheRead: probe.number(2), cacheWrite: probe.number(3),
      reasoning: probe.number(4), audioInput: probe.number(5), audioOutput: probe.number(6))
    // OpenAI counts cached tokens inside the input, Anthropic beside it. Only a plausible part is taken off: one hosted
    // model reports 163 cached tokens of 7.
    if dialect == .gemini, let reasoning = usage.reasoning {
      // Thoughts stand beside the candidates.
      usage.output = (usage.output ?? 0) + reasoning
    }
    if dialect != .anthropicMessages, dialect != .bedrockConverse, let input = usage.input {
      let cached = (usage.cacheRead ?? 0) + (usage.cacheWrite ?? 0)
      if cached <= input { usage.input = input - cached }
    }
    return usage
  }

  /// The tariff that the provider says it has charged.
  public var service: Price.Service {
    let tier = probe.text(2)
    return tier.span.equals("priority") ? .priority : tier.span.equals("batch") ? .batch : .standard
  }

  /// The model that the provider says answered.
  public var model: JSONText { JSONText(probe.text(0)) }

  private var paths: JSONPaths {
    switch dialect {
    case .anthropicMessages: Self.anthropic
    case .gemini: Self.gemini
    case .bedrockConverse: Self.bedrock
    default: Self.openai
    }
  }

  private static let gemini = JSONPaths([
    ("modelVersion", .text(0)), ("usageMetadata.promptTokenCount", .number(0)),
    ("usageMetadata.candidatesTokenCount", .number(1)),
    ("usageMetadata.cachedContentTokenCount", .number(2)), ("usageMetadata.thoughtsTokenCount", .number(4)),
  ])

  private static let bedrock = JSONPaths([
    ("usage.inputTokens", .number(0)), ("usage.outputTokens", .number(1)), ("usage.cacheReadInputTokens", .number(2)),
    ("usage.cacheWriteInputTokens", .number(3)),
  ])

  private static let openai: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [
      ("model", .text(0)), ("type", .text(1)), ("response.model", .text(0)), ("service_tier", .text(2)),
      ("response.service_tier", .text(2)),
    ]
    for prefix in ["usage.", "response.usage."] {
      for (name, slot) in [
        ("prompt_tokens", 0), ("input_tokens", 0), ("completion_tokens", 1), ("output_tokens", 1),
        ("prompt_tokens_details.cached_tokens", 2),
        ("input_tokens_details.cached_tokens", 2), ("prompt_tokens_details.cache_write_tokens", 3),
        ("input_tokens_details.cache_write_tokens", 3), ("completion_tokens_details.reasoning_tokens", 4),
        ("output_tokens_details.reasoning_tokens", 4), ("prompt_tokens_details.audio_tokens", 5),
        ("input_tokens_details.audio_tokens", 5), ("completion_tokens_details.audio_tokens", 6),
        ("output_tokens_details.audio_tokens", 6),
      ] { paths.append((prefix + name, .number(slot))) }
    }
    return JSONPaths(paths)
  }()

  private static let anthropic: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [
      ("model", .text(0)), ("type", .text(1)), ("message.model", .text(0)), ("usage.service_tier", .text(2)),
      ("message.usage.service_tier", .text(2)),
    ]
    for prefix in ["usage.", "message.usage."] {
      for (name, slot) in [
        ("input_tokens", 0), ("output_tokens", 1), ("cache_read_input_tokens", 2), ("cache_creation_input_tokens", 3),
      ] { paths.append((prefix + name, .number(slot))) }
    }
    return JSONPaths(paths)
  }()
}
