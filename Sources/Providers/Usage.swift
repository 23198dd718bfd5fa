public import Primitives

/// Tokens of one exchange, as the provider counted them. nil: not told, or told as something that cannot be true.
public struct Usage: Equatable, Sendable {
  /// Tokens of input that were neither read from nor written to a cache.
  public var input: TokenCount?
  /// All tokens of output, reasoning included.
  public var output: TokenCount?
  public var cacheRead: TokenCount?
  public var cacheWrite: TokenCount?
  /// The part of `output` that was reasoning.
  public var reasoning: TokenCount?
  /// The parts of `input` and `output` that were audio.
  public var audioInput: TokenCount?
  public var audioOutput: TokenCount?
  /// Seconds of sound, where that is what is counted, rounded up.
  public var seconds: Count?
  /// Pictures that were made, where nothing else of them is counted.
  public var images: Count?

  public init(
    input: TokenCount? = nil, output: TokenCount? = nil, cacheRead: TokenCount? = nil, cacheWrite: TokenCount? = nil,
    reasoning: TokenCount? = nil,
    audioInput: TokenCount? = nil, audioOutput: TokenCount? = nil,
    seconds: Count? = nil, images: Count? = nil
  ) {
    self.input = input
    self.output = output
    self.cacheRead = cacheRead
    self.cacheWrite = cacheWrite
    self.reasoning = reasoning
    self.audioInput = audioInput
    self.audioOutput = audioOutput
    self.seconds = seconds
    self.images = images
  }

  /// All tokens that went in, cached or not.
  public var allInput: TokenCount { (input ?? 0) + (cacheRead ?? 0) + (cacheWrite ?? 0) }
  /// Whether the provider said how much it was.
  public var isKnown: Bool { input != nil || output != nil || seconds != nil || images != nil }
}
