public import Primitives

/// What people have to be told, as documents.
public protocol AlertStore: AnyObject, Sendable {
  /// All of them, and up to which act they were made; nil before the first time.
  func alerts() throws(Fault) -> (bodies: [[UInt8]], upTo: Int64?)
  /// Inserts or replaces, and erases where there is no body; all or nothing.
  func save(alerts: [(id: String, body: [UInt8]?)], upTo: Int64) throws(Fault)
}

extension SQLiteStore {
  public func alerts() throws(Fault) -> (bodies: [[UInt8]], upTo: Int64?) {
    var bodies: [[UInt8]] = []
    var upTo: Int64?
    try database.query("SELECT body FROM alert") { r in
      if let body = r[0].blob { bodies.append(body) }
      return true
    }
    try database.query("SELECT up_to FROM alert_state") { r in
      upTo = r[0].integer
      return false
    }
    return (bodies, upTo)
  }

  public func save(alerts: [(id: String, body: [UInt8]?)], upTo: Int64) throws(Fault) {
    try database.transaction { () throws(Fault) in
      for (id, body) in alerts {
        if let body {
          try database.run(
            "INSERT INTO alert(id, body) VALUES(?1, ?2) ON CONFLICT(id) DO UPDATE SET body = ?2", [.text(id), .blob(body)])
        } else {
          try database.run("DELETE FROM alert WHERE id = ?1", [.text(id)])
        }
      }
      try database.run(
        "INSERT INTO alert_state(one, up_to) VALUES(1, ?1) ON CONFLICT(one) DO UPDATE SET up_to = ?1", [.integer(upTo)])
    }
  }
}
