import Cryptography
import Domain
import FoundationEssentials
import Primitives
import Providers
import Vault

/// Brings one secret to one destination.
struct Delivery {
  let outside: any Outside
  let vault: Vault
  let now: Timestamp

  func bring(_ secret: consuming SecretBytes, of key: MaskedKey, to destination: Destination, named name: String)
    async throws(Fault)
  {
    var text = [UInt8](copying: secret.span)
    defer { wipe(&text) }
    let place = try destination.place(of: key)
    switch destination.kind {
    case .file:
      var content = (destination.variable.map { Array("\($0)=".utf8) } ?? []) + text + [10]
      defer { wipe(&content) }
      try await outside.write(content, to: place, mode: destination.mode ?? 0o400, owner: destination.owner)
    case .directory:
      try await outside.mount(
        [(destination.variable ?? "api-key", text), ("version", Array("\(key.details.version)".utf8))], in: place,
        mode: destination.mode ?? 0o400)
    case .command:
      var arguments: [String] = []
      for argument in destination.arguments ?? [] { arguments.append(try Destination.filled(argument, key)) }
      _ = try await outside.run(hook: place, arguments, input: text + [10])
    case .webhook: try await post(text, of: key, to: destination, named: name)
    case .secretsManager: try await putSecretValue(text, place, destination, named: name)
    case .vault: try await writeVault(text, of: key, place, destination, named: name)
    }
  }

  private func credential(_ destination: Destination, _ name: String) throws(Fault) -> SecretBytes {
    guard let sealed = destination.sealed, let origin = try destination.origin() else {
      throw Fault(.tampered, "destination '\(name)' has no credential")
    }
    return try vault.open(sealed, for: "destination/\(name)", hosts: [origin])
  }

  private func checked(_ answer: OutboundAnswer, _ who: String) throws(Fault) {
    guard (200..<300).contains(answer.status) else { throw Fault(.unavailable, "\(who) answered \(answer.status)") }
  }

  // MARK: webhook

  private func post(_ text: [UInt8], of key: MaskedKey, to destination: Destination, named name: String) async throws(Fault) {
    let document = [
      "type": "key.rotated", "key": key.id.description, "name": key.name, "version": "\(key.details.version)",
      "masked_key": String(decoding: text, as: UTF8.self),
    ]
    let body = try Self.json(document)
    let secret = try credential(destination, name)
    let headers = Webhook.headers(body, id: "msg_\(key.id)_\(key.details.version)", now: now, secret: secret.span)
    let answer = try await outside.call(
      OutboundRequest("POST", destination.place, headers: headers, body: body, authorityFile: destination.authorityFile))
    try checked(answer, "the webhook")
  }

  // MARK: stores of secrets

  private func putSecretValue(_ text: [UInt8], _ secretID: String, _ destination: Destination, named name: String)
    async throws(Fault)
  {
    let region = destination.region ?? ""
    let url = destination.address ?? "https://secretsmanager.\(region).amazonaws.com"
    let secret = try credential(destination, name)
    func send(_ action: String, _ document: [String: String]) async throws(Fault) -> OutboundAnswer {
      let request = try AmazonCall.request(
        url: "\(url)/", service: "secretsmanager", region: region, credential: secret, now: now, body: try Self.json(document),
        headers: [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.\(action)")],
        authorityFile: destination.authorityFile)
      return try await outside.call(request)
    }
    let value = String(decoding: text, as: UTF8.self)
    let answer = try await send("PutSecretValue", ["SecretId": secretID, "SecretString": value])
    if (400..<500).contains(answer.status), String(decoding: answer.body, as: UTF8.self).contains("ResourceNotFoundException") {
      return try checked(try await send("CreateSecret", ["Name": secretID, "SecretString": value]), "AWS Secrets Manager")
    }
    try checked(answer, "AWS Secrets Manager")
  }

  private func writeVault(_ text: [UInt8], of key: MaskedKey, _ path: String, _ destination: Destination, named name: String)
    async throws(Fault)
  {
    let field = destination.variable ?? "api_key"
    let body = try Self.json(["data": [field: String(decoding: text, as: UTF8.self), "version": "\(key.details.version)"]])
    let token = try credential(destination, name)
    var headers: [(name: String, value: [UInt8])] = [
      ("Content-Type", Array("application/json".utf8)), ("X-Vault-Request", Array("true".utf8)),
      ("X-Vault-Token", [UInt8](copying: token.span)),
    ]
    if let namespace = destination.namespace { headers.append(("X-Vault-Namespace", Array(namespace.utf8))) }
    let answer = try await outside.call(
      OutboundRequest(
        "POST", "\(destination.address ?? "")/v1/\(destination.mount ?? "secret")/data/\(path)", headers: headers, body: body,
        authorityFile: destination.authorityFile))
    try checked(answer, "Vault")
  }

  static func json(_ document: some Encodable) throws(Fault) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(document) else { throw Fault(.system, "a request cannot be written") }
    return [UInt8](data)
  }
}

/// A request to a service of AWS, signed (version 4).
enum AmazonCall {
  /// `credential` is `access-key-id:secret-access-key[:session-token]`.
  static func request(
    url: String, service: String, region: String, credential: borrowing SecretBytes, now: Timestamp, body: [UInt8],
    headers: [(name: String, value: String)], authorityFile: String? = nil
  ) throws(Fault) -> OutboundRequest {
    let parts = [UInt8](copying: credential.span).split(
      separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count >= 2, parts[0].count >= 8 else {
      throw Fault(.invalidInput, "a credential of AWS is an access key ID and a secret access key, with a colon between")
    }
    let address = try WebAddress(url)
    try address.requireSecrecy()
    let stamp = AmazonSignature.stamp(now)
    var signed: [(name: [UInt8], value: [UInt8])] = headers.map { (Array($0.name.utf8), Array($0.value.utf8)) }
    signed.append((Array("x-amz-date".utf8), stamp))
    if parts.count == 3 { signed.append((Array("x-amz-security-token".utf8), Array(parts[2]))) }
    let signer = AmazonSignature(region: region, service: service, accessKey: Array(parts[0]))
    let request = AmazonSignature.Request(
      method: Array("POST".utf8), path: Array((address.path.isEmpty ? "/" : address.path).utf8),
      query: Array((address.query ?? "").utf8),
      headers: signed + [(Array("host".utf8), Array(address.hostHeader.utf8))], payloadHash: AmazonSignature.hash(body.span))
    let secret = Array(parts[1])
    let authorization = signer.authorization(request, stamp: stamp, secret: secret.span)
    var sent = signed.map { (name: String(decoding: $0.name, as: UTF8.self), value: $0.value) }
    sent.append(("authorization", authorization))
    return OutboundRequest("POST", url, headers: sent, body: body, authorityFile: authorityFile)
  }
}
