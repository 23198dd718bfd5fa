import Cryptography
import Audit
import Domain
import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

extension Exchange {
  /// Finds who asks for what, and whether they may: fills in the members, returns the position of the credential.
  mutating func authorize(_ client: borrowing ServerConnection, peer: NetworkAddress?) throws(Ending) -> Int {
    let bytes = client.inbound.readable
    let target = bytes.extracting(client.head.target.range)
    let parts = GatewayTarget(target)
    let segment = target.extracting(parts.provider)
    let snapshot = shard.snapshot
    let named = snapshot.upstream(named: segment)
    shape = named?.entry.errors ?? (client.head.value(of: .anthropicVersion) == nil ? .openai : .anthropic)

    let address = clientAddress(client, peer)
    record.address = address
    if let field = client.head.value(of: .trace) { record.trace = TraceContext(bytes.extracting(field.range)) }
    let index: Int
    do throws(Refusal) {
      let presented = try presentedKey(client)
      let isTicket = UploadTicket.isTicket(presented)
      let key = isTicket ? try redeem(presented, target, parts) : try snapshot.identify(presented)
      // Known from here on, so that a key that is no longer in force is recorded with what it is used for.
      index = key.index
      keyID = snapshot.keyID(at: index)
      record.keyVersion = key.version
      try snapshot.decide(key, validAt: record.start)
      // Once for each key after a new pepper was made.
      if !isTicket, let renewed = snapshot.renewedHash(of: presented, key) {
        shard.peppers.rehash(keyID!, version: key.version, hash: renewed.hash, pepperVersion: renewed.pepperVersion)
      }
    } catch {
      if error == .decoyKey { recordedCode = Refusal.decoyKey.code }
      throw .refused(error.answer, .refused)
    }
    guard let named else { throw .refused(Refusal.unknownProvider.answer, .refused) }
    if snapshot.captures(key: index, at: record.start) { capture = ContentCapture() }
    upstream = named
    let path = target.extracting(parts.path)
    let isSocket = WebSocketHandshake.isAsked(client.head, bytes)
    guard let found = named.entry.endpoint(client.head.method, path, isSocket: isSocket) else {
      throw .refused(Answers.endpointNotAllowed(path), .refused)
    }
    let endpoint = found.endpoint
    self.endpoint = endpoint
    objectID = Self.objectID(found, path, named.entry)
    if endpoint.method != .get { work.references.expect(named.entry.objects) }
    if !named.entry.objects.isEmpty { queryObjects = GatewayTarget.references(target.extracting(parts.query)) }
    let query = target.extracting(parts.query)
    guard !GatewayTarget.hasOverride(query) else {
      throw refused(HTTPError(400, "a parameter of the query carries a credential, or makes another request of it"))
    }
    if isSocket {
      do throws(Unclear) { try startSession(endpoint, query, index) } catch { throw .refused(Answers.unclear(error), .refused) }
    }
    let position: Int
    do throws(Refusal) {
      if endpoint.namesModelInPath { model = PathName.decoded(path.extracting(found.model)) }
      position = try snapshot.decide(
        key: index, upstream: named, from: address, at: record.start, endpoint: endpoint.kind,
        method: client.head.method.name.span, path: path, name: found.model, pathModel: model, pick: id.number)
    } catch { throw .refused(error.answer, .refused) }
    if snapshot.readsBody(key: index), !isSocket {
      // A second place to name a model would make two readings possible.
      if let name = GatewayTarget.modelParameter(query) { throw .refused(Answers.unclear(Unclear(.query, name)), .refused) }
      readsBody = endpoint.method == .post && endpoint.namesModel
    }
    choose(named.credentials[position])
    try readContentFields(client)
    do throws(Denial) { try work.charges.admit(snapshot, key: index, now: started) } catch { throw refused(error) }
    bodyMax = min(shard.limits.bodyMax, snapshot.bodyBytesMax(key: index))
    if case .length(let n) = client.head.framing, n > bodyMax { throw .refused(Refusal.bodyTooLarge.answer, .refused) }
    if let goesOnWith { pin(to: goesOnWith) }
    return pinned ?? position
  }

  /// A refusal by something that is counted.
  mutating func refused(_ denial: Denial) -> Ending {
    retryAfterMilliseconds = denial.retryAfterMilliseconds
    var answer = denial.refusal.answer
    // What can never fit is not to be tried again.
    if denial.retryAfterMilliseconds == 0, answer.status == 429 { answer.mayRetry = false }
    if denial.refusal == .priceUnknown { answer.subject = model }
    return .refused(answer, .refused)
  }

  /// Builds the upstream head anew from parsed values, all but its framing and the real key, at the front of `relay`.
  mutating func writeHead(_ client: inout ServerConnection) throws(Ending) {
    addressForClients = addressForClients(client)
    place = shard.place(of: upstream!)
    let (place, credential, isSession) = (upstream!.places[place], credential!, session != nil)
    let fields: UpstreamFields
    do throws(HTTPError) { fields = try UpstreamFields(client.head, client.inbound.readable) } catch { throw refused(error) }
    client.relay.clear()
    client.writeRelayHead { (bytes, head, relay) in
      relay.append(head.method.name)
      relay.append(" ")
      relay.append(place.pathPrefix)
      let target = bytes.extracting(head.target.range)
      // Everything after the provider's name, as received, but for a key in the query.
      let parts = GatewayTarget(target)
      relay.append(target.extracting(parts.path))
      let isWithoutQuery = GatewayTarget.appendQuery(
        target.extracting(parts.query), without: credential.queryName, into: &relay)
      if credential.queryName != nil {
        relay.append(isWithoutQuery ? "?" : "&")
        credential.line.append(to: &relay)
      }
      relay.append(" HTTP/1.1\r\n")
      relay.append(place.hostLine)
      for field in head.fields where fields.passes(field, bytes) {
        relay.append(bytes.extracting(field.name.range))
        relay.append(": ")
        relay.append(bytes.extracting(field.value.range))
        relay.append("\r\n")
      }
      if isSession { Self.appendUpgrade(head, bytes, to: &relay) }
      // Compressed answers would hide their usage.
      relay.append("Accept-Encoding: identity\r\n")
    }
    prepareBody(client)
    prepareSignature(client)
    if mayResend(client) { resend = (client.relay.copy(), []) }
    client.startBody()
  }

  /// Media type and coding of the body: refused where they are said twice, or in another coding, since it could then be read otherwise.
  private mutating func readContentFields(_ client: borrowing ServerConnection) throws(Ending) {
    let bytes = client.inbound.readable
    var hasType = false
    for field in client.head.fields {
      switch field.kind {
      case .contentType:
        guard !hasType else { throw refused(HTTPError(400, "Content-Type is said twice")) }
        hasType = true
        mediaType = MediaType(bytes.extracting(field.value.range))
      case .contentEncoding:
        guard bytes.extracting(field.value.range).equalsIgnoringCase("identity") else {
          throw .refused(Refusal.encodedBody.answer, .refused)
        }
      default: break
      }
    }
    // Where IDs of objects are looked for, the body has to be what it looks like.
    guard work.references.isOn else { return }
    guard mediaType.isUTF8 else { throw .refused(Answers.unclear(Unclear(.charset)), .refused) }
    var isReadable = mediaType.isClear
    if mediaType.kind == .form, let type = client.head.value(of: .contentType) {
      isReadable = isReadable && MultipartForm.boundary(contentType: bytes.extracting(type.range)) != nil
    }
    guard isReadable else { throw .refused(Answers.unclear(Unclear(.contentType)), .refused) }
  }

  private mutating func prepareBody(_ client: borrowing ServerConnection) {
    guard let type = client.head.value(of: .contentType) else { return }
    let value = client.inbound.readable.extracting(type.range)
    if mediaType.kind == .urlEncoded { work.references.expectForm(Span()) }
    if mediaType.kind == .form, let boundary = MultipartForm.boundary(contentType: value) {
      work.references.expectForm(value.extracting(boundary))
    }
    work.reader.isJSON = mediaType.kind == .json
    if work.reader.isJSON, endpoint!.generates, endpoint!.dialect == .openaiChat, upstream!.entry.asksForUsage,
      case .length(let n) = client.head.framing, n <= Self.usageBodyMax
    {
      wantsUsage = true
    }
    guard readsBody, !work.reader.isJSON, let boundary = MultipartForm.boundary(contentType: value) else { return }
    formBoundary = [UInt8](copying: value.extracting(boundary))
  }

  /// Bytes of a body that is held for no more than having its stream tell its usage: what is larger goes on as it comes in.
  private static let usageBodyMax = 1 << 20

  /// Bytes of a body that is kept to be sent again.
  private static let resendMax = 4 << 20

  /// Whether the request is kept to be sent again with another key: where there is one, and the head does not hold the first.
  private func mayResend(_ client: borrowing ServerConnection) -> Bool {
    // A token can be taken back before its time, and then another is got.
    guard upstream!.credentials.count > 1 || credential!.token != nil, credential!.queryName == nil else { return false }
    switch client.head.framing {
    case .none: return true
    case .length(let n): return n <= Self.resendMax
    default: return false
    }
  }

  private mutating func prepareSignature(_ client: borrowing ServerConnection) {
    guard credential!.signer != nil, let upstream else { return }
    let bytes = client.inbound.readable
    let target = bytes.extracting(client.head.target.range)
    let parts = GatewayTarget(target)
    var query = ByteBuffer(capacity: 64)
    _ = GatewayTarget.appendQuery(target.extracting(parts.query), without: nil, into: &query)
    var headers: [(name: [UInt8], value: [UInt8])] = [(Array("host".utf8), Array(upstream.places[place].url.hostHeader.utf8))]
    if let type = client.head.value(of: .contentType) {
      headers.append((Array("content-type".utf8), [UInt8](copying: bytes.extracting(type.range))))
    }
    let method = client.head.method.name
    toSign = AmazonSignature.Request(
      method: [UInt8](copying: method.span),
      path: upstream.places[place].pathPrefix + [UInt8](copying: target.extracting(parts.path)),
      query: Array(query.copy().dropFirst()), headers: headers, payloadHash: [])
  }

  /// The framing and the real key; where the body has been read, the body as it is to be sent.
  mutating func finishHead(_ client: inout ServerConnection) throws(Ending) {
    if buffersBody {
      appendBody(&client)
    } else {
      switch client.head.framing {
      case .length(let n): appendLength(n, &client.relay)
      case .chunked:
        client.relay.append("Transfer-Encoding: chunked\r\n")
        endHead(&client.relay)
      default:
        if client.head.method == .get { endHead(&client.relay) } else { appendLength(0, &client.relay) }
      }
    }
  }

  func appendLength(_ n: Int, signed: AmazonSignature.Request? = nil, _ relay: inout ByteBuffer) {
    relay.append("Content-Length: ")
    relay.append(decimal: n)
    relay.append("\r\n")
    endHead(signed: signed, &relay)
  }

  func endHead(signed: AmazonSignature.Request? = nil, _ relay: inout ByteBuffer) {
    if let signed {
      credential!.appendSigned(signed, now: shard.clock.now, to: &relay)
    } else if let token {
      token.line.append(to: &relay)
    } else if credential!.queryName == nil {
      credential!.line.append(to: &relay)
    }
    relay.append("\r\n")
  }

  /// A connection to the provider.
  mutating func connect(_ pool: ClientPool, _ client: borrowing ServerConnection) async throws(Ending) -> ClientConnection {
    client.socket.watch(.hangup)
    try checkPresent(client)
    while true {
      do throws(IOFailure) { return try await pool.acquire(client.scope) } catch {
        switch error {
        case .recheck: try recheck()
        case .watched: try checkPresent(client)
        case .timedOut:
          isUnreachable = true
          throw .upstream(Answers.upstreamSlow, .upstreamTimedOut)
        case .cancelled: throw .refused(Answers.stopping, .cut)
        case .tls(let reason):
          shard.log.warn("provider '\(upstream!.provider.name, .provider)': TLS: \(reason, .because)")
          throw .upstream(Answers.upstreamUntrusted, .upstreamFailed)
        case .system(EAGAIN): throw .upstream(Answers.upstreamBusy, .upstreamFailed)
        case .closed, .system:
          isUnreachable = true
          throw .upstream(Answers.upstreamDown, .upstreamFailed)
        }
      }
    }
  }

  /// Sends head and body on as they come. Returns early when the provider answers before it has everything.
  mutating func sendRequest(_ client: inout ServerConnection, _ connection: ClientConnection) async throws(Ending) {
    isSent = true
    if buffersBody {
      _ = try await write(&client, connection)
      return
    }
    let isChunked = client.head.framing == .chunked
    while true {
      let isRead = try takeContent(&client, isChunked: isChunked, atMost: 64 * 1024)
      if isRead { work.references.finish() }
      if work.references.isToCheck { try await checkReferences() }
      if !client.relay.isEmpty, try await !write(&client, connection) { return }
      if isRead { break }
      if client.hasContentWaiting { continue }
      // While the client is slow, the provider may already say no.
      connection.socket.watch(.input)
      defer { connection.socket.watch(.nothing) }
      do throws(IOFailure) { try await client.readMore() } catch {
        switch error {
        case .recheck: try recheck()
        case .watched:
          if try hasAnswered(connection) { return }
          try checkPresent(client)
        case .timedOut: throw .refused(Answers.malformed(HTTPError(408, "The request body did not arrive in time.")), .refused)
        default: throw .clientGone
        }
      }
    }
  }

  /// A watched socket said something: is it that the client has gone?
  func checkPresent(_ client: borrowing ServerConnection) throws(Ending) {
    if client.socket.isHungUp { throw .clientGone }
  }

  /// Whether the provider has begun to answer. Under TLS, bytes may also be of the protocol itself (session tickets).
  private func hasAnswered(_ connection: ClientConnection) throws(Ending) -> Bool {
    do throws(IOFailure) { return try connection.socket.tryRead(into: &connection.inbound, minimum: 4096) != nil } catch {
      throw .upstream(Answers.upstreamBroken, .upstreamFailed)
    }
  }

  /// Moves what has arrived of the body to `relay`, reading the model on the way; true when it was the last.
  private mutating func takeContent(_ client: inout ServerConnection, isChunked: Bool, atMost limit: Int) throws(Ending) -> Bool {
    do throws(HTTPError) {
      let isRead: Bool
      if isChunked {
        client.outbound.clear()
        isRead = try client.takeContentToOutbound(atMost: limit)
        feed(client.outbound.readable)
        if !client.outbound.isEmpty {
          client.relay.append(hexadecimal: client.outbound.count)
          client.relay.append("\r\n")
          client.relay.append(client.outbound)
          client.relay.append("\r\n")
          client.outbound.clear()
        }
        if isRead { client.relay.append("0\r\n\r\n") }
      } else {
        let start = client.relay.count
        isRead = try client.takeContentToRelay(atMost: limit)
        feed(client.relay.readable.extracting(start..<client.relay.count))
      }
      try checkSize(client)
      return isRead
    } catch { throw refused(error) }
  }

  /// Reads a piece of the body on its way.
  func feed(_ content: Span<UInt8>) {
    work.reader.feed(content)
    work.references.feed(content)
  }

  func checkSize(_ client: borrowing ServerConnection) throws(HTTPError) {
    guard client.contentBytes <= bodyMax else { throw HTTPError(413, "the body is too large") }
  }

  func refused(_ error: HTTPError) -> Ending {
    .refused(error.status == 413 ? Refusal.bodyTooLarge.answer : Answers.malformed(error), .refused)
  }

  /// Writes `relay` to the provider; false when it has stopped listening and may have answered.
  mutating func write(_ client: inout ServerConnection, _ connection: ClientConnection) async throws(Ending) -> Bool {
    client.scope.setDeadline(milliseconds: shard.limits.client.timeouts.write)
    let count = client.relay.count
    while true {
      do throws(IOFailure) {
        try await connection.socket.write(&client.relay, client.scope)
        // The first piece has the real key in it.
        client.relay.wipe(first: count)
        return true
      } catch {
        switch error {
        case .recheck: try recheck()
        case .watched: try checkPresent(client)
        case .timedOut: throw .upstream(Answers.upstreamSlow, .upstreamTimedOut)
        case .cancelled: throw .refused(Answers.stopping, .cut)
        case .tls, .system: throw .upstream(Answers.upstreamDown, .upstreamFailed)
        case .closed:
          client.relay.wipe()
          return false
        }
      }
    }
  }
}

private let EAGAIN: Int32 = 11
