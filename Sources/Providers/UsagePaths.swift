import Wire

/// Where each dialect tells its usage.
enum UsagePaths {
  // Places of the probe.
  enum Number {
    static let input = 0
    static let output = 1
    static let cacheRead = 2
    static let cacheWrite = 3
    static let reasoning = 4
    static let audioInput = 5
    static let audioOutput = 6
    /// Nano-dollars, as the provider says.
    static let cost = 7
    // Sums over lists: of the turns that one request was made of.
    static let inputSum = 8
    static let outputSum = 9
    static let cacheReadSum = 10
    static let cacheWriteSum = 11
    // In the same places, where nothing is summed.
    static let seconds = 8
    static let images = 9
  }
  enum Text {
    static let model = 0
    static let type = 1
    static let service = 2
  }

  static func of(_ dialect: Dialect) -> JSONPaths {
    switch dialect {
    case .anthropicMessages: anthropic
    case .gemini: gemini
    case .bedrockConverse: bedrock
    case .bedrockInvoke: bedrockInvoke
    case .cohere: cohere
    case .ollama: ollama
    case .watsonx: watsonx
    case .geminiInteractions: interactions
    case .openaiBatch: openaiBatch
    case .anthropicBatch: anthropicBatch
    case .replicate: replicate
    case .openaiChat, .openaiResponses, .totalTokens, .opaque, .openaiRealtime, .geminiLive: openai
    }
  }

  private static let openai: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [
      ("model", .text(Text.model)), ("type", .text(Text.type)), ("response.model", .text(Text.model)),
      ("service_tier", .text(Text.service)), ("response.service_tier", .text(Text.service)),
      ("x_groq.usage.prompt_tokens", .number(Number.input)), ("x_groq.usage.completion_tokens", .number(Number.output)),
      ("usage.prompt_cache_hit_tokens", .number(Number.cacheRead)), ("usage.cached_tokens", .number(Number.cacheRead)),
      ("usage.seconds", .scaled(Number.seconds, power: 0)), ("usage.prompt_audio_seconds", .scaled(Number.seconds, power: 0)),
      ("data.[].url", .count(Number.images)), ("data.[].b64_json", .count(Number.images)),
      ("usage.cost", .scaled(Number.cost, power: 9)), ("usage.cost.total_cost", .scaled(Number.cost, power: 9)),
    ]
    for prefix in ["usage.", "response.usage."] {
      for (name, slot) in [
        ("prompt_tokens", Number.input), ("input_tokens", Number.input), ("completion_tokens", Number.output),
        ("output_tokens", Number.output), ("prompt_tokens_details.cached_tokens", Number.cacheRead),
        ("input_tokens_details.cached_tokens", Number.cacheRead), ("prompt_tokens_details.cache_write_tokens", Number.cacheWrite),
        ("input_tokens_details.cache_write_tokens", Number.cacheWrite),
        ("completion_tokens_details.reasoning_tokens", Number.reasoning),
        ("output_tokens_details.reasoning_tokens", Number.reasoning), ("prompt_tokens_details.audio_tokens", Number.audioInput),
        ("input_tokens_details.audio_tokens", Number.audioInput), ("completion_tokens_details.audio_tokens", Number.audioOutput),
        ("output_tokens_details.audio_tokens", Number.audioOutput),
      ] { paths.append((prefix + name, .number(slot))) }
      // xAI counts in tenths of a nano-dollar.
      paths.append((prefix + "cost_in_usd_ticks", .scaled(Number.cost, power: -1)))
    }
    return JSONPaths(paths)
  }()

  static let totalTokens = JSONPaths([("model", .text(Text.model)), ("usage.total_tokens", .number(Number.input))])

  private static let anthropic: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [
      ("model", .text(Text.model)), ("type", .text(Text.type)), ("message.model", .text(Text.model)),
      ("usage.service_tier", .text(Text.service)), ("message.usage.service_tier", .text(Text.service)),
    ]
    for prefix in ["usage.", "message.usage."] {
      for (name, slot) in [
        ("input_tokens", Number.input), ("output_tokens", Number.output), ("cache_read_input_tokens", Number.cacheRead),
        ("cache_creation_input_tokens", Number.cacheWrite),
      ] { paths.append((prefix + name, .number(slot))) }
      paths.append((prefix + "iterations", .sums))
      for (name, slot) in [
        ("input_tokens", Number.inputSum), ("output_tokens", Number.outputSum), ("cache_read_input_tokens", Number.cacheReadSum),
        ("cache_creation_input_tokens", Number.cacheWriteSum),
      ] { paths.append((prefix + "iterations.[]." + name, .sum(slot))) }
    }
    return JSONPaths(paths)
  }()

  private static let gemini: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = []
    // As one object, as events, or as a list that is streamed.
    for prefix in ["", "[]."] {
      paths.append((prefix + "modelVersion", .text(Text.model)))
      for (name, slot) in [
        ("promptTokenCount", Number.input), ("candidatesTokenCount", Number.output),
        ("cachedContentTokenCount", Number.cacheRead),
        ("thoughtsTokenCount", Number.reasoning), ("toolUsePromptTokenCount", Number.audioInput),
      ] { paths.append((prefix + "usageMetadata." + name, .number(slot))) }
    }
    return JSONPaths(paths)
  }()

  private static let bedrock = JSONPaths([
    ("usage.inputTokens", .number(Number.input)), ("usage.outputTokens", .number(Number.output)),
    ("usage.cacheReadInputTokens", .number(Number.cacheRead)), ("usage.cacheWriteInputTokens", .number(Number.cacheWrite)),
  ])

  private static let bedrockInvoke: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [
      ("usage.input_tokens", .number(Number.input)), ("usage.output_tokens", .number(Number.output)),
      ("usage.cache_read_input_tokens", .number(Number.cacheRead)),
      ("usage.cache_creation_input_tokens", .number(Number.cacheWrite)), ("usage.inputTokens", .number(Number.input)),
      ("usage.outputTokens", .number(Number.output)), ("inputTextTokenCount", .number(Number.input)),
      ("results.[].tokenCount", .number(Number.output)), ("prompt_token_count", .number(Number.input)),
      ("generation_token_count", .number(Number.output)),
    ]
    for (name, slot) in [
      ("inputTokenCount", Number.input), ("outputTokenCount", Number.output), ("cacheReadInputTokenCount", Number.cacheRead),
      ("cacheWriteInputTokenCount", Number.cacheWrite),
    ] { paths.append(("amazon-bedrock-invocationMetrics.\(name)", .number(slot))) }
    return JSONPaths(paths)
  }()

  private static let cohere: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = [("type", .text(Text.type)), ("event_type", .text(Text.type))]
    for prefix in ["usage.", "delta.usage.", "meta.", "response.meta."] {
      paths.append((prefix + "billed_units.input_tokens", .number(Number.input)))
      paths.append((prefix + "billed_units.output_tokens", .number(Number.output)))
    }
    return JSONPaths(paths)
  }()

  private static let ollama = JSONPaths([
    ("model", .text(Text.model)), ("prompt_eval_count", .number(Number.input)), ("eval_count", .number(Number.output)),
  ])

  private static let watsonx = JSONPaths([
    ("model_id", .text(Text.model)), ("results.[].generated_token_count", .number(Number.output)),
    // The first event of a stream has it, the others have 0.
    ("results.[].input_token_count", .sum(Number.inputSum)), ("usage.prompt_tokens", .number(Number.input)),
    ("usage.completion_tokens", .number(Number.output)), ("input_token_count", .number(Number.input)),
  ])

  private static let interactions: JSONPaths = {
    var paths: [(String, JSONPaths.Slot)] = []
    for prefix in ["", "interaction."] {
      paths.append((prefix + "model", .text(Text.model)))
      for (name, slot) in [
        ("input", Number.input), ("output", Number.output), ("cached", Number.cacheRead), ("thought", Number.reasoning),
        ("tool_use", Number.audioInput),
      ] { paths.append((prefix + "usage.total_\(name)_tokens", .number(slot))) }
    }
    return JSONPaths(paths)
  }()

  private static let openaiBatch = JSONPaths([
    ("model", .text(Text.model)), ("status", .text(Text.type)), ("usage.input_tokens", .number(Number.input)),
    ("usage.output_tokens", .number(Number.output)), ("usage.input_tokens_details.cached_tokens", .number(Number.cacheRead)),
    ("usage.output_tokens_details.reasoning_tokens", .number(Number.reasoning)),
  ])

  private static let anthropicBatch = JSONPaths([
    ("result.message.model", .text(Text.model)), ("result.message.usage.input_tokens", .sum(Number.inputSum)),
    ("result.message.usage.output_tokens", .sum(Number.outputSum)),
    ("result.message.usage.cache_read_input_tokens", .sum(Number.cacheReadSum)),
    ("result.message.usage.cache_creation_input_tokens", .sum(Number.cacheWriteSum)),
  ])

  private static let replicate = JSONPaths([
    ("model", .text(Text.model)), ("metrics.input_token_count", .number(Number.input)),
    ("metrics.output_token_count", .number(Number.output)),
  ])
}
