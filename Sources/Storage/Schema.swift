import Primitives

/// The schema, as steps that are only ever added to. `user_version` counts the steps taken.
enum Schema {
  static let steps: [[StaticString]] = [
    [
      "CREATE TABLE blob(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
      """
      CREATE TABLE masked_key(
        id TEXT PRIMARY KEY, name TEXT NOT NULL, policy BLOB NOT NULL, state TEXT NOT NULL, created_at INTEGER NOT NULL,
        expires_at INTEGER, hash BLOB NOT NULL, pepper_version INTEGER NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL
      ) STRICT, WITHOUT ROWID
      """,
      "CREATE TABLE provider(name TEXT PRIMARY KEY, document BLOB NOT NULL, mac BLOB NOT NULL) STRICT, WITHOUT ROWID",
      """
      CREATE TABLE provider_key(
        id TEXT PRIMARY KEY, provider TEXT NOT NULL REFERENCES provider(name), name TEXT NOT NULL, version INTEGER NOT NULL,
        sealed BLOB NOT NULL, created_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID
      """,
      """
      CREATE TABLE activity(
        number INTEGER PRIMARY KEY AUTOINCREMENT, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, count INTEGER NOT NULL,
        records BLOB NOT NULL
      ) STRICT
      """,
      "CREATE INDEX activity_time ON activity(last_ms)",
      "PRAGMA user_version = 1",
    ],
    [
      """
      CREATE TABLE document(
        kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL,
        PRIMARY KEY(kind, name)
      ) STRICT, WITHOUT ROWID
      """,
      """
      CREATE TABLE account(
        name TEXT NOT NULL, start_ms INTEGER NOT NULL, taken INTEGER NOT NULL, spent INTEGER NOT NULL,
        estimated INTEGER NOT NULL, carried INTEGER NOT NULL, alerted INTEGER NOT NULL, PRIMARY KEY(name, start_ms)
      ) STRICT, WITHOUT ROWID
      """,
      "PRAGMA user_version = 2",
    ],
    [
      """
      CREATE TABLE object(
        provider TEXT NOT NULL, id TEXT NOT NULL, key_id TEXT NOT NULL, provider_key_id TEXT NOT NULL,
        created_at INTEGER NOT NULL, expires_at INTEGER, mac BLOB NOT NULL, PRIMARY KEY(provider, id)
      ) STRICT, WITHOUT ROWID
      """,
      "CREATE INDEX object_expiry ON object(expires_at) WHERE expires_at IS NOT NULL",
      "PRAGMA user_version = 3",
    ],
    ["ALTER TABLE object ADD COLUMN counted_at INTEGER", "PRAGMA user_version = 4"],
    [
      "ALTER TABLE masked_key ADD COLUMN details BLOB NOT NULL DEFAULT x''",
      """
      CREATE TABLE audit(
        number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, act TEXT NOT NULL,
        subject TEXT NOT NULL, details BLOB NOT NULL
      ) STRICT
      """,
      """
      CREATE TABLE provider_key_version(
        id TEXT NOT NULL, provider TEXT NOT NULL REFERENCES provider(name), name TEXT NOT NULL, version INTEGER NOT NULL,
        sealed BLOB NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY(id, version)
      ) STRICT, WITHOUT ROWID
      """,
      "INSERT INTO provider_key_version SELECT id, provider, name, version, sealed, created_at FROM provider_key",
      "DROP TABLE provider_key",
      "PRAGMA user_version = 5",
    ],
    [
      "CREATE TABLE profile(key_id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID",
      "CREATE TABLE profile_state(one INTEGER PRIMARY KEY CHECK(one = 1), up_to INTEGER NOT NULL) STRICT",
      "PRAGMA user_version = 6",
    ],
    [
      "CREATE TABLE answer(name TEXT PRIMARY KEY, at INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
      "CREATE INDEX answer_age ON answer(at)",
      "PRAGMA user_version = 7",
    ],
    [
      "ALTER TABLE audit ADD COLUMN hash BLOB NOT NULL DEFAULT x''",
      "ALTER TABLE audit ADD COLUMN signature BLOB NOT NULL DEFAULT x''",
      "PRAGMA user_version = 8",
    ],
    [
      """
      CREATE TABLE usage(
        span INTEGER NOT NULL, start_ms INTEGER NOT NULL, key_id TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
        endpoint INTEGER NOT NULL, outcome INTEGER NOT NULL, status INTEGER NOT NULL, requests INTEGER NOT NULL,
        bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
        cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, nano_dollars INTEGER NOT NULL, microseconds INTEGER NOT NULL,
        PRIMARY KEY(span, start_ms, key_id, provider, model, endpoint, outcome, status)
      ) STRICT, WITHOUT ROWID
      """,
      "CREATE TABLE usage_state(one INTEGER PRIMARY KEY CHECK(one = 1), up_to INTEGER NOT NULL) STRICT",
      "PRAGMA user_version = 9",
    ],
    [
      "CREATE TABLE alert(id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID",
      "CREATE TABLE alert_state(one INTEGER PRIMARY KEY CHECK(one = 1), up_to INTEGER NOT NULL) STRICT",
      "PRAGMA user_version = 10",
    ],
    [
      """
      CREATE TABLE capture(
        number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, key_id TEXT NOT NULL, status INTEGER NOT NULL,
        sealed BLOB NOT NULL
      ) STRICT
      """,
      "CREATE INDEX capture_age ON capture(at)",
      "CREATE INDEX capture_key ON capture(key_id)",
      "PRAGMA user_version = 11",
    ],
    // How much there is of activity is known without looking at all of it.
    [
      "CREATE TABLE activity_size(one INTEGER PRIMARY KEY CHECK(one = 1), bytes INTEGER NOT NULL) STRICT",
      "INSERT INTO activity_size(one, bytes) SELECT 1, coalesce(sum(length(records)), 0) FROM activity",
      """
      CREATE TRIGGER activity_added AFTER INSERT ON activity BEGIN
        UPDATE activity_size SET bytes = bytes + length(new.records);
      END
      """,
      """
      CREATE TRIGGER activity_erased AFTER DELETE ON activity BEGIN
        UPDATE activity_size SET bytes = bytes - length(old.records);
      END
      """,
      "PRAGMA user_version = 12",
    ],
  ]

  static func migrate(_ database: Database) throws(Fault) {
    let taken = try version(database)
    try checkNotNewer(taken)
    for step in steps[taken...] {
      try database.transaction { () throws(Fault) in
        for statement in step { try database.run(statement) }
      }
    }
  }

  static func check(_ database: Database) throws(Fault) {
    let taken = try version(database)
    try checkNotNewer(taken)
    guard taken == steps.count else {
      throw Fault(.storage, "the store is of an older version", hint: "start 'maskllm serve' once to bring it up to date")
    }
  }

  private static func checkNotNewer(_ taken: Int) throws(Fault) {
    guard taken <= steps.count else {
      throw Fault(
        .storage, "the store was written by a newer version (schema \(taken), this one knows \(steps.count))",
        hint: "upgrade maskllm")
    }
  }

  private static func version(_ database: Database) throws(Fault) -> Int {
    var value: Int64 = 0
    try database.query("PRAGMA user_version") { row in
      value = row[0].integer ?? 0
      return false
    }
    return Int(value)
  }
}
