import Audit
import Primitives
import Storage

/// Stored rows that cannot be understood, which are set aside: counted, told once by an event, and never a reason to stop.
struct DamagedRecords: Equatable {
  var records = ActivityEncoding.Damage()
  var profiles: Count = 0
  var alerts: Count = 0

  var isNone: Bool { self == DamagedRecords() }

  /// One clause for people.
  var text: String {
    let parts = [
      (records.doubtful, "requests with numbers that cannot be true"),
      (records.cutShort, "segments of activity that cannot be read to their end"),
      (profiles, "profiles of keys that cannot be read"), (alerts, "alerts that cannot be read"),
    ]
    return parts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
  }
}

extension KeyService {
  /// Looks through all activity for records that cannot be understood, in pieces, while everything goes on.
  func checkRecords() async throws(Fault) -> Check {
    var found = damaged
    var records = ActivityEncoding.Damage()
    try await forEachSegment(from: Timestamp(milliseconds: .min)) { segment in
      records += ActivityEncoding.forEach(in: segment.records) { _, _, _, _ in }
    }
    found.records = records
    guard !found.isNone else { return Check("records", .good, "all that was kept of requests can be read") }
    return Check(
      "records", .warning, "\(found.text); they are left out of sums and triggers",
      mend: "the rest is whole; find out what wrote into the store, and see docs/operations.md")
  }
}
