import Synchronization
import Audit
import Domain
import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

/// Why an exchange does not go on.
enum Ending: Error {
  /// Answered by us.
  case refused(ErrorBody, Outcome)
  /// The client is gone: nobody to answer.
  case clientGone
  /// A fault of the upstream, or of the way there.
  case upstream(ErrorBody, Outcome)
  /// The right to go on was lost.
  case cut(ErrorBody)
  /// The provider did not take the request with this of its keys, and another can be tried.
  case anotherKey
}

/// One request on its way through: authenticate, decide, send on, stream back, record.
///
/// The steps of a request are in `Exchange+Request.swift`, those of its answer in `Exchange+Response.swift`.
struct Exchange: ~Copyable {
  let shard: GatewayShard
  let id: RequestID
  let started: UInt64
  var record: ActivityRecord
  /// The shape of our own errors.
  var shape = ErrorShape.openai
  var code: StaticString = ""
  /// What is recorded in place of what the client is told.
  var recordedCode: StaticString?
  var upstream: Upstream?
  /// Set by `choose`, which counts who uses it.
  private(set) var credential: Credential?
  var keyID: RecordID?
  var generation: UInt64
  /// What reads the request and the answer, and what the request is counted against, from admission to the end.
  let work: Workspace
  var endpoint: Endpoint?
  /// The model, wherever the request names it.
  var model = JSONText()
  /// Bytes of content that are accepted.
  var bodyMax = 0
  /// The most that it can come to, where that is counted.
  var bound: Bound?
  /// Events of an answer after which it is longer than what is held for it.
  var piecesMax = TokenCount.max
  /// Which of the provider's addresses the request is written for.
  var place = 0
  /// Whether the last try to connect failed for want of anybody there.
  var isUnreachable = false
  /// Whether the provider was sent anything.
  var isSent = false
  var retryAfterMilliseconds = 0
  /// Whether what the body says decides if the request may go on: it is then read whole, and sent as it was read.
  var readsBody = false
  /// Whether a stream is to tell its usage where only asking for it has it told.
  var wantsUsage = false
  /// Whether the body is held until all of it is here: because it is read, changed, signed, or may be sent again.
  var buffersBody: Bool { readsBody || wantsUsage || toSign != nil || resend != nil || capture != nil }
  /// What is sent again with another key: the head before its framing, and, once it is there, the body. Only where there are several
  /// keys; they cost a copy.
  var resend: (head: [UInt8], body: [UInt8])?
  /// What it says, where that is to be kept.
  var capture: ContentCapture?
  /// Credentials that were tried, a bit each.
  var tried: UInt64 = 0
  /// What is presented, where the provider's key is exchanged for a token.
  var token: AccessToken.Value?
  /// Whether another token was tried in place of one that was refused.
  var hasRenewed = false
  /// What of the request is signed, where the provider wants that; its payload comes last.
  var toSign: AmazonSignature.Request?
  /// The object at the provider that the path names.
  var objectID: String?
  /// Those that parameters of the query name.
  var queryObjects: [String] = []
  /// The position of the only credential that will do.
  var pinned: Int?
  /// The provider key that an upload was begun with which this request goes on with.
  var goesOnWith: RecordID?
  /// Where the client reaches this provider, if the answer may have to say so.
  var addressForClients: [UInt8]?
  /// What has addresses in the answer lead back here.
  var linkRewriter: LinkRewriter?
  /// Whether what the answer tells of a batch is told for the first time.
  var countsBatch = false
  /// New objects that the client is not told of before they are kept.
  var unkept: [ProviderObject] = []
  /// Where the request is for a WebSocket.
  var session: Session?
  /// Bytes that the client has sent in it.
  var sessionBytes = 0
  /// Media type of the body, as its Content-Type says.
  var mediaType = MediaType()
  /// Models that it names beside its own: fall-backs, those of tools, of the requests of a batch.
  var otherModels: [JSONText] = []
  /// Of a body that is read as a form.
  var formBoundary: [UInt8] = []
  /// What hides the usage that the client did not ask for.
  var usageFilter: UsageEventFilter?
  /// What keeps our key out of the answer.
  var echo = KeyEcho()
  /// Whether the head of an answer has gone to the client: from then on, errors can only be events or a cut.
  var hasAnswered = false
  var isChunkedAnswer = false
  var streamFormat = UsageMeter.Format.other
  /// Whether only the end of the connection tells an old client that the answer is over.
  var endsWithConnection = false

  init(_ shard: GatewayShard, _ head: borrowing RequestHead) {
    self.shard = shard
    id = shard.nextRequestID()
    started = monotonicNanoseconds()
    record = ActivityRecord(start: shard.clock.now)
    generation = shard.snapshot.generation
    work = shard.takeWorkspace()
  }

  /// Carries the exchange out. Returns whether the connection can serve another request.
  mutating func run(_ client: inout ServerConnection) async throws(IOFailure) -> Bool {
    if let answer = health(client) {
      client.outbound.append(answer)
      client.startBody()
      try await client.flush()
      return client.head.isKeepAlive && client.isBodyRead
    }
    if let isReusable = try await takeLeakReport(&client) { return isReusable }
    if let isReusable = try await takeResolve(&client) { return isReusable }
    // A client that goes while it is told why is recorded like any other.
    defer { finishRecord(client) }
    do throws(Ending) {
      let isReusable = try await carry(&client)
      record.outcome = .completed
      return isReusable
    } catch { return try await end(error, &client) }
  }

  /// `GET /livez`: alive. `GET /healthz`: whether it serves, and what of it does not work. Not recorded.
  private func health(_ client: borrowing ServerConnection) -> StaticString? {
    guard client.head.method == .get else { return nil }
    let target = client.inbound.readable.extracting(client.head.target.range)
    if target.equals("/livez") { return Self.healthy }
    guard target.equals("/healthz") else { return nil }
    if shard.snapshot.isSealed {
      return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nsealed\n"
    }
    return shard.health.isDegraded
      ? "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\ndegraded\n" : Self.healthy
  }

  private static var healthy: StaticString {
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
  }

  private mutating func carry(_ client: inout ServerConnection) async throws(Ending) -> Bool {
    let peer = client.peerAddress()
    var position = try authorize(client, peer: peer)
    if let objectID { try await checkOwner(objectID) }
    for id in queryObjects { try await checkOwner(id) }
    try writeHead(&client)
    if buffersBody {
      try await readBody(&client)
      capture?.takeRequest(client.outbound.readable)
    }
    position = pinned ?? position
    try await count(client)
    position = try await obtainToken(position)
    try finishHead(&client)
    while true {
      do throws(Ending) { return try await attempt(&client, position) } catch {
        guard case .anotherKey = error else { throw error }
        position = try await chooseAnother(&client)
      }
    }
  }

  /// Makes ready to send the request again, with a credential that was not tried; returns its position.
  private mutating func chooseAnother(_ client: inout ServerConnection) async throws(Ending) -> Int {
    guard resend != nil, let other = anotherPosition() else { throw .upstream(Answers.providerKeyRefused, .upstreamFailed) }
    choose(upstream!.credentials[other])
    let position = try await obtainToken(other)
    client.relay.wipe()
    client.relay.append(resend!.head)
    finish(resend!.body, &client)
    return position
  }

  /// Takes the credential that the request goes out with, or nil at its end.
  mutating func choose(_ next: Credential?) {
    next?.health.began()
    credential?.health.ended(usedAt: isSent ? record.start : nil)
    credential = next
  }

  /// A credential that was not tried.
  func anotherPosition() -> Int? {
    guard let upstream, let keyID, generation == shard.snapshot.generation, let key = shard.snapshot.position(of: keyID) else {
      return nil
    }
    return shard.snapshot.another(key: key, upstream: upstream, pick: id.number, now: monotonicNanoseconds(), except: tried)
  }

  /// Whether the request can be sent once more, with a credential that was not tried.
  var mayTryAnother: Bool { resend != nil && anotherPosition() != nil }

  /// Gets what the credential at `position` is presented by, where that is a token. Returns whose token it is: another's, where no
  /// token is to be had for this one. (A client that goes meanwhile is noticed when its request is sent on.)
  private mutating func obtainToken(_ position: Int) async throws(Ending) -> Int {
    var position = position
    while let access = credential!.token {
      let authorities = upstream!.provider.authorityFile
      var (value, need) = access.current(now: monotonicNanoseconds())
      var outcome = TokenKeeper.Outcome.failed
      if need == .now {
        outcome = await shard.tokens.renew(credential!, trusting: authorities)
        value = access.current(now: monotonicNanoseconds()).value
      } else if need == .soon {
        shard.tokens.begin(credential!, trusting: authorities)
      }
      try recheck()
      if let value {
        token = value
        return position
      }
      tried |= 1 << UInt64(position)
      guard let other = anotherPosition() else {
        throw .upstream(outcome == .refused ? Answers.providerKeyRefused : Answers.tokenUnavailable, .upstreamFailed)
      }
      choose(upstream!.credentials[other])
      position = other
    }
    return position
  }

  /// Sends the request with one of the provider's keys and passes the answer on.
  private mutating func attempt(_ client: inout ServerConnection, _ position: Int) async throws(Ending) -> Bool {
    tried |= 1 << UInt64(position)
    let (pool, connection) = try await reach(&client, position)
    var isReturned = false
    defer { if !isReturned { pool.discard(connection) } }
    // Whatever it has waited for: what was revoked meanwhile sends nothing.
    try recheck()
    try await sendRequest(&client, connection)
    let isClean = try await receive(&client, connection, position)
    if isClean {
      pool.release(connection)
      isReturned = true
    }
    // A client that was still sending when the answer ended cannot be understood any further.
    return client.head.isKeepAlive && client.isBodyRead && !endsWithConnection
  }

  /// Tells the client how it ended, as far as there is somebody to tell. Returns whether the connection can go on.
  private mutating func end(_ ending: Ending, _ client: inout ServerConnection) async throws(IOFailure) -> Bool {
    let body: ErrorBody
    switch ending {
    case .clientGone:
      // A client that hangs up after the last event has got everything.
      record.outcome = work.meter.isComplete ? .completed : .clientGone
      return false
    case .refused(let answer, let outcome), .upstream(let answer, let outcome): (body, record.outcome) = (answer, outcome)
    case .cut(let answer): (body, record.outcome) = (answer, .cut)
    case .anotherKey: (body, record.outcome) = (Answers.providerKeyRefused, .upstreamFailed)
    }
    code = recordedCode ?? body.code
    usageFilter = nil
    linkRewriter = nil
    if hasAnswered, session != nil {
      try await breakOffSession(body, &client)
      return false
    }
    if hasAnswered {
      return try await breakOff(body, &client)
    }
    record.status = body.status
    client.outbound.clear()
    client.relay.wipe()
    client.startBodyIfNeeded()
    let isRead = client.dropArrivedBody()
    let closing = !isRead || !client.head.isKeepAlive || client.isLast
    body.write(
      to: &client.outbound, shape: shape, requestID: id.span, closing: closing, retryAfterMilliseconds: retryAfterMilliseconds
    ) { head in
      if body.status == 429 { writeReadings(to: &head) }
    }
    record.bytesOut = client.outbound.count
    try await client.flush()
    return !closing
  }

  /// Ends an answer that has begun: a stream with an error event that the SDK raises, anything else by cutting it short.
  private mutating func breakOff(_ body: ErrorBody, _ client: inout ServerConnection) async throws(IOFailure) -> Bool {
    guard record.isStream, let endpoint, isChunkedAnswer else { return false }
    client.relay.clear()
    body.writeEvent(to: &client.relay, format: streamFormat, dialect: endpoint.dialect, shape: shape, requestID: id.span)
    client.outbound.append(hexadecimal: client.relay.count)
    client.outbound.append("\r\n")
    client.outbound.append(client.relay)
    client.outbound.append("\r\n0\r\n\r\n")
    client.relay.clear()
    try await client.flush()
    return false
  }

  mutating func finishRecord(_ client: borrowing ServerConnection) {
    record.bytesIn = client.contentBytes + sessionBytes
    settle()
    record.key = keyID
    record.endpoint = endpoint?.kind
    if isSent, let credential { (record.providerKey, record.providerKeyVersion) = (credential.keyID, credential.version) }
    record.durationMicroseconds = Int((monotonicNanoseconds() - started) / 1000)
    let asked = model.isEmpty ? work.reader.model : model
    let answered = work.meter.model
    let model = asked.span.count > 0 ? asked.span : answered.span
    if let upstream {
      let name = upstream.name
      shard.activity.append(record, provider: name.span, model: model, code: code)
    } else {
      shard.activity.append(record, provider: Span(), model: model, code: code)
    }
    if let capture, let keyID { shard.captures.keep(capture.content(of: keyID, record)) }
    shard.giveBack(work)
    choose(nil)
  }

  /// Decides again after a change: throws `.cut` when the exchange may not go on.
  mutating func recheck() throws(Ending) {
    guard generation != shard.snapshot.generation, let upstream, let credential, let keyID else { return }
    generation = shard.snapshot.generation
    let name = upstream.name
    do throws(Refusal) {
      try shard.snapshot.stillAllows(
        key: keyID, version: record.keyVersion, upstream: name.span, credential: credential, now: shard.clock.now)
    } catch { throw .cut(error.answer) }
  }
}
