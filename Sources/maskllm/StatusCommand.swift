import Vault
import AdminAPI
import FoundationEssentials
import Primitives
import Wire

enum StatusCommand {
  static let status = Command(path: ["status"], summary: "show what the server is doing", options: [Command.json]) {
    arguments throws(Fault) in
    try arguments.noOperands()
    let body = try AdminLink.toServer(arguments).call(.get, "/v1/status")
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let status: StatusDocument = try decode(body)
    Terminal.result(
      """
      version        \(status.version)
      vault          \(status.sealed ? "sealed (run 'maskllm unseal')" : "open"), by \(status.seal_method)
      masked keys    \(status.keys)
      provider keys  \(status.provider_keys)
      activity lost  \(status.activity_lost)
      """)
    let bad =
      status.tampered_keys.map { "masked key \($0)" } + status.tampered_providers.map { "provider \($0)" }
      + status.unusable_provider_keys.map { "provider key \($0)" }
    if !bad.isEmpty { Terminal.note("not used, because changed outside maskllm: \(bad.joined(separator: ", "))") }
  }

  static let unseal = Command(
    path: ["unseal"], summary: "open the vault of a running server", options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let link = try AdminLink.toServer(arguments)
    let status: StatusDocument = try decode(try link.call(.get, "/v1/status"))
    guard status.sealed else { throw Fault(.conflict, "the vault is open already") }
    if status.seal_method == "passphrase" {
      let passphrase = try Terminal.secret("passphrase", fd: try arguments.number("passphrase-fd", 0...1023))
      _ = try link.call(.post, "/v1/unseal", body: passphrase)
    } else {
      let path = try Files.dataDirectory(arguments)
      _ = try link.call(.post, "/v1/unseal", body: try Unsealing.secret(path: path, method: .keyFile, arguments))
    }
    Terminal.result(arguments.has("json") ? try jsonText(["sealed": false]) : "unsealed")
  }

  static let seal = Command(
    path: ["seal"], summary: "close the vault of a running server: nothing is served until 'maskllm unseal', restarts included",
    options: [Option(name: "reason", value: "TEXT", help: "for the record and the alert; required"), Command.json]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let reason = try arguments.reason()
    let body = try AdminLink.toServer(arguments).call(.post, "/v1/seal", json: SealDocument(reason: reason))
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let receipt: SealReceiptDocument = try decode(body)
    Terminal.result(
      "sealed: nothing is served on \(receipt.event_loops) event loops, streams are cut, the keys are out of memory")
    if !receipt.told.isEmpty { Terminal.note("told: \(receipt.told.joined(separator: ", "))") }
    for channel in receipt.not_told {
      Terminal.note("not told: \(channel.channel), \(channel.because); it is told when the vault is open again")
    }
    Terminal.note("'maskllm unseal' opens it again; a restart does not")
  }

  static let version = Command(path: ["version"], summary: "print the version", options: [Command.json], usesData: false) {
    arguments throws(Fault) in
    try arguments.noOperands()
    Terminal.result(arguments.has("json") ? try jsonText(["version": Version.text]) : "maskllm \(Version.text)")
  }
}

/// `document` as one line of JSON.
func jsonText(_ document: some Encodable) throws(Fault) -> String {
  guard let data = try? JSONEncoder.stable.encode(document) else { throw Fault(.system, "the result cannot be written") }
  return String(decoding: data, as: UTF8.self)
}

/// The document in an answer of the management side.
func decode<Document: Decodable>(_ body: [UInt8]) throws(Fault) -> Document {
  do { return try JSONDecoder().decode(Document.self, from: Data(body)) } catch {
    throw Fault(.system, "the server's answer is not understood", hint: "is the command older than the server?")
  }
}
