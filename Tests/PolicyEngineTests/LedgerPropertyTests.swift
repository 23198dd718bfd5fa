import Domain
import FoundationEssentials
import PolicyEngine
import Primitives
import Storage
import TestSupport
import Testing

/// Random requests, changes, crashes, full disks and clock jumps against a model that counts what was really spent.
struct LedgerPropertyTests {
  /// `MASKLLM_SEEDS=12,13` replays those.
  static let seeds: [UInt64] = {
    let named = ProcessInfo.processInfo.environment["MASKLLM_SEEDS"]?.split(separator: ",").compactMap { UInt64($0) }
    return named ?? Array(1...40)
  }()
  static let operations = 25_000

  /// One account, its ledger, and what the model knows of both.
  private struct World {
    struct Request {
      let hold: Account.Hold
      let cost: Int64
      let at: Int64
    }

    let store = MemoryStore()
    let random: SeededRandomness
    var amount: Int64
    var raise: Budget.Raise?
    let calendar: BudgetCalendar
    var account: Account
    var ledger: Ledger
    var now: Int64 = 1_800_000_000_000
    /// The latest span that a request passed in: windows never go back.
    var newest: Int64 = .min
    /// The latest time that the clock has shown.
    var latest: Int64 = 0
    var inFlight: [Request] = []
    /// Everything that passed: when, in which span, and what it came to (of one lost in a crash: what it would have come to).
    var passed: [(at: Int64, start: Int64, cost: Int64)] = []
    var (admitted, refused, crashes) = (0, 0, 0)
    var isClean = true

    init(seed: UInt64) throws {
      random = SeededRandomness(seed: seed)
      amount = 1_000 + Int64(random.next() % 1_000_000)
      let zone = ["UTC", "Europe/Berlin", "America/St_Johns"][Int(random.next() % 3)]
      switch random.next() % 4 {
      case 0: calendar = BudgetCalendar(.hour, .utc)
      case 1: calendar = BudgetCalendar(.day, try ZoneRules(named: zone))
      case 2: calendar = BudgetCalendar(rollingSeconds: 3600)
      default: calendar = BudgetCalendar(.total, .utc)
      }
      account = Account(name: "a", unit: .nanoDollars)
      ledger = try Ledger(store)
      adopt()
    }

    var rule: Ledger.Rule {
      var rule = Ledger.Rule(account, amount: Amount(amount), calendar: calendar)
      rule.raise = raise
      return rule
    }

    mutating func adopt() { ledger.adopt([rule]) }

    func pick(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }

    func start(_ moment: Int64) -> Int64 { calendar.span(at: Timestamp(milliseconds: moment)).start }

    var limit: Int64 { amount + (raise.map { now < $0.until ? $0.amount.count : 0 } ?? 0) }

    /// What counts at the moment against the limit, by the model.
    func counted(_ start: Int64, at moment: Int64) -> Int64 {
      guard let rolling = calendar.rolling else {
        return passed.reduce(0) { $0 + ($1.start == start ? $1.cost : 0) } + held(start)
      }
      let from = moment - rolling
      return passed.reduce(0) { $0 + ($1.at > from ? $1.cost : 0) }
        + inFlight.reduce(0) { $0 + ($1.at > from ? $1.hold.amount.count : 0) }
    }

    private func held(_ start: Int64) -> Int64 { inFlight.reduce(0) { $0 + ($1.hold.start == start ? $1.hold.amount.count : 0) } }

    mutating func request() {
      latest = max(latest, now)
      let worst = Int64(random.next() % UInt64(max(2, amount / (pick(10) == 0 ? 8 : 500))))
      for _ in 0..<8 {
        if let hold = account.reserve(Amount(worst), now: Timestamp(milliseconds: now)) {
          let moment = max(now, hold.start)
          let cost = pick(5) == 0 ? 0 : Int64(random.next() % UInt64(worst + 1))
          inFlight.append(Request(hold: hold, cost: cost, at: moment))
          admitted += 1
          let (current, last) = (start(now), start(latest))
          #expect(hold.start >= max(current, newest) && hold.start <= last, "the wrong window: \(hold.start)")
          newest = hold.start
          let counted = counted(hold.start, at: moment)
          // What can come to nothing passes even where an administrator has lowered the limit below what is spent.
          if worst > 0 { #expect(counted <= limit, "overspent by \(counted - limit)") }
          return
        }
        guard let outcome = try? ledger.replenish([(account, Amount(worst))], now: Timestamp(milliseconds: now)) else { break }
        if outcome != [.granted] { break }
      }
      refused += 1
    }

    mutating func end() {
      guard !inFlight.isEmpty else { return }
      let request = inFlight.remove(at: pick(inFlight.count))
      Account.settle(request.hold, spent: Amount(request.cost))
      passed.append((request.at, request.hold.start, request.cost))
    }

    /// What was in flight is never heard of again: the provider may have been paid for it.
    mutating func crash() throws {
      for request in inFlight { passed.append((request.at, request.hold.start, request.cost)) }
      if !inFlight.isEmpty || account.amounts.atHand > 0 { isClean = false }
      inFlight = []
      store.fail(false)
      account = Account(name: "a", unit: .nanoDollars)
      ledger = try Ledger(store)
      #expect(account.amounts.held == 0)
      adopt()
      crashes += 1
    }

    mutating func restart() throws {
      while !inFlight.isEmpty { end() }
      store.fail(false)
      try ledger.close()
      account = Account(name: "a", unit: .nanoDollars)
      ledger = try Ledger(store)
      adopt()
    }

    mutating func step() throws {
      switch pick(1000) {
      case 0..<430: request()
      case 430..<860: end()
      case 860..<930: now += Int64(random.next() % 2000)
      case 930..<950: now += Int64(random.next() % 14_400_000)
      case 950..<952: now -= Int64(random.next() % 36_000_000)
      case 952..<985: try? ledger.settle()
      case 985..<988: try crash()
      case 988..<990: try restart()
      case 990..<993: store.fail(pick(2) == 0)
      case 993..<996:
        // What never begins anew has to grow, or nothing would pass any more.
        amount = (calendar == BudgetCalendar(.total, .utc) ? amount : 1_000) + Int64(random.next() % 1_000_000)
        adopt()
      case 996..<998:
        raise = Budget.Raise(amount: NanoDollars(Int64(random.next() % 500_000)), until: now + Int64(random.next() % 3_600_000))
        adopt()
      default:
        // What counts no more for anything is forgotten by the model, too.
        let (oldest, newest) = (latest - 200_000_000, start(latest) - 200_000_000)
        if calendar.rolling != nil { passed.removeAll { $0.at < oldest } } else { passed.removeAll { $0.start < newest } }
      }
    }
  }

  @Test("no account is ever overspent, whatever happens, and none loses a unit", arguments: seeds)
  func holds(seed: UInt64) throws {
    var world = try World(seed: seed)
    var spent: Int64 = 0
    for _ in 0..<Self.operations { try world.step() }
    #expect(world.admitted > 1000 && world.refused > 10, "seed \(seed) tests nothing: \(world.admitted), \(world.refused)")
    // No drift: from here on without a crash, every unit is accounted for.
    try world.restart()
    let before = Dictionary(uniqueKeysWithValues: try world.store.accounts().map { ($0.start, $0.spent) })
    world.passed = []
    for _ in 0..<500 {
      world.request()
      world.end()
    }
    try world.restart()
    for row in try world.store.accounts() {
      #expect(row.taken == row.spent, "taken and never settled: \(row)")
      spent += (row.spent - (before[row.start] ?? 0)).count
    }
    #expect(spent == world.passed.reduce(0) { $0 + $1.cost }, "the ledger has drifted")
  }

  @Test("without a crash nothing is estimated, and the ledger says exactly what was spent") func exact() throws {
    var world = try World(seed: 5)
    for _ in 0..<20_000 {
      switch world.pick(10) {
      case 0..<5: world.request()
      case 5..<9: world.end()
      default: try world.ledger.settle()
      }
    }
    try world.restart()
    let rows = try world.store.accounts()
    #expect(rows.allSatisfy { $0.estimated == 0 && $0.taken == $0.spent })
    #expect(rows.map(\.spent).sum().count == world.passed.reduce(0) { $0 + $1.cost })
  }
}
