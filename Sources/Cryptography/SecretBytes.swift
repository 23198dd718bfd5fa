import CSodium
import Glibc
public import Primitives

/// Bytes that must not leak: kept in libsodium's guarded memory, locked, outside core dumps, wiped when they go.
///
/// Owned, never copied. It has no `description`, is not `Codable`, and a mirror of it shows nothing. Equality takes the
/// same time wherever the bytes differ.
@safe
public struct SecretBytes: ~Copyable, Sendable {
  // SAFETY: `base` owns `count` bytes from sodium_malloc; read-only after `init`, so sharing between threads is sound.
  @usableFromInline nonisolated(unsafe) let base: UnsafeMutableRawPointer
  public let count: Int

  /// Memory of `count` zero bytes that `fill` writes and nobody changes afterwards.
  public init<Failure: Error>(count: Int, _ fill: (inout MutableSpan<UInt8>) throws(Failure) -> Void) throws(Failure) {
    try unsafe self.init(rawCount: count) { (raw) throws(Failure) in
      unsafe raw.initializeMemory(as: UInt8.self, repeating: 0)
      var span = unsafe MutableSpan<UInt8>(_unsafeElements: raw.bindMemory(to: UInt8.self))
      try fill(&span)
    }
  }

  /// The same for callers that hand the memory to C.
  init<Failure: Error>(rawCount count: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void) throws(Failure) {
    guard sodium_init() >= 0, let memory = unsafe sodium_malloc(max(count, 1)) else {
      fatalError("no guarded memory: raise the limit on locked memory (ulimit -l)")
    }
    do { try unsafe fill(UnsafeMutableRawBufferPointer(start: memory, count: count)) } catch {
      unsafe sodium_free(memory)
      throw error
    }
    unsafe sodium_mprotect_readonly(memory)
    unsafe base = unsafe memory
    self.count = count
  }

  /// A copy of `bytes`; the caller still owns (and wipes) its own.
  public init(copying bytes: Span<UInt8>) {
    unsafe self.init(rawCount: bytes.count) { target in
      unsafe bytes.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
  }

  /// `count` random bytes.
  public static func random(_ count: Int) -> SecretBytes {
    unsafe SecretBytes(rawCount: count) { unsafe randombytes_buf($0.baseAddress!, count) }
  }

  deinit { unsafe sodium_free(base) }

  /// The bytes, for as long as this value lives.
  @inlinable public var span: Span<UInt8> {
    @_lifetime(borrow self) get {
      let span = unsafe Span<UInt8>(_unsafeStart: base.assumingMemoryBound(to: UInt8.self), count: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Lends the bytes in `range` to `use`.
  public borrowing func withBytes<Result>(_ range: Range<Int>, _ use: (Span<UInt8>) -> Result) -> Result {
    use(span.extracting(range))
  }

  /// Constant-time in the content; the lengths are not secret.
  public static func == (a: borrowing SecretBytes, b: borrowing SecretBytes) -> Bool {
    constantTimeEqual(a.span, b.span)
  }

  public static func != (a: borrowing SecretBytes, b: borrowing SecretBytes) -> Bool { !(a == b) }

  /// Copies the bytes to `target` at `offset`, where there must be room.
  public borrowing func copy(to target: inout MutableSpan<UInt8>, at offset: Int) {
    for i in 0..<count { target[offset + i] = span[i] }
  }

  /// Appends the bytes to `buffer`, whose owner wipes it.
  public borrowing func append(to buffer: inout ByteBuffer) { buffer.append(span) }

  public borrowing func copy() -> SecretBytes { SecretBytes(copying: span) }
}

/// Whether `a` and `b` are equal, in a time that depends on their lengths only.
public func constantTimeEqual(_ a: Span<UInt8>, _ b: Span<UInt8>) -> Bool {
  guard a.count == b.count else { return false }
  guard a.count > 0 else { return true }
  return unsafe a.withUnsafeBytes { x in
    unsafe b.withUnsafeBytes { y in unsafe sodium_memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0 }
  }
}

/// Overwrites `bytes`; the optimiser may not remove it.
public func wipe(_ bytes: inout [UInt8]) {
  unsafe bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { unsafe sodium_memzero(base, $0.count) } }
  bytes = []
}

/// Overwrites memory that held a secret.
public func wipe(_ memory: UnsafeMutableRawBufferPointer) {
  if let base = memory.baseAddress { unsafe sodium_memzero(base, memory.count) }
}
