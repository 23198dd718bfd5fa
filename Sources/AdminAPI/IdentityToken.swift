import Cryptography
import FoundationEssentials
import Primitives

/// What an OpenID provider says of a person: the claims of a token that its key has signed (OpenID Connect Core 1.0, section 2).
struct IdentityToken {
  private let claims: JSONTree
  private let signed: ArraySlice<UInt8>
  private let signature: [UInt8]
  private let algorithm: String
  /// Which of the provider's keys has signed it, where it says.
  let keyID: String?

  /// Seconds by which clocks may differ.
  private static let skew: Int64 = 60

  /// Reads what is not trusted yet.
  init(_ text: [UInt8]) throws(Fault) {
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let header = Self.json(parts[0]), let claims = Self.json(parts[1]),
      let signature = base64URLDecoded(parts[2]), let algorithm = header["alg"]?.text
    else { throw Self.refused("cannot be read") }
    // What we do not understand and must.
    guard header["crit"] == nil else { throw Self.refused("has a critical extension") }
    (self.claims, self.signature, self.algorithm, keyID) = (claims, signature, algorithm, header["kid"]?.text)
    signed = text[..<(text.count - parts[2].count - 1)]
  }

  private static func json(_ part: ArraySlice<UInt8>) -> JSONTree? {
    base64URLDecoded(part).flatMap { try? JSONDecoder().decode(JSONTree.self, from: Data($0)) }
  }

  private static func refused(_ why: String) -> Fault { Fault(.unauthorized, "the provider's token \(why)") }

  /// Throws `.unauthorized` unless it is signed by one of `keys`, of `issuer`, for `client`, of now, and the answer to `nonce`.
  func check(_ keys: [JSONWebKey], issuer: String, client: String, nonce: String, now: Timestamp) throws(Fault) {
    let message = Array(signed)
    guard keys.contains(where: { $0.verifies(signature, of: message.span, algorithm: algorithm) }) else {
      throw Self.refused("is not signed by a key of the provider")
    }
    guard claims["iss"]?.text == issuer else { throw Self.refused("is of another issuer") }
    let audience: [String] =
      switch claims["aud"] {
      case .text(let one): [one]
      case .list(let all): all.compactMap(\.text)
      default: []
      }
    guard audience.contains(client), audience.count == 1 || claims["azp"]?.text == client else {
      throw Self.refused("is for another client")
    }
    guard let end = Self.moment(claims["exp"]), now < end + Self.skew, let start = Self.moment(claims["iat"]),
      start <= now + Self.skew
    else { throw Self.refused("is not of now") }
    guard let said = claims["nonce"]?.text, constantTimeEqual(Array(said.utf8).span, Array(nonce.utf8).span) else {
      throw Self.refused("answers another sign-in")
    }
    guard let subject = claims["sub"]?.text, !subject.isEmpty else { throw Self.refused("is of nobody") }
  }

  /// The moment that a claim tells in seconds since 1970; nil for what is none.
  private static func moment(_ claim: JSONTree?) -> Timestamp? {
    switch claim {
    case .integer(let value): Timestamp(seconds: Int64(value))
    case .number(let value) where abs(value) < 1e15: Timestamp(seconds: Int64(value))
    default: nil
    }
  }

  /// What the person is called: their address or user name, else the subject.
  var name: String {
    for claim in ["email", "preferred_username", "sub"] { if let text = claims[claim]?.text, !text.isEmpty { return text } }
    return ""
  }

  func texts(_ claim: String) -> [String] {
    switch claims[claim] {
    case .text(let one): [one]
    case .list(let all): all.compactMap(\.text)
    default: []
    }
  }
}

/// RFC 4648 section 5, without padding; nil for anything else.
func base64URLDecoded(_ text: some Sequence<UInt8>) -> [UInt8]? {
  var standard: [UInt8] = []
  for b in text {
    switch b {
    case UInt8(ascii: "-"): standard.append(UInt8(ascii: "+"))
    case UInt8(ascii: "_"): standard.append(UInt8(ascii: "/"))
    case _ where ASCII.isDigit(b) || ASCII.isLetter(b): standard.append(b)
    default: return nil
    }
  }
  while standard.count % 4 != 0 { standard.append(UInt8(ascii: "=")) }
  return Data(base64Encoded: Data(standard)).map { [UInt8]($0) }
}
