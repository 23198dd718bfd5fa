/// Tokens of one exchange, as the provider counted them. nil: not told.
public struct Usage: Equatable, Sendable {
  /// Tokens of input that were neither read from nor written to a cache.
  public var input: Int64?
  /// All tokens of output, reasoning included.
  public var output: Int64?
  public var cacheRead: Int64?
  public var cacheWrite: Int64?
  /// The part of `output` that was reasoning.
  public var reasoning: Int64?
  /// The parts of `input` and `output` that were audio.
  public var audioInput: Int64?
  public var audioOutput: Int64?
  /// Seconds of sound, where that is what is counted, rounded up.
  public var seconds: Int64?
  /// Pictures that were made, where nothing else of them is counted.
  public var images: Int64?

  public init(
    input: Int64? = nil, output: Int64? = nil, cacheRead: Int64? = nil, cacheWrite: Int64? = nil, reasoning: Int64? = nil,
    audioInput: Int64? = nil, audioOutput: Int64? = nil,
    seconds: Int64? = nil, images: Int64? = nil
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
  public var allInput: Int64 { (input ?? 0) + (cacheRead ?? 0) + (cacheWrite ?? 0) }
  /// Whether the provider said how much it was.
  public var isKnown: Bool { input != nil || output != nil || seconds != nil || images != nil }
}
