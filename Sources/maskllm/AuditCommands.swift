import AdminAPI
import Audit
import Glibc
import Primitives
import Storage
import Wire

/// `maskllm audit`: what was done and by whom, and that nobody has changed it since.
enum AuditCommands {
  static let all = [list, tail, export, verify, state]

  private static let filters = [
    Option(name: "act", value: "ACT", help: "only this act (key.rotate), or acts on this (key)"),
    Option(name: "subject", value: "SUBJECT", help: "only on this: key/ID, provider-key/ID, team/NAME"),
    Option(name: "actor", value: "WHO", help: "only by this: administrator, token/NAME, trigger/NAME, schedule"),
    Option(name: "since", value: "TIME", help: "only since then: 2026-11-24, 2026-11-24T10:00:00Z"),
    Option(name: "until", value: "TIME", help: "only until then"),
  ]

  private static func cells(_ entry: AuditDocument) -> [String] {
    let details = entry.details.sorted { $0.key < $1.key }.map { "\($0.key)=\(Terminal.plain($0.value))" }
    return ["\(entry.number)", entry.at, Terminal.plain(entry.actor), entry.act, entry.subject, details.joined(separator: " ")]
  }

  private static let list = Command(
    path: ["audit", "list"], summary: "show what was done, the latest first",
    options: Unsealing.options + filters + [
      Option(name: "limit", value: "N", help: "at most so many (default: 50)"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let query = queryPairs(arguments, filters) + ["limit=\(try arguments.number("limit", 1...1000) ?? 50)"]
    try printList(
      "/v1/audit?\(query.joined(separator: "&"))", arguments, ["NUMBER", "AT", "BY", "ACT", "SUBJECT", "DETAILS"], cells)
  }

  private static let tail = Command(
    path: ["audit", "tail"], summary: "show what is done, as it is done",
    options: Unsealing.options + filters + [
      Option(name: "from", value: "NUMBER", help: "begin behind this entry (default: with what comes next)"), Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.toServer(arguments)
    let filter = queryPairs(arguments, filters).map { "&\($0)" }.joined()
    let last: [AuditDocument] = try decode(try link.call(.get, "/v1/audit?limit=1"))
    var from = try arguments.number("from", 0...Int.max).map(Int64.init) ?? last.first?.number ?? 0
    while true {
      let entries: [AuditDocument] = try decode(try link.call(.get, "/v1/audit?number_above=\(from)&limit=1000\(filter)"))
      for entry in entries {
        Terminal.result(arguments.has("json") ? try jsonText(entry) : cells(entry).joined(separator: "  "))
        from = entry.number
      }
      if entries.isEmpty { usleep(500_000) }
    }
  }

  private static let export = Command(
    path: ["audit", "export"],
    summary: "write the record of what was done to standard output, as lines that 'audit verify' reads anywhere",
    options: Unsealing.options + filters + [
      Option(name: "format", value: "FORMAT", help: "jsonl (default), or cef for a collector of security events")
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.open(arguments)
    let filter = queryPairs(arguments, filters)
    let format = arguments.value("format") ?? "jsonl"
    let isWhole = filter.isEmpty && format == "jsonl"
    try printPages(link, "/v1/audit/export", filter + ["format=\(percentEncoded(format))"])
    if !isWhole { Terminal.note("with a filter or in another format there is nothing to verify: leave both out for that") }
  }

  private static let verify = Command(
    path: ["audit", "verify"], operand: "FILE",
    summary: "check that nobody has changed an export: needs nothing but the file and the log's key",
    options: [
      Option(name: "key", value: "HEX", help: "the log's first public key, as 'maskllm audit state' showed it"),
      Option(name: "key-file", value: "PATH", help: "a file with it"),
      Option(name: "checkpoints", value: "PATH", help: "also check what was kept in a second place: nothing may be missing"),
    ]
  ) { arguments throws(Fault) in
    let path = try arguments.operand("FILE")
    var text = arguments.value("key")
    if let file = arguments.value("key-file") { text = try Files.read(file).map { String(decoding: $0, as: UTF8.self) } }
    guard let text, let key = bytes(hexadecimal: text.filter { !$0.isWhitespace }), key.count == 32 else {
      throw Fault(
        .invalidInput, "the log's key is missing, or is no key",
        hint: "give the 64 digits that 'maskllm audit state' shows with --key or --key-file; know it from before")
    }
    let checkpoints = try arguments.value("checkpoints").map { (path) throws(Fault) in try readCheckpoints(path) } ?? []
    let file = try SequentialFile(reading: path)
    var verifier = ExportVerifier(publicKey: key, checkpoints: checkpoints)
    do throws(ChainBreak) {
      while let line = try nextLine(file) { try verifier.take(line) }
      let count = try verifier.finish()
      let beside = checkpoints.isEmpty ? "" : ", and none of \(checkpoints.count) checkpoints contradicts it"
      Terminal.result("\(path): all \(count) entries of log \(verifier.chain!.log) are as they were written\(beside)")
    } catch {
      throw Fault(
        .tampered, error.number > 0 ? "entry \(error.number): \(error.reason)" : error.reason,
        hint: error.number > 1 ? "the entries before it are as they were written" : "")
    }
  }

  private static func nextLine(_ file: SequentialFile) throws(ChainBreak) -> [UInt8]? {
    let line: [UInt8]?
    let rest: [UInt8]
    do throws(Fault) {
      line = try file.line(limit: 1 << 20)
      rest = line == nil ? try file.rest(limit: 1) : []
    } catch { throw ChainBreak(reason: error.message) }
    guard rest.isEmpty else { throw ChainBreak(reason: "a line is too long") }
    return line
  }

  /// Throws when a line is none.
  static func readCheckpoints(_ path: String) throws(Fault) -> [Checkpoint] {
    let file = try SequentialFile(reading: path)
    var found: [Checkpoint] = []
    while let line = try file.line(limit: 4096) {
      guard let checkpoint = AuditExport.checkpoint(line) else {
        throw Fault(.tampered, "\(path) has a line that is no checkpoint, after \(found.count) that are")
      }
      found.append(checkpoint)
    }
    return found
  }

  private static let state = Command(
    path: ["audit", "state"], summary: "show the log's key, how far it is verified, and where its checkpoints are",
    options: Unsealing.options + [
      Option(name: "verify", value: nil, help: "follow the whole chain first"), Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.open(arguments)
    let body = arguments.has("verify") ? try link.call(.post, "/v1/audit/verifications") : try link.call(.get, "/v1/audit/state")
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let state: AuditStateDocument = try decode(body)
    var lines = [
      "log          \(state.log), \(state.last_number) entries", "first key    \(state.first_public_key)",
      "present key  number \(state.key_number), \(state.public_key)",
      "verified     "
        + (state.broken_at.map { "BROKEN at entry \($0): \(state.broken_because ?? "")" }
          ?? "up to entry \(state.verified_up_to)\(state.verified_at.map { ", to the end at \($0)" } ?? "")"),
      "checkpoints  up to entry \(state.checkpointed)",
    ]
    if let trouble = state.write_trouble {
      lines.append("TROUBLE      acts are refused, since they cannot be written down: \(trouble)")
    }
    if let trouble = state.checkpoint_trouble { lines.append("TROUBLE      \(trouble)") }
    Terminal.result(lines.joined(separator: "\n"))
    if state.broken_at != nil { throw Fault(.tampered, "the record of what was done was changed outside maskllm") }
  }
}
