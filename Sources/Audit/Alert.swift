public import Domain
public import Primitives

/// Something that people have to be told: one or more entries of the record of acts that say the same of the same thing.
public struct Alert: Sendable, Codable, Equatable {
  public enum State: String, Sendable, Codable, CaseIterable { case open, acknowledged, resolved }

  /// What is under way to one channel.
  public struct Telling: Sendable, Codable, Equatable {
    /// Not before this moment, in milliseconds since 1970; nil: nothing is to be told.
    public var due: Int64?
    public var attempts = 0
    public var toldAt: Int64?
    /// What kept it the last time.
    public var trouble: String?
  }

  public let id: String
  public let act: String
  public let subject: String
  public let severity: Severity
  public let firstAt: Int64
  public internal(set) var lastAt: Int64
  public internal(set) var count = 1
  public internal(set) var actor: String
  public internal(set) var details: [String: String]
  public internal(set) var state = State.open
  /// Who acknowledged or resolved it.
  public internal(set) var by: String?
  /// Whether a silence kept it from being told.
  public internal(set) var isSilenced = false
  public internal(set) var tellings: [String: Telling] = [:]

  /// One line for people.
  public var title: String {
    let what = act.hasPrefix("event.") ? act.dropFirst("event.".count) : act[...]
    let because = details["because"] ?? details["reason"] ?? ""
    let times = count > 1 ? " (\(count) times)" : ""
    return "\(what.replacing("_", with: " ")): \(subject)\(times)\(because.isEmpty ? "" : " — \(because)")"
  }

  init(_ entry: AuditEntry, id: String, severity: Severity) {
    self.id = id
    (act, subject, self.severity, actor) = (entry.act, entry.subject, severity, entry.actor)
    (firstAt, lastAt, details) = (entry.at.milliseconds, entry.at.milliseconds, entry.details)
  }
}

extension Alert {
  /// The same with moments of the years 1 to 9999 and counts of 0 or more: what was read back may say anything.
  public func bounded() -> Alert {
    func moment(_ at: Int64) -> Int64 { Timestamp(milliseconds: at).milliseconds }
    var alert = self
    (alert.lastAt, alert.count) = (moment(lastAt), Int(Count(clamping: count).told.count))
    alert.tellings = tellings.mapValues { telling in
      Telling(
        due: telling.due.map(moment), attempts: min(max(telling.attempts, 0), 1000), toldAt: telling.toldAt.map(moment),
        trouble: telling.trouble)
    }
    return alert
  }

  /// One that says that it is a test.
  public static func test(id: String, at now: Timestamp, by who: String) -> Alert {
    Alert(
      AuditEntry(
        number: 0, at: now, actor: who, act: "event.test", subject: "alert/\(id)",
        details: ["because": "somebody wanted to see whether alerts arrive"]), id: id, severity: .info)
  }
}

/// Which acts are alerts, which of them are one, and who has to be told when. A value: what it says is kept by whoever owns it.
public struct AlertBook: Sendable {
  public private(set) var alerts: [String: Alert] = [:]
  /// Of what is not resolved, by what makes two the same.
  private var open: [String: String] = [:]

  /// Of those that are resolved, so many are remembered.
  public static let resolvedMax = 1000
  static let backOff: [Int64] = [5, 15, 60, 300, 900, 3600]

  public init(_ alerts: [Alert] = []) {
    for alert in alerts {
      self.alerts[alert.id] = alert
      if alert.state != .resolved { open[Self.same(alert.act, alert.subject, alert.details)] = alert.id }
    }
  }

  private static func same(_ act: String, _ subject: String, _ details: [String: String]) -> String {
    "\(act) \(subject) \(details["trigger"] ?? "") \(details["destination"] ?? "") \(details["percent"] ?? "")"
  }

  /// nil for what is no alert.
  public static func severity(of entry: AuditEntry) -> Severity? {
    switch entry.act {
    case "event.audit_broken", "vault.seal", "event.leaked", "event.refused_key", "event.decoy": .critical
    case "event.trigger": entry.details["shadow"] == "true" ? .info : entry.details["then"] == "alert" ? .warning : .error
    case "provider_key.rotation_failed", "event.rotation_trouble", "event.delivery_failed", "event.quarantined",
      "event.trigger_failed", "event.checkpoint_trouble", "event.guessing":
      .error
    case "vault.unseal": .info
    case let act where act.hasPrefix("vault."): .warning
    case let act where act.hasPrefix("event."): .warning
    default: nil
    }
  }

  /// Takes an entry; the alert that came of it, or that it was added to.
  public mutating func take(
    _ entry: AuditEntry, id: String, channels: [String: AlertChannel], silences: [Silence]
  ) -> Alert? {
    guard let severity = Self.severity(of: entry) else { return nil }
    let same = Self.same(entry.act, entry.subject, entry.details)
    var alert: Alert
    if let known = open[same].flatMap({ alerts[$0] }) {
      alert = known
      alert.count.increment()
      (alert.lastAt, alert.details, alert.actor) = (entry.at.milliseconds, entry.details, entry.actor)
    } else {
      alert = Alert(entry, id: id, severity: severity)
    }
    alert.isSilenced = silences.contains { $0.covers(entry.act, entry.subject, at: entry.at.milliseconds) }
    if !alert.isSilenced, alert.state == .open {
      for (name, channel) in channels where channel.takes(alert.act, severity) {
        var telling = alert.tellings[name] ?? Alert.Telling()
        guard telling.due == nil else { continue }
        // The same again within a while is counted, not told.
        let soonest = telling.toldAt.map { $0 + Int64(channel.again) * 1000 } ?? 0
        telling.due = max(entry.at.milliseconds + Int64(channel.group) * 1000, soonest)
        (telling.attempts, telling.trouble) = (0, nil)
        alert.tellings[name] = telling
      }
    }
    put(alert)
    return alert
  }

  private mutating func put(_ alert: Alert) {
    alerts[alert.id] = alert
    let same = Self.same(alert.act, alert.subject, alert.details)
    open[same] = alert.state == .resolved ? nil : alert.id
  }

  /// Those that a channel has to be told of now, the oldest first: with one that is due go all that wait.
  public func due(_ channel: String, at now: Timestamp) -> [Alert] {
    let waiting = alerts.values.filter { $0.tellings[channel]?.due != nil }
    guard waiting.contains(where: { $0.tellings[channel]!.due! <= now.milliseconds }) else { return [] }
    return waiting.filter { alert in
      let telling = alert.tellings[channel]!
      // What was refused waits its own time, and what is only told again does, too.
      return telling.due! <= now.milliseconds || (telling.attempts == 0 && telling.toldAt == nil)
    }.sorted { ($0.firstAt, $0.id) < ($1.firstAt, $1.id) }
  }

  /// Those that a channel will have to be told of, the oldest first.
  public func waiting(_ channel: String) -> [Alert] {
    alerts.values.filter { $0.tellings[channel]?.due != nil }.sorted { ($0.firstAt, $0.id) < ($1.firstAt, $1.id) }
  }

  /// Notes that a channel was told, or what kept it; what of that is to be kept.
  public mutating func note(_ ids: [String], _ channel: String, trouble: String?, at now: Timestamp) -> [Alert] {
    var changed: [Alert] = []
    for id in ids {
      guard var alert = alerts[id], var telling = alert.tellings[channel] else { continue }
      if let trouble {
        let wait = Self.backOff[min(telling.attempts, Self.backOff.count - 1)]
        telling.attempts += 1
        (telling.due, telling.trouble) = (now.milliseconds + wait * 1000, trouble)
      } else {
        telling = Alert.Telling(due: nil, attempts: 0, toldAt: now.milliseconds, trouble: nil)
      }
      alert.tellings[channel] = telling
      put(alert)
      changed.append(alert)
    }
    return changed
  }

  /// Has those told further that nobody has acknowledged for long; what of that is to be kept.
  public mutating func escalate(_ channels: [String: AlertChannel], at now: Timestamp) -> [Alert] {
    var changed: [Alert] = []
    for alert in alerts.values where alert.state == .open {
      var alert = alert
      for (name, channel) in channels {
        guard let escalation = channel.escalation, let toldAt = alert.tellings[name]?.toldAt,
          now.milliseconds >= toldAt + Int64(escalation.seconds) * 1000, channels[escalation.channel] != nil,
          alert.tellings[escalation.channel] == nil
        else { continue }
        alert.tellings[escalation.channel] = Alert.Telling(due: now.milliseconds)
      }
      if alert != alerts[alert.id] {
        put(alert)
        changed.append(alert)
      }
    }
    return changed
  }

  /// Somebody has seen it, or says that it is over. Throws `.notFound`.
  public mutating func set(_ state: Alert.State, _ id: String, by: String) throws(Fault) -> Alert {
    guard var alert = alerts[id] else {
      throw Fault(.notFound, "there is no alert '\(id.prefix(20))'", hint: "see 'maskllm alert list'")
    }
    guard alert.state != .resolved else { throw Fault(.conflict, "the alert is resolved") }
    (alert.state, alert.by) = (state, by)
    // Whoever was told hears the end of it where that means something; nobody else needs to.
    for (name, telling) in alert.tellings where telling.toldAt == nil { alert.tellings[name] = nil }
    for name in alert.tellings.keys { alert.tellings[name]!.due = nil }
    put(alert)
    return alert
  }

  /// Forgets channels that are gone, and the oldest of too many that are resolved: the alerts to erase.
  public mutating func tidy(_ channels: Set<String>) -> [String] {
    for (id, alert) in alerts where !Set(alert.tellings.keys).isSubset(of: channels) {
      alerts[id]!.tellings = alert.tellings.filter { channels.contains($0.key) }
    }
    let resolved = alerts.values.filter { $0.state == .resolved }
    guard resolved.count > Self.resolvedMax else { return [] }
    let old = resolved.sorted { $0.lastAt < $1.lastAt }.prefix(resolved.count - Self.resolvedMax).map(\.id)
    for id in old { alerts[id] = nil }
    return old
  }
}
