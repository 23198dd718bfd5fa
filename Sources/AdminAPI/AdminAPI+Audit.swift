import Audit
import KeyService
import Primitives

// The record of acts.
extension AdminAPI {
  static let auditFilters = ["act", "subject", "actor", "since", "until"]

  private func auditFilter(_ r: borrowing AdminRequest) throws(Fault) -> AuditFilter {
    var filter = AuditFilter(act: r.query["act"], subject: r.query["subject"], actor: r.query["actor"])
    (filter.since, filter.until) = (try moment(r.query["since"]), try moment(r.query["until"]))
    return filter
  }

  private func auditNumber(_ text: String?, from least: Int) throws(Fault) -> Int64? {
    guard let text else { return nil }
    guard let number = ASCII.decimal(Array(text.utf8).span), number >= least else { throw Page.badCursor }
    return Int64(number)
  }

  func audit(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: Self.auditFilters + ["number_above"] + Page.parameters)
    let page = try Page(r, usual: 50)
    let filter = try auditFilter(r)
    // From a number on they come in their order: what follows the log asks like that.
    if let from = try auditNumber(r.query["number_above"], from: 0) {
      guard page.after == nil else { throw Fault(.invalidInput, "'number_above' has no pages: ask from the last number on") }
      let entries = try await service.auditEntries(filter, after: from, limit: page.limit)
      return try encode(entries.map(AuditDocument.init))
    }
    let entries = try await service.auditEntries(
      filter, before: try auditNumber(page.after, from: 1) ?? Int64.max, limit: page.limit)
    var response = try encode(entries.map(AuditDocument.init))
    if entries.count == page.limit, let last = entries.last { response.next = page.next("\(last.number)") }
    return response
  }

  /// The whole chain as what `maskllm audit verify` reads; with a filter or as CEF, what a log store takes.
  func exportAudit(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: Self.auditFilters + ["format"] + Page.parameters)
    let page = try Page(r, usual: Page.limitMax)
    let filter = try auditFilter(r)
    let isCEF = try r.query["format"].map { (format) throws(Fault) in
      guard ["jsonl", "cef"].contains(format) else { throw Fault(.invalidInput, "the format is jsonl or cef") }
      return format == "cef"
    }
    let after = try auditNumber(page.after, from: 1) ?? 0
    var response: AdminResponse
    if filter.isEmpty, isCEF != true {
      let piece = try service.auditLog().exported(after: after, limit: page.limit, at: service.now)
      response = AdminResponse(status: 200, body: piece.lines)
      response.next = piece.next.map { page.next("\($0)") }
    } else {
      let entries = try await service.auditEntries(filter, after: after, limit: page.limit)
      let lines = entries.map { isCEF == true ? CommonEvent.line($0, version: version) : AuditExport.line($0) }
      response = AdminResponse(status: 200, body: lines.flatMap { $0 + [10] })
      if entries.count == page.limit, let last = entries.last { response.next = page.next("\(last.number)") }
    }
    response.mediaType = isCEF == true ? "text/plain" : Self.jsonLines
    return response
  }

  static let jsonLines = "application/jsonl"

  func showAuditState(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try encode(AuditStateDocument(try service.auditState()))
  }

  func verifyAudit(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try encode(AuditStateDocument(try await service.verifyAuditAnew()))
  }
}

/// Something that was done, or that happened.
public struct AuditDocument: Codable, Sendable {
  public var number: Int64
  public var at: String
  public var actor: String
  public var act: String
  public var subject: String
  public var details: [String: String]

  init(_ entry: AuditEntry) {
    (number, at, actor, act, subject) = (entry.number, entry.at.rfc3339, entry.actor, entry.act, entry.subject)
    details = entry.details
  }
}

/// How it stands with the record of acts.
public struct AuditStateDocument: Codable, Sendable {
  /// Which log this is.
  public var log: String
  public var last_number: Int64
  /// What `maskllm audit verify` needs; keep it somewhere else.
  public var first_public_key: String
  /// The key that signs now, which is replaced every hour.
  public var public_key: String
  public var key_number: Int64
  /// How far the chain was followed since that was begun with, and when it was followed to its end.
  public var verified_up_to: Int64
  public var verified_at: String?
  /// The first entry that is not what it was.
  public var broken_at: Int64?
  public var broken_because: String?
  /// Up to where a signed checkpoint is kept in the second place.
  public var checkpointed: Int64
  public var checkpoint_trouble: String?
  /// Why the last act could not be written down, and was refused.
  public var write_trouble: String?

  init(_ state: AuditState) {
    (log, last_number) = (state.keys.log, state.last)
    (first_public_key, public_key) = (hexadecimal(state.keys.firstPublicKey), hexadecimal(state.keys.publicKey))
    key_number = state.keys.epoch
    (verified_up_to, verified_at) = (state.verifiedUpTo, state.verifiedAt?.rfc3339)
    (broken_at, broken_because) = (state.broken?.number, state.broken?.reason)
    (checkpointed, checkpoint_trouble, write_trouble) = (state.checkpointed, state.trouble, state.unwritten)
  }
}

/// ArcSight's Common Event Format, which collectors of security events read.
enum CommonEvent {
  static func line(_ entry: AuditEntry, version: String) -> [UInt8] {
    let isEvent = entry.act.hasPrefix("event.")
    let head = ["CEF:0", "MaskLLM", "maskllm", version, entry.act, entry.act, isEvent ? "7" : "3"]
    var fields = [
      ("rt", "\(entry.at.milliseconds)"), ("externalId", "\(entry.number)"), ("suser", entry.actor), ("act", entry.act),
      ("cs1Label", "subject"), ("cs1", entry.subject),
    ]
    let details = entry.details.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    if !details.isEmpty { fields.append(("msg", details.joined(separator: "; "))) }
    let text =
      head.map { escaped($0, "|") }.joined(separator: "|") + "|"
      + fields.map { "\($0.0)=\(escaped($0.1, "="))" }.joined(separator: " ")
    return Array(text.utf8)
  }

  private static func escaped(_ text: String, _ special: Character) -> String {
    var out = ""
    for character in text {
      switch character {
      case "\\", special: out += "\\\(character)"
      case "\n", "\r\n": out += "\\n"
      case "\r": out += "\\r"
      default: out.append(character)
      }
    }
    return out
  }
}
