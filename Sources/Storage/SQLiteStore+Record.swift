import Domain
public import Primitives

// What happened: acts, requests, and how keys are used.
extension SQLiteStore {
  // MARK: audit

  public func append(_ rows: [AuditRow]) throws(Fault) {
    try database.transaction { () throws(Fault) in
      for row in rows {
        try database.run(
          """
          INSERT INTO audit(number, at, actor, act, subject, details, hash, signature) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
          """,
          [
            .integer(row.number), .integer(row.at.milliseconds), .text(row.actor), .text(row.act), .text(row.subject),
            .blob(row.details), .blob(row.hash), .blob(row.signature),
          ])
      }
    }
  }

  public func replaceAudit(_ rows: [AuditRow]) throws(Fault) {
    try database.transaction { () throws(Fault) in
      try database.run("DELETE FROM audit")
      try append(rows)
    }
  }

  public func forEachAuditRow(before number: Int64, _ body: (AuditRow) -> Bool) throws(Fault) {
    try database.query(
      "SELECT number, at, actor, act, subject, details, hash, signature FROM audit WHERE number < ?1 ORDER BY number DESC",
      [.integer(number)]
    ) { r in body(AuditRow(r)) }
  }

  public func forEachAuditRow(after number: Int64, _ body: (AuditRow) -> Bool) throws(Fault) {
    try database.query(
      "SELECT number, at, actor, act, subject, details, hash, signature FROM audit WHERE number > ?1 ORDER BY number",
      [.integer(number)]
    ) { r in body(AuditRow(r)) }
  }

  // MARK: activity

  public func append(_ segment: ActivitySegment) throws(Fault) -> Int64 {
    var number: Int64 = 0
    try database.transaction { () throws(Fault) in
      try database.run(
        "INSERT INTO activity(first_ms, last_ms, count, records) VALUES(?1, ?2, ?3, ?4)",
        [
          .integer(segment.first.milliseconds), .integer(segment.last.milliseconds), .integer(Int64(segment.count)),
          .blob(segment.records),
        ])
      number = database.lastRow
      guard let spool = segment.spool else { return }
      try setBlobs([(SpoolMark.name(spool.loop), SpoolMark(id: spool.id, mark: spool.mark).bytes)])
    }
    return number
  }

  public func forEachSegment(after number: Int64, _ body: (ActivitySegment) -> Bool) throws(Fault) {
    try database.query(
      "SELECT number, first_ms, last_ms, count, records FROM activity WHERE number > ?1 ORDER BY number", [.integer(number)]
    ) { r in body(ActivitySegment(r)) }
  }

  // Records of what is not asked for are not read: CASE is evaluated before they are.

  public func forEachSegment(after number: Int64, from: Timestamp, rows: Int, _ body: (ActivitySegment) -> Bool) throws(Fault)
    -> Int64?
  {
    var (seen, place, isCut) = (0, number, false)
    try database.query(
      """
      SELECT number, first_ms, last_ms, count, CASE WHEN last_ms >= ?2 THEN records END FROM activity
      WHERE number > ?1 ORDER BY number LIMIT ?3
      """, [.integer(number), .integer(from.milliseconds), .integer(Int64(rows))]
    ) { r in
      let segment = ActivitySegment(r)
      (seen, place) = (seen + 1, segment.number)
      isCut = segment.last >= from && !body(segment)
      return !isCut
    }
    return isCut || seen == rows ? place : nil
  }

  public func forEachSegment(
    before place: SegmentPlace, from: Timestamp, to: Timestamp, rows: Int, _ body: (ActivitySegment) -> Bool
  ) throws(Fault) -> SegmentPlace? {
    var (seen, place, isCut) = (0, place, false)
    try database.query(
      """
      SELECT number, first_ms, last_ms, count, CASE WHEN first_ms <= ?4 THEN records END FROM activity
      WHERE (last_ms, number) < (?1, ?2) AND last_ms >= ?3 ORDER BY last_ms DESC, number DESC LIMIT ?5
      """,
      [
        .integer(place.last.milliseconds), .integer(place.number), .integer(from.milliseconds), .integer(to.milliseconds),
        .integer(Int64(rows)),
      ]
    ) { r in
      let segment = ActivitySegment(r)
      (seen, place) = (seen + 1, SegmentPlace(last: segment.last, number: segment.number))
      isCut = segment.first <= to && !body(segment)
      return !isCut
    }
    return isCut || seen == rows ? place : nil
  }

  // MARK: answers

  public func answer(_ name: String) throws(Fault) -> (at: Timestamp, sealed: [UInt8])? {
    var found: (at: Timestamp, sealed: [UInt8])?
    try database.query("SELECT at, sealed FROM answer WHERE name = ?1", [.text(name)]) { r in
      found = (Timestamp(milliseconds: r[0].integer ?? 0), r[1].blob ?? [])
      return false
    }
    return found
  }

  public func answerNames() throws(Fault) -> [String] {
    var names: [String] = []
    try database.query("SELECT name FROM answer ORDER BY name") { r in
      names.append(r[0].text ?? "")
      return true
    }
    return names
  }

  public func save(answer name: String, at now: Timestamp, sealed: [UInt8]?) throws(Fault) {
    guard let sealed else { return try database.run("DELETE FROM answer WHERE name = ?1", [.text(name)]) }
    try database.run(
      "INSERT INTO answer(name, at, sealed) VALUES(?1, ?2, ?3) ON CONFLICT(name) DO UPDATE SET at = ?2, sealed = ?3",
      [.text(name), .integer(now.milliseconds), .blob(sealed)])
  }

  public func deleteAnswers(before moment: Timestamp) throws(Fault) {
    try database.run("DELETE FROM answer WHERE at < ?1", [.integer(moment.milliseconds)])
  }

  // MARK: profiles

  public func profiles() throws(Fault) -> (rows: [(id: RecordID, body: [UInt8])], upTo: Int64) {
    var rows: [(id: RecordID, body: [UInt8])] = []
    var upTo: Int64 = 0
    try database.query("SELECT key_id, body FROM profile") { r in
      if let id = r[0].text.flatMap({ RecordID($0) }), let body = r[1].blob { rows.append((id, body)) }
      return true
    }
    try database.query("SELECT up_to FROM profile_state") { r in
      upTo = r[0].integer ?? 0
      return false
    }
    return (rows, upTo)
  }

  public func save(profiles: [(id: RecordID, body: [UInt8])], upTo: Int64) throws(Fault) {
    try database.transaction { () throws(Fault) in
      for (id, body) in profiles {
        try database.run(
          "INSERT INTO profile(key_id, body) VALUES(?1, ?2) ON CONFLICT(key_id) DO UPDATE SET body = ?2",
          [.text(id.description), .blob(body)])
      }
      try database.run(
        "INSERT INTO profile_state(one, up_to) VALUES(1, ?1) ON CONFLICT(one) DO UPDATE SET up_to = ?1", [.integer(upTo)])
    }
  }
}

extension AuditRow {
  fileprivate init(_ r: [SQLValue]) {
    self.init(
      number: r[0].integer ?? 0, at: Timestamp(milliseconds: r[1].integer ?? 0), actor: r[2].text ?? "", act: r[3].text ?? "",
      subject: r[4].text ?? "", details: r[5].blob ?? [], hash: r[6].blob ?? [], signature: r[7].blob ?? [])
  }
}

extension ActivitySegment {
  fileprivate init(_ r: [SQLValue]) {
    self.init(
      number: r[0].integer ?? 0, first: Timestamp(milliseconds: r[1].integer ?? 0),
      last: Timestamp(milliseconds: r[2].integer ?? 0), count: Int(r[3].integer ?? 0), records: r[4].blob ?? [])
  }
}
