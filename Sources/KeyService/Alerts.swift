public import Audit
import Cryptography
public import Domain
import FoundationEssentials
import PolicyEngine
public import Primitives
import Storage
import Vault

// Who is told of what. What is told of comes from the record of acts, so that a restart loses none of it: how far it was read and what
// came of it are kept as one.
extension KeyService {
  private static let entriesAtOnce = 500

  /// Reads on in the record of acts, and keeps what of it people have to be told.
  public func takeAlerts() throws(Fault) {
    guard vault != nil else { return }
    if alertBook == nil { try loadAlerts() }
    var book = alertBook!
    var changed: Set<String> = []
    var upTo = alertsUpTo
    let silences = Array(silences.values)
    for entry in try auditLog().entries(after: alertsUpTo, limit: Self.entriesAtOnce) {
      upTo = entry.number
      let id = RecordID.random(randomness).description
      if let alert = book.take(entry, id: id, channels: channels, silences: silences) { changed.insert(alert.id) }
    }
    changed.formUnion(book.escalate(channels, at: clock.now).map(\.id))
    guard upTo != alertsUpTo || !changed.isEmpty else { return }
    let gone = book.tidy(Set(channels.keys))
    try keep(changed.compactMap { book.alerts[$0] }, gone: gone, upTo: upTo)
    (alertBook, alertsUpTo) = (book, upTo)
  }

  func loadAlerts() throws(Fault) {
    let kept = try store.alerts()
    // What was done before anybody asked is told to nobody.
    if let upTo = kept.upTo {
      alertsUpTo = upTo
    } else {
      alertsUpTo = try auditLog().entries(limit: 1).first?.number ?? 0
      try store.save(alerts: [], upTo: alertsUpTo)
    }
    // An alert that cannot be read stops nothing: the audit log has what it was about.
    let alerts = kept.bodies.compactMap { try? JSONDecoder().decode(Alert.self, from: Data($0)) }
    damaged.alerts = Count(clamping: kept.bodies.count - alerts.count)
    alertBook = AlertBook(alerts.map { $0.bounded() })
  }

  private func keep(_ alerts: [Alert], gone: [String] = [], upTo: Int64) throws(Fault) {
    var rows: [(id: String, body: [UInt8]?)] = gone.map { ($0, nil) }
    for alert in alerts {
      guard let body = try? JSONEncoder().encode(alert) else { throw Fault(.system, "an alert cannot be written down") }
      rows.append((alert.id, [UInt8](body)))
    }
    try store.save(alerts: rows, upTo: upTo)
  }

  /// Channels that have something to be told now.
  public func channelsDue() -> [String] {
    channels.keys.sorted().filter { !telling.contains($0) && alertBook?.due($0, at: clock.now).isEmpty == false }
  }

  /// Tells a channel what it has to be told; what kept it, when something did.
  public func tell(_ name: String) async throws(Fault) -> String? {
    guard let channel = channels[name], telling.insert(name).inserted else { return nil }
    defer { telling.remove(name) }
    let due = alertBook?.due(name, at: clock.now) ?? []
    guard !due.isEmpty else { return nil }
    return try await tell(due, to: channel, named: name, secret: nil)
  }

  /// Tells a channel, and keeps that it was told; what kept it, when something did. `secret` is its credential, opened before; nil: it is opened.
  func tell(_ due: [Alert], to channel: AlertChannel, named name: String, secret: [UInt8]?) async throws(Fault) -> String? {
    var trouble: String?
    // What was told before a failure is not told again.
    for batch in channel.kind == .pagerduty ? due.map({ [$0] }) : [due] where trouble == nil {
      do throws(Fault) {
        var opened: [UInt8] = []
        if let secret { opened = secret } else { opened = try credential(of: channel, named: name) }
        defer { wipe(&opened) }
        try await send(batch, to: channel, opened)
      } catch { trouble = Label.fitting(error.message) }
      guard var book = alertBook else { break }
      let noted = (trouble == nil ? batch : due).map(\.id).filter { book.alerts[$0]?.tellings[name]?.due != nil }
      let changed = book.note(noted, name, trouble: trouble, at: clock.now)
      alertBook = book
      try keep(changed, upTo: alertsUpTo)
    }
    return trouble
  }

  /// What a channel is told with; nothing where it needs nothing. Whoever asks wipes it.
  func credential(of channel: AlertChannel, named name: String) throws(Fault) -> [UInt8] {
    let vault = try requireVault()
    guard let sealed = channel.sealed else { return [] }
    let opened = try vault.open(sealed, for: "alert-channel/\(name)", hosts: [try channel.origin()])
    return [UInt8](copying: opened.span)
  }

  private func send(_ alerts: [Alert], to channel: AlertChannel, _ secret: [UInt8]) async throws(Fault) {
    // The same at every repetition, so that a receiver can tell that it has it.
    let id =
      "alert_"
      + hexadecimal(
        Array(SHA256.digest(Array(alerts.map { "\($0.id)/\($0.count)" }.joined(separator: " ").utf8).span).prefix(12)))
    let answer: OutboundAnswer
    switch channel.kind {
    case .command:
      _ = try await outside.run(
        hook: channel.place, [], input: try Delivery.json(AlertBundle(alerts: alerts.map { AlertMessage($0) })))
      return
    case .email:
      return try await outside.mail(MailMessage(alerts, channel, password: secret, id: id, now: clock.now))
    case .webhook:
      let body = try Delivery.json(AlertBundle(alerts: alerts.map { AlertMessage($0) }))
      answer = try await outside.call(
        OutboundRequest(
          "POST", channel.place, headers: Webhook.headers(body, id: id, now: clock.now, secret: secret.span), body: body,
          authorityFile: channel.authorityFile))
    case .slack:
      // Of Slack's own URLs the path is the secret.
      let url = channel.place + String(decoding: secret, as: UTF8.self)
      answer = try await outside.call(
        OutboundRequest(
          "POST", url, headers: [("Content-Type", Array("application/json".utf8))], body: try Delivery.json(SlackMessage(alerts)),
          authorityFile: channel.authorityFile))
    case .pagerduty:
      let event = PagerDutyEvent(alerts[0], routingKey: String(decoding: secret, as: UTF8.self))
      answer = try await outside.call(
        OutboundRequest(
          "POST", channel.place, headers: [("Content-Type", Array("application/json".utf8))], body: try Delivery.json(event),
          authorityFile: channel.authorityFile))
    }
    guard (200..<300).contains(answer.status) else { throw Fault(.unavailable, "the channel answered \(answer.status)") }
  }

  // MARK: people

  public func alerts() throws(Fault) -> [Alert] {
    try takeAlerts()
    _ = try requireVault()
    return (alertBook?.alerts.values).map { $0.sorted { ($1.lastAt, $1.id) < ($0.lastAt, $0.id) } } ?? []
  }

  public func setAlert(_ id: String, _ state: Alert.State) throws(Fault) -> Alert {
    try takeAlerts()
    guard var book = alertBook else { throw Fault(.sealed, "the vault is sealed", hint: "run 'maskllm unseal' first") }
    let alert = try book.set(state, id, by: Caller.current.name)
    try audit("alert.\(state == .resolved ? "resolve" : "acknowledge")", "alert/\(id)", ["of": alert.act])
    try keep([alert], upTo: alertsUpTo)
    alertBook = book
    return alert
  }

  // MARK: channels

  public func setChannel(_ name: String, _ channel: AlertChannel, secret: [UInt8]?) throws(Fault) {
    let vault = try requireVault()
    try DocumentName.validate(name, of: "channel")
    try channel.validate()
    var channel = channel
    if let escalation = channel.escalation {
      guard escalation.channel != name, channels[escalation.channel] != nil else {
        throw Fault(.notFound, "there is no other channel '\(escalation.channel.prefix(64))' to escalate to")
      }
    }
    let origin = try channel.origin()
    if let secret, !secret.isEmpty {
      guard channel.takesSecret else { throw Fault(.invalidInput, "a \(channel.kind.rawValue) has no credential") }
      guard secret.allSatisfy({ $0 > 32 && $0 < 127 }) else { throw Fault(.invalidInput, "that credential cannot be used") }
      channel.sealed = try vault.seal(secret.span, for: "alert-channel/\(name)", hosts: [origin])
    } else if let known = channels[name], known.kind == channel.kind, let sealed = known.sealed, try known.origin() == origin {
      channel.sealed = sealed
    } else if channel.needsSecret {
      throw Fault(
        .invalidInput, "a \(channel.kind.rawValue) needs a credential",
        hint: "what webhooks are signed with, PagerDuty's routing key, the mail server's password; commands read it from stdin")
    }
    try write(.alertChannel, name, channel)
    channels[name] = channel
  }

  public func removeChannel(_ name: String) throws(Fault) {
    if let user = channels.sorted(by: { $0.key < $1.key }).first(where: { $0.value.escalation?.channel == name }) {
      throw Fault(.conflict, "'\(user.key)' escalates to it", hint: "change or remove that first")
    }
    try erase(.alertChannel, name)
    channels[name] = nil
  }

  /// Tells a channel that this is a test, now.
  public func testChannel(_ name: String) async throws(Fault) {
    guard let channel = channels[name] else {
      throw Fault(.notFound, "there is no channel '\(name.prefix(64))'", hint: "see 'maskllm alert-channel list'")
    }
    try audit("alert_channel.test", "alert-channel/\(name)")
    let alert = Alert.test(id: RecordID.random(randomness).description, at: clock.now, by: Caller.current.name)
    var secret = try credential(of: channel, named: name)
    defer { wipe(&secret) }
    try await send([alert], to: channel, secret)
  }

  public func setSilence(_ name: String, _ silence: Silence) throws(Fault) {
    try DocumentName.validate(name, of: "silence")
    try Label.validate(silence.reason, of: "reason")
    guard silence.act != nil || silence.subject != nil else {
      throw Fault(.invalidInput, "a silence names an act or a subject", hint: "of everything there is none")
    }
    guard silence.until > clock.now.milliseconds, silence.until <= clock.now.milliseconds + 31 * 86_400_000 else {
      throw Fault(.invalidInput, "a silence ends within 31 days")
    }
    try write(.silence, name, silence)
    silences[name] = silence
  }

  public func removeSilence(_ name: String) throws(Fault) {
    try erase(.silence, name)
    silences[name] = nil
  }

  // MARK: what nobody did

  /// Looks at what changes by itself: provider keys that the provider refuses, refusals beyond what is usual.
  public func watchForAlerts() throws(Fault) {
    guard vault != nil else { return }
    let quarantined = Set(
      primaryKeys().filter { health(of: $0.id)?.state(now: monotonicNanoseconds()) == .quarantined }.map(\.id))
    for id in quarantined.subtracting(knownQuarantined).sorted() {
      let provider = providerKeys.first { $0.id == id }?.provider ?? ""
      try audit(
        "event.quarantined", "provider-key/\(id)", ["provider": provider, "because": "its provider refuses it"], by: .gateway)
    }
    knownQuarantined = quarantined
    if damaged != toldDamaged {
      try audit("event.records_damaged", "records", ["because": damaged.text], by: .gateway)
      toldDamaged = damaged
    }
    if let spike = refusalWatch.take(traffic.refusals.values.reduce(0, +), at: clock.now) {
      try audit(
        "event.refusals", "gateway",
        [
          "in_a_minute": "\(spike.count)", "usual": "\(spike.usual)",
          "because": "\(spike.count) refusals in a minute; \(spike.usual) are usual",
        ],
        by: .gateway)
    }
  }

  /// Writes down that a budget has reached a share of what it has.
  func noteBudget(_ account: String, percent: Int) throws(Fault) {
    try audit("event.budget", account, ["percent": "\(percent)", "because": "\(percent) % are spent"], by: .gateway)
  }
}

/// Whether a minute has more refusals than minutes usually have.
struct RefusalWatch {
  private var minute: Int64 = 0
  private var atStart = 0
  /// An average that follows: nil before the first whole minute.
  private var usual: Double?
  private var isSaid = false

  static let least = 60
  static let times = 5.0

  mutating func take(_ total: Int, at now: Timestamp) -> (count: Int, usual: Int)? {
    let present = now.milliseconds / 60_000
    if present != minute {
      if minute != 0 { usual = (usual ?? Double(total - atStart)) * 0.9 + Double(total - atStart) * 0.1 }
      (minute, atStart, isSaid) = (present, total, false)
    }
    let count = total - atStart
    guard !isSaid, count >= Self.least, Double(count) > (usual ?? 0) * Self.times else { return nil }
    isSaid = true
    return (count, Int(usual ?? 0))
  }
}
