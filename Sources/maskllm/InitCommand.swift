import Cryptography
import Domain
import KeyService
import Primitives
import Storage
import Vault

/// `maskllm init`: a data directory with an empty store and a sealed vault.
enum InitCommand {
  static let command = Command(
    path: ["init"], summary: "make a data directory with a sealed vault",
    options: [
      Option(name: "passphrase", value: nil, help: "seal with a passphrase instead of a key file"),
      Option(name: "passphrase-fd", value: "N", help: "seal with the passphrase read from file descriptor N"),
      Option(name: "key-file", value: "PATH", help: "where to make the key file (default: unseal.key in the data directory)"),
      Command.json,
    ], isManaging: false
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let path = try Files.dataDirectory(arguments)
    let service = try initialize(path, arguments)
    let created = try service.createToken(firstToken(now: service.now))
    let text = String(decoding: [UInt8](copying: created.secret.text.span), as: UTF8.self)
    if arguments.has("json") { return Terminal.result(try jsonText(["data": path, "owner_token": text])) }
    Terminal.result("initialised \(path)")
    Terminal.note("the first admin token, shown once; it manages from elsewhere for a week, where 'admin.listen' lets it:")
    Terminal.result(text)
    Terminal.note("next: start the gateway with 'maskllm serve', then add a provider key: maskllm provider-key add openai")
  }

  /// An owner's. It ends by itself, so that one that was never used is not there for good; on the machine itself none is needed.
  private static func firstToken(now: Timestamp) -> AdminToken {
    AdminToken(
      name: "first", role: .owner, grants: [], team: nil, networks: [], createdAt: now,
      expiresAt: Timestamp(milliseconds: now.milliseconds + 7 * 86_400_000))
  }

  /// Makes everything, or throws and leaves what was there alone. Gives the service of what was made, with its vault open.
  @discardableResult static func initialize(_ path: String, _ arguments: Arguments) throws(Fault) -> KeyService {
    let usesPassphrase = arguments.has("passphrase") || arguments.has("passphrase-fd")
    guard !usesPassphrase || !arguments.has("key-file") else {
      throw Fault(.invalidInput, "a vault has either a key file or a passphrase")
    }
    guard !DataDirectory.isInitialized(path) else {
      throw Fault(.conflict, "\(path) is initialised already", hint: "use it, or name another directory with --data")
    }
    if usesPassphrase {
      let fd = try arguments.number("passphrase-fd", 0...1023)
      let passphrase = try Terminal.secret("new passphrase", fd: fd)
      guard passphrase.count >= 12 else {
        throw Fault(.invalidInput, "the passphrase is shorter than 12 bytes", hint: "use several words")
      }
      if fd == nil, Terminal.isInteractive {
        let again = try Terminal.prompt("once more: ")
        guard passphrase == again else { throw Fault(.invalidInput, "the two passphrases differ") }
      }
      let store = try SQLiteStore.create(in: try DataDirectory.take(path, creating: true))
      let method = SealMethod.passphrase(.standard, salt: SystemRandomness().bytes(PasswordHash.saltLength))
      let service = KeyService(store: store, sink: Nobody())
      try service.adopt(try Vault.initialize(store, method: method, secret: passphrase.span))
      return service
    } else {
      let directory = try DataDirectory.take(path, creating: true)
      let content = KeyFile.generate()
      let keyFile = arguments.value("key-file") ?? DataDirectory.keyFilePath(path)
      try Files.writeKeyFile(keyFile, content)
      let store = try SQLiteStore.create(in: directory)
      let service = KeyService(store: store, sink: Nobody())
      try service.adopt(try Vault.initialize(store, method: .keyFile, secret: content.span))
      Terminal.note("the unseal key is in \(keyFile): back it up apart from the store; without it the vault cannot be opened")
      return service
    }
  }
}
