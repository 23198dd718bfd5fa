import Glibc

/// What the system says of this process.
public struct ProcessFigures: Sendable {
  public let cpuSeconds: Double
  public let residentBytes: Int
  public let openFiles: Int
  public let openFilesMax: Int

  public init() {
    var usage = rusage()
    _ = unsafe getrusage(RUSAGE_SELF.rawValue, &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    cpuSeconds = seconds(usage.ru_utime) + seconds(usage.ru_stime)
    residentBytes = Self.pages() * Int(sysconf(Int32(_SC_PAGESIZE)))
    openFiles = Self.entries(of: "/proc/self/fd")
    var limit = rlimit()
    _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    openFilesMax = Int(clamping: limit.rlim_cur)
  }

  /// The second figure of `/proc/self/statm`.
  private static func pages() -> Int {
    let fd = unsafe open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return 0 }
    defer { close(fd) }
    var bytes = [UInt8](repeating: 0, count: 128)
    let n = unsafe bytes.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress!, $0.count) }
    let figures = String(decoding: bytes.prefix(max(0, n)), as: UTF8.self).split(separator: " ")
    return figures.count > 1 ? Int(figures[1]) ?? 0 : 0
  }

  private static func entries(of path: String) -> Int {
    guard let folder = unsafe opendir(path) else { return 0 }
    defer { unsafe closedir(folder) }
    var count = 0
    while unsafe readdir(folder) != nil { count += 1 }
    // Without the two that every folder has, and the one that reads it.
    return max(0, count - 3)
  }
}
