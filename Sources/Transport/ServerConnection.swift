import Glibc
public import Primitives
public import Wire

/// One client's connection: reads heads and bodies off it, writes answers to it.
public struct ServerConnection: ~Copyable {
  public private(set) var socket: Socket
  public let scope: Scope
  public let limits: ServerLimits
  /// What came from the client and is not used yet.
  public var inbound = ByteBuffer(capacity: 8 * 1024)
  /// What goes to the client with the next flush.
  public var outbound = ByteBuffer(capacity: 8 * 1024)
  /// What goes on to somebody else: a gateway's upstream.
  public var relay = ByteBuffer(capacity: 8 * 1024)
  public private(set) var head = RequestHead()
  private var isHeadConsumed = false
  private var decoder = BodyDecoder(.none)
  private var owesContinue = false
  /// Bytes of request content read so far.
  public private(set) var contentBytes = 0
  /// The address of the peer, asked of the kernel once a connection.
  public mutating func peerAddress() -> NetworkAddress? {
    if let peer { return peer }
    peer = socket.peerAddress
    return peer
  }
  private var peer: NetworkAddress?
  /// Set when the connection ends with this answer (a drain has begun); the answer then says so.
  public var isLast = false

  init(fd: Int32, on loop: EventLoop, limits: ServerLimits) {
    socket = Socket(fd: fd, on: loop)
    scope = Scope(on: loop)
    self.limits = limits
    socket.attach(to: scope)
  }

  mutating func secure(_ context: TLSContext) async throws(IOFailure) {
    scope.setDeadline(milliseconds: limits.timeouts.head)
    let session = try unsafe TLSSession.server(context, socket.descriptor)
    try await session.handshake(socket, scope)
    socket.session = session
  }

  enum HeadResult { case request, closed, refused(HTTPError) }

  /// Reads the next request head. The bytes of the head stay at the front of `inbound` until `startBody`.
  mutating func readHead() async throws(IOFailure) -> HeadResult {
    socket.watch(.nothing)
    relay.clear()
    relay.shrink(to: 64 * 1024)
    var isIdle = inbound.isEmpty
    scope.setDeadline(milliseconds: isIdle ? limits.timeouts.idle : limits.timeouts.head)
    while true {
      if !inbound.isEmpty {
        if isIdle {
          isIdle = false
          scope.setDeadline(milliseconds: limits.timeouts.head)
        }
        do {
          if try head.parse(inbound, limits: limits.head) { break }
        } catch { return .refused(error) }
      }
      scope.setIdle(isIdle)
      defer { scope.setIdle(false) }
      guard inbound.reserve(2048, limit: limits.head.bytesMax + 4096) else {
        return .refused(HTTPError(431, "the head is too large"))
      }
      do {
        if try await socket.read(into: &inbound, scope) == 0 { return .closed }
      } catch  where error == .recheck || error == .watched {
        continue
      } catch  where error == .timedOut && !isIdle {
        return .refused(HTTPError(408, "the request did not arrive in time"))
      }
    }
    if head.method == .connect || head.method == .trace {
      return .refused(HTTPError(405, "CONNECT and TRACE are not served here"))
    }
    scope.setDeadline(milliseconds: limits.timeouts.body)
    decoder = BodyDecoder(head.framing)
    owesContinue = head.expectsContinue && !decoder.isDone
    contentBytes = 0
    isHeadConsumed = false
    return .request
  }

  /// Done with the head: what follows in `inbound` is body. The slices of `head` mean nothing from here on.
  public mutating func startBody() {
    inbound.consume(head.length)
    isHeadConsumed = true
  }

  public mutating func startBodyIfNeeded() { if !isHeadConsumed { startBody() } }

  /// Whether all of the request has been read.
  public var isBodyRead: Bool { decoder.isDone }

  /// Whether bytes of the body are here that have not been taken.
  public var hasContentWaiting: Bool { !inbound.isEmpty && !decoder.isDone }

  /// Lets `write` build something in `relay` out of the head. (A closure, because spans into one member may not be held while
  /// another changes.)
  public mutating func writeRelayHead(_ write: (Span<UInt8>, borrowing RequestHead, inout ByteBuffer) -> Void) {
    Self.apply(write, inbound, head, &relay)
  }

  private static func apply(
    _ write: (Span<UInt8>, borrowing RequestHead, inout ByteBuffer) -> Void, _ inbound: borrowing ByteBuffer,
    _ head: borrowing RequestHead,
    _ relay: inout ByteBuffer
  ) { write(inbound.readable, head, &relay) }

  /// Content that is here already, moved to the end of `relay`; false when more must be read (`readMore`).
  public mutating func takeContentToRelay(atMost limit: Int) throws(HTTPError) -> Bool {
    try Self.take(&decoder, &inbound, &relay, &contentBytes, limit)
  }

  /// The same to the end of `outbound`.
  public mutating func takeContentToOutbound(atMost limit: Int) throws(HTTPError) -> Bool {
    try Self.take(&decoder, &inbound, &outbound, &contentBytes, limit)
  }

  /// Drops what has arrived of the body; true when that was all of it, so that the connection can go on.
  public mutating func dropArrivedBody() -> Bool {
    relay.clear()
    defer { relay.clear() }
    let isRead = try? Self.take(&decoder, &inbound, &relay, &contentBytes, 64 * 1024)
    return isRead ?? false
  }

  private static func take(
    _ decoder: inout BodyDecoder, _ inbound: inout ByteBuffer, _ target: inout ByteBuffer, _ total: inout Int, _ limit: Int
  ) throws(HTTPError) -> Bool {
    while target.count < limit {
      switch try decoder.step(inbound) {
      case .content(let range):
        target.append(inbound.readable.extracting(range))
        total += range.count
        inbound.consume(range.upperBound)
      case .more(let used):
        inbound.consume(used)
        return false
      case .end(let used):
        inbound.consume(used)
        return true
      }
    }
    return decoder.isDone
  }

  /// Reads more of the body into `inbound`, telling a client that waits for it to go on. Throws `.closed` at the end.
  public mutating func readMore() async throws(IOFailure) {
    if owesContinue {
      owesContinue = false
      var interim = ByteBuffer(capacity: 32)
      interim.append("HTTP/1.1 100 Continue\r\n\r\n")
      try await socket.write(&interim, scope)
    }
    scope.setDeadline(milliseconds: limits.timeouts.body)
    if try await socket.read(into: &inbound, minimum: 4096, scope) == 0 { throw .closed }
  }

  /// Reads more of what follows a switch of protocols into `inbound`; throws `.closed` at the end.
  public mutating func readSession(milliseconds: Int) async throws(IOFailure) {
    scope.setDeadline(milliseconds: milliseconds)
    if try await socket.read(into: &inbound, minimum: 16 * 1024, scope) == 0 { throw .closed }
  }

  /// Writes `outbound` and clears it.
  public mutating func flush() async throws(IOFailure) {
    scope.setDeadline(milliseconds: limits.timeouts.write)
    while true {
      do { return try await socket.write(&outbound, scope) } catch  where error == .recheck || error == .watched { continue }
    }
  }

  /// After an answer given before the whole request was read: reads and drops for a moment, so that the client gets the
  /// answer instead of a reset.
  public mutating func linger() async {
    socket.shutdown()
    scope.setDeadline(milliseconds: 2000)
    var dropped = 0
    inbound.clear()
    do {
      while dropped < 16 << 20 {
        let n = try await socket.read(into: &inbound, scope)
        if n == 0 { return }
        dropped += n
        inbound.clear()
      }
    } catch {}
  }
}
