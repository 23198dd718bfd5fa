public import Primitives

/// What a model costs: nano-dollars per million tokens of each kind. nil: not said, and then as the line below it in `cost`.
public struct Price: Hashable, Sendable, Codable {
  /// Tokens that one request can have at most, as the provider states it.
  public var inputMax: Int64?
  public var outputMax: Int64?
  public var input: Int64?
  public var output: Int64?
  public var cacheRead: Int64?
  public var cacheWrite: Int64?
  /// A cache entry that is kept for an hour.
  public var cacheWriteHour: Int64?
  /// The part of the output that was reasoning, where it has a price of its own.
  public var reasoning: Int64?
  public var audioInput: Int64?
  public var audioOutput: Int64?
  /// Nano-dollars per image.
  public var image: Int64?
  /// Nano-dollars per second of sound that goes in.
  public var second: Int64?
  public var batchInput: Int64?
  public var batchOutput: Int64?
  public var priorityInput: Int64?
  public var priorityOutput: Int64?
  public var priorityCacheRead: Int64?
  /// Requests with more input tokens than this cost the prices of the tier, all of them.
  public var tierAbove: Int64?
  public var tierInput: Int64?
  public var tierOutput: Int64?
  public var tierCacheRead: Int64?
  public var tierCacheWrite: Int64?

  public init() {}

  /// Each member by its name in files, on the command line and over the wire.
  static let columns: [(name: String, path: any WritableKeyPath<Price, Int64?> & Sendable)] = [
    ("max_input", \.inputMax), ("max_output", \.outputMax), ("input", \.input), ("output", \.output), ("cache_read", \.cacheRead),
    ("cache_write", \.cacheWrite), ("cache_write_1h", \.cacheWriteHour), ("reasoning", \.reasoning),
    ("audio_input", \.audioInput), ("audio_output", \.audioOutput), ("image", \.image), ("second", \.second),
    ("batch_input", \.batchInput),
    ("batch_output", \.batchOutput), ("priority_input", \.priorityInput), ("priority_output", \.priorityOutput),
    ("priority_cache_read", \.priorityCacheRead), ("tier_above", \.tierAbove), ("tier_input", \.tierInput),
    ("tier_output", \.tierOutput), ("tier_cache_read", \.tierCacheRead), ("tier_cache_write", \.tierCacheWrite),
  ]

  public static let columnNames = columns.map(\.name)

  /// Whether a column counts tokens and not money.
  public static func isCount(_ column: String) -> Bool { ["max_input", "max_output", "tier_above"].contains(column) }

  /// What is said, by column.
  public var values: [(column: String, value: Int64)] {
    Self.columns.compactMap { column in self[keyPath: column.path].map { (column.name, $0) } }
  }

  /// The largest value of a column: a million dollars a million tokens, or 2⁴⁰ tokens.
  public static let valueMax: Int64 = 1_000_000 * NanoDollars.perDollar

  /// False when there is no such column, or when `value` is negative or above `valueMax`.
  public mutating func set(_ column: String, _ value: Int64) -> Bool {
    guard (0...Self.valueMax).contains(value) else { return false }
    guard let path = Self.columns.first(where: { $0.name == column })?.path else { return false }
    self[keyPath: path] = value
    return true
  }

  /// Which tariff the provider says it has charged.
  public enum Service: Sendable { case standard, priority, batch }

  /// Exact nano-dollars of `usage`, rounded up once; nil when a kind of token was used that has no price.
  public func cost(_ usage: Usage, service: Service = .standard) -> NanoDollars? {
    let cacheReads = usage.cacheRead ?? 0
    let cacheWrites = usage.cacheWrite ?? 0
    let audioIn = min(usage.audioInput ?? 0, usage.input ?? 0)
    let audioOut = min(usage.audioOutput ?? 0, usage.output ?? 0)
    let reasoning = min(usage.reasoning ?? 0, (usage.output ?? 0) - audioOut)
    let isTier = tierAbove.map { usage.allInput > TokenCount($0) } ?? false
    func rate(_ standard: Int64?, _ tier: Int64?, _ priority: Int64? = nil, _ batch: Int64? = nil) -> Int64? {
      switch service {
      case .priority: priority.map { max($0, isTier ? tier ?? $0 : $0) } ?? (isTier ? tier ?? standard : standard)
      case .batch: batch ?? standard
      case .standard: isTier ? tier ?? standard : standard
      }
    }
    let inputRate = rate(input, tierInput, priorityInput, batchInput)
    let outputRate = rate(output, tierOutput, priorityOutput, batchOutput)
    var total = MoneySum()
    // Sound is paid for by the second where it has no tokens, or its tokens no price.
    if let seconds = usage.seconds, (usage.input ?? 0) + (usage.output ?? 0) == 0 || (input == nil && second != nil) {
      guard let second else { return nil }
      total.add(seconds, each: second)
      return total.rounded
    }
    if let images = usage.images {
      guard let image else { return nil }
      total.add(images, each: image)
      return total.rounded
    }
    var isPriced = true
    func add(_ tokens: TokenCount, _ rate: Int64?) {
      guard tokens > 0 else { return }
      guard let rate else { return isPriced = false }
      total.add(tokens, perMillion: rate)
    }
    add((usage.input ?? 0) - audioIn, inputRate)
    add(audioIn, audioInput ?? inputRate)
    add(cacheReads, rate(cacheRead, tierCacheRead, priorityCacheRead) ?? inputRate)
    // Which of the two lifetimes was used is not told everywhere: the dearer is never too little.
    add(cacheWrites, Self.larger(Self.larger(rate(cacheWrite, tierCacheWrite), cacheWriteHour), inputRate))
    add((usage.output ?? 0) - audioOut - reasoning, outputRate)
    add(audioOut, audioOutput ?? outputRate)
    add(reasoning, self.reasoning ?? outputRate)
    return isPriced ? total.rounded : nil
  }

  private static func larger(_ a: Int64?, _ b: Int64?) -> Int64? {
    guard let a else { return b }
    return b.map { max(a, $0) } ?? a
  }

  /// The most that a request with so many tokens at most can cost, whatever kind they turn out to be; nil without a price.
  public func bound(inputTokens: TokenCount, outputTokens: TokenCount) -> NanoDollars? {
    let isTier = tierAbove.map { inputTokens > TokenCount($0) } ?? false
    var inputRate = Self.larger(Self.larger(input, cacheRead), Self.larger(cacheWrite, cacheWriteHour))
    inputRate = Self.larger(inputRate, Self.larger(audioInput, Self.larger(priorityInput, priorityCacheRead)))
    var outputRate = Self.larger(Self.larger(output, reasoning), Self.larger(audioOutput, priorityOutput))
    if isTier {
      inputRate = Self.larger(inputRate, Self.larger(tierInput, Self.larger(tierCacheRead, tierCacheWrite)))
      outputRate = Self.larger(outputRate, tierOutput)
    }
    guard inputTokens == 0 || inputRate != nil, outputTokens == 0 || outputRate != nil else { return nil }
    var total = MoneySum()
    total.add(inputTokens, perMillion: inputRate ?? 0)
    total.add(outputTokens, perMillion: outputRate ?? 0)
    return total.rounded
  }

  /// The output tokens that `money` buys beside so many of input, at most `limit`; nil when it does not buy one.
  public func affordable(_ money: NanoDollars, inputTokens: TokenCount, limit: TokenCount) -> TokenCount? {
    var (low, high) = (TokenCount(0), limit)
    while low < high {
      let middle = low + (high - low + 1) / 2
      if let cost = bound(inputTokens: inputTokens, outputTokens: middle), cost <= money {
        low = middle
      } else {
        high = middle - 1
      }
    }
    return low > 0 ? low : nil
  }
}
