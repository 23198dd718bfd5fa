import Domain
import PolicyEngine
import Primitives
import Storage
import Synchronization
import TestSupport
import Testing

struct LedgerTests {
  private let store = MemoryStore()
  private let now = Timestamp(milliseconds: 1_800_000_000_000)

  private func rule(_ amount: Amount, _ calendar: BudgetCalendar = BudgetCalendar(.day, .utc)) -> Ledger.Rule {
    Ledger.Rule(Account(name: "a", unit: .nanoDollars), amount: amount, calendar: calendar)
  }

  private func reserve(_ ledger: Ledger, _ account: Account, _ amount: Amount, _ now: Timestamp) throws -> Account.Hold? {
    for _ in 0..<4 {
      if let hold = account.reserve(amount, now: now) { return hold }
      if try ledger.replenish([(account, amount)], now: now) != [.granted] { return nil }
    }
    return nil
  }

  @Test("what was at hand or held when a process died counts as spent, and is said to be estimated") func crash() throws {
    let rule = rule(1600)
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    let first = try #require(try reserve(ledger, rule.account, 10, now))
    Account.settle(first, spent: 4)
    try ledger.settle()
    _ = try reserve(ledger, rule.account, 50, now)
    let taken = try store.accounts()[0].taken
    // Nothing is closed. The next process finds what this one had taken.
    let again = try Ledger(store)
    let fresh = self.rule(1600)
    again.adopt([fresh])
    let row = try store.accounts()[0]
    #expect(row.spent == taken && row.estimated == taken - 4)
    let standing = try #require(again.standing("a", now: now))
    #expect(standing.spent == taken && standing.held == 0)
  }

  @Test("an end in good order gives back what nobody used") func close() throws {
    let rule = rule(1600)
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    let hold = try #require(try reserve(ledger, rule.account, 10, now))
    Account.settle(hold, spent: 7)
    try ledger.close()
    let row = try store.accounts()[0]
    #expect((row.taken, row.spent, row.estimated) == (7, 7, 0))
  }

  @Test("when the store cannot be written, nothing is granted and nothing is lost") func failing() throws {
    let rule = rule(100)
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    store.fail(true)
    #expect(throws: Fault(.storage, "")) { _ = try ledger.replenish([(rule.account, 1)], now: now) }
    #expect(rule.account.reserve(1, now: now) == nil)
    store.fail(false)
    var passed = 0
    while try reserve(ledger, rule.account, 1, now) != nil { passed += 1 }
    #expect(passed == 100)
  }

  @Test("a provider that takes more than was held is booked in full, and nothing more passes") func overrun() throws {
    let rule = rule(100)
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    let hold = try #require(try reserve(ledger, rule.account, 10, now))
    Account.settle(hold, spent: 150)
    try ledger.settle()
    let standing = try #require(ledger.standing("a", now: now))
    #expect(standing.spent == 150)
    #expect(try reserve(ledger, rule.account, 1, now) == nil)
  }

  @Test("a window begins anew on the calendar, and what was held in the old one is settled there") func windows() throws {
    let rule = rule(100)
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    let old = try #require(try reserve(ledger, rule.account, 100, now))
    #expect(try reserve(ledger, rule.account, 1, now) == nil)
    let tomorrow = now + 86_400
    #expect(try reserve(ledger, rule.account, 60, tomorrow) != nil)
    Account.settle(old, spent: 30)
    #expect(try reserve(ledger, rule.account, 41, tomorrow) == nil)
    try ledger.settle()
    let rows = try store.accounts()
    #expect(rows.map(\.spent) == [30, 0] && rows[0].taken == 30)
  }

  @Test("a raise counts until its end, and not a moment longer") func raise() throws {
    var rule = rule(100)
    rule.raise = Budget.Raise(amount: NanoDollars(50), until: (now + 60).milliseconds)
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    #expect(try reserve(ledger, rule.account, 100, now) != nil)
    #expect(try reserve(ledger, rule.account, 20, now) != nil)
    // Thirty are at hand or to be had; then the raise is over.
    #expect(try reserve(ledger, rule.account, 1, now + 60) == nil)
  }

  @Test("what is left rolls over, up to one amount, and only once") func rollOver() throws {
    var rule = rule(100)
    rule.rollsOver = true
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    let hold = try #require(try reserve(ledger, rule.account, 40, now))
    Account.settle(hold, spent: 40)
    var day = now + 86_400
    _ = try reserve(ledger, rule.account, 1, day)
    #expect(ledger.standing("a", now: day)?.limit == 160)
    // Days without a request leave a whole amount, not more.
    day = day + 5 * 86_400
    _ = try reserve(ledger, rule.account, 1, day)
    #expect(ledger.standing("a", now: day)?.limit == 200)
  }

  @Test("each alert is given once a window, across restarts") func alerts() throws {
    let told = Mutex<[Int]>([])
    func ledger() throws -> Ledger { try Ledger(store) { _, percent in told.withLock { $0.append(percent) } } }
    var rule = rule(100)
    rule.alerts = [50, 80, 100]
    var current = try ledger()
    current.adopt([rule])
    func spend(_ amount: Amount) throws {
      let hold = try #require(try reserve(current, rule.account, amount, now))
      Account.settle(hold, spent: amount)
      try current.settle()
    }
    try spend(49)
    try spend(2)
    try spend(5)
    #expect(told.withLock { $0 } == [50])
    try current.close()
    rule = self.rule(100)
    rule.alerts = [50, 80, 100]
    current = try ledger()
    current.adopt([rule])
    try spend(44)
    #expect(told.withLock { $0 } == [50, 100])
  }

  @Test("what is short is said, with when there is more") func short() throws {
    let rule = rule(100, BudgetCalendar(rollingSeconds: 3600))
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    #expect(try reserve(ledger, rule.account, 70, now) != nil)
    let outcome = try ledger.replenish([(rule.account, 31)], now: now)[0]
    guard case .short(let left, let again) = outcome else {
      Issue.record("granted")
      return
    }
    #expect(left == 30 && again > now + 3600 && again < now + 3700)
    #expect(try reserve(ledger, rule.account, 31, again) != nil)
  }

  @Test("many threads at once spend exactly what there is, and the ledger agrees to the last unit") func threads() async throws {
    final class Shared: Sendable {
      let ledger: Mutex<Ledger>
      let account: Account
      let spent = Atomic<Int64>(0)
      let passed = Atomic<Int>(0)
      init(_ ledger: sending Ledger, _ account: Account) {
        self.ledger = Mutex(ledger)
        self.account = account
      }
    }
    let rule = rule(1_000_000)
    let ledger = try Ledger(store)
    ledger.adopt([rule])
    let (shared, now) = (Shared(ledger, rule.account), now)
    await withDiscardingTaskGroup { group in
      for worker in 0..<8 {
        group.addTask {
          let random = SeededRandomness(seed: UInt64(worker))
          for turn in 0..<20_000 {
            let amount = Amount(clamping: random.next() % 100)
            var hold = shared.account.reserve(amount, now: now)
            while hold == nil {
              let outcome = try? shared.ledger.withLock { try $0.replenish([(shared.account, amount)], now: now) }
              if outcome != [.granted] { break }
              hold = shared.account.reserve(amount, now: now)
            }
            guard let hold else { continue }
            let cost: Amount = random.next() % 3 == 0 ? 0 : amount
            Account.settle(hold, spent: cost)
            shared.spent.add(cost.count, ordering: .relaxed)
            shared.passed.add(1, ordering: .relaxed)
            if turn % 500 == 0 { try? shared.ledger.withLock { try $0.settle() } }
          }
        }
      }
    }
    try shared.ledger.withLock { try $0.close() }
    let spent = shared.spent.load(ordering: .relaxed)
    #expect(spent <= 1_000_000 && spent > 900_000)
    let row = try store.accounts()[0]
    #expect(row.spent == Amount(spent) && row.taken == Amount(spent) && row.estimated == 0)
  }
}
