public import Primitives

/// An export of the chain: a line that says of which log it is, a line for each entry, and a signed line at its end. Each line has exactly
/// one form, so that a file in which any byte differs is another file.
public enum AuditExport {
  static let format = "maskllm-audit/1"

  public static func head(log: RecordID, publicKey: [UInt8]) -> [UInt8] {
    Array("{\"format\":\"\(format)\",\"log\":\"\(log)\",\"public_key\":\"\(hexadecimal(publicKey))\"}".utf8)
  }

  public static func line(_ entry: AuditEntry) -> [UInt8] {
    var line = Array("{\"number\":\(entry.number),\"at\":\"\(entry.at.rfc3339)\",\"actor\":".utf8)
    append(entry.actor, to: &line)
    line += Array(",\"act\":".utf8)
    append(entry.act, to: &line)
    line += Array(",\"subject\":".utf8)
    append(entry.subject, to: &line)
    line += Array(",\"details\":{".utf8)
    for (i, (name, value)) in AuditLink.sorted(entry.details).enumerated() {
      if i > 0 { line.append(UInt8(ascii: ",")) }
      append(name, to: &line)
      line.append(UInt8(ascii: ":"))
      append(value, to: &line)
    }
    return line
      + Array("},\"hash\":\"\(hexadecimal(entry.hash))\",\"signature\":\"\(hexadecimal(entry.signature))\"}".utf8)
  }

  public static func line(_ checkpoint: Checkpoint) -> [UInt8] {
    Array(
      ("{\"log\":\"\(checkpoint.log)\",\"number\":\(checkpoint.number),\"hash\":\"\(hexadecimal(checkpoint.hash))\","
        + "\"signature\":\"\(hexadecimal(checkpoint.signature))\"}").utf8)
  }

  static func end(number: Int64, hash: [UInt8], at moment: Timestamp, signature: [UInt8]) -> [UInt8] {
    Array(
      ("{\"end\":\(number),\"at\":\"\(moment.rfc3339)\",\"hash\":\"\(hexadecimal(hash))\","
        + "\"signature\":\"\(hexadecimal(signature))\"}").utf8)
  }

  private static func append(_ text: String, to line: inout [UInt8]) {
    line.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): line += [UInt8(ascii: "\\"), byte]
      case 0..<0x20: line += Array("\\u00\(hexadecimal([byte]))".utf8)
      default: line.append(byte)
      }
    }
    line.append(UInt8(ascii: "\""))
  }

  /// Reads what `line(_: Checkpoint)` writes; nil for anything else.
  public static func checkpoint(_ line: [UInt8]) -> Checkpoint? {
    var reader = LineReader(line)
    guard reader.skip("{\"log\":"), let log = reader.text().flatMap({ RecordID($0) }), reader.skip(",\"number\":"),
      let number = reader.number(), reader.skip(",\"hash\":"), let hash = reader.bytes(32), reader.skip(",\"signature\":"),
      let signature = reader.bytes(64), reader.skip("}"), reader.isAtEnd
    else { return nil }
    return Checkpoint(log: log, number: number, hash: hash, signature: signature)
  }

  static func entry(_ line: [UInt8]) -> AuditEntry? {
    var reader = LineReader(line)
    guard reader.skip("{\"number\":"), let number = reader.number(), reader.skip(",\"at\":"), let at = reader.moment(),
      reader.skip(",\"actor\":"), let actor = reader.text(), reader.skip(",\"act\":"), let act = reader.text(),
      reader.skip(",\"subject\":"), let subject = reader.text(), reader.skip(",\"details\":{")
    else { return nil }
    var details: [String: String] = [:]
    var last: String?
    while !reader.skip("}") {
      guard last == nil || reader.skip(","), let name = reader.text(), reader.skip(":"), let value = reader.text(),
        last.map({ $0.utf8.lexicographicallyPrecedes(name.utf8) }) ?? true
      else { return nil }
      details[name] = value
      last = name
    }
    guard reader.skip(",\"hash\":"), let hash = reader.bytes(32), reader.skip(",\"signature\":"),
      let signature = reader.bytes(64), reader.skip("}"), reader.isAtEnd
    else { return nil }
    return AuditEntry(
      number: number, at: at, actor: actor, act: act, subject: subject, details: details, hash: hash, signature: signature)
  }
}

/// Verifies an export line by line. A value: a copy goes on from where it was made.
public struct ExportVerifier: Sendable {
  private let publicKey: [UInt8]
  private let checkpoints: [Checkpoint]
  public private(set) var chain: ChainVerifier?
  private var isComplete = false

  /// `publicKey` is the log's first one, known from elsewhere.
  public init(publicKey: [UInt8], checkpoints: [Checkpoint] = []) {
    (self.publicKey, self.checkpoints) = (publicKey, checkpoints)
  }

  public mutating func take(_ line: [UInt8]) throws(ChainBreak) {
    guard !isComplete else { throw ChainBreak(number: 0, reason: "something follows the last line") }
    guard var chain else {
      self.chain = try ChainVerifier(log: try head(line), publicKey: publicKey, checkpoints: checkpoints)
      return
    }
    var reader = LineReader(line)
    if reader.skip("{\"end\":") {
      guard let number = reader.number(), reader.skip(",\"at\":"), let at = reader.moment(), reader.skip(",\"hash\":"),
        let hash = reader.bytes(32), reader.skip(",\"signature\":"), let signature = reader.bytes(64), reader.skip("}"),
        reader.isAtEnd
      else { throw ChainBreak(number: 0, reason: "the last line is not of the form that it had") }
      try chain.checkEnd(number: number, hash: hash, at: at, signature: signature)
      isComplete = true
      return
    }
    guard let entry = AuditExport.entry(line) else {
      throw ChainBreak(number: chain.number + 1, reason: "its line is not of the form that it had")
    }
    self.chain = nil
    try chain.take(entry)
    self.chain = chain
  }

  /// Says that there are no more lines; returns how many entries there were.
  public func finish() throws(ChainBreak) -> Int64 {
    guard let chain else { throw ChainBreak(number: 0, reason: "the file is empty") }
    guard isComplete else {
      throw ChainBreak(number: chain.number + 1, reason: "it is missing: the file ends without its signed last line")
    }
    try chain.end()
    return chain.number
  }

  private func head(_ line: [UInt8]) throws(ChainBreak) -> RecordID {
    var reader = LineReader(line)
    guard reader.skip("{\"format\":\"\(AuditExport.format)\",\"log\":"), let log = reader.text().flatMap({ RecordID($0) }),
      reader.skip(",\"public_key\":"), let key = reader.bytes(32), reader.skip("}"), reader.isAtEnd
    else {
      throw ChainBreak(
        number: 0, reason: "the first line is not that of an export of the whole record (with filters, nothing can be verified)")
    }
    guard key == publicKey else { throw ChainBreak(number: 0, reason: "it is of a log with another key") }
    return log
  }
}

/// Reads a line of exactly one form.
private struct LineReader {
  private let line: [UInt8]
  private var at = 0
  init(_ line: [UInt8]) { self.line = line }

  var isAtEnd: Bool { at == line.count }

  mutating func skip(_ text: String) -> Bool {
    let utf8 = text.utf8
    guard at + utf8.count <= line.count, line[at..<at + utf8.count].elementsEqual(utf8) else { return false }
    at += utf8.count
    return true
  }

  /// No sign, no leading zero.
  mutating func number() -> Int64? {
    let start = at
    while at < line.count, ASCII.isDigit(line[at]) { at += 1 }
    guard at > start, at - start <= 18, line[start] != UInt8(ascii: "0") || at == start + 1 else { return nil }
    return line[start..<at].reduce(0) { $0 * 10 + Int64($1 - 48) }
  }

  mutating func text() -> String? {
    guard skip("\"") else { return nil }
    var out: [UInt8] = []
    while at < line.count {
      let byte = line[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        // Not repaired: what is no UTF-8 is not what was written.
        return String(validating: out, as: UTF8.self)
      case UInt8(ascii: "\\"):
        if skip("u00") {
          guard at + 2 <= line.count,
            let value = Primitives.bytes(hexadecimal: String(decoding: line[at..<at + 2], as: UTF8.self)),
            value[0] < 0x20, line[at..<at + 2].elementsEqual(hexadecimal(value).utf8)
          else { return nil }
          at += 2
          out += value
        } else {
          guard at < line.count, [UInt8(ascii: "\""), UInt8(ascii: "\\")].contains(line[at]) else { return nil }
          out.append(line[at])
          at += 1
        }
      case 0..<0x20: return nil
      default: out.append(byte)
      }
    }
    return nil
  }

  /// `count` bytes in lower-case hexadecimal, within quotes.
  mutating func bytes(_ count: Int) -> [UInt8]? {
    guard let digits = text(), let value = Primitives.bytes(hexadecimal: digits), value.count == count,
      hexadecimal(value) == digits
    else { return nil }
    return value
  }

  mutating func moment() -> Timestamp? {
    guard let text = text(), let moment = Timestamp(rfc3339: text), moment.rfc3339 == text else { return nil }
    return moment
  }
}
