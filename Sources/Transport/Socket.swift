import CLinuxShims
import Glibc
public import Primitives

/// A connected stream socket, in the clear or under TLS: owned, not shared, used by one task at a time.
@safe
public struct Socket: ~Copyable, @unchecked Sendable {
  // SAFETY: the descriptor lives until `retire`; only the loop's thread touches it.
  let descriptor: DescriptorPointer
  let loop: EventLoop
  /// nil: in the clear.
  var session: TLSSession?

  /// Takes `fd`, which is connected or connecting, non-blocking and close-on-exec.
  init(fd: Int32, on loop: EventLoop) {
    self.loop = loop
    unsafe descriptor = unsafe loop.register(fd)
  }

  deinit { unsafe loop.retire(descriptor) }

  /// From now on the waits on this socket are `scope`'s.
  func attach(to scope: borrowing Scope) { unsafe descriptor.pointee.scope = unsafe scope.state }

  func detach() {
    unsafe descriptor.pointee.scope = nil
    unsafe descriptor.pointee.watched = 0
  }

  public var isSecure: Bool { session != nil }

  /// Whether the peer has closed its side or the connection failed, as far as the loop has heard.
  public var isHungUp: Bool { unsafe descriptor.pointee.ready & (Ready.hangup | Ready.failed) != 0 }

  /// Whether bytes (or the end) may be waiting.
  public var mayBeReadable: Bool { unsafe descriptor.pointee.ready & Ready.input != 0 || (session?.hasPending ?? false) }

  /// The user ID of the process at the other end of a Unix socket; -1 when unknown.
  public var peerUserID: Int64 { unsafe linux_peer_uid(descriptor.pointee.fd) }

  /// Where the peer is; nil for a Unix socket. Asked of the kernel.
  public var peerAddress: NetworkAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    // SAFETY: the kernel writes at most `length` bytes.
    return unsafe withUnsafeMutableBytes(of: &storage) { raw in
      let address = unsafe raw.baseAddress!.assumingMemoryBound(to: sockaddr.self)
      guard unsafe getpeername(descriptor.pointee.fd, address, &length) == 0 else { return nil }
      return unsafe SocketAddress(address, length).networkAddress
    }
  }

  /// What interrupts the waits of the task's scope on another socket with `.watched`.
  public enum Watch: Sendable { case nothing, hangup, input }

  public func watch(_ what: Watch) {
    unsafe descriptor.pointee.watched =
      what == .nothing ? 0 : what == .input ? Ready.input | Ready.hangup | Ready.failed : Ready.hangup | Ready.failed
  }

  func wait(_ interest: UInt32, _ scope: borrowing Scope) async throws(IOFailure) {
    unsafe descriptor.pointee.interest = interest
    defer { unsafe descriptor.pointee.interest = 0 }
    try await scope.park()
  }

  /// Reads at most the free space of `buffer` (at least `minimum` bytes): the count, 0 at the end of the stream.
  public func read(into buffer: inout ByteBuffer, minimum: Int = 1024, _ scope: borrowing Scope) async throws(IOFailure) -> Int {
    while true {
      if let n = try tryRead(into: &buffer, minimum: minimum) { return n }
      try await wait(session?.readInterest ?? Ready.input, scope)
    }
  }

  /// As `read`, but nil instead of waiting.
  public func tryRead(into buffer: inout ByteBuffer, minimum: Int = 1024) throws(IOFailure) -> Int? {
    if let session {
      return try unsafe buffer.fill(minimum: minimum) { (space) throws(IOFailure) in try unsafe session.read(space, descriptor) }
        .nilIfNegative
    }
    while unsafe descriptor.pointee.ready & Ready.input != 0 {
      var room = 0
      let n = unsafe buffer.fill(minimum: minimum) { space in
        room = space.count
        return unsafe recv(descriptor.pointee.fd, space.baseAddress!, space.count, 0)
      }
      if n >= 0 {
        // A short read has drained the socket; the next byte brings a new edge.
        if n < room, unsafe descriptor.pointee.ready & (Ready.hangup | Ready.failed) == 0 {
          unsafe descriptor.pointee.ready &= ~Ready.input
        }
        return n
      }
      switch errno {
      case EAGAIN: unsafe descriptor.pointee.ready &= ~Ready.input
      case EINTR: continue
      case ECONNRESET, EPIPE: throw .closed
      case let code: throw .system(code)
      }
    }
    return nil
  }

  /// Writes everything in `buffer` and clears it.
  public func write(_ buffer: inout ByteBuffer, _ scope: borrowing Scope) async throws(IOFailure) {
    while !buffer.isEmpty {
      if let n = try tryWrite(buffer.readable) {
        buffer.consume(n)
      } else {
        try await wait(session?.writeInterest ?? Ready.output, scope)
      }
    }
  }

  /// Writes what fits now: the count, nil when nothing does.
  func tryWrite(_ bytes: Span<UInt8>) throws(IOFailure) -> Int? {
    if let session {
      return try unsafe bytes.withUnsafeBytes { (raw) throws(IOFailure) in try unsafe session.write(raw, descriptor) }
        .nilIfNegative
    }
    while unsafe descriptor.pointee.ready & Ready.output != 0 {
      let n = unsafe bytes.withUnsafeBytes { unsafe send(descriptor.pointee.fd, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL)) }
      if n >= 0 {
        if n < bytes.count { unsafe descriptor.pointee.ready &= ~Ready.output }
        return n
      }
      switch errno {
      case EAGAIN: unsafe descriptor.pointee.ready &= ~Ready.output
      case EINTR: continue
      case ECONNRESET, EPIPE: throw .closed
      case let code: throw .system(code)
      }
    }
    return nil
  }

  /// Whether an idle connection is still quiet and open, asked of the kernel rather than of the last events.
  func isQuiet() -> Bool {
    guard unsafe descriptor.pointee.ready & Ready.input == 0, !isHungUp else { return false }
    var byte: UInt8 = 0
    return unsafe recv(descriptor.pointee.fd, &byte, 1, Int32(MSG_PEEK)) < 0 && errno == EAGAIN
  }

  /// Says that no more bytes will come: TLS close_notify, then the end of the stream. Never waits.
  public func shutdown() {
    session?.shutdown()
    unsafe Glibc.shutdown(descriptor.pointee.fd, Int32(SHUT_WR))
  }
}

extension Int {
  fileprivate var nilIfNegative: Int? { self < 0 ? nil : self }
}
