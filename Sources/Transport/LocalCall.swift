import CLinuxShims
import Glibc
public import Primitives
import Wire

/// One request over a Unix socket, for commands that talk to a running server: blocks until the answer is complete.
public enum LocalCall {
  public static let answerMax = 64 << 20
  /// Seconds of silence after which the server is taken for stuck. Opening a vault with a passphrase takes some.
  public static let patienceSeconds = 60

  public struct Answer: Sendable {
    public let status: Int
    public let body: [UInt8]
    /// What its `Link` says.
    public let link: String?
    public init(status: Int, body: [UInt8], link: String?) { (self.status, self.body, self.link) = (status, body, link) }
  }

  /// Throws `.notFound` when nobody listens there.
  public static func send(_ request: [UInt8], to path: String) throws(Fault) -> Answer {
    guard let address = SocketAddress(path: path) else { throw Fault(.invalidInput, "the path \(path) is too long for a socket") }
    let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { throw Fault(.system, "no socket: \(errnoText())") }
    defer { close(fd) }
    var patience = timeval(tv_sec: patienceSeconds, tv_usec: 0)
    unsafe setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    guard unsafe address.withPointer({ unsafe connect(fd, $0, $1) }) == 0 else {
      throw Fault(.notFound, "no server answers at \(path)", hint: "start it with 'maskllm serve'")
    }
    var rest = request[...]
    while !rest.isEmpty {
      let n = unsafe rest.withUnsafeBytes { unsafe Glibc.send(fd, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL)) }
      guard n > 0 else { throw Fault(.system, "the server closed the connection") }
      rest = rest.dropFirst(n)
    }
    return try receive(fd)
  }

  private static func receive(_ fd: Int32) throws(Fault) -> Answer {
    let broken = Fault(.system, "the server's answer could not be read")
    var buffer = ByteBuffer(capacity: 64 * 1024)
    var head = ResponseHead()
    var decoder: BodyDecoder?
    var body: [UInt8] = []
    var link: String?
    do {
      while true {
        if decoder == nil, try head.parse(buffer, answering: .post, limits: HeadLimits()) {
          decoder = BodyDecoder(head.framing)
          link = HTTPCall.value("link", head, buffer).map { String(decoding: $0, as: UTF8.self) }
          buffer.consume(head.length)
        }
        while decoder != nil {
          let step = try decoder!.step(buffer)
          if case .content(let range) = step {
            body += [UInt8](copying: buffer.readable.extracting(range))
            buffer.consume(range.upperBound)
            guard body.count <= answerMax else { throw broken }
          } else {
            if case .end = step { return Answer(status: Int(head.status), body: body, link: link) }
            if case .more(let used) = step { buffer.consume(used) }
            break
          }
        }
        let n = unsafe buffer.fill(minimum: 16 * 1024) { unsafe recv(fd, $0.baseAddress!, $0.count, 0) }
        guard n > 0 else { throw broken }
      }
    } catch { throw broken }
  }
}
