public import Primitives
import Wire

/// One request to a server of others on a connection of its own, and its whole answer.
public struct HTTPCall: Sendable {
  private let connector: Connector
  private let loop: EventLoop

  public struct Answer: ~Copyable {
    public let status: UInt16
    public let body: ByteBuffer
    /// What the other side's clock says; nil where it does not.
    public let date: Timestamp?
    /// What its `Link` says (RFC 8288); nil where it has none.
    public let link: String?
  }

  public init(connector: Connector, loop: EventLoop) {
    self.connector = connector
    self.loop = loop
  }

  /// Sends `request`, a whole one that asks for the connection to be closed, and wipes it. Throws `.closed` also for an answer that
  /// cannot be read or has more than `answerMax` bytes. Redirects are answers like any other. On the loop's thread.
  public func send(_ request: inout ByteBuffer, to origin: Origin, milliseconds: Int, answerMax: Int) async throws(IOFailure)
    -> Answer
  {
    let scope = Scope(on: loop)
    scope.setDeadline(milliseconds: milliseconds)
    let count = request.count
    defer { request.wipe() }
    var socket = try await connector.connect(to: origin, resuming: nil, scope)
    while true {
      do throws(IOFailure) {
        try await socket.write(&request, scope)
        break
      } catch { if error != .recheck { throw error } }
    }
    request.wipe(first: count)
    return try await receive(&socket, answerMax, scope)
  }

  private func receive(_ socket: inout Socket, _ answerMax: Int, _ scope: borrowing Scope) async throws(IOFailure) -> Answer {
    var inbound = ByteBuffer(capacity: 16 * 1024)
    var body = ByteBuffer(capacity: 4096)
    var head = ResponseHead()
    var date: Timestamp?
    var link: String?
    while true {
      do throws(HTTPError) {
        if !inbound.isEmpty, try head.parse(inbound, answering: .post, limits: HeadLimits()) {
          date = Self.value("date", head, inbound).flatMap { Timestamp(httpDate: $0.span) }
          link = Self.value("link", head, inbound).map { String(decoding: $0, as: UTF8.self) }
          inbound.consume(head.length)
          if head.status >= 200 { break }
          continue
        }
      } catch { throw .closed }
      if try await read(&socket, &inbound, scope) == 0 { throw .closed }
    }
    var decoder = BodyDecoder(head.framing)
    while true {
      let step: BodyDecoder.Step
      do throws(HTTPError) { step = try decoder.step(inbound) } catch { throw .closed }
      switch step {
      case .content(let range):
        body.append(inbound.readable.extracting(range))
        inbound.consume(range.upperBound)
        guard body.count <= answerMax else { throw .closed }
      case .end: return Answer(status: head.status, body: body, date: date, link: link)
      case .more(let used):
        inbound.consume(used)
        if try await read(&socket, &inbound, scope) == 0 {
          guard decoder.mayEndHere else { throw .closed }
          return Answer(status: head.status, body: body, date: date, link: link)
        }
      }
    }
  }

  /// The value of the first field of that name, before the head is consumed.
  static func value(_ name: StaticString, _ head: borrowing ResponseHead, _ inbound: borrowing ByteBuffer) -> [UInt8]? {
    let bytes = inbound.readable
    for field in head.fields where bytes.extracting(field.name.range).equalsIgnoringCase(name) {
      return [UInt8](copying: bytes.extracting(field.value.range))
    }
    return nil
  }

  private func read(_ socket: inout Socket, _ inbound: inout ByteBuffer, _ scope: borrowing Scope) async throws(IOFailure) -> Int
  {
    guard inbound.reserve(4096, limit: 256 * 1024) else { throw .closed }
    while true {
      do throws(IOFailure) { return try await socket.read(into: &inbound, scope) } catch { if error != .recheck { throw error } }
    }
  }
}
