public import Primitives
public import Transport
public import Wire

/// A local stand-in for OpenAI and Anthropic: answers in their recorded shapes, streaming and not, with made-up content.
///
/// Model names that start with `demo-` make it misbehave as providers do (`DemoBehaviour`), so that every failure can be tried.
public struct DemoProvider: RequestHandler {
  /// The only key it accepts. Made up; it opens nothing.
  public static let key: StaticString = "sk-demo-not-a-real-key-0000000000000000"

  /// Milliseconds between the events of a stream.
  private let paceMilliseconds: Int

  public init(paceMilliseconds: Int) { self.paceMilliseconds = paceMilliseconds }

  public func handle(_ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    let path = String(
      decoding: [UInt8](copying: connection.inbound.readable.extracting(connection.head.target.range)), as: UTF8.self)
    let isAnthropic = path.hasSuffix("/messages")
    let presented = presentedKey(connection)
    let isGet = connection.head.method == .get
    connection.startBody()
    let request = try await DemoRequest.read(&connection)
    guard presented == "\(Self.key)" else {
      // Providers echo the tail of the key they were given.
      return try await answer(
        401, DemoShapes.error(401, "Incorrect API key provided: ...\(presented.suffix(4))", anthropic: isAnthropic), &connection)
    }
    if let result = try await DemoBehaviour(model: request.model)?.act(&connection, key: presented, isAnthropic: isAnthropic) {
      return result
    }
    switch path {
    case "/v1/chat/completions":
      if request.isStream { return try await stream(DemoShapes.chatEvents(request), &connection) }
      return try await answer(200, DemoShapes.chat(request), &connection)
    case "/v1/responses":
      if request.isStream { return try await stream(DemoShapes.responseEvents(request), &connection) }
      return try await answer(200, DemoShapes.response(request), &connection)
    case "/v1/messages":
      if request.isStream { return try await stream(DemoShapes.messageEvents(request), &connection) }
      return try await answer(200, DemoShapes.message(request), &connection)
    case "/v1/embeddings": return try await answer(200, DemoShapes.embedding(request), &connection)
    case "/v1/models" where isGet: return try await answer(200, DemoShapes.models, &connection)
    default: return try await answer(404, DemoShapes.error(404, "Unknown request URL", anthropic: isAnthropic), &connection)
    }
  }

  public func answer(to error: HTTPError, into buffer: inout ByteBuffer) {
    let body = "\(error.reason)\n"
    buffer.append(
      "HTTP/1.1 \(error.status) Error\r\nContent-Type: text/plain\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
    )
  }

  private func presentedKey(_ connection: borrowing ServerConnection) -> String {
    for field in connection.head.fields where field.kind == .authorization || field.kind == .apiKey {
      let value = String(decoding: [UInt8](copying: connection.inbound.readable.extracting(field.value.range)), as: UTF8.self)
      return value.hasPrefix("Bearer ") ? String(value.dropFirst(7)) : value
    }
    return ""
  }

  func answer(_ status: Int, _ body: String, _ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    connection.outbound.append(
      "HTTP/1.1 \(status) Demo\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n")
    connection.outbound.append(
      "x-request-id: req_demo\r\nopenai-organization: org-demo\r\nset-cookie: __cf_bm=demo\r\n\r\n\(body)")
    try await connection.flush()
    return connection.head.isKeepAlive
  }

  private func stream(_ events: [String], _ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    DemoShapes.startStream(&connection)
    for event in events {
      DemoShapes.chunk(event, &connection)
      try await connection.flush()
      if paceMilliseconds > 0 { try await connection.scope.sleep(milliseconds: paceMilliseconds) }
    }
    connection.outbound.append("0\r\n\r\n")
    try await connection.flush()
    return connection.head.isKeepAlive
  }
}

/// What the stand-in looks at in a request.
struct DemoRequest {
  var model = ""
  var isStream = false
  var includesUsage = false
  var offersTools = false

  static func read(_ connection: inout ServerConnection) async throws(IOFailure) -> DemoRequest {
    var request = DemoRequest()
    connection.relay.clear()
    while true {
      do throws(HTTPError) {
        if try connection.takeContentToRelay(atMost: 64 << 20) { break }
      } catch { throw .closed }
      try await connection.readMore()
    }
    let paths = JSONPaths([("model", .text(0)), ("stream", .number(0)), ("stream_options.include_usage", .number(1))])
    var probe = JSONProbe()
    probe.feed(connection.relay.readable, paths)
    let model = probe.text(0)
    request.model = String(decoding: [UInt8](copying: model.span), as: UTF8.self)
    request.isStream = probe.number(0) == 1
    request.includesUsage = probe.number(1) == 1
    request.offersTools =
      String(decoding: connection.relay.copy(), as: UTF8.self).contains("\"tools\":[{")
      || String(decoding: connection.relay.copy(), as: UTF8.self).contains("\"tools\": [{")
    return request
  }
}
