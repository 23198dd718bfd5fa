import Cryptography
import FoundationEssentials
import Primitives
import Providers
import TestSupport
import Testing

/// Amazon's own test suite, case by case.
struct AmazonSignatureTests {
  private struct Context: Decodable {
    struct Credentials: Decodable {
      let access_key_id: String
      let secret_access_key: String
      let token: String?
    }
    let credentials: Credentials
    let normalize: Bool
    let region: String
    let service: String
    let sign_body: Bool
    let timestamp: String
    let omit_session_token: Bool?
  }

  @Test("each case of Amazon's test suite is signed as it says") func suite() throws {
    guard let folder = Corpora.folder("aws-sigv4") else { return }
    var checked = 0
    for path in try Corpora.files(in: "\(folder)/tests/aws-signing-test-suite/v4") {
      let context = try JSONDecoder().decode(Context.self, from: Data(try Corpora.data("\(path)/context.json")))
      var request = try parse(try Corpora.data("\(path)/request.txt"))
      let signer = AmazonSignature(
        region: context.region, service: context.service, accessKey: Array(context.credentials.access_key_id.utf8))
      let stamp = AmazonSignature.stamp(try #require(Timestamp(rfc3339: context.timestamp)))
      request.headers.append((Array("x-amz-date".utf8), stamp))
      if context.sign_body { request.headers.append((Array("x-amz-content-sha256".utf8), request.payloadHash)) }
      if let token = context.credentials.token, !(context.omit_session_token ?? false) {
        request.headers.append((Array("x-amz-security-token".utf8), Array(token.utf8)))
      }
      let canonical = signer.canonicalRequest(request, normalizing: context.normalize)
      let name = path.split(separator: "/").last!
      #expect(String(decoding: canonical, as: UTF8.self) == (try Corpora.text("\(path)/header-canonical-request.txt")), "\(name)")
      let toSign = signer.stringToSign(canonical, stamp: stamp)
      #expect(String(decoding: toSign, as: UTF8.self) == (try Corpora.text("\(path)/header-string-to-sign.txt")), "\(name)")
      let secret = Array(context.credentials.secret_access_key.utf8)
      let signature = signer.signature(toSign, stamp: stamp, secret: secret.span)
      #expect(String(decoding: signature, as: UTF8.self) == (try Corpora.text("\(path)/header-signature.txt")), "\(name)")
      checked += 1
    }
    #expect(checked >= 38, "\(checked)")
  }

  /// A request as the suite writes it: lines with LF, header values over several lines, a body after a blank one.
  private func parse(_ bytes: [UInt8]) throws -> AmazonSignature.Request {
    let text = String(decoding: bytes, as: UTF8.self)
    let parts = text.split(separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
    var lines = parts[0].split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let first = lines.removeFirst()
    let method = first.prefix { $0 != " " }
    let target = first.dropFirst(method.count + 1).dropLast(" HTTP/1.1".count)
    var headers: [(name: [UInt8], value: [UInt8])] = []
    for line in lines where !line.isEmpty {
      if line.hasPrefix(" ") {
        headers[headers.count - 1].value += Array(line.utf8)
      } else {
        let colon = line.firstIndex(of: ":")!
        headers.append((Array(line[..<colon].lowercased().utf8), Array(line[line.index(after: colon)...].utf8)))
      }
    }
    let query = target.firstIndex(of: "?")
    let body = Array((parts.count > 1 ? parts[1] : "").utf8)
    return AmazonSignature.Request(
      method: Array(method.utf8), path: Array(target[..<(query ?? target.endIndex)].utf8),
      query: query.map { Array(target[target.index(after: $0)...].utf8) } ?? [], headers: headers,
      payloadHash: AmazonSignature.hash(body.span))
  }
}
