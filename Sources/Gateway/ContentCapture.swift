import Audit
public import Primitives

/// What a request and its answer said, of a key whose content is captured.
public struct CapturedContent: Sendable {
  public let key: RecordID
  public let at: Timestamp
  public let status: UInt16
  public let request: [UInt8]
  public let answer: [UInt8]
  /// Whether there was more of either.
  public let isCut: Bool
}

/// Where captured content goes. Called on the loop's thread; must not block it.
public protocol CaptureDesk: Sendable {
  func keep(_ content: CapturedContent)
}

/// Gathers the content of one exchange. Only of keys that somebody has asked it of: it copies.
final class ContentCapture {
  private var request: [UInt8] = []
  private var answer: [UInt8] = []
  private var isCut = false

  /// Bytes kept of a request, and of its answer.
  static let lengthMax = 128 * 1024

  func takeRequest(_ content: Span<UInt8>) { take(content, &request) }
  func takeAnswer(_ content: Span<UInt8>) { take(content, &answer) }

  private func take(_ content: Span<UInt8>, _ place: inout [UInt8]) {
    let room = min(content.count, Self.lengthMax - place.count)
    if room < content.count { isCut = true }
    if room > 0 { place += [UInt8](copying: content.extracting(0..<room)) }
  }

  func content(of key: RecordID, _ record: borrowing ActivityRecord) -> CapturedContent {
    CapturedContent(key: key, at: record.start, status: record.status, request: request, answer: answer, isCut: isCut)
  }
}
