import Primitives
import TestSupport
import Testing
import Wire

@testable import Providers

/// Every numeric place of every dialect's answer, with every number that somebody could put there.
struct ExtremeUsageTests {
  /// What a provider can write in place of a count, and the count that it is; nil: none that can be.
  static let values: [(text: String, count: Int64?)] = [
    ("0", 0), ("1", 1), ("-0.0", 0), ("1e3", 1000), ("12.0", 12), ("1099511627776", 1 << 40), ("1099511627777", nil), ("-1", nil),
    ("1.5", nil), ("9007199254740993", nil), ("9223372036854775806", nil), ("9223372036854775807", nil),
    ("-9223372036854775807", nil), ("-9223372036854775808", nil), ("9223372036854775808", nil), ("18446744073709551616", nil),
    ("1e30", nil), ("1e300", nil), ("1e400", nil), ("-1e400", nil), ("\"NaN\"", nil), ("\"5\"", nil), ("true", nil),
    ("[9223372036854775807]", nil), ("{\"x\":9223372036854775807}", nil),
  ]

  /// A document with `value` at `path` (names joined by dots, `[]` for a list of one entry).
  private func document(_ path: String, _ value: String, type: String?) -> [UInt8] {
    var text = value
    for name in path.split(separator: ".").reversed() { text = name == "[]" ? "[\(text)]" : "{\"\(name)\":\(text)}" }
    if let type, text.hasPrefix("{"), !path.hasPrefix("type"), !path.hasPrefix("status") {
      text = "{\"type\":\"\(type)\",\"status\":\"completed\"," + text.dropFirst()
    }
    return Array(text.utf8)
  }

  /// A price with every column, at `rate`.
  private func price(_ rate: Int64) -> Price {
    var price = Price()
    for column in Price.columnNames { _ = price.set(column, rate) }
    return price
  }

  private func frame(_ bytes: [UInt8], _ format: UsageMeter.Format) -> [UInt8] {
    switch format {
    case .eventStream: Array("data: ".utf8) + bytes + [10, 10]
    case .lines: bytes + [10]
    default: bytes
    }
  }

  @Test("no number at any place of any dialect's answer stops anything, and none that cannot be true is believed")
  func everyPlace() throws {
    var (places, cases) = (0, 0)
    let prices = [price(1), price(Price.valueMax)]
    for dialect in Dialect.allCases where dialect != .opaque && !dialect.isSession {
      let paths = dialect == .totalTokens ? UsagePaths.totalTokens : UsagePaths.of(dialect)
      for (path, slot) in paths.leaves {
        var isCount = false
        switch slot {
        case .number, .sum: isCount = true
        case .scaled: break
        default: continue
        }
        places += 1
        for (text, count) in Self.values {
          for format in [UsageMeter.Format.json, .eventStream, .lines] {
            for times in 1...2 {
              var meter = UsageMeter(dialect, format)
              let bytes = frame(document(path, text, type: nil), format)
              for _ in 0..<(format == .json ? 1 : times) {
                for b in bytes.indices { meter.feed(bytes.span.extracting(b..<(b + 1))) }
              }
              let usage = meter.usage
              if isCount, count == nil {
                #expect(meter.isImpossible && usage == Usage() && meter.cost == nil, "\(dialect) \(path) \(text)")
              }
              if isCount, count != nil { #expect(!meter.isImpossible, "\(dialect) \(path) \(text)") }
              _ = (usage.allInput, meter.cost)
              for price in prices {
                for service in [Price.Service.standard, .priority, .batch] {
                  if let cost = price.cost(usage, service: service) { #expect(cost >= 0) }
                }
                let bound = price.bound(inputTokens: usage.allInput, outputTokens: usage.output ?? 0)
                #expect(bound.map { $0 >= 0 } ?? true)
              }
              cases += 1
            }
          }
        }
      }
    }
    #expect(places > 60)
    print("extremes in answers: \(places) numeric places, \(cases) cases")
  }

  @Test("turns of a session with any numbers are added up or make it unknown, and stop nothing")
  func sessions() throws {
    let turns: [(Dialect, (String) -> String)] = [
      (.openaiRealtime, { #"{"type":"response.done","response":{"usage":{"input_tokens":\#($0),"output_tokens":\#($0)}}}"# }),
      (.geminiLive, { #"{"usageMetadata":{"promptTokenCount":\#($0),"responseTokenCount":\#($0)}}"# }),
    ]
    for (dialect, turn) in turns {
      for (text, count) in Self.values {
        var meter = SessionMeter()
        meter.expect(dialect)
        for _ in 0..<3 {
          meter.feed(Array(turn(text).utf8).span)
          meter.endMessage()
        }
        #expect(meter.isImpossible == (count == nil), "\(dialect) \(text)")
        if let count { #expect(meter.usage.allInput == TokenCount(count) * 3 && meter.usage.output == TokenCount(count) * 3) }
      }
    }
  }

  @Test("no number in a request is believed that cannot be true, and none stops the edit of its body")
  func requests() throws {
    let members = [
      "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "stream", "background", "stream_options",
      "generationConfig", "generation_config", "inferenceConfig", "options", "parameters",
    ]
    var cases = 0
    for dialect in Dialect.allCases where !dialect.isSession {
      for member in members {
        for inner in ["", "maxOutputTokens", "max_output_tokens", "candidateCount", "maxTokens", "num_predict", "max_new_tokens"]
        {
          for (text, _) in Self.values {
            let value = inner.isEmpty ? text : "{\"\(inner)\":\(text)}"
            let body = Array("{\"model\":\"m\",\"\(member)\":\(value),\"messages\":[]}".utf8)
            var reader = RequestReader()
            reader.readAll(dialect)
            reader.isJSON = true
            reader.feed(body.span)
            _ = reader.isClear()
            if case .tokens(let n) = reader.outputLimit { #expect(TokenCount.toldRange.contains(n.count)) }
            var edits: [RequestReader.Edit] = []
            _ = reader.limitOutput(to: .max, name: .maxTokens, into: &edits)
            _ = reader.limitOutput(to: 1, name: .maxTokens, into: &edits)
            for edit in edits { #expect(edit.place.upperBound <= body.count) }
            _ = (reader.choices, reader.streams, reader.runsInBackground)
            cases += 1
          }
        }
      }
    }
    print("extremes in requests: \(cases) cases")
  }

  @Test("counts in the head of an answer are believed only where they can be true") func head() {
    for (text, count) in [
      ("7", 7), ("0", 0), ("1099511627777", nil), ("-1", nil), ("9223372036854775807", nil), ("1e3", nil), ("", nil),
    ]
      as [(String, Int64?)]
    {
      var meter = UsageMeter(.bedrockInvoke, .json)
      meter.note(field: Array("X-Amzn-Bedrock-Input-Token-Count".utf8).span, Array(text.utf8).span)
      meter.note(field: Array("X-Amzn-Bedrock-Output-Token-Count".utf8).span, Array("3".utf8).span)
      meter.feed(Array("{}".utf8).span)
      #expect(meter.usage.input?.count == count && meter.isImpossible == (count == nil), "\(text)")
    }
  }

  @Test("whatever was metered before, the next answer is metered as by a new meter") func reuse() {
    let answers: [(Dialect, UsageMeter.Format, String)] = [
      (.watsonx, .json, #"{"results":[{"generated_token_count":5,"input_token_count":100000}]}"#),
      (.watsonx, .json, #"{"results":[{"generated_token_count":2,"input_token_count":10}]}"#),
      (.anthropicBatch, .lines, #"{"result":{"message":{"usage":{"input_tokens":3,"output_tokens":4}}}}"# + "\n"),
      (
        .anthropicMessages, .json,
        #"{"usage":{"input_tokens":1,"output_tokens":2,"iterations":[{"input_tokens":7,"output_tokens":8}]}}"#
      ),
      (.openaiChat, .json, #"{"usage":{"seconds":4.5,"prompt_tokens":-1},"data":[{"url":"x"},{"url":"y"}]}"#),
      (.openaiChat, .json, #"{"data":[{"url":"x"}]}"#), (.openaiChat, .json, #"{"usage":{"cost":0.5,"prompt_tokens":9}}"#),
      (.gemini, .json, #"{"usageMetadata":{"promptTokenCount":6,"candidatesTokenCount":7,"thoughtsTokenCount":8}}"#),
      (.openaiResponses, .json, "{\"usage\":"), (.cohere, .json, #"{"usage":{"billed_units":{"input_tokens":1}}}"#),
    ]
    func feed(_ meter: inout UsageMeter, _ answer: (Dialect, UsageMeter.Format, String)) {
      meter.expect(answer.0, answer.1)
      meter.feed(Array(answer.2.utf8).span)
    }
    for first in answers {
      for second in answers {
        var (used, fresh) = (UsageMeter(), UsageMeter())
        feed(&used, first)
        used.reset()
        feed(&used, second)
        feed(&fresh, second)
        #expect(used.usage == fresh.usage && used.cost == fresh.cost && used.isImpossible == fresh.isImpossible)
        #expect(used.pieces == fresh.pieces && used.isComplete == fresh.isComplete && used.model.span.equals(fresh.model.span))
      }
    }
  }
}
