import Glibc
public import Primitives
import Synchronization

/// Records of one loop that are not in the store yet, in a file that is mapped into memory: what was appended is in the system's hands, and
/// outlives a process that is killed. An append is a copy of some bytes; nothing waits for a disk.
///
/// A ring: `start` and `end` count bytes since the file was made. Belongs to one thread.
@safe
public final class ActivitySpool: @unchecked Sendable {
  // SAFETY: `base` maps `headLength + capacity` bytes of a file whose blocks are reserved, so that a full disk cannot fault.
  private let base: UnsafeMutableRawPointer
  private let path: String
  /// Tells this file from those that had its name before.
  public let id: UInt64

  /// Records of a second of the fastest loop.
  public static let capacity = 4 << 20
  private static let headLength = 64
  private static let magic: UInt64 = 0x3130_4C4F_4F50_534D

  private enum Place: Int {
    case magic = 0
    case id = 8
    case start = 16
    case end = 24
  }

  /// Makes the file anew; throws `.system` where there is no room.
  public init(path: String, id: UInt64) throws(Fault) {
    let length = Self.headLength + Self.capacity
    let fd = unsafe open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw Fault(.system, unsafe "\(path) cannot be made: \(String(cString: strerror(errno)))") }
    defer { close(fd) }
    guard posix_fallocate(fd, 0, length) == 0 else { throw Fault(.system, "there is no room for \(path)") }
    guard let base = unsafe mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), unsafe base != MAP_FAILED else {
      throw Fault(.system, "\(path) cannot be mapped")
    }
    (self.path, self.id) = (path, id)
    unsafe self.base = base
    self[.id] = id
    self[.magic] = Self.magic
  }

  deinit { unsafe munmap(base, Self.headLength + Self.capacity) }

  private subscript(_ place: Place) -> UInt64 {
    get { unsafe base.load(fromByteOffset: place.rawValue, as: UInt64.self) }
    set { unsafe base.storeBytes(of: newValue, toByteOffset: place.rawValue, as: UInt64.self) }
  }

  /// How far it is filled; `release` takes it.
  public var mark: UInt64 { self[.end] }

  /// Appends one record. Where the store has not kept up for long, there is no room, and it is left out.
  public func append(_ record: Span<UInt8>) {
    let end = self[.end]
    guard Int(end - self[.start]) + record.count <= Self.capacity else { return }
    let at = Int(end % UInt64(Self.capacity))
    let first = min(record.count, Self.capacity - at)
    unsafe record.withUnsafeBytes { bytes in
      guard let from = bytes.baseAddress else { return }
      unsafe (base + Self.headLength + at).copyMemory(from: from, byteCount: first)
      if first < bytes.count {
        unsafe (base + Self.headLength).copyMemory(from: from + first, byteCount: bytes.count - first)
      }
    }
    // Whoever reads the file after a kill sees the record before it sees that it is there.
    atomicMemoryFence(ordering: .releasing)
    self[.end] = end + UInt64(record.count)
  }

  /// Forgets what the store has.
  public func release(upTo mark: UInt64) { self[.start] = max(self[.start], min(mark, self[.end])) }

  /// Removes the file: the store has all of it.
  public func remove() { unsafe unlink(path) }

  /// What a process left behind: the file's ID, and the bytes from `mark(id)` on, which the store does not have; nil when there is no such
  /// file. It is removed.
  public static func leftover(_ path: String, mark: (UInt64) -> UInt64) -> (bytes: [UInt8], id: UInt64)? {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard fd >= 0 else { return nil }
    defer {
      close(fd)
      unsafe unlink(path)
    }
    let length = headLength + capacity
    var info = stat()
    guard unsafe fstat(fd, &info) == 0, info.st_size == length, let base = unsafe mmap(nil, length, PROT_READ, MAP_SHARED, fd, 0),
      unsafe base != MAP_FAILED
    else { return nil }
    defer { unsafe munmap(base, length) }
    func word(_ place: Place) -> UInt64 { unsafe base.load(fromByteOffset: place.rawValue, as: UInt64.self) }
    guard word(.magic) == magic else { return nil }
    let start = max(word(.start), mark(word(.id)))
    let end = word(.end)
    guard start <= end, end - start <= UInt64(capacity) else { return ([], word(.id)) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(end - start))
    for at in start..<end {
      bytes.append(unsafe base.load(fromByteOffset: headLength + Int(at % UInt64(capacity)), as: UInt8.self))
    }
    return (bytes, word(.id))
  }
}

/// How far the store has a loop's spool.
public struct SpoolMark: Sendable, Equatable {
  public let id: UInt64
  public let mark: UInt64

  init(id: UInt64, mark: UInt64) { (self.id, self.mark) = (id, mark) }

  /// Reads what `bytes` gives; nil for anything else.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    func number(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
    (id, mark) = (number(0..<8), number(8..<16))
  }

  var bytes: [UInt8] { [id, mark].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } } }

  /// Of the blob that keeps it.
  public static func name(_ loop: Int) -> String { "spool-\(loop)" }
}
