import Cryptography
import Domain
import Gateway
import Primitives
import Transport

/// A request to the management side of a server elsewhere, with an admin token.
final class RemoteCall: Sendable {
  let base: BaseURL
  private let token: SecretBytes
  private let authorityFile: String?

  static let options = [
    Option(name: "server", value: "URL", help: "manage the server there, with an admin token (default: $MASKLLM_SERVER)"),
    Option(name: "token-fd", value: "N", help: "read the token from file descriptor N (default: the file $MASKLLM_TOKEN_FILE)"),
    Option(name: "server-ca-file", value: "PATH", help: "trust only the authorities in this PEM file there"),
  ]

  /// nil: the server is here.
  init?(_ arguments: Arguments) throws(Fault) {
    guard let url = arguments.value("server") ?? Files.environment("MASKLLM_SERVER") else { return nil }
    base = try BaseURL(url)
    authorityFile = arguments.value("server-ca-file")
    if let fd = try arguments.number("token-fd", 0...1023) {
      token = try Terminal.readSecret(fd: Int32(fd))
    } else if let path = Files.environment("MASKLLM_TOKEN_FILE") {
      token = try Files.readKeyFile(path)
    } else {
      throw Fault(
        .invalidInput, "no admin token is given for \(base.host)", hint: "give --token-fd, or name its file in MASKLLM_TOKEN_FILE"
      )
    }
    let given = token.copy()
    guard MaskedKeyFormat.keyID(of: given.span) != nil else {
      throw Fault(.invalidInput, "that is no admin token", hint: "it starts with \(AdminToken.prefix)_")
    }
  }

  /// Sends one request and waits for its answer, on a loop of its own.
  func send(_ method: String, _ target: String, body: borrowing SecretBytes) throws(Fault) -> LocalCall.Answer {
    var message = ByteBuffer(capacity: 4096 + body.count)
    message.append("\(method) \(base.prefix)\(target) HTTP/1.1\r\nHost: \(base.hostHeader)\r\nAuthorization: Bearer ")
    token.append(to: &message)
    message.append("\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n")
    body.append(to: &message)
    return try Self.exchange(message, with: base, authorityFile: authorityFile)
  }

  /// Sends one message to `base` and waits for the answer, on a loop of its own.
  static func exchange(_ message: consuming ByteBuffer, with base: BaseURL, authorityFile: String?) throws(Fault)
    -> LocalCall.Answer
  {
    let loop = EventLoop()
    let connector = Connector(resolver: NameResolver(), proxy: try ProxySettings(environment: [:]))
    let origin = Origin(
      host: base.host, port: base.port, tls: base.secure ? try ClientTLS().context(authorityFile: authorityFile) : nil)
    let outcome = Outcome(message)
    loop.run { await outcome.send(HTTPCall(connector: connector, loop: loop), origin) }
    return try outcome.result.get()
  }

  /// What the loop that this thread runs has come to.
  private final class Outcome: @unchecked Sendable {
    private var message: ByteBuffer
    var result = Result<LocalCall.Answer, Fault>.failure(Fault(.unavailable, "no answer came"))
    init(_ message: consuming ByteBuffer) { self.message = message }

    func send(_ call: HTTPCall, _ origin: Origin) async {
      do throws(IOFailure) {
        let answer = try await call.send(&message, to: origin, milliseconds: 60_000, answerMax: 256 << 20)
        result = .success(
          LocalCall.Answer(status: Int(answer.status), body: [UInt8](copying: answer.body.readable), link: answer.link))
      } catch { result = .failure(Fault(.unavailable, "\(origin.host) did not answer: \(error.clause)")) }
    }
  }
}
