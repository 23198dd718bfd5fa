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
  mutating func authorize(_ client: borrowing ServerConnection) throws(Ending) -> Int {
    let bytes = client.inbound.readable
    let target = bytes.extracting(client.head.target.range)
    let query = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
    let slash = target.firstIndex(of: UInt8(ascii: "/"), from: 1) ?? query
    let segment = target.extracting(min(1, query)..<min(slash, query))
    let snapshot = shard.snapshot
    let named = snapshot.upstream(named: segment)
    family = named?.provider.family ?? (client.head.value(of: .anthropicVersion) == nil ? .openai : .anthropic)

    let index: Int
    do throws(Refusal) { index = try snapshot.authenticate(try presentedKey(client), now: record.start) } catch {
      throw .refused(error.answer, .refused)
    }
    keyID = snapshot.keyID(at: index)
    guard let named else { throw .refused(Answers.unknownProvider, .refused) }
    upstream = named
    guard slash < query, let endpoint = family.endpoint(client.head.method, target.extracting(slash..<query)) else {
      throw .refused(Answers.endpointNotAllowed, .refused)
    }
    self.endpoint = endpoint
    let position: Int
    do throws(Refusal) {
      position = try snapshot.decide(key: index, upstream: named)
      try snapshot.decide(key: index, from: client.socket.peerAddress)
      try snapshot.decide(key: index, endpoint: endpoint.kind)
      if snapshot.restrictsModels(key: index) {
        try decideEarly(index, target.extracting(slash..<target.count), query: query - slash, endpoint)
      }
    } catch { throw .refused(error.answer, .refused) }
    credential = named.credentials[position]
    if let encoding = client.head.value(of: .contentEncoding), !bytes.extracting(encoding.range).equalsIgnoringCase("identity") {
      throw .refused(Answers.encodedBody, .refused)
    }
    try admit(snapshot.meters(key: index))
    bodyMax = min(shard.limits.bodyMax, snapshot.bodyBytesMax(key: index))
    if case .length(let n) = client.head.framing, n > bodyMax { throw .refused(Answers.bodyTooLarge, .refused) }
    return position
  }

  /// Counts the request against the key's limits.
  private mutating func admit(_ meters: KeyMeters?) throws(Ending) {
    guard let meters else { return }
    switch meters.admit(now: started) {
    case .admitted: self.meters = meters
    case .tooManyAtOnce:
      retryAfterMilliseconds = 1000
      throw .refused(Answers.tooManyAtOnce, .refused)
    case .tooOften(let milliseconds):
      retryAfterMilliseconds = milliseconds
      throw .refused(Refusal.rateLimited.answer, .refused)
    }
  }

  /// For a key that is for certain models: what the path and query say of the model. A body is read before it is sent on.
  private mutating func decideEarly(_ key: Int, _ target: Span<UInt8>, query: Int, _ endpoint: Endpoint) throws(Refusal) {
    // A second place to name a model would make two readings possible.
    for i in query..<target.count where target.extracting(i..<target.count).starts(with: "model=") { throw .modelUnclear }
    if endpoint.namesModelInPath {
      var start = query
      while start > 0, target[start - 1] != UInt8(ascii: "/") { start -= 1 }
      try shard.snapshot.decide(key: key, model: target.extracting(start..<query))
    } else if endpoint.method == .post {
      decidesOnModel = true
    }
  }

  /// Reads the whole body into `relay` and decides on the model it names. What was checked is what is sent.
  mutating func decideModel(_ client: inout ServerConnection) async throws(Ending) {
    guard decidesOnModel, let keyID else { return }
    let isChunked = client.head.framing == .chunked
    while try !takeContent(&client, isChunked: isChunked, atMost: .max) {
      do throws(IOFailure) { try await client.readMore() } catch {
        switch error {
        case .recheck, .watched: try checkPresent(client)
        case .timedOut: throw .refused(Answers.malformed(HTTPError(408, "The request body did not arrive in time.")), .refused)
        default: throw .clientGone
        }
      }
    }
    guard reader.namesOneModel() else { throw .refused(Refusal.modelUnclear.answer, .refused) }
    // Much may have changed while the body arrived: the decision is made on what is in force now.
    try recheck()
    guard let key = shard.snapshot.position(of: keyID) else { throw .refused(Refusal.unknownKey.answer, .refused) }
    let model = reader.model
    do throws(Refusal) { try shard.snapshot.decide(key: key, model: model.span) } catch { throw .refused(error.answer, .refused) }
  }

  /// The masked key, wherever the SDK put it: `Authorization: Bearer`, `x-api-key`. Two that differ are refused.
  @_lifetime(borrow client)
  private func presentedKey(_ client: borrowing ServerConnection) throws(Refusal) -> Span<UInt8> {
    let bytes = client.inbound.readable
    var found = Span<UInt8>()
    for field in client.head.fields {
      var value = bytes.extracting(field.value.range)
      switch field.kind {
      case .authorization:
        if value.equalsIgnoringCase("bearer") { continue }
        guard value.count > 7, value.extracting(0..<7).equalsIgnoringCase("bearer ") else { throw .malformedKey }
        value = value.extracting(7..<value.count)
      case .apiKey: break
      default: continue
      }
      guard found.isEmpty || found.equals(value) else { throw .malformedKey }
      found = value
    }
    guard !found.isEmpty else { throw .missingKey }
    return found
  }

  /// Builds the upstream head anew from parsed values, with the real key, at the front of `relay`.
  mutating func writeHead(_ client: inout ServerConnection) throws(Ending) {
    let upstream = upstream!
    client.relay.clear()
    client.writeRelayHead { (bytes, head, relay) in
      relay.append(head.method.name)
      relay.append(" ")
      relay.append(upstream.pathPrefix)
      let target = bytes.extracting(head.target.range)
      // Everything after the provider's name, as received.
      relay.append(target.extracting((target.firstIndex(of: UInt8(ascii: "/"), from: 1) ?? target.count)..<target.count))
      relay.append(" HTTP/1.1\r\n")
      relay.append(upstream.hostLine)
      for field in head.fields where Self.passesUpstream(field.kind) {
        relay.append(bytes.extracting(field.name.range))
        relay.append(": ")
        relay.append(bytes.extracting(field.value.range))
        relay.append("\r\n")
      }
      // Compressed answers would hide their usage.
      relay.append("Accept-Encoding: identity\r\n")
      switch head.framing {
      case .length(let n):
        relay.append("Content-Length: ")
        relay.append(decimal: n)
        relay.append("\r\n")
      case .chunked: relay.append("Transfer-Encoding: chunked\r\n")
      default: if head.method != .get { relay.append("Content-Length: 0\r\n") }
      }
    }
    credential!.headerLine.append(to: &client.relay)
    client.relay.append("\r\n")
    if let type = client.head.value(of: .contentType) {
      reader.isJSON = UsageMeter.format(contentType: client.inbound.readable.extracting(type.range)) == .json
    }
    client.startBody()
  }

  /// What of the client's head goes on: not the hop's own fields, not framing, no credential of any kind, nothing that names
  /// an account of the client's or where it came from.
  private static func passesUpstream(_ kind: FieldKind) -> Bool {
    switch kind {
    case .other, .contentType, .anthropicVersion, .requestID: true
    default: false
    }
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
        case .timedOut: throw .upstream(Answers.upstreamSlow, .upstreamTimedOut)
        case .cancelled: throw .refused(Answers.stopping, .cut)
        case .tls(let reason):
          shard.log.warn("provider '\(upstream!.provider.name)': TLS: \(reason)")
          throw .upstream(Answers.upstreamUntrusted, .upstreamFailed)
        case .system(EAGAIN): throw .upstream(Answers.upstreamBusy, .upstreamFailed)
        case .closed, .system: throw .upstream(Answers.upstreamDown, .upstreamFailed)
        }
      }
    }
  }

  /// Sends head and body on as they come. Returns early when the provider answers before it has everything.
  mutating func sendRequest(_ client: inout ServerConnection, _ connection: ClientConnection) async throws(Ending) {
    let isChunked = client.head.framing == .chunked
    while true {
      let isRead = try takeContent(&client, isChunked: isChunked, atMost: 64 * 1024)
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
        reader.feed(client.outbound.readable)
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
        reader.feed(client.relay.readable.extracting(start..<client.relay.count))
      }
      guard client.contentBytes <= bodyMax else {
        throw HTTPError(413, "The request body is larger than this gateway accepts.")
      }
      return isRead
    } catch {
      throw .refused(error.status == 413 ? Answers.bodyTooLarge : Answers.malformed(error), .refused)
    }
  }

  /// Writes `relay` to the provider; false when it has stopped listening and may have answered.
  private mutating func write(_ client: inout ServerConnection, _ connection: ClientConnection) async throws(Ending) -> Bool {
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
