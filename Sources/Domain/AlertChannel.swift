public import Primitives

/// How much an alert matters.
public enum Severity: Int, Sendable, Codable, CaseIterable, Comparable {
  case info, warning, error, critical
  public var name: String { ["info", "warning", "error", "critical"][rawValue] }
  public init?(name: String) {
    guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// Where alerts are brought, and which.
public struct AlertChannel: Hashable, Sendable, Codable {
  public enum Kind: String, Sendable, Codable, CaseIterable { case webhook, slack, pagerduty, email, command }

  public var kind: Kind
  /// A URL; of e-mail `smtp://host:587` or `smtps://host:465`; of a command its name in the hooks folder.
  public var place: String
  /// Only alerts that matter as much.
  public var severity = Severity.warning
  /// Only these acts: whole names, or first parts of them; empty: all.
  public var acts: [String] = []
  /// Seconds that the first of several waits for the others, so that they come together.
  public var group = 10
  /// Seconds after which one that goes on is told again.
  public var again = 4 * 3600
  /// The channel that is told, too, when nobody has acknowledged it after so many seconds.
  public var escalation: Escalation?
  /// Of e-mail.
  public var from: String?
  public var to: [String]?
  public var user: String?
  /// A PEM file with the only authorities to trust.
  public var authorityFile: String?
  /// The envelope of its credential: what webhooks are signed with, a Slack URL's path, a routing key, a password.
  public var sealed: [UInt8]?

  public struct Escalation: Hashable, Sendable, Codable {
    public var channel: String
    public var seconds: Int
    public init(channel: String, seconds: Int) { (self.channel, self.seconds) = (channel, seconds) }
  }

  public init(_ kind: Kind, place: String) { (self.kind, self.place) = (kind, place) }

  public static let pagerDutyAddress = "https://events.pagerduty.com/v2/enqueue"

  public var needsSecret: Bool { kind == .webhook || kind == .pagerduty || user != nil }
  public var takesSecret: Bool { needsSecret || kind == .slack }

  /// The origin that its credential may be sent to.
  public func origin() throws(Fault) -> String {
    if kind == .command { return "hooks/\(place)" }
    if kind == .email { return place }
    let address = try WebAddress(place)
    try address.requireSecrecy()
    return address.origin
  }

  public func takes(_ act: String, _ severity: Severity) -> Bool {
    severity >= self.severity && (acts.isEmpty || acts.contains { act == $0 || act.hasPrefix("\($0).") })
  }

  /// Throws `.invalidInput` for what is missing or means nothing.
  public func validate() throws(Fault) {
    guard (1...500).contains(place.utf8.count), place.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw Fault(.invalidInput, "that place cannot be used")
    }
    switch kind {
    case .webhook, .slack, .pagerduty: _ = try origin()
    case .command:
      guard !place.contains("/"), !place.hasPrefix(".") else {
        throw Fault(.invalidInput, "a command is the name of a program in the hooks folder, without a path")
      }
    case .email:
      _ = try Self.mailHost(place)
      guard let from, Self.isAddress(from), let to, (1...20).contains(to.count), to.allSatisfy(Self.isAddress) else {
        throw Fault(.invalidInput, "e-mail needs an address that it is from, and 1 to 20 that it goes to")
      }
    }
    guard kind == .email || (from == nil && to == nil && user == nil) else {
      throw Fault(.invalidInput, "'from', 'to' and 'user' are of e-mail")
    }
    guard acts.count <= 50, acts.allSatisfy({ (1...64).contains($0.utf8.count) }) else {
      throw Fault(.invalidInput, "those acts cannot be used", hint: "at most 50, such as event.leaked or vault")
    }
    guard (0...3600).contains(group), (60...604_800).contains(again) else {
      throw Fault(.invalidInput, "alerts are grouped for 0 to 3600 seconds, and told again after 60 to 604800")
    }
    if let escalation {
      try DocumentName.validate(escalation.channel, of: "channel")
      guard (60...86_400).contains(escalation.seconds) else {
        throw Fault(.invalidInput, "alerts escalate after 60 to 86400 seconds")
      }
    }
  }

  /// The host of `smtp://host:587` or `smtps://host:465`, read as strictly as that of any other URL; throws `.invalidInput`.
  public static func mailHost(_ server: String) throws(Fault) -> String {
    let rest = server.hasPrefix("smtp://") ? server.dropFirst(7) : server.hasPrefix("smtps://") ? server.dropFirst(8) : ""
    do { return try WebAddress.authority(rest, defaultPort: 25).host } catch {
      throw Fault(
        .invalidInput, "that is no mail server", hint: "write it as smtp://mail.example.com:587 or smtps://mail.example.com:465")
    }
  }

  private static func isAddress(_ text: String) -> Bool {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { !$0.isEmpty } && text.utf8.count <= 254
      && text.utf8.allSatisfy { $0 > 32 && $0 < 127 && !"<>\",;:\\".utf8.contains($0) }
  }
}

/// Alerts that nobody is told of for a while.
public struct Silence: Hashable, Sendable, Codable {
  /// A whole act, or the first part of one; nil: any.
  public var act: String?
  /// nil: of anything.
  public var subject: String?
  /// Milliseconds since 1970.
  public var until: Int64
  public var reason: String
  public init(act: String?, subject: String?, until: Int64, reason: String) {
    (self.act, self.subject, self.until, self.reason) = (act, subject, until, reason)
  }

  public func covers(_ act: String, _ subject: String, at now: Int64) -> Bool {
    now < until && (self.act.map { act == $0 || act.hasPrefix("\($0).") } ?? true) && (self.subject.map { $0 == subject } ?? true)
  }
}
