import CLinuxShims
import Glibc
import Primitives
import Synchronization

/// An address to connect to or listen on.
public struct SocketAddress: Sendable {
  var storage: sockaddr_storage
  var length: UInt32

  var family: Int32 { Int32(storage.ss_family) }

  /// An IPv4 or IPv6 address in text and a port; nil when `host` is a name.
  public init?(host: String, port: UInt16) {
    storage = sockaddr_storage()
    var v4 = in_addr()
    var v6 = in6_addr()
    if unsafe inet_pton(AF_INET, host, &v4) == 1 {
      length = UInt32(MemoryLayout<sockaddr_in>.size)
      unsafe withUnsafeMutableBytes(of: &storage) {
        unsafe $0.storeBytes(
          of: sockaddr_in(
            sin_family: UInt16(AF_INET), sin_port: port.bigEndian, sin_addr: v4, sin_zero: (0, 0, 0, 0, 0, 0, 0, 0)),
          as: sockaddr_in.self)
      }
    } else if unsafe inet_pton(AF_INET6, host, &v6) == 1 {
      length = UInt32(MemoryLayout<sockaddr_in6>.size)
      unsafe withUnsafeMutableBytes(of: &storage) {
        unsafe $0.storeBytes(
          of: sockaddr_in6(
            sin6_family: UInt16(AF_INET6), sin6_port: port.bigEndian, sin6_flowinfo: 0, sin6_addr: v6, sin6_scope_id: 0),
          as: sockaddr_in6.self)
      }
    } else {
      return nil
    }
  }

  /// A Unix socket; nil when the path is too long for one (107 bytes).
  public init?(path: String) {
    storage = sockaddr_storage()
    var address = sockaddr_un()
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    address.sun_family = UInt16(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    length = UInt32(MemoryLayout<sockaddr_un>.size)
    unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: address, as: sockaddr_un.self) }
  }

  /// The address without the port; nil for a Unix socket.
  var networkAddress: NetworkAddress? {
    // SAFETY: the storage is large enough for both, and the family says which it is.
    unsafe withUnsafeBytes(of: storage) { raw in
      switch family {
      case AF_INET: return unsafe NetworkAddress(v4: UInt32(bigEndian: raw.load(as: sockaddr_in.self).sin_addr.s_addr))
      case AF_INET6:
        return unsafe NetworkAddress(
          high: UInt64(bigEndian: raw.load(fromByteOffset: 8, as: UInt64.self)),
          low: UInt64(bigEndian: raw.load(fromByteOffset: 16, as: UInt64.self)))
      default: return nil
      }
    }
  }

  init(_ address: UnsafePointer<sockaddr>, _ length: UInt32) {
    storage = sockaddr_storage()
    self.length = length
    unsafe withUnsafeMutableBytes(of: &storage) {
      unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(length)))
    }
  }

  func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    unsafe withUnsafeBytes(of: storage) { unsafe body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length) }
  }
}

/// Looks names up on a thread of its own, because getaddrinfo blocks, and remembers the answers for a while.
@safe
public final class NameResolver: @unchecked Sendable {
  /// How long an answer is used. getaddrinfo does not tell the record's own time.
  static let answerLifetimeNanoseconds: UInt64 = 30_000_000_000
  static let answersMax = 1024

  // SAFETY: resumed exactly once, by the thread that takes it out of `waiting`.
  @safe private struct Waiter: @unchecked Sendable { let continuation: UnsafeContinuation<[SocketAddress], Never> }
  private struct State {
    var answers: [String: (addresses: [SocketAddress], at: UInt64)] = [:]
    var waiting: [String: [Waiter]] = [:]
    var queue: [(host: String, port: UInt16)] = []
    var hasThread = false
  }
  private let state = Mutex(State())

  public init() {}

  /// The addresses of `host`; empty when there are none or the look-up failed.
  public func addresses(host: String, port: UInt16) async -> [SocketAddress] {
    if let address = SocketAddress(host: host, port: port) { return [address] }
    // This machine by definition (RFC 6761 section 6.3), whatever a hosts file or a name server says; and nothing that a resolver
    // would take for an address of its own reading.
    if host == "localhost" { return ["127.0.0.1", "::1"].compactMap { SocketAddress(host: $0, port: port) } }
    if WebAddress.endsInNumber(host) { return [] }
    let key = "\(host):\(port)"
    if let known = state.withLock({ $0.answers[key] }), monotonicNanoseconds() - known.at < Self.answerLifetimeNanoseconds {
      return known.addresses
    }
    return unsafe await withUnsafeContinuation { continuation in
      let needsThread = state.withLock { state in
        unsafe state.waiting[key, default: []].append(Waiter(continuation: continuation))
        if state.waiting[key]!.count == 1 { state.queue.append((host, port)) }
        defer { state.hasThread = true }
        return !state.hasThread
      }
      if needsThread { startThread { self.work() } }
    }
  }

  /// Answers until nobody waits; the next question starts a new thread.
  private func work() {
    while true {
      let next = state.withLock { state in
        if state.queue.isEmpty { state.hasThread = false }
        return state.queue.isEmpty ? nil : state.queue.removeFirst()
      }
      guard let (host, port) = next else { return }
      let addresses = Self.lookUp(host, port)
      let waiters = state.withLock { state in
        let key = "\(host):\(port)"
        if state.answers.count >= Self.answersMax { state.answers.removeAll() }
        state.answers[key] = addresses.isEmpty ? nil : (addresses, monotonicNanoseconds())
        return state.waiting.removeValue(forKey: key) ?? []
      }
      for waiter in waiters { unsafe waiter.continuation.resume(returning: addresses) }
    }
  }

  private static func lookUp(_ host: String, _ port: UInt16) -> [SocketAddress] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = AI_ADDRCONFIG
    var list: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(host, String(port), &hints, &list) == 0 else { return [] }
    defer { unsafe freeaddrinfo(list) }
    var out: [SocketAddress] = []
    var item = unsafe list
    while let entry = unsafe item, out.count < 8 {
      if let address = unsafe entry.pointee.ai_addr { unsafe out.append(SocketAddress(address, entry.pointee.ai_addrlen)) }
      unsafe item = unsafe entry.pointee.ai_next
    }
    return out
  }
}

/// Runs `body` on a new detached thread with all signals blocked.
public func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box { let body: @Sendable () -> Void; init(_ body: @escaping @Sendable () -> Void) { self.body = body } }
  var attributes = pthread_attr_t()
  unsafe pthread_attr_init(&attributes)
  unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  defer { unsafe pthread_attr_destroy(&attributes) }
  var thread = pthread_t()
  let box = unsafe Unmanaged.passRetained(Box(body))
  let failed = unsafe pthread_create(
    &thread, &attributes,
    { argument in
      unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, unsafe box.toOpaque())
  precondition(failed == 0, "no thread could be started")
}
