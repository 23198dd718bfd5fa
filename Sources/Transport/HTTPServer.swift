import CLinuxShims
import Glibc
public import Primitives
import Synchronization
public import Wire

/// Answers requests on a connection. One value serves all connections of a loop.
public protocol RequestHandler: Sendable {
  /// Answers the request whose head `connection` has just read. Returns whether the connection can serve another one.
  func handle(_ connection: inout ServerConnection) async throws(IOFailure) -> Bool
  /// The whole answer to a request that could not be read, in the shape this server's clients expect.
  func answer(to error: HTTPError, into buffer: inout ByteBuffer)
}

/// Accepts connections on one loop and reads requests off them.
@safe
public final class HTTPServer<Handler: RequestHandler>: @unchecked Sendable {
  private let loop: EventLoop
  private let handler: Handler
  private let limits: ServerLimits
  private let tls: TLSContextBox?
  // Loop-confined.
  private var connections = 0
  private var isDraining = false

  public init(loop: EventLoop, handler: Handler, limits: ServerLimits, tls: TLSContextBox? = nil) {
    self.loop = loop
    self.handler = handler
    self.limits = limits
    self.tls = tls
  }

  /// Serves until `drain`; returns when the last connection is gone.
  public func run(_ listener: consuming Listener) async {
    let descriptor = unsafe loop.register(listener.release())
    let scope = Scope(on: loop)
    scope.setIdle(true)
    unsafe descriptor.pointee.scope = unsafe scope.state
    await withDiscardingTaskGroup { group in
      while !isDraining {
        let client = unsafe linux_accept(descriptor.pointee.fd)
        if client >= 0 {
          guard connections < limits.connectionsMax else {
            close(client)
            continue
          }
          connections += 1
          group.addTask(executorPreference: loop) {
            await self.serve(client)
            self.connections -= 1
          }
        } else if errno == EAGAIN {
          unsafe descriptor.pointee.interest = Ready.input
          do throws(IOFailure) { try await scope.park() } catch {
            if error != .recheck, error != .watched { break }
          }
        } else if errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS {
          // Out of descriptors: those open now have to end first.
          do { try await scope.sleep(milliseconds: 50) } catch { break }
        }
      }
      // Before the exchanges in flight end: who comes now is refused by the kernel, and can go elsewhere.
      unsafe loop.retire(descriptor)
    }
  }

  /// Stops accepting, ends idle connections now and the others after the exchange they are in. On the loop's thread.
  public func drain() {
    isDraining = true
    loop.cancelIdle()
  }

  private func serve(_ fd: Int32) async {
    linux_nodelay(fd)
    do {
      var connection = ServerConnection(fd: fd, on: loop, limits: limits)
      if let tls { try await connection.secure(tls.current) }
      while try await exchange(&connection), !isDraining {}
      // Closing over bytes that nobody read resets the connection, and the client may lose its answer.
      if connection.isBodyRead { connection.socket.shutdown() } else { await connection.linger() }
    } catch {}
  }

  private func exchange(_ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    let refusal: HTTPError
    switch try await connection.readHead() {
    case .request:
      connection.isLast = isDraining
      return try await handler.handle(&connection) && !connection.isLast
    case .closed: return false
    case .refused(let error): refusal = error
    }
    connection.outbound.clear()
    handler.answer(to: refusal, into: &connection.outbound)
    try await connection.flush()
    await connection.linger()
    return false
  }
}

/// What a server accepts at most.
public struct ServerLimits: Sendable {
  public var head = HeadLimits()
  public var connectionsMax = 10_000
  public var timeouts = Timeouts()
  public init() {}
}

/// The TLS settings in force; replaced as a whole when the certificate is renewed.
public final class TLSContextBox: Sendable {
  private let context: Mutex<TLSContext>
  public init(_ context: TLSContext) { self.context = Mutex(context) }
  public var current: TLSContext { context.withLock { $0 } }
  public func replace(with new: TLSContext) { context.withLock { $0 = new } }
}
