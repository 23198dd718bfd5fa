import Glibc

/// A growable run of bytes with a read end and a write end: what sockets fill and parsers eat.
///
/// Owned, never shared; grows by doubling and never shrinks. The owner bounds its size (`reserve(_:limit:)`).
@safe
public struct ByteBuffer: ~Copyable, Sendable {
  // SAFETY: `base` owns `capacity` bytes; `0 <= start <= end <= capacity` holds after every call.
  @usableFromInline nonisolated(unsafe) var base: UnsafeMutableRawPointer
  @usableFromInline var start = 0
  @usableFromInline var end = 0
  @usableFromInline var capacity: Int

  public init(capacity: Int) {
    self.capacity = max(capacity, 16)
    unsafe base = .allocate(byteCount: self.capacity, alignment: 16)
  }

  deinit { unsafe base.deallocate() }

  /// Bytes written and not yet consumed.
  @inlinable public var count: Int { end - start }
  @inlinable public var isEmpty: Bool { end == start }
  /// Bytes that can be written without growing.
  @inlinable public var space: Int { capacity - end }

  /// The bytes written and not yet consumed.
  @inlinable public var readable: Span<UInt8> {
    @_lifetime(borrow self) get {
      let span = unsafe Span<UInt8>(_unsafeStart: (base + start).assumingMemoryBound(to: UInt8.self), count: end - start)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Drops `n` bytes from the front; `n` is at most `count`.
  @inlinable public mutating func consume(_ n: Int) {
    precondition(n >= 0 && n <= end - start)
    start += n
    if start == end {
      start = 0
      end = 0
    }
  }

  @inlinable public mutating func clear() {
    start = 0
    end = 0
  }

  /// Overwrites every byte that was ever written, then clears: for buffers that carried a secret.
  public mutating func wipe() {
    unsafe explicit_bzero(base, capacity)
    clear()
  }

  /// Overwrites the first `n` bytes of the storage of an empty buffer: what a message of `n` bytes left behind.
  public mutating func wipe(first n: Int) {
    precondition(isEmpty && n <= capacity)
    unsafe explicit_bzero(base, n)
  }

  /// Overwrites all of the storage that is not readable: what consumed messages left behind.
  public mutating func wipeConsumed() {
    unsafe explicit_bzero(base, start)
    unsafe explicit_bzero(base + end, capacity - end)
  }

  /// Gives memory back that one large message needed; for an empty buffer.
  public mutating func shrink(to bytes: Int) {
    precondition(isEmpty)
    if capacity > bytes { self = ByteBuffer(capacity: bytes) }
  }

  /// Makes room for at least `n` more bytes, moving or growing; false when that would pass `limit` bytes in all.
  @inlinable public mutating func reserve(_ n: Int, limit: Int = .max) -> Bool {
    guard n <= limit - (end - start) else { return false }
    if n <= capacity - end { return true }
    makeRoom(n)
    return true
  }

  @usableFromInline mutating func makeRoom(_ n: Int) {
    if start > 0 {
      unsafe memmove(base, base + start, end - start)
      end -= start
      start = 0
      if n <= capacity - end { return }
    }
    let larger = max(capacity * 2, end + n)
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    unsafe memcpy(moved, base, end)
    unsafe explicit_bzero(base, end)
    unsafe base.deallocate()
    unsafe base = unsafe moved
    capacity = larger
  }

  @inlinable public mutating func append(_ bytes: Span<UInt8>) {
    _ = reserve(bytes.count)
    unsafe bytes.withUnsafeBufferPointer { source in
      if let from = source.baseAddress { unsafe (base + end).copyMemory(from: from, byteCount: source.count) }
    }
    end += bytes.count
  }

  /// Appends what is readable in `other`.
  @inlinable public mutating func append(_ other: borrowing ByteBuffer) { append(other.readable) }

  @inlinable public mutating func append(_ text: StaticString) {
    let n = text.utf8CodeUnitCount
    _ = reserve(n)
    unsafe (base + end).copyMemory(from: text.utf8Start, byteCount: n)
    end += n
  }

  @inlinable public mutating func append(_ byte: UInt8) {
    _ = reserve(1)
    unsafe base.storeBytes(of: byte, toByteOffset: end, as: UInt8.self)
    end += 1
  }

  // Disfavoured, so that a literal is a StaticString and no String is built.
  @_disfavoredOverload
  public mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { utf8 in
      guard let from = utf8.baseAddress else { return }
      _ = reserve(utf8.count)
      unsafe memcpy(base + end, from, utf8.count)
      end += utf8.count
    }
  }

  public mutating func append(_ bytes: [UInt8]) { append(bytes.span) }

  /// Appends `value` in decimal.
  @inlinable public mutating func append(decimal value: Int) {
    _ = reserve(20)
    var digits: InlineArray<20, UInt8> = .init(repeating: 0)
    var at = 20
    var rest = value.magnitude
    repeat {
      at -= 1
      digits[at] = 48 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    } while rest > 0
    if value < 0 { append(UInt8(ascii: "-")) }
    append(digits.span.extracting(at..<20))
  }

  /// Appends `value` in lower-case hexadecimal without leading zeros.
  @inlinable public mutating func append(hexadecimal value: Int) {
    var shift = (max(Int.bitWidth - value.leadingZeroBitCount, 1) + 3) / 4 * 4
    repeat {
      shift -= 4
      let digit = UInt8(truncatingIfNeeded: (value >> shift) & 15)
      append(digit < 10 ? 48 + digit : 87 + digit)
    } while shift > 0
  }

  /// Lets `body` fill free space of at least `minimum` bytes; `body` returns how many it wrote (a negative number: none).
  @inlinable public mutating func fill<Failure: Error>(
    minimum: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
  ) throws(Failure) -> Int {
    _ = reserve(minimum)
    let n = try unsafe body(UnsafeMutableRawBufferPointer(start: base + end, count: capacity - end))
    precondition(n <= capacity - end)
    if n > 0 { end += n }
    return n
  }

  /// A copy of the readable bytes.
  public func copy() -> [UInt8] { [UInt8](copying: readable) }
}

extension Array where Element == UInt8 {
  /// A copy of `bytes`.
  public init(copying bytes: Span<UInt8>) {
    unsafe self.init(unsafeUninitializedCapacity: bytes.count) { target, count in
      unsafe bytes.withUnsafeBufferPointer { source in
        if let from = source.baseAddress { unsafe target.baseAddress!.initialize(from: from, count: source.count) }
      }
      count = bytes.count
    }
  }
}
