public import Cryptography
public import Domain
public import Primitives
public import Providers

/// A provider key ready for use: the whole header line that presents it, in guarded memory.
public final class Credential: Sendable {
  public let keyID: RecordID
  public let version: UInt32
  /// `Authorization: Bearer …\r\n`, `x-api-key: …\r\n` or one of their like.
  public let headerLine: SecretBytes
  /// The secret within `headerLine`.
  private let secret: Range<Int>

  /// Lends the bare secret to `use`.
  public func withSecret<Result>(_ use: (Span<UInt8>) -> Result) -> Result { headerLine.withBytes(secret, use) }

  /// Throws `.invalidInput` when the secret could not stand in a header.
  public init(keyID: RecordID, version: UInt32, style: Provider.CredentialStyle, secret: borrowing SecretBytes) throws(Fault) {
    try Self.validate(secret.span)
    self.keyID = keyID
    self.version = version
    let start: StaticString =
      switch style {
      case .bearer: "Authorization: Bearer "
      case .xAPIKey: "x-api-key: "
      case .apiKey: "api-key: "
      case .googleKey: "x-goog-api-key: "
      }
    let prefix = start.utf8CodeUnitCount
    let count = secret.count
    self.secret = prefix..<(prefix + count)
    headerLine = SecretBytes(count: prefix + count + 2) { target in
      for i in 0..<prefix { target[i] = start.span[i] }
      for i in 0..<count { target[prefix + i] = secret.span[i] }
      target[prefix + count] = 13
      target[prefix + count + 1] = 10
    }
  }

  /// A provider key is 8 to 8,192 bytes of visible ASCII.
  public static func validate(_ secret: Span<UInt8>) throws(Fault) {
    guard secret.count >= 8, secret.count <= 8192 else {
      throw Fault(.invalidInput, "a provider key has 8 to 8192 characters", hint: "was all of it pasted?")
    }
    for i in secret.indices {
      guard secret[i] > 32, secret[i] < 127 else {
        throw Fault(
          .invalidInput, "a provider key holds only visible ASCII characters", hint: "was something else pasted with it?")
      }
    }
  }
}

/// A provider ready for use.
public final class Upstream: Sendable {
  public let provider: Provider
  /// Position in the snapshot.
  public let index: Int
  public let name: [UInt8]
  /// `Host: …\r\n`.
  public let hostLine: [UInt8]
  /// What goes before the native path.
  public let pathPrefix: [UInt8]
  /// What its chat endpoint calls the limit of an answer: OpenAI's newer models know only the newer name, others only the older.
  public let outputLimitName: RequestReader.StaticName
  /// The keys that can be used, the oldest first.
  public let credentials: [Credential]

  public init(_ provider: Provider, index: Int, credentials: [Credential]) {
    self.provider = provider
    self.index = index
    self.credentials = credentials
    name = Array(provider.name.utf8)
    hostLine = Array("Host: \(provider.baseURL.hostHeader)\r\n".utf8)
    let host = provider.baseURL.host
    outputLimitName = host == "api.openai.com" || host.hasSuffix(".openai.azure.com") ? .maxCompletionTokens : .maxTokens
    pathPrefix = Array(provider.baseURL.prefix.utf8)
  }
}
