public import Domain
import Glibc
public import Primitives

/// The embedded store: one file in the data directory, one writing connection, which also does every checkpoint.
///
/// Debian 12's SQLite can corrupt a WAL that two connections write or checkpoint at once; so there is never a second one that
/// may do either. The library's read-only connection does neither.
public final class SQLiteStore: Store, @unchecked Sendable {
  // Confined to the thread that uses the store; see `Store`.
  let database: Database
  /// Held for as long as the store is written; nil for a reader.
  private let directory: DataDirectory?
  /// The data directory's path.
  let folder: String

  private init(_ database: Database, _ directory: consuming DataDirectory?, folder: String) {
    self.database = database
    self.folder = folder
    self.directory = directory
  }

  /// Makes the file, empty and 0600; throws `.conflict` when there is one.
  public static func create(in directory: consuming DataDirectory) throws(Fault) -> SQLiteStore {
    let path = DataDirectory.storePath(directory.path)
    let fd = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else {
      if errno == EEXIST {
        throw Fault(.conflict, "\(directory.path) is initialised already", hint: "use it, or name another directory with --data")
      }
      throw Fault(.system, unsafe "\(path) cannot be made: \(String(cString: strerror(errno)))")
    }
    close(fd)
    return try open(in: directory)
  }

  /// Opens the file for writing and brings its schema up to date; throws `.storage` when it is damaged or newer than we are.
  public static func open(in directory: consuming DataDirectory) throws(Fault) -> SQLiteStore {
    try checkFile(directory.path)
    let folder = directory.path
    let store = SQLiteStore(try Database(path: DataDirectory.storePath(folder), .readWrite), directory, folder: folder)
    try check(
      store.database,
      // The record can be large, and no decision needs it: a start does not wait for all of it to be read.
      """
      SELECT quick_check FROM sqlite_schema AS s, pragma_quick_check(s.name)
      WHERE s.type = 'table' AND s.name NOT IN ('activity', 'usage', 'capture')
      """)
    try Schema.migrate(store.database)
    return store
  }

  /// Opens the file for reading beside a process that writes it. Its owner calls `dataVersion` to learn of changes.
  public static func openReadOnly(path: String) throws(Fault) -> SQLiteStore {
    try DataDirectory.check(path)
    try checkFile(path)
    let store = SQLiteStore(try Database(path: DataDirectory.storePath(path), .readOnly), nil, folder: path)
    try Schema.check(store.database)
    return store
  }

  private static func checkFile(_ directory: String) throws(Fault) {
    let path = DataDirectory.storePath(directory)
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else {
      throw Fault(
        .notFound, "\(directory) is not initialised", hint: "run 'maskllm init' first, or name another directory with --data")
    }
    guard info.st_mode & S_IFMT == S_IFREG, info.st_mode & 0o077 == 0 else {
      throw Fault(.forbidden, "\(path) can be read by others", hint: "run: chmod 600 \(path)")
    }
  }

  private static func check(_ database: Database, _ query: StaticString) throws(Fault) {
    var isWhole = true
    try database.query(query) { row in
      isWhole = row[0].text == "ok"
      return isWhole
    }
    guard isWhole else { throw Fault(.storage, "the store is damaged", hint: "restore a backup") }
  }

  public func inspection() -> @Sendable () throws(Fault) -> Void {
    let path = DataDirectory.storePath(folder)
    return { () throws(Fault) in try Self.check(try Database(path: path, .readOnly), "PRAGMA quick_check(1)") }
  }

  // MARK: transactions

  public func begin() throws(Fault) { try database.begin() }
  public func commit() throws(Fault) { try database.commit() }
  public func rollBack() { database.rollBack() }
  public func transaction(_ body: () throws(Fault) -> Void) throws(Fault) { try database.transaction(body) }

  // MARK: blobs

  public func blob(_ name: String) throws(Fault) -> [UInt8]? {
    var value: [UInt8]?
    try database.query("SELECT value FROM blob WHERE name = ?1", [.text(name)]) { row in
      value = row[0].blob
      return false
    }
    return value
  }

  public func setBlobs(_ blobs: [(name: String, value: [UInt8])]) throws(Fault) {
    try database.transaction { () throws(Fault) in
      for (name, value) in blobs { try set(blob: name, value) }
    }
  }

  private func set(blob name: String, _ value: [UInt8]) throws(Fault) {
    try database.run(
      "INSERT INTO blob(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2", [.text(name), .blob(value)])
  }

  // MARK: masked keys

  public func maskedKeys() throws(Fault) -> [MaskedKeyRow] {
    var rows: [MaskedKeyRow] = []
    var isDamaged = false
    try database.query(
      "SELECT id, name, policy, state, created_at, expires_at, hash, pepper_version, revision, mac, details FROM masked_key ORDER BY created_at, id"
    ) { r in
      if let row = MaskedKeyRow(r) { rows.append(row) } else { isDamaged = true }
      return true
    }
    guard !isDamaged else { throw Fault(.storage, "a masked key in the store cannot be read", hint: "restore a backup") }
    return rows
  }

  public func save(_ row: MaskedKeyRow) throws(Fault) {
    let values: [SQLValue] = [
      .text(row.id.description), .text(row.name), .blob(row.policy), .text(row.state), .integer(row.createdAt),
      row.expiresAt.map { .integer($0) } ?? .null, .blob(row.hash), .integer(row.pepperVersion), .integer(row.revision),
      .blob(row.mac), .blob(row.details),
    ]
    try database.run(
      """
      INSERT INTO masked_key(id, name, policy, state, created_at, expires_at, hash, pepper_version, revision, mac, details)
      VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
      ON CONFLICT(id) DO UPDATE SET name = ?2, policy = ?3, state = ?4, expires_at = ?6, hash = ?7, pepper_version = ?8,
        revision = ?9, mac = ?10, details = ?11 WHERE revision = ?9 - 1
      """, values)
    guard database.changes == 1 else {
      throw Fault(.conflict, "key \(row.id) was changed meanwhile", hint: "look at it and try again")
    }
  }

  public func insert(_ rows: [MaskedKeyRow]) throws(Fault) {
    try database.transaction { () throws(Fault) in for row in rows { try save(row) } }
  }

  // MARK: providers

  public func providers() throws(Fault) -> [ProviderRow] {
    var rows: [ProviderRow] = []
    try database.query("SELECT name, document, mac FROM provider ORDER BY name") { r in
      rows.append(ProviderRow(name: r[0].text ?? "", document: r[1].blob ?? [], mac: r[2].blob ?? []))
      return true
    }
    return rows
  }

  public func save(_ row: ProviderRow) throws(Fault) {
    try database.run(
      "INSERT INTO provider(name, document, mac) VALUES(?1, ?2, ?3) ON CONFLICT(name) DO UPDATE SET document = ?2, mac = ?3",
      [.text(row.name), .blob(row.document), .blob(row.mac)])
  }

  public func deleteProvider(_ name: String) throws(Fault) {
    try database.run("DELETE FROM provider WHERE name = ?1", [.text(name)])
  }

  public func providerKeys() throws(Fault) -> [ProviderKey] {
    var keys: [ProviderKey] = []
    var isDamaged = false
    try database.query("SELECT id, provider, name, version, sealed, created_at FROM provider_key_version ORDER BY created_at, id")
    { r in
      if let key = ProviderKey(r) { keys.append(key) } else { isDamaged = true }
      return true
    }
    guard !isDamaged else { throw Fault(.storage, "a provider key in the store cannot be read", hint: "restore a backup") }
    return keys
  }

  public func insert(_ key: ProviderKey) throws(Fault) {
    try database.run(
      "INSERT INTO provider_key_version(id, provider, name, version, sealed, created_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
      [
        .text(key.id.description), .text(key.provider), .text(key.name), .integer(Int64(key.version)), .blob(key.sealed),
        .integer(key.createdAt.milliseconds),
      ])
  }

  public func reseal(_ key: ProviderKey) throws(Fault) {
    try database.run(
      "UPDATE provider_key_version SET sealed = ?3 WHERE id = ?1 AND version = ?2",
      [.text(key.id.description), .integer(Int64(key.version)), .blob(key.sealed)])
  }

  public func deleteProviderKey(_ id: RecordID, version: UInt32?) throws(Fault) -> Bool {
    try database.run(
      "DELETE FROM provider_key_version WHERE id = ?1 AND (?2 IS NULL OR version = ?2)",
      [.text(id.description), version.map { .integer(Int64($0)) } ?? .null])
    let isDeleted = database.changes > 0
    // The pages are overwritten (secure_delete); the checkpoint takes the old ones out of the log too.
    if isDeleted { try database.run("PRAGMA wal_checkpoint(TRUNCATE)") }
    return isDeleted
  }

  // MARK: documents and accounts

  public func documents() throws(Fault) -> [DocumentRow] {
    var rows: [DocumentRow] = []
    try database.query("SELECT kind, name, body, revision, mac FROM document ORDER BY kind, name") { r in
      rows.append(
        DocumentRow(
          kind: r[0].text ?? "", name: r[1].text ?? "", body: r[2].blob ?? [], revision: r[3].integer ?? 0, mac: r[4].blob ?? []))
      return true
    }
    return rows
  }

  public func change(save: [DocumentRow], delete: [(kind: String, name: String)], blob: (name: String, value: [UInt8]))
    throws(Fault)
  {
    try database.transaction { () throws(Fault) in
      for row in save {
        try database.run(
          """
          INSERT INTO document(kind, name, body, revision, mac) VALUES(?1, ?2, ?3, ?4, ?5)
          ON CONFLICT(kind, name) DO UPDATE SET body = ?3, revision = ?4, mac = ?5
          """, [.text(row.kind), .text(row.name), .blob(row.body), .integer(row.revision), .blob(row.mac)])
      }
      for (kind, name) in delete {
        try database.run("DELETE FROM document WHERE kind = ?1 AND name = ?2", [.text(kind), .text(name)])
      }
      try set(blob: blob.name, blob.value)
    }
  }

  public func accounts() throws(Fault) -> [AccountRow] {
    var rows: [AccountRow] = []
    try database.query(
      "SELECT name, start_ms, taken, spent, estimated, carried, alerted FROM account ORDER BY name, start_ms"
    ) { r in
      rows.append(
        AccountRow(
          name: r[0].text ?? "", start: r[1].integer ?? 0, taken: Amount(r[2].integer ?? 0), spent: Amount(r[3].integer ?? 0),
          estimated: Amount(r[4].integer ?? 0), carried: Amount(r[5].integer ?? 0), alerted: r[6].integer ?? 0))
      return true
    }
    return rows
  }

  public func save(_ rows: [AccountRow]) throws(Fault) {
    try database.transaction { () throws(Fault) in
      for row in rows {
        try database.run(
          """
          INSERT INTO account(name, start_ms, taken, spent, estimated, carried, alerted) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
          ON CONFLICT(name, start_ms) DO UPDATE SET taken = ?3, spent = ?4, estimated = ?5, carried = ?6, alerted = ?7
          """,
          [
            .text(row.name), .integer(row.start), .integer(row.taken.count), .integer(row.spent.count),
            .integer(row.estimated.count), .integer(row.carried.count), .integer(row.alerted),
          ])
      }
    }
  }

  public func deleteAccounts(_ name: String, before start: Int64) throws(Fault) {
    try database.run("DELETE FROM account WHERE name = ?1 AND start_ms < ?2", [.text(name), .integer(start)])
  }

  public func copy(to path: String) throws(Fault) -> StoreCopy { try database.copy(to: path) }

  public var place: String { folder }

  public func dataVersion() throws(Fault) -> Int64 {
    var version: Int64 = 0
    try database.query("PRAGMA data_version") { row in
      version = row[0].integer ?? 0
      return false
    }
    return version
  }
}

extension MaskedKeyRow {
  fileprivate init?(_ r: [SQLValue]) {
    guard let id = r[0].text.flatMap({ RecordID($0) }), let name = r[1].text, let policy = r[2].blob, let state = r[3].text,
      let createdAt = r[4].integer, let hash = r[6].blob, let pepperVersion = r[7].integer, let revision = r[8].integer,
      let mac = r[9].blob, let details = r[10].blob
    else { return nil }
    self.init(
      id: id, name: name, policy: policy, state: state, createdAt: createdAt, expiresAt: r[5].integer, hash: hash,
      pepperVersion: pepperVersion, details: details, revision: revision, mac: mac)
  }
}

extension ProviderKey {
  fileprivate init?(_ r: [SQLValue]) {
    guard let id = r[0].text.flatMap({ RecordID($0) }), let provider = r[1].text, let name = r[2].text,
      let version = r[3].integer.flatMap({ UInt32(exactly: $0) }), let sealed = r[4].blob, let createdAt = r[5].integer
    else { return nil }
    self.init(
      id: id, provider: provider, name: name, version: version, sealed: sealed, createdAt: Timestamp(milliseconds: createdAt))
  }
}
