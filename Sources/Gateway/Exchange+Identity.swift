import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

// Who asks, and from where.
extension Exchange {
  /// Where the request comes from: the peer, or, behind proxies that are configured, the nearest address that is none of them.
  func clientAddress(_ client: borrowing ServerConnection, _ peer: NetworkAddress?) -> NetworkAddress? {
    let trusted = shard.limits.trustedProxies
    guard !trusted.isEmpty, let peer, trusted.contains(where: { $0.contains(peer) }) else { return peer }
    let bytes = client.inbound.readable
    // The last line first, and in it the last address: each proxy adds what it saw behind what it was given.
    for field in client.head.fields.reversed()
    where field.kind == .forwarded && bytes.extracting(field.name.range).equalsIgnoringCase("x-forwarded-for") {
      let value = bytes.extracting(field.value.range)
      var end = value.count
      while end > 0 {
        var start = end
        while start > 0, value[start - 1] != UInt8(ascii: ",") { start -= 1 }
        // What is no address was not written by a proxy of ours: nothing behind it can be believed.
        guard let address = NetworkAddress(value.extracting(start..<end)) else { return nil }
        guard trusted.contains(where: { $0.contains(address) }) else { return address }
        end = start - 1
      }
    }
    return peer
  }

  /// The masked key, wherever the SDK put it: `Authorization: Bearer`, `x-api-key`, `api-key`,
  /// `x-goog-api-key`, `?key=`. Two that differ are refused.
  @_lifetime(borrow client)
  func presentedKey(_ client: borrowing ServerConnection) throws(Refusal) -> Span<UInt8> {
    let bytes = client.inbound.readable
    var found = Span<UInt8>()
    for field in client.head.fields {
      var value = bytes.extracting(field.value.range)
      switch field.kind {
      case .authorization:
        if value.equalsIgnoringCase("bearer") { continue }
        guard value.count > 7, value.extracting(0..<7).equalsIgnoringCase("bearer ") else { throw .malformedKey }
        value = value.extracting(7..<value.count)
      case .apiKey, .azureKey, .googleKey: break
      case .webSocket:
        guard bytes.extracting(field.name.range).equalsIgnoringCase("sec-websocket-protocol"),
          let range = WebSocketHandshake.key(in: value)
        else { continue }
        value = value.extracting(range)
      default: continue
      }
      guard found.isEmpty || found.equals(value) else { throw .malformedKey }
      found = value
    }
    // Google's REST clients put it into the query.
    let target = bytes.extracting(client.head.target.range)
    if let range = GatewayTarget.key(in: target) {
      let value = target.extracting(range)
      // A client that was sent on may present its key all the same.
      if !found.isEmpty, UploadTicket.isTicket(value) { return found }
      guard found.isEmpty || found.equals(value) else { throw .malformedKey }
      found = value
    }
    guard !found.isEmpty else { throw .missingKey }
    return found
  }
}
