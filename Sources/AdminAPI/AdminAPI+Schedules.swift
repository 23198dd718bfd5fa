import Cryptography
import Domain
import KeyService
import Primitives

// When keys get new secrets, and where these are brought.
extension AdminAPI {
  func setExpiry(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: ExpiryDocument = try decode(r)
    return try encode(self.document(try await service.setExpiry(try recordID(id), try moment(document.expires_at))))
  }

  func retryDelivery(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try encode(document(try await service.retryDelivery(try recordID(id))))
  }

  // MARK: schedules

  func listSchedules(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try page(r, of: try scheduleDocuments(), by: \.scope!) { $0 }
  }

  func showSchedule(_ r: borrowing AdminRequest, _ scope: String) throws(Fault) -> AdminResponse {
    try one(r, "schedule '\(scope.prefix(80))'", try scheduleDocuments().first { $0.scope == scope })
  }

  private func scheduleDocuments() throws(Fault) -> [ScheduleDocument] {
    let keys = try service.unorderedKeys()
    return
      service.schedules.sorted { $0.key < $1.key }.map { scope, schedule in
        let own = keys.filter { service.schedule(of: $0) == schedule && $0.state == .active }
        return ScheduleDocument(
          scope, schedule, keys: own.count, next: own.compactMap { service.nextRotation(of: $0) }.min())
      }
  }

  func setSchedule(_ r: borrowing AdminRequest, _ scope: String) throws(Fault) -> AdminResponse {
    let document: ScheduleDocument = try decode(r)
    let schedule = try document.schedule()
    try service.setSchedule(scope, schedule)
    return try encode(ScheduleDocument(scope, schedule, keys: nil, next: nil))
  }

  func removeSchedule(_ r: borrowing AdminRequest, _ scope: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.removeSchedule(scope)
    return AdminResponse(status: 204, body: [])
  }

  // MARK: destinations

  func listDestinations(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    return try page(r, of: Array(service.destinations), by: \.key) { DestinationDocument($0.key, $0.value) }
  }

  func showDestination(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    return try one(r, "destination '\(name.prefix(64))'", service.destinations[name].map { DestinationDocument(name, $0) })
  }

  func setDestination(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    let document: DestinationDocument = try decode(r)
    let destination = try document.destination()
    var secret = document.secret.map { Array($0.utf8) }
    defer { if secret != nil { wipe(&secret!) } }
    try service.setDestination(name, destination, secret: secret)
    return try encode(DestinationDocument(name, service.destinations[name] ?? destination))
  }

  func removeDestination(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.removeDestination(name)
    return AdminResponse(status: 204, body: [])
  }
}

/// When a key ends; nil: never.
public struct ExpiryDocument: Codable, Sendable {
  public var expires_at: String?
  public init(expires_at: String?) { self.expires_at = expires_at }
}

/// When keys get new secrets, and where these are brought.
public struct ScheduleDocument: Codable, Sendable, AnsweredDocument {
  /// `key/ID`, `policy/NAME` or `team/NAME`.
  public var scope: String?
  public var every_seconds: Int?
  public var cron: String?
  public var time_zone: String?
  public var grace_seconds: Int?
  public var spread_seconds: Int?
  public var destinations: [String]?
  /// How many keys it is for, and when the next of them is due.
  public var keys: Int?
  public var next_at: String?
  static let onlyInAnswers: Set = ["scope", "keys", "next_at"]
  public init() {}

  init(_ scope: String, _ schedule: RotationSchedule, keys: Int?, next: Timestamp?) {
    self.scope = scope
    (every_seconds, cron) = (schedule.every.map { Int($0) }, schedule.cron?.text)
    (time_zone, grace_seconds, spread_seconds) = (schedule.timeZone, Int(schedule.grace), Int(schedule.spread))
    (destinations, self.keys, next_at) = (schedule.destinations, keys, next?.rfc3339)
  }

  func schedule() throws(Fault) -> RotationSchedule {
    let cron: CronExpression? = if let text = self.cron { try CronExpression(text) } else { nil }
    // A tenth of the interval, at most an hour.
    let spread = spread_seconds ?? min(3600, (every_seconds ?? 36_000) / 10)
    return RotationSchedule(
      every: every_seconds.map(Int64.init), cron: cron, timeZone: time_zone ?? "UTC",
      grace: grace_seconds.map(Int64.init) ?? KeyService.graceDefault, spread: Int64(spread), destinations: destinations ?? [])
  }
}

/// Where new secrets are brought. `secret` only goes in.
public struct DestinationDocument: Codable, Sendable, AnsweredDocument {
  public var name: String?
  public var kind: String
  public var place: String
  public var mode: String?
  public var owner: String?
  public var variable: String?
  public var address: String?
  public var region: String?
  public var mount: String?
  public var namespace: String?
  public var arguments: [String]?
  public var ca_file: String?
  public var secret: String?
  /// Whether it has a credential.
  public var sealed: Bool?
  static let onlyInAnswers: Set = ["name", "sealed"]
  public init(kind: String, place: String) { (self.kind, self.place) = (kind, place) }

  init(_ name: String, _ destination: Destination) {
    self.name = name
    (kind, place) = (destination.kind.rawValue, destination.place)
    mode = destination.mode.map { "0" + String($0, radix: 8) }
    (owner, variable, address, region) = (destination.owner, destination.variable, destination.address, destination.region)
    (mount, namespace, arguments) = (destination.mount, destination.namespace, destination.arguments)
    (ca_file, sealed) = (destination.authorityFile, destination.sealed != nil)
  }

  func destination() throws(Fault) -> Destination {
    guard let kind = Destination.Kind(rawValue: kind) else {
      let names = Destination.Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw Fault(.invalidInput, "there is no such kind of destination", hint: "use one of: \(names)")
    }
    var destination = Destination(kind, place: place)
    if let mode {
      guard let number = UInt32(mode, radix: 8) else {
        throw Fault(.invalidInput, "that mode is no octal number", hint: "write it as 0400")
      }
      destination.mode = number
    }
    (destination.owner, destination.variable, destination.address, destination.region) = (owner, variable, address, region)
    (destination.mount, destination.namespace, destination.arguments) = (mount, namespace, arguments)
    destination.authorityFile = ca_file
    return destination
  }
}
