import Cryptography
import Glibc
public import Primitives
public import Transport
public import Wire

/// The management side on a Unix socket: only the user that the server runs as, and root, are answered.
public final class AdminHandler: RequestHandler {
  private let api: AdminAPI
  public static let bodyMax = 1 << 20

  public init(api: AdminAPI) { self.api = api }

  public func handle(_ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    let peer = connection.socket.peerUserID
    guard peer == Int64(geteuid()) || peer == 0 else {
      return try await send(api.problem(Fault(.forbidden, "this socket is for the server's own user")), &connection)
    }
    let method = connection.head.method
    let target = String(
      decoding: [UInt8](copying: connection.inbound.readable.extracting(connection.head.target.range)), as: UTF8.self)
    connection.startBody()
    connection.relay.clear()
    do throws(HTTPError) {
      while try !connection.takeContentToRelay(atMost: Self.bodyMax + 1) {
        guard connection.relay.count <= Self.bodyMax else { throw HTTPError(413, "the body is too large") }
        do throws(IOFailure) { try await connection.readMore() } catch {
          if error != .recheck { throw HTTPError(408, "the body did not arrive") }
        }
      }
    } catch {
      return try await send(api.problem(Fault(.invalidInput, "\(error.reason)")), &connection)
    }
    let body = SecretBytes(copying: connection.relay.readable)
    connection.relay.wipe()
    let response: AdminResponse
    do {
      let request = try AdminRequest(method, target, body: body)
      response = await api.answer(request)
    } catch { response = api.problem(error) }
    return try await send(response, &connection)
  }

  private func send(_ response: AdminResponse, _ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    var response = response
    connection.outbound.append("HTTP/1.1 \(response.status) -\r\nContent-Type: application/json\r\n")
    if response.status != 204 { connection.outbound.append("Content-Length: \(response.body.count)\r\n") }
    connection.outbound.append("\r\n")
    connection.outbound.append(response.body)
    try await connection.flush()
    connection.outbound.wipe()
    wipe(&response.body)
    return connection.head.isKeepAlive && connection.isBodyRead
  }

  public func answer(to error: HTTPError, into buffer: inout ByteBuffer) {
    let body = api.problem(Fault(.invalidInput, "\(error.reason)")).body
    buffer.append(
      "HTTP/1.1 \(error.status) -\r\nContent-Type: application/json\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n"
    )
    buffer.append(body)
  }
}
