import Primitives
import Wire

/// Which fields of a client's request go on to the provider (docs/design/0015-what-is-checked-is-what-is-sent.md).
///
/// What a provider's new feature needs passes without waiting for us. What never does: fields of the hop, those that `Connection` names,
/// credentials and accounts of the client's, where it came from, and whatever makes a server take the request for another one than was
/// checked: another method, path, host or model.
struct UpstreamFields {
  /// Positions of the names that the `Connection` fields list, in the bytes of the head.
  private var listed: [Range<Int>] = []

  /// Throws where `Connection` lists a field that decides what the rest of the request means.
  init(_ head: borrowing RequestHead, _ bytes: Span<UInt8>) throws(HTTPError) {
    for field in head.fields where field.kind == .connection {
      var start = field.value.range.lowerBound
      while start < field.value.range.upperBound {
        var end = start
        while end < field.value.range.upperBound, bytes[end] != UInt8(ascii: ",") { end += 1 }
        var (a, z) = (start, end)
        while a < z, bytes[a] == 32 || bytes[a] == 9 { a += 1 }
        while z > a, bytes[z - 1] == 32 || bytes[z - 1] == 9 { z -= 1 }
        start = end + 1
        let name = bytes.extracting(a..<z)
        // Nearly every request has one of these and nothing else.
        if name.isEmpty || name.equalsIgnoringCase("keep-alive") || name.equalsIgnoringCase("close")
          || name.equalsIgnoringCase("upgrade")
        {
          continue
        }
        if name.equalsIgnoringCase("content-type") || name.equalsIgnoringCase("content-encoding") {
          throw .bad("Connection names a field that says what the body is")
        }
        listed.append(a..<z)
      }
    }
  }

  func passes(_ field: Field, _ bytes: Span<UInt8>) -> Bool {
    switch field.kind {
    case .other, .anthropicVersion, .requestID, .trace:
      let name = bytes.extracting(field.name.range)
      for range in listed where Self.isSame(bytes.extracting(range), name) { return false }
      return field.kind != .other || !Self.isKept(name)
    case .contentType: return true
    default: return false
    }
  }

  private static func isSame(_ a: Span<UInt8>, _ b: Span<UInt8>) -> Bool {
    guard a.count == b.count else { return false }
    for i in a.indices where ASCII.lower(a[i]) != ASCII.lower(b[i]) { return false }
    return true
  }

  /// Whether a field of this name stays here, whatever it says.
  static func isKept(_ name: Span<UInt8>) -> Bool {
    ModelMember.isOne(name) || hasWord(name) || isCredential(name) || isAccount(name)
  }

  /// Words of fields that have a server take the request for another one: `X-HTTP-Method-Override`, `X-Original-URL`, `X-Rewrite-URL`,
  /// `X-Envoy-Original-Path`, `X-Accel-Redirect`, `X-Host`; and of where the client came from: `X-Client-IP`, `CF-Connecting-IP`.
  private static func hasWord(_ name: Span<UInt8>) -> Bool {
    for i in name.indices {
      switch ASCII.lower(name[i]) {
      case UInt8(ascii: "-"): if stands("-rout", name, i) { return true }
      case UInt8(ascii: "a"): if stands("accel-", name, i) { return true }
      case UInt8(ascii: "c"): if stands("client-ip", name, i) || stands("connecting-ip", name, i) { return true }
      case UInt8(ascii: "e"): if stands("envoy-", name, i) { return true }
      case UInt8(ascii: "f"): if stands("forwarded", name, i) { return true }
      case UInt8(ascii: "h"): if stands("http-method", name, i) { return true }
      case UInt8(ascii: "m"): if stands("method-override", name, i) { return true }
      case UInt8(ascii: "o"):
        if stands("override", name, i) || stands("original-", name, i) || stands("originating-", name, i) { return true }
      case UInt8(ascii: "r"): if stands("rewrite", name, i) || stands("real-ip", name, i) { return true }
      case UInt8(ascii: "s"): if stands("sendfile", name, i) { return true }
      default: break
      }
    }
    return name.equalsIgnoringCase("x-host") || name.equalsIgnoringCase("x-path") || name.equalsIgnoringCase("x-uri")
      || name.equalsIgnoringCase("x-url") || name.equalsIgnoringCase("x-real-host") || name.equalsIgnoringCase("base-url")
      // Google's hint of where a call belongs: it has the name of the model in it.
      || name.equalsIgnoringCase("x-goog-request-params")
  }

  /// `...-Key` (but of idempotency and of caches), `...-Token`, `...-Secret`, `...-Auth`, and whatever has `authoriz` or `authentic` in it.
  private static func isCredential(_ name: Span<UInt8>) -> Bool {
    if ends("-key", name) || ends("_key", name) || ends("apikey", name) {
      for i in name.indices where stands("idempotency", name, i) || stands("cache", name, i) { return false }
      return true
    }
    if ends("-token", name) || ends("-secret", name) || ends("-auth", name) || ends("-credential", name) { return true }
    for i in name.indices where ASCII.lower(name[i]) == UInt8(ascii: "a") {
      if stands("authoriz", name, i) || stands("authentic", name, i) { return true }
    }
    return false
  }

  /// Accounts that a call could be billed to or done for: the gateway's keys are not the client's to point elsewhere.
  private static func isAccount(_ name: Span<UInt8>) -> Bool {
    name.equalsIgnoringCase("x-goog-user-project") || name.equalsIgnoringCase("x-hf-bill-to")
      || name.equalsIgnoringCase("chatgpt-account-id")
  }

  private static func stands(_ word: StaticString, _ name: Span<UInt8>, _ i: Int) -> Bool {
    let n = word.utf8CodeUnitCount
    return i + n <= name.count && name.extracting(i..<(i + n)).equalsIgnoringCase(word)
  }

  private static func ends(_ word: StaticString, _ name: Span<UInt8>) -> Bool {
    name.count >= word.utf8CodeUnitCount && stands(word, name, name.count - word.utf8CodeUnitCount)
  }
}
