import Glibc
import Primitives
import Providers

/// Times what the metering of streams costs an event, beyond copying it: 1,000 events of each dialect, in pieces as a socket gives them.
func measureMeters(_ rounds: Int) {
  func events(_ make: (Int) -> String) -> [UInt8] { Array((0..<1000).map(make).joined().utf8) }
  let openai =
    events { i in
      #"data: {"id":"chatcmpl-made-up-000000000000000","object":"chat.completion.chunk","created":1764000000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_made_up","choices":[{"index":0,"delta":{"content":" word\#(i)"},"logprobs":null,"finish_reason":null}]}"#
        + "\n\n"
    }
    + Array(
      (#"data: {"id":"chatcmpl-made-up-000000000000000","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":1000,"total_tokens":1020}}"#
        + "\n\ndata: [DONE]\n\n").utf8)
  let anthropic =
    events { i in
      "event: content_block_delta\n"
        + #"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word\#(i)"}     }"# + "\n\n"
    }
    + Array("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"input_tokens\":20,\"output_tokens\":1000}}\n\n".utf8)
  var amazon: [UInt8] = []
  for i in 0..<1000 {
    amazon += frame(Array(#"{"contentBlockIndex":0,"delta":{"text":" word\#(i)"},"p":"abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"}"#.utf8))
  }
  amazon += frame(Array(#"{"metrics":{"latencyMs":500},"usage":{"inputTokens":20,"outputTokens":1000,"totalTokens":1020}}"#.utf8))

  for (name, stream, dialect, format) in [
    ("SSE event of OpenAI", openai, Dialect.openaiChat, UsageMeter.Format.eventStream),
    ("SSE event of Anthropic", anthropic, .anthropicMessages, .eventStream), ("Amazon's frame", amazon, .bedrockConverse, .frames),
  ] {
    var target = ByteBuffer(capacity: 64 * 1024)
    func pass(_ meter: inout UsageMeter, isMetered: Bool) {
      let bytes = stream.span
      var at = 0
      while at < bytes.count {
        let end = min(at + 4096, bytes.count)
        if isMetered { meter.feed(bytes.extracting(at..<end)) }
        target.clear()
        target.append(bytes.extracting(at..<end))
        at = end
      }
    }
    func time(isMetered: Bool) -> Double {
      var meter = UsageMeter()
      let times = max(rounds / 20_000, 2)
      var before = 0.0
      for i in 0..<(times + 2) {
        if i == 2 { before = cpuNanoseconds() }
        meter.reset()
        meter.expect(dialect, format)
        pass(&meter, isMetered: isMetered)
        precondition(!isMetered || meter.usage.output == 1000, "\(name): the meter does not read \(meter.usage)")
      }
      return (cpuNanoseconds() - before) / Double(times) / 1000
    }
    let copied = time(isMetered: false)
    let metered = time(isMetered: true)
    say("meter an \(name) of \(stream.count / 1000) bytes: \(Int(metered - copied)) ns")
  }
}

/// A frame of Amazon's event stream without headers. (The meter leaves checksums to the client, who needs them.)
private func frame(_ payload: [UInt8]) -> [UInt8] {
  func word(_ n: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: n >> $0) } }
  return word(payload.count + 16) + word(0) + word(0) + payload + word(0)
}
