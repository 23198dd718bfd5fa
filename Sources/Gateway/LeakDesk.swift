import Cryptography
import Primitives
import PolicyEngine
import Transport
import Wire

/// A report that keys were found, as it came in.
public struct LeakPost: Sendable {
  public let body: [UInt8]
  /// What GitHub signs reports with: the key's name, and the signature in base64. Empty where there is none.
  public let keyIdentifier: [UInt8]
  public let signature: [UInt8]
}

/// Where reports of leaked keys go. Called on the loop's thread.
public protocol LeakDesk: Sendable {
  func report(_ post: LeakPost) async -> (status: UInt16, body: [UInt8])
}

extension Exchange {
  /// Bytes of one call's reports.
  static let leakBodyMax = 256 * 1024

  private static func value(of name: StaticString, _ client: borrowing ServerConnection) -> [UInt8] {
    let bytes = client.inbound.readable
    for field in client.head.fields where bytes.extracting(field.name.range).equalsIgnoringCase(name) {
      return [UInt8](copying: bytes.extracting(field.value.range))
    }
    return []
  }

  /// `POST /leaks`: not a provider's path, so that no masked key is wanted. Returns whether the connection can serve another request;
  /// nil when the request is another.
  mutating func takeLeakReport(_ client: inout ServerConnection) async throws(IOFailure) -> Bool? {
    guard client.head.method == .post, client.inbound.readable.extracting(client.head.target.range).equals("/leaks") else {
      return nil
    }
    let name = Self.value(of: "github-public-key-identifier", client)
    let signature = Self.value(of: "github-public-key-signature", client)
    let problem = try await Self.readWhole(&client, atMost: Self.leakBodyMax)
    var (status, body): (UInt16, [UInt8]) = (400, [])
    if let problem {
      body = Array("{\"code\":\"malformed_request\",\"title\":\"\(problem)\"}".utf8)
    } else {
      let post = LeakPost(body: [UInt8](copying: client.relay.readable), keyIdentifier: name, signature: signature)
      client.relay.wipe()
      (status, body) = await shard.leaks.report(post)
    }
    return try await Self.answer(status, &body, &client)
  }

  /// Reads the content of a request to the gateway itself into `relay`. Returns what is wrong with it; nil when nothing is.
  static func readWhole(_ client: inout ServerConnection, atMost limit: Int) async throws(IOFailure) -> StaticString? {
    client.startBody()
    client.relay.clear()
    do throws(HTTPError) {
      while try !client.takeContentToRelay(atMost: limit + 1) {
        guard client.relay.count <= limit else { throw HTTPError(413, "the body is too large") }
        do throws(IOFailure) { try await client.readMore() } catch {
          if error != .recheck { throw HTTPError(408, "the body did not arrive") }
        }
      }
      return nil
    } catch { return error.reason }
  }

  /// Answers a request to the gateway itself, in JSON, and wipes the answer. Returns whether the connection can serve another.
  static func answer(_ status: UInt16, _ body: inout [UInt8], _ client: inout ServerConnection) async throws(IOFailure) -> Bool {
    let isReusable = client.head.isKeepAlive && client.isBodyRead && !client.isLast
    client.outbound.clear()
    client.outbound.append("HTTP/1.1 ")
    client.outbound.append(decimal: Int(status))
    client.outbound.append(" -\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: ")
    client.outbound.append(decimal: body.count)
    client.outbound.append(isReusable ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n")
    client.outbound.append(body)
    wipe(&body)
    try await client.flush()
    client.outbound.wipe()
    return isReusable
  }
}
