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
    public let amount: Amount
    /// Start of the span that it was reserved in, and will be settled in.
    public let start: Int64
    fileprivate let turn: UInt64
  }

  /// What has happened since the ledger last asked.
  public struct Movement: Sendable {
    public var start: Int64 = .max
    public var spent: Amount = 0
    /// How far spending went past everything at hand: a provider that took more than it was asked for.
    public var overdrawn: Amount = 0
    /// Of holds from before the last withdrawal: what was held, and what it came to. It goes back to the ledger, because what may
    /// be spent may have become less since.
    public var late: [(start: Int64, held: Amount, spent: Amount)] = []
    public var isEmpty: Bool { spent == 0 && overdrawn == 0 && late.isEmpty }
  }

  private struct State {
    var span = BudgetSpan(start: .max, end: .min)
    /// Counts withdrawals.
    var turn: UInt64 = 0
    /// Until when the amount at hand may be used without asking: the end of the span, or of a raise.
    var until = Int64.min
    var atHand: Amount = 0
    var held: Amount = 0
    var spent: Amount = 0
    var late: [(start: Int64, held: Amount, spent: Amount)] = []
  }

  public let name: String
  public let unit: Unit
  private let state = Mutex(State())

  public init(name: String, unit: Unit) {
    self.name = name
    self.unit = unit
  }

  /// Holds `amount` (0 or more) for a request that starts at `now`; nil when the ledger has to be asked first.
  public func reserve(_ amount: Amount, now: Timestamp) -> Hold? {
    precondition(amount >= 0, "an amount that is held is not negative")
    return state.withLock { (s) -> Hold? in
      // A clock that went back stays in the span: see the ledger.
      guard now.milliseconds < s.until, s.atHand >= amount else { return nil }
      s.atHand -= amount
      s.held += amount
      return Hold(account: self, amount: amount, start: s.span.start, turn: s.turn)
    }
  }

  /// Ends a hold with what the request came to, which can be more or less than was held; 0 releases it.
  public static func settle(_ hold: Hold, spent: Amount) {
    hold.account.state.withLock { s in
      guard hold.turn == s.turn else {
        s.late.append((hold.start, hold.amount, spent))
        return
      }
      s.held -= hold.amount
      s.spent += spent
      s.atHand += hold.amount - spent
    }
  }

  /// What can be reserved at once, and what requests hold.
  public var amounts: (atHand: Amount, held: Amount) { state.withLock { ($0.atHand, $0.held) } }

  // MARK: for the ledger

  /// Hands over what has been settled; with `withdrawing`, also what is at hand, and nothing can be reserved until the next grant.
  func collect(withdrawing: Bool = false) -> (movement: Movement, withdrawn: Amount) {
    state.withLock { s in
      var movement = Movement(start: s.span.start, spent: s.spent, late: s.late)
      if s.atHand < 0 {
        movement.overdrawn = -s.atHand
        s.atHand = 0
      }
      s.spent = 0
      s.late = []
      guard withdrawing else { return (movement, 0) }
      let rest = s.atHand
      s.turn += 1
      (s.atHand, s.held, s.until) = (0, 0, .min)
      return (movement, rest)
    }
  }

  /// Adds `amount`, to be used in `span` until `until`. Into another span only after a withdrawal.
  func grant(_ amount: Amount, in span: BudgetSpan, until: Int64) {
    state.withLock { s in
      precondition(span == s.span || (s.atHand == 0 && s.held == 0 && s.spent == 0))
      s.span = span
      s.atHand += amount
      s.until = until
    }
  }
}
