import Audit
import Domain
import KeyService
import Primitives
import Storage
import TestSupport
import Testing

struct DamagedRecordsTests: AtBench {
  let bench: Bench
  init() throws { bench = try Bench(seed: 31) }

  @Test("stored rows that cannot be understood stop no start: they are told once, and doctor names them") func start()
    async throws
  {
    let key = try await service.createKey(name: "n", grant: Grant(policy: Policy(providers: ["openai"])), expiresAt: nil).key.id
    var record = ActivityRecord(start: clock.now)
    record.key = key
    var buffer = ByteBuffer(capacity: 64)
    ActivityEncoding.append(record, provider: "openai".utf8.span, model: "m".utf8.span, code: "", to: &buffer)
    let whole = buffer.copy()
    _ = try store.append(
      ActivitySegment(first: clock.now, last: clock.now, count: 2, records: whole + whole.dropLast(3)))
    try store.save(profiles: [(key, Array("{\"firstAt\":1e99}".utf8))], upTo: 0)
    try store.save(alerts: [("a", Array("not json".utf8))], upTo: 0)
    try store.save([
      AccountRow(name: "budget/b", start: .max, taken: .max, spent: Amount(-5), estimated: .max, carried: .max, alerted: .min),
      AccountRow(
        name: "budget/b", start: .min, taken: Amount(.min), spent: .max, estimated: 0, carried: Amount(.min), alerted: 0),
    ])
    let service = try again()
    try service.keep(ActivitySegment(first: clock.now, last: clock.now, count: 1, records: whole))
    try service.watch()
    try service.watchForAlerts()
    try service.takeAlerts()
    try service.watchForAlerts()
    try service.watchForAlerts()
    let told = try service.auditLog().entries(AuditFilter(act: "event.records_damaged"))
    #expect(told.count <= 2 && !told.isEmpty)
    let because = told.compactMap { $0.details["because"] }.joined(separator: " ")
    #expect(because.contains("1 segments of activity") && because.contains("1 profiles of keys"), "\(because)")
    let checks = await service.checkUp()
    let check = try #require(checks.first { $0.what == "records" })
    #expect(check.verdict == .warning && check.finding.contains("segments of activity"), "\(check)")
  }

  @Test("where all can be read, nothing is told and doctor says so") func whole() async throws {
    try service.watchForAlerts()
    #expect(try service.auditLog().entries(AuditFilter(act: "event.records_damaged")).isEmpty)
    #expect(await service.checkUp().first { $0.what == "records" }?.verdict == .good)
  }
}
