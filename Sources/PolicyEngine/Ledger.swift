public import Domain
public import Primitives
public import Storage

/// The durable side of accounts: hands out amounts that the store has as taken, and keeps what they came to.
///
/// Belongs to one thread. A process that dies leaves what it had taken and not settled: the next one counts all of that as spent
/// (and says how much nobody has seen), so that a crash never lets more pass than there is.
public final class Ledger {
  /// How much an account has, and when it has it again.
  public struct Rule: Sendable, Equatable {
    public let account: Account
    public let amount: Amount
    public let calendar: BudgetCalendar
    public var raise: Budget.Raise?
    public var rollsOver = false
    /// Percentages of the amount, ascending.
    public var alerts: [Int] = []

    public init(_ account: Account, amount: Amount, calendar: BudgetCalendar) {
      self.account = account
      self.amount = amount
      self.calendar = calendar
    }

    public static func == (a: Rule, b: Rule) -> Bool {
      a.account === b.account && a.amount == b.amount && a.calendar == b.calendar && a.raise == b.raise
        && a.rollsOver == b.rollsOver && a.alerts == b.alerts
    }
  }

  /// What became of a need.
  public enum Outcome: Sendable, Equatable {
    /// It can be reserved now, if nobody is faster.
    case granted
    /// There is not so much; `left` is all there is, and more comes at `again`.
    case short(left: Amount, again: Timestamp)
  }

  /// Where an account stands.
  public struct Standing: Sendable {
    public var limit: Amount
    public var span: BudgetSpan
    public var spent: Amount
    public var estimated: Amount
    public var held: Amount
    public var carried: Amount
  }

  private struct Place: Hashable {
    let name: String
    let start: Int64
  }

  private struct Granted {
    var span: BudgetSpan
    var until: Int64
    /// Settlements since anything moved.
    var idle = 0
  }
  /// After so many, an account gives back what it has at hand and is not looked at again until it is asked for.
  static let idleMax = 300

  private let store: any Store
  private let alert: (_ name: String, _ percent: Int) -> Void
  private var rows: [String: [Int64: AccountRow]] = [:]
  private var rules: [String: Rule] = [:]
  /// The span and the end of what each account was granted last.
  private var inForce: [String: Granted] = [:]
  /// Rows that the store has not seen yet.
  private var unsaved: Set<Place> = []

  /// While there is much, a sixteenth of what is left is taken at once, for few writes. Once there is less than a thousand times
  /// what a request can come to, each takes just that: then a crash loses nothing but what was in flight.
  static let share: Int64 = 16
  static let muchMin: Int64 = 1024

  /// Reads what is kept, and closes what an earlier process left open.
  public init(_ store: any Store, alert: @escaping (_ name: String, _ percent: Int) -> Void = { _, _ in }) throws(Fault) {
    self.store = store
    self.alert = alert
    for var row in try store.accounts() {
      if row.taken > row.spent {
        row.estimated += row.taken - row.spent
        row.spent = row.taken
        unsaved.insert(Place(name: row.name, start: row.start))
      }
      rows[row.name, default: [:]][row.start] = row
    }
    try save()
  }

  /// Takes the accounts that there are into force. One whose rule has changed is given anew by it.
  /// What that moves is kept with the next `settle`.
  public func adopt(_ list: [Rule]) {
    let old = rules
    rules = Dictionary(uniqueKeysWithValues: list.map { ($0.account.name, $0) })
    for (name, rule) in old where rules[name] != rule {
      settle(rule, withdrawing: true)
      inForce[name] = nil
    }
  }

  /// Takes what `needs` ask for, in order, in one transaction. Throws, granting nothing, when it cannot be kept.
  public func replenish(_ needs: [(account: Account, amount: Amount)], now: Timestamp) throws(Fault) -> [Outcome] {
    var grants: [String: (amount: Amount, span: BudgetSpan, until: Int64)] = [:]
    var pools: [String: Amount] = [:]
    let outcomes = needs.map { need -> Outcome in
      let name = need.account.name
      // An account that is no longer there has nothing; the request is decided anew.
      guard let rule = rules[name] else { return .short(left: 0, again: now) }
      if grants[name] == nil {
        let (span, until) = turn(rule, now: now)
        grants[name] = (0, span, until)
        pools[name] = rule.account.amounts.atHand
      }
      let grant = grants[name]!
      let missing = need.amount - pools[name]!
      guard missing > 0 else {
        pools[name]! -= need.amount
        return .granted
      }
      let left = max(Amount(0), limit(rule, grant.span, now: now) - taken(rule, grant.span))
      let isMuch = left / Self.muchMin >= max(need.amount, Amount(1))
      let amount = min(left, isMuch ? max(missing, left / Self.share) : missing)
      if amount > 0 {
        rows[name]![grant.span.start]!.taken += amount
        unsaved.insert(Place(name: name, start: grant.span.start))
        grants[name]!.amount += amount
        pools[name]! += amount
      }
      guard amount >= missing else { return .short(left: pools[name]!, again: again(rule, grant.span)) }
      pools[name]! -= need.amount
      return .granted
    }
    do { try save() } catch {
      for (name, grant) in grants { rows[name]![grant.span.start]!.taken -= grant.amount }
      throw error
    }
    for (name, grant) in grants { rules[name]!.account.grant(grant.amount, in: grant.span, until: grant.until) }
    return outcomes
  }

  /// Keeps what has been settled since the last time.
  public func settle() throws(Fault) {
    for (name, granted) in inForce {
      guard let rule = rules[name] else { continue }
      let isIdle = granted.idle >= Self.idleMax
      let hasMoved = settle(rule, withdrawing: isIdle)
      if isIdle {
        inForce[name] = nil
      } else {
        inForce[name]!.idle = hasMoved || rule.account.amounts.held > 0 ? 0 : granted.idle + 1
      }
    }
    try save()
  }

  /// Gives back what is at hand, at the end of the process.
  public func close() throws(Fault) {
    for rule in rules.values { settle(rule, withdrawing: true) }
    inForce = [:]
    try save()
  }

  /// nil for an account that is not there.
  public func standing(_ name: String, now: Timestamp) -> Standing? {
    guard let rule = rules[name] else { return nil }
    settle(rule, withdrawing: false)
    let span = span(rule, now: now)
    let live = liveRows(rule, span)
    let spent = live.map(\.spent).sum()
    return Standing(
      limit: limit(rule, span, now: now), span: span, spent: spent, estimated: live.map(\.estimated).sum(),
      held: live.map(\.taken).sum() - spent - (inForce[name]?.span == span ? rule.account.amounts.atHand : 0),
      carried: rows[name]?[span.start]?.carried ?? 0)
  }

  /// Forgets an account with all that was spent.
  public func remove(_ name: String) throws(Fault) {
    rules[name] = nil
    rows[name] = nil
    unsaved = unsaved.filter { $0.name != name }
    try store.deleteAccounts(name, before: .max)
  }

  // MARK: spans

  /// The span that `now` is in; never an earlier one than any that was used, whatever the clock says.
  private func span(_ rule: Rule, now: Timestamp) -> BudgetSpan {
    let newest = rows[rule.account.name]?.keys.max() ?? .min
    return rule.calendar.span(at: Timestamp(milliseconds: max(now.milliseconds, newest)))
  }

  /// Sees to it that the account works in the span of `now`.
  private func turn(_ rule: Rule, now: Timestamp) -> (BudgetSpan, until: Int64) {
    let name = rule.account.name
    let span = span(rule, now: now)
    var until = span.end
    if let raise = rule.raise, now.milliseconds < raise.until { until = min(until, raise.until) }
    let isCurrent = inForce[name].map { $0.span == span && $0.until == until } ?? false
    settle(rule, withdrawing: !isCurrent)
    if rows[name]?[span.start] == nil {
      rows[name, default: [:]][span.start] = AccountRow(name: name, start: span.start, carried: carry(rule, into: span))
      forget(rule, span)
    }
    inForce[name] = Granted(span: span, until: until)
    return (span, until)
  }

  private func carry(_ rule: Rule, into span: BudgetSpan) -> Amount {
    guard rule.rollsOver, let known = rows[rule.account.name], known.keys.contains(where: { $0 < span.start }) else { return 0 }
    let before = rule.calendar.span(at: Timestamp(milliseconds: span.start - 1))
    guard let row = known[before.start] else { return rule.amount }
    return min(rule.amount, max(Amount(0), rule.amount + row.carried - row.taken))
  }

  /// Drops the slices of a moving window that count no more. What is on a calendar is kept, for whoever asks later.
  private func forget(_ rule: Rule, _ span: BudgetSpan) {
    guard rule.calendar.rolling != nil else { return }
    let name = rule.account.name
    let oldest = rule.calendar.oldest(countingIn: span)
    // One more window is kept, for requests that take that long.
    let keep = oldest - (span.start - oldest)
    guard rows[name]!.keys.contains(where: { $0 < keep }) else { return }
    rows[name] = rows[name]!.filter { $0.key >= keep }
    unsaved = unsaved.filter { $0.name != name || $0.start >= keep }
    try? store.deleteAccounts(name, before: keep)
  }

  private func liveRows(_ rule: Rule, _ span: BudgetSpan) -> [AccountRow] {
    let oldest = rule.calendar.oldest(countingIn: span)
    return rows[rule.account.name]?.values.filter { $0.start >= oldest && $0.start <= span.start } ?? []
  }

  private func taken(_ rule: Rule, _ span: BudgetSpan) -> Amount { liveRows(rule, span).map(\.taken).sum() }

  private func limit(_ rule: Rule, _ span: BudgetSpan, now: Timestamp) -> Amount {
    let raise = rule.raise.map { now.milliseconds < $0.until ? Amount($0.amount) : 0 } ?? 0
    return rule.amount + raise + (rows[rule.account.name]?[span.start]?.carried ?? 0)
  }

  /// When there is more again.
  private func again(_ rule: Rule, _ span: BudgetSpan) -> Timestamp {
    guard let rolling = rule.calendar.rolling else { return Timestamp(milliseconds: span.end) }
    let first = liveRows(rule, span).filter { $0.taken > 0 }.map(\.start).min() ?? span.start
    return Timestamp(milliseconds: first + rolling + (span.end - span.start))
  }

  // MARK: keeping

  /// Books what an account has to say; false when that is nothing.
  @discardableResult
  private func settle(_ rule: Rule, withdrawing: Bool) -> Bool {
    let name = rule.account.name
    let (movement, withdrawn) = rule.account.collect(withdrawing: withdrawing)
    func book(_ start: Int64, taken: Amount, spent: Amount) {
      guard taken != 0 || spent != 0, rows[name]?[start] != nil else { return }
      rows[name]![start]!.taken += taken
      rows[name]![start]!.spent += spent
      unsaved.insert(Place(name: name, start: start))
    }
    book(movement.start, taken: movement.overdrawn - withdrawn, spent: movement.spent)
    for late in movement.late { book(late.start, taken: late.spent - late.held, spent: late.spent) }
    if movement.spent > 0 { giveAlert(rule, movement.start) }
    return !movement.isEmpty
  }

  private func giveAlert(_ rule: Rule, _ start: Int64) {
    let name = rule.account.name
    guard !rule.alerts.isEmpty, let row = rows[name]?[start] else { return }
    let span = rule.calendar.span(at: Timestamp(milliseconds: start))
    let spent = liveRows(rule, span).map(\.spent).sum()
    let reached = rule.alerts.filter { Self.reaches(spent, percent: $0, of: rule.amount + row.carried) }.max() ?? 0
    guard Int64(reached) > row.alerted else { return }
    rows[name]![start]!.alerted = Int64(reached)
    alert(name, reached)
  }

  private static func reaches(_ spent: Amount, percent: Int, of limit: Amount) -> Bool {
    Int128(spent.count) * 100 >= Int128(limit.count) * Int128(percent)
  }

  private func save() throws(Fault) {
    guard !unsaved.isEmpty else { return }
    try store.save(unsaved.compactMap { rows[$0.name]?[$0.start] })
    unsaved = []
  }
}
