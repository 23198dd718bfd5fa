public import Primitives

/// How and when a provider key is replaced at the provider.
public struct RotationPlan: Hashable, Sendable, Codable {
  /// How long each step takes, in seconds.
  public struct Timing: Hashable, Sendable, Codable {
    /// Percent of the key's requests that go out with the new secret, stage by stage; the last is 100.
    public var shares = [10, 50, 100]
    public var stage: Int64 = 60
    /// For as long as a new secret may be refused: providers tell their own machines late.
    public var probe: Int64 = 60
    /// Requests in flight with the old secret are waited for at most so long.
    public var drain: Int64 = 600
    /// Without any use before it is taken to be unused.
    public var proof: Int64 = 300
    /// From switching the old one off to deleting it: the time to notice that somebody misses it.
    public var hold: Int64 = 86_400
    public init() {}
  }

  /// A connector's name; `hook`: a program of the hooks folder; `webhook`: a server of the user's, at `address`; `guided`: a person
  /// makes keys and pastes them.
  public var connector: String
  public var hook: String?
  public var parameters: [String: String]
  /// Where the management API is reached, where that is not where it usually is.
  public var address: String?
  public var authorityFile: String?
  /// The envelope of the administrator's credential.
  public var sealed: [UInt8]?
  /// The path that a new secret is tried with; nil: the provider's list of models.
  public var probePath: String?
  public var timing: Timing
  public var every: Int64?
  public var cron: CronExpression?
  public var timeZone: String
  /// What the provider calls the present secret.
  public var remote: [String: String]

  public static let guided = "guided"
  public static let hook = "hook"
  public static let webhook = "webhook"
  /// Whether keys are made by what the user has, a program or a server.
  public var isOwn: Bool { connector == Self.hook || connector == Self.webhook }

  public init(connector: String) {
    self.connector = connector
    (parameters, timing, timeZone, remote) = ([:], Timing(), "UTC", [:])
  }

  /// Throws `.invalidInput` and `.notFound` for what cannot be meant.
  public func validate() throws(Fault) {
    let t = timing
    guard (1...10).contains(t.shares.count), t.shares.last == 100, t.shares == t.shares.sorted(), t.shares.allSatisfy({ $0 > 0 })
    else {
      throw Fault(.invalidInput, "the shares do not rise to 100", hint: "write them as 10,50,100")
    }
    for (name, value, most) in [
      ("stage", t.stage, 86_400), ("probe", t.probe, 3600), ("drain", t.drain, 86_400), ("proof", t.proof, 30 * 86_400),
      ("hold", t.hold, 90 * 86_400),
    ] as [(String, Int64, Int64)] where !(0...most).contains(value) {
      throw Fault(.invalidInput, "'\(name)' is no number of seconds from 0 to \(most)")
    }
    guard every == nil || cron == nil else { throw Fault(.invalidInput, "there is an interval or a cron expression, not both") }
    if let every, !(3600...10 * 366 * 86_400).contains(every) {
      throw Fault(.invalidInput, "the interval is no time from an hour to ten years")
    }
    _ = try ZoneRules(named: timeZone)
    guard connector != Self.webhook || address != nil else {
      throw Fault(.invalidInput, "the webhook's URL is missing", hint: "give it with --address")
    }
    guard (connector == Self.hook) == (hook != nil) else {
      throw Fault(.invalidInput, "a hook's name goes with the connector 'hook'")
    }
    for (name, value) in parameters.merging(remote, uniquingKeysWith: { a, _ in a }) {
      let isPlain = value.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != 34 && $0 != 92 && $0 != 63 && $0 != 35 }
      guard (1...300).contains(value.utf8.count), isPlain else {
        throw Fault(.invalidInput, "'\(name.prefix(40))' cannot have that value")
      }
    }
    if let probePath {
      guard probePath.hasPrefix("/"), probePath.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
        throw Fault(.invalidInput, "the path to try a key with starts with '/'")
      }
    }
  }
}

/// A replacement under way: what a process that takes it over needs to know.
public struct RotationRun: Hashable, Sendable, Codable {
  public enum Step: String, Sendable, Codable, CaseIterable {
    case create, probe, shift, drain, prove, disable, hold, delete
    /// A person has to delete the old key.
    case confirm
    /// The new one is given up.
    case rollback
  }

  public var step = Step.create
  /// Versions of the provider key.
  public let from: UInt32
  public let to: UInt32
  /// Milliseconds since 1970.
  public let startedAt: Int64
  public var stepAt: Int64
  public var stage = 0
  /// Whether the provider may have been asked for a key already.
  public var isAsked = false
  /// What the provider calls the old secret: kept here, so that whatever is written first at the end, nothing else is deleted.
  public let oldRemote: [String: String]
  /// What the provider calls the new secret.
  public var remote: [String: String] = [:]
  /// Since when nothing new goes out with the old one.
  public var drainedAt: Int64?
  public var attempts = 0
  public var nextAttempt: Int64 = 0
  /// Why it does not go on, or why the new one is given up.
  public var because: String?
  public let actor: String

  public init(from: UInt32, to: UInt32, oldRemote: [String: String], startedAt: Int64, actor: String) {
    (self.from, self.to, self.startedAt, self.stepAt, self.actor) = (from, to, startedAt, startedAt, actor)
    self.oldRemote = oldRemote
  }

  /// Percent of the key's requests that go out with each version; nil: it is not used at all.
  public func share(of version: UInt32, _ timing: RotationPlan.Timing) -> Int? {
    let isOld = version == from
    switch step {
    case .create, .probe, .rollback: return isOld ? 100 : step == .rollback ? 0 : nil
    case .shift: return isOld ? 100 - timing.shares[stage] : timing.shares[stage]
    case .drain, .prove: return isOld ? 0 : 100
    case .disable, .hold, .delete, .confirm: return isOld ? nil : 100
    }
  }
}
