import Audit
import Domain
import FoundationEssentials
import KeyService
import Primitives
import Providers
import Storage

// The record of requests, and what it sums up to.
extension AdminAPI {
  static let activityFilters = [
    "key", "provider", "from", "to", "team", "tag", "model", "endpoint", "outcome", "code", "status", "network",
  ]

  private func activityQuery(_ r: borrowing AdminRequest) throws(Fault) -> ActivityQuery {
    var query = ActivityQuery()
    (query.key, query.keys) = try selectedKeys(r)
    (query.provider, query.model, query.code) = (r.query["provider"], r.query["model"], r.query["code"])
    query.from = try moment(r.query["from"]) ?? query.from
    query.to = try moment(r.query["to"]) ?? query.to
    query.endpoint = try oneOf(r.query["endpoint"], EndpointClass.allCases, "endpoint") { "\($0.name)" }
    query.outcome = try oneOf(r.query["outcome"], Outcome.allCases, "outcome") { $0.name }
    if let text = r.query["status"] {
      let digits = text.hasSuffix("xx") ? text.dropLast(2) + "00" : text[...]
      guard digits.utf8.count == 3, let status = UInt16(digits), (100...599).contains(status) else {
        throw Fault(.invalidInput, "the status is no status", hint: "write it as 404 or 4xx")
      }
      query.statuses = status...(text.hasSuffix("xx") ? status + 99 : status)
    }
    if let text = r.query["network"] {
      guard let network = Network(text) else { throw Fault(.invalidInput, "that is no network", hint: "write it as 10.0.0.0/8") }
      query.network = network
    }
    return query
  }

  /// The key that is asked for, and the keys that it has to be one of: of the caller's team, of a team, of a tag.
  private func selectedKeys(_ r: borrowing AdminRequest) throws(Fault) -> (RecordID?, Set<RecordID>?) {
    let key = try r.query["key"].map { (text) throws(Fault) in
      Caller.current.team == nil ? try recordID(text) : try ownKey(text).id
    }
    let (team, tag) = (try ownTeam(r.query["team"]), r.query["tag"])
    guard Caller.current.team != nil || team != nil || tag != nil else { return (key, nil) }
    let keys = try service.unorderedKeys().filter {
      Caller.sees(team: $0.team) && (team == nil || $0.team == team) && (tag == nil || $0.details.tags.contains(tag!))
    }
    return (key, Set(keys.map(\.id)))
  }

  private func oneOf<Value>(_ text: String?, _ all: [Value], _ what: String, _ name: (Value) -> String) throws(Fault) -> Value? {
    guard let text else { return nil }
    guard let found = all.first(where: { name($0) == text }) else {
      throw Fault(.invalidInput, "there is no such \(what)", hint: "use one of: \(all.map(name).joined(separator: ", "))")
    }
    return found
  }

  func activity(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: Self.activityFilters + Page.parameters)
    let (found, next) = try await activityPage(r)
    var response = try encode(found.map(ActivityDocument.init))
    response.next = next
    return response
  }

  private func activityPage(_ r: borrowing AdminRequest) async throws(Fault) -> ([ActivityEntry], next: String?) {
    var query = try activityQuery(r)
    let page = try Page(r, usual: query.limit)
    query.limit = page.limit
    if let after = page.after {
      guard let place = ActivityPlace(after) else { throw Page.badCursor }
      query.after = place
    }
    await flushActivity()
    let found = try await service.activity(query)
    return (found, found.count == page.limit ? found.last.map { page.next($0.place.text) } : nil)
  }

  /// Every member in every line and in the same order, so that a table can be made of it: the first page of CSV begins with their names.
  func exportActivity(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: Self.activityFilters + ["format"] + Page.parameters)
    let isTable = try oneOf(r.query["format"], ["jsonl", "csv"], "format") { $0 } == "csv"
    let (found, next) = try await activityPage(r)
    let isFirst = r.query["after"] == nil
    var text = isTable && isFirst ? FlatRow.names.joined(separator: ",") + "\r\n" : ""
    for entry in found { text += isTable ? FlatRow(entry).csv : FlatRow(entry).json }
    var response = AdminResponse(status: 200, body: Array(text.utf8))
    response.mediaType = isTable ? "text/csv" : Self.jsonLines
    response.next = next
    return response
  }

  // MARK: sums

  func usage(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: ["span", "by", "from", "to", "key", "provider", "model", "team", "tag"])
    var query = UsageQuery()
    query.span = try oneOf(r.query["span"], UsageRow.Span.allCases, "span") { $0.name } ?? .hour
    (query.key, query.keys) = try selectedKeys(r)
    (query.provider, query.model) = (r.query["provider"], r.query["model"])
    // The latest day of minutes, month of hours, or all days, where nothing is said.
    let reach: Int64 = [86_400_000, 31 * 86_400_000, 3660 * 86_400_000][query.span.rawValue]
    query.from = try moment(r.query["from"]) ?? Timestamp(milliseconds: service.now.milliseconds - reach)
    query.to = try moment(r.query["to"]) ?? query.to
    if let text = r.query["by"] {
      query.by = []
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let member = try oneOf(String(part), UsageQuery.Member.allCases, "member to group by", { $0.rawValue }) else {
          continue
        }
        query.by.insert(member)
      }
    }
    await flushActivity()
    let by = query.by
    return try encode(try await service.usage(query).map { UsageDocument($0, by) })
  }
}

/// What requests came to.
public struct UsageDocument: Codable, Sendable {
  /// The beginning of the minute, hour or day (UTC).
  public var time: String?
  public var key: String?
  public var provider: String?
  public var model: String?
  public var endpoint: String?
  public var outcome: String?
  public var requests: Int64
  /// Those of them that the gateway refused, and those that ended badly.
  public var refused: Int64
  public var failed: Int64
  public var input_tokens: Int64
  public var output_tokens: Int64
  public var cache_read_tokens: Int64
  public var cache_write_tokens: Int64
  public var bytes_in: Int64
  public var bytes_out: Int64
  public var cost_usd: String
  /// From the head to the last byte, in the mean.
  public var mean_duration_us: Int64

  init(_ line: UsageQuery.Line, _ by: Set<UsageQuery.Member>) {
    let (place, sums) = (line.place, line.sums)
    if by.contains(.time) { time = Timestamp(milliseconds: place.start).rfc3339 }
    if by.contains(.key) { key = place.key?.description }
    if by.contains(.provider) { provider = place.provider }
    if by.contains(.model) { model = place.model }
    if by.contains(.endpoint) {
      endpoint = place.endpoint == 0 ? nil : EndpointClass(rawValue: place.endpoint - 1).map { "\($0.name)" }
    }
    if by.contains(.outcome) { outcome = Outcome(rawValue: place.outcome)?.name }
    (requests, refused, failed) = (sums.requests.count, line.refused.count, line.failed.count)
    (input_tokens, output_tokens) = (sums.input.count, sums.output.count)
    (cache_read_tokens, cache_write_tokens) = (sums.cacheRead.count, sums.cacheWrite.count)
    (bytes_in, bytes_out, cost_usd) = (sums.bytesIn.count, sums.bytesOut.count, sums.cost.dollars)
    mean_duration_us = (sums.microseconds / max(1, sums.requests.count)).count
  }
}

/// A request with the same members every time.
private struct FlatRow {
  private enum Cell {
    case text(String)
    /// A number, or yes and no: written as it is.
    case plain(String)
    case nothing
  }

  static let names = [
    "at", "key", "key_version", "address", "provider", "provider_key", "provider_key_version", "endpoint", "model", "outcome",
    "code",
    "status", "upstream_status", "stream", "bytes_in", "bytes_out", "duration_us", "first_byte_us", "input_tokens",
    "output_tokens",
    "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "audio_seconds", "images", "cost_nano_usd", "estimated",
  ]
  private let cells: [Cell]

  init(_ entry: ActivityEntry) {
    let r = entry.record
    func text(_ text: String?) -> Cell { text.map { .text($0) } ?? .nothing }
    func number(_ number: Int64?) -> Cell { number.map { .plain("\($0)") } ?? .nothing }
    cells = [
      .text(r.start.rfc3339), text(r.key?.description), number(r.key.map { _ in Int64(r.keyVersion) }),
      text(r.address?.description),
      .text(entry.provider), text(r.providerKey?.description), number(r.providerKey.map { _ in Int64(r.providerKeyVersion) }),
      text(r.endpoint.map { "\($0.name)" }), .text(entry.model), .text(r.outcome.name), .text(entry.code),
      number(Int64(r.status)),
      number(Int64(r.upstreamStatus)), .plain("\(r.isStream)"), number(Int64(r.bytesIn)), number(Int64(r.bytesOut)),
      number(Int64(r.durationMicroseconds)), number(Int64(r.firstByteMicroseconds)), number(r.usage.input?.count),
      number(r.usage.output?.count),
      number(r.usage.cacheRead?.count), number(r.usage.cacheWrite?.count), number(r.usage.reasoning?.count),
      number(r.usage.seconds?.count),
      number(r.usage.images?.count), number(r.cost?.count), .plain("\(r.isEstimated)"),
    ]
  }

  var json: String {
    let encoder = JSONEncoder.stable
    let members = zip(Self.names, cells).map { name, cell in
      let value =
        switch cell {
        case .text(let text): (try? encoder.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
        case .plain(let text): text
        case .nothing: "null"
        }
      return "\"\(name)\":\(value)"
    }
    return "{\(members.joined(separator: ","))}\n"
  }

  /// RFC 4180. What a spreadsheet would take for a formula is kept from being one.
  var csv: String {
    cells.map { cell in
      guard case .text(var text) = cell else { if case .plain(let text) = cell { return text } else { return "" } }
      if let first = text.utf8.first, "=+-@\t\r".utf8.contains(first) { text = "'" + text }
      let isPlain = text.utf8.allSatisfy { $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: ",") && $0 >= 32 }
      return isPlain ? text : "\"\(text.replacing("\"", with: "\"\""))\""
    }.joined(separator: ",") + "\r\n"
  }
}
