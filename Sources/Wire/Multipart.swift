import Primitives

/// Finds the value of one field in a whole `multipart/form-data` body (RFC 7578): strictly, because a decision depends on it.
///
/// What two parsers could read differently is refused: a field given twice, a name in another spelling, an encoded part, bytes
/// outside the parts.
public struct MultipartForm: Sendable {
  public static let partsMax = 64
  private static let boundaryMax = 70

  /// The boundary of a content type, as positions in it; nil when it is not `multipart/form-data` with one plain boundary.
  public static func boundary(contentType: Span<UInt8>) -> Range<Int>? {
    let type: StaticString = "multipart/form-data"
    let n = type.utf8CodeUnitCount
    guard contentType.count > n, contentType.extracting(0..<n).equalsIgnoringCase(type) else { return nil }
    var i = n
    while i < contentType.count, contentType[i] == 32 || contentType[i] == 59 { i += 1 }
    let name: StaticString = "boundary="
    let start = i + name.utf8CodeUnitCount
    guard start < contentType.count, contentType.extracting(i..<start).equalsIgnoringCase(name) else { return nil }
    var (first, last) = (start, contentType.count)
    if contentType[first] == 34 {
      guard last - first > 2, contentType[last - 1] == 34 else { return nil }
      (first, last) = (first + 1, last - 1)
    }
    guard last > first, last - first <= boundaryMax else { return nil }
    for j in first..<last {
      let b = contentType[j]
      guard ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 95 || b == 46 || b == 61 || b == 43 else { return nil }
    }
    return first..<last
  }

  /// What a look for a field found.
  public enum Found: Equatable, Sendable {
    case absent
    case value(Range<Int>)
    case unclear(Trouble)
  }

  /// Why a form could be read in two ways.
  public enum Trouble: Equatable, Sendable {
    /// The body is no strict form, or says the field more than once.
    case form
    /// A part, or a field `_charset_`, says a character set.
    case charset
    /// A field of this name may name another model.
    case member(Range<Int>)
  }

  /// The value of the field `name` (lower case) in `body`.
  public static func find(_ name: StaticString, in body: Span<UInt8>, boundary: Span<UInt8>) -> Found {
    guard isDelimiter(body, 0, boundary), body.count > boundary.count + 4 else { return .unclear(.form) }
    var i = 2 + boundary.count
    var found = Found.absent
    for _ in 0..<partsMax {
      if body.count >= i + 2, body[i] == 45, body[i + 1] == 45 {
        let rest = body.count - i - 2
        return rest == 0 || (rest == 2 && body[i + 2] == 13 && body[i + 3] == 10) ? found : .unclear(.form)
      }
      guard i + 2 <= body.count, body[i] == 13, body[i + 1] == 10 else { return .unclear(.form) }
      guard let head = head(body, i + 2, name), let end = self.end(body, head.content, boundary) else { return .unclear(.form) }
      switch head.verdict {
      case .other: break
      case .wanted:
        guard found == .absent else { return .unclear(.form) }
        found = .value(head.content..<end)
      case .unclear(let trouble): return .unclear(trouble)
      }
      i = end + 4 + boundary.count
    }
    return .unclear(.form)
  }

  private enum Verdict { case other, wanted, unclear(Trouble) }

  private static func isDelimiter(_ body: Span<UInt8>, _ at: Int, _ boundary: Span<UInt8>) -> Bool {
    guard at + 2 + boundary.count <= body.count, body[at] == 45, body[at + 1] == 45 else { return false }
    return body.extracting((at + 2)..<(at + 2 + boundary.count)).equals(boundary)
  }

  /// Where the content that starts at `from` ends: before the CRLF of the next delimiter.
  private static func end(_ body: Span<UInt8>, _ from: Int, _ boundary: Span<UInt8>) -> Int? {
    var i = from
    while let cr = body.firstIndex(of: 13, from: i) {
      if cr + 1 < body.count, body[cr + 1] == 10, isDelimiter(body, cr + 2, boundary) { return cr }
      i = cr + 1
    }
    return nil
  }

  /// The head of a part that starts at `from`: where its content starts, and whether it is the field.
  private static func head(_ body: Span<UInt8>, _ from: Int, _ name: StaticString) -> (content: Int, verdict: Verdict)? {
    var i = from
    var verdict: Verdict?
    var (isFile, isUTF8) = (false, true)
    while true {
      guard let cr = body.firstIndex(of: 13, from: i), cr - i <= 1024, cr + 1 < body.count, body[cr + 1] == 10 else { return nil }
      let start = i
      let line = body.extracting(i..<cr)
      i = cr + 2
      if line.isEmpty {
        guard let verdict else { return nil }
        // What a file is written in is no matter of ours.
        return (i, isUTF8 || isFile ? verdict : .unclear(.charset))
      }
      guard let colon = line.firstIndex(of: 58) else { return nil }
      let field = line.extracting(0..<colon)
      let value = line.extracting((colon + 1)..<line.count)
      if field.equalsIgnoringCase("content-disposition") {
        guard verdict == nil else { return nil }
        (verdict, isFile) = self.verdict(value, at: start + colon + 1, name)
      } else if field.equalsIgnoringCase("content-type") {
        let type = MediaType(value)
        isUTF8 = isUTF8 && type.isUTF8 && type.isClear
      } else if !field.equalsIgnoringCase("content-length") {
        // A transfer encoding would hide the value; anything else has no business here.
        return nil
      }
    }
  }

  /// `form-data; name="…"` and, of files, `; filename="…"`, in this order and this spelling; and whether it is a file. `value` begins at
  /// `at` of the body.
  private static func verdict(_ value: Span<UInt8>, at: Int, _ name: StaticString) -> (Verdict, Bool) {
    let unclear = (Verdict.unclear(.form), false)
    var i = 0
    while i < value.count, value[i] == 32 { i += 1 }
    let start: StaticString = "form-data; name=\""
    guard value.count > i + start.utf8CodeUnitCount,
      value.extracting(i..<(i + start.utf8CodeUnitCount)).equalsIgnoringCase(start)
    else { return unclear }
    i += start.utf8CodeUnitCount
    guard let close = value.firstIndex(of: 34, from: i) else { return unclear }
    let given = value.extracting(i..<close)
    for j in given.indices {
      let b = given[j]
      // Escapes in names are read in as many ways as there are parsers.
      guard b > 32, b < 127, b != 92, b != 37 else { return unclear }
    }
    let rest = value.extracting((close + 1)..<value.count)
    if given.equals(name) { return rest.isEmpty ? (.wanted, false) : unclear }
    if given.equalsIgnoringCase(name) { return unclear }
    if given.equalsIgnoringCase("_charset_") { return (.unclear(.charset), false) }
    if ModelMember.isOne(given) { return (.unclear(.member((at + i)..<(at + close))), false) }
    if rest.isEmpty { return (.other, false) }
    // A file's name, and nothing after it that could name the field anew.
    let file: StaticString = "; filename=\""
    let n = file.utf8CodeUnitCount
    return rest.starts(with: file) && rest.firstIndex(of: 34, from: n) == rest.count - 1 ? (.other, true) : unclear
  }
}
