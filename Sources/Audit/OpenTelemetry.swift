public import Primitives
import Providers

/// Requests and counts as OpenTelemetry's protocol has them (OTLP 1.x, JSON encoding), with the semantic conventions for generative AI.
public enum OpenTelemetry {
  /// One attribute, span or data point: JSON that is put together.
  public indirect enum Value: Sendable {
    case text(String)
    case number(Double)
    case flag(Bool)
    case list([Value])
    case object([String: Value])

    /// Foundation's encoder took a third of all that watching a busy gateway costs.
    fileprivate func write(to out: inout [UInt8]) {
      switch self {
      case .text(let value): Self.write(value, to: &out)
      case .number(let value): out += (Double(Int64(exactly: value) ?? 0) == value ? "\(Int64(value))" : "\(value)").utf8
      case .flag(let value): out += (value ? "true" : "false").utf8
      case .list(let values):
        var separator = UInt8(ascii: "[")
        for value in values {
          out.append(separator)
          value.write(to: &out)
          separator = UInt8(ascii: ",")
        }
        out += (values.isEmpty ? "[]" : "]").utf8
      case .object(let members):
        var separator = UInt8(ascii: "{")
        for (name, value) in members {
          out.append(separator)
          Self.write(name, to: &out)
          out.append(UInt8(ascii: ":"))
          value.write(to: &out)
          separator = UInt8(ascii: ",")
        }
        out += (members.isEmpty ? "{}" : "}").utf8
      }
    }

    /// RFC 8259, section 7.
    private static func write(_ text: String, to out: inout [UInt8]) {
      out.append(UInt8(ascii: "\""))
      for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
        case ..<32: out += "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
        default: out.append(byte)
        }
      }
      out.append(UInt8(ascii: "\""))
    }
  }

  private static func attribute(_ key: String, _ value: String) -> Value {
    .object(["key": .text(key), "value": .object(["stringValue": .text(value)])])
  }

  /// 64-bit numbers are texts there.
  private static func attribute(_ key: String, _ value: Int64) -> Value {
    .object(["key": .text(key), "value": .object(["intValue": .text("\(value)")])])
  }

  private static func nanoseconds(_ milliseconds: Int64) -> Value { .text("\(milliseconds)000000") }

  private static func resource(_ version: String) -> Value {
    .object(["attributes": .list([attribute("service.name", "maskllm"), attribute("service.version", version)])])
  }

  private static func scope(_ version: String) -> Value { .object(["name": .text("maskllm"), "version": .text(version)]) }

  public static func encoded(_ value: Value) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(64 * 1024)
    value.write(to: &out)
    return out
  }

  // MARK: spans

  /// What the conventions call a kind of provider.
  static func providerName(kind: String) -> String {
    switch kind {
    case "bedrock": "aws.bedrock"
    case "azure": "azure.ai.openai"
    case "gemini": "gcp.gemini"
    case "vertex": "gcp.vertex_ai"
    case "mistral": "mistral_ai"
    case "xai": "x_ai"
    case "watsonx": "ibm.watsonx.ai"
    default: kind
    }
  }

  static func operationName(_ endpoint: EndpointClass?) -> String {
    switch endpoint {
    case .chat, .responses, .messages: "chat"
    case .completions: "text_completion"
    case .embeddings: "embeddings"
    case let other?: "\(other.name)"
    case nil: "request"
    }
  }

  /// A span of one request. Its trace is the client's, where that says one, else one of its own.
  public static func span(_ entry: ActivityEntry, kind: String, id: UInt64, trace own: (UInt64, UInt64)) -> Value {
    let r = entry.record
    let context = r.trace ?? TraceContext(high: own.0, low: own.1, span: 0, isSampled: true)
    let operation = operationName(r.endpoint)
    var attributes = [attribute("gen_ai.operation.name", operation), attribute("maskllm.outcome", r.outcome.name)]
    if !entry.provider.isEmpty {
      attributes += [attribute("gen_ai.provider.name", providerName(kind: kind)), attribute("maskllm.provider", entry.provider)]
    }
    if !entry.model.isEmpty { attributes.append(attribute("gen_ai.request.model", entry.model)) }
    if let input = r.usage.input { attributes.append(attribute("gen_ai.usage.input_tokens", input.count)) }
    if let output = r.usage.output { attributes.append(attribute("gen_ai.usage.output_tokens", output.count)) }
    if let key = r.key { attributes.append(attribute("maskllm.key.id", key.description)) }
    if let cost = r.cost { attributes.append(attribute("maskllm.cost_usd", cost.dollars)) }
    if r.status != 0 { attributes.append(attribute("http.response.status_code", Int64(r.status))) }
    let hasFailed = r.outcome != .completed || r.status >= 400
    if hasFailed {
      let error = !entry.code.isEmpty ? entry.code : r.outcome == .completed ? "\(r.status)" : r.outcome.name
      attributes.append(attribute("error.type", error))
    }
    let end = r.start.milliseconds * 1000 + Microseconds(clamping: r.durationMicroseconds).told.count
    var span: [String: Value] = [
      "traceId": .text(context.traceID), "spanId": .text(TraceContext.digits(id)), "kind": .number(3),
      "name": .text(entry.model.isEmpty ? operation : "\(operation) \(entry.model)"),
      "startTimeUnixNano": nanoseconds(r.start.milliseconds), "endTimeUnixNano": .text("\(end)000"),
      "attributes": .list(attributes), "status": .object(hasFailed ? ["code": .number(2)] : [:]),
    ]
    if context.span != 0 { span["parentSpanId"] = .text(TraceContext.digits(context.span)) }
    return .object(span)
  }

  /// The body of a request to `/v1/traces`.
  public static func traces(_ spans: [Value], version: String) -> Value {
    .object([
      "resourceSpans": .list([
        .object([
          "resource": resource(version), "scopeSpans": .list([.object(["scope": scope(version), "spans": .list(spans)])]),
        ])
      ])
    ])
  }

  // MARK: metrics

  /// The body of a request to `/v1/metrics`: all that was counted from `start` to `now`; `kinds` are those of the providers.
  public static func metrics(
    _ meter: TrafficMeter, kinds: [String: String], from start: Timestamp, to now: Timestamp, version: String
  ) -> Value {
    let times: [String: Value] = [
      "startTimeUnixNano": nanoseconds(start.milliseconds), "timeUnixNano": nanoseconds(now.milliseconds),
    ]
    func point(_ attributes: [Value], _ members: [String: Value]) -> Value {
      .object(times.merging(members) { $1 }.merging(["attributes": .list(attributes)]) { $1 })
    }
    func provider(_ name: String) -> [Value] {
      [attribute("gen_ai.provider.name", providerName(kind: kinds[name] ?? name)), attribute("maskllm.provider", name)]
    }
    func sum(_ name: String, _ unit: String, _ points: [Value]) -> Value {
      .object([
        "name": .text(name), "unit": .text(unit),
        "sum": .object(["aggregationTemporality": .number(2), "isMonotonic": .flag(true), "dataPoints": .list(points)]),
      ])
    }
    func histogram(_ name: String, _ points: [Value]) -> Value {
      .object([
        "name": .text(name), "unit": .text("s"),
        "histogram": .object(["aggregationTemporality": .number(2), "dataPoints": .list(points)]),
      ])
    }
    func points(_ value: (TrafficMeter.Use) -> TrafficMeter.Histogram) -> [Value] {
      meter.uses.sorted { $0.key < $1.key }.map { name, use in
        let histogram = value(use)
        let exemplars: [Value] = histogram.exemplars.compactMap { exemplar in
          exemplar.map {
            .object([
              "timeUnixNano": nanoseconds($0.at.milliseconds), "asDouble": .number($0.seconds),
              "traceId": .text($0.trace.traceID),
              "spanId": .text(TraceContext.digits($0.trace.span)),
            ])
          }
        }
        return point(
          provider(name),
          [
            "count": .text("\(histogram.counts.reduce(0, +))"), "sum": .number(histogram.seconds),
            "explicitBounds": .list(TrafficMeter.Histogram.bounds.map { .number($0) }),
            "bucketCounts": .list(histogram.counts.map { .text("\($0)") }), "exemplars": .list(exemplars),
          ])
      }
    }
    let uses = meter.uses.sorted { $0.key < $1.key }
    let metrics = [
      histogram("gen_ai.client.operation.duration", points(\.durations)),
      histogram("gen_ai.server.time_to_first_token", points(\.firstBytes)),
      sum(
        "maskllm.tokens", "{token}",
        uses.flatMap { name, use in
          use.tokens.sorted { $0.key < $1.key }.map { kind, count in
            point(provider(name) + [attribute("gen_ai.token.type", kind)], ["asInt": .text("\(count)")])
          }
        }),
      sum(
        "maskllm.cost", "USD",
        uses.map { name, use in point(provider(name), ["asDouble": .number(Double(use.cost.count) / 1e9)]) }),
      sum(
        "maskllm.requests", "{request}",
        meter.requests.sorted { "\($0.key)" < "\($1.key)" }.map { request, count in
          point(
            provider(request.provider) + [
              attribute("maskllm.endpoint", request.endpoint), attribute("maskllm.outcome", request.outcome),
              attribute("maskllm.status", "\(request.status)xx"),
            ], ["asInt": .text("\(count)")])
        }),
      sum(
        "maskllm.refusals", "{request}",
        meter.refusals.sorted { $0.key < $1.key }.map { code, count in
          point([attribute("error.type", code)], ["asInt": .text("\(count)")])
        }),
    ]
    return .object([
      "resourceMetrics": .list([
        .object([
          "resource": resource(version), "scopeMetrics": .list([.object(["scope": scope(version), "metrics": .list(metrics)])]),
        ])
      ])
    ])
  }
}
