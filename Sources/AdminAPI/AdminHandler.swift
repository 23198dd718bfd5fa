import Cryptography
import Domain
import Glibc
import KeyService
public import Primitives
public import Transport
public import Wire

/// The management side for those who connect: on a Unix socket the user that the server runs as, and root; on the network whoever
/// presents an admin token.
public final class AdminHandler: RequestHandler, @unchecked Sendable {
  public enum Door: Sendable { case socket, network }

  private let api: AdminAPI
  private let door: Door
  private let loop: EventLoop
  private let people: OpenIDDesk?
  private let dashboard = Dashboard()
  // Loop-confined.
  private var failures = FailedTries()

  public static let bodyMax = 1 << 20

  /// `people` signs people in, where there is an OpenID provider.
  public init(api: AdminAPI, door: Door, loop: EventLoop, people: OpenIDDesk? = nil) {
    (self.api, self.door, self.loop, self.people) = (api, door, loop, people)
  }

  public func handle(_ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    let method = connection.head.method
    let target = String(
      decoding: [UInt8](copying: connection.inbound.readable.extracting(connection.head.target.range)), as: UTF8.self)
    let (cookies, csrf) = (Self.field("cookie", connection), Self.field("x-csrf-token", connection))
    if let people, target.hasPrefix("/oidc/") {
      let response: AdminResponse
      do throws(Fault) {
        // Nothing of it has a body that anybody reads.
        let request = try AdminRequest(method, target, body: SecretBytes(count: 0) { _ in })
        response = try await people.answer(request, cookies: cookies, csrf: csrf)
      } catch { response = api.problem(error) }
      connection.startBody()
      return try await send(response, &connection, closing: !connection.isBodyRead)
    }
    if door == .network, method == .get,
      let page = dashboard.answer(
        target, known: Self.field("if-none-match", connection), hasOpenID: people != nil,
        isSignedIn: (try? people?.caller(cookies, csrf: nil, isChange: false)) != nil)
    {
      connection.startBody()
      return try await send(page, &connection, closing: !connection.isBodyRead)
    }
    let caller: Caller
    do throws(Fault) { caller = try identify(&connection, cookies: cookies, csrf: csrf) } catch {
      // Whoever guesses gets slower than whoever mistypes.
      if error == Fault(.unauthorized, ""), connection.head.value(of: .authorization) != nil {
        try await Scope(on: loop).sleep(milliseconds: FailedTries.pause)
      }
      connection.startBody()
      return try await send(api.problem(error), &connection, closing: true)
    }
    if method == .get, target == "/ui/stream" { return try await stream(to: caller, &connection, cookies: cookies) }
    let conditions = (Self.field("if-match", connection), Self.field("if-none-match", connection))
    let (idempotencyKey, accept) = (Self.field("idempotency-key", connection), Self.field("accept", connection))
    connection.startBody()
    connection.relay.clear()
    do throws(HTTPError) {
      while try !connection.takeContentToRelay(atMost: Self.bodyMax + 1) {
        guard connection.relay.count <= Self.bodyMax else { throw HTTPError(413, "the body is too large") }
        do throws(IOFailure) { try await connection.readMore() } catch {
          if error != .recheck { throw HTTPError(408, "the body did not arrive") }
        }
      }
    } catch { return try await send(api.problem(error), &connection) }
    let body = SecretBytes(copying: connection.relay.readable)
    connection.relay.wipe()
    let response: AdminResponse
    do {
      let request = try AdminRequest(
        method, target, body: body, preconditions: try Precondition.read(ifMatch: conditions.0, ifNoneMatch: conditions.1),
        idempotencyKey: idempotencyKey, accept: accept)
      response = await Caller.$current.withValue(caller) { await api.answer(request) }
    } catch { response = api.problem(error) }
    return try await send(response, &connection)
  }

  // MARK: who

  private func identify(_ connection: inout ServerConnection, cookies: String?, csrf: String?) throws(Fault) -> Caller {
    if door == .socket {
      let peer = connection.socket.peerUserID
      guard peer == Int64(geteuid()) || peer == 0 else { throw Fault(.forbidden, "this socket is for the server's own user") }
      return .local
    }
    if let people, connection.head.value(of: .authorization) == nil, cookies != nil {
      return try people.caller(cookies, csrf: csrf, isChange: connection.head.method != .get)
    }
    let address = connection.peerAddress()
    let now = monotonicNanoseconds()
    guard failures.mayTry(address, now: now) else {
      throw Fault(.tooMany, "too many wrong tokens from there", hint: "wait a minute")
    }
    // Nothing is no guess.
    let token = try Self.token(connection)
    do throws(Fault) { return try api.service.caller(token, from: address) } catch {
      if error == Fault(.unauthorized, ""), failures.note(address, now: now) {
        try api.service.noteRefusal(
          "event.guessing", "network/\(address?.description ?? "")",
          ["wrong_tokens": "\(FailedTries.max)", "within_seconds": "60"])
      }
      throw error
    }
  }

  @_lifetime(borrow connection)
  private static func token(_ connection: borrowing ServerConnection) throws(Fault) -> Span<UInt8> {
    let bytes = connection.inbound.readable
    guard let field = connection.head.value(of: .authorization) else {
      throw Fault(.unauthorized, "an admin token is wanted", hint: "send it as 'Authorization: Bearer mka_...'")
    }
    let value = bytes.extracting(field.range)
    guard value.count > 7, value.extracting(0..<7).equalsIgnoringCase("bearer ") else {
      throw Fault(.unauthorized, "an admin token is wanted", hint: "send it as 'Authorization: Bearer mka_...'")
    }
    return value.extracting(7..<value.count)
  }

  /// The value of a field that only this side looks at; several of one name are one list (RFC 9110 section 5.3).
  private static func field(_ name: StaticString, _ connection: borrowing ServerConnection) -> String? {
    let bytes = connection.inbound.readable
    let values = connection.head.fields.filter { bytes.extracting($0.name.range).equalsIgnoringCase(name) }.map {
      String(decoding: [UInt8](copying: bytes.extracting($0.value.range)), as: UTF8.self)
    }
    return values.isEmpty ? nil : values.joined(separator: ",")
  }

  // MARK: pages

  /// Tells `caller` of requests until the connection or the server ends, or the caller may not see them any more.
  private func stream(to caller: Caller, _ connection: inout ServerConnection, cookies: String?) async throws(IOFailure) -> Bool {
    let address = connection.peerAddress()
    var token = SecretBytes(count: 0) { _ in }
    do throws(Fault) { token = SecretBytes(copying: try Self.token(connection)) } catch {}
    connection.startBody()
    guard caller.permissions.contains(Permission(.read, .activity)) else {
      return try await send(api.problem(AdminAPI.noSuchPath), &connection, closing: true)
    }
    connection.outbound.append("HTTP/1.1 200 -\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n")
    connection.outbound.append("X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n")
    var stream = LiveStream(api.service, team: caller.team)
    let scope = Scope(on: loop)
    while mayGoOn(caller, token, cookies, address) {
      connection.outbound.append(stream.next())
      try await connection.flush()
      try await scope.sleep(milliseconds: LiveStream.everyMilliseconds)
    }
    return false
  }

  /// Whether who listens still may: a token can end, and a session.
  private func mayGoOn(_ caller: Caller, _ token: borrowing SecretBytes, _ cookies: String?, _ address: NetworkAddress?) -> Bool {
    guard !api.service.isSealed else { return false }
    if token.count > 0 { return (try? api.service.caller(token.span, from: address)) != nil }
    return (try? people?.caller(cookies, csrf: nil, isChange: false)) != nil
  }

  // MARK: answers

  private func send(_ response: AdminResponse, _ connection: inout ServerConnection, closing: Bool = false)
    async throws(IOFailure)
    -> Bool
  {
    var response = response
    connection.outbound.append("HTTP/1.1 \(response.status) -\r\nContent-Type: ")
    connection.outbound.append(
      "\(response.mediaType ?? (response.status < 400 ? "application/json" : "application/problem+json"))\r\n")
    // What is answered here is for one reader, and some of it once; pages are asked for again, and then mostly are the same.
    connection.outbound.append(
      "Cache-Control: \(response.isPage ? "no-cache" : "no-store")\r\nX-Content-Type-Options: nosniff\r\n")
    if response.isPage {
      connection.outbound.append("Content-Security-Policy: \(Dashboard.policy)\r\nReferrer-Policy: no-referrer\r\n")
      connection.outbound.append("Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n")
    }
    if let tag = response.entityTag { connection.outbound.append("ETag: \(tag)\r\n") }
    if let location = response.location { connection.outbound.append("Location: \(location)\r\n") }
    for cookie in response.cookies { connection.outbound.append("Set-Cookie: \(cookie)\r\n") }
    if response.isRepeated { connection.outbound.append("Idempotency-Replayed: true\r\n") }
    // The query is percent-encoded: nothing in it can end the link.
    if let next = response.next { connection.outbound.append("Link: <\(next)>; rel=\"next\"\r\n") }
    if !response.allowed.isEmpty { connection.outbound.append("Allow: \(response.allowed.joined(separator: ", "))\r\n") }
    if response.status == 401 { connection.outbound.append("WWW-Authenticate: Bearer\r\n") }
    if response.status == 429 { connection.outbound.append("Retry-After: 60\r\n") }
    if closing { connection.outbound.append("Connection: close\r\n") }
    if response.status != 204, response.status != 304 { connection.outbound.append("Content-Length: \(response.body.count)\r\n") }
    connection.outbound.append("\r\n")
    connection.outbound.append(response.body)
    try await connection.flush()
    connection.outbound.wipe()
    // A request may have brought a secret.
    connection.inbound.wipeConsumed()
    wipe(&response.body)
    return !closing && connection.head.isKeepAlive && connection.isBodyRead
  }

  public func answer(to error: HTTPError, into buffer: inout ByteBuffer) {
    // That nobody knows the method is, here, that it is not allowed.
    let error = error.status == 501 ? HTTPError(405, error.reason) : error
    let body = api.problem(error).body
    buffer.append("HTTP/1.1 \(error.status) -\r\nContent-Type: application/problem+json\r\n")
    if error.status == 405 { buffer.append("Allow: GET, POST, PUT, DELETE\r\n") }
    buffer.append("Content-Length: \(body.count)\r\nConnection: close\r\n\r\n")
    buffer.append(body)
  }
}

/// Wrong tokens by where they came from.
struct FailedTries {
  /// Wrong ones a minute after which right ones are not looked at either.
  static let max = 10
  /// Milliseconds that a wrong one is answered after.
  static let pause = 200
  private static let window: UInt64 = 60_000_000_000
  private static let placesMax = 10_000
  private var places: [NetworkAddress: (count: Int, since: UInt64)] = [:]

  func mayTry(_ address: NetworkAddress?, now: UInt64) -> Bool {
    guard let address, let place = places[address.neighbourhood] else { return true }
    return place.count < Self.max || now - place.since >= Self.window
  }

  /// Whether this was the one too many.
  mutating func note(_ address: NetworkAddress?, now: UInt64) -> Bool {
    guard let address else { return false }
    var place = places[address.neighbourhood] ?? (0, now)
    if now - place.since >= Self.window { place = (0, now) }
    place.count += 1
    // Full of others: the oldest go.
    if places.count >= Self.placesMax { places = places.filter { now - $0.value.since < Self.window } }
    if places.count < Self.placesMax { places[address.neighbourhood] = place }
    return place.count == Self.max
  }
}
