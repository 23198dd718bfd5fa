import Domain
import Leaks
import Primitives
import Providers
import TestSupport
import Testing

struct SecretFinderTests {
  private let finder: SecretFinder
  private let random = SeededRandomness(seed: 21)

  init() throws { finder = try SecretFinder(.builtIn) }

  private func maskedKey(_ prefix: String = "mk") -> (id: RecordID, text: String) {
    let id = RecordID.random(random)
    return (id, String(decoding: MaskedKeyFormat.text(prefix: prefix, id: id, secret: random.bytes(32)), as: UTF8.self))
  }

  private func find(_ text: String) -> [Finding] {
    let bytes = Array(text.utf8)
    return finder.find(in: bytes.span)
  }

  @Test(
    "a masked key is found wherever it stands, with its place",
    arguments: ["%", "key=%", "\"%\"", "https://h/?key=%&x=1", "a\n\n  Bearer %\n", "team-%", "\u{0}%\u{0}", "é%é", "(%)", "x_%"])
  func wherever(frame: String) {
    for prefix in ["mk", "sk-ant", "a"] {
      let (id, key) = maskedKey(prefix)
      let text = frame.replacing("%", with: key)
      let found = find(text)
      #expect(found.map(\.kind) == [.maskedKey(id)], "\(prefix) in \(frame)")
      let line = text.split(separator: "\n", omittingEmptySubsequences: false).firstIndex { $0.contains(key) }
      #expect(found.first?.line == line.map { $0 + 1 })
    }
  }

  @Test("no string with a wrong checksum is taken for a masked key, of a hundred thousand") func noFalsePositive() {
    for _ in 0..<100 {
      let (_, key) = maskedKey()
      var bytes = Array(key.utf8)
      let at = 3 + Int(random.bytes(1)[0]) % (bytes.count - 3)
      if bytes[at] == 95 { continue }
      bytes[at] = bytes[at] == 65 ? 66 : 65
      #expect(find(String(decoding: bytes, as: UTF8.self)).isEmpty)
    }
    // Strings of the right shape, without a checksum of ours.
    var text: [UInt8] = []
    for _ in 0..<100_000 {
      text += Array("mk_".utf8) + RecordID.random(random).bytes + [95] + Base62.encode(random.bytes(36), width: 49) + [10]
    }
    #expect(finder.find(in: text.span).isEmpty)
  }

  @Test(
    "a provider's key is found and named",
    arguments: [
      ("sk-or-v1-" + String(repeating: "0a", count: 32), "openrouter"), ("gsk_" + String(repeating: "x", count: 52), "groq"),
      ("sk-ant-api03-" + String(repeating: "A", count: 93) + "AA", "anthropic"), ("AKIAIOSFODNN7EXAMPLE", "bedrock"),
      ("AIza" + String(repeating: "b", count: 35), "gemini"), ("hf_" + String(repeating: "c", count: 34), "huggingface"),
    ])
  func providers(key: String, kind: String) {
    #expect(find("token: '\(key)'").map(\.kind) == [.providerKey([kind])])
    // As part of something longer it is something else.
    #expect(find("token: '\(key)zzz_\(key)'").isEmpty || kind == "anthropic" || kind == "bedrock")
  }

  @Test("what anything could look like counts only on a line that names the provider") func context() {
    let key = String(repeating: "0123456789abcdef", count: 2)
    #expect(find("md5 \(key)").isEmpty)
    #expect(find("AZURE_OPENAI_API_KEY=\(key)").map(\.kind) == [.providerKey(["azure"])])
    #expect(find("azure\n\(key)").isEmpty)
  }

  @Test("a line that says that it is meant is left alone, and no other") func allowed() {
    let (id, key) = maskedKey()
    #expect(find("\(key)  # maskllm:allow").isEmpty)
    #expect(find("# maskllm:allow\n\(key)").map(\.kind) == [.maskedKey(id)])
  }

  @Test("what is shown of a key cannot be used") func shown() {
    let (_, key) = maskedKey()
    let openai = "sk-proj-" + String(repeating: "q", count: 74) + "T3BlbkFJ" + String(repeating: "q", count: 74)
    let found = find("\(key)\n\(openai)")
    #expect(found.map(\.shown) == [String(key.prefix(16)) + "...", "sk-proj-..."])
  }
}
