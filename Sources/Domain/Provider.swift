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

/// An upstream base URL, taken apart once: `https://host[:port][/prefix]`, read as `WebAddress` reads it. In the clear to loopback only.
public struct BaseURL: Equatable, Sendable {
  public let secure: Bool
  /// Lower-case ASCII host name, IPv4 address, or IPv6 address without brackets.
  public let host: String
  public let port: UInt16
  /// Empty, or a path that starts with `/` and does not end with one.
  public let prefix: String

  /// Throws `.invalidInput` with a sentence that says what is wrong.
  public init(_ text: String) throws(Fault) {
    let address = try WebAddress(text)
    guard address.query == nil, !address.path.utf8.contains(37) else {
      throw Fault(.invalidInput, "the path of the base URL cannot be used", hint: "use plain ASCII without query, fragment or %")
    }
    try address.requireSecrecy()
    (secure, host, port) = (address.secure, address.host, address.port)
    var path = address.path[...]
    while path.utf8.last == 47 { path = path.dropLast() }
    prefix = String(path)
  }

  public var isLoopback: Bool { WebAddress.isLoopback(host) }

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
