import Audit
import Cryptography
import Domain
import FoundationEssentials
import PolicyEngine
public import Primitives
import Providers
import Transport
import Wire

/// Where the release of a real key is written down before it happens. Called on the loop's thread.
public protocol ReleaseDesk: Sendable {
  /// False when it could not be: then the key is not released.
  func release(of key: RecordID, providerKey: RecordID, provider: String, to address: NetworkAddress?) async -> Bool
}

extension Exchange {
  private static let resolveBodyMax = 4096

  /// `POST /resolver/resolve_masked_api_key`: the real key for a masked one, for the resolvers that are named in the settings and for
  /// nobody else. Returns whether the connection can serve another request; nil when the request is another.
  ///
  /// A masked key is lent as the library lends it: one that is counted, or scoped, in ways that only the gateway can see to is not; and
  /// it has to be for one provider, as the request names none.
  mutating func takeResolve(_ client: inout ServerConnection) async throws(IOFailure) -> Bool? {
    guard !shard.limits.resolvers.isEmpty, client.head.method == .post,
      client.inbound.readable.extracting(client.head.target.range).equals("/resolver/resolve_masked_api_key")
    else { return nil }
    let address = client.peerAddress()
    guard let address, shard.limits.resolvers.contains(where: { $0.contains(address) }) else { return nil }
    record.address = address
    defer { finishRecord(client) }
    var body: [UInt8]
    if let problem = try await Self.readWhole(&client, atMost: Self.resolveBodyMax) {
      record.status = 400
      body = Array("{\"code\":\"malformed_request\",\"detail\":\"\(problem)\"}".utf8)
    } else {
      let content = [UInt8](copying: client.relay.readable)
      client.relay.wipe()
      do throws(Refusal) {
        body = try await resolved(content, address)
        (record.status, record.outcome) = (200, .completed)
      } catch {
        let answer = error.answer
        code = error == .decoyKey ? Refusal.decoyKey.code : answer.code
        // What the clients of this wire tell apart: a bad key, one that may not, and one that may not now.
        record.status = [401, 429, 503].contains(answer.status) ? answer.status : 403
        body = Array("{\"code\":\"\(answer.code)\",\"detail\":\"\(answer.message)\"}".utf8)
      }
    }
    record.bytesOut = body.count
    return try await Self.answer(record.status, &body, &client)
  }

  private struct Question: Decodable { let token: String }

  private mutating func resolved(_ content: [UInt8], _ address: NetworkAddress) async throws(Refusal) -> [UInt8] {
    guard let question = try? JSONDecoder().decode(Question.self, from: Data(content)) else { throw .missingKey }
    let snapshot = shard.snapshot
    let presented = try snapshot.identify(question.token.utf8.span)
    let index = presented.index
    keyID = snapshot.keyID(at: index)
    record.keyVersion = presented.version
    try snapshot.decide(presented, validAt: record.start)
    guard let only = snapshot.onlyUpstream(key: index) else { throw .notLendable }
    upstream = only
    let position = try snapshot.decide(key: index, upstream: only, pick: id.number)
    try snapshot.decide(key: index, from: address)
    try snapshot.decide(key: index, at: record.start)
    try snapshot.decide(key: index, anyOr: nil)
    guard !snapshot.restrictsModels(key: index), !snapshot.restrictsPaths(key: index),
      snapshot.outputTokensMax(key: index) == nil,
      snapshot.isLendable(key: index)
    else { throw .notLendable }
    do throws(Denial) { try snapshot.countLoan(key: index, now: started) } catch { throw error.refusal }
    let credential = only.credentials[position]
    guard credential.signer == nil, credential.token == nil else { throw .notLendable }
    guard
      await shard.releases.release(
        of: keyID!, providerKey: credential.keyID, provider: only.provider.name, to: address)
    else { throw .ledgerUnavailable }
    // What was revoked while it was written down is not released.
    let name = only.name
    try shard.snapshot.stillAllows(
      key: keyID!, version: presented.version, upstream: name.span, credential: credential, now: shard.clock.now)
    return credential.withSecret { secret in
      var out = ByteBuffer(capacity: 2 * secret.count + 64)
      defer { out.wipe() }
      // The member that the wire names, and the one that its published client reads.
      for (i, start) in [StaticString](arrayLiteral: "{\"resolvedKey\":\"", ",\"key_value\":\"").enumerated() {
        out.append(start)
        for j in secret.indices {
          let b = secret[j]
          if b == 10 {
            out.append("\\n")
          } else {
            if b == 34 || b == 92 { out.append(92) }
            out.append(b)
          }
        }
        out.append(i == 0 ? "\"" : "\"}")
      }
      return out.copy()
    }
  }
}
