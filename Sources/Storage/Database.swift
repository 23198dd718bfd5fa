import CSQLite
import Primitives

/// A value to bind or a column to read.
enum SQLValue {
  case null
  case integer(Int64)
  case text(String)
  case blob([UInt8])

  var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
  var text: String? { if case .text(let value) = self { value } else { nil } }
  var blob: [UInt8]? { if case .blob(let value) = self { value } else { nil } }
}

/// One SQLite connection. Statements are constants and values are bound, so that no input ever becomes SQL.
@safe
final class Database {
  // SAFETY: owned handle, used by one thread at a time (NOMUTEX); statements are finalised before it closes.
  private var handle: OpaquePointer?
  private var statements: [UInt: OpaquePointer] = unsafe [:]

  /// Whether a transaction is open.
  private var isWithin = false

  enum Access { case readWrite, readOnly }

  init(path: String, _ access: Access) throws(Fault) {
    let flags = access == .readWrite ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY
    guard
      unsafe sqlite3_open_v2(path, &handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, nil)
        == SQLITE_OK
    else {
      throw fault("the store cannot be opened")
    }
    unsafe sqlite3_busy_timeout(handle, 5000)
    for setting: StaticString in [
      "PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON", "PRAGMA mmap_size=0", "PRAGMA foreign_keys=ON",
    ] {
      try run(setting)
    }
    guard access == .readWrite else { return }
    for setting: StaticString in [
      "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA secure_delete=ON", "PRAGMA wal_autocheckpoint=1000",
    ] {
      try run(setting)
    }
  }

  deinit {
    while let entry = unsafe statements.popFirst() { unsafe sqlite3_finalize(entry.value) }
    unsafe sqlite3_close(handle)
  }

  /// Runs one statement to its end.
  func run(_ sql: StaticString, _ values: [SQLValue] = []) throws(Fault) {
    try query(sql, values) { _ in false }
  }

  /// Begins a copy into a new file.
  func copy(to path: String) throws(Fault) -> StoreCopy { try unsafe StoreCopy(of: handle, to: path) }

  /// Rows changed by the last statement.
  var changes: Int { unsafe Int(sqlite3_changes(handle)) }

  /// The number of the row that the last insert made.
  var lastRow: Int64 { unsafe sqlite3_last_insert_rowid(handle) }

  /// Hands each row to `row` as long as it returns true.
  func query(_ sql: StaticString, _ values: [SQLValue] = [], _ row: ([SQLValue]) -> Bool) throws(Fault) {
    let statement = try unsafe prepare(sql)
    defer {
      unsafe sqlite3_reset(statement)
      unsafe sqlite3_clear_bindings(statement)
    }
    for (i, value) in values.enumerated() { unsafe bind(value, to: statement, at: Int32(i + 1)) }
    while true {
      switch unsafe sqlite3_step(statement) {
      case SQLITE_ROW:
        let columns = unsafe (0..<sqlite3_column_count(statement)).map { unsafe column(statement, $0) }
        if !row(columns) { return }
      case SQLITE_DONE: return
      default: throw fault("the store cannot be used")
      }
    }
  }

  /// All or nothing; the commit is on disk when this returns, or with that of the transaction that it is within.
  func transaction(_ body: () throws(Fault) -> Void) throws(Fault) {
    if isWithin { return try body() }
    try begin()
    do {
      try body()
      try commit()
    } catch {
      rollBack()
      throw error
    }
  }

  func begin() throws(Fault) {
    try run("BEGIN IMMEDIATE")
    isWithin = true
  }

  func commit() throws(Fault) {
    try run("COMMIT")
    isWithin = false
  }

  func rollBack() {
    try? run("ROLLBACK")
    isWithin = false
  }

  private func prepare(_ sql: StaticString) throws(Fault) -> OpaquePointer {
    let key = unsafe UInt(bitPattern: sql.utf8Start)
    if let known = unsafe statements[key] { return unsafe known }
    var statement: OpaquePointer?
    guard
      unsafe sqlite3_prepare_v3(
        handle, sql.utf8Start, Int32(sql.utf8CodeUnitCount), UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK,
      let statement = unsafe statement
    else { throw fault("the store does not have the expected shape") }
    unsafe statements[key] = unsafe statement
    return unsafe statement
  }

  private func bind(_ value: SQLValue, to statement: OpaquePointer, at index: Int32) {
    // SQLITE_TRANSIENT: SQLite takes a copy before the call returns.
    let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    switch value {
    case .null: unsafe sqlite3_bind_null(statement, index)
    case .integer(let number): unsafe sqlite3_bind_int64(statement, index, number)
    case .text(let text): unsafe sqlite3_bind_text(statement, index, text, Int32(text.utf8.count), transient)
    case .blob(let bytes) where bytes.isEmpty: unsafe sqlite3_bind_zeroblob(statement, index, 0)
    case .blob(let bytes): unsafe sqlite3_bind_blob(statement, index, bytes, Int32(bytes.count), transient)
    }
  }

  private func column(_ statement: OpaquePointer, _ index: Int32) -> SQLValue {
    switch unsafe sqlite3_column_type(statement, index) {
    case SQLITE_INTEGER: return unsafe .integer(sqlite3_column_int64(statement, index))
    case SQLITE_TEXT: return unsafe .text(String(cString: sqlite3_column_text(statement, index)))
    case SQLITE_BLOB:
      let bytes = unsafe UnsafeRawBufferPointer(
        start: sqlite3_column_blob(statement, index), count: Int(sqlite3_column_bytes(statement, index)))
      return unsafe .blob(Array(bytes))
    default: return .null
    }
  }

  /// SQLite's own constant text for the code; never the statement, never a value.
  private func fault(_ what: String) -> Fault {
    let code = unsafe sqlite3_extended_errcode(handle)
    let hint =
      code & 0xFF == SQLITE_FULL
      ? "the disk is full: make room"
      : code & 0xFF == SQLITE_CORRUPT || code & 0xFF == SQLITE_NOTADB ? "the file is damaged: restore a backup" : ""
    return Fault(.storage, unsafe "\(what): \(String(cString: sqlite3_errstr(code))) (\(code))", hint: hint)
  }
}
