import AdminAPI
import Cryptography
import Domain
import FoundationEssentials
import Glibc
import Primitives
import Transport

/// Reads a secret from where a file says that it is: the file itself never has it.
struct SecretSource {
  private let reference: SecretReference
  private let place: String
  private static let milliseconds = 60_000
  private static let secretMax = 64 * 1024

  init(_ reference: SecretReference, _ place: String) { (self.reference, self.place) = (reference, place) }

  /// Refuses what names none or several places; does not look there yet.
  func check() throws(Fault) {
    let count = [reference.env != nil, reference.file != nil, reference.command != nil, reference.vault != nil].count { $0 }
    guard count == 1, reference.command.map({ !$0.isEmpty }) ?? true else {
      throw Fault(.invalidInput, "\(place): a secret is in one place", hint: "give one of env, file, command, vault")
    }
  }

  func read() throws(Fault) -> SecretBytes {
    try check()
    var bytes = try bytes()
    defer { wipe(&bytes) }
    while let last = bytes.last, last == 10 || last == 13 { bytes.removeLast() }
    guard !bytes.isEmpty else { throw refused("is empty") }
    return SecretBytes(copying: bytes.span)
  }

  private func refused(_ what: String) -> Fault { Fault(.notFound, "\(place): the secret \(what)") }

  private func bytes() throws(Fault) -> [UInt8] {
    if let name = reference.env {
      guard let value = Files.environment(name) else { throw refused("is not in the environment as \(name)") }
      return Array(value.utf8)
    }
    if let path = reference.file {
      guard let content = try Files.read(path) else { throw refused("is not in \(path)") }
      return content
    }
    if let command = reference.command {
      let (status, output) = try ChildProcess.run(
        command, environment: Files.environment, input: Span(), outputMax: Self.secretMax, milliseconds: Self.milliseconds)
      guard status == 0 else { throw refused("does not come from '\(command[0])', which ended with status \(status)") }
      return output
    }
    return try fromVault(try BaseURL(reference.vault ?? ""))
  }

  /// Of Vault's key-value engine, either version.
  private func fromVault(_ url: BaseURL) throws(Fault) -> [UInt8] {
    guard let token = Files.environment("VAULT_TOKEN") else { throw refused("is in Vault, and VAULT_TOKEN is not set") }
    var message = ByteBuffer(capacity: 1024)
    message.append("GET \(url.prefix) HTTP/1.1\r\nHost: \(url.hostHeader)\r\nX-Vault-Token: \(token)\r\n")
    if let namespace = Files.environment("VAULT_NAMESPACE") { message.append("X-Vault-Namespace: \(namespace)\r\n") }
    message.append("Connection: close\r\n\r\n")
    let authority = Files.environment("VAULT_CACERT")
    let answer = try RemoteCall.exchange(message, with: url, authorityFile: authority)
    guard answer.status == 200, let document = try? JSONDecoder().decode(JSONTree.self, from: Data(answer.body)) else {
      throw refused("does not come from Vault, which answered \(answer.status)")
    }
    let field = reference.field ?? "value"
    guard let text = (document["data"]?["data"]?[field] ?? document["data"]?[field])?.text else {
      throw refused("has no field '\(field)' in Vault")
    }
    return Array(text.utf8)
  }
}
