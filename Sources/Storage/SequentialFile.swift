import Glibc
public import Primitives

/// A file that is read or written from its beginning to its end.
@safe
public final class SequentialFile {
  private let fd: Int32
  private let isOwn: Bool
  private var ahead: [UInt8] = []
  public private(set) var written = 0

  public init(_ fd: Int32) { (self.fd, isOwn) = (fd, false) }

  public init(reading path: String) throws(Fault) {
    fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    isOwn = true
    guard fd >= 0 else { throw Fault(.system, "\(path) cannot be read") }
  }

  public init(writing path: String) throws(Fault) {
    fd = unsafe open(path, O_WRONLY | O_CLOEXEC)
    isOwn = true
    guard fd >= 0 else { throw Fault(.system, "\(path) cannot be written") }
  }

  deinit { if isOwn, fd >= 0 { close(fd) } }

  /// Makes an empty file, 0600; throws `.conflict` when there is one.
  public static func create(_ path: String) throws(Fault) {
    let fd = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw Fault(.conflict, unsafe "\(path) cannot be made: \(String(cString: strerror(errno)))") }
    close(fd)
  }

  public static func remove(_ path: String) { unsafe unlink(path) }

  public var length: Int {
    var info = stat()
    return unsafe fstat(fd, &info) == 0 ? Int(info.st_size) : 0
  }

  public func write(_ bytes: [UInt8]) throws(Fault) {
    var done = 0
    while done < bytes.count {
      let n = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(fd, $0.baseAddress! + done, $0.count - done) }
      if n < 0, errno == EINTR { continue }
      guard n > 0 else { throw Fault(.storage, "the backup cannot be written", hint: "is the disk full?") }
      done += n
    }
    written += done
  }

  public func sync() throws(Fault) {
    guard fsync(fd) == 0 else { throw Fault(.storage, "the backup cannot be written") }
  }

  /// At most `count` bytes; none at the end.
  public func read(_ count: Int) throws(Fault) -> [UInt8] {
    if !ahead.isEmpty {
      let taken = Array(ahead.prefix(count))
      ahead.removeFirst(taken.count)
      return taken
    }
    var piece = [UInt8](repeating: 0, count: count)
    while true {
      let n = unsafe Glibc.read(fd, &piece, count)
      if n < 0, errno == EINTR { continue }
      guard n >= 0 else { throw Fault(.system, "the backup cannot be read") }
      return Array(piece.prefix(n))
    }
  }

  /// Exactly `count` bytes; nil when there are fewer.
  public func exactly(_ count: Int) throws(Fault) -> [UInt8]? {
    var out: [UInt8] = []
    while out.count < count {
      let piece = try read(count - out.count)
      if piece.isEmpty { return nil }
      out += piece
    }
    return out
  }

  public func rest(limit: Int) throws(Fault) -> [UInt8] {
    var out: [UInt8] = []
    while out.count <= limit {
      let piece = try read(1 << 16)
      if piece.isEmpty { break }
      out += piece
    }
    return out
  }

  /// To the next line feed, which is not part of it; nil when there is none within `limit`.
  public func line(limit: Int) throws(Fault) -> [UInt8]? {
    var out: [UInt8] = []
    while out.count <= limit {
      let piece = try read(4096)
      if piece.isEmpty { return nil }
      if let end = piece.firstIndex(of: 10) {
        out += piece[..<end]
        ahead = Array(piece[(end + 1)...]) + ahead
        return out.count <= limit ? out : nil
      }
      out += piece
    }
    return nil
  }
}
