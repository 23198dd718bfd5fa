public import Primitives

/// Content of requests, sealed.
public struct CaptureRow: Sendable {
  /// Counts them, starting at 1; 0 before it is kept.
  public var number: Int64
  public var at: Timestamp
  public var key: RecordID
  public var status: UInt16
  public var sealed: [UInt8]
  public init(number: Int64 = 0, at: Timestamp, key: RecordID, status: UInt16, sealed: [UInt8]) {
    (self.number, self.at, self.key, self.status, self.sealed) = (number, at, key, status, sealed)
  }
}

/// Captured content.
public protocol CaptureStore: AnyObject, Sendable {
  func append(_ row: CaptureRow) throws(Fault)
  /// Those below `number`, of one key or of all, the latest first, as long as `body` returns true.
  func forEachCapture(of key: RecordID?, before number: Int64, _ body: (CaptureRow) -> Bool) throws(Fault)
  /// Replaces what is sealed in one.
  func resealCapture(_ number: Int64, _ sealed: [UInt8]) throws(Fault)
  /// Erases those that are older than `moment`, and all but the latest `count`.
  func deleteCaptures(before moment: Timestamp, keeping count: Int64) throws(Fault)
  func deleteCaptures(of key: RecordID) throws(Fault)
}

extension SQLiteStore {
  public func append(_ row: CaptureRow) throws(Fault) {
    try database.run(
      "INSERT INTO capture(at, key_id, status, sealed) VALUES(?1, ?2, ?3, ?4)",
      [.integer(row.at.milliseconds), .text(row.key.description), .integer(Int64(row.status)), .blob(row.sealed)])
  }

  public func forEachCapture(of key: RecordID?, before number: Int64, _ body: (CaptureRow) -> Bool) throws(Fault) {
    try database.query(
      """
      SELECT number, at, key_id, status, sealed FROM capture WHERE number < ?1 AND (?2 = '' OR key_id = ?2) ORDER BY number DESC
      """, [.integer(number), .text(key?.description ?? "")]
    ) { r in
      guard let key = r[2].text.flatMap({ RecordID($0) }) else { return true }
      return body(
        CaptureRow(
          number: r[0].integer ?? 0, at: Timestamp(milliseconds: r[1].integer ?? 0), key: key,
          status: UInt16(clamping: r[3].integer ?? 0), sealed: r[4].blob ?? []))
    }
  }

  public func resealCapture(_ number: Int64, _ sealed: [UInt8]) throws(Fault) {
    try database.run("UPDATE capture SET sealed = ?2 WHERE number = ?1", [.integer(number), .blob(sealed)])
  }

  public func deleteCaptures(before moment: Timestamp, keeping count: Int64) throws(Fault) {
    try database.run(
      "DELETE FROM capture WHERE at < ?1 OR number <= (SELECT coalesce(max(number), 0) FROM capture) - ?2",
      [.integer(moment.milliseconds), .integer(count)])
  }

  public func deleteCaptures(of key: RecordID) throws(Fault) {
    try database.run("DELETE FROM capture WHERE key_id = ?1", [.text(key.description)])
  }
}
