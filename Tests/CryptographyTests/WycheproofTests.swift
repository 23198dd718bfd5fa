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
    let publicKey: PublicKey?
  }
  struct PublicKey: Decodable { let pk: String? }
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

  @Test("Ed25519: right signatures pass, and no others") func ed25519() throws {
    guard let folder = Corpora.folder("wycheproof/testvectors_v1") else { return }
    let data = Data(try Corpora.data("\(folder)/ed25519_test.json"))
    var count = 0
    for group in try JSONDecoder().decode(File.self, from: data).testGroups {
      let key = Primitives.bytes(hexadecimal: try #require(group.publicKey?.pk))!
      for v in group.tests {
        count += 1
        let isRight = Ed25519.verify(v.bytes(\.sig).span, of: v.bytes(\.msg).span, publicKey: key.span)
        #expect(isRight == (v.result == "valid"), "case \(v.tcId)")
      }
    }
    #expect(count == 151)
  }

  @Test("an Ed25519 signing key signs as RFC 8032 does") func ed25519Signing() throws {
    // Test 2 of section 7.1.
    let seed = bytes(hexadecimal: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")!
    let key = try Ed25519.SigningKey(seed: SecretBytes(copying: seed.span))
    #expect(hexadecimal(key.publicKey) == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    #expect(
      hexadecimal(key.sign([0x72].span))
        == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    #expect(throws: Fault(.cryptography, "")) { _ = try Ed25519.SigningKey(seed: SecretBytes.random(31)) }
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
