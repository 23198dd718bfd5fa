import AdminAPI
import Wire
import Transport
import Configuration
import Domain
import Gateway
import Glibc
import KeyService
import Primitives

/// What `serve` runs with: the configuration file, overridden by options.
struct ServerSettings {
  static let portDefault: UInt16 = 8780

  var host = "127.0.0.1"
  var port = portDefault
  var loops = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  var certificateFile: String?
  var keyFile: String?
  var gateway = GatewayLimits()
  var leaks = LeakSettings()
  var checkpoints = CheckpointSettings()
  var retention = Retention()
  var logFormat = Log.Format.text
  var telemetry = TelemetrySettings()
  /// Where the management side is reached over the network; nil: only by the Unix socket.
  var admin: AdminSettings?

  init(_ arguments: Arguments, dataDirectory: String) throws(Fault) {
    let path = arguments.value("config") ?? "\(dataDirectory)/maskllm.yaml"
    if let bytes = try Files.read(path) {
      var settings = try Settings(bytes, name: path)
      try apply(&settings)
      try settings.finish()
    } else if arguments.has("config") {
      throw Fault(.notFound, "there is no configuration file \(path)")
    }
    if let listen = arguments.value("listen") { try setListen(listen) }
    if let n = try arguments.number("loops", 1...256) { loops = n }
    if let listen = arguments.value("admin-listen") { (admin, adminListen) = (admin ?? AdminSettings(), listen) }
    if let adminListen {
      (admin!.host, admin!.port) = try Self.address(adminListen)
      try admin!.check()
    }
    certificateFile = arguments.value("tls-certificate") ?? certificateFile
    keyFile = arguments.value("tls-key") ?? keyFile
    guard (certificateFile == nil) == (keyFile == nil) else {
      throw Fault(.invalidInput, "TLS needs both a certificate and a key", hint: "give --tls-certificate and --tls-key")
    }
  }

  private var adminListen: String?

  private mutating func setListen(_ text: String) throws(Fault) { (host, port) = try Self.address(text) }

  private static func address(_ text: String) throws(Fault) -> (String, UInt16) {
    let bad = Fault(.invalidInput, "'\(text)' is no address to listen on", hint: "write it as 127.0.0.1:8780 or [::1]:8780")
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), colon > text.startIndex
    else { throw bad }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    return (host, port)
  }

  private func networks(_ text: String?, _ setting: String) throws(Fault) -> [Network] {
    var found: [Network] = []
    for part in (text ?? "").split(separator: ",") {
      let name = part.filter { $0 != " " }
      guard let network = Network(name) else {
        throw Fault(
          .invalidInput, "'\(setting)' has '\(name.prefix(50))', which is no network",
          hint: "write them as 10.0.0.0/8, 192.0.2.7, separated by commas")
      }
      found.append(network)
    }
    return found
  }

  private mutating func apply(_ s: inout Settings) throws(Fault) {
    if let listen = s.text("listen") { try setListen(listen) }
    if let n = try s.number("loops", 1...256) { loops = n }
    certificateFile = s.text("tls.certificate_file")
    keyFile = s.text("tls.key_file")
    func set(_ place: inout Int, _ name: String, _ range: ClosedRange<Int>) throws(Fault) {
      if let n = try s.number(name, range) { place = n }
    }
    try set(&gateway.bodyMax, "limits.body_bytes_max", 1...(1 << 32))
    try set(&gateway.server.head.bytesMax, "limits.head_bytes_max", 1024...(1 << 20))
    try set(&gateway.server.head.fieldsMax, "limits.head_fields_max", 8...1000)
    try set(&gateway.server.connectionsMax, "limits.connections_per_loop_max", 1...1_000_000)
    try set(&gateway.client.connectionsMax, "limits.upstream_connections_per_loop_max", 1...1_000_000)
    try set(&gateway.client.idleMax, "limits.upstream_idle_connections_per_loop_max", 0...1_000_000)
    try set(&gateway.client.head.bytesMax, "limits.upstream_head_bytes_max", 1024...(1 << 20))
    gateway.trustedProxies = try networks(s.text("trusted_proxies"), "trusted_proxies")
    gateway.resolvers = try networks(s.text("resolver.networks"), "resolver.networks")
    if let text = s.text("public_url") {
      // In the clear is for whoever runs it to choose: no key of a provider goes there.
      guard !text.hasSuffix("/"), let address = try? WebAddress(text), address.query == nil else {
        throw Fault(.invalidInput, "'public_url' is no address of a gateway", hint: "write it as https://llm.example.com")
      }
      gateway.publicURL = Array(text.utf8)
    }
    adminListen = s.text("admin.listen")
    if adminListen != nil { admin = AdminSettings() }
    let adminFiles = ["certificate_file", "key_file", "client_ca_file"].map { s.text("admin.tls.\($0)") }
    if adminFiles.contains(where: { $0 != nil }) {
      guard admin != nil else {
        throw Fault(.invalidInput, "'admin.tls' means nothing without 'admin.listen'")
      }
      (admin!.certificateFile, admin!.keyFile, admin!.clientAuthorityFile) = (adminFiles[0], adminFiles[1], adminFiles[2])
    }
    try applyOpenID(&s)
    leaks.keysFile = s.text("leaks.github_keys_file")
    leaks.keysAuthorityFile = s.text("leaks.github_keys_ca_file")
    if let url = s.text("leaks.github_keys_url") {
      guard (try? BaseURL(url)) != nil else {
        throw Fault(.invalidInput, "'leaks.github_keys_url' is no URL", hint: "start it with https://")
      }
      leaks.keysURL = url
    }
    if let text = s.text("leaks.unsigned") {
      guard ["accept", "refuse"].contains(text) else {
        throw Fault(.invalidInput, "'leaks.unsigned' is accept or refuse")
      }
      leaks.signedOnly = text == "refuse"
    }
    if let text = s.text("log.format") {
      guard let format = Log.Format(rawValue: text) else { throw Fault(.invalidInput, "'log.format' is text or json") }
      logFormat = format
    }
    try applyCheckpoints(&s)
    (telemetry.headersFile, telemetry.authorityFile) = (s.text("telemetry.headers_file"), s.text("telemetry.ca_file"))
    if let url = s.text("telemetry.otlp_endpoint") {
      guard (try? BaseURL(url)) != nil, !url.hasSuffix("/") else {
        throw Fault(
          .invalidInput, "'telemetry.otlp_endpoint' is no URL", hint: "write it as http://127.0.0.1:4318, without /v1/traces")
      }
      telemetry.endpoint = url
    }
    try set(&telemetry.spansPerSecond, "telemetry.spans_per_second_max", 0...10_000)
    try set(&telemetry.metricsSeconds, "telemetry.metrics_seconds", 1...3600)
    try set(&retention.days, "activity.keep_days", 1...3660)
    try set(&retention.megabytes, "activity.keep_megabytes", 1...(1 << 20))
    try set(&retention.captureDays, "activity.keep_captures_days", 1...365)
    try set(&retention.minuteDays, "activity.keep_minutely_days", 1...3660)
    try set(&retention.hourDays, "activity.keep_hourly_days", 1...3660)
    try set(&retention.dayDays, "activity.keep_daily_days", 1...36_600)
    try set(&gateway.flushMilliseconds, "activity.flush_ms", 10...60_000)
    try set(&gateway.client.idleMilliseconds, "timeouts.upstream_idle_ms", 100...3_600_000)
    var t = gateway.server.timeouts
    try set(&t.idle, "timeouts.idle_ms", 100...3_600_000)
    try set(&t.head, "timeouts.head_ms", 100...3_600_000)
    try set(&t.body, "timeouts.body_ms", 100...3_600_000)
    try set(&t.connect, "timeouts.connect_ms", 100...3_600_000)
    try set(&t.firstByte, "timeouts.first_byte_ms", 100...3_600_000)
    try set(&t.between, "timeouts.between_ms", 100...3_600_000)
    try set(&t.write, "timeouts.write_ms", 100...3_600_000)
    try set(&t.drain, "timeouts.drain_ms", 0...3_600_000)
    gateway.server.timeouts = t
    gateway.client.timeouts = t
  }
}

extension ServerSettings {
  private mutating func applyCheckpoints(_ s: inout Settings) throws(Fault) {
    checkpoints.file = s.text("audit.checkpoint_file")
    if let text = s.text("audit.checkpoint_syslog") {
      guard ["true", "false"].contains(text) else { throw Fault(.invalidInput, "'audit.checkpoint_syslog' is true or false") }
      checkpoints.toSyslog = text == "true"
    }
    (checkpoints.secretFile, checkpoints.authorityFile) = (
      s.text("audit.checkpoint_secret_file"), s.text("audit.checkpoint_ca_file")
    )
    guard let url = s.text("audit.checkpoint_url") else { return }
    guard (try? BaseURL(url)) != nil else {
      throw Fault(.invalidInput, "'audit.checkpoint_url' is no URL", hint: "write it as https://witness.example.com/maskllm")
    }
    guard checkpoints.secretFile != nil else {
      throw Fault(
        .invalidInput, "'audit.checkpoint_url' needs 'audit.checkpoint_secret_file', which its messages are signed with")
    }
    checkpoints.url = url
  }

  private mutating func applyOpenID(_ s: inout Settings) throws(Fault) {
    let names = ["issuer", "client_id", "client_secret_file", "url", "roles", "scopes", "groups_claim", "ca_file"]
    var values: [String: String] = [:]
    for name in names { values[name] = s.text("admin.oidc.\(name)") }
    let minutes = try s.number("admin.oidc.session_minutes", 1...1440)
    guard !values.isEmpty || minutes != nil else { return }
    guard admin != nil else { throw Fault(.invalidInput, "'admin.oidc' means nothing without 'admin.listen'") }
    guard let issuer = values["issuer"], let client = values["client_id"], let url = values["url"], let roles = values["roles"]
    else { throw Fault(.invalidInput, "'admin.oidc' needs issuer, client_id, url and roles", hint: "see docs/operations.md") }
    for (name, text) in [("issuer", issuer), ("url", url)] {
      // In the clear only to this machine, which BaseURL sees to.
      guard (try? BaseURL(text)) != nil, name == "issuer" || !text.hasSuffix("/") else {
        throw Fault(.invalidInput, "'admin.oidc.\(name)' is no URL", hint: "write it as https://login.example.com")
      }
    }
    var mappings: [OpenIDSettings.Mapping] = []
    for part in roles.split(separator: ",") {
      let text = String(part.drop { $0 == " " })
      guard let mapping = OpenIDSettings.Mapping(text) else {
        throw Fault(
          .invalidInput, "'admin.oidc.roles' has '\(text.prefix(60))'",
          hint: "write GROUP=owner, GROUP=operator, GROUP=auditor or GROUP=developer:TEAM, separated by commas")
      }
      mappings.append(mapping)
    }
    var openID = OpenIDSettings(issuer: issuer, clientID: client, url: url, roles: mappings)
    openID.secretFile = values["client_secret_file"]
    openID.scopes = values["scopes"] ?? openID.scopes
    openID.groupsClaim = values["groups_claim"] ?? openID.groupsClaim
    openID.authorityFile = values["ca_file"]
    openID.sessionMinutes = minutes ?? openID.sessionMinutes
    admin!.openID = openID
  }
}

/// The network door of the management side.
struct AdminSettings {
  var host = "127.0.0.1"
  var port: UInt16 = 0
  var certificateFile: String?
  var keyFile: String?
  /// Only clients with a certificate of these authorities are let in.
  var clientAuthorityFile: String?
  /// Whom people sign in with; nil: tokens only.
  var openID: OpenIDSettings?

  /// Tokens do not travel in the clear.
  func check() throws(Fault) {
    guard (certificateFile == nil) == (keyFile == nil), clientAuthorityFile == nil || certificateFile != nil else {
      throw Fault(
        .invalidInput, "TLS of the management side needs both a certificate and a key",
        hint: "set admin.tls.certificate_file and admin.tls.key_file")
    }
    guard certificateFile != nil || host == "::1" || host.hasPrefix("127.") else {
      throw Fault(
        .invalidInput, "admin tokens must not travel in the clear to \(host)",
        hint: "set admin.tls.certificate_file and admin.tls.key_file, or listen on 127.0.0.1")
    }
  }
}
