public import Primitives

/// A catalogue entry: where a provider lives, how its credential is presented and which dialect it speaks.
public struct Provider: Equatable, Sendable, Codable {
  public let name: String
  public var baseURL: BaseURL
  public var credential: CredentialStyle
  /// The name of the catalogue's entry that says which endpoints it has and what they speak.
  public var kind: String
  /// A PEM file with the only authorities to trust for this provider; nil: the system's.
  public var authorityFile: String?
  /// Where it can be reached when its base URL cannot: other regions of the same account. At most `fallbacksMax`.
  public var fallbackURLs: [BaseURL]?
  public static let fallbacksMax = 7
  /// The name of the price list of its models, beside one of its own name.
  public var priceList: String?

  public init(
    name: String, baseURL: BaseURL, credential: CredentialStyle, kind: String, authorityFile: String? = nil,
    priceList: String? = nil, fallbackURLs: [BaseURL] = []
  ) {
    self.name = name
    self.baseURL = baseURL
    self.credential = credential
    self.kind = kind
    self.authorityFile = authorityFile
    self.priceList = priceList
    self.fallbackURLs = fallbackURLs.isEmpty ? nil : fallbackURLs
  }

  /// All addresses, the preferred one first.
  public var addresses: [BaseURL] { [baseURL] + (fallbackURLs ?? []) }

  /// The hosts that this provider's key, or a token for it, may be sent to, as `scheme://host:port`; bound into the seal of each key.
  public var allowedHosts: [String] {
    var hosts: [String] = []
    for origin in addresses.map(\.origin) where !hosts.contains(origin) { hosts.append(origin) }
    guard case .token(let source) = credential, let token = source.url?.origin, !hosts.contains(token) else { return hosts }
    return hosts + [token]
  }
}

/// An upstream base URL, taken apart once: `https://host[:port][/prefix]`.
public struct BaseURL: Equatable, Sendable {
  public let secure: Bool
  /// Lower-case ASCII host name, IPv4 address, or IPv6 address without brackets.
  public let host: String
  public let port: UInt16
  /// Empty, or a path that starts with `/` and does not end with one.
  public let prefix: String

  /// Throws `.invalidInput` with a sentence that says what is wrong.
  public init(_ text: String) throws(Fault) {
    let (scheme, rest): (Bool, Substring)
    if text.hasPrefix("https://") {
      (scheme, rest) = (true, text.dropFirst(8))
    } else if text.hasPrefix("http://") {
      (scheme, rest) = (false, text.dropFirst(7))
    } else {
      throw Fault(.invalidInput, "the base URL has no scheme", hint: "start it with https:// (or http:// for a local server)")
    }
    let slash = rest.utf8.firstIndex(of: 47) ?? rest.endIndex
    var path = rest[slash...]
    while path.utf8.last == 47 { path = path.dropLast() }
    guard path.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 63 && $0 != 35 && $0 != 92 && $0 != 37 }),
      !path.split(separator: "/").contains(where: { $0 == "." || $0 == ".." })
    else {
      throw Fault(.invalidInput, "the path of the base URL cannot be used", hint: "use plain ASCII without query, fragment or %")
    }
    (host, port) = try Self.authority(rest[..<slash], defaultPort: scheme ? 443 : 80)
    secure = scheme
    prefix = String(path)
    guard secure || isLoopback else {
      throw Fault(
        .invalidInput, "a key must not travel in the clear to \(host)", hint: "use https://; http:// is for loopback only")
    }
  }

  private static func authority(_ text: Substring, defaultPort: UInt16) throws(Fault) -> (String, UInt16) {
    let bad = Fault(.invalidInput, "the host of the base URL cannot be used", hint: "write it as host or host:port, in ASCII")
    var hostPart = text
    var port = defaultPort
    let isBracketed = text.utf8.first == 91
    if let colon = text.utf8.lastIndex(of: 58), !isBracketed || text.utf8[..<colon].last == 93 {
      let digits = Array(text.utf8[text.utf8.index(after: colon)...])
      guard let number = ASCII.decimal(digits.span), (1...65535).contains(number) else { throw bad }
      port = UInt16(number)
      hostPart = text[..<colon]
    }
    if isBracketed {
      guard hostPart.utf8.last == 93 else { throw bad }
      hostPart = hostPart.dropFirst().dropLast()
      guard !hostPart.isEmpty, hostPart.utf8.allSatisfy({ ASCII.hexadecimal($0) != nil || $0 == 58 || $0 == 46 }) else {
        throw bad
      }
    } else {
      let allowed = hostPart.utf8.allSatisfy { ASCII.isDigit($0) || ASCII.isLetter($0) || $0 == 45 || $0 == 46 }
      guard allowed, (1...253).contains(hostPart.utf8.count), hostPart.utf8.first != 46, hostPart.utf8.last != 46 else {
        throw bad
      }
    }
    return (hostPart.lowercased(), port)
  }

  public var isLoopback: Bool {
    if host == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
    return parts.count == 4 && !parts.contains(nil) && parts[0] == 127
  }

  /// `host` or `host:port`, as the Host header has it.
  public var hostHeader: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (secure ? 443 : 80) ? name : "\(name):\(port)"
  }

  public var text: String { origin + prefix }

  public var origin: String { "\(secure ? "https" : "http")://\(hostHeader)" }
}

extension BaseURL: Codable {
  public init(from decoder: any Decoder) throws { try self.init(try decoder.singleValueContainer().decode(String.self)) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}
