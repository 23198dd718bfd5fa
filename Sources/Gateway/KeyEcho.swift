import PolicyEngine
import Primitives

/// Echo filter: stars out our real key where a provider's answer repeats it, byte for byte, so that lengths and framing stay.
///
/// Of every answer the whole key goes (of one below `keyMin` bytes only in errors: a short made-up key can be a word of an answer). Of
/// errors also what providers show of a key: its first or last characters beside a mask (`sk-pr***3f2A`, `...3f2A`), its last four or
/// more alone, and any twelve of its characters in a row. What is encoded anew (base64, escapes) is not found.
struct KeyEcho {
  /// Bytes of a key from which on it is looked for in answers that are no errors.
  static let keyMin = 20
  /// Characters of the key in a row that are recognisable.
  static let runMin = 12
  /// Bytes of a run of characters of which a key could consist that are held until the run is over.
  static let runMax = 512

  /// Whether the answer is an error.
  var isError = false
  /// The token that the key was exchanged for, where it was.
  var token: AccessToken.Value?
  /// A beginning of the key, or of a run in an error, at the end of what has come.
  private var held: [UInt8] = []

  init() {}

  /// `content` without the key; nil where nothing has to change and nothing is held, so that it passes as it is.
  mutating func clean(_ content: Span<UInt8>, _ credential: Credential) -> [UInt8]? {
    if held.isEmpty, !isError, !credential.isRepeated(in: content, orBegun: true, shortestKey: Self.keyMin, token: token) {
      return nil
    }
    // Off the path of what goes well: it may copy.
    var bytes = held + [UInt8](copying: content)
    held = []
    let kept = tail(of: bytes, credential)
    if kept > 0 {
      held = Array(bytes.suffix(kept))
      bytes.removeLast(kept)
    }
    star(&bytes, credential)
    return bytes
  }

  /// What is still held when the answer is over.
  mutating func finish(_ credential: Credential) -> [UInt8] {
    var bytes = held
    held = []
    star(&bytes, credential)
    return bytes
  }

  /// One value as it is passed, a header field's for example.
  func value(_ value: Span<UInt8>, _ credential: Credential) -> [UInt8]? {
    guard isError || credential.isRepeated(in: value, orBegun: false, shortestKey: Self.keyMin, token: token) else { return nil }
    var bytes = [UInt8](copying: value)
    star(&bytes, credential)
    return bytes
  }

  /// Bytes at the end that cannot be judged before more has come.
  private func tail(of bytes: [UInt8], _ credential: Credential) -> Int {
    guard isError else { return credential.beginning(atEndOf: bytes.span, token: token) }
    var count = 0
    while count < min(bytes.count, Self.runMax), Self.isOfRun(bytes[bytes.count - 1 - count]) { count += 1 }
    return count == Self.runMax ? 0 : max(count, credential.beginning(atEndOf: bytes.span, token: token))
  }

  private func star(_ bytes: inout [UInt8], _ credential: Credential) {
    credential.forEachSecret(token) { secret in
      guard isError || secret.count >= Self.keyMin else { return }
      while let at = bytes.span.firstIndex(of: secret) { Self.star(&bytes, at..<(at + secret.count)) }
      guard isError else { return }
      var i = 0
      while i < bytes.count {
        guard Self.isOfRun(bytes[i]) else {
          i += 1
          continue
        }
        var end = i
        while end < bytes.count, Self.isOfRun(bytes[end]) { end += 1 }
        if Self.isPart(bytes.span.extracting(i..<end), of: secret) { Self.star(&bytes, i..<end) }
        i = end
      }
    }
  }

  private static func star(_ bytes: inout [UInt8], _ range: Range<Int>) {
    for i in range { bytes[i] = UInt8(ascii: "*") }
  }

  /// What keys and masks consist of: letters, digits, `-_.*`, and the bytes of an ellipsis or a bullet in UTF-8.
  private static func isOfRun(_ b: UInt8) -> Bool {
    ASCII.isLetter(b) || ASCII.isDigit(b) || b == UInt8(ascii: "-") || b == UInt8(ascii: "_") || isMask(b)
  }

  private static func isMask(_ b: UInt8) -> Bool { b == UInt8(ascii: "*") || b == UInt8(ascii: ".") || b >= 0x80 }

  /// Whether a run is a recognisable part of `secret`.
  private static func isPart(_ run: Span<UInt8>, of secret: Span<UInt8>) -> Bool {
    var run = run
    // One or two full stops at the end are the sentence's.
    var stops = 0
    while stops < run.count, run[run.count - 1 - stops] == UInt8(ascii: ".") { stops += 1 }
    if stops < 3 { run = run.extracting(0..<(run.count - stops)) }
    if run.count >= 4, run.count <= secret.count, secret.extracting((secret.count - run.count)..<secret.count).equals(run) {
      return true
    }
    let window = min(runMin, secret.count)
    if run.count >= window {
      for i in 0...(run.count - window) where secret.firstIndex(of: run.extracting(i..<(i + window))) != nil { return true }
    }
    guard let mask = mask(of: run) else { return false }
    let (before, after) = (run.extracting(0..<mask.lowerBound), run.extracting(mask.upperBound..<run.count))
    return (before.count >= 2 && before.count <= secret.count && secret.extracting(0..<before.count).equals(before))
      || (after.count >= 2 && after.count <= secret.count
        && secret.extracting((secret.count - after.count)..<secret.count).equals(after))
  }

  /// The first mask of a run: three signs of one or more.
  private static func mask(of run: Span<UInt8>) -> Range<Int>? {
    var i = 0
    while i < run.count {
      var end = i
      while end < run.count, isMask(run[end]) { end += 1 }
      if end - i >= 3 { return i..<end }
      i = max(end, i + 1)
    }
    return nil
  }
}
