import Audit
import Domain
import Primitives
import Testing

struct AlertTests {
  private let start: Int64 = 1_800_000_000_000
  private func at(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: start + seconds * 1000) }

  private func entry(_ act: String, _ subject: String = "key/a", _ seconds: Int64 = 0, _ details: [String: String] = [:])
    -> AuditEntry
  {
    AuditEntry(number: 1, at: at(seconds), actor: "gateway", act: act, subject: subject, details: details)
  }

  private var channel: AlertChannel { AlertChannel(.webhook, place: "https://a.example/x") }

  private func book(_ entries: [AuditEntry], _ channels: [String: AlertChannel], _ silences: [Silence] = []) -> AlertBook {
    var book = AlertBook()
    for (n, entry) in entries.enumerated() { _ = book.take(entry, id: "id\(n)", channels: channels, silences: silences) }
    return book
  }

  @Test("the same of the same thing is one alert, told once, and again only after a while") func deduplication() throws {
    let channels = ["a": channel]
    var book = book([entry("event.leaked"), entry("event.leaked", "key/a", 5), entry("event.leaked", "key/b", 6)], channels)
    #expect(book.alerts.count == 2 && book.alerts["id0"]?.count == 2)
    #expect(book.due("a", at: at(9)).isEmpty)
    // With the first that is due goes the one that waits.
    #expect(book.due("a", at: at(10)).map(\.id) == ["id0", "id2"])
    _ = book.note(["id0", "id2"], "a", trouble: nil, at: at(10))
    _ = book.take(entry("event.leaked", "key/a", 20), id: "x", channels: channels, silences: [])
    #expect(book.alerts["id0"]?.count == 3 && book.due("a", at: at(3600)).isEmpty)
    #expect(book.due("a", at: at(10 + 4 * 3600)).map(\.id) == ["id0"])
  }

  @Test("a channel is told only of what it asked for, and nobody of what is no alert") func filters() {
    var strict = channel
    strict.severity = .critical
    var leaks = channel
    (leaks.severity, leaks.acts) = (.info, ["event.leaked", "vault"])
    let acts = ["event.leaked", "event.trigger", "event.guessing", "vault.unseal", "vault.rotate_root", "key.create", "revoke"]
    let book = book(
      acts.map { entry($0, $0, 0, ["then": "alert", "shadow": "false"]) }, ["strict": strict, "leaks": leaks, "all": channel])
    func told(_ name: String) -> Set<String> { Set(book.due(name, at: at(60)).map(\.act)) }
    #expect(told("strict") == ["event.leaked"])
    #expect(told("leaks") == ["event.leaked", "vault.unseal", "vault.rotate_root"])
    #expect(told("all") == ["event.leaked", "event.trigger", "event.guessing", "vault.rotate_root"])
  }

  @Test("what a silence covers is remembered and told to nobody, until the silence ends") func silences() {
    let silence = Silence(act: "event.leaked", subject: "key/a", until: start + 100_000, reason: "known")
    let book = book(
      [entry("event.leaked"), entry("event.leaked", "key/b"), entry("event.guessing"), entry("event.leaked", "key/a", 200)],
      ["a": channel], [silence])
    #expect(book.due("a", at: at(300)).map(\.subject).sorted() == ["key/a", "key/a", "key/b"])
    #expect(book.alerts["id0"]?.count == 2 && book.alerts["id0"]?.isSilenced == false)
    let before = self.book([entry("event.leaked")], ["a": channel], [silence])
    #expect(before.due("a", at: at(300)).isEmpty && before.alerts["id0"]?.isSilenced == true)
  }

  @Test("what could not be told is told later and later, and never given up") func backOff() {
    var book = book([entry("event.leaked")], ["a": channel])
    var now: Int64 = 10
    var waits: [Int64] = []
    for _ in 0..<9 {
      _ = book.note(["id0"], "a", trouble: "away", at: at(now))
      let due = (now...(now + 4000)).first { !book.due("a", at: at($0)).isEmpty } ?? -1
      waits.append(due - now)
      now = due
    }
    #expect(waits == [5, 15, 60, 300, 900, 3600, 3600, 3600, 3600])
    #expect(book.alerts["id0"]?.tellings["a"]?.trouble == "away")
    _ = book.note(["id0"], "a", trouble: nil, at: at(now))
    #expect(book.due("a", at: at(now + 99_999)).isEmpty)
  }

  @Test("what nobody acknowledges goes on to the next channel, and what somebody does, does not") func escalation() throws {
    var first = channel
    first.escalation = .init(channel: "second", seconds: 300)
    var second = channel
    second.acts = ["nothing"]
    let channels = ["first": first, "second": second]
    var book = book([entry("event.leaked"), entry("event.guessing")], channels)
    _ = book.note(["id0", "id1"], "first", trouble: nil, at: at(10))
    _ = try book.set(.acknowledged, "id1", by: "ann")
    #expect(book.escalate(channels, at: at(309)).isEmpty)
    #expect(book.escalate(channels, at: at(310)).map(\.id) == ["id0"])
    #expect(book.escalate(channels, at: at(400)).isEmpty)
    #expect(book.due("second", at: at(310)).map(\.id) == ["id0"])
  }

  @Test("an acknowledged alert is counted and not told; after a resolved one the same is a new one") func states() throws {
    let channels = ["a": channel]
    var book = book([entry("event.leaked")], channels)
    #expect(try book.set(.acknowledged, "id0", by: "ann").by == "ann")
    #expect(book.due("a", at: at(60)).isEmpty)
    _ = book.take(entry("event.leaked", "key/a", 30_000), id: "x", channels: channels, silences: [])
    #expect(book.alerts["id0"]?.count == 2 && book.due("a", at: at(60_000)).isEmpty)
    _ = try book.set(.resolved, "id0", by: "ann")
    _ = book.take(entry("event.leaked", "key/a", 30_001), id: "new", channels: channels, silences: [])
    #expect(book.due("a", at: at(60_000)).map(\.id) == ["new"])
    #expect(throws: Fault(.conflict, "")) { _ = try book.set(.acknowledged, "id0", by: "bob") }
    #expect(throws: Fault(.notFound, "")) { _ = try book.set(.resolved, "nothing", by: "bob") }
  }

  @Test("a book that is read back goes on where it was") func readBack() {
    let channels = ["a": channel]
    let book = book([entry("event.leaked"), entry("event.guessing")], channels)
    var again = AlertBook(Array(book.alerts.values))
    _ = again.take(entry("event.leaked", "key/a", 3), id: "x", channels: channels, silences: [])
    #expect(again.alerts.count == 2 && again.alerts["id0"]?.count == 2)
    #expect(again.due("a", at: at(60)).count == 2)
  }

  @Test("resolved alerts are forgotten when there are too many, open ones never") func tidying() throws {
    var book = AlertBook()
    for n in 0..<(AlertBook.resolvedMax + 20) {
      _ = book.take(entry("event.leaked", "key/\(n)", Int64(n)), id: "id\(n)", channels: [:], silences: [])
      if n >= 10 { _ = try book.set(.resolved, "id\(n)", by: "ann") }
    }
    #expect(Set(book.tidy([])) == Set((10..<20).map { "id\($0)" }))
    #expect(book.alerts.count == AlertBook.resolvedMax + 10 && book.alerts["id0"] != nil)
  }

  @Test(
    "a channel that makes no sense is refused",
    arguments: [
      { $0.place = "" }, { $0.place = "ftp://x" }, { $0.place = "http://example.com/x" }, { $0.group = -1 }, { $0.group = 3601 },
      { $0.again = 59 }, { $0.acts = [""] }, { $0.from = "a@b" }, { $0.escalation = .init(channel: "x", seconds: 1) },
      { ($0.kind, $0.place) = (.command, "../x") }, { ($0.kind, $0.place) = (.email, "smtp://h:25") },
      { ($0.kind, $0.place, $0.from, $0.to) = (.email, "http://h", "a@b", ["c@d"]) },
      { ($0.kind, $0.place, $0.from, $0.to) = (.email, "smtp://h:25", "a@b", ["c\r\n@d"]) },
      { ($0.kind, $0.place, $0.from, $0.to) = (.email, "smtp://h:25", "a", ["c@d"]) },
    ] as [@Sendable (inout AlertChannel) -> Void])
  func nonsense(edit: @Sendable (inout AlertChannel) -> Void) throws {
    try channel.validate()
    var channel = channel
    edit(&channel)
    #expect(throws: Fault(.invalidInput, "")) { try channel.validate() }
  }
}
