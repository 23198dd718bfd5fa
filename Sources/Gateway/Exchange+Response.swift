import Audit
import Domain
import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

extension Exchange {
  /// Reads the provider's answer and passes it on as it comes. Returns whether the upstream connection can be used again.
  mutating func receive(_ client: inout ServerConnection, _ connection: ClientConnection, _ position: Int) async throws(Ending)
    -> Bool
  {
    try checkPresent(client)
    try await readHead(client, connection)
    record.firstByteMicroseconds = Int((monotonicNanoseconds() - started) / 1000)
    record.upstreamStatus = connection.head.status
    if connection.head.status == 101 {
      try await runSession(&client, connection)
      return false
    }
    let told = try await readRefusal(client, connection)
    try judge(connection.head, connection.inbound, told, position)
    var decoder = BodyDecoder(connection.head.framing)
    answerHead(connection.head, &client, connection.inbound)
    connection.inbound.consume(connection.head.length)
    try await relayBody(&decoder, &client, connection)
    await countBatch()
    return connection.head.isKeepAlive && client.isBodyRead
  }

  private mutating func readHead(_ client: borrowing ServerConnection, _ connection: ClientConnection) async throws(Ending) {
    client.scope.setDeadline(milliseconds: shard.limits.client.timeouts.firstByte)
    while true {
      do throws(HTTPError) {
        while !connection.inbound.isEmpty {
          guard try connection.head.parse(connection.inbound, answering: client.head.method, limits: shard.limits.client.head)
          else { break }
          if connection.head.status >= 200 { return }
          // Interim answers are for us, not for the client, who has had its own 100.
          if connection.head.status == 101 {
            guard session != nil else { throw .bad("an upgrade that nobody asked for") }
            return
          }
          connection.inbound.consume(connection.head.length)
        }
      } catch { throw .upstream(Answers.upstreamBroken, .upstreamFailed) }
      guard connection.inbound.reserve(4096, limit: shard.limits.client.head.bytesMax + 16 * 1024) else {
        throw .upstream(Answers.upstreamBroken, .upstreamFailed)
      }
      if try await read(client, connection) == 0 { throw .upstream(Answers.upstreamBroken, .upstreamFailed) }
    }
  }

  /// Reads from the provider while watching the client.
  private mutating func read(_ client: borrowing ServerConnection, _ connection: ClientConnection) async throws(Ending) -> Int {
    while true {
      do throws(IOFailure) {
        return try await connection.socket.read(into: &connection.inbound, minimum: 4096, client.scope)
      } catch {
        switch error {
        case .recheck: try recheck()
        case .watched: try checkPresent(client)
        case .timedOut: throw .upstream(Answers.upstreamSlow, .upstreamTimedOut)
        case .cancelled: throw .cut(Answers.stopping)
        case .closed, .tls, .system: throw .upstream(Answers.upstreamBroken, .upstreamFailed)
        }
      }
    }
  }

  /// Answers that are not passed: those whose words blame our own key, and redirects. All others are the caller's, an error about the
  /// prompt or the model too, and move nothing that others share.
  private mutating func judge(
    _ head: borrowing ResponseHead, _ inbound: borrowing ByteBuffer, _ told: RefusalFacts.Told, _ position: Int
  )
    throws(Ending)
  {
    let credential = credential!
    if head.status == 401 || head.status == 403, credential.signer != nil, let skew = clockSkew(head, inbound),
      abs(skew) > Self.skewMax
    {
      shard.log.warn(
        "provider '\(upstream!.provider.name, .provider)': its clock and this machine's differ by \(abs(skew) / 1000, .seconds) s"
      )
      throw .upstream(Answers.clockSkewed, .upstreamFailed)
    }
    if told.blamesKey || head.status == 401 {
      if let token, !hasRenewed, resend != nil, let access = credential.token, access.drop(token, now: monotonicNanoseconds()) {
        hasRenewed = true
        tried &= ~(1 << UInt64(position))
        throw .anotherKey
      }
      shard.suspect(credential, of: upstream!, status: head.status, blamesKey: told.blamesKey)
      guard told.blamesKey else { return }
      record.refusedProviderKey = credential.keyID
      if mayTryAnother { throw .anotherKey }
      throw .upstream(Answers.providerKeyRefused, .upstreamFailed)
    }
    switch head.status {
    case 429:
      // With one key there is nothing to choose, and the client is told what the provider says.
      guard upstream!.credentials.count > 1 else { return }
      credential.health.limited(for: retryAfter(head, inbound, told), now: monotonicNanoseconds())
      if mayTryAnother { throw .anotherKey }
    // Lists of models are open to anybody at some providers.
    case 200..<300: if endpoint!.kind != .models { credential.health.answered() }
    case 300..<400 where head.status != 304: throw .upstream(Answers.upstreamRedirected, .upstreamFailed)
    default: break
    }
  }

  /// Milliseconds that a signature may be old.
  private static let skewMax: Int64 = 300_000

  /// What the body of a refusal says of our key and of how long to wait, where this kind of provider says it there. The body stays
  /// where it is. (Off the path of what goes well: it may copy.)
  private mutating func readRefusal(_ client: borrowing ServerConnection, _ connection: ClientConnection) async throws(Ending)
    -> RefusalFacts.Told
  {
    let facts = upstream!.entry.refusals
    let status = connection.head.status
    // How long to wait matters where there is another key.
    guard facts.readsBody(status: status), status != 429 || upstream!.credentials.count > 1 else {
      return facts.read(status, Span(), now: shard.clock.now)
    }
    while true {
      var raw = ByteBuffer(capacity: 1024)
      var body = ByteBuffer(capacity: 1024)
      raw.append(connection.inbound.readable.extracting(connection.head.length..<connection.inbound.count))
      var decoder = BodyDecoder(connection.head.framing)
      var isWhole = false
      decoding: while true {
        guard let step = try? decoder.step(raw) else { return RefusalFacts.Told() }
        switch step {
        case .content(let range):
          body.append(raw.readable.extracting(range))
          raw.consume(range.upperBound)
        case .end: isWhole = true
        case .more: break decoding
        }
        if isWhole { break }
      }
      if isWhole || body.count >= RefusalFacts.bodyMax { return facts.read(status, body.readable, now: shard.clock.now) }
      _ = connection.inbound.reserve(4096)
      // What ends too early is told to the client when it is passed on.
      if try await read(client, connection) == 0 { return facts.read(status, body.readable, now: shard.clock.now) }
    }
  }

  /// For how long the provider wants to be left alone; a second where it does not say.
  private func retryAfter(_ head: borrowing ResponseHead, _ inbound: borrowing ByteBuffer, _ told: RefusalFacts.Told)
    -> Milliseconds
  {
    let bytes = inbound.readable
    var (wait, reset): (Milliseconds?, Milliseconds?) = (nil, told.wait)
    for field in head.fields {
      let name = bytes.extracting(field.name.range)
      let value = bytes.extracting(field.value.range)
      if name.equalsIgnoringCase("retry-after-ms") { return ASCII.decimal(value).map { Milliseconds(clamping: $0) } ?? 1000 }
      if name.equalsIgnoringCase("retry-after") { wait = RefusalFacts.retryAfter(value, now: shard.clock.now) }
      if upstream!.entry.refusals.isReset(name), let until = RefusalFacts.wait(value, now: shard.clock.now) {
        reset = max(reset ?? 0, until)
      }
    }
    return wait ?? reset ?? 1000
  }

  /// How far the provider's clock is ahead of ours, in milliseconds.
  private func clockSkew(_ head: borrowing ResponseHead, _ inbound: borrowing ByteBuffer) -> Int64? {
    let bytes = inbound.readable
    for field in head.fields where bytes.extracting(field.name.range).equalsIgnoringCase("date") {
      return Timestamp(httpDate: bytes.extracting(field.value.range)).map { $0.milliseconds - shard.clock.now.milliseconds }
    }
    return nil
  }

  /// The head of the answer, from the provider's parsed values, into `outbound`.
  private mutating func answerHead(
    _ head: borrowing ResponseHead, _ client: inout ServerConnection, _ inbound: borrowing ByteBuffer
  ) {
    var format = UsageMeter.Format.other
    let bytes = inbound.readable
    (echo.isError, echo.token) = (head.status >= 400, token)
    client.outbound.clear()
    client.outbound.append("HTTP/1.1 ")
    client.outbound.append(decimal: Int(head.status))
    client.outbound.append(" ")
    appendClean(bytes.extracting(head.reason.range), to: &client.outbound)
    client.outbound.append("\r\n")
    // One look at all of it: what repeats the key is looked at field by field.
    let isClean =
      !echo.isError
      && !credential!.isRepeated(
        in: bytes.extracting(0..<head.length), orBegun: false, shortestKey: KeyEcho.keyMin, token: token)
    let ownReadings = hasReadings
    for field in head.fields where Self.passesDownstream(field.kind) && !(ownReadings && field.kind == .rateLimit) {
      if isUploadField(bytes.extracting(field.name.range)) {
        if let address = uploadAddress(bytes.extracting(field.value.range)) {
          client.outbound.append(bytes.extracting(field.name.range))
          client.outbound.append(": ")
          client.outbound.append(address)
          client.outbound.append("\r\n")
        }
        continue
      }
      if field.kind == .contentType { format = UsageMeter.format(contentType: bytes.extracting(field.value.range)) }
      let name = bytes.extracting(field.name.range)
      if name.equalsIgnoringCase("www-authenticate") { continue }
      if isClean { client.outbound.append(name) } else { appendClean(name, to: &client.outbound) }
      client.outbound.append(": ")
      let value = bytes.extracting(field.value.range)
      if isClean || field.kind == .contentType { client.outbound.append(value) } else { appendClean(value, to: &client.outbound) }
      client.outbound.append("\r\n")
    }
    if ownReadings { writeReadings(to: &client.outbound) }
    client.outbound.append("x-maskllm-request-id: ")
    client.outbound.append(id.span)
    client.outbound.append("\r\n")
    if endpoint!.hasLinks, format == .json, head.status < 300, let addressForClients {
      linkRewriter = LinkRewriter(from: upstream!.places[place].baseURL, to: addressForClients)
    }
    switch linkRewriter == nil ? head.framing : .chunked {
    case .none: if head.status != 204, head.status != 304 { client.outbound.append("Content-Length: 0\r\n") }
    case .length(let n):
      client.outbound.append("Content-Length: ")
      client.outbound.append(decimal: n)
      client.outbound.append("\r\n")
    case .chunked, .untilClose:
      isChunkedAnswer = client.head.isHTTP11
      endsWithConnection = !isChunkedAnswer
      if isChunkedAnswer { client.outbound.append("Transfer-Encoding: chunked\r\n") }
    }
    if !client.head.isKeepAlive || client.isLast || endsWithConnection || !client.isBodyRead {
      client.outbound.append("Connection: close\r\n")
    } else if !client.head.isHTTP11 {
      client.outbound.append("Connection: keep-alive\r\n")
    }
    client.outbound.append("\r\n")
    record.status = head.status
    record.isStream = format.isStream
    streamFormat = format
    work.meter.expect(endpoint!.dialect, format)
    if endpoint!.dialect == .bedrockInvoke {
      for field in head.fields { work.meter.note(field: bytes.extracting(field.name.range), bytes.extracting(field.value.range)) }
    }
    if head.status < 300 {
      work.made.expect(endpoint!.effect, format, usesContainers: work.references.usesContainers)
      forgetObject()
    }
    // Only a stream has an event to take out, and only one without a length can be shorter than it was.
    if format != .eventStream || !(isChunkedAnswer || endsWithConnection) { usageFilter = nil }
    hasAnswered = true
  }

  private func appendClean(_ text: Span<UInt8>, to outbound: inout ByteBuffer) {
    if let cleaned = echo.value(text, credential!) { outbound.append(cleaned) } else { outbound.append(text) }
  }

  /// What of the provider's head goes on: not the hop's own fields, not framing, nothing that names the account.
  static func passesDownstream(_ kind: FieldKind) -> Bool {
    switch kind {
    case .other, .contentType, .contentEncoding, .requestID, .anthropicVersion, .rateLimit: true
    default: false
    }
  }

  /// Passes the content on, piece by piece as it arrives: one read, one write.
  private mutating func relayBody(_ decoder: inout BodyDecoder, _ client: inout ServerConnection, _ connection: ClientConnection)
    async throws(Ending)
  {
    while true {
      let isDone = try takePieces(&decoder, &client, &connection.inbound)
      if !unkept.isEmpty { try await keepObjects() }
      if !client.outbound.isEmpty {
        do throws(IOFailure) { try await client.flush() } catch {
          throw error == .cancelled ? .cut(Answers.stopping) : .clientGone
        }
      }
      if isDone { return }
      try recheck()
      client.scope.setDeadline(milliseconds: shard.limits.client.timeouts.between)
      _ = connection.inbound.reserve(4096)
      if try await read(client, connection) == 0 {
        guard decoder.mayEndHere else { throw .upstream(Answers.upstreamBroken, .upstreamFailed) }
        endFilter(&client.outbound)
        if isChunkedAnswer { client.outbound.append("0\r\n\r\n") }
        do throws(IOFailure) { try await client.flush() } catch { throw .clientGone }
        return
      }
    }
  }

  /// Moves the content at hand to `outbound` in the client's framing; true when it was the last of the body.
  private mutating func takePieces(_ decoder: inout BodyDecoder, _ client: inout ServerConnection, _ inbound: inout ByteBuffer)
    throws(Ending) -> Bool
  {
    while true {
      let step: BodyDecoder.Step
      do throws(HTTPError) { step = try decoder.step(inbound) } catch {
        throw .upstream(Answers.upstreamBroken, .upstreamFailed)
      }
      switch step {
      case .content(let range):
        pass(inbound.readable.extracting(range), &client.outbound)
        inbound.consume(range.upperBound)
        if work.meter.pieces > piecesMax { throw .cut(Refusal.budgetExhausted.answer) }
      case .more(let used):
        inbound.consume(used)
        return false
      case .end(let used):
        inbound.consume(used)
        endFilter(&client.outbound)
        if isChunkedAnswer { client.outbound.append("0\r\n\r\n") }
        return true
      }
    }
  }

  /// One piece of content: metered, framed, counted.
  private mutating func pass(_ content: Span<UInt8>, _ outbound: inout ByteBuffer) {
    work.meter.feed(content)
    noteObjects(in: content)
    if var rewriter = linkRewriter.take() {
      rewriter.feed(content)
      frame(rewriter.ready.readable, &outbound)
      rewriter.ready.clear()
      linkRewriter = consume rewriter
      return
    }
    guard var filter = usageFilter.take() else { return frame(content, &outbound) }
    filter.feed(content)
    frame(filter.ready.readable, &outbound)
    filter.ready.clear()
    usageFilter = consume filter
  }

  private mutating func frame(_ content: Span<UInt8>, _ outbound: inout ByteBuffer) {
    guard let credential, let cleaned = echo.clean(content, credential) else { return write(content, &outbound) }
    write(cleaned.span, &outbound)
  }

  private mutating func write(_ content: Span<UInt8>, _ outbound: inout ByteBuffer) {
    guard !content.isEmpty else { return }
    capture?.takeAnswer(content)
    if isChunkedAnswer {
      outbound.append(hexadecimal: content.count)
      outbound.append("\r\n")
    }
    outbound.append(content)
    if isChunkedAnswer { outbound.append("\r\n") }
    record.bytesOut += content.count
  }

  /// Passes what the filter still holds when the stream is over.
  private mutating func endFilter(_ outbound: inout ByteBuffer) {
    if var rewriter = linkRewriter.take() {
      rewriter.finish()
      frame(rewriter.ready.readable, &outbound)
    }
    if var filter = usageFilter.take() {
      filter.finish()
      frame(filter.ready.readable, &outbound)
    }
    guard let credential else { return }
    let rest = echo.finish(credential)
    write(rest.span, &outbound)
  }
}
