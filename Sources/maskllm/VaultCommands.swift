import AdminAPI
import Cryptography
import Glibc
import Primitives
import Storage
import Vault
import Wire

/// `maskllm vault`: new keys under everything, while the server goes on.
enum VaultCommands {
  static let all = [status, rotateRoot, rotateData, rotatePepper, retire]

  private static let status = Command(
    path: ["vault", "status"], summary: "show which keys all rests on, and what is still under older ones",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    try show(try AdminLink.open(arguments).call(.get, "/v1/vault"), arguments)
  }

  private static let rotateRoot = Command(
    path: ["vault", "rotate-root"], summary: "make a new root key, sealed with a new key file or passphrase",
    options: Unsealing.options + [
      Option(
        name: "new-key-file", value: "PATH",
        help: "where to make the new key file (default: beside the old one, and then in its place)"),
      Option(name: "new-passphrase-fd", value: "N", help: "read the new passphrase from file descriptor N"), Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.toServer(arguments)
    let state: VaultDocument = try decode(try link.call(.get, "/v1/vault"))
    guard state.seal_method == "key-file" else {
      let secret = try present(state, arguments)
      let new = try Terminal.secret("new passphrase", fd: try arguments.number("new-passphrase-fd", 0...1023))
      return try show(try rotate(.root, secret, new: new, link), arguments)
    }
    let old = try keyFile(arguments)
    let secret = try present(state, arguments)
    let new = arguments.value("new-key-file") ?? "\(old).new"
    let content = KeyFile.generate()
    try Files.writeKeyFile(new, content)
    let body: [UInt8]
    do throws(Fault) { body = try rotate(.root, secret, new: content, link) } catch {
      // What was refused has changed nothing: the new file opens nothing.
      if error == Fault(.unsealFailed, "") || error == Fault(.invalidInput, "") { unsafe unlink(new) }
      throw error
    }
    if arguments.value("new-key-file") == nil {
      guard unsafe rename(old, "\(old).old") == 0, unsafe rename(new, old) == 0 else {
        throw Fault(
          .system, "the vault opens with \(new) now, which could not be put in the place of \(old)", hint: "move it there")
      }
      Terminal.note("the new unseal key is in \(old), the old one in \(old).old: backups of before open with that one only")
    } else {
      Terminal.note("the new unseal key is in \(new): start the server with it; backups of before open with \(old) only")
    }
    try show(body, arguments)
  }

  private static let rotateData = Command(
    path: ["vault", "rotate-data"], summary: "make a new data key, seal every record again under it, and forget the old one",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.toServer(arguments)
    var state: VaultDocument = try decode(try link.call(.get, "/v1/vault"))
    let secret = try present(state, arguments)
    state = try decode(try rotate(.data, secret, new: nil, link))
    var told = -1
    while state.outdated_records > 0 {
      if state.outdated_records != told {
        Terminal.note("\(state.sealed_records - state.outdated_records) of \(state.sealed_records) records are under the new key")
        told = state.outdated_records
      }
      usleep(200_000)
      state = try decode(try link.call(.get, "/v1/vault"))
    }
    try show(try link.call(.post, "/v1/vault/retire", json: VaultSecretDocument(secret: text(secret))), arguments)
  }

  private static let rotatePepper = Command(
    path: ["vault", "rotate-pepper"], summary: "make a new pepper; keys are hashed with it when they are next used",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.toServer(arguments)
    let state: VaultDocument = try decode(try link.call(.get, "/v1/vault"))
    let body = try rotate(.pepper, try present(state, arguments), new: nil, link)
    Terminal.note("once 'maskllm vault status' shows no keys under older peppers: maskllm vault retire")
    try show(body, arguments)
  }

  private static let retire = Command(
    path: ["vault", "retire"], summary: "forget data keys and peppers that nothing needs any more",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.toServer(arguments)
    let state: VaultDocument = try decode(try link.call(.get, "/v1/vault"))
    let secret = try present(state, arguments)
    try show(try link.call(.post, "/v1/vault/retire", json: VaultSecretDocument(secret: text(secret))), arguments)
  }

  // MARK: parts

  private static func keyFile(_ arguments: Arguments) throws(Fault) -> String {
    if let path = arguments.value("key-file") { return path }
    return DataDirectory.keyFilePath(try Files.dataDirectory(arguments))
  }

  /// What opens the vault now.
  private static func present(_ state: VaultDocument, _ arguments: Arguments) throws(Fault) -> SecretBytes {
    if state.seal_method == "key-file" { return try Files.readKeyFile(try keyFile(arguments)) }
    return try Terminal.secret("passphrase", fd: try arguments.number("passphrase-fd", 0...1023))
  }

  private static func rotate(
    _ what: VaultRotationDocument.What, _ secret: borrowing SecretBytes, new: consuming SecretBytes?, _ link: AdminLink
  ) throws(Fault) -> [UInt8] {
    let newText: String? = if let new { text(new) } else { nil }
    return try link.call(
      .post, "/v1/vault/rotate", json: VaultRotationDocument(what, secret: text(secret), new_secret: newText))
  }

  private static func text(_ secret: borrowing SecretBytes) -> String {
    String(decoding: [UInt8](copying: secret.span), as: UTF8.self)
  }

  private static func show(_ body: [UInt8], _ arguments: Arguments) throws(Fault) {
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let state: VaultDocument = try decode(body)
    func list(_ versions: [Int]) -> String { versions.map(String.init).joined(separator: ", ") }
    Terminal.result(
      """
      sealed by   \(state.seal_method)
      data keys   \(list(state.data_keys)); \(state.outdated_records) of \(state.sealed_records) records are under an older one
      peppers     \(list(state.peppers)); \(state.outdated_keys_count + state.outdated_tokens.count) of \(state.hashed_secrets) keys and tokens are under an older one
      """)
    guard state.outdated_keys_count > 0 else { return }
    Terminal.result("not used since the newest pepper was made: \(state.outdated_keys.joined(separator: " "))")
  }
}
