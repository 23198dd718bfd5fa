import Domain
public import Primitives

// Whose the objects at the providers are.
extension SQLiteStore {
  public func object(provider: String, id: String) throws(Fault) -> ObjectRow? {
    try rows(
      "SELECT provider, id, key_id, provider_key_id, created_at, expires_at, mac FROM object WHERE provider = ?1 AND id = ?2",
      [.text(provider), .text(id)]
    ).first
  }

  public func objects(of key: RecordID?, after: ObjectCursor?, limit: Int) throws(Fault) -> [ObjectRow] {
    try rows(
      """
      SELECT provider, id, key_id, provider_key_id, created_at, expires_at, mac FROM object
      WHERE (?1 IS NULL OR key_id = ?1)
        AND (?3 IS NULL OR created_at < ?3 OR (created_at = ?3 AND (provider, id) > (?4, ?5)))
      ORDER BY created_at DESC, provider, id LIMIT ?2
      """,
      [
        key.map { .text($0.description) } ?? .null, .integer(Int64(limit)),
        after.map { .integer($0.createdAt.milliseconds) } ?? .null, .text(after?.provider ?? ""), .text(after?.id ?? ""),
      ])
  }

  private func rows(_ statement: StaticString, _ values: [SQLValue]) throws(Fault) -> [ObjectRow] {
    var rows: [ObjectRow] = []
    try database.query(statement, values) { r in
      // A row that cannot be read is nobody's, like one that was changed.
      guard let provider = r[0].text, let id = r[1].text, let key = r[2].text.flatMap({ RecordID($0) }),
        let providerKey = r[3].text.flatMap({ RecordID($0) }), let createdAt = r[4].integer, let mac = r[6].blob
      else { return true }
      rows.append(
        ObjectRow(
          object: ProviderObject(
            provider: provider, id: id, key: key, providerKey: providerKey, createdAt: Timestamp(milliseconds: createdAt),
            expiresAt: r[5].integer.map(Timestamp.init(milliseconds:))), mac: mac))
      return true
    }
    return rows
  }

  public func save(_ rows: [ObjectRow]) throws(Fault) {
    try database.transaction { () throws(Fault) in
      for row in rows {
        let object = row.object
        try database.run(
          """
          INSERT INTO object(provider, id, key_id, provider_key_id, created_at, expires_at, mac) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
          ON CONFLICT(provider, id) DO UPDATE SET key_id = ?3, provider_key_id = ?4, created_at = ?5, expires_at = ?6, mac = ?7
          """,
          [
            .text(object.provider), .text(object.id), .text(object.key.description), .text(object.providerKey.description),
            .integer(object.createdAt.milliseconds), object.expiresAt.map { .integer($0.milliseconds) } ?? .null, .blob(row.mac),
          ])
      }
    }
  }

  public func countObject(provider: String, id: String, at now: Timestamp) throws(Fault) -> Bool {
    try database.run(
      "UPDATE object SET counted_at = ?3 WHERE provider = ?1 AND id = ?2 AND counted_at IS NULL",
      [.text(provider), .text(id), .integer(now.milliseconds)])
    return database.changes == 1
  }

  public func deleteObject(provider: String, id: String) throws(Fault) {
    try database.run("DELETE FROM object WHERE provider = ?1 AND id = ?2", [.text(provider), .text(id)])
  }

  public func deleteObjects(expiredBy now: Timestamp) throws(Fault) {
    try database.run("DELETE FROM object WHERE expires_at <= ?1", [.integer(now.milliseconds)])
  }
}
