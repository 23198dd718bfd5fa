import Glibc
import Leaks
import Primitives
import Transport

/// Brings what is to be searched to the finder, piece by piece: a file may be larger than memory.
struct ScanSearch {
  let finder: SecretFinder
  /// Bytes that are searched at once.
  private static let piece = 8 << 20
  /// Longer than any key: what is searched again at the seam of two pieces.
  private static let seam = 1024

  // MARK: files

  /// A file, or all files below a folder. Links are not followed; git's own folder is for `--git`.
  func path(_ path: String, _ report: inout ScanReport) throws(Fault) {
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else { throw Fault(.notFound, "there is nothing at \(path)") }
    visit(path, info.st_mode & S_IFMT, &report)
  }

  private func visit(_ path: String, _ type: mode_t, _ report: inout ScanReport) {
    switch type {
    case S_IFREG:
      let fd = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
      guard fd >= 0 else { return report.unread.append(path) }
      defer { close(fd) }
      do throws(Fault) { try descriptor(fd, named: path, &report) } catch { report.unread.append(path) }
    case S_IFDIR:
      guard let folder = unsafe opendir(path) else { return report.unread.append(path) }
      var names: [String] = []
      while let entry = unsafe readdir(folder) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != ".", name != "..", name != ".git" { names.append(name) }
      }
      unsafe closedir(folder)
      for name in names.sorted() {
        let inner = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
        var info = stat()
        guard unsafe lstat(inner, &info) == 0 else { continue }
        visit(inner, info.st_mode & S_IFMT, &report)
      }
    default: break
    }
  }

  /// Everything that can be read from `fd`.
  func descriptor(_ fd: Int32, named name: String, _ report: inout ScanReport) throws(Fault) {
    var buffer: [UInt8] = []
    var (lines, offset, isOpen) = (0, 0, true)
    while isOpen {
      var piece = [UInt8](repeating: 0, count: 1 << 20)
      while buffer.count < Self.piece {
        let n = unsafe read(fd, &piece, piece.count)
        if n < 0, errno == EINTR { continue }
        guard n >= 0 else { throw Fault(.system, "\(name) cannot be read") }
        if n == 0 {
          isOpen = false
          break
        }
        buffer += piece[..<n]
      }
      let cut = isOpen ? (buffer.lastIndex(of: 10).map { $0 + 1 } ?? max(0, buffer.count - Self.seam)) : buffer.count
      for finding in finder.find(in: buffer.span) where finding.offset < cut {
        report.add(finding, ScanReport.Place(file: name, line: lines + finding.line, commit: nil), buffer.span)
      }
      lines += buffer[..<cut].count { $0 == 10 }
      offset += cut
      buffer.removeFirst(cut)
    }
    report.bytes += offset
  }

  // MARK: git

  static func gitOutput(_ path: String, _ words: [String]) throws(Fault) -> (status: Int32, output: [UInt8]) {
    try ChildProcess.run(
      ["git", "-C", path] + words, environment: Files.environment, input: Span(), outputMax: 1 << 16, milliseconds: 60_000)
  }

  /// What was ever added in the repository's history, all branches, or what is staged.
  func git(_ path: String, isStaged: Bool, _ report: inout ScanReport) throws(Fault) {
    let common = ["--no-color", "--no-ext-diff", "--no-textconv", "--unified=0", "--src-prefix=a/", "--dst-prefix=b/"]
    let words =
      isStaged
      ? ["diff", "--cached"] + common : ["log", "--all", "--patch", "--diff-merges=separate", "--format=commit %H"] + common
    let (end, other) = try ChildProcess.pipe()
    defer { close(end) }
    let child: ChildProcess
    do {
      child = try ChildProcess.start(
        ["git", "-c", "core.quotePath=false", "-C", path] + words, environment: Files.environment, input: .nothing,
        output: .descriptor(other))
    } catch {
      close(other)
      throw error
    }
    close(other)
    var reader = PatchReader(finder: finder)
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    var rest: [UInt8] = []
    while true {
      let n = unsafe read(end, &piece, piece.count)
      if n < 0, errno == EINTR { continue }
      if n <= 0 { break }
      report.bytes += n
      rest += piece[..<n]
      guard let last = rest.lastIndex(of: 10) else { continue }
      for line in rest[...last].dropLast().split(separator: 10, omittingEmptySubsequences: false) { reader.take(line, &report) }
      rest.removeFirst(last + 1)
    }
    if !rest.isEmpty { reader.take(rest[...], &report) }
    reader.finish(&report)
    let status = child.wait()
    guard status == 0 else {
      throw Fault(.notFound, "git could not read the repository at \(path) (status \(status))", hint: "is it one?")
    }
  }
}

/// Reads patches line by line and searches what they add, hunk by hunk.
private struct PatchReader {
  let finder: SecretFinder
  private var commit: String?
  private var file = ""
  private var line = 0
  private var added: [UInt8] = []
  private var isInHunk = false

  init(finder: SecretFinder) { self.finder = finder }

  mutating func take(_ text: ArraySlice<UInt8>, _ report: inout ScanReport) {
    func starts(_ prefix: StaticString) -> Bool { text.starts(with: [UInt8](copying: prefix.span)) }
    func rest(_ count: Int) -> String { String(decoding: text.dropFirst(count), as: UTF8.self) }
    if isInHunk, text.first == UInt8(ascii: "+") {
      added += text.dropFirst()
      added.append(10)
    } else if isInHunk, text.first == UInt8(ascii: "-") || text.first == UInt8(ascii: "\\") || text.first == UInt8(ascii: " ") {
      return
    } else if starts("@@ ") {
      finish(&report)
      isInHunk = true
      // @@ -1,2 +3,4 @@
      let numbers = text.split(separator: UInt8(ascii: " ")).first { $0.first == UInt8(ascii: "+") }
      let digits = numbers?.dropFirst().prefix { ASCII.isDigit($0) } ?? []
      line = ASCII.decimal(Array(digits).span) ?? 1
    } else if starts("+++ ") {
      file = starts("+++ b/") ? rest(6) : rest(4)
    } else {
      finish(&report)
      isInHunk = false
      if starts("commit ") { commit = rest(7) }
    }
  }

  mutating func finish(_ report: inout ScanReport) {
    for finding in finder.find(in: added.span) {
      report.add(finding, ScanReport.Place(file: file, line: line + finding.line - 1, commit: commit), added.span)
    }
    added = []
  }
}
