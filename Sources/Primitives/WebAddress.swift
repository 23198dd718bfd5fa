/// Web address: a URL that a key or a secret goes to, taken apart once. Either it means here what the URL Standard
/// (https://url.spec.whatwg.org, "basic URL parser") makes of it, to the byte, or it is refused: what is connected to is what was checked.
///
/// Refused, where the standard would repair or reinterpret: another scheme, or one in capitals; a user or a password; IPv4 in any other
/// spelling than four plain decimal numbers, and names whose last part is a number; IPv4 within IPv6; spaces, controls, letters beyond
/// ASCII; `"`, `<`, `>`, `\`, `^`, `` ` ``, `{`, `}`; `.` and `..` parts, `%2e` too; an escape that is none; a fragment.
public struct WebAddress: Equatable, Sendable {
  public let secure: Bool
  /// Lower-case ASCII name, plain IPv4, or IPv6 as the standard writes it, without brackets.
  public let host: String
  public let port: UInt16
  /// Empty, or with its first slash.
  public let path: String
  /// Without its question mark; nil: there is none.
  public let query: String?

  /// Throws `.invalidInput` with a clause that says what is wrong; nothing of `text` is repeated in it.
  public init(_ text: String) throws(Fault) {
    let rest: Substring
    if text.hasPrefix("https://") {
      (secure, rest) = (true, text.dropFirst(8))
    } else if text.hasPrefix("http://") {
      (secure, rest) = (false, text.dropFirst(7))
    } else {
      throw Fault(.invalidInput, "the URL has no scheme", hint: "start it with https:// (or http:// for a local server)")
    }
    let bytes = rest.utf8
    guard bytes.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 92 }) else {
      throw Fault(.invalidInput, "the URL has a character that no URL has", hint: "use plain ASCII without spaces or backslashes")
    }
    guard !bytes.contains(35) else { throw Fault(.invalidInput, "the URL has a fragment", hint: "leave out what follows '#'") }
    let end = bytes.firstIndex { $0 == 47 || $0 == 63 } ?? bytes.endIndex
    (host, port) = try Self.authority(rest[..<end], defaultPort: secure ? 443 : 80)
    let question = bytes[end...].firstIndex(of: 63) ?? bytes.endIndex
    path = String(rest[end..<question])
    query = question < bytes.endIndex ? String(rest[rest.utf8.index(after: question)...]) : nil
    try Self.checkPath(path)
    if let query, query.utf8.contains(where: { $0 == 34 || $0 == 39 || $0 == 60 || $0 == 62 }) {
      throw Fault(.invalidInput, "the query of the URL has a quote or an angle bracket", hint: "write it escaped, as %22")
    }
  }

  private static func checkPath(_ path: String) throws(Fault) {
    let bytes = Array(path.utf8)
    for (i, b) in bytes.enumerated() {
      let isPlain = ![34, 60, 62, 94, 96, 123, 125].contains(b)
      let isEscape =
        b != 37 || (i + 2 < bytes.count && ASCII.hexadecimal(bytes[i + 1]) != nil && ASCII.hexadecimal(bytes[i + 2]) != nil)
      guard isPlain, isEscape else {
        throw Fault(
          .invalidInput, "the path of the URL cannot be used", hint: "use plain ASCII, without any of \" < > ^ ` { } and stray %")
      }
    }
    for part in path.split(separator: "/") {
      let plain = part.lowercased().replacing("%2e", with: ".")
      guard plain != ".", plain != ".." else {
        throw Fault(.invalidInput, "the path of the URL has a part that means another folder", hint: "write it without . and ..")
      }
    }
  }

  /// Reads `host` or `host:port`; throws `.invalidInput`.
  public static func authority(_ text: Substring, defaultPort: UInt16?) throws(Fault) -> (host: String, port: UInt16) {
    guard !text.utf8.contains(64) else {
      throw Fault(.invalidInput, "the URL has a user or a password in it", hint: "credentials are given apart from addresses")
    }
    let bad = Fault(.invalidInput, "the host of the URL cannot be used", hint: "write it as host or host:port, in ASCII")
    var host = text
    var port = defaultPort
    let isBracketed = text.utf8.first == 91
    if let colon = text.utf8.lastIndex(of: 58), !isBracketed || text.utf8[..<colon].last == 93 {
      let digits = Array(text.utf8[text.utf8.index(after: colon)...])
      guard let number = ASCII.decimal(digits.span), (1...65535).contains(number) else { throw bad }
      port = UInt16(number)
      host = text[..<colon]
    }
    guard let port else { throw bad }
    if isBracketed {
      guard host.utf8.last == 93 else { throw bad }
      let inner = String(host.dropFirst().dropLast())
      guard inner.utf8.allSatisfy({ ASCII.hexadecimal($0) != nil || $0 == 58 || $0 == 46 }), let address = NetworkAddress(inner)
      else {
        throw bad
      }
      guard !address.isV4 else {
        throw Fault(.invalidInput, "the host of the URL is IPv4 within IPv6", hint: "write it as IPv4")
      }
      return (address.standardText, port)
    }
    return (try name(host, bad), port)
  }

  private static func name(_ host: Substring, _ bad: Fault) throws(Fault) -> String {
    let labels = host.split(separator: ".", omittingEmptySubsequences: false)
    let isName = labels.allSatisfy { label in
      (1...63).contains(label.utf8.count) && label.utf8.allSatisfy { ASCII.isDigit($0) || ASCII.isLetter($0) || $0 == 45 }
    }
    guard isName, host.utf8.count <= 253 else { throw bad }
    if endsInNumber(String(host)), !isPlainV4(labels) {
      throw Fault(
        .invalidInput, "the host of the URL is an address in disguise", hint: "write IPv4 as four plain numbers, as 127.0.0.1")
    }
    return host.lowercased()
  }

  /// Whether the resolver of a system, or a browser, could take the name for an IPv4 address (URL Standard, "ends in a number").
  public static func endsInNumber(_ host: String) -> Bool {
    var labels = host.utf8.split(separator: 46, omittingEmptySubsequences: false)
    if labels.count > 1, labels.last?.isEmpty == true { labels.removeLast() }
    guard let last = labels.last, let first = last.first else { return false }
    if last.allSatisfy({ ASCII.isDigit($0) }) { return true }
    guard first == 48, last.dropFirst().first.map({ $0 | 0x20 }) == UInt8(ascii: "x") else { return false }
    return last.dropFirst(2).allSatisfy { ASCII.hexadecimal($0) != nil }
  }

  private static func isPlainV4(_ labels: [Substring]) -> Bool {
    labels.count == 4
      && labels.allSatisfy { $0.utf8.count <= 3 && ($0 == "0" || $0.utf8.first != 48) && UInt8($0) != nil }
  }

  /// Whether it is this machine and nothing else: `localhost`, which is never looked up, 127.0.0.0/8 or `::1`.
  public var isLoopback: Bool { Self.isLoopback(host) }

  /// The same of a host that `authority` has read.
  public static func isLoopback(_ host: String) -> Bool {
    let labels = host.split(separator: ".", omittingEmptySubsequences: false)
    return host == "localhost" || host == "::1" || (labels.first == "127" && isPlainV4(labels))
  }

  /// Throws `.invalidInput` where a secret would travel in the clear to another machine.
  public func requireSecrecy() throws(Fault) {
    guard secure || isLoopback else {
      throw Fault(
        .invalidInput, "a key must not travel in the clear to \(host)", hint: "use https://; http:// is for loopback only")
    }
  }

  /// `host` or `host:port`, as the Host header has it.
  public var hostHeader: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (secure ? 443 : 80) ? name : "\(name):\(port)"
  }

  public var origin: String { "\(secure ? "https" : "http")://\(hostHeader)" }

  /// What a request for it has in its first line.
  public var target: String { (path.isEmpty ? "/" : path) + (query.map { "?\($0)" } ?? "") }
}
