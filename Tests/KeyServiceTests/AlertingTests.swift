import Audit
import Domain
import KeyService
import Primitives
import Providers
import Storage
import TestSupport
import Testing

struct AlertingTests: AtBench {
  let bench: Bench

  init() throws { bench = try Bench(seed: 13) }

  private func refuse(_ count: Int) throws {
    var batch = ActivityBatch()
    for _ in 0..<count {
      var record = ActivityRecord(start: clock.now)
      record.status = 401
      batch.append(record, provider: Span(), model: Span(), code: "unknown_key")
    }
    if let segment = batch.take() { try service.keep(segment) }
    try service.watchForAlerts()
  }

  private func spikes() throws -> Int { try service.auditLog().entries(AuditFilter(act: "event.refusals")).count }

  @Test("refusals beyond what is usual are an event, once a minute; usual ones, however many, are none") func refusals() throws {
    for _ in 0..<20 {
      try refuse(50)
      clock.advance(seconds: 60)
    }
    #expect(try spikes() == 0)
    try refuse(240)
    #expect(try spikes() == 0)
    try refuse(60)
    try refuse(500)
    #expect(try spikes() == 1)
    clock.advance(seconds: 60)
    try refuse(10)
    #expect(try spikes() == 1)
  }

  @Test("who asks for what is not theirs is written down once a minute, and who may is not") func forbidden() throws {
    let caller = Caller(name: "token/ann", permissions: [], team: nil)
    Caller.$current.withValue(caller) { for _ in 0..<5 { service.noteForbidden("POST /v1/keys") } }
    clock.advance(seconds: 61)
    Caller.$current.withValue(caller) { service.noteForbidden("POST /v1/keys") }
    let entries = try service.auditLog().entries(AuditFilter(act: "event.forbidden"))
    #expect(entries.map(\.subject) == ["token/ann", "token/ann"] && entries[0].details["asked"] == "POST /v1/keys")
  }

  @Test("an alert is kept with how far the record was read: a restart tells nothing twice and forgets nothing") func restart()
    throws
  {
    try service.noteUnsealed()
    #expect(try service.alerts().map(\.act) == ["vault.unseal"])
    Caller.$current.withValue(Caller(name: "token/ann", permissions: [], team: nil)) { service.noteForbidden("GET /v1/tokens") }
    // Not read yet when the process ends.
    let later = try again()
    try later.noteUnsealed()
    let alerts = try later.alerts()
    #expect(alerts.map(\.act).sorted() == ["event.forbidden", "vault.unseal"])
    #expect(alerts.first { $0.act == "vault.unseal" }?.count == 2)
  }
}
