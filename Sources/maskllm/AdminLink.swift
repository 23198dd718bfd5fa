import AdminAPI
import Cryptography
import FoundationEssentials
import KeyService
import PolicyEngine
import Primitives
import Providers
import Storage
import Transport
import Vault
import Wire

/// How a command reaches the management side: through the server that runs here, or elsewhere, or, when none runs, in its own process.
///
/// Never past a server in its database: the data directory's lock sees to that.
struct AdminLink {
  private let way: Way
  private enum Way {
    case server(socket: String)
    case remote(RemoteCall)
    case here(AdminAPI)
  }

  /// In-process work needs the vault open: with the key file, or with a passphrase that is asked for.
  static func open(_ arguments: Arguments) throws(Fault) -> AdminLink {
    if let remote = try RemoteCall(arguments) { return AdminLink(way: .remote(remote)) }
    let path = try Files.dataDirectory(arguments)
    let socket = DataDirectory.socketPath(path)
    do {
      _ = try LocalCall.send(request("GET", "/v1/status", []), to: socket)
      return AdminLink(way: .server(socket: socket))
    } catch  where error != Fault(.notFound, "") { throw error } catch {}
    return AdminLink(way: .here(try inProcess(path, arguments)))
  }

  /// Only a running server will do.
  static func toServer(_ arguments: Arguments) throws(Fault) -> AdminLink {
    if let remote = try RemoteCall(arguments) { return AdminLink(way: .remote(remote)) }
    return AdminLink(way: .server(socket: DataDirectory.socketPath(try Files.dataDirectory(arguments))))
  }

  private static func inProcess(_ path: String, _ arguments: Arguments) throws(Fault) -> AdminAPI {
    guard DataDirectory.isInitialized(path) else {
      throw Fault(
        .notFound, "\(path) is not initialised", hint: "run 'maskllm init' first, or name another directory with --data")
    }
    let catalogue = try Catalogue.with(folder: DataDirectory.cataloguePath(path))
    let service = KeyService(
      store: try SQLiteStore.open(in: try DataDirectory.take(path, creating: false)), sink: Nobody(), catalogue: catalogue)
    let secret = try Unsealing.secret(path: path, method: try service.sealMethod(), arguments)
    try service.unseal(secret: secret.span)
    return AdminAPI(service: service, version: Version.text)
  }

  /// The answer's body; throws the fault that the management side answered with.
  func call(_ method: Wire.Method, _ target: String, body: borrowing SecretBytes = SecretBytes(count: 0) { _ in }) throws(Fault)
    -> [UInt8]
  {
    try answer(method, target, body: body).body
  }

  /// A page of a list, and what the next one is asked for with; nil after the last.
  func page(_ target: String) throws(Fault) -> (body: [UInt8], next: String?) {
    let answer = try answer(.get, target, body: SecretBytes(count: 0) { _ in })
    guard let link = answer.link, link.hasPrefix("<"), let end = link.firstIndex(of: ">") else { return (answer.body, nil) }
    return (answer.body, String(link[link.index(after: link.startIndex)..<end]))
  }

  private func answer(_ method: Wire.Method, _ target: String, body: borrowing SecretBytes) throws(Fault) -> LocalCall.Answer {
    let answer: LocalCall.Answer
    switch way {
    case .server(let socket):
      var bytes = Self.request("\(method.name)", target, [UInt8](copying: body.span))
      defer { wipe(&bytes) }
      answer = try LocalCall.send(bytes, to: socket)
    case .remote(let remote): answer = try remote.send("\(method.name)", target, body: body)
    case .here(let api):
      let call = LocalRequest(try AdminRequest(method, target, body: body.copy()))
      EventLoop().run { call.response = await api.answer(call.request) }
      let link = call.response.next.map { "<\($0)>" }
      answer = LocalCall.Answer(status: call.response.status, body: call.response.body, link: link)
    }
    guard answer.status < 400 else {
      let problem = try? JSONDecoder().decode(ProblemDocument.self, from: Data(answer.body))
      throw Fault(
        Fault.Code(rawValue: problem?.code ?? "system"), problem?.title ?? "the server answered \(answer.status)",
        hint: problem?.hint ?? "")
    }
    return answer
  }

  func call(_ method: Wire.Method, _ target: String, json: some Encodable) throws(Fault) -> [UInt8] {
    guard let data = try? JSONEncoder.stable.encode(json) else { throw Fault(.system, "the request cannot be written") }
    return try call(method, target, body: SecretBytes(copying: [UInt8](data).span))
  }

  private static func request(_ method: String, _ target: String, _ body: [UInt8]) -> [UInt8] {
    Array("\(method) \(target) HTTP/1.1\r\nHost: maskllm\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n".utf8)
      + body
  }
}

/// A command in its own process has no data plane to tell.
struct Nobody: SnapshotSink {
  func publish(_ snapshot: Snapshot) async -> Int { 0 }
}

/// A request on its way through the loop that this thread runs and waits for.
private final class LocalRequest: @unchecked Sendable {
  let request: AdminRequest
  var response = AdminResponse(status: 500, body: [])
  init(_ request: consuming AdminRequest) { self.request = request }
}
