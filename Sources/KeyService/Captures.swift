import Audit
import Cryptography
public import Domain
public import Primitives
public import Storage
import Vault

/// Content of one request as it is shown.
public struct Capture: ~Copyable {
  public let number: Int64
  public let at: Timestamp
  public let key: RecordID
  public let status: UInt16
  public let isCut: Bool
  public let request: [UInt8]
  public let answer: [UInt8]
}

// What keys send and get, where somebody has asked for it: sealed, for some days, and read only by being written down.
extension KeyService {
  /// The longest that a key's content is captured for once it is asked for, in seconds.
  public static let captureLongest: Int64 = 7 * 86_400
  private static let capturesKept: Int64 = 10_000

  /// Captures the content of a key until `end`; nil: no longer.
  public func setCapture(_ id: RecordID, until end: Timestamp?, reason: String) async throws(Fault) -> MaskedKey {
    try Label.validate(reason, of: "reason")
    if let end {
      guard end > clock.now, end <= clock.now + Self.captureLongest else {
        throw Fault(.invalidInput, "content is captured for at most seven days at a time", hint: "name an end within them")
      }
    }
    return try await edit(
      id, end == nil ? "capture.stop" : "capture.start", ["until": end?.rfc3339 ?? "", "reason": reason], by: .administrator
    ) { $0.details.captureUntil = end?.milliseconds }
  }

  /// Seals content and keeps it. What it was made of is the caller's to wipe.
  public func keepCapture(of key: RecordID, at moment: Timestamp, status: UInt16, isCut: Bool, request: [UInt8], answer: [UInt8])
    throws(Fault)
  {
    let vault = try requireVault()
    // May have ended since the request began.
    guard keys[key]?.details.captures(at: clock.now) == true else { return }
    var plain: [UInt8] =
      [isCut ? 1 : 0] + (0..<4).map { UInt8(truncatingIfNeeded: request.count >> (24 - 8 * $0)) } + request + answer
    defer { wipe(&plain) }
    let sealed = try vault.seal(plain.span, for: "capture/\(key)", hosts: [])
    try store.append(CaptureRow(at: moment, key: key, status: status, sealed: sealed))
  }

  /// What there is, without content.
  public func captures(of key: RecordID?, before number: Int64, limit: Int) throws(Fault) -> [CaptureRow] {
    _ = try requireVault()
    var found: [CaptureRow] = []
    try store.forEachCapture(of: key, before: number) { row in
      var row = row
      row.sealed = []
      found.append(row)
      return found.count < limit
    }
    return found
  }

  /// The content of one; that it is read is written down first.
  public func capture(_ number: Int64) throws(Fault) -> Capture {
    let vault = try requireVault()
    var found: CaptureRow?
    try store.forEachCapture(of: nil, before: number + 1) { row in
      if row.number == number { found = row }
      return false
    }
    guard let row = found else { throw Fault(.notFound, "there is no capture \(number)", hint: "see 'maskllm capture list'") }
    try audit("capture.read", "capture/\(number)", ["key": row.key.description])
    let opened = try vault.open(row.sealed, for: "capture/\(row.key)", hosts: [])
    let plain = [UInt8](copying: opened.span)
    guard plain.count >= 5 else { throw Fault(.tampered, "capture \(number) cannot be read") }
    let length = plain[1..<5].reduce(0) { $0 << 8 | Int($1) }
    guard 5 + length <= plain.count else { throw Fault(.tampered, "capture \(number) cannot be read") }
    return Capture(
      number: number, at: row.at, key: row.key, status: row.status, isCut: plain[0] == 1, request: Array(plain[5..<5 + length]),
      answer: Array(plain[(5 + length)...]))
  }

  public func deleteCaptures(of key: RecordID) throws(Fault) {
    _ = try requireVault()
    try audit("capture.delete", "key/\(key)")
    try store.deleteCaptures(of: key)
  }

  /// Erases what was kept for long enough.
  func forgetCaptures(days: Int) throws(Fault) {
    try store.deleteCaptures(
      before: Timestamp(milliseconds: clock.now.milliseconds - Int64(days) * 86_400_000), keeping: Self.capturesKept)
  }
}
