import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import TestSupport
import Testing
import Vault

@testable import AdminAPI

struct SessionTests {
  private struct Nobody: SnapshotSink { func publish(_ snapshot: Snapshot) async -> Int { 0 } }
  private let clock = ManualClock(Timestamp(milliseconds: 1_800_000_000_000))
  private let service: KeyService
  private let desk: OpenIDDesk
  private let owner: OpenIDSettings.Mapping

  init() throws {
    let store = MemoryStore()
    service = KeyService(store: store, sink: Nobody(), clock: clock)
    let content = KeyFile.generate()
    try service.adopt(try Vault.initialize(store, method: .keyFile, secret: content.span))
    owner = try #require(OpenIDSettings.Mapping("platform=owner"))
    let settings = OpenIDSettings(
      issuer: "https://login.example.com", clientID: "maskllm", url: "https://maskllm.example.com", roles: [owner])
    desk = OpenIDDesk(settings, secret: nil, service: service, outside: NoOutside())
  }

  /// What a browser keeps of an answer.
  private func cookie(_ response: AdminResponse) -> String {
    String(response.cookies.first?.prefix { $0 != ";" } ?? "")
  }

  @Test("a session ends after its time, whatever the browser keeps") func ends() throws {
    let kept = cookie(try desk.open("ada", owner))
    #expect(kept.hasPrefix("__Host-maskllm-session="))
    #expect(try desk.caller(kept, csrf: nil, isChange: false).name == "person/ada")
    clock.advance(seconds: 59 * 60)
    #expect(try desk.caller(kept, csrf: nil, isChange: false).name == "person/ada")
    clock.advance(seconds: 120)
    #expect(throws: Fault(.unauthorized, "")) { try desk.caller(kept, csrf: nil, isChange: false) }
  }

  @Test("no other cookie, none twice and none of another name opens a session") func cookies() throws {
    let kept = cookie(try desk.open("ada", owner))
    let other = cookie(try desk.open("bob", owner))
    for wrong in [nil, "", "\(kept)x", "\(kept); \(other)", kept.replacing("__Host-", with: ""), "__Host-maskllm-session="] {
      #expect(throws: Fault(.unauthorized, "")) { try desk.caller(wrong, csrf: nil, isChange: false) }
    }
    #expect(try desk.caller("a=b; \(kept); c=d", csrf: nil, isChange: false).name == "person/ada")
  }

  @Test("a change needs the token of its own session") func csrf() throws {
    let kept = cookie(try desk.open("ada", owner))
    for wrong in [nil, "", "x"] {
      #expect(throws: Fault(.forbidden, "")) { try desk.caller(kept, csrf: wrong, isChange: true) }
    }
  }

  @Test("a mapping of a group is what it says, or nothing") func mappings() {
    #expect(OpenIDSettings.Mapping("a=b=owner")?.group == "a=b")
    #expect(OpenIDSettings.Mapping("red=developer:red")?.team == "red")
    for wrong in ["owner", "=owner", "a=", "a=king", "a=custom", "a=developer", "a=owner:red", "a=developer:red:blue"] {
      #expect(OpenIDSettings.Mapping(wrong) == nil, "\(wrong)")
    }
  }
}
