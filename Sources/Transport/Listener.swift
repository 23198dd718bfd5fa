import CLinuxShims
import Glibc
public import Primitives

/// A bound, listening socket.
@safe
public struct Listener: ~Copyable, Sendable {
  let fd: Int32

  private init(_ address: SocketAddress, sharesPort: Bool, name: String) throws(Fault) {
    fd = linux_socket(address.family)
    guard fd >= 0 else { throw Fault(.system, "no socket: \(errnoText())") }
    linux_reuse(fd, sharesPort ? 1 : 0)
    guard unsafe address.withPointer({ unsafe bind(fd, $0, $1) }) == 0, listen(fd, 4096) == 0 else {
      let text = errnoText()
      close(fd)
      throw Fault(
        .system, "cannot listen on \(name): \(text)",
        hint: "is something else listening there? choose another address with --listen")
    }
  }

  deinit { close(fd) }

  /// Gives the file up without closing it.
  consuming func release() -> Int32 {
    let fd = fd
    discard self
    return fd
  }

  /// Listens on `host:port`; `sharesPort` lets the loops of one process bind the same port and the kernel spread connections.
  public static func tcp(host: String, port: UInt16, sharesPort: Bool) throws(Fault) -> Listener {
    guard let address = SocketAddress(host: host, port: port) else {
      throw Fault(
        .invalidInput, "'\(host)' is no address to listen on", hint: "use an IP address such as 127.0.0.1, 0.0.0.0 or ::1")
    }
    return try Listener(address, sharesPort: sharesPort, name: "\(host):\(port)")
  }

  /// Listens on a Unix socket that only the owner can reach; replaces what lies at `path`.
  public static func unix(path: String) throws(Fault) -> Listener {
    guard let address = SocketAddress(path: path) else {
      throw Fault(
        .invalidInput, "the path \(path) is too long for a socket", hint: "use a data directory with a path below 90 bytes")
    }
    unsafe unlink(path)
    let old = umask(0o177)
    defer { umask(old) }
    return try Listener(address, sharesPort: false, name: path)
  }

  /// The port that the system chose when 0 was asked for.
  public var port: UInt16 {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return unsafe withUnsafeMutableBytes(of: &storage) { raw in
      unsafe getsockname(fd, raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
      // sin_port and sin6_port lie at the same place.
      return unsafe UInt16(bigEndian: raw.load(fromByteOffset: 2, as: UInt16.self))
    }
  }
}

/// The text of the current errno.
func errnoText() -> String { unsafe String(cString: strerror(errno)) }
