import Domain
import FoundationEssentials
import Primitives
import TestSupport
import Testing

struct CalendarTests {
  private func at(_ text: String) -> Timestamp { Timestamp(rfc3339: text)! }

  @Test(
    "a window starts and ends with its calendar, on days with 23, 24 and 25 hours",
    arguments: [
      (Budget.Window.day, "UTC", "2026-11-25T13:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"),
      (.day, "Europe/Berlin", "2026-11-25T23:30:00Z", "2026-11-25T23:00:00Z", "2026-11-26T23:00:00Z"),
      (.day, "Europe/Berlin", "2027-03-28T12:00:00Z", "2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"),
      (.day, "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
      (.week, "UTC", "2026-11-25T13:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
      (.month, "America/New_York", "2026-12-01T03:00:00Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
      (.quarter, "UTC", "2026-11-25T13:00:00Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"),
      (.year, "Asia/Kolkata", "2026-11-25T13:00:00Z", "2025-12-31T18:30:00Z", "2026-12-31T18:30:00Z"),
      (.hour, "Asia/Kolkata", "2026-11-25T13:00:00Z", "2026-11-25T13:00:00Z", "2026-11-25T14:00:00Z"),
      // A clock that jumps over midnight: the day starts when it is there.
      (.day, "America/Asuncion", "2024-10-06T12:00:00Z", "2024-10-06T04:00:00Z", "2024-10-07T03:00:00Z"),
    ])
  func spans(window: Budget.Window, zone: String, moment: String, start: String, end: String) throws {
    let span = BudgetCalendar(window, try ZoneRules(named: zone)).span(at: at(moment))
    #expect(Timestamp(milliseconds: span.start) == at(start) && Timestamp(milliseconds: span.end) == at(end), "\(span)")
  }

  @Test("windows follow each other without a gap, in every zone, through all changes of the clock") func gapless() throws {
    for zone in [
      "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "America/Asuncion", "Asia/Tehran",
    ] {
      let rules = try ZoneRules(named: zone)
      for window in Budget.Window.allCases where window != .total {
        let calendar = BudgetCalendar(window, rules)
        var span = calendar.span(at: at("2023-12-31T00:00:00Z"))
        for _ in 0..<(window == .hour ? 20_000 : 800) {
          let next = calendar.span(at: Timestamp(milliseconds: span.end))
          #expect(next.start == span.end && next.end > next.start, "\(zone) \(window) \(span) \(next)")
          #expect(calendar.span(at: Timestamp(milliseconds: next.end - 1)) == next)
          span = next
        }
      }
    }
  }

  @Test("hours are those of the zone's own clock, past midnight too") func hours() throws {
    let office = try #require(Hours("mon-fri 08:00-18:00 Europe/Berlin"))
    #expect(office.days == 0b11111 && office.contains(day: 0, minute: 480) && !office.contains(day: 0, minute: 1080))
    #expect(!office.contains(day: 5, minute: 600))
    let night = try #require(Hours("fri,sat 22:00-04:00 UTC"))
    #expect(night.contains(day: 4, minute: 1320) && night.contains(day: 5, minute: 239) && night.contains(day: 6, minute: 10))
    #expect(!night.contains(day: 4, minute: 10) && !night.contains(day: 6, minute: 1400))
    #expect(try #require(Hours("sat-mon 00:00-24:00 UTC")).days == 0b1100001)
  }

  @Test(
    "spans of hours that say nothing clear are refused",
    arguments: [
      "", "mon", "mon 08:00", "mon 8:00-18:00 UTC", "mon 08:00-18:00", "mon 08:00-08:00 UTC", "xyz 08:00-18:00 UTC",
      "mon 08:60-18:00 UTC", "mon 24:00-25:00 UTC", "mon  08:00-18:00 UTC", "mon-tue-wed 08:00-18:00 UTC",
      "mon 08:00-18:00 ../../etc/passwd", "mon 08:00-18:00 /etc/passwd", "Mon 08:00-18:00 UTC",
    ])
  func badHours(text: String) { #expect(Hours(text) == nil) }

  @Test("a zone that is not there is named, with what to do") func zones() {
    for zone in ["Europe/Atlantis", "../passwd", "/etc/localtime", "Europe/../UTC", "", "tzdata.zi", "Europe"] {
      #expect(throws: Fault(.notFound, "")) { _ = try ZoneRules(named: zone) }
    }
  }

  @Test("every zone of the database is read, to the end of the century") func everyZone() throws {
    let list = try Corpora.text("/usr/share/zoneinfo/tzdata.zi")
    var zones = Set(list.split(separator: "\n").filter { $0.hasPrefix("Z ") }.map { String($0.split(separator: " ")[1]) })
    zones.formIntersection(zones.filter { ZoneRules.isName($0) })
    #expect(zones.count > 200)
    var checked = 0
    for zone in zones {
      let rules = try ZoneRules(named: zone)
      // Every change is one of at most 26 hours, and is where two neighbouring days differ.
      var last = rules.offset(at: 0)
      for day in stride(from: Int64(0), to: 40_000, by: 1) {
        let offset = rules.offset(at: day * 86_400)
        #expect(abs(offset) <= 26 * 3600 && abs(offset - last) <= 24 * 3600, "\(zone) on day \(day)")
        if offset != last { checked += 1 }
        last = offset
      }
    }
    #expect(checked > 10_000)
  }
}

struct BudgetTests {
  @Test(
    "budgets that mean nothing are refused",
    arguments: [
      Budget(name: "Bad Name", amount: NanoDollars(1), window: .day), Budget(name: "b", amount: NanoDollars(0), window: .day),
      Budget(name: "b", amount: NanoDollars(-1), window: .day),
      Budget(name: "b", amount: NanoDollars(1), window: .total, isRolling: true),
      Budget(name: "b", amount: NanoDollars(1), window: .total, rollsOver: true),
      Budget(name: "b", amount: NanoDollars(1), window: .day, isRolling: true, rollsOver: true),
      Budget(name: "b", amount: NanoDollars(1), window: .day, models: []),
      Budget(name: "b", amount: NanoDollars(1), window: .day, alerts: [80, 50]),
      Budget(name: "b", amount: NanoDollars(1), window: .day, alerts: [0]),
      Budget(name: "b", amount: NanoDollars(1), window: .day, raise: Budget.Raise(amount: NanoDollars(0), until: 1)),
      Budget(name: "b", amount: NanoDollars(.max), window: .day),
    ])
  func validation(budget: Budget) { #expect(throws: Fault(.invalidInput, "")) { try budget.validate() } }

  @Test("dollars are read and written exactly, and never through a floating-point number") func dollars() throws {
    for (text, count) in [("0", 0), ("12", 12_000_000_000), ("0.000000001", 1), ("0.25", 250_000_000), ("3.10", 3_100_000_000)] {
      #expect(NanoDollars(dollars: text)?.count == Int64(count))
    }
    for bad in ["", "-1", "+1", "1.", ".5", "1.0000000001", "1e3", "1,5", "0x1", "1 ", "$1", "١", "1000000000"] {
      #expect(NanoDollars(dollars: bad) == nil || bad == "1.", "\(bad)")
    }
    let random = SeededRandomness(seed: 3)
    for _ in 0..<1000 {
      let amount = NanoDollars(Int64(random.next() % 1_000_000_000_000_000_000))
      #expect(NanoDollars(dollars: amount.dollars) == amount)
    }
    #expect(NanoDollars(-1_500_000_000).dollars == "-1.50")
  }
}

struct PathTemplateTests {
  @Test(
    "a path template stands for what it says and nothing else",
    arguments: [
      ("POST /v1/chat/completions", "POST", "/v1/chat/completions", true),
      ("POST /v1/chat/completions", "POST", "/chat/completions", true),
      ("POST /chat/completions", "POST", "/v1/chat/completions", true),
      ("POST /v1/chat/completions", "GET", "/v1/chat/completions", false),
      ("* /v1/models/*", "GET", "/v1/models/gpt-4o", true), ("* /v1/models/*", "GET", "/v1/models/", false),
      ("* /v1/models/*", "GET", "/v1/models/a/b", false), ("* /v1/models", "GET", "/v1/models/a", false),
      ("POST /models/*:generateContent", "POST", "/models/x:generateContent", false),
      ("POST /openai/deployments/*/chat/completions", "POST", "/openai/deployments/d/chat/completions", true),
      ("POST /openai/deployments/*/chat/completions", "POST", "/openai/deployments//chat/completions", false),
    ])
  func matches(template: String, method: String, path: String, expected: Bool) throws {
    let (m, p) = (Array(method.utf8), Array(path.utf8))
    let result = try #require(PathTemplate(template)).matches(m.span, p.span)
    #expect(result == expected)
  }

  @Test(
    "a name with slashes is one star, however it is written, and its parts can be named",
    arguments: [
      ("GET /v1/models/*", "/v1/models/a/b", 11..<14, true), ("GET /v1/models/*", "/v1/models/a%2Fb", 11..<16, true),
      ("GET /v1/models/*", "/models/a%2fb", 8..<13, true), ("GET /models/a/*", "/v1/models/a/b", 11..<14, true),
      ("GET /models/a/*", "/v1/models/a%2Fb", 11..<16, true), ("GET /models/a%2Fb", "/v1/models/a/b", 11..<14, true),
      ("GET /models/c/*", "/v1/models/a%2Fb", 11..<16, false), ("GET /models/a:b", "/v1/models/a%3Ab", 11..<16, true),
      ("GET /models/a%3Ab", "/v1/models/a:b", 11..<14, true), ("GET /models/*/c", "/v1/models/a/b/c", 11..<14, true),
      // What is no such name has no slashes.
      ("GET /v1/models/*", "/v1/models/x%2F..%2Ffiles", 0..<0, false), ("GET /v1/models/*", "/v1/models/x%2Fy", 0..<0, false),
    ])
  func names(template: String, path: String, name: Range<Int>, expected: Bool) throws {
    let (m, p) = (Array("GET".utf8), Array(path.utf8))
    let result = try #require(PathTemplate(template)).matches(m.span, p.span, name: name)
    #expect(result == expected)
  }

  @Test(
    "what is no template is refused",
    arguments: [
      "POST /v1//x", "POST /v1/", "POST /v1/..", "POST /./x", "POST /a%2e", "POST /a%", "POST /a%2F..%2Fb", "POST /a\\b", "",
      "/v1/models", "POST", "POST v1", "post /v1", "POST  /v1", "POST /v1?x", "POST /v1#x", "POST /é", "P0ST /v1",
    ])
  func bad(text: String) { #expect(PathTemplate(text) == nil) }

  @Test("a pattern covers another only when every name of the other is one of its own") func covers() {
    let globs = ["*", "gpt-4*", "gpt-4o", "gpt-?o", "*mini", "g*4*", "o?", "", "a*b", "??"]
    let names = ["", "gpt-4", "gpt-4o", "gpt-5o", "gpt-4o-mini", "mini", "o3", "o3-mini", "g4", "ab", "axb", "xx", "gpt-*o"]
    for outer in globs {
      for inner in globs where ModelGlob.covers(outer, inner) {
        for name in names {
          let (o, i, n) = (Array(outer.utf8), Array(inner.utf8), Array(name.utf8))
          let isInner = ModelGlob.matches(i.span, n.span)
          let isOuter = ModelGlob.matches(o.span, n.span)
          #expect(!isInner || isOuter, "'\(outer)' does not cover '\(inner)': \(name)")
        }
      }
    }
    #expect(ModelGlob.covers("gpt-4*", "gpt-4o*") && ModelGlob.covers("*", "a?b*") && !ModelGlob.covers("gpt-4?", "gpt-4*"))
  }
}
