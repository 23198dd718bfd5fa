import Audit
import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

// A WebSocket: what each side sends goes on as it comes, read on the way.
extension Exchange {
  /// What is known of a session under way.
  struct Session {
    var fromClient = WebSocketFrames(fromClient: true)
    var fromProvider = WebSocketFrames(fromClient: false)
    var models = SessionModels()
    /// Whether what the client sends is read: because the models that it names decide, or until it has named one.
    var readsMessages: Bool
    let restrictsModels: Bool
  }

  /// The model that the query names, and whether the client's messages will be read.
  mutating func startSession(_ endpoint: Endpoint, _ query: Span<UInt8>, _ key: Int) throws(Unclear) {
    let restricts = shard.snapshot.restrictsModels(key: key)
    let named = try GatewayTarget.model(query)
    if endpoint.dialect.namesModelInMessages {
      guard named.isEmpty else { throw Unclear(.query) }
    } else {
      if named.isEmpty, restricts { throw Unclear(.absent) }
      model = named
    }
    session = Session(readsMessages: restricts || endpoint.dialect.namesModelInMessages, restrictsModels: restricts)
  }

  /// The fields that ask for the WebSocket, anew, without extensions (what is compressed cannot be read) and without a key.
  static func appendUpgrade(_ head: borrowing RequestHead, _ bytes: Span<UInt8>, to relay: inout ByteBuffer) {
    relay.append("Connection: Upgrade\r\nUpgrade: websocket\r\n")
    for field in head.fields where field.kind == .webSocket {
      let name = bytes.extracting(field.name.range)
      let value = bytes.extracting(field.value.range)
      if name.equalsIgnoringCase("sec-websocket-key") {
        relay.append("Sec-WebSocket-Key: ")
        relay.append(value)
        relay.append("\r\n")
      } else if name.equalsIgnoringCase("sec-websocket-version") {
        relay.append("Sec-WebSocket-Version: 13\r\n")
      } else if name.equalsIgnoringCase("sec-websocket-protocol") {
        _ = WebSocketHandshake.appendProtocols(value, to: &relay)
      }
    }
  }

  /// Passes the provider's consent on.
  private mutating func answerUpgrade(
    _ head: borrowing ResponseHead, _ client: inout ServerConnection, _ inbound: borrowing ByteBuffer
  )
    throws(Ending)
  {
    let bytes = inbound.readable
    echo.token = token
    client.outbound.clear()
    client.outbound.append("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
    for field in head.fields where Self.passesDownstream(field.kind) || field.kind == .webSocket {
      let name = bytes.extracting(field.name.range)
      if field.kind == .webSocket, name.equalsIgnoringCase("sec-websocket-extensions") {
        throw .upstream(Answers.upstreamBroken, .upstreamFailed)
      }
      let value = bytes.extracting(field.value.range)
      client.outbound.append(name)
      client.outbound.append(": ")
      if let cleaned = echo.value(value, credential!) { client.outbound.append(cleaned) } else { client.outbound.append(value) }
      client.outbound.append("\r\n")
    }
    client.outbound.append("x-maskllm-request-id: ")
    client.outbound.append(id.span)
    client.outbound.append("\r\n\r\n")
    (record.status, record.isStream, hasAnswered) = (101, true, true)
    endsWithConnection = true
    credential!.health.answered()
    work.session.expect(endpoint!.dialect)
  }

  /// Carries a session from the provider's 101 to its end.
  mutating func runSession(_ client: inout ServerConnection, _ connection: ClientConnection) async throws(Ending) {
    try answerUpgrade(connection.head, &client, connection.inbound)
    connection.inbound.consume(connection.head.length)
    while true {
      // What is here already comes first: an edge that was seen is not told of again.
      try passDown(&client, &connection.inbound)
      try await flush(&client)
      try passUp(&client)
      guard try await writeUp(&client, connection) else { return }
      try recheck()
      do throws(IOFailure) {
        if let n = try connection.socket.tryRead(into: &connection.inbound, minimum: 16 * 1024) {
          if n == 0 { return }
          continue
        }
        connection.socket.watch(.input)
        defer { connection.socket.watch(.nothing) }
        try await client.readSession(milliseconds: shard.limits.client.timeouts.session)
      } catch {
        switch error {
        case .recheck: try recheck()
        case .watched: continue
        case .timedOut: throw .upstream(Answers.upstreamSlow, .upstreamTimedOut)
        case .cancelled: throw .cut(Answers.stopping)
        // Either side may end it; who does says so in a frame, and need not wait.
        case .closed: return
        case .tls, .system: throw .clientGone
        }
      }
    }
  }

  private func flush(_ client: inout ServerConnection) async throws(Ending) {
    guard !client.outbound.isEmpty else { return }
    do throws(IOFailure) { try await client.flush() } catch { throw error == .cancelled ? .cut(Answers.stopping) : .clientGone }
  }

  private mutating func writeUp(_ client: inout ServerConnection, _ connection: ClientConnection) async throws(Ending) -> Bool {
    client.relay.isEmpty ? true : try await write(&client, connection)
  }

  /// What the provider has sent, metered, to `outbound`.
  private mutating func passDown(_ client: inout ServerConnection, _ inbound: inout ByteBuffer) throws(Ending) {
    guard !inbound.isEmpty else { return }
    try meterSession(inbound.readable)
    // A frame keeps its length. What is cut in two by the network is not found: nothing of a session is held back.
    if let cleaned = echo.value(inbound.readable, credential!) {
      client.outbound.append(cleaned)
    } else {
      client.outbound.append(inbound)
    }
    record.bytesOut += inbound.count
    inbound.clear()
  }

  private mutating func meterSession(_ bytes: Span<UInt8>) throws(Ending) {
    var i = 0
    while true {
      switch session!.fromProvider.step(bytes, from: i) {
      case .payload(let range):
        work.session.feed(bytes.extracting(range))
        i = range.upperBound
      case .endOfMessage(let used):
        work.session.endMessage()
        i = used
      case .more: return
      case .invalid: throw .upstream(Answers.upstreamBroken, .upstreamFailed)
      }
    }
  }

  /// What the client has sent, read where that decides, to `relay`. Nothing of it goes on before all of it has been looked at.
  private mutating func passUp(_ client: inout ServerConnection) throws(Ending) {
    guard !client.inbound.isEmpty else { return }
    try readSession(client.inbound.readable)
    let count = client.inbound.count
    client.writeRelayHead { bytes, _, relay in relay.append(bytes) }
    sessionBytes += count
    client.inbound.clear()
  }

  private mutating func readSession(_ bytes: Span<UInt8>) throws(Ending) {
    var i = 0
    while true {
      switch session!.fromClient.step(bytes, from: i) {
      case .payload(let range):
        if session!.readsMessages {
          let frames = session!.fromClient
          frames.unmask(bytes, range) { session!.models.feed($0) }
        }
        i = range.upperBound
      case .endOfMessage(let used):
        if session!.readsMessages { try readMessage() }
        i = used
      case .more: return
      case .invalid: throw .cut(Answers.malformed(HTTPError(400, "the frames of the WebSocket cannot be read")))
      }
    }
  }

  /// A whole message of the client's has been read: are the models in it the key's?
  private mutating func readMessage() throws(Ending) {
    defer { session!.models.reset() }
    guard session!.models.endMessage() else { throw .cut(Answers.unclear(Unclear(.message))) }
    for place in 0..<SessionModels.modelsMax {
      let named = session!.models.model(place)
      guard !named.isEmpty else { continue }
      if session!.restrictsModels {
        guard let keyID, let key = shard.snapshot.position(of: keyID) else { throw .cut(Refusal.unknownKey.answer) }
        do throws(Refusal) { try shard.snapshot.decide(key: key, model: named.span) } catch { throw .cut(error.answer) }
      }
      if model.isEmpty { model = named }
    }
    guard !model.isEmpty || !endpoint!.dialect.namesModelInMessages else { throw .cut(Answers.unclear(Unclear(.message))) }
    session!.readsMessages = session!.restrictsModels
  }

  /// Tells the client in a frame of its own why the session ends, where one may begin.
  mutating func breakOffSession(_ body: ErrorBody, _ client: inout ServerConnection) async throws(IOFailure) {
    guard session!.fromProvider.isBetweenFrames else { return }
    WebSocketFrames.writeClose(body.status >= 500 ? 1013 : 1008, body.code, to: &client.outbound)
    try await client.flush()
  }
}
