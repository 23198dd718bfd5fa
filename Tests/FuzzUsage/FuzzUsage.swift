import Audit
import Glibc
import Primitives
import Providers
import Storage
import Wire

// Structure-aware: the input is a list of choices that a document is made of: members that the dialects read, numbers at the ends of
// every range, nesting, duplicates. It is metered whole and in pieces, priced, recorded, read back and summed up. What may not happen
// is a trap, a disagreement between the two readings, a negative amount, or a sum below what a believed answer told.

private let hasCanary = unsafe getenv("MASKLLM_FUZZ_CANARY") != nil

@_silgen_name("LLVMFuzzerRunDriver")
private func run(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ callback: @convention(c) (UnsafePointer<UInt8>, Int) -> CInt
) -> CInt

@_cdecl("fuzz_usage_main")
public func main(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
  var (count, arguments) = unsafe (count, arguments)
  return unsafe run(&count, &arguments) { start, length in unsafe fuzz(start, length) }
}

/// Reads choices off the input; 0 once it is used up.
private struct Choices {
  let bytes: [UInt8]
  var at = 0
  mutating func next() -> UInt8 {
    defer { at += 1 }
    return at < bytes.count ? bytes[at] : 0
  }
  mutating func pick<T>(_ from: [T]) -> T { from[Int(next()) % from.count] }
}

private let names = [
  "usage", "message", "response", "interaction", "usageMetadata", "meta", "delta", "result", "results", "data", "metrics",
  "x_groq",
  "iterations", "billed_units", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens",
  "cache_read_input_tokens", "cache_creation_input_tokens", "prompt_tokens_details", "output_tokens_details", "cached_tokens",
  "reasoning_tokens", "audio_tokens", "cost", "cost_in_usd_ticks", "total_cost", "seconds", "promptTokenCount",
  "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount", "cachedContentTokenCount", "inputTokens",
  "outputTokens",
  "prompt_eval_count", "eval_count", "generated_token_count", "input_token_count", "inputTextTokenCount", "tokenCount", "type",
  "status", "service_tier", "model", "url", "amazon-bedrock-invocationMetrics", "inputTokenCount", "outputTokenCount",
]
private let scalars = [
  "0", "1", "-1", "7", "1e3", "1.5", "-0.0", "1024.0", "1099511627776", "1099511627777", "9223372036854775807",
  "-9223372036854775808", "18446744073709551616", "1e30", "1e-30", "1e400", "null", "true", "\"5\"", "\"message_start\"",
  "\"message_delta\"", "\"response.completed\"", "\"completed\"", "\"priority\"", "\"flex\"", "\"batch\"", "\"x\"",
]

private func value(_ choices: inout Choices, _ depth: Int) -> String {
  switch choices.next() % 8 {
  case 0...3 where depth < 5:
    let members = (0...Int(choices.next() % 4)).map { _ in "\"\(choices.pick(names))\":\(value(&choices, depth + 1))" }
    return "{\(members.joined(separator: ","))}"
  case 4 where depth < 5:
    return "[\((0...Int(choices.next() % 3)).map { _ in value(&choices, depth + 1) }.joined(separator: ","))]"
  case 5: return "\(UInt64(choices.next()) << UInt64(choices.next() % 57))"
  default: return choices.pick(scalars)
  }
}

private func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  guard count > 3 else { return 0 }
  var choices = Choices(bytes: unsafe Array(UnsafeBufferPointer(start: start, count: count)))
  let dialect = choices.pick(Dialect.allCases)
  let format = choices.pick([UsageMeter.Format.json, .eventStream, .lines])
  let cut = Int(choices.next())
  var text = ""
  for _ in 0...(format == .json ? 0 : Int(choices.next() % 4)) {
    let document = value(&choices, 0)
    text += format == .eventStream ? "data: \(document)\n\n" : format == .lines ? "\(document)\n" : document
  }
  let bytes = Array(text.utf8)
  var (whole, pieces) = (UsageMeter(dialect, format), UsageMeter(dialect, format))
  whole.feed(bytes.span)
  let middle = min(cut, bytes.count)
  pieces.feed(bytes.span.extracting(0..<middle))
  pieces.feed(bytes.span.extracting(middle..<bytes.count))
  let usage = whole.usage
  precondition(usage == pieces.usage && whole.cost == pieces.cost && whole.isImpossible == pieces.isImpossible)
  if hasCanary, usage.cacheRead ?? 0 > 0 { fatalError("planted fault") }
  if whole.isImpossible { precondition(usage == Usage() && whole.cost == nil) }
  var price = Price()
  for column in Price.columnNames { _ = price.set(column, Int64(choices.next()) << Int64(choices.next() % 42)) }
  let cost = price.cost(usage, service: whole.service)
  precondition(cost ?? 0 >= 0 && whole.cost ?? 1 > 0)
  var record = ActivityRecord(start: Timestamp(milliseconds: 1_800_000_000_000))
  (record.usage, record.cost, record.upstreamStatus) = (usage, whole.cost ?? cost, 200)
  var buffer = ByteBuffer(capacity: 128)
  ActivityEncoding.append(record, provider: Span(), model: Span(), code: "", to: &buffer)
  let kept = buffer.copy()
  let segment = ActivitySegment(number: 1, first: record.start, last: record.start, count: 3, records: kept + kept + kept)
  var rollup = UsageRollup(upTo: 0)
  rollup.take(segment)
  let rows = rollup.drain()
  precondition(rows.count == 3)
  for row in rows {
    precondition(row.sums.requests == 3 && row.sums.input >= usage.input ?? 0 && row.sums.output >= usage.output ?? 0)
    precondition(row.sums.cost >= (record.cost.flatMap { NanoDollars(told: $0.count) } ?? 0))
  }
  return 0
}
