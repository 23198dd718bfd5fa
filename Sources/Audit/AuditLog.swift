import FoundationEssentials
public import Primitives
public import Storage

/// On whose account something is done.
public struct Actor: Hashable, Sendable {
  public let name: String
  private init(name: String) { self.name = name }

  public static let administrator = Actor(name: "administrator")
  public static let schedule = Actor(name: "schedule")
  public static let rotation = Actor(name: "rotation")
  public static let gateway = Actor(name: "gateway")
  /// Whoever a token stands for.
  public static func named(_ name: String) -> Actor { Actor(name: name) }
  public static func trigger(_ name: String) -> Actor { Actor(name: "trigger/\(name)") }
}

/// Something that was done, or that happened.
public struct AuditEntry: Sendable, Equatable {
  public var number: Int64 = 0
  public var at: Timestamp
  public var actor: String
  public var act: String
  public var subject: String
  public var details: [String: String]

  init(_ row: AuditRow) {
    (number, at, actor, act, subject) = (row.number, row.at, row.actor, row.act, row.subject)
    details = (try? JSONDecoder().decode([String: String].self, from: Data(row.details))) ?? [:]
  }
}

/// The record of acts: what is in it had been written durably before it was done.
public struct AuditLog {
  private let store: any Store
  public init(_ store: any Store) { self.store = store }

  /// Keeps entries, all or none.
  public func append(
    _ act: String, _ subjects: [String], _ details: [String: String], by actor: Actor, at now: Timestamp
  ) throws(Fault) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let body = try? encoder.encode(details) else { throw Fault(.system, "what is done cannot be written down") }
    try store.append(
      subjects.map { AuditRow(at: now, actor: actor.name, act: act, subject: $0, details: [UInt8](body)) })
  }

  /// All since `moment`, the newest first.
  public func entries(since moment: Timestamp) throws(Fault) -> [AuditEntry] {
    var found: [AuditEntry] = []
    try store.forEachAuditRow(before: .max) { row in
      guard row.at >= moment else { return false }
      found.append(AuditEntry(row))
      return true
    }
    return found
  }

  /// The newest first. `act` may be the first part of a name: `key` finds `key.revoke`.
  public func entries(
    act: String? = nil, subject: String? = nil, before number: Int64 = .max, limit: Int
  ) throws(Fault) -> [AuditEntry] {
    var found: [AuditEntry] = []
    try store.forEachAuditRow(before: number) { row in
      guard act.map({ row.act == $0 || row.act.hasPrefix("\($0).") }) ?? true, subject.map({ row.subject == $0 }) ?? true else {
        return true
      }
      found.append(AuditEntry(row))
      return found.count < limit
    }
    return found
  }
}
