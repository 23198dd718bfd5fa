public import Primitives

/// What a masked key is granted, as one document: its own policy, and the names of those above it.
///
/// Behind a reference, since a hundred thousand keys have few different ones: what is copied, and mostly what is compared, is that.
public struct Grant: Hashable, Sendable, Codable {
  private var content: Content

  private final class Content: Sendable {
    let policy: Policy
    let sharedPolicy: String?
    let team: String?
    let hasLimits: Bool

    init(_ policy: Policy, _ sharedPolicy: String?, _ team: String?) {
      (self.policy, self.sharedPolicy, self.team) = (policy, sharedPolicy, team)
      hasLimits = policy.hasLimits
    }
  }

  public init(policy: Policy, sharedPolicy: String? = nil, team: String? = nil) {
    content = Content(policy, sharedPolicy, team)
  }

  public var policy: Policy {
    get { content.policy }
    set { content = Content(newValue, sharedPolicy, team) }
  }
  public var sharedPolicy: String? {
    get { content.sharedPolicy }
    set { content = Content(policy, newValue, team) }
  }
  public var team: String? {
    get { content.team }
    set { content = Content(policy, sharedPolicy, newValue) }
  }
  /// Whether the own policy limits anything.
  public var hasLimits: Bool { content.hasLimits }

  public static func == (a: Grant, b: Grant) -> Bool {
    a.content === b.content || (a.policy == b.policy && a.sharedPolicy == b.sharedPolicy && a.team == b.team)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(policy)
    hasher.combine(sharedPolicy)
    hasher.combine(team)
  }

  private enum Field: String, CodingKey {
    case sharedPolicy = "policy"
    case team
  }

  /// One object: the members of the policy and these two.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Field.self)
    content = Content(
      try Policy(from: decoder), try container.decodeIfPresent(String.self, forKey: .sharedPolicy),
      try container.decodeIfPresent(String.self, forKey: .team))
  }

  public func encode(to encoder: any Encoder) throws {
    try policy.encode(to: encoder)
    var container = encoder.container(keyedBy: Field.self)
    try container.encodeIfPresent(sharedPolicy, forKey: .sharedPolicy)
    try container.encodeIfPresent(team, forKey: .team)
  }
}

/// The record of a masked key: everything but its secret, of which only a keyed hash is kept.
public struct MaskedKey: Equatable, Sendable {
  public let id: RecordID
  public var name: String
  public var grant: Grant
  /// The key's own policy. What is in force is what this, the shared policy and the team's all permit.
  public var policy: Policy {
    get { grant.policy }
    set { grant.policy = newValue }
  }
  /// The named policy that it shares with others.
  public var sharedPolicy: String? {
    get { grant.sharedPolicy }
    set { grant.sharedPolicy = newValue }
  }
  public var team: String? {
    get { grant.team }
    set { grant.team = newValue }
  }
  public var state: State
  public let createdAt: Timestamp
  /// No longer accepted from this moment on.
  public var expiresAt: Timestamp?
  /// HMAC-SHA-256 of the whole masked key under the pepper of `pepperVersion`; 32 bytes.
  public var hash: [UInt8]
  public var pepperVersion: UInt32
  /// What most keys do not have: a hundred thousand of them must not pay for it.
  private var box: DetailsBox?
  public var details: KeyDetails {
    get { box?.details ?? KeyDetails() }
    set { box = newValue == KeyDetails() ? nil : DetailsBox(newValue) }
  }
  /// Counts changes, starting at 1.
  public var revision: Int64

  public init(
    id: RecordID, name: String, grant: Grant, state: State, createdAt: Timestamp, expiresAt: Timestamp?, hash: [UInt8],
    pepperVersion: UInt32, details: KeyDetails = KeyDetails(), revision: Int64
  ) {
    self.id = id
    self.name = name
    self.grant = grant
    self.state = state
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.hash = hash
    self.pepperVersion = pepperVersion
    box = details == KeyDetails() ? nil : DetailsBox(details)
    self.revision = revision
  }

  /// When the present secret was made.
  public var versionMadeAt: Timestamp { details.madeAt.map(Timestamp.init(milliseconds:)) ?? createdAt }

  /// Where a masked key stands. `active` ⇄ `disabled`; either → `revoked`, from which nothing leads back; then `destroyed`: what
  /// its secrets could be recognised by is erased.
  public enum State: String, Sendable, Codable, CaseIterable {
    case active, disabled, revoked, destroyed

    /// Whether nothing leads back from it.
    public var isFinal: Bool { self == .revoked || self == .destroyed }
  }

  /// The state after `change`; throws `.conflict` where the lifecycle has no such step. Repeating a step is no error.
  public func state(after change: Change) throws(Fault) -> State {
    switch (state, change) {
    case (.destroyed, .destroy): return .destroyed
    case (.destroyed, _): throw Fault(.conflict, "key \(id) is destroyed", hint: "create a new key instead")
    case (.revoked, .destroy): return .destroyed
    case (_, .destroy):
      throw Fault(.conflict, "key \(id) is not revoked", hint: "revoke it first; what is destroyed cannot even be recognised")
    case (_, .revoke): return .revoked
    case (.revoked, _):
      throw Fault(.conflict, "key \(id) is revoked, which is final", hint: "create a new key instead")
    case (_, .disable): return .disabled
    case (_, .enable): return .active
    }
  }

  public enum Change: String, Sendable, CaseIterable { case disable, enable, revoke, destroy }
}

/// Details behind a reference; never changed once made.
private final class DetailsBox: Sendable, Equatable {
  let details: KeyDetails
  init(_ details: KeyDetails) { self.details = details }
  static func == (a: DetailsBox, b: DetailsBox) -> Bool { a.details == b.details }
}
