import Primitives
import Transport

/// Bodies in the shapes that OpenAI and Anthropic were recorded to send; ids and texts are made up.
enum DemoShapes {
  static let words = ["Hello", " from", " the", " MaskLLM", " demo", " provider", "."]
  static let text = "Hello from the MaskLLM demo provider."
  private static let created = 1_766_410_466

  static func startStream(_ connection: inout ServerConnection) {
    connection.outbound.append(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n")
    connection.outbound.append("x-request-id: req_demo\r\nopenai-organization: org-demo\r\n\r\n")
  }

  static func chunk(_ event: String, _ connection: inout ServerConnection) {
    connection.outbound.append(hexadecimal: event.utf8.count)
    connection.outbound.append("\r\n\(event)\r\n")
  }

  // MARK: OpenAI chat completions

  private static let chatUsage = """
    {"prompt_tokens":13,"completion_tokens":7,"total_tokens":20,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},\
    "completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}
    """

  static func chat(_ request: DemoRequest) -> String {
    let message =
      request.offersTools
      ? """
      {"role":"assistant","content":null,"tool_calls":[{"id":"call_demo","type":"function","function":{"name":"get_weather",\
      "arguments":"{\\"city\\":\\"Paris\\"}"}}],"refusal":null}
      """
      : """
      {"role":"assistant","content":"\(text)","refusal":null}
      """
    return """
      {"id":"chatcmpl-demo","object":"chat.completion","created":\(created),"model":"\(request.model)","choices":[{"index":0,\
      "message":\(message),"logprobs":null,"finish_reason":"\(request.offersTools ? "tool_calls" : "stop")"}],"usage":\(chatUsage),\
      "service_tier":"default","system_fingerprint":null}
      """
  }

  static func chatDelta(_ model: String, _ text: String) -> String {
    chatChunk(model, "{\"content\":\"\(text)\"}", finish: "null")
  }

  private static func chatChunk(_ model: String, _ delta: String, finish: String) -> String {
    """
    data: {"id":"chatcmpl-demo","object":"chat.completion.chunk","created":\(created),"model":"\(model)","service_tier":"default",\
    "system_fingerprint":null,"choices":[{"index":0,"delta":\(delta),"logprobs":null,"finish_reason":\(finish)}],"usage":null}\n\n
    """
  }

  static func chatEvents(_ request: DemoRequest) -> [String] {
    var events: [String] = []
    if request.offersTools {
      events.append(
        chatChunk(
          request.model,
          """
          {"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_demo","type":"function","function":{"name":"get_weather",\
          "arguments":""}}],"refusal":null}
          """, finish: "null"))
      for piece in ["{\\\"city\\\":", "\\\"Paris\\\"}"] {
        events.append(
          chatChunk(request.model, "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\(piece)\"}}]}", finish: "null"))
      }
      events.append(chatChunk(request.model, "{}", finish: "\"tool_calls\""))
    } else {
      events.append(chatChunk(request.model, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", finish: "null"))
      events += words.map { chatDelta(request.model, $0) }
      events.append(chatChunk(request.model, "{}", finish: "\"stop\""))
    }
    if request.includesUsage {
      events.append(
        """
        data: {"id":"chatcmpl-demo","object":"chat.completion.chunk","created":\(created),"model":"\(request.model)","service_tier":"default",\
        "system_fingerprint":null,"choices":[],"usage":\(chatUsage)}\n\n
        """)
    }
    return events + ["data: [DONE]\n\n"]
  }

  // MARK: OpenAI responses

  private static func responseObject(_ request: DemoRequest, _ status: String, output: String, usage: String) -> String {
    """
    {"id":"resp_demo","object":"response","created_at":\(created),"status":"\(status)","background":false,"error":null,\
    "incomplete_details":null,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"model":"\(request.model)",\
    "output":[\(output)],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},\
    "service_tier":"default","store":false,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],\
    "top_p":1.0,"truncation":"disabled","usage":\(usage),"user":null,"metadata":{}}
    """
  }

  private static func responseItem(_ status: String, _ content: String) -> String {
    "{\"id\":\"msg_demo\",\"type\":\"message\",\"status\":\"\(status)\",\"content\":[\(content)],\"role\":\"assistant\"}"
  }

  private static let outputText = "{\"type\":\"output_text\",\"annotations\":[],\"text\":\"\(text)\"}"
  private static let responseUsage = """
    {"input_tokens":18,"input_tokens_details":{"cached_tokens":0},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":5},\
    "total_tokens":30}
    """

  static func response(_ request: DemoRequest) -> String {
    responseObject(request, "completed", output: responseItem("completed", outputText), usage: responseUsage)
  }

  static func responseEvents(_ request: DemoRequest) -> [String] {
    var number = -1
    func event(_ type: String, _ members: String) -> String {
      number += 1
      return "event: \(type)\ndata: {\"type\":\"\(type)\",\(members),\"sequence_number\":\(number)}\n\n"
    }
    let place = "\"item_id\":\"msg_demo\",\"output_index\":0,\"content_index\":0"
    var events = [
      event("response.created", "\"response\":\(responseObject(request, "in_progress", output: "", usage: "null"))"),
      event("response.output_item.added", "\"output_index\":0,\"item\":\(responseItem("in_progress", ""))"),
      event("response.content_part.added", "\(place),\"part\":{\"type\":\"output_text\",\"annotations\":[],\"text\":\"\"}"),
    ]
    events += words.map { event("response.output_text.delta", "\(place),\"delta\":\"\($0)\",\"logprobs\":[]") }
    events += [
      event("response.output_text.done", "\(place),\"text\":\"\(text)\",\"logprobs\":[]"),
      event("response.content_part.done", "\(place),\"part\":\(outputText)"),
      event("response.output_item.done", "\"output_index\":0,\"item\":\(responseItem("completed", outputText))"),
      event("response.completed", "\"response\":\(response(request))"),
    ]
    return events
  }

  // MARK: Anthropic messages

  static func message(_ request: DemoRequest) -> String {
    let content =
      request.offersTools
      ? "{\"type\":\"tool_use\",\"id\":\"toolu_demo\",\"name\":\"get_weather\",\"input\":{\"city\":\"Paris\"}}"
      : "{\"type\":\"text\",\"text\":\"\(text)\"}"
    return """
      {"id":"msg_demo","type":"message","role":"assistant","model":"\(request.model)","content":[\(content)],"stop_reason":\
      "\(request.offersTools ? "tool_use" : "end_turn")","stop_sequence":null,"usage":{"input_tokens":11,"cache_creation_input_tokens":2,\
      "cache_read_input_tokens":31,"output_tokens":9,"service_tier":"standard"}}
      """
  }

  private static func event(_ type: String, _ members: String) -> String {
    "event: \(type)\ndata: {\"type\":\"\(type)\"\(members.isEmpty ? "" : ",")\(members)          }\n\n"
  }

  static func messageStart(_ model: String) -> String {
    event(
      "message_start",
      """
      "message":{"id":"msg_demo","type":"message","role":"assistant","model":"\(model)","content":[],"stop_reason":null,\
      "stop_sequence":null,"usage":{"input_tokens":11,"cache_creation_input_tokens":2,"cache_read_input_tokens":31,"output_tokens":1,\
      "service_tier":"standard"}}
      """) + event("content_block_start", "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
  }

  static func messageDelta(_ text: String) -> String {
    event("content_block_delta", "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\(text)\"}")
  }

  static func messageEvents(_ request: DemoRequest) -> [String] {
    var events: [String] = []
    if request.offersTools {
      let start = messageStart(request.model)
      // The tool's block takes the place of the text's.
      events.append(String(start[..<(start.firstRange(of: "event: content_block_start")?.lowerBound ?? start.endIndex)]))
      events.append(
        event(
          "content_block_start",
          "\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_demo\",\"name\":\"get_weather\",\"input\":{}}"))
      for piece in ["{\\\"city\\\":", "\\\"Paris\\\"}"] {
        events.append(
          event("content_block_delta", "\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\(piece)\"}"))
      }
    } else {
      events.append(messageStart(request.model))
      events.append(event("ping", ""))
      events += words.map(messageDelta)
    }
    return events + [
      event("content_block_stop", "\"index\":0"),
      event(
        "message_delta",
        "\"delta\":{\"stop_reason\":\"\(request.offersTools ? "tool_use" : "end_turn")\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}"
      ),
      event("message_stop", ""),
    ]
  }

  // MARK: the rest

  static func embedding(_ request: DemoRequest) -> String {
    """
    {"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.0023,-0.0093,0.0157]}],"model":"\(request.model)",\
    "usage":{"prompt_tokens":8,"total_tokens":8}}
    """
  }

  static let models = """
    {"object":"list","data":[{"id":"demo-small","object":"model","created":\(created),"owned_by":"maskllm"}]}
    """

  static func error(_ status: Int, _ message: String, anthropic: Bool) -> String {
    if anthropic {
      let type = [401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"][status]
      return """
        {"type":"error","error":{"type":"\(type ?? (status == 529 ? "overloaded_error" : status >= 500 ? "api_error" : "invalid_request_error"))",\
        "message":"\(message)"},"request_id":"req_demo"}
        """
    }
    return
      "{\"error\":{\"message\":\"\(message)\",\"type\":\"\(status >= 500 ? "server_error" : "invalid_request_error")\",\"param\":null,\"code\":null}}"
  }
}
