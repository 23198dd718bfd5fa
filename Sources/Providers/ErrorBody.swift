public import Domain
public import Primitives

/// An error as the provider's own SDK expects it, so that it raises its own exception with our sentence in it.
public struct ErrorBody: Sendable {
  public let status: UInt16
  /// Our stable code.
  public let code: StaticString
  /// A sentence that says what to do. Constant: nothing of a request is ever echoed.
  public let message: StaticString
  /// Whether the SDK may try again by itself.
  public let mayRetry: Bool

  public init(_ status: UInt16, _ code: StaticString, _ message: StaticString, mayRetry: Bool = false) {
    self.status = status
    self.code = code
    self.message = message
    self.mayRetry = mayRetry
  }

  /// The whole answer, head and body. `closing` adds `Connection: close`.
  public func write(
    to buffer: inout ByteBuffer, family: Provider.Family, requestID: Span<UInt8>, closing: Bool, retryAfterMilliseconds: Int = 0
  ) {
    var body = ByteBuffer(capacity: 512)
    writeJSON(to: &body, family: family, requestID: requestID)
    buffer.append("HTTP/1.1 ")
    buffer.append(decimal: Int(status))
    buffer.append(" ")
    buffer.append(Self.reason(status))
    buffer.append("\r\nContent-Type: application/json\r\nContent-Length: ")
    buffer.append(decimal: body.count)
    buffer.append(mayRetry ? "\r\nx-should-retry: true\r\n" : "\r\nx-should-retry: false\r\n")
    buffer.append(family == .anthropic ? "request-id: " : "x-request-id: ")
    buffer.append(requestID)
    buffer.append("\r\n")
    if retryAfterMilliseconds > 0 {
      buffer.append("retry-after-ms: ")
      buffer.append(decimal: retryAfterMilliseconds)
      buffer.append("\r\nretry-after: ")
      buffer.append(decimal: (retryAfterMilliseconds + 999) / 1000)
      buffer.append("\r\n")
    }
    if closing { buffer.append("Connection: close\r\n") }
    buffer.append("\r\n")
    buffer.append(body.readable)
  }

  /// The last event of a stream that has to end: raised by the SDKs as an error of the API.
  public func writeEvent(to buffer: inout ByteBuffer, dialect: Dialect, requestID: Span<UInt8>) {
    if dialect == .anthropicMessages || dialect == .openaiResponses { buffer.append("event: error\n") }
    buffer.append("data: ")
    if dialect == .openaiResponses {
      buffer.append("{\"type\":\"error\",\"code\":\"")
      buffer.append(code)
      buffer.append("\",\"message\":\"")
      buffer.append(message)
      buffer.append("\",\"param\":null,\"sequence_number\":0}")
    } else {
      writeJSON(to: &buffer, family: dialect == .anthropicMessages ? .anthropic : .openai, requestID: requestID)
    }
    buffer.append("\n\n")
  }

  private func writeJSON(to buffer: inout ByteBuffer, family: Provider.Family, requestID: Span<UInt8>) {
    switch family {
    case .openai:
      buffer.append("{\"error\":{\"message\":\"")
      buffer.append(message)
      buffer.append("\",\"type\":\"")
      buffer.append(openaiType)
      buffer.append("\",\"param\":null,\"code\":\"")
      buffer.append(code)
      buffer.append("\"}}")
    case .anthropic:
      buffer.append("{\"type\":\"error\",\"error\":{\"type\":\"")
      buffer.append(anthropicType)
      buffer.append("\",\"message\":\"")
      buffer.append(message)
      buffer.append("\",\"details\":{\"code\":\"")
      buffer.append(code)
      buffer.append("\"}},\"request_id\":\"")
      buffer.append(requestID)
      buffer.append("\"}")
    }
  }

  private var openaiType: StaticString {
    switch status {
    case 401: "invalid_request_error"
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
