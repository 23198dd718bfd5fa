import Audit
import Cryptography
import Domain
import KeyService
import Primitives

// What people have to be told, and where.
extension AdminAPI {
  func listAlerts(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    let state = try r.query["state"].map { (text) throws(Fault) in
      guard let state = Alert.State(rawValue: text) else {
        throw Fault(.invalidInput, "there is no such state", hint: "use one of: open, acknowledged, resolved")
      }
      return state
    }
    let alerts = try service.alerts().filter { state == nil || $0.state == state }
    return try page(r, of: alerts, filters: ["state"], by: \.id) { AlertDocument($0) }
  }

  func showAlert(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try one(r, "alert '\(id.prefix(20))'", try service.alerts().first { $0.id == id }.map { AlertDocument($0) })
  }

  func setAlert(_ r: borrowing AdminRequest, _ id: String, _ state: Alert.State) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try encode(AlertDocument(try service.setAlert(id, state)))
  }

  // MARK: channels

  private func channelDocuments() throws(Fault) -> [AlertChannelDocument] {
    try service.requireOpen()
    let alerts = try service.alerts()
    return service.channels.sorted { $0.key < $1.key }.map { AlertChannelDocument($0.key, $0.value, alerts) }
  }

  func listChannels(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try page(r, of: try channelDocuments(), by: { $0.name ?? "" }) { $0 }
  }

  func showChannel(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try one(r, "channel '\(name.prefix(64))'", try channelDocuments().first { $0.name == name })
  }

  func setChannel(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    let document: AlertChannelDocument = try decode(r)
    let channel = try document.channel()
    var secret = document.secret.map { Array($0.utf8) }
    defer { if secret != nil { wipe(&secret!) } }
    try service.setChannel(name, channel, secret: secret)
    return try encode(AlertChannelDocument(name, service.channels[name] ?? channel, []))
  }

  func removeChannel(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.removeChannel(name)
    return AdminResponse(status: 204, body: [])
  }

  func testChannel(_ r: borrowing AdminRequest, _ name: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.testChannel(name)
    return AdminResponse(status: 204, body: [])
  }

  // MARK: silences

  private func silenceDocuments() throws(Fault) -> [SilenceDocument] {
    try service.requireOpen()
    return service.silences.sorted { $0.key < $1.key }.map { SilenceDocument($0.key, $0.value) }
  }

  func listSilences(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try page(r, of: try silenceDocuments(), by: { $0.name ?? "" }) { $0 }
  }

  func showSilence(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try one(r, "silence '\(name.prefix(64))'", try silenceDocuments().first { $0.name == name })
  }

  func setSilence(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    let document: SilenceDocument = try decode(r)
    guard let until = try moment(document.until) else { throw Fault(.invalidInput, "a silence ends at some time") }
    let silence = Silence(act: document.act, subject: document.subject, until: until.milliseconds, reason: document.reason)
    try service.setSilence(name, silence)
    return try encode(SilenceDocument(name, silence))
  }

  func removeSilence(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.removeSilence(name)
    return AdminResponse(status: 204, body: [])
  }
}

/// Something that people have to be told.
public struct AlertDocument: Codable, Sendable {
  public var id: String
  public var act: String
  public var subject: String
  /// `info`, `warning`, `error`, `critical`.
  public var severity: String
  public var title: String
  /// `open`, `acknowledged`, `resolved`.
  public var state: String
  /// How often the same was written down.
  public var count: Int
  public var first_at: String
  public var last_at: String
  public var actor: String
  public var details: [String: String]
  /// Who acknowledged or resolved it.
  public var by: String?
  public var silenced: Bool
  /// Channels that were told.
  public var told: [String]
  /// Channels that are still to be told, with what keeps them.
  public var waiting: [String: String]

  init(_ alert: Alert) {
    (id, act, subject, severity) = (alert.id, alert.act, alert.subject, alert.severity.name)
    (title, state, count) = (alert.title, alert.state.rawValue, alert.count)
    first_at = Timestamp(milliseconds: alert.firstAt).rfc3339
    last_at = Timestamp(milliseconds: alert.lastAt).rfc3339
    (actor, details, by, silenced) = (alert.actor, alert.details, alert.by, alert.isSilenced)
    told = alert.tellings.filter { $0.value.toldAt != nil }.map(\.key).sorted()
    waiting = alert.tellings.filter { $0.value.due != nil && $0.value.toldAt == nil }.mapValues { $0.trouble ?? "" }
  }
}

/// Where alerts are brought, and which. `secret` only goes in.
public struct AlertChannelDocument: Codable, Sendable, AnsweredDocument {
  public var name: String?
  /// `webhook`, `slack`, `pagerduty`, `email`, `command`.
  public var kind: String
  /// A URL, `smtp://host:587`, or the name of a program in the hooks folder; PagerDuty has one of its own.
  public var place: String?
  /// Only alerts that matter as much: `info`, `warning`, `error`, `critical`.
  public var severity: String?
  public var acts: [String]?
  public var group_seconds: Int?
  public var again_seconds: Int?
  public var escalate_to: String?
  public var escalate_seconds: Int?
  public var from: String?
  public var to: [String]?
  public var user: String?
  public var authority_file: String?
  public var secret: String?
  public var has_secret: Bool?
  /// What keeps it from being told something, and how much waits.
  public var trouble: String?
  public var waiting: Int?
  static let onlyInAnswers: Set = ["name", "has_secret", "trouble", "waiting"]

  public init(kind: String) { self.kind = kind }

  init(_ name: String, _ channel: AlertChannel, _ alerts: [Alert]) {
    (self.name, kind, place) = (name, channel.kind.rawValue, channel.place)
    (severity, acts) = (channel.severity.name, channel.acts)
    (group_seconds, again_seconds) = (channel.group, channel.again)
    (escalate_to, escalate_seconds) = (channel.escalation?.channel, channel.escalation?.seconds)
    (from, to, user, authority_file) = (channel.from, channel.to, channel.user, channel.authorityFile)
    has_secret = channel.sealed != nil
    let tellings = alerts.compactMap { $0.tellings[name] }.filter { $0.due != nil }
    (trouble, waiting) = (tellings.compactMap(\.trouble).first, tellings.count)
  }

  func channel() throws(Fault) -> AlertChannel {
    guard let kind = AlertChannel.Kind(rawValue: kind) else {
      let all = AlertChannel.Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw Fault(.invalidInput, "there is no such kind of channel", hint: "use one of: \(all)")
    }
    guard let place = place ?? (kind == .pagerduty ? AlertChannel.pagerDutyAddress : nil) else {
      throw Fault(.invalidInput, "a channel needs a place", hint: "a URL, smtp://host:587, or the name of a hook")
    }
    var channel = AlertChannel(kind, place: place)
    if let severity {
      guard let found = Severity(name: severity) else {
        throw Fault(.invalidInput, "there is no such severity", hint: "use one of: info, warning, error, critical")
      }
      channel.severity = found
    }
    (channel.acts, channel.group, channel.again) = (acts ?? [], group_seconds ?? channel.group, again_seconds ?? channel.again)
    switch (escalate_to, escalate_seconds) {
    case (nil, nil): break
    case (let other?, let seconds): channel.escalation = AlertChannel.Escalation(channel: other, seconds: seconds ?? 900)
    case (nil, _?): throw Fault(.invalidInput, "'escalate_seconds' means nothing without 'escalate_to'")
    }
    (channel.from, channel.to, channel.user, channel.authorityFile) = (from, to, user, authority_file)
    return channel
  }
}

/// Alerts that nobody is told of for a while.
public struct SilenceDocument: Codable, Sendable, AnsweredDocument {
  public var name: String?
  /// A whole act, or the first part of one.
  public var act: String?
  public var subject: String?
  public var until: String
  public var reason: String
  static let onlyInAnswers: Set = ["name"]

  public init(until: String, reason: String) { (self.until, self.reason) = (until, reason) }

  init(_ name: String, _ silence: Silence) {
    (self.name, act, subject, reason) = (name, silence.act, silence.subject, silence.reason)
    until = Timestamp(milliseconds: silence.until).rfc3339
  }
}
