public import Primitives
import Wire

/// Reads the usage block out of an answer while its bytes flow past. Keeps nothing else of it and allocates nothing.
public struct UsageMeter: Sendable {
  /// How the answer is framed.
  public enum Format: Sendable {
    case json
    /// Server-sent events.
    case eventStream
    /// One JSON document a line.
    case lines
    /// Amazon's frames.
    case frames
    case other

    public var isStream: Bool { self == .eventStream || self == .lines || self == .frames }
  }

  private var dialect: Dialect
  private var format: Format
  private var probe = JSONProbe()
  private var events = EventStreamSplitter()
  private var amazon = AmazonFrames()
  private var inner = Base64Member()
  private var sentinel: UInt64 = 0
  /// What the head says.
  private var headInput: TokenCount?
  private var headOutput: TokenCount?
  private var isHeadImpossible = false
  /// Whether nothing of the event at hand has been seen; whether it is passed over; whether one was read before, which names the model.
  private var isFresh = true
  private var isPassedOver = false
  private var hasRead = false
  /// The stream has said that it is complete: what follows is only its end.
  public private(set) var isComplete = false
  /// Events that carried some of the answer. A provider puts at least one token into each.
  public private(set) var pieces: TokenCount = 0

  public init(_ dialect: Dialect = .opaque, _ format: Format = .other) {
    self.dialect = dialect
    self.format = dialect == .opaque ? .other : format
  }

  /// Says what is coming, before the first byte. (In place: a meter is a kilobyte, and moving it costs more than this.)
  public mutating func expect(_ dialect: Dialect, _ format: Format) {
    self.dialect = dialect
    self.format = dialect == .opaque ? .other : format
  }

  /// As new, for the next answer: nothing of the last one is left, since nothing of it is taken over.
  public mutating func reset() { self = UsageMeter() }

  /// Takes in a field of the answer's head; after `expect`.
  public mutating func note(field name: Span<UInt8>, _ value: Span<UInt8>) {
    guard dialect == .bedrockInvoke else { return }
    if name.equalsIgnoringCase("x-amzn-bedrock-input-token-count") { headInput = count(field: value) }
    if name.equalsIgnoringCase("x-amzn-bedrock-output-token-count") { headOutput = count(field: value) }
  }

  private mutating func count(field value: Span<UInt8>) -> TokenCount? {
    let count = ASCII.decimal(value).flatMap { TokenCount(told: Int64($0)) }
    if count == nil { isHeadImpossible = true }
    return count
  }

  /// The content type's format, by its first bytes.
  public static func format(contentType: Span<UInt8>) -> Format {
    func starts(_ with: StaticString) -> Bool {
      contentType.count >= with.utf8CodeUnitCount && contentType.extracting(0..<with.utf8CodeUnitCount).equalsIgnoringCase(with)
    }
    if starts("text/event-stream") { return .eventStream }
    if starts("application/json") { return .json }
    if starts("application/x-ndjson") || starts("application/stream+json") || starts("application/jsonl")
      || starts("application/x-jsonl")
    {
      return .lines
    }
    return starts("application/vnd.amazon.eventstream") ? .frames : .other
  }

  public mutating func feed(_ bytes: Span<UInt8>) {
    switch format {
    case .other: return
    case .json: probe.feed(bytes, paths)
    case .eventStream: feedEvents(bytes)
    case .lines: feedLines(bytes)
    case .frames: feedFrames(bytes)
    }
  }

  private mutating func feedEvents(_ bytes: Span<UInt8>) {
    let paths = paths
    var i = 0
    while true {
      switch events.step(bytes, from: i) {
      case .data(let range):
        let data = bytes.extracting(range)
        i = range.upperBound
        if isFresh, hasRead, isOver(bytes, i), saysNothing(data) {
          (isFresh, isPassedOver) = (false, true)
          continue
        }
        isFresh = false
        // "[DONE]" is six bytes; eight hold it, and an event that goes on is something else.
        for j in 0..<min(data.count, 8) { sentinel = sentinel << 8 | UInt64(data[j]) }
        probe.feed(data, paths)
      case .endOfEvent(let used):
        endEvent()
        i = used
      case .more: return
      }
    }
  }

  /// Whether a blank line follows at `i`: the event has no more data.
  private func isOver(_ bytes: Span<UInt8>, _ i: Int) -> Bool {
    if i + 1 < bytes.count, bytes[i] == 10 { return bytes[i + 1] == 10 }
    return i + 3 < bytes.count && bytes[i] == 13 && bytes[i + 1] == 10 && bytes[i + 2] == 13 && bytes[i + 3] == 10
  }

  /// Whether a whole event carries some of the answer and nothing that is metered, seen without reading it as JSON: most events of a
  /// stream are like that. In JSON a quote inside a string is escaped: these names stand for themselves.
  private func saysNothing(_ data: Span<UInt8>) -> Bool {
    switch dialect {
    case .openaiChat:
      guard data.count > 8, let usage = data.firstIndex(of: "usage\"") else { return data.count > 8 }
      // Where the usage comes at the end, it is null before.
      return data.extracting((usage + 6)..<data.count).starts(with: ":null")
        && data.firstIndex(of: "usage\"", from: usage + 6) == nil
    case .anthropicMessages: return data.starts(with: #"{"type":"content_block_delta""#)
    case .openaiResponses:
      guard data.starts(with: #"{"type":"response."#), let end = data.firstIndex(of: UInt8(ascii: "\""), from: 18) else {
        return false
      }
      let type = data.extracting(18..<end)
      return type.count > 6 && type.extracting((type.count - 6)..<type.count).equals(".delta")
    default: return false
    }
  }

  private mutating func feedLines(_ bytes: Span<UInt8>) {
    let paths = paths
    var i = 0
    while i < bytes.count {
      let end = bytes.firstIndex(of: 10, from: i) ?? bytes.count
      probe.feed(bytes.extracting(i..<end), paths)
      if end < bytes.count { endEvent() }
      i = end + 1
    }
  }

  private mutating func feedFrames(_ bytes: Span<UInt8>) {
    let paths = paths
    var i = 0
    while true {
      switch amazon.step(bytes, from: i) {
      case .payload(let range):
        if dialect == .bedrockInvoke {
          inner.feed(bytes.extracting(range), into: &probe, paths)
        } else {
          probe.feed(bytes.extracting(range), paths)
        }
        i = range.upperBound
      case .endOfFrame(let used):
        endEvent()
        inner = Base64Member()
        i = used
      case .more, .invalid: return
      }
    }
  }

  private static let done: UInt64 = 0x5B44_4F4E_455D  // "[DONE]"

  private mutating func endEvent() {
    isFresh = true
    if isPassedOver {
      isPassedOver = false
      pieces += 1
      return
    }
    hasRead = true
    switch dialect {
    case .openaiChat, .geminiInteractions: if sentinel == Self.done { isComplete = true } else { pieces += 1 }
    case .anthropicMessages:
      if isType("message_stop") { isComplete = true } else if isType("content_block_delta") { pieces += 1 }
    case .openaiResponses:
      if isType("response.completed") || isType("response.incomplete") || isType("response.failed") {
        isComplete = true
      } else if hasType(ending: ".delta") {
        pieces += 1
      }
    case .cohere:
      if isType("message-end") || isType("stream-end") {
        isComplete = true
      } else if isType("content-delta") || isType("text-generation") {
        pieces += 1
      }
    case .opaque: break
    default: pieces += 1
    }
    sentinel = 0
    probe.startNextDocument()
  }

  private func isType(_ name: StaticString) -> Bool {
    let text = probe.text(UsagePaths.Text.type)
    return text.span.equals(name)
  }

  private func hasType(ending: StaticString) -> Bool {
    let text = probe.text(UsagePaths.Text.type)
    let n = ending.utf8CodeUnitCount
    return text.count >= n && text.span.extracting((text.count - n)..<text.count).equals(ending)
  }

  /// True once the provider has told a count that cannot be true: then nothing that it tells is believed.
  public var isImpossible: Bool { isHeadImpossible || probe.isImpossible(anyOf: Self.counts) }

  /// Places of the probe that are counts: all but what the answer costs.
  private static let counts: UInt16 = 0xFFF & ~(1 << UInt16(UsagePaths.Number.cost))

  private func tokens(_ place: Int) -> TokenCount? { probe.number(place).map { TokenCount($0) } }
  private func amount(_ place: Int) -> Count? { probe.number(place).map { Count($0) } }

  /// What has been read so far; nothing where a count cannot be true.
  public var usage: Usage {
    typealias Place = UsagePaths.Number
    guard !isImpossible else { return Usage() }
    var usage = Usage(
      input: tokens(Place.input), output: tokens(Place.output), cacheRead: tokens(Place.cacheRead),
      cacheWrite: tokens(Place.cacheWrite), reasoning: tokens(Place.reasoning))
    switch dialect {
    case .anthropicMessages:
      // One request can be several turns, of which the block itself counts the last only.
      if let sum = tokens(Place.inputSum), let output = tokens(Place.outputSum) {
        (usage.input, usage.output) = (sum, output)
        usage.cacheRead = tokens(Place.cacheReadSum) ?? usage.cacheRead
        usage.cacheWrite = tokens(Place.cacheWriteSum) ?? usage.cacheWrite
      }
    case .bedrockConverse, .cohere, .ollama, .replicate: break
    case .watsonx: usage.input = usage.input ?? tokens(Place.inputSum)
    case .bedrockInvoke:
      // Models whose body says nothing of it have Bedrock say it.
      if !usage.isKnown { (usage.input, usage.output) = (headInput, headOutput) }
    case .anthropicBatch:
      (usage.input, usage.output) = (tokens(Place.inputSum), tokens(Place.outputSum))
      (usage.cacheRead, usage.cacheWrite) = (tokens(Place.cacheReadSum), tokens(Place.cacheWriteSum))
    case .openaiBatch:
      // Until it is over there are zeros, or not all.
      guard isType("completed") || isType("expired") || isType("cancelled"), usage.input ?? 0 > 0 else { return Usage() }
      takeCachedOff(&usage)
    case .gemini, .geminiInteractions:
      // Thoughts stand beside the candidates, what tools brought beside the prompt.
      if let reasoning = usage.reasoning { usage.output = (usage.output ?? 0) + reasoning }
      takeCachedOff(&usage)
      if let tools = tokens(Place.audioInput) { usage.input = (usage.input ?? 0) + tools }
    default:
      (usage.audioInput, usage.audioOutput) = (tokens(Place.audioInput), tokens(Place.audioOutput))
      takeCachedOff(&usage)
      usage.seconds = amount(Place.seconds)
      if !usage.isKnown, cost == nil { usage.images = amount(Place.images) }
    }
    return usage
  }

  /// OpenAI counts cached tokens inside the input, Anthropic beside it. Only a plausible part is taken off: one hosted model
  /// reports 163 cached tokens of 7.
  private func takeCachedOff(_ usage: inout Usage) {
    guard let input = usage.input else { return }
    let cached = (usage.cacheRead ?? 0) + (usage.cacheWrite ?? 0)
    if cached <= input { usage.input = input - cached }
  }

  /// What the provider says it costs, where it does and where that can be. One hosted model says 0 of everything: that is no price.
  public var cost: NanoDollars? {
    let place = UsagePaths.Number.cost
    guard !isImpossible, !probe.isImpossible(place), let cost = probe.number(place), cost > 0 else { return nil }
    return NanoDollars(told: cost)
  }

  /// The tariff that the provider says it has charged.
  public var service: Price.Service {
    if dialect.tellsOfBatch { return .batch }
    let tier = probe.text(UsagePaths.Text.service)
    return tier.span.equals("priority") ? .priority : tier.span.equals("batch") ? .batch : .standard
  }

  /// The model that the provider says answered.
  public var model: JSONText { JSONText(probe.text(UsagePaths.Text.model)) }

  private var paths: JSONPaths { dialect == .totalTokens ? UsagePaths.totalTokens : UsagePaths.of(dialect) }
}

/// Decodes the member `bytes` of a small document, which is base64 of another, and has that one read.
struct Base64Member: Sendable {
  private var matched = 0
  private var isOver = false
  private var bits: UInt32 = 0
  private var count = 0

  init() {}

  mutating func feed(_ bytes: Span<UInt8>, into probe: inout JSONProbe, _ paths: JSONPaths) {
    let start: StaticString = "\"bytes\":\""
    var decoded = InlineArray<96, UInt8>(repeating: 0)
    var n = 0
    for i in bytes.indices where !isOver {
      let b = bytes[i]
      if matched < start.utf8CodeUnitCount {
        matched = start.span[matched] == b ? matched + 1 : start.span[0] == b ? 1 : 0
        continue
      }
      guard let value = Self.value(b) else {
        isOver = true
        break
      }
      bits = bits << 6 | UInt32(value)
      count += 1
      guard count == 4 else { continue }
      for shift: UInt32 in [16, 8, 0] {
        decoded[n] = UInt8(truncatingIfNeeded: bits >> shift)
        n += 1
      }
      (bits, count) = (0, 0)
      if n == 96 {
        probe.feed(decoded.span, paths)
        n = 0
      }
    }
    if isOver, count > 1 {
      // The last group: two digits are a byte, three are two.
      let rest = bits << UInt32(6 * (4 - count))
      decoded[n] = UInt8(truncatingIfNeeded: rest >> 16)
      n += 1
      if count == 3 {
        decoded[n] = UInt8(truncatingIfNeeded: rest >> 8)
        n += 1
      }
      count = 0
    }
    if n > 0 { probe.feed(decoded.span.extracting(0..<n), paths) }
  }

  private static func value(_ b: UInt8) -> UInt8? {
    if b &- 65 < 26 { return b - 65 }
    if b &- 97 < 26 { return b - 71 }
    if ASCII.isDigit(b) { return b + 4 }
    return b == UInt8(ascii: "+") ? 62 : b == UInt8(ascii: "/") ? 63 : nil
  }
}
