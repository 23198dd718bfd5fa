import Audit
import Domain
import Primitives
import Providers
import TestSupport
import Testing

/// Requests as a fleet of services, people and nightly jobs makes them, from a seed.
private struct Traffic {
  let random: SeededRandomness
  /// 2026-03-02, a Monday.
  static let start: Int64 = 1_772_409_600_000
  static let day: Int64 = 86_400_000

  func number(_ bound: Int) -> Int { Int(random.bytes(4).reduce(0) { $0 << 8 | UInt64($1) } % UInt64(bound)) }

  static func id(_ n: Int) -> RecordID { RecordID("K" + String(repeating: "0", count: 9) + String(n + 10))! }

  static func entry(
    _ key: Int, at: Int64, from host: String = "10.0.0.7", model: String = "gpt-4o", tokens: Int64 = 500, cost: Int64 = 2_000_000,
    code: String = "", version: UInt32 = 1
  ) -> ActivityEntry {
    var record = ActivityRecord(start: Timestamp(milliseconds: at))
    record.key = id(key)
    record.keyVersion = version
    record.address = NetworkAddress(host)
    record.outcome = code.isEmpty ? .completed : .refused
    record.status = code.isEmpty ? 200 : 401
    if code.isEmpty {
      record.usage = Usage(input: TokenCount(tokens / 2), output: TokenCount(tokens / 2))
      record.cost = NanoDollars(cost)
    }
    return ActivityEntry(
      place: ActivityPlace(start: record.start, segment: 0, index: 0), record: record, provider: "openai",
      model: code.isEmpty ? model : "", code: code)
  }

  /// A day (counted from the start) of twelve keys: four services around the clock from two hosts each, with a busy noon; six people
  /// on working days, 8 to 18 o'clock, with breaks, from home or the office, with a mistake now and then; two jobs at night.
  func day(_ n: Int) -> [ActivityEntry] {
    var entries: [ActivityEntry] = []
    let midnight = Self.start + Int64(n) * Self.day
    let isWorking = n % 7 < 5
    for key in 0..<4 {
      for minute in stride(from: number(3), to: 1440, by: 3) {
        let busy = (600..<900).contains(minute) ? 3 : 1
        for _ in 0..<(1 + number(busy)) {
          entries.append(
            Self.entry(
              key, at: midnight + Int64(minute) * 60_000 + Int64(number(60_000)), from: "10.0.\(key).\(1 + number(2))",
              model: number(4) == 0 ? "gpt-4o-mini" : "gpt-4o", tokens: 200 + Int64(number(1000)),
              cost: 1_000_000 + Int64(number(3_000_000))))
        }
      }
    }
    for key in 4..<10 where isWorking {
      let home = n % 5 == key % 5
      var minute = 480 + number(60)
      while minute < 1080 {
        for _ in 0..<(1 + number(6)) {
          let isRefused = number(40) == 0
          entries.append(
            Self.entry(
              key, at: midnight + Int64(minute) * 60_000 + Int64(number(60_000)),
              from: home ? "198.51.100.\(key)" : "10.9.0.\(key)",
              model: ["gpt-4o", "gpt-4o-mini", "o3"][number(3)], tokens: 100 + Int64(number(4000)),
              cost: Int64(number(30_000_000)), code: isRefused ? "rate_limited" : ""))
        }
        minute += 2 + number(25)
      }
    }
    for key in 10..<12 {
      for second in stride(from: 0, to: 1800, by: 2 + number(2)) {
        entries.append(Self.entry(key, at: midnight + 2 * 3_600_000 + Int64(second) * 1000, from: "10.7.0.\(key)", tokens: 800))
      }
    }
    return entries.sorted { $0.record.start < $1.record.start }
  }
}

struct TriggerTests {
  private let traffic = Traffic(random: SeededRandomness(seed: 33))
  private static let keys = (0..<13).map { Traffic.id($0) }
  private static func facts(_ id: RecordID) -> KeyFacts? {
    KeyFacts(
      team: "t", tags: ["a"], createdAt: Timestamp(milliseconds: Traffic.start - Traffic.day), isInUse: id != keys[12])
  }

  /// After so many days of ordinary traffic, which must not say anything.
  private func learned(_ days: Int, _ triggers: [String: Trigger] = Trigger.shipped) -> (TriggerEngine, Int64) {
    var engine = TriggerEngine(triggers)
    for n in 0..<days {
      let entries = traffic.day(n)
      let verdicts =
        engine.advance(to: entries[0].record.start, keys: Self.keys, Self.facts) + entries.flatMap { engine.take($0, Self.facts) }
      #expect(verdicts == [], "day \(n)")
    }
    return (engine, Traffic.start + Int64(days) * Traffic.day)
  }

  private func names(_ verdicts: [Verdict]) -> [String] { verdicts.map(\.trigger) }

  @Test("the shipped triggers only report, and stay silent over four weeks of ordinary traffic", arguments: [1, 2, 3, 4, 5])
  func silent(seed: UInt64) {
    for trigger in Trigger.shipped.values { #expect(trigger.isShadow) }
    #expect(Set(Trigger.shipped.values.map(\.when)) == Set(Trigger.Condition.allCases))
    let traffic = Traffic(random: SeededRandomness(seed: seed))
    var engine = TriggerEngine(Trigger.shipped)
    var count = 0
    for n in 0..<28 {
      for entry in traffic.day(n) {
        count += 1
        let verdicts = engine.advance(to: entry.record.start, keys: Self.keys, Self.facts) + engine.take(entry, Self.facts)
        #expect(verdicts == [])
      }
    }
    #expect(count > 50_000)
  }

  @Test("a decoy, a secret after its grace and an empty budget are told at once") func atOnce() {
    var engine = TriggerEngine(Trigger.shipped)
    for (code, name) in [
      ("decoy_key", "decoy-used"), ("retired_version", "used-after-grace"), ("budget_exhausted", "budget-reached"),
    ] {
      let verdicts = engine.take(Traffic.entry(0, at: Traffic.start, code: code), Self.facts)
      #expect(names(verdicts) == [name])
      #expect(verdicts[0].key == Traffic.id(0))
      #expect(
        names(engine.take(Traffic.entry(0, at: Traffic.start + 1000, code: code), Self.facts)) == [], "not twice within the hour")
      #expect(names(engine.take(Traffic.entry(0, at: Traffic.start + 3_600_000, code: code), Self.facts)) == [name])
    }
  }

  @Test("a leak is told at every report") func leaked() {
    var engine = TriggerEngine(Trigger.shipped)
    for _ in 0..<2 {
      let verdicts = engine.takeLeak(of: Traffic.id(3), place: "a.py:3", at: Timestamp(milliseconds: Traffic.start), Self.facts)
      #expect(names(verdicts) == ["leaked"] && verdicts[0].because == "found at a.py:3")
    }
  }

  @Test("a provider key that the provider refuses is told, also where another was taken instead") func providerKey() {
    var engine = TriggerEngine(Trigger.shipped)
    var entry = Traffic.entry(0, at: Traffic.start)
    entry.record.refusedProviderKey = RecordID("PPPPPPPPPPPP")!
    let verdicts = engine.take(entry, Self.facts)
    #expect(names(verdicts) == ["provider-key-refused"])
    #expect(verdicts[0].providerKey == RecordID("PPPPPPPPPPPP")! && verdicts[0].key == nil)
    #expect(engine.take(entry, Self.facts) == [])
  }

  @Test("a network and a model are new when the key has been learned, and not to what was refused") func new() {
    var (engine, now) = learned(10)
    #expect(names(engine.take(Traffic.entry(0, at: now, from: "203.0.113.9", code: "network_not_allowed"), Self.facts)) == [])
    let verdicts = engine.take(Traffic.entry(0, at: now, from: "203.0.113.9", model: "o1-pro"), Self.facts)
    #expect(names(verdicts) == ["new-network", "new-model"])
    #expect(verdicts[0].because.contains("203.0.113.0"))
    #expect(
      engine.take(Traffic.entry(0, at: now + 1, from: "203.0.113.77", model: "o1-pro"), Self.facts) == [], "the same network")
    // A young key has nothing usual yet.
    #expect(engine.take(Traffic.entry(11, at: now, from: "203.0.113.9"), { _ in nil }) == [])
    var young = TriggerEngine(Trigger.shipped)
    #expect(young.take(Traffic.entry(0, at: now), Self.facts) == [])
    #expect(young.take(Traffic.entry(0, at: now + 1000, from: "203.0.113.9", model: "o1"), Self.facts) == [])
  }

  @Test("a few requests, a pause and then many are a probe and a burst; many at once are not") func probe() {
    var (engine, now) = learned(3)
    var verdicts: [Verdict] = []
    for i in 0..<2 { verdicts += engine.take(Traffic.entry(5, at: now + Int64(i) * 1000, from: "203.0.113.9"), Self.facts) }
    let burst = now + 120_000
    for i in 0..<150 {
      verdicts += engine.take(Traffic.entry(5, at: burst + Int64(i) * 100, from: "203.0.113.9", tokens: 2, cost: 1), Self.facts)
    }
    #expect(names(verdicts) == ["probe-then-burst"])
    verdicts = []
    now += 7_200_000
    for i in 0..<150 {
      verdicts += engine.take(Traffic.entry(6, at: now + Int64(i) * 100, from: "203.0.113.9", tokens: 2, cost: 1), Self.facts)
    }
    #expect(names(verdicts) == [])
  }

  @Test("an hour that costs five times the usual is a spike, in money and in tokens; three times is not") func spikes() {
    var (engine, now) = learned(8)
    // The services' hours come to some 0.1 dollars and 15,000 tokens.
    var verdicts = engine.take(Traffic.entry(0, at: now, tokens: 30_000, cost: 300_000_000), Self.facts)
    #expect(names(verdicts) == [])
    verdicts = engine.take(Traffic.entry(0, at: now + 1000, tokens: 90_000, cost: 1_500_000_000), Self.facts)
    #expect(names(verdicts) == ["spend-spike", "token-spike"])
    now += 3_600_000
    // Large, and usual for nobody knows: a new key has no baseline.
    #expect(names(engine.take(Traffic.entry(12, at: now, tokens: 1_000_000, cost: 90_000_000_000), Self.facts)) == [])
  }

  @Test("sixty refusals within a minute are told, sixty over two minutes are not") func refusals() {
    var engine = TriggerEngine(Trigger.shipped)
    var verdicts: [Verdict] = []
    for i in 0..<60 {
      verdicts += engine.take(
        Traffic.entry(0, at: Traffic.start + 30_000 + Int64(i) * 1000, code: "model_not_allowed"), Self.facts)
    }
    #expect(names(verdicts) == [])
    for i in 0..<60 {
      verdicts += engine.take(
        Traffic.entry(0, at: Traffic.start + 300_000 + Int64(i) * 900, code: "model_not_allowed"), Self.facts)
    }
    #expect(names(verdicts) == ["refusals"])
  }

  @Test("use at an hour at which a key is never used is told") func hours() {
    var (engine, now) = learned(21)
    // Monday, three in the morning, of somebody who works from eight to six.
    let verdicts = engine.take(Traffic.entry(5, at: now + 3 * 3_600_000, from: "10.9.0.5"), Self.facts)
    #expect(names(verdicts) == ["unusual-hours"])
    #expect(
      engine.take(Traffic.entry(0, at: now + 3 * 3_600_000, from: "10.0.0.1"), Self.facts) == [], "a service works at night")
    now += Traffic.day
  }

  @Test("a key that nobody uses is told after so many days, once a month, and only while it is in force") func unused() {
    var engine = TriggerEngine(["idle": Trigger(.unused, days: 10, cooldown: 30 * 86_400)])
    var told: [Int: [RecordID]] = [:]
    for n in 0..<50 {
      let at = Timestamp(milliseconds: Traffic.start + Int64(n) * Traffic.day + 1000)
      let verdicts = engine.advance(to: at, keys: Self.keys, Self.facts)
      if !verdicts.isEmpty { told[n] = verdicts.map { $0.key! } }
      if n < 20 { _ = engine.take(Traffic.entry(0, at: at.milliseconds), Self.facts) }
    }
    #expect(told[9] == Array(Self.keys[1..<12]), "made a day before the start")
    #expect(told.keys.sorted() == [9, 30, 39])
    #expect(told[30] == [Self.keys[0]])
  }

  @Test("a trigger for a team or a tag leaves other keys alone") func scoped() {
    for (team, tag, hits) in [("t", nil, true), ("u", nil, false), (nil, "a", true), (nil, "b", false)]
      as [(String?, String?, Bool)]
    {
      var trigger = Trigger(.decoyUsed)
      (trigger.team, trigger.tag) = (team, tag)
      var engine = TriggerEngine(["x": trigger])
      #expect(engine.take(Traffic.entry(0, at: Traffic.start, code: "decoy_key"), Self.facts).isEmpty != hits)
    }
  }

  @Test("the same record gives the same verdicts, and so does one that was kept and gone on with half-way") func replayed() throws
  {
    func play(_ engine: inout TriggerEngine, _ days: Range<Int>, _ traffic: Traffic) -> [Verdict] {
      days.flatMap { n in
        var entries = traffic.day(n)
        if n == 9 {
          entries += (0..<80).map {
            Traffic.entry(
              2, at: Traffic.start + 9 * Traffic.day + 43_200_000 + Int64($0) * 100, from: "203.0.113.4", model: "o9",
              code: $0 < 70 ? "path_not_allowed" : "")
          }
        }
        return entries.sorted { $0.record.start < $1.record.start }.flatMap { entry in
          engine.advance(to: entry.record.start, keys: Self.keys, Self.facts) + engine.take(entry, Self.facts)
        }
      }
    }
    var whole = TriggerEngine(Trigger.shipped)
    let first = play(&whole, 0..<12, Traffic(random: SeededRandomness(seed: 4)))
    #expect(Set(names(first)) == ["new-network", "new-model", "refusals"])
    var again = TriggerEngine(Trigger.shipped)
    #expect(play(&again, 0..<12, Traffic(random: SeededRandomness(seed: 4))) == first)
    var half = TriggerEngine(Trigger.shipped)
    let same = Traffic(random: SeededRandomness(seed: 4))
    var verdicts = play(&half, 0..<6, same)
    var rest = TriggerEngine(Trigger.shipped, profiles: half.profiles.mapValues { $0.copy() })
    verdicts += play(&rest, 6..<12, same)
    #expect(verdicts == first)
  }

  @Test("a profile is bounded, whatever a key does") func bounded() throws {
    var engine = TriggerEngine(Trigger.shipped)
    for i in 0..<20_000 {
      _ = engine.take(
        Traffic.entry(
          0, at: Traffic.start + Int64(i) * 1000, from: "\(1 + i % 200).\(i / 200 % 250).1.1", model: "m\(i)", version: UInt32(i)),
        Self.facts)
    }
    let profile = try #require(engine.profiles[Traffic.id(0)])
    #expect(profile.networks.count <= 64 && profile.models.count <= 128 && profile.versions.count <= 16)
  }

  @Test("numbers that mean nothing, are missing or out of range are refused", arguments: Trigger.Condition.allCases)
  func refused(condition: Trigger.Condition) throws {
    let good = try #require(Trigger.shipped.values.first { $0.when == condition })
    try good.validate()
    for change in [
      { $0.learnDays = 400 }, { $0.count = 0 }, { $0.times = 1 }, { $0.days = 0 }, { $0.cooldown = -1 }, { $0.perMinute = 0 },
      { $0.tag = "No Tag" },
    ]
      as [(inout Trigger) -> Void]
    {
      var bad = good
      change(&bad)
      #expect(throws: Fault(.invalidInput, "")) { try bad.validate() }
    }
    for parameter in condition.parameters {
      var bad = good
      switch parameter {
      case .learnDays: bad.learnDays = nil
      case .count: bad.count = nil
      case .times: bad.times = nil
      case .days: bad.days = nil
      }
      #expect(throws: Fault(.invalidInput, "")) { try bad.validate() }
    }
    var live = good
    (live.then, live.isShadow, live.perMinute) = (.throttle, false, nil)
    #expect(throws: Fault(.invalidInput, "")) { try live.validate() }
  }
}
