import Glibc
public import Primitives

// The file of ended keys, beside the store.
extension SQLiteStore {
  public func append(endings lines: [String]) throws(Fault) {
    let path = DataDirectory.endingsPath(folder)
    let fd = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw fault(path) }
    defer { close(fd) }
    let text = Array(lines.map { "\($0)\n" }.joined().utf8)
    let n = unsafe text.withUnsafeBytes { unsafe Glibc.write(fd, $0.baseAddress, $0.count) }
    guard n == text.count, fsync(fd) == 0 else { throw fault(path) }
  }

  public func endings() throws(Fault) -> [String] {
    let path = DataDirectory.endingsPath(folder)
    let fd = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard fd >= 0 else {
      if errno == ENOENT { return [] }
      throw fault(path)
    }
    defer { close(fd) }
    var text: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let n = unsafe read(fd, &piece, piece.count)
      guard n >= 0 else { throw fault(path) }
      if n == 0 { break }
      text += piece[..<n]
    }
    return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private func fault(_ path: String) -> Fault {
    Fault(.storage, unsafe "\(path) cannot be used: \(String(cString: strerror(errno)))")
  }
}
