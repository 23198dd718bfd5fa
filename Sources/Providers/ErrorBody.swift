public import Primitives
import Wire

/// An error as the provider's own SDK expects it, so that it raises its own exception with our sentence in it.
public struct ErrorBody: Sendable {
  public let status: UInt16
  /// Our stable code.
  public let code: StaticString
  /// A sentence that says what to do. Constant: nothing of a request but `subject` is ever echoed.
  public let message: StaticString
  /// Whether the SDK may try again by itself.
  public var mayRetry: Bool
  /// What the sentence is about, as the request named it; printed only when it is plain.
  public var subject = JSONText()
  /// What the subject is.
  public var about: StaticString = "Model"

  public init(_ status: UInt16, _ code: StaticString, _ message: StaticString, mayRetry: Bool = false) {
    self.status = status
    self.code = code
    self.message = message
    self.mayRetry = mayRetry
  }

  /// The whole answer, head and body. `closing` adds `Connection: close`; `fields` adds header lines.
  public func write(
    to buffer: inout ByteBuffer, shape: ErrorShape, requestID: Span<UInt8>, closing: Bool, retryAfterMilliseconds: Int = 0,
    fields: (inout ByteBuffer) -> Void = { _ in }
  ) {
    var body = ByteBuffer(capacity: 512)
    writeJSON(to: &body, shape: shape, requestID: requestID)
    buffer.append("HTTP/1.1 ")
    buffer.append(decimal: Int(status))
    buffer.append(" ")
    buffer.append(Self.reason(status))
    buffer.append("\r\nContent-Type: application/json\r\nContent-Length: ")
    buffer.append(decimal: body.count)
    buffer.append(mayRetry ? "\r\nx-should-retry: true\r\n" : "\r\nx-should-retry: false\r\n")
    if shape == .amazon {
      buffer.append("x-amzn-ErrorType: ")
      buffer.append(amazonType)
      buffer.append("\r\n")
    }
    buffer.append(shape == .anthropic ? "request-id: " : "x-request-id: ")
    buffer.append(requestID)
    buffer.append("\r\n")
    if retryAfterMilliseconds > 0 {
      buffer.append("retry-after-ms: ")
      buffer.append(decimal: retryAfterMilliseconds)
      buffer.append("\r\nretry-after: ")
      buffer.append(decimal: (retryAfterMilliseconds + 999) / 1000)
      buffer.append("\r\n")
    }
    fields(&buffer)
    if closing { buffer.append("Connection: close\r\n") }
    buffer.append("\r\n")
    buffer.append(body.readable)
  }

  /// The last piece of a stream that has to end, in its framing: raised by the SDKs as an error of the API.
  public func writeEvent(
    to buffer: inout ByteBuffer, format: UsageMeter.Format, dialect: Dialect, shape: ErrorShape, requestID: Span<UInt8>
  ) {
    switch format {
    case .lines:
      writeJSON(to: &buffer, shape: shape, requestID: requestID)
      buffer.append("\n")
    case .frames:
      var payload = ByteBuffer(capacity: 512)
      writeJSON(to: &payload, shape: .amazon, requestID: requestID)
      AmazonFrames.writeException(
        status == 402 || status == 429 ? "throttlingException" : "modelStreamErrorException", payload.readable, to: &buffer)
    default: writeServerSentEvent(to: &buffer, dialect: dialect, requestID: requestID)
    }
  }

  private func writeServerSentEvent(to buffer: inout ByteBuffer, dialect: Dialect, requestID: Span<UInt8>) {
    let shape: ErrorShape = dialect == .anthropicMessages ? .anthropic : dialect == .gemini ? .google : .openai
    if dialect == .anthropicMessages || dialect == .openaiResponses { buffer.append("event: error\n") }
    buffer.append("data: ")
    if dialect == .openaiResponses {
      buffer.append("{\"type\":\"error\",\"code\":\"")
      buffer.append(code)
      buffer.append("\",\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\",\"param\":null,\"sequence_number\":0}")
    } else {
      writeJSON(to: &buffer, shape: shape, requestID: requestID)
    }
    buffer.append("\n\n")
  }

  private func writeJSON(to buffer: inout ByteBuffer, shape: ErrorShape, requestID: Span<UInt8>) {
    switch shape {
    case .openai:
      buffer.append("{\"error\":{\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\",\"type\":\"")
      buffer.append(openaiType)
      buffer.append("\",\"param\":null,\"code\":\"")
      buffer.append(code)
      buffer.append("\"}}")
    case .anthropic:
      buffer.append("{\"type\":\"error\",\"error\":{\"type\":\"")
      buffer.append(anthropicType)
      buffer.append("\",\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\",\"details\":{\"code\":\"")
      buffer.append(code)
      buffer.append("\"}},\"request_id\":\"")
      buffer.append(requestID)
      buffer.append("\"}")
    case .google:
      buffer.append("{\"error\":{\"code\":")
      buffer.append(decimal: Int(status))
      buffer.append(",\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\",\"status\":\"")
      buffer.append(googleStatus)
      buffer.append("\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"")
      buffer.append(code)
      buffer.append("\",\"domain\":\"maskllm\"}]}}")
    case .openrouter:
      buffer.append("{\"error\":{\"code\":")
      buffer.append(decimal: Int(status))
      buffer.append(",\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\",\"metadata\":{\"code\":\"")
      buffer.append(code)
      buffer.append("\"}}}")
    case .text: writeField("error", to: &buffer)
    case .detail: writeField("detail", to: &buffer)
    case .title:
      buffer.append("{\"title\":\"")
      buffer.append(code)
      buffer.append("\",\"detail\":\"")
      writeMessage(to: &buffer)
      buffer.append("\",\"status\":")
      buffer.append(decimal: Int(status))
      buffer.append("}")
    case .databricks:
      buffer.append("{\"error_code\":\"")
      buffer.append(code)
      buffer.append("\",\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\"}")
    case .cloudflare, .watsonx:
      buffer.append(
        shape == .cloudflare
          ? "{\"success\":false,\"result\":null,\"messages\":[],\"errors\":[{\"code\":" : "{\"errors\":[{\"code\":")
      if shape == .cloudflare {
        buffer.append(decimal: Int(status))
      } else {
        buffer.append("\"")
        buffer.append(code)
        buffer.append("\"")
      }
      buffer.append(",\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\"}]")
      if shape == .watsonx {
        buffer.append(",\"status_code\":")
        buffer.append(decimal: Int(status))
      }
      buffer.append("}")
    case .amazon, .message:
      buffer.append("{\"message\":\"")
      writeMessage(to: &buffer)
      buffer.append("\",\"code\":\"")
      buffer.append(code)
      buffer.append("\"}")
    }
  }

  private func writeField(_ name: StaticString, to buffer: inout ByteBuffer) {
    buffer.append("{\"")
    buffer.append(name)
    buffer.append("\":\"")
    writeMessage(to: &buffer)
    buffer.append("\",\"code\":\"")
    buffer.append(code)
    buffer.append("\"}")
  }

  private func writeMessage(to buffer: inout ByteBuffer) {
    buffer.append(message)
    guard !subject.isEmpty else { return }
    for i in subject.span.indices {
      let b = subject.span[i]
      guard b > 32, b < 127, b != UInt8(ascii: "\""), b != UInt8(ascii: "\\") else { return }
    }
    buffer.append(" ")
    buffer.append(about)
    buffer.append(": ")
    buffer.append(subject.span)
  }

  private var googleStatus: StaticString {
    switch status {
    case 401: "UNAUTHENTICATED"
    case 402, 429: "RESOURCE_EXHAUSTED"
    case 403: "PERMISSION_DENIED"
    case 404: "NOT_FOUND"
    case 503: "UNAVAILABLE"
    case 504: "DEADLINE_EXCEEDED"
    case 500...: "INTERNAL"
    default: "INVALID_ARGUMENT"
    }
  }

  private var amazonType: StaticString {
    switch status {
    case 401, 402, 403: "AccessDeniedException"
    case 404: "ResourceNotFoundException"
    case 429: "ThrottlingException"
    case 503: "ServiceUnavailableException"
    case 500...: "InternalServerException"
    default: "ValidationException"
    }
  }

  private var openaiType: StaticString {
    switch status {
    case 401: "invalid_request_error"
    case 402: "insufficient_quota"
    case 403: "permission_error"
    case 429: "rate_limit_error"
    case 500...: "server_error"
    default: "invalid_request_error"
    }
  }

  private var anthropicType: StaticString {
    switch status {
    case 401: "authentication_error"
    case 402: "billing_error"
    case 403: "permission_error"
    case 404: "not_found_error"
    case 413: "request_too_large"
    case 429: "rate_limit_error"
    case 504: "timeout_error"
    case 500...: "api_error"
    default: "invalid_request_error"
    }
  }

  public static func reason(_ status: UInt16) -> StaticString {
    switch status {
    case 200: "OK"
    case 201: "Created"
    case 204: "No Content"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 402: "Payment Required"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 413: "Content Too Large"
    case 415: "Unsupported Media Type"
    case 417: "Expectation Failed"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    default: "Error"
    }
  }
}
