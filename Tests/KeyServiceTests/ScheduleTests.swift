import Audit
import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import Storage
import Synchronization
import TestSupport
import Testing
import Vault

struct ScheduleTests: AtBench {
  /// Remembers what was written where, and fails when told to.
  private final class Files: Alone {
    struct State {
      var written: [(path: String, content: [UInt8], mode: UInt32)] = []
      var isFailing = false
    }
    let state = Mutex(State())
    func write(_ content: [UInt8], to path: String, mode: UInt32, owner: String?) async throws(Fault) {
      let isFailing = state.withLock { $0.isFailing }
      if isFailing { throw Fault(.system, "the disk is full") }
      state.withLock { $0.written.append((path, content, mode)) }
    }
    var last: [UInt8]? { state.withLock { $0.written.last.map { Array($0.content.dropLast()) } } }
    var count: Int { state.withLock { $0.written.count } }
    func fail(_ isFailing: Bool) { state.withLock { $0.isFailing = isFailing } }
  }

  private let files = Files()
  let bench: Bench

  init() throws {
    bench = try Bench(seed: 12, outside: files)
    try service.setDestination("disk", Destination(.file, place: "/run/{key}"), secret: nil)
  }

  private func create(team: String? = nil, expires: Timestamp? = nil) async throws -> (RecordID, [UInt8]) {
    let created = try await service.createKey(
      name: "n", grant: Grant(policy: Policy(providers: ["openai"]), team: team), expiresAt: expires)
    return (created.key.id, [UInt8](copying: created.secret.text.span))
  }

  private func schedule(every: Int64 = 86_400, grace: Int64 = 3600, spread: Int64 = 0) -> RotationSchedule {
    RotationSchedule(every: every, cron: nil, grace: grace, spread: spread, destinations: ["disk"])
  }

  /// One turn of the server's watch.
  private func turn(_ service: KeyService? = nil) async throws -> [Notice] {
    let service = service ?? self.service
    var notices = try await service.keepSchedules()
    for id in service.deliveriesDue() { notices += try await service.deliver(id) }
    return notices
  }

  @Test("a key is rotated when it is due, its new secret brought, and the grace period begins when it is there") func due()
    async throws
  {
    let (id, old) = try await create()
    try service.setSchedule("key/\(id)", schedule())
    #expect(try await turn() == [] && files.count == 0)
    clock.advance(seconds: 86_399)
    #expect(try await turn() == [] && files.count == 0)
    clock.advance(seconds: 1)
    files.fail(true)
    #expect(try await turn().map(\.subject) == ["key/\(id)"])
    // It could not be brought: the old one goes on for as long as it takes.
    clock.advance(seconds: 30 * 86_400)
    #expect(sink.refusal(old, at: clock.now) == nil)
    files.fail(false)
    #expect(try await turn() == [])
    let new = try #require(files.last)
    #expect(MaskedKeyFormat.keyID(of: new.span) == id && sink.refusal(new, at: clock.now) == nil)
    #expect(sink.refusal(old, at: clock.now + 3599) == nil && sink.refusal(old, at: clock.now + 3600) == .retiredVersion)
    #expect(try service.key(id).details.version == 2 && service.key(id).details.renewal == nil)
  }

  @Test("after a crash between rotating and bringing, the same secret is brought") func resumed() async throws {
    let (id, old) = try await create()
    try service.setSchedule("key/\(id)", schedule())
    clock.advance(seconds: 86_400)
    _ = try await service.keepSchedules()  // rotated, and the process dies before it is brought
    let again = try self.again(outside: files)
    #expect(try await turn(again) == [])
    let new = try #require(files.last)
    #expect(try again.key(id).details.version == 2)
    #expect(sink.refusal(new, at: clock.now) == nil && sink.refusal(old, at: clock.now) == nil)
    clock.advance(seconds: 3600)
    #expect(try await turn(again) == [] && files.count == 1)
  }

  @Test("what cannot be brought is tried again after one, two, four minutes, at most an hour") func backOff() async throws {
    let (id, _) = try await create()
    try service.setSchedule("key/\(id)", schedule())
    clock.advance(seconds: 86_400)
    files.fail(true)
    var attempts: [Int64] = []
    for second in 0..<(4 * 3600) {
      if try await !turn().isEmpty { attempts.append(Int64(second)) }
      clock.advance(seconds: 1)
    }
    #expect(zip(attempts, attempts.dropFirst()).map { $1 - $0 } == [60, 120, 240, 480, 960, 1920, 3600, 3600])
    #expect(try service.key(id).details.version == 2, "rotated once")
  }

  @Test("a key's own schedule comes before its policy's and its team's, and keys of one schedule are spread") func scopes()
    async throws
  {
    try await service.setTeam("red", Policy(providers: ["openai"]))
    var ids: [RecordID] = []
    for _ in 0..<50 { ids.append(try await create(team: "red").0) }
    try service.setSchedule("team/red", schedule(every: 86_400, spread: 3600))
    try service.setSchedule("key/\(ids[0])", schedule(every: 100))
    let dues = try ids.map { try #require(service.nextRotation(of: try service.key($0))).milliseconds - clock.now.milliseconds }
    #expect(dues[0] == 100_000)
    #expect(dues[1...].allSatisfy { (86_400_000..<90_000_000).contains($0) })
    #expect(Set(dues[1...].map { $0 / 1000 }).count > 40, "not all at the same second")
    try service.removeSchedule("key/\(ids[0])")
    #expect(try #require(service.nextRotation(of: try service.key(ids[0]))).milliseconds >= clock.now.milliseconds + 86_400_000)
    clock.advance(seconds: 90_000)
    for _ in 0..<3 { _ = try await turn() }
    #expect(files.count == 50)
  }

  @Test("a key that was revoked on the way is not brought anywhere") func revoked() async throws {
    let (id, _) = try await create()
    try service.setSchedule("key/\(id)", schedule())
    clock.advance(seconds: 86_400)
    _ = try await service.keepSchedules()
    _ = try await service.changeKey(id, .revoke)
    #expect(try await turn() == [] && files.count == 0)
    clock.advance(seconds: 86_400)
    #expect(try await turn() == [] && files.count == 0)
  }

  @Test("a key is warned of seven, three and one days before its end, once each, and again when it gets another") func warnings()
    async throws
  {
    let (id, _) = try await create(expires: clock.now + 10 * 86_400)
    let (short, _) = try await create(expires: clock.now + 3600)
    var told: [Int: [Notice]] = [:]
    for hour in 0..<(10 * 24) {
      let notices = try await turn()
      if !notices.isEmpty { told[hour] = notices }
      clock.advance(seconds: 3600)
    }
    #expect(told.keys.sorted() == [72, 168, 216])
    #expect(told.values.joined().allSatisfy { $0.subject == "key/\(id)" }, "not of \(short), which was made for an hour")
    let (other, _) = try await create(expires: clock.now + 5 * 86_400)
    #expect(try await turn() == [], "made for less than a week")
    _ = try await service.setExpiry(other, clock.now + 8 * 86_400)
    #expect(try await turn() == [])
    clock.advance(seconds: 86_400)
    #expect(try await turn().count == 1)
    await #expect(throws: Fault(.invalidInput, "")) { _ = try await service.setExpiry(other, clock.now) }
  }

  @Test("ends of grace periods and keys come into force by themselves") func time() async throws {
    let (id, old) = try await create(expires: clock.now + 100)
    _ = try await service.rotateKey(id, grace: 50)
    let before = sink.last.withLock { $0?.generation }
    await service.takeTime()
    #expect(sink.last.withLock { $0?.generation } == before)
    clock.advance(seconds: 50)
    await service.takeTime()
    #expect(sink.last.withLock { $0?.generation } != before, "streams are decided again")
    #expect(sink.refusal(old, at: clock.now) == .retiredVersion)
  }

  @Test("a trigger rotates a key whose schedule says where to, and no other") func byTrigger() async throws {
    try await service.setTrigger("leaked", Trigger(.leaked, then: .rotate, isShadow: false))
    let (id, old) = try await create()
    let report = [LeakReport(token: old, place: "p", source: "s")]
    #expect(try await service.reportLeaks(report).outcomes.map(\.did) == [nil])
    try service.setSchedule("key/\(id)", schedule(grace: 0))
    #expect(try await service.reportLeaks(report).outcomes.map(\.did) == ["rotating"])
    _ = try await turn()
    #expect(sink.refusal(old, at: clock.now) == .retiredVersion)
    #expect(sink.refusal(try #require(files.last), at: clock.now) == nil)
    #expect(try service.auditLog().entries(AuditFilter(act: "event.trigger_failed")).count == 1)
  }

  @Test("a destination's credential opens for its own host only, and is needed again when the host changes") func credentials()
    async throws
  {
    var hook = Destination(.webhook, place: "https://a.example.com/x")
    #expect(throws: Fault(.invalidInput, "")) { try service.setDestination("hook", hook, secret: nil) }
    try service.setDestination("hook", hook, secret: Array("made-up-secret".utf8))
    hook.place = "https://a.example.com/y"
    try service.setDestination("hook", hook, secret: nil)
    hook.place = "https://b.example.com/y"
    #expect(throws: Fault(.invalidInput, "")) { try service.setDestination("hook", hook, secret: nil) }
  }

  @Test("schedules that cannot work are refused") func refused() async throws {
    let (id, _) = try await create()
    var bad: [RotationSchedule] = []
    var s = schedule()
    s.cron = try CronExpression("0 3 * * *")
    bad.append(s)
    bad.append(RotationSchedule(every: nil, cron: nil, grace: 0, spread: 0, destinations: ["disk"]))
    bad.append(schedule(every: 59))
    bad.append(schedule(grace: -1))
    bad.append(schedule(every: 100, spread: 100))
    bad.append(RotationSchedule(every: 100, cron: nil, grace: 0, spread: 0, destinations: []))
    for schedule in bad {
      #expect(throws: Fault(.invalidInput, "")) { try service.setSchedule("key/\(id)", schedule) }
    }
    for (scope, fault) in [
      ("key/short", Fault(.invalidInput, "")), ("team/none", Fault(.notFound, "")), ("x", Fault(.invalidInput, "")),
      ("node/a", Fault(.invalidInput, "")),
    ] {
      #expect(throws: fault) { try service.setSchedule(scope, schedule()) }
    }
    var elsewhere = schedule()
    elsewhere.timeZone = "Mars/Olympus"
    #expect(throws: Fault(.notFound, "")) { try service.setSchedule("key/\(id)", elsewhere) }
    elsewhere = schedule()
    elsewhere.destinations = ["nowhere"]
    #expect(throws: Fault(.notFound, "")) { try service.setSchedule("key/\(id)", elsewhere) }
    try service.setSchedule("key/\(id)", schedule())
    #expect(throws: Fault(.conflict, "")) { try service.removeDestination("disk") }
  }

  @Test("places that lead astray are refused", arguments: ["relative", "/a/../b", "/x\u{7}"]) func places(place: String) {
    #expect(throws: Fault(.invalidInput, "")) { try service.setDestination("bad", Destination(.file, place: place), secret: nil) }
  }

  @Test("a name of a key does not choose a place") func names() async throws {
    try service.setDestination("disk", Destination(.file, place: "/run/{name}"), secret: nil)
    let created = try await service.createKey(
      name: "../../etc/passwd", grant: Grant(policy: Policy(providers: ["openai"])), expiresAt: nil)
    try service.setSchedule("key/\(created.key.id)", schedule())
    clock.advance(seconds: 86_400)
    #expect(try await turn().count == 1 && files.count == 0)
  }
}
