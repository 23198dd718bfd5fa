import Cryptography
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
    try initialize(path, arguments)
    if arguments.has("json") { return Terminal.result(try jsonText(["data": path])) }
    Terminal.result("initialised \(path)")
    Terminal.note("next: start the gateway with 'maskllm serve', then add a provider key: maskllm provider-key add openai")
  }

  /// Makes everything, or throws and leaves what was there alone.
  static func initialize(_ path: String, _ arguments: Arguments) throws(Fault) {
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
      _ = try Vault.initialize(store, method: method, secret: passphrase.span)
    } else {
      let directory = try DataDirectory.take(path, creating: true)
      let content = KeyFile.generate()
      let keyFile = arguments.value("key-file") ?? DataDirectory.keyFilePath(path)
      try Files.writeKeyFile(keyFile, content)
      let store = try SQLiteStore.create(in: directory)
      _ = try Vault.initialize(store, method: .keyFile, secret: content.span)
      Terminal.note("the unseal key is in \(keyFile): back it up apart from the store; without it the vault cannot be opened")
    }
  }
}
