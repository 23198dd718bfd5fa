import Audit
import Domain
import PolicyEngine
import Primitives
import Transport
import Wire

// A provider can be reached at more than one address: where one cannot be connected to, the request goes to the next.
extension Exchange {
  /// A connection to the provider, at the first of its addresses that can be reached. Only what was not sent goes elsewhere: a request
  /// whose connection breaks off may have been carried out.
  mutating func reach(_ client: inout ServerConnection, _ position: Int) async throws(Ending) -> (ClientPool, ClientConnection) {
    let upstream = upstream!
    var left = upstream.places.count
    while true {
      let pool: ClientPool
      do throws(Fault) { pool = try shard.pool(upstream, credential: position, place: place) } catch {
        shard.log.warn("provider '\(upstream.provider.name, .provider)': \(error, .because)")
        throw .upstream(Answers.upstreamUntrusted, .upstreamFailed)
      }
      isUnreachable = false
      do throws(Ending) { return (pool, try await connect(pool, client)) } catch {
        left -= 1
        guard isUnreachable, left > 0, toSign == nil else { throw error }
        shard.noteUnreachable(upstream, place: place)
        move(to: (place + 1) % upstream.places.count, &client)
      }
    }
  }

  /// Writes the head that is ready to be sent anew for another address.
  private mutating func move(to other: Int, _ client: inout ServerConnection) {
    let (old, new) = (upstream!.places[place], upstream!.places[other])
    place = other
    let relay = Self.moved(client.relay.copy(), from: old, to: new)
    client.relay.wipe()
    client.relay.append(relay)
    if let head = resend?.head { resend!.head = Self.moved(head, from: old, to: new) }
  }

  /// `METHOD prefix/path HTTP/1.1`, and behind it the host: all that an address stands in.
  private static func moved(_ head: [UInt8], from old: Upstream.Place, to new: Upstream.Place) -> [UInt8] {
    guard let space = head.firstIndex(of: 32), let end = head.firstIndex(of: 10) else { return head }
    let path = space + 1 + old.pathPrefix.count
    return head[...space] + new.pathPrefix + head[path...end] + new.hostLine + head[(end + 1 + old.hostLine.count)...]
  }
}
