import Cryptography
import Glibc
import Primitives
import Storage

/// Files that commands read and write, other than the store.
enum Files {
  /// `--data`, else `MASKLLM_DATA`, else `~/.maskllm`.
  static func dataDirectory(_ arguments: Arguments) throws(Fault) -> String {
    if let path = arguments.value("data") ?? environment("MASKLLM_DATA") { return path }
    guard let home = environment("HOME"), !home.isEmpty else {
      throw Fault(.invalidInput, "no data directory is named and HOME is not set", hint: "name one with --data")
    }
    return "\(home)/.maskllm"
  }

  /// All of this process's environment, as `NAME=VALUE`.
  static var environment: [String] {
    var all: [String] = []
    var at = unsafe environ
    while let entry = unsafe at.pointee {
      unsafe all.append(String(cString: entry))
      unsafe at += 1
    }
    return all
  }

  static func environment(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

  /// The names in the folder `path`; nil where it is none.
  static func names(in path: String) -> [String]? {
    guard let folder = unsafe opendir(path) else { return nil }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      names.append(
        unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
        })
    }
    return names
  }

  /// The content of a file of less than `max` bytes; nil when there is none.
  static func read(_ path: String, max: Int = 1 << 20) throws(Fault) -> [UInt8]? {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else {
      if errno == ENOENT { return nil }
      throw Fault(.system, unsafe "\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { close(fd) }
    var info = stat()
    guard unsafe fstat(fd, &info) == 0, info.st_size < max else { throw Fault(.invalidInput, "\(path) is too large") }
    // What says nothing of its size (a pipe) may have as much as a small file.
    var bytes = [UInt8](repeating: 0, count: Swift.max(1 << 20, Int(info.st_size) + 1))
    let n = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(fd, $0.baseAddress!, $0.count) }
    guard n >= 0, n < bytes.count else { throw Fault(.invalidInput, "\(path) cannot be read, or is too large") }
    return Array(bytes[..<n])
  }

  /// A file with a secret, which nobody but its owner may be able to read.
  static func readKeyFile(_ path: String, what: String = "unseal key file", option: String = "name it with --key-file")
    throws(Fault) -> SecretBytes
  {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard fd >= 0 else {
      throw Fault(
        .unsealFailed, unsafe "the \(what) \(path) cannot be read: \(String(cString: strerror(errno)))", hint: option)
    }
    defer { close(fd) }
    var info = stat()
    guard unsafe fstat(fd, &info) == 0, info.st_mode & 0o077 == 0 else {
      throw Fault(.forbidden, "the \(what) \(path) can be read by others", hint: "run: chmod 400 \(path)")
    }
    return try Terminal.readSecret(fd: fd)
  }

  /// Makes the unseal key file, 0400; throws `.conflict` when there is one.
  static func writeKeyFile(_ path: String, _ content: borrowing SecretBytes) throws(Fault) {
    let fd = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o400)
    guard fd >= 0 else { throw Fault(.conflict, unsafe "\(path) cannot be made: \(String(cString: strerror(errno)))") }
    defer { close(fd) }
    let n = unsafe content.span.withUnsafeBytes { unsafe Glibc.write(fd, $0.baseAddress!, $0.count) }
    guard n == content.count, fsync(fd) == 0 else { throw Fault(.system, "\(path) cannot be written") }
  }
}
