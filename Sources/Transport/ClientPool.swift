public import Primitives
public import Wire

/// A connection to an upstream, with what came from it and is not used yet. Owned by one exchange or by the pool's idle list.
public final class ClientConnection {
  @exclusivity(unchecked) public internal(set) var socket: Socket
  @exclusivity(unchecked) public var inbound = ByteBuffer(capacity: 16 * 1024)
  /// Room for the head of the answer, kept so that parsing allocates nothing.
  @exclusivity(unchecked) public var head = ResponseHead()
  /// Whether it has carried an exchange before.
  public internal(set) var isReused = false
  fileprivate var idleSince: UInt64 = 0

  init(_ socket: consuming Socket) { unsafe self.socket = socket }
}

/// Keep-alive connections of one loop to one origin for one provider key: no two keys ever share a connection.
@safe
public final class ClientPool {
  // Loop-confined.
  private let origin: Origin
  private let connector: Connector
  private let loop: EventLoop
  private let limits: ClientLimits
  private var idle: [ClientConnection] = []
  private var ticket: TLSTicket?
  private var open = 0

  public init(origin: Origin, connector: Connector, loop: EventLoop, limits: ClientLimits) {
    self.origin = origin
    self.connector = connector
    self.loop = loop
    self.limits = limits
    idle.reserveCapacity(64)
  }

  /// An open connection, idle or new. Throws `.system(EAGAIN)`-like failures as they come from the system.
  public func acquire(_ scope: borrowing Scope) async throws(IOFailure) -> ClientConnection {
    while let connection = idle.popLast() {
      if isUsable(connection) {
        connection.isReused = true
        unsafe connection.socket.attach(to: scope)
        return connection
      }
      open -= 1
    }
    guard open < limits.connectionsMax else { throw .system(limits.tooManyConnections) }
    open += 1
    do {
      scope.setDeadline(milliseconds: limits.timeouts.connect)
      return ClientConnection(try await connector.connect(to: origin, resuming: ticket, scope))
    } catch {
      open -= 1
      throw error
    }
  }

  /// Whether an idle connection can carry another exchange: young enough, open, and nothing unexpected on it.
  private func isUsable(_ connection: ClientConnection) -> Bool {
    let age = loop.now - connection.idleSince
    guard age < UInt64(limits.idleMilliseconds), unsafe !connection.socket.isHungUp else { return false }
    // The kernel is asked only after a pause: within one, the loop's own events are as new.
    guard unsafe connection.socket.mayBeReadable else { return unsafe age < 1000 || connection.socket.isQuiet() }
    // Under TLS, what may be read can be of the protocol itself (session tickets): reading takes those away.
    guard unsafe connection.socket.isSecure else { return false }
    do throws(IOFailure) { return try unsafe connection.socket.tryRead(into: &connection.inbound) == nil } catch { return false }
  }

  /// Takes a connection back whose last exchange ended cleanly; one that holds unread bytes is closed.
  public func release(_ connection: ClientConnection) {
    guard unsafe connection.inbound.isEmpty, unsafe !connection.socket.isHungUp, idle.count < limits.idleMax else {
      return discard(connection)
    }
    letGo(connection)
    connection.idleSince = loop.now
    idle.append(connection)
  }

  /// Gives up a connection: it closes when the caller lets go of it.
  public func discard(_ connection: ClientConnection) {
    letGo(connection)
    open -= 1
  }

  /// Keeps what the next handshake can resume: the server has sent it with its first answer.
  private func letGo(_ connection: ClientConnection) {
    unsafe connection.socket.detach()
    if unsafe connection.socket.isSecure, !connection.isReused, let fresh = unsafe connection.socket.session?.ticket() {
      ticket = fresh
    }
  }

  /// Closes what has been idle too long or was closed by the other side.
  public func sweep() {
    let before = idle.count
    idle.removeAll { unsafe loop.now - $0.idleSince >= UInt64(limits.idleMilliseconds) || $0.socket.isHungUp }
    open -= before - idle.count
  }

  public func closeIdle() {
    open -= idle.count
    idle.removeAll()
  }
}

/// What a pool holds at most, and how long its waits are.
public struct ClientLimits: Sendable {
  /// Open connections of one pool, busy ones included.
  public var connectionsMax = 4096
  /// Connections kept without work.
  public var idleMax = 256
  /// Below what providers keep, so that we close first.
  public var idleMilliseconds = 50_000
  public var head = HeadLimits(bytesMax: 64 * 1024, fieldsMax: 200)
  public var timeouts = Timeouts()
  let tooManyConnections: Int32 = 11  // EAGAIN
  public init() {}
}
