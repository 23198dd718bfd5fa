import Primitives

/// How the real key is presented upstream. Written as `bearer`, `header:NAME`, `query:NAME`, `basic`,
/// `aws:SERVICE` or `aws:SERVICE:REGION`, or as a `TokenSource`.
public enum CredentialStyle: Equatable, Sendable {
  /// `Authorization: Bearer <key>`
  case bearer
  /// `<name>: <key>`; lower case
  case header(String)
  /// `?<name>=<key>`
  case query(String)
  /// `Authorization: Basic <base64 of the key>`; the key is `user:password`.
  case basic
  /// AWS Signature Version 4; the key is `access-key-id:secret-access-key`, and a session token behind another colon.
  case aws(service: String, region: String)
  /// `Authorization: Bearer <token>`, where the token was got in exchange for the key, and lasts for an hour or so.
  case token(TokenSource)

  public static let forms =
    "bearer, header:NAME, query:NAME, basic, aws:SERVICE:REGION, google, ibm, entra:TENANT, 'oauth2:TOKEN-URL SCOPES'"

  /// nil when `text` is none of the forms.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    switch (parts[0], parts.count > 1 ? parts[1] : nil) {
    case ("bearer", nil): self = .bearer
    case ("basic", nil): self = .basic
    case ("header", let name?) where Self.isHeaderName(name): self = .header(name)
    case ("query", let name?) where Self.isQueryName(name): self = .query(name)
    case ("aws", let rest?):
      let names = rest.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard (1...2).contains(names.count), names.allSatisfy(Self.isAmazonName) else { return nil }
      self = .aws(service: names[0], region: names.count > 1 ? names[1] : "")
    default:
      guard let source = TokenSource(text) else { return nil }
      self = .token(source)
    }
  }

  /// A field that the gateway itself writes, or that says where a message ends, carries no key.
  private static func isHeaderName(_ name: String) -> Bool {
    let taken = [
      "host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect", "content-type",
    ]
    return (1...64).contains(name.utf8.count) && !taken.contains(name)
      && name.utf8.allSatisfy { ASCII.isDigit($0) || ($0 >= 97 && $0 <= 122) || $0 == 45 }
  }

  private static func isQueryName(_ name: String) -> Bool {
    (1...64).contains(name.utf8.count) && name.utf8.allSatisfy { ASCII.isDigit($0) || ASCII.isLetter($0) || $0 == 95 || $0 == 45 }
  }

  private static func isAmazonName(_ name: String) -> Bool {
    (1...40).contains(name.utf8.count) && name.utf8.allSatisfy { ASCII.isDigit($0) || ($0 >= 97 && $0 <= 122) || $0 == 45 }
  }

  /// The region that an Amazon host is in: `bedrock-runtime.eu-central-1.amazonaws.com`; nil for other hosts.
  public static func region(ofHost host: String) -> String? {
    let labels = host.split(separator: ".").map(String.init)
    guard labels.count >= 3, host.hasSuffix(".amazonaws.com") || host.hasSuffix(".api.aws"), isAmazonName(labels[1]),
      labels[1].contains("-")
    else { return nil }
    return labels[1]
  }

  public var text: String {
    switch self {
    case .aws(let service, let region): region.isEmpty ? "aws:\(service)" : "aws:\(service):\(region)"
    case .bearer: "bearer"
    case .basic: "basic"
    case .header(let name): "header:\(name)"
    case .query(let name): "query:\(name)"
    case .token(let source): source.text
    }
  }
}

extension CredentialStyle: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let style = CredentialStyle(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "no credential style")
    }
    self = style
  }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}
