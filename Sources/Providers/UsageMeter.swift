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

  public init(_ dialect: Dialect = .opaque, _ format: Format = .other) {
    self.dialect = dialect
    self.format = dialect == .opaque ? .other : format
  }

  /// Says what is coming, before the first byte. (In place: a meter is half a kilobyte, and moving it costs more than this.)
  public mutating func expect(_ dialect: Dialect, _ format: Format) {
    self.dialect = dialect
    self.format = dialect == .opaque ? .other : format
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
    case .openaiChat: if sentinel == Self.done { isComplete = true }
    case .anthropicMessages: if isType("message_stop") { isComplete = true }
    case .openaiResponses:
      if isType("response.completed") || isType("response.incomplete") || isType("response.failed") { isComplete = true }
    case .opaque: break
    }
    sentinel = 0
    probe.startNextDocument()
  }

  private func isType(_ name: StaticString) -> Bool {
    let text = probe.text(1)
    return text.span.equals(name)
  }

  /// What has been read so far.
  public var usage: Usage {
    var usage = Usage(
      input: probe.number(0), output: probe.number(1), cacheRead: probe.number(2), cacheWrite: probe.number(3),
      reasoning: probe.number(4))
    // OpenAI counts cached tokens inside the input, Anthropic beside it. Only a plausible part is taken off: one hosted
    // model reports 163 cached tokens of 7.
    if dialect != .anthropicMessages, let input = usage.input {
      let cached = (usage.cacheRead ?? 0) + (usage.cacheWrite ?? 0)
      if cached <= input { usage.input = input - cached }
    }
    return usage
  }

  /// The model that the provider says answered.
  public var model: JSONText { JSONText(probe.text(0)) }

  private var paths: JSONPaths { dialect == .anthropicMessages ? Self.anthropic : Self.openai }

  private static let openai: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [("model", .text(0)), ("type", .text(1)), ("response.model", .text(0))]
    for prefix in ["usage.", "response.usage."] {
      for (name, slot) in [
        ("prompt_tokens", 0), ("input_tokens", 0), ("completion_tokens", 1), ("output_tokens", 1),
        ("prompt_tokens_details.cached_tokens", 2),
        ("input_tokens_details.cached_tokens", 2), ("prompt_tokens_details.cache_write_tokens", 3),
        ("input_tokens_details.cache_write_tokens", 3), ("completion_tokens_details.reasoning_tokens", 4),
        ("output_tokens_details.reasoning_tokens", 4),
      ] { paths.append((prefix + name, .number(slot))) }
    }
    return JSONPaths(paths)
  }()

  private static let anthropic: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [("model", .text(0)), ("type", .text(1)), ("message.model", .text(0))]
    for prefix in ["usage.", "message.usage."] {
      for (name, slot) in [
        ("input_tokens", 0), ("output_tokens", 1), ("cache_read_input_tokens", 2), ("cache_creation_input_tokens", 3),
      ] { paths.append((prefix + name, .number(slot))) }
    }
    return JSONPaths(paths)
  }()
}

/// A short text taken out of a document, for the record.
public struct JSONText: Sendable {
  private let text: JSONProbe.Text
  init(_ text: JSONProbe.Text) { self.text = text }
  public init() { text = JSONProbe.Text() }
  public var span: Span<UInt8> {
    @_lifetime(borrow self) get { text.span }
  }
}

/// Reads the model out of a request body while it flows past.
public struct RequestReader: Sendable {
  private var probe = JSONProbe()
  /// Whether the body is to be read at all.
  public var isJSON = false

  public init() {}

  public mutating func feed(_ bytes: Span<UInt8>) {
    if isJSON { probe.feed(bytes, Self.paths) }
  }

  public var model: JSONText { JSONText(probe.text(0)) }

  /// After the last byte: whether the body was valid JSON that names one model, once, in full. What any strict or lenient
  /// parser upstream then reads is the same.
  public mutating func namesOneModel() -> Bool {
    guard isJSON else { return false }
    probe.finish(Self.paths)
    return probe.status == .complete && !probe.hasDuplicate && !probe.hasCaseVariant && !probe.isTruncated
      && probe.text(0).count > 0
  }

  private static let paths = JSONPaths([("model", .text(0))], noticesCaseVariants: true)
}
