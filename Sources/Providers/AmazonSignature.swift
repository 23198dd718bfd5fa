import Cryptography
public import Primitives

/// AWS Signature Version 4 in the Authorization header.
///
/// Built from bytes that are sent anyway, for one provider key; it allocates, which beside the hash of the whole body is nothing.
public struct AmazonSignature: Sendable {
  public let region: [UInt8]
  public let service: [UInt8]
  public let accessKey: [UInt8]

  public init(region: String, service: String, accessKey: [UInt8]) {
    (self.region, self.service, self.accessKey) = (Array(region.utf8), Array(service.utf8), accessKey)
  }

  /// What is signed of a request. Header names in lower case.
  public struct Request: Sendable {
    public var method: [UInt8]
    /// As it is sent.
    public var path: [UInt8]
    /// As it is sent, without the question mark.
    public var query: [UInt8]
    public var headers: [(name: [UInt8], value: [UInt8])]
    /// SHA-256 of the body, in hexadecimal.
    public var payloadHash: [UInt8]

    public init(
      method: [UInt8], path: [UInt8], query: [UInt8], headers: [(name: [UInt8], value: [UInt8])], payloadHash: [UInt8]
    ) {
      (self.method, self.path, self.query, self.headers, self.payloadHash) = (method, path, query, headers, payloadHash)
    }
  }

  /// `20261125T020000Z`
  public static func stamp(_ now: Timestamp) -> [UInt8] {
    Array(now.rfc3339.utf8.prefix(19)).filter { $0 != 45 && $0 != 58 } + [90]
  }

  /// SHA-256 in lower-case hexadecimal.
  public static func hash(_ bytes: Span<UInt8>) -> [UInt8] { Array(hexadecimal(SHA256.digest(bytes)).utf8) }

  /// The names that are signed, in order, joined by semicolons.
  public func signedHeaders(_ request: Request) -> [UInt8] {
    Array(Set(request.headers.map(\.name)).sorted { $0.lexicographicallyPrecedes($1) }.joined(separator: [59]))
  }

  /// The request in the form that is hashed. Paths of every service but S3 are encoded once more as they are sent; with
  /// `normalizing`, dot segments and doubled slashes are taken out first (those we send have none).
  public func canonicalRequest(_ request: Request, normalizing: Bool = false) -> [UInt8] {
    var out = request.method + [10]
    out += Self.encoded(normalizing ? Self.normalized(request.path) : request.path, keepingSlashes: true) + [10]
    let parameters = request.query.split(separator: 38).map { parameter -> (name: [UInt8], value: [UInt8]) in
      let parts = parameter.split(separator: 61, maxSplits: 1, omittingEmptySubsequences: false)
      return (Self.reencoded(parts[0]), Self.reencoded(parts.count > 1 ? parts[1] : []))
    }.sorted { a, b in a.name == b.name ? a.value.lexicographicallyPrecedes(b.value) : a.name.lexicographicallyPrecedes(b.name) }
    out += Array(parameters.map { $0.name + [61] + $0.value }.joined(separator: [38])) + [10]
    let names = Set(request.headers.map(\.name)).sorted { $0.lexicographicallyPrecedes($1) }
    for name in names {
      let values = request.headers.filter { $0.name == name }.map { Self.trimmed($0.value) }
      out += name + [58] + Array(values.joined(separator: [44])) + [10]
    }
    return out + [10] + signedHeaders(request) + [10] + request.payloadHash
  }

  private func scope(_ stamp: [UInt8]) -> [UInt8] {
    Array(stamp.prefix(8)) + [47] + region + [47] + service + Array("/aws4_request".utf8)
  }

  public func stringToSign(_ canonical: [UInt8], stamp: [UInt8]) -> [UInt8] {
    Array("AWS4-HMAC-SHA256\n".utf8) + stamp + [10] + scope(stamp) + [10] + Self.hash(canonical.span)
  }

  /// In lower-case hexadecimal. `secret` is the secret access key.
  public func signature(_ stringToSign: [UInt8], stamp: [UInt8], secret: Span<UInt8>) -> [UInt8] {
    let prefix = Array("AWS4".utf8)
    let first = SecretBytes(count: prefix.count + secret.count) { target in
      for i in prefix.indices { target[i] = prefix[i] }
      for i in secret.indices { target[prefix.count + i] = secret[i] }
    }
    var key = HMACKey(first)
    for part in [Array(stamp.prefix(8)), region, service, Array("aws4_request".utf8)] {
      var derived = key.authenticate(part.span).bytes
      key = HMACKey(derived.span)
      wipe(&derived)
    }
    return Array(hexadecimal(key.authenticate(stringToSign.span).bytes).utf8)
  }

  /// The value of the Authorization header.
  public func authorization(_ request: Request, stamp: [UInt8], secret: Span<UInt8>) -> [UInt8] {
    let signature = signature(stringToSign(canonicalRequest(request), stamp: stamp), stamp: stamp, secret: secret)
    return Array("AWS4-HMAC-SHA256 Credential=".utf8) + accessKey + [47] + scope(stamp) + Array(", SignedHeaders=".utf8)
      + signedHeaders(request) + Array(", Signature=".utf8) + signature
  }

  // MARK: canonical forms

  private static func encoded(_ bytes: [UInt8], keepingSlashes: Bool) -> [UInt8] {
    var out: [UInt8] = []
    let digits = Array("0123456789ABCDEF".utf8)
    for b in bytes {
      if ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 46 || b == 95 || b == 126 || (keepingSlashes && b == 47) {
        out.append(b)
      } else {
        out += [37, digits[Int(b >> 4)], digits[Int(b & 15)]]
      }
    }
    return out
  }

  /// Decoded, and encoded in the one way that is signed.
  private static func reencoded(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var plain: [UInt8] = []
    var rest = bytes
    while let b = rest.popFirst() {
      if b == 37, rest.count >= 2, let high = ASCII.hexadecimal(rest[rest.startIndex]),
        let low = ASCII.hexadecimal(rest[rest.startIndex + 1])
      {
        plain.append(high << 4 | low)
        rest = rest.dropFirst(2)
      } else {
        plain.append(b)
      }
    }
    return encoded(plain, keepingSlashes: false)
  }

  private static func normalized(_ path: [UInt8]) -> [UInt8] {
    var segments: [ArraySlice<UInt8>] = []
    for segment in path.split(separator: 47) where segment != [46] {
      if segment == [46, 46] { _ = segments.popLast() } else { segments.append(segment) }
    }
    let isFolder = path.last == 47 || path.suffix(2) == [47, 46] || path.suffix(3) == [47, 46, 46]
    return [47] + Array(segments.joined(separator: [47])) + (isFolder && !segments.isEmpty ? [47] : [])
  }

  /// Without spaces around it, and with one where there were several.
  private static func trimmed(_ value: [UInt8]) -> [UInt8] {
    Array(value.split { $0 == 32 || $0 == 9 || $0 == 10 || $0 == 13 }.joined(separator: [32]))
  }
}
