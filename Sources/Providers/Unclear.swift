import Primitives
import Wire

/// Why it is not clear which models a request is for: what it says can be read in two ways, or in none.
public struct Unclear: Error, Sendable {
  public enum Reason: UInt8, Sendable, CaseIterable {
    case noContentType, contentType, charset, wide, byteOrderMark, notUTF8, surrogate, notANumber, notJSON, unfinished, duplicate,
      caseVariant, tooLong, absent, notText, differ, form, query, member, twice, tooMany, batchFile, message
  }
  public let reason: Reason
  /// The name of the member that it is about; empty: none.
  public let subject: JSONText

  public init(_ reason: Reason, _ subject: JSONText = JSONText()) { (self.reason, self.subject) = (reason, subject) }

  init(_ reason: Reason, _ subject: Span<UInt8>) {
    var text = JSONText()
    for i in subject.indices { text.append(subject[i]) }
    self.init(reason, text)
  }

  /// What is wrong, and what to do.
  public var sentence: StaticString {
    switch reason {
    case .noContentType: "The request has no Content-Type. Send application/json, or a form where the endpoint takes one."
    case .contentType: "The Content-Type is neither application/json nor a multipart form with one plain boundary, said once."
    case .charset: "The Content-Type, a part of the form or a field _charset_ says a character set. Send UTF-8, or say none."
    case .wide: "The body is in UTF-16 or UTF-32. Send UTF-8."
    case .byteOrderMark: "The body begins with a byte order mark. Send it without one."
    case .notUTF8: "The body has bytes that are not UTF-8."
    case .surrogate: "The body has half a surrogate pair (\\ud800 to \\udfff alone), which parsers read differently."
    case .notANumber: "The body has NaN or Infinity, which JSON does not have."
    case .notJSON: "The body is not valid JSON."
    case .unfinished: "The body is JSON that ends too early."
    case .duplicate: "The body says a member twice that a decision depends on. Say it once."
    case .caseVariant: "The body has a member that differs from one of the API in capitals alone. Write it as the API does."
    case .tooLong: "The body names a model in more than 128 bytes."
    case .absent: "The request names no model. Name it once, as 'model'."
    case .notText: "The body has a model that is no string."
    case .differ: "Path and body name different models. Name one."
    case .form: "The form can be read in two ways: a field twice, escapes in names, an encoded part, or bytes beside the parts."
    case .query: "A parameter of the query may name a model. Name it in the body or the path alone."
    case .member:
      "This masked key's models or money are limited, and a member of the request that MaskLLM does not know may name another model. Leave it out."
    case .twice: "A member that names models stands there twice. Say it once."
    case .tooMany: "The body names more models than MaskLLM looks at (16)."
    case .batchFile:
      "This masked key's models or money are limited, and the models of this batch stand in a file, which MaskLLM does not read. Use a key without such limits."
    case .message: "A message of the session cannot be read, or names no model."
    }
  }

  /// Bytes of a body that are looked at for what is wrong with it.
  private static let bytesMax = 1 << 20

  /// What is wrong with `body`, which is no JSON text by RFC 8259 in UTF-8.
  static func reason(_ body: Span<UInt8>) -> Reason {
    if isWide(body) { return .wide }
    if body.count >= 3, body[0] == 0xEF, body[1] == 0xBB, body[2] == 0xBF { return .byteOrderMark }
    guard body.count <= bytesMax else { return .notJSON }
    var probe = JSONProbe()
    let paths = JSONPaths([])
    for i in body.indices {
      probe.feed(body.extracting(i..<(i + 1)), paths)
      guard probe.status == .invalid else { continue }
      if body[i] >= 128 || (i > 0 && body[i - 1] >= 128) { return .notUTF8 }
      if body[i] == UInt8(ascii: "N") || body[i] == UInt8(ascii: "I") { return .notANumber }
      return isAfterSurrogate(body, i) ? .surrogate : .notJSON
    }
    return probe.status == .complete ? .notJSON : .unfinished
  }

  /// Whether the first bytes are of UTF-16 or UTF-32, with a mark or without: a JSON text begins with ASCII.
  static func isWide(_ body: Span<UInt8>) -> Bool {
    guard body.count >= 2 else { return false }
    if (body[0] == 0xFF && body[1] == 0xFE) || (body[0] == 0xFE && body[1] == 0xFF) { return true }
    for i in 0..<min(4, body.count) where body[i] == 0 { return true }
    return false
  }

  /// Whether the byte at `i` stands behind or in an escape of half a pair.
  private static func isAfterSurrogate(_ body: Span<UInt8>, _ i: Int) -> Bool {
    for start in max(0, i - 12)...i where start + 3 < body.count {
      if body[start] == UInt8(ascii: "\\"), body[start + 1] == UInt8(ascii: "u"),
        ASCII.lower(body[start + 2]) == UInt8(ascii: "d"),
        let digit = ASCII.hexadecimal(body[start + 3]), digit >= 8
      {
        return true
      }
    }
    return false
  }
}
