import Audit
import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

// Answers can send the client elsewhere: to an upload that goes on at an address, to the results of a batch, to what a prediction has
// become. Such addresses lead back through the gateway: at the provider itself the masked key is nobody's.
extension Exchange {
  /// Where clients reach this provider, `https://gateway.example.com/NAME`, if answers may have to say so. Before the head is consumed.
  func addressForClients(_ client: borrowing ServerConnection) -> [UInt8]? {
    guard let upstream, endpoint!.hasLinks || upstream.entry.uploadField != nil else { return nil }
    guard let origin = shard.limits.publicURL ?? origin(client) else { return nil }
    return origin + [47] + upstream.name
  }

  /// The origin that the client has called: by its own word for the host.
  private func origin(_ client: borrowing ServerConnection) -> [UInt8]? {
    guard let field = client.head.value(of: .host) else { return nil }
    let host = client.inbound.readable.extracting(field.range)
    for i in host.indices {
      let b = host[i]
      guard ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 46 || b == 58 || b == 91 || b == 93 else { return nil }
    }
    let scheme: StaticString = isSecure(client) ? "https://" : "http://"
    return [UInt8](copying: scheme.span) + [UInt8](copying: host)
  }

  /// Whether the client called over TLS: this process, or a proxy of ours that says so.
  private func isSecure(_ client: borrowing ServerConnection) -> Bool {
    if client.socket.isSecure { return true }
    guard !shard.limits.trustedProxies.isEmpty, let peer = client.socket.peerAddress,
      shard.limits.trustedProxies.contains(where: { $0.contains(peer) })
    else { return false }
    let bytes = client.inbound.readable
    for field in client.head.fields where bytes.extracting(field.name.range).equalsIgnoringCase("x-forwarded-proto") {
      return bytes.extracting(field.value.range).equalsIgnoringCase("https")
    }
    return false
  }

  /// Whether the field `name` says where an upload goes on.
  func isUploadField(_ name: Span<UInt8>) -> Bool {
    guard let field = upstream!.entry.uploadField, field.count == name.count else { return false }
    for i in name.indices where ASCII.lower(name[i]) != field[i] { return false }
    return true
  }

  /// The address at the gateway for one at the provider, with a ticket in place of a key: whoever goes on there sends none. nil when it
  /// is not the provider's: nothing is sent anywhere else.
  func uploadAddress(_ address: Span<UInt8>) -> [UInt8]? {
    guard let upstream, let addressForClients, let keyID, let credential else { return nil }
    let base = upstream.places[place].baseURL
    guard address.count > base.count, address.extracting(0..<base.count).equals(base.span), address[base.count] == 47 else {
      return nil
    }
    let target = address.extracting(base.count..<address.count)
    for i in target.indices where target[i] <= 32 || target[i] >= 127 || target[i] == 35 { return nil }
    let ticket = shard.snapshot.ticket(
      for: keyID, providerKey: credential.keyID, upstream: upstream, target: target, now: shard.clock.now)
    let joint: StaticString = target.firstIndex(of: 63) == nil ? "?key=" : "&key="
    return addressForClients + [UInt8](copying: target) + [UInt8](copying: joint.span) + ticket
  }

  /// Who goes on with an upload, and with which provider key.
  mutating func redeem(_ ticket: Span<UInt8>, _ target: Span<UInt8>, _ parts: GatewayTarget) throws(Refusal)
    -> PresentedKey
  {
    guard let upstream = shard.snapshot.upstream(named: target.extracting(parts.provider)) else { throw .unknownProvider }
    var native = ByteBuffer(capacity: 256)
    native.append(target.extracting(parts.path))
    _ = GatewayTarget.appendQuery(target.extracting(parts.query), without: nil, into: &native)
    let (key, providerKey) = try shard.snapshot.redeem(ticket, upstream: upstream, target: native.readable, now: record.start)
    goesOnWith = providerKey
    return key
  }
}
