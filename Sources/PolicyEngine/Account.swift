import Domain
public import Primitives
import Synchronization

/// Money, requests or tokens at hand in this process: reserved before a request, settled after it. The store knows all of it as
/// taken, so that a process that dies can only have counted too much.
///
/// At every moment: what the store has as taken in the span = spent + held + at hand. A lock guards the four numbers of one
/// account, for a few instructions: they change together, a window ends for all of them at once, and one loop seldom meets
/// another there.
public final class Account: Sendable {
  /// What the amounts of an account are.
  public enum Unit: Sendable, Equatable { case nanoDollars, requests, inputTokens, outputTokens, tokens }

  /// An amount that belongs to one request, until it is settled; once.
  public struct Hold: Sendable {
    public let account: Account
    public let amount: Int64
    /// Start of the span that it was reserved in, and will be settled in.
    public let start: Int64
  }

  /// What has happened since the ledger last asked.
  public struct Movement: Sendable {
    public var start: Int64 = .max
    public var spent: Int64 = 0
    /// How far spending went past everything at hand: a provider that took more than it was asked for.
    public var overdrawn: Int64 = 0
    /// Of spans gone by: what was held there, and what it came to.
    public var late: [(start: Int64, held: Int64, spent: Int64)] = []
    public var isEmpty: Bool { spent == 0 && overdrawn == 0 && late.isEmpty }
  }

  private struct State {
    var span = BudgetSpan(start: .max, end: .min)
    /// Until when the amount at hand may be used without asking: the end of the span, or of a raise.
    var until = Int64.min
    var atHand: Int64 = 0
    var held: Int64 = 0
    var spent: Int64 = 0
    var late: [(start: Int64, held: Int64, spent: Int64)] = []
  }

  public let name: String
  public let unit: Unit
  private let state = Mutex(State())

  public init(name: String, unit: Unit) {
    self.name = name
    self.unit = unit
  }

  /// Holds `amount` (0 or more) for a request that starts at `now`; nil when the ledger has to be asked first.
  public func reserve(_ amount: Int64, now: Timestamp) -> Hold? {
    precondition(amount >= 0)
    let start = state.withLock { (s) -> Int64? in
      // A clock that went back stays in the span: see the ledger.
      guard now.milliseconds < s.until, s.atHand >= amount else { return nil }
      s.atHand -= amount
      s.held += amount
      return s.span.start
    }
    return start.map { Hold(account: self, amount: amount, start: $0) }
  }

  /// Ends a hold with what the request came to, which can be more or less than was held; 0 releases it.
  public static func settle(_ hold: Hold, spent: Int64) {
    hold.account.state.withLock { s in
      guard hold.start == s.span.start else {
        s.late.append((hold.start, hold.amount, spent))
        return
      }
      s.held -= hold.amount
      s.spent += spent
      s.atHand += hold.amount - spent
    }
  }

  /// What can be reserved at once, and what requests hold.
  public var amounts: (atHand: Int64, held: Int64) { state.withLock { ($0.atHand, $0.held) } }

  // MARK: for the ledger

  /// Hands over what has been settled; with `withdrawing`, also what is at hand, and nothing can be reserved until the next grant.
  func collect(withdrawing: Bool = false) -> (movement: Movement, withdrawn: Int64) {
    state.withLock { s in
      var movement = Movement(start: s.span.start, spent: s.spent, late: s.late)
      if s.atHand < 0 {
        movement.overdrawn = -s.atHand
        s.atHand = 0
      }
      s.spent = 0
      s.late = []
      guard withdrawing else { return (movement, 0) }
      s.until = .min
      defer { s.atHand = 0 }
      return (movement, s.atHand)
    }
  }

  /// Adds `amount`, to be used in `span` until `until`. In another span than before, what is held is settled with the old one.
  func grant(_ amount: Int64, in span: BudgetSpan, until: Int64) {
    state.withLock { s in
      if span.start != s.span.start {
        // What came in since it was withdrawn belongs to the old span, too.
        if s.spent != 0 || s.atHand != 0 { s.late.append((s.span.start, s.spent + s.atHand, s.spent)) }
        s.span = span
        (s.atHand, s.held, s.spent) = (0, 0, 0)
      }
      s.atHand += amount
      s.until = until
    }
  }
}
