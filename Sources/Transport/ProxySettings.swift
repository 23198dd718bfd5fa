public import Primitives

/// The HTTP proxy that upstream connections go through, and the hosts that are reached without it.
public struct ProxySettings: Sendable {
  public let host: String
  public let port: UInt16
  /// `user:password` in base64; part of a head, never logged.
  let basicCredentials: String?
  private let exceptions: [String]

  /// Reads `HTTPS_PROXY` and `NO_PROXY` (or their lower-case spellings); nil when no proxy is set.
  public init?(environment: [String: String]) throws(Fault) {
    guard let text = environment["HTTPS_PROXY"] ?? environment["https_proxy"], !text.isEmpty else { return nil }
    let bad = Fault(.invalidInput, "HTTPS_PROXY cannot be used", hint: "write it as http://[user:password@]host:port")
    guard text.hasPrefix("http://") else { throw bad }
    var rest = text.dropFirst(7)
    if let slash = rest.firstIndex(of: "/") { rest = rest[..<slash] }
    if let at = rest.lastIndex(of: "@") {
      guard let credentials = Self.percentDecoded(rest[..<at]) else { throw bad }
      var encoded = ByteBuffer(capacity: 64)
      encoded.append(base64: credentials.span)
      basicCredentials = String(decoding: encoded.copy(), as: UTF8.self)
      rest = rest[rest.index(after: at)...]
    } else {
      basicCredentials = nil
    }
    do { (host, port) = try WebAddress.authority(rest, defaultPort: nil) } catch { throw bad }
    exceptions = (environment["NO_PROXY"] ?? environment["no_proxy"] ?? "").split(separator: ",").map {
      $0.lowercased().filter { $0 != " " }
    }
  }

  /// Whether `host` is reached through the proxy. An exception matches a host, a domain (`.example.com`, `example.com`) or `*`.
  public func applies(to host: String) -> Bool {
    !exceptions.contains { $0 == "*" || $0 == host || host.hasSuffix($0.hasPrefix(".") ? $0 : ".\($0)") }
  }

  private static func percentDecoded(_ text: Substring) -> [UInt8]? {
    var out: [UInt8] = []
    var bytes = Array(text.utf8)[...]
    while let b = bytes.popFirst() {
      if b != 37 {
        out.append(b)
      } else {
        guard let h = bytes.popFirst().flatMap(ASCII.hexadecimal), let l = bytes.popFirst().flatMap(ASCII.hexadecimal) else {
          return nil
        }
        out.append(h << 4 | l)
      }
    }
    return out
  }
}
