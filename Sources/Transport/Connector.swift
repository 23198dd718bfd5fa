import CLinuxShims
import Glibc
import Primitives
import Wire

/// Where a pool's connections lead.
public struct Origin: Sendable {
  public let host: String
  public let port: UInt16
  /// nil: in the clear.
  public let tls: TLSContext?

  public init(host: String, port: UInt16, tls: TLSContext?) {
    self.host = host
    self.port = port
    self.tls = tls
  }
}

/// Opens connections: name, TCP (each address in turn), proxy tunnel, TLS.
public struct Connector: Sendable {
  let resolver: NameResolver
  let proxy: ProxySettings?

  public init(resolver: NameResolver, proxy: ProxySettings?) {
    self.resolver = resolver
    self.proxy = proxy
  }

  /// An open connection to `origin` whose waits are `scope`'s, under the scope's deadline.
  func connect(to origin: Origin, resuming ticket: TLSTicket?, _ scope: borrowing Scope) async throws(IOFailure) -> Socket {
    let tunnel = origin.tls == nil ? nil : proxy.flatMap { $0.applies(to: origin.host) ? $0 : nil }
    var socket = try await open(host: tunnel?.host ?? origin.host, port: tunnel?.port ?? origin.port, scope)
    if let tunnel { try await openTunnel(&socket, to: origin, tunnel, scope) }
    if let context = origin.tls {
      let session = try unsafe TLSSession.client(context, socket.descriptor, host: origin.host, resuming: ticket)
      try await session.handshake(socket, scope)
      socket.session = session
    }
    return socket
  }

  private func open(host: String, port: UInt16, _ scope: borrowing Scope) async throws(IOFailure) -> Socket {
    var last = IOFailure.system(EHOSTUNREACH)
    for address in await resolver.addresses(host: host, port: port) {
      try scope.takePending()
      do { return try await open(address, scope) } catch {
        if case .system = error { last = error } else if error == .closed { last = .system(ECONNREFUSED) } else { throw error }
      }
    }
    throw last
  }

  private func open(_ address: SocketAddress, _ scope: borrowing Scope) async throws(IOFailure) -> Socket {
    let fd = linux_socket(address.family)
    guard fd >= 0 else { throw .system(errno) }
    linux_nodelay(fd)
    let result = unsafe address.withPointer { unsafe Glibc.connect(fd, $0, $1) }
    if result != 0, errno != EINPROGRESS {
      let code = errno
      close(fd)
      throw .system(code)
    }
    let socket = Socket(fd: fd, on: scope.loop)
    socket.attach(to: scope)
    if result != 0 { try await socket.wait(Ready.output, scope) }
    let error = linux_socket_error(fd)
    guard error == 0 else { throw .system(error) }
    return socket
  }

  /// RFC 9110 section 9.3.6.
  private func openTunnel(_ socket: inout Socket, to origin: Origin, _ proxy: ProxySettings, _ scope: borrowing Scope)
    async throws(IOFailure)
  {
    var buffer = ByteBuffer(capacity: 1024)
    let authority = "\(origin.host.contains(":") ? "[\(origin.host)]" : origin.host):\(origin.port)"
    buffer.append("CONNECT \(authority) HTTP/1.1\r\nHost: \(authority)\r\n")
    if let credentials = proxy.basicCredentials { buffer.append("Proxy-Authorization: Basic \(credentials)\r\n") }
    buffer.append("\r\n")
    try await socket.write(&buffer, scope)
    buffer.wipe()
    var head = ResponseHead()
    while true {
      if try await socket.read(into: &buffer, scope) == 0 { throw .closed }
      do {
        if try head.parse(buffer.readable, answering: .head, limits: HeadLimits()) { break }
      } catch { throw .tls("the proxy does not speak HTTP") }
    }
    guard head.status == 200, head.length == buffer.count else { throw .tls("the proxy refused the tunnel") }
  }
}
