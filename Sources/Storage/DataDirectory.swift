import Glibc
public import Primitives

/// The directory that everything kept on this machine lies in: 0700, of one user, used by one process at a time.
@safe
public struct DataDirectory: ~Copyable, Sendable {
  public let path: String
  private let lock: Int32

  public static func storePath(_ path: String) -> String { "\(path)/maskllm.db" }
  /// What keys have come to their end: kept apart from the store, so that an older copy of that brings none of them back.
  public static func endingsPath(_ path: String) -> String { "\(path)/endings" }
  /// Where the user's own catalogue files are.
  public static func cataloguePath(_ directory: String) -> String { "\(directory)/catalogue" }
  public static func socketPath(_ path: String) -> String { "\(path)/admin.sock" }
  public static func keyFilePath(_ path: String) -> String { "\(path)/unseal.key" }

  /// Whether `path` holds a store.
  public static func isInitialized(_ path: String) -> Bool { unsafe access(storePath(path), F_OK) == 0 }

  /// Makes the directory if it is not there, and takes it for this process alone.
  ///
  /// Throws `.conflict` when another process has it, `.forbidden` when others could read it.
  public static func take(_ path: String, creating: Bool) throws(Fault) -> DataDirectory {
    if creating, unsafe mkdir(path, 0o700) != 0, errno != EEXIST {
      throw Fault(.system, unsafe "the data directory \(path) cannot be made: \(String(cString: strerror(errno)))")
    }
    try check(path)
    let lock = unsafe open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard lock >= 0 else {
      throw Fault(.system, unsafe "the data directory \(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw Fault(.conflict, "another process is using the data directory \(path)", hint: "is 'maskllm serve' running there?")
    }
    return DataDirectory(path: path, lock: lock)
  }

  private init(path: String, lock: Int32) {
    self.path = path
    self.lock = lock
  }

  deinit { close(lock) }

  static func check(_ path: String) throws(Fault) {
    var info = stat()
    guard unsafe stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
      throw Fault(
        .notFound, "there is no data directory at \(path)", hint: "run 'maskllm init' first, or name another with --data")
    }
    guard info.st_mode & 0o077 == 0 else {
      throw Fault(.forbidden, "the data directory \(path) can be read by others", hint: "run: chmod 700 \(path)")
    }
    guard info.st_uid == geteuid() else {
      throw Fault(.forbidden, "the data directory \(path) belongs to another user", hint: "run maskllm as its owner")
    }
  }
}
