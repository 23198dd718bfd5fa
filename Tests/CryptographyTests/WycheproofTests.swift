import Cryptography
import FoundationEssentials
import Primitives
import TestSupport
import Testing

/// Google's and C2SP's vectors for every primitive that a secret passes through.
struct WycheproofTests {
  struct File: Decodable { let testGroups: [Group] }
  struct Group: Decodable {
    let tests: [Vector]
    let publicKeyDer: String?
  }
  struct Vector: Decodable {
    let tcId: Int
    let result: String
    let key, iv, aad, msg, ct, tag, ikm, salt, info, okm, sig: String?
    let size: Int?
    func bytes(_ field: KeyPath<Vector, String?>) -> [UInt8] { Primitives.bytes(hexadecimal: self[keyPath: field] ?? "")! }
  }

  private func vectors(_ name: String) throws -> [Vector] {
    guard let folder = Corpora.folder("wycheproof/testvectors_v1") else { return [] }
    let file = try JSONDecoder().decode(File.self, from: Data(try Corpora.data("\(folder)/\(name)_test.json")))
    return file.testGroups.flatMap(\.tests)
  }

  @Test(
    "AEAD: valid vectors seal and open, invalid ones do not open",
    arguments: [("aes_gcm", AEAD.aes256GCM), ("xchacha20_poly1305", .xchacha20Poly1305)])
  func aead(name: String, suite: AEAD) throws {
    var run = 0
    var otherSizes = 0
    for v in try vectors(name) {
      let (key, nonce, tag) = (v.bytes(\.key), v.bytes(\.iv), v.bytes(\.tag))
      guard key.count == 32, nonce.count == suite.nonceLength, tag.count == 16 else {
        otherSizes += 1
        if key.count != 32 || nonce.count != suite.nonceLength {
          #expect(throws: Fault(.cryptography, "")) {
            _ = try suite.seal(v.bytes(\.msg).span, key: key.span, nonce: nonce, associated: v.bytes(\.aad))
          }
        }
        continue
      }
      run += 1
      let sealed = v.bytes(\.ct) + tag
      if v.result == "valid" {
        #expect(
          try suite.seal(v.bytes(\.msg).span, key: key.span, nonce: nonce, associated: v.bytes(\.aad)) == sealed, "case \(v.tcId)"
        )
        let plain = try suite.open(sealed.span, key: key.span, nonce: nonce, associated: v.bytes(\.aad))
        #expect([UInt8](copying: plain.span) == v.bytes(\.msg), "case \(v.tcId)")
      } else {
        #expect(throws: Fault(.cryptography, ""), "case \(v.tcId)") {
          _ = try suite.open(sealed.span, key: key.span, nonce: nonce, associated: v.bytes(\.aad))
        }
      }
    }
    print("\(name): \(run) vectors run, \(otherSizes) of sizes that the wrapper refuses by design")
  }

  @Test("ECDSA over P-256: right signatures pass, and no others") func ecdsa() throws {
    guard let folder = Corpora.folder("wycheproof/testvectors_v1") else { return }
    let data = Data(try Corpora.data("\(folder)/ecdsa_secp256r1_sha256_test.json"))
    var count = 0
    for group in try JSONDecoder().decode(File.self, from: data).testGroups {
      let key = Primitives.bytes(hexadecimal: try #require(group.publicKeyDer))!
      for v in group.tests {
        count += 1
        let isRight = ECDSASignature.verify(v.bytes(\.sig).span, of: v.bytes(\.msg).span, publicKey: key.span)
        #expect(isRight == (v.result == "valid"), "case \(v.tcId)")
      }
      // The right signature with bytes behind the key, and with what is no key.
      guard let good = group.tests.first(where: { $0.result == "valid" }) else { continue }
      for other in [key + [0], [1, 2, 3], []] {
        let isTaken = ECDSASignature.verify(good.bytes(\.sig).span, of: good.bytes(\.msg).span, publicKey: other.span)
        #expect(!isTaken)
      }
    }
    #expect(count > 450)
  }

  @Test("HMAC-SHA-256 agrees with every vector") func hmac() throws {
    for v in try vectors("hmac_sha256") {
      let tag = v.bytes(\.tag)
      let ours = HMACKey(v.bytes(\.key).span).authenticate(v.bytes(\.msg).span).bytes
      #expect((Array(ours[..<tag.count]) == tag) == (v.result == "valid"), "case \(v.tcId)")
    }
  }

  @Test("HKDF-SHA-512 agrees with every vector") func hkdf() throws {
    for v in try vectors("hkdf_sha512") {
      let (ikm, salt) = (v.bytes(\.ikm), v.bytes(\.salt))
      if v.result == "valid" {
        let okm = try HKDF.sha512(key: ikm.span, salt: salt.span, info: v.bytes(\.info), length: v.size!)
        #expect([UInt8](copying: okm.span) == v.bytes(\.okm), "case \(v.tcId)")
      } else {
        #expect(throws: Fault(.cryptography, ""), "case \(v.tcId)") {
          _ = try HKDF.sha512(key: ikm.span, salt: salt.span, info: v.bytes(\.info), length: v.size!)
        }
      }
    }
  }
}
