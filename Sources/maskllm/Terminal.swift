import Cryptography
import Glibc
import Primitives

/// Where commands read secrets and write results.
enum Terminal {
  /// Results go to standard output, everything else to standard error.
  static func result(_ text: String) { write(1, text + "\n") }
  static func note(_ text: String) { write(2, text + "\n") }

  static var isInteractive: Bool { isatty(0) == 1 && isatty(2) == 1 }

  private static func write(_ fd: Int32, _ text: String) {
    var text = text
    text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        let n = unsafe Glibc.write(fd, bytes.baseAddress! + done, bytes.count - done)
        if n < 0, errno != EINTR { return }
        done += max(n, 0)
      }
    }
  }

  /// Writes secret bytes to standard output and nothing else of them anywhere.
  static func result(secret: borrowing SecretBytes) {
    let span = secret.span
    unsafe span.withUnsafeBytes { _ = unsafe Glibc.write(1, $0.baseAddress!, $0.count) }
  }

  static let secretMax = 64 * 1024

  /// A secret from file descriptor `fd`, to its end; one line feed at the end does not count.
  static func readSecret(fd: Int32) throws(Fault) -> SecretBytes {
    var buffer = [UInt8](repeating: 0, count: secretMax + 1)
    defer { wipe(&buffer) }
    var count = 0
    while count < buffer.count {
      let n = unsafe buffer.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress! + count, $0.count - count) }
      if n < 0, errno == EINTR { continue }
      guard n >= 0 else { throw Fault(.invalidInput, "file descriptor \(fd) cannot be read") }
      if n == 0 { break }
      count += n
    }
    guard count <= secretMax else { throw Fault(.invalidInput, "the secret is too large") }
    if count > 0, buffer[count - 1] == 10 { count -= 1 }
    if count > 0, buffer[count - 1] == 13 { count -= 1 }
    return SecretBytes(copying: buffer.span.extracting(0..<count))
  }

  /// A secret typed at the terminal without being shown.
  static func prompt(_ question: String) throws(Fault) -> SecretBytes {
    var old = termios()
    guard unsafe tcgetattr(0, &old) == 0 else { throw Fault(.system, "the terminal cannot be set up") }
    var hidden = old
    hidden.c_lflag &= ~tcflag_t(ECHO)
    unsafe tcsetattr(0, TCSAFLUSH, &hidden)
    // Asked only now: what is typed from here on is neither shown nor flushed.
    write(2, question)
    defer {
      unsafe tcsetattr(0, TCSAFLUSH, &old)
      write(2, "\n")
    }
    var line = [UInt8](repeating: 0, count: 4096)
    defer { wipe(&line) }
    let n = unsafe line.withUnsafeMutableBytes { unsafe read(0, $0.baseAddress!, $0.count) }
    guard n > 0 else { throw Fault(.invalidInput, "nothing was typed") }
    let end = line[n - 1] == 10 ? n - 1 : n
    return SecretBytes(copying: line.span.extracting(0..<end))
  }

  /// The secret that `what` asks for: from `--NAME-fd`, else typed, else from standard input.
  static func secret(_ what: String, fd: Int?) throws(Fault) -> SecretBytes {
    if let fd { return try readSecret(fd: Int32(fd)) }
    if isInteractive { return try prompt("\(what): ") }
    return try readSecret(fd: 0)
  }

  /// Rows under headings, each column as wide as its widest cell.
  static func table(_ headings: [String], _ rows: [[String]]) -> String {
    let widths = headings.indices.map { i in ([headings] + rows).map { $0[i].count }.max() ?? 0 }
    return ([headings] + rows).map { row in
      var line = row.indices.map { i in row[i] + String(repeating: " ", count: widths[i] - row[i].count) }.joined(separator: "  ")
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }

  /// `text` without anything that could move a terminal's cursor: names come from other people.
  static func plain(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 || (127...159).contains($0.value) ? "?" : $0 }))
  }
}
