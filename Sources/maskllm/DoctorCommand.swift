import AdminAPI
import Glibc
import KeyService
import Primitives
import Storage
import Wire

/// `maskllm doctor`: what is wrong here, and how it is mended.
enum DoctorCommand {
  static let command = Command(
    path: ["doctor"], summary: "look for what is wrong, and say how to mend each; exit status 1 when something is",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    var checks: [Check] = []
    let path = try Files.dataDirectory(arguments)
    if try RemoteCall(arguments) == nil { machine(path, arguments, &checks) }
    do throws(Fault) {
      let found: [Check] = try decode(try AdminLink.open(arguments).call(.post, "/v1/checkups"))
      checks += found
    } catch { checks.append(Check("server", .bad, error.message, mend: error.hint)) }
    if arguments.has("json") {
      Terminal.result(try jsonText(checks))
    } else {
      for check in checks {
        Terminal.result("\(mark(check.verdict)) \(check.what): \(Terminal.plain(check.finding))")
        if !check.mend.isEmpty { Terminal.result("        \(Terminal.plain(check.mend))") }
      }
    }
    if checks.contains(where: { $0.verdict == .bad }) { exit(1) }
  }

  private static func mark(_ verdict: Check.Verdict) -> String {
    switch verdict {
    case .good: "ok     "
    case .warning: "warning"
    case .bad: "BAD    "
    }
  }

  /// What only this machine knows.
  private static func machine(_ path: String, _ arguments: Arguments, _ checks: inout [Check]) {
    func mode(_ file: String) -> mode_t? {
      var info = stat()
      return unsafe lstat(file, &info) == 0 ? info.st_mode & 0o777 : nil
    }
    for (file, allowed) in [
      (path, mode_t(0o700)), (DataDirectory.storePath(path), 0o600), (DataDirectory.endingsPath(path), 0o600),
    ] {
      guard let mode = mode(file) else { continue }
      checks.append(
        mode & ~allowed == 0
          ? Check(file, .good, "only its owner can read it")
          : Check(file, .bad, "others can read it", mend: "chmod \(String(allowed, radix: 8)) \(file)"))
    }
    let keyFile = arguments.value("key-file") ?? DataDirectory.keyFilePath(path)
    if let mode = mode(keyFile) {
      checks.append(
        mode & 0o077 == 0
          ? Check(keyFile, .good, "only its owner can read it; is there a copy apart from the store?")
          : Check(keyFile, .bad, "others can read it", mend: "chmod 400 \(keyFile)"))
    }
    var files = rlimit()
    if unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0 {
      checks.append(
        files.rlim_cur >= 8192
          ? Check("open files", .good, "the limit is \(files.rlim_cur)")
          : Check(
            "open files", .warning, "the limit is \(files.rlim_cur): each request takes two",
            mend: "ulimit -n 65536, or LimitNOFILE= of its unit"))
    }
    var space = statvfs()
    if unsafe statvfs(path, &space) == 0 {
      let left = (UInt64(space.f_bavail) * UInt64(space.f_frsize)) >> 20
      checks.append(
        left >= 512
          ? Check("disk", .good, "\(left) MB are left")
          : Check(
            "disk", left >= 64 ? .warning : .bad, "\(left) MB are left", mend: "make room: what cannot be written is not done"))
    }
    let zones = unsafe access("/usr/share/zoneinfo/Europe/Berlin", R_OK) == 0
    checks.append(
      zones
        ? Check("time zones", .good, "the database is there")
        : Check(
          "time zones", .warning, "the database is missing: hours, budgets and schedules in zones do not work",
          mend: "apt install tzdata"))
  }
}
