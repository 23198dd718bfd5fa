import Vault
import Cryptography
import DemoProvider
import Domain
import KeyService
import Primitives
import Transport

/// The stand-in provider inside a server, and the providers and keys that lead to it.
struct DemoSetup: Sendable {
  let listener: ListenerBox
  private let port: UInt16
  private let paceMilliseconds: Int
  static let providers: [(name: String, kind: String, credential: CredentialStyle)] = [
    ("demo", "openai-compatible", .bearer), ("demo-anthropic", "anthropic", .header("x-api-key")),
  ]
  private static let keyName = "demo"

  struct Result: Sendable { let maskedKey: String }

  init(paceMilliseconds: Int) throws(Fault) {
    let bound = try Listener.tcp(host: "127.0.0.1", port: 0, sharesPort: false)
    port = bound.port
    listener = ListenerBox(bound)
    self.paceMilliseconds = paceMilliseconds
  }

  func server(_ loop: EventLoop) -> HTTPServer<DemoProvider> {
    HTTPServer(loop: loop, handler: DemoProvider(paceMilliseconds: paceMilliseconds), limits: ServerLimits())
  }

  /// Points the demo providers at this run's port and makes a key for them that ends in a day; the last run's ends now.
  func install(in service: KeyService) async throws(Fault) -> Result {
    for (name, kind, credential) in Self.providers {
      for entry in try service.listProviderKeys() where entry.key.provider == name {
        try await service.removeProviderKey(entry.key.id)
      }
      let url = try BaseURL("http://127.0.0.1:\(port)")
      try await service.setProvider(Provider(name: name, baseURL: url, credential: credential, kind: kind))
      let secret = SecretBytes(copying: Array("\(DemoProvider.key)".utf8).span)
      _ = try await service.addProviderKey(provider: name, name: "demo", secret: secret)
    }
    for key in try service.listKeys() where key.name == Self.keyName && !key.state.isFinal {
      _ = try await service.changeKey(key.id, .revoke)
    }
    let created = try await service.createKey(
      name: Self.keyName, grant: Grant(policy: Policy(providers: Self.providers.map(\.name))),
      expiresAt: SystemClock().now + 86_400)
    return Result(maskedKey: String(decoding: [UInt8](copying: created.secret.text.span), as: UTF8.self))
  }
}
