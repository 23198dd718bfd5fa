import CSQLite
public import Primitives

/// A consistent copy of the store, made page by page while it is used: what is written meanwhile by the same connection is in it, too.
@safe
public final class StoreCopy {
  // SAFETY: owned handles, used by the thread of the store; the copy ends before its file is closed.
  private var target: OpaquePointer?
  private var copying: OpaquePointer?

  /// `path` must not be there yet.
  init(of source: OpaquePointer?, to path: String) throws(Fault) {
    guard
      unsafe sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nil) == SQLITE_OK
    else {
      unsafe sqlite3_close(target)
      throw Fault(.storage, "the copy \(path) cannot be made")
    }
    unsafe copying = unsafe sqlite3_backup_init(target, "main", source, "main")
    guard unsafe copying != nil else {
      unsafe sqlite3_close(target)
      throw Fault(.storage, "the copy \(path) cannot be made")
    }
  }

  deinit {
    if unsafe copying != nil { unsafe sqlite3_backup_finish(copying) }
    unsafe sqlite3_close(target)
  }

  /// Copies so many pages more; true when all are there.
  public func step(pages: Int32 = 512) throws(Fault) -> Bool {
    switch unsafe sqlite3_backup_step(copying, pages) {
    case SQLITE_DONE:
      unsafe sqlite3_backup_finish(copying)
      unsafe copying = nil
      return true
    case SQLITE_OK, SQLITE_BUSY, SQLITE_LOCKED: return false
    case let code: throw Fault(.storage, unsafe "the copy cannot be made: \(String(cString: sqlite3_errstr(code)))")
    }
  }
}
