import Domain
import Primitives
import TestSupport
import Testing

struct MaskedKeyFormatTests {
  private let random = SeededRandomness(seed: 3)

  private func make(prefix: String = "mk") -> [UInt8] {
    MaskedKeyFormat.text(prefix: prefix, id: .random(random), secret: random.bytes(32))
  }

  @Test("a masked key reads back its ID, whatever its prefix", arguments: ["mk", "sk", "hf", "a", "sk-proj", "0123456789abcdef"])
  func roundTrip(prefix: String) {
    let id = RecordID.random(random)
    let text = MaskedKeyFormat.text(prefix: prefix, id: id, secret: random.bytes(32))
    #expect(text.count == prefix.utf8.count + 1 + 12 + 1 + 43 + 6)
    #expect(MaskedKeyFormat.keyID(of: text.span) == id)
  }

  @Test("any single changed character is found without a look-up") func everyCharacter() {
    let text = make()
    for i in text.indices {
      for replacement in [UInt8(ascii: "0"), UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: " "), 0, 0xFF]
      where replacement != text[i] {
        var changed = text
        changed[i] = replacement
        #expect(MaskedKeyFormat.keyID(of: changed.span) == nil, "position \(i)")
      }
    }
  }

  @Test("cut, lengthened, empty and foreign keys are refused") func lengths() {
    let text = make()
    for n in 0..<text.count { #expect(MaskedKeyFormat.keyID(of: text.span.extracting(0..<n)) == nil) }
    #expect(MaskedKeyFormat.keyID(of: (text + [48]).span) == nil)
    #expect(MaskedKeyFormat.keyID(of: Array("sk-proj-abc".utf8).span) == nil)
    #expect(MaskedKeyFormat.keyID(of: make(prefix: "seventeen-letters").span) == nil)
  }
}

struct LifecycleTests {
  private func key(_ state: MaskedKey.State) -> MaskedKey {
    MaskedKey(
      id: RecordID("AAAAAAAAAAAA")!, name: "n", grant: Grant(policy: Policy(providers: ["*"])), state: state,
      createdAt: Timestamp(milliseconds: 0), expiresAt: nil,
      hash: [], pepperVersion: 1, revision: 1)
  }

  @Test("revocation is final: no step leads back") func final() throws {
    #expect(try key(.revoked).state(after: .revoke) == .revoked)
    #expect(try key(.revoked).state(after: .destroy) == .destroyed)
    #expect(try key(.destroyed).state(after: .destroy) == .destroyed)
    for change in [MaskedKey.Change.enable, .disable] {
      #expect(throws: Fault(.conflict, "")) { try key(.revoked).state(after: change) }
    }
    for change in [MaskedKey.Change.enable, .disable, .revoke] {
      #expect(throws: Fault(.conflict, "")) { try key(.destroyed).state(after: change) }
    }
    for state in [MaskedKey.State.active, .disabled] {
      #expect(throws: Fault(.conflict, "")) { try key(state).state(after: .destroy) }
    }
  }

  @Test("disable and enable are each other's way back, and repeating is no error") func reversible() throws {
    #expect(try key(.active).state(after: .disable) == .disabled)
    #expect(try key(.disabled).state(after: .enable) == .active)
    #expect(try key(.disabled).state(after: .disable) == .disabled)
    #expect(try key(.active).state(after: .enable) == .active)
    for state in MaskedKey.State.allCases where state != .destroyed {
      #expect(try key(state).state(after: .revoke) == .revoked)
    }
  }
}

struct BaseURLTests {
  @Test("a base URL is taken apart into what a request needs") func parts() throws {
    let url = try BaseURL("https://API.Example.com:8443/inference/v1/")
    #expect(url.secure && url.host == "api.example.com" && url.port == 8443 && url.prefix == "/inference/v1")
    #expect(url.hostHeader == "api.example.com:8443")
    #expect(try BaseURL("https://api.openai.com").hostHeader == "api.openai.com")
    #expect(try BaseURL("http://[::1]:9000").hostHeader == "[::1]:9000")
  }

  @Test(
    "a base URL that another parser could read differently, or that sends a key in the clear, is refused",
    arguments: [
      "", "api.openai.com", "ftp://x", "https://", "https://user:pw@x.com", "https://x.com?key=1", "https://x.com#f",
      "https://x.com/a/../b",
      "https://x.com/%2e%2e", "https://①②⑦.0.0.1", "https://evil.test\\@127.0.0.1/", "https://x.com:0", "https://x.com:99999",
      "https://x.com:+80",
      "https://.x.com", "https://x.com.", "http://api.openai.com", "http://127.0.0.1.evil.test", "http://0x7f.1",
      "https://x y.com", "https://[::1", "https://[zz]", "http://0127.0.0.1:8088", "http://2130706433", "https://0x7f000001",
      "https://127.1", "https://256.256.256.256", "https://foo.0x4", "https://[:::]", "https://x.com/{a}", "https://x.com/<a>",
    ])
  func refused(text: String) { #expect(throws: Fault(.invalidInput, "")) { _ = try BaseURL(text) } }

  @Test(
    "http is for loopback", arguments: ["http://localhost:1", "http://127.0.0.1", "http://127.255.0.3:8000/v1", "http://[::1]"])
  func loopback(text: String) throws { #expect(try BaseURL(text).isLoopback) }
}

struct NamesTests {
  @Test(
    "provider names are plain",
    arguments: ["", "OpenAI", "a b", "a/b", "-a", "ä", "a_b", String(repeating: "a", count: 41), "a\n"])
  func refused(name: String) { #expect(throws: Fault(.invalidInput, "")) { try ProviderName.validate(name) } }

  @Test(
    "labels have no control characters and a length", arguments: ["", "a\u{1B}[31m", "a\nb", String(repeating: "x", count: 101)])
  func labels(text: String) { #expect(throws: Fault(.invalidInput, "")) { try Label.validate(text, of: "name") } }

  @Test("an empty policy permits nothing and is not accepted") func emptyPolicy() {
    #expect(throws: Fault(.invalidInput, "")) { try Policy(providers: []).validate() }
    #expect(throws: Fault(.invalidInput, "")) { try Policy(providers: ["ok", "NOT OK"]).validate() }
  }

  @Test("field encoding is injective: no two lists of fields give the same bytes") func injective() {
    func encode(_ fields: [String]) -> [UInt8] {
      var encoding = FieldEncoding()
      for field in fields { encoding.append(field) }
      return encoding.bytes
    }
    let lists = [["a", "b"], ["ab"], ["", "ab"], ["ab", ""], ["a", "", "b"], ["a"], []]
    #expect(Set(lists.map(encode)).count == lists.count)
  }
}

struct PolicyTests {
  @Test(
    "globs stand for what they say and nothing else",
    arguments: [
      ("*", "", true), ("*", "gpt-4", true), ("gpt-4", "gpt-4", true), ("gpt-4", "gpt-4o", false), ("gpt-4", "GPT-4", false),
      ("gpt-4*", "gpt-4o-mini", true),
      ("gpt-4*", "gpt-3.5", false), ("*mini", "gpt-4o-mini", true), ("*mini", "gpt-4o-mini-2024", false),
      ("g?t-4", "gpt-4", true), ("g?t-4", "gt-4", false),
      ("a*b*c", "aXbYbZc", true), ("a*b*c", "aXbYbZ", false), ("**a**", "bab", true), ("*a", "aaa", true), ("a.c", "abc", false),
      ("", "", true), ("", "a", false), ("?", "", false),
    ])
  func globs(glob: String, name: String, matches: Bool) {
    let (g, n) = (Array(glob.utf8), Array(name.utf8))
    let result = ModelGlob.matches(g.span, n.span)
    #expect(result == matches)
  }

  @Test("a glob of many stars takes no longer than its length times the name's") func manyStars() {
    let (g, n) = (Array(String(repeating: "a*", count: 64).utf8) + [98], [UInt8](repeating: 97, count: 100_000))
    let result = ModelGlob.matches(g.span, n.span)
    #expect(!result)
  }

  @Test("empty lists, long lists and patterns that cannot be names are refused") func validation() {
    let bad = [
      Policy(providers: ["*"], models: []), Policy(providers: ["*"], endpoints: []), Policy(providers: ["*"], models: [""]),
      Policy(providers: ["*"], models: ["a b"]),
      Policy(providers: ["*"], deniedModels: ["\u{E4}"]), Policy(providers: ["*"], models: [String(repeating: "a", count: 129)]),
      Policy(providers: ["*"], models: [String](repeating: "a", count: 101)), Policy(providers: ["*"], networks: []),
      Policy(providers: ["*"], networks: ["10.0.0.1/8"]), Policy(providers: ["*"], bodyBytesMax: 0),
      Policy(providers: ["*"], networks: [String](repeating: "10.0.0.0/8", count: 101)),
    ]
    for policy in bad { #expect(throws: Fault(.invalidInput, "")) { try policy.validate() } }
    #expect(throws: Never.self) {
      try Policy(providers: ["*"], models: ["gpt-4*", "accounts/x/models/y"], deniedModels: ["*-preview"]).validate()
    }
  }
}
