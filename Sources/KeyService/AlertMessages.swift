import Audit
import Domain
import Primitives

/// One alert as channels show it.
struct AlertMessage: Codable {
  var id: String
  var act: String
  var subject: String
  var severity: String
  var title: String
  var count: Int
  var first_at: String
  var last_at: String
  var actor: String
  var details: [String: String]

  init(_ alert: Alert) {
    (id, act, subject, severity) = (alert.id, alert.act, alert.subject, alert.severity.name)
    (title, count, actor, details) = (alert.title, alert.count, alert.actor, alert.details)
    first_at = Timestamp(milliseconds: alert.firstAt).rfc3339
    last_at = Timestamp(milliseconds: alert.lastAt).rfc3339
  }
}

/// What programs and webhooks get.
struct AlertBundle: Codable {
  var type = "alerts"
  var alerts: [AlertMessage]
}

/// What Slack and what speaks like it get.
struct SlackMessage: Codable {
  var text: String

  init(_ alerts: [Alert]) {
    let signs = ["info": ":information_source:", "warning": ":warning:", "error": ":x:", "critical": ":rotating_light:"]
    text = alerts.map { "\(signs[$0.severity.name] ?? "") *\($0.severity.name)* \(Self.escaped($0.title))" }.joined(
      separator: "\n")
  }

  /// Three characters are marks there, and only they.
  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}

/// PagerDuty's Events API, version 2.
struct PagerDutyEvent: Codable {
  struct Payload: Codable {
    var summary: String
    var source = "maskllm"
    var severity: String
    var timestamp: String
    var component: String
    var custom_details: [String: String]
  }
  var routing_key: String
  var event_action = "trigger"
  var dedup_key: String
  var payload: Payload

  init(_ alert: Alert, routingKey: String) {
    routing_key = routingKey
    dedup_key = "maskllm/\(alert.id)"
    payload = Payload(
      summary: String(alert.title.prefix(1000)), severity: alert.severity.name,
      timestamp: Timestamp(milliseconds: alert.lastAt).rfc3339, component: alert.subject, custom_details: alert.details)
  }
}

/// A message for a mail server.
public struct MailMessage: Sendable {
  /// `smtp://host:port` or `smtps://host:port`.
  public let server: String
  public let from: String
  public let to: [String]
  public let user: String?
  /// Whoever sends it wipes it.
  public let password: [UInt8]
  public let authorityFile: String?
  /// Head and body (RFC 5322).
  public let text: [UInt8]

  init(_ alerts: [Alert], _ channel: AlertChannel, password: [UInt8], id: String, now: Timestamp) {
    (server, from, to, user) = (channel.place, channel.from ?? "", channel.to ?? [], channel.user)
    (self.password, authorityFile) = (password, channel.authorityFile)
    let worst = alerts.map(\.severity).max() ?? .info
    let first = alerts.first?.title ?? ""
    let subject = "[maskllm \(worst.name)] " + (alerts.count == 1 ? first : "\(alerts.count) alerts")
    var body = ""
    for alert in alerts {
      body += "\(alert.severity.name): \(alert.title)\r\n"
      body += "  \(Timestamp(milliseconds: alert.firstAt).rfc3339), by \(alert.actor), alert \(alert.id)\r\n"
      for (name, value) in alert.details.sorted(by: { $0.key < $1.key }) { body += "  \(name): \(value)\r\n" }
      body += "\r\n"
    }
    var head = ByteBuffer(capacity: 4096)
    head.append("From: MaskLLM <\(from)>\r\nTo: \(to.joined(separator: ", "))\r\nSubject: =?utf-8?B?")
    head.append(base64: Array(String(subject.prefix(120)).utf8).span)
    head.append("?=\r\nDate: ")
    head.append(Self.date(now))
    head.append("\r\nMessage-ID: <\(id)@maskllm>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n")
    head.append("Content-Transfer-Encoding: base64\r\nAuto-Submitted: auto-generated\r\n\r\n")
    // Lines of at most 76 characters (RFC 2045).
    let bytes = Array(body.utf8)
    var at = 0
    while at < bytes.count {
      let end = min(bytes.count, at + 57)
      head.append(base64: bytes.span.extracting(at..<end))
      head.append("\r\n")
      at = end
    }
    text = head.copy()
  }

  /// As in RFC 5322: `Wed, 25 Nov 2026 10:00:00 +0000`.
  private static func date(_ now: Timestamp) -> String {
    let days = now.milliseconds.floorDivided(by: 86_400_000)
    let (year, month, day) = CivilDate.of(days: days)
    // 1970-01-01 was a Thursday.
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let weekday = Int(days - days.floorDivided(by: 7) * 7)
    return "\(names[weekday]), \(day) \(months[Int(month) - 1]) \(year) \(now.rfc3339.dropFirst(11).prefix(8)) +0000"
  }
}
