import Cryptography
import Domain
import Gateway
import Glibc
import KeyService
import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

/// What the server does outside itself, on its control loop: calls on connections of their own, hooks and files on threads of their
/// own, so that a slow one keeps nobody else waiting.
struct OutsideWorld: Outside {
  let connector: Connector
  let tls: ClientTLS
  let control: EventLoop
  let tokens: TokenKeeper
  /// Programs that may be run: only those of this folder, which only the server's user may write.
  let hooksFolder: String

  static let callMilliseconds = 15_000
  static let hookMilliseconds = 60_000
  static let answerMax = 1 << 20

  func call(_ request: OutboundRequest) async throws(Fault) -> OutboundAnswer {
    // Whoever made the URL up has put it together of parts: it is read anew, and what is connected to is what was read.
    let origin = try WebAddress(request.url)
    try origin.requireSecrecy()
    var message = ByteBuffer(capacity: 4096)
    message.append("\(request.method) \(origin.target) HTTP/1.1\r\nHost: \(origin.hostHeader)\r\n")
    for (name, value) in request.headers {
      guard value.allSatisfy({ $0 >= 32 && $0 != 127 }),
        name.utf8.allSatisfy({ ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 45 })
      else { throw Fault(.invalidInput, "a header for \(origin.host) cannot be sent") }
      message.append("\(name): ")
      message.append(value)
      message.append("\r\n")
    }
    message.append("User-Agent: maskllm/\(Version.text)\r\nConnection: close\r\n")
    if request.method != "GET" { message.append("Content-Length: \(request.body.count)\r\n") }
    message.append("\r\n")
    message.append(request.body)
    let place = Origin(
      host: origin.host, port: origin.port, tls: origin.secure ? try tls.context(authorityFile: request.authorityFile) : nil)
    do throws(IOFailure) {
      let answer = try await HTTPCall(connector: connector, loop: control).send(
        &message, to: place, milliseconds: Self.callMilliseconds, answerMax: Self.answerMax)
      return OutboundAnswer(status: Int(answer.status), body: [UInt8](copying: answer.body.readable))
    } catch { throw Fault(.unavailable, "\(origin.host) did not answer: \(error.clause)") }
  }

  func tokenLine(for credential: Credential, authorityFile: String?) async throws(Fault) -> [UInt8] {
    let outcome = await TokenLink(keeper: tokens, control: control).renew(credential, trusting: authorityFile)
    guard let value = credential.token?.current(now: monotonicNanoseconds()).value else {
      throw Fault(
        outcome == .refused ? .forbidden : .unavailable, "no token was given in exchange for the credential; the log says why")
    }
    let line = value.line.copy()
    return [UInt8](copying: line.span)
  }

  func probe(_ credential: Credential, _ provider: Provider, path: String) async throws(Fault) -> Int {
    try await ask(credential, provider, path: path).status
  }

  /// What the provider answers GET on `path` with, asked with this credential.
  func ask(_ credential: Credential, _ provider: Provider, path: String) async throws(Fault) -> OutboundAnswer {
    let base = provider.baseURL
    var message = ByteBuffer(capacity: 4096)
    var target = base.prefix + path
    if credential.queryName != nil {
      let pair = credential.line.withBytes(0..<credential.line.count) { [UInt8](copying: $0) }
      target += (target.contains("?") ? "&" : "?") + String(decoding: pair, as: UTF8.self)
    }
    message.append("GET \(target) HTTP/1.1\r\nHost: \(base.hostHeader)\r\nConnection: close\r\nAccept: application/json\r\n")
    // What a provider wants of every request.
    if provider.kind == "anthropic" { message.append("anthropic-version: 2023-06-01\r\n") }
    if credential.signer != nil {
      let parts = target.split(separator: "?", maxSplits: 1)
      let request = AmazonSignature.Request(
        method: Array("GET".utf8), path: Array(parts[0].utf8), query: parts.count > 1 ? Array(parts[1].utf8) : [],
        headers: [(Array("host".utf8), Array(base.hostHeader.utf8))], payloadHash: AmazonSignature.hash(Span()))
      credential.appendSigned(request, now: SystemClock().now, to: &message)
    } else if credential.token != nil {
      message.append(try await tokenLine(for: credential, authorityFile: provider.authorityFile))
    } else if credential.queryName == nil {
      credential.line.append(to: &message)
    }
    message.append("\r\n")
    let place = Origin(
      host: base.host, port: base.port, tls: base.secure ? try tls.context(authorityFile: provider.authorityFile) : nil)
    do throws(IOFailure) {
      let answer = try await HTTPCall(connector: connector, loop: control).send(
        &message, to: place, milliseconds: Self.callMilliseconds, answerMax: 8 << 20)
      return OutboundAnswer(status: Int(answer.status), body: [UInt8](copying: answer.body.readable))
    } catch { throw Fault(.unavailable, "provider '\(provider.name)' did not answer: \(error.clause)") }
  }

  func reach(_ provider: Provider) async throws(Fault) -> Timestamp? {
    let base = provider.baseURL
    var message = ByteBuffer(capacity: 512)
    message.append(
      "GET \(base.prefix.isEmpty ? "/" : base.prefix) HTTP/1.1\r\nHost: \(base.hostHeader)\r\nConnection: close\r\nAccept: application/json\r\n\r\n"
    )
    let place = Origin(
      host: base.host, port: base.port, tls: base.secure ? try tls.context(authorityFile: provider.authorityFile) : nil)
    do throws(IOFailure) {
      return try await HTTPCall(connector: connector, loop: control).send(
        &message, to: place, milliseconds: 5000, answerMax: 8 << 20
      ).date
    } catch { throw Fault(.unavailable, "\(base.host) did not answer: \(error.clause)") }
  }

  func pause(milliseconds: Int) async throws(Fault) {
    do throws(IOFailure) {
      if milliseconds == 0 { try await control.turn() } else { try await Scope(on: control).sleep(milliseconds: milliseconds) }
    } catch {
      throw Fault(.unavailable, "the server is stopping")
    }
  }

  func offLoop(_ work: @escaping @Sendable () throws(Fault) -> Void) async throws(Fault) { try await elsewhere(work).get() }

  func mail(_ message: MailMessage) async throws(Fault) {
    // Passwords do not travel in the clear, nor do alerts, but to this machine.
    let isHere = WebAddress.isLoopback(try AlertChannel.mailHost(message.server))
    let result = await elsewhere { () throws(Fault) -> Void in
      try MailCall.send(
        message.text, from: message.from, to: message.to, server: message.server, mustEncrypt: !isHere || message.user != nil,
        user: message.user, password: message.password, authorityFile: message.authorityFile)
    }
    try result.get()
  }

  func run(hook name: String, _ arguments: [String], input: [UInt8]) async throws(Fault) -> [UInt8] {
    let path = try hookPath(name)
    let result = await elsewhere { () throws(Fault) -> (Int32, [UInt8]) in
      try ChildProcess.run(
        [path] + arguments, environment: ["PATH=/usr/local/bin:/usr/bin:/bin"], input: input.span, outputMax: 64 * 1024,
        milliseconds: Self.hookMilliseconds)
    }
    let (status, output) = try result.get()
    guard status == 0 else {
      throw Fault(
        .unavailable, status == 124 ? "hook '\(name)' took more than a minute" : "hook '\(name)' ended with status \(status)")
    }
    return output
  }

  private func hookPath(_ name: String) throws(Fault) -> String {
    let path = "\(hooksFolder)/\(name)"
    guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/") else {
      throw Fault(.invalidInput, "that is no name of a hook")
    }
    for (place, kind) in [(hooksFolder, S_IFDIR), (path, S_IFREG)] {
      var info = stat()
      guard unsafe lstat(place, &info) == 0, info.st_mode & S_IFMT == kind else {
        throw Fault(.notFound, "there is no hook '\(name)'", hint: "put the program into \(hooksFolder)")
      }
      guard info.st_uid == geteuid() || info.st_uid == 0, info.st_mode & 0o022 == 0 else {
        throw Fault(.forbidden, "\(place) can be changed by others", hint: "run: chmod go-w \(place)")
      }
    }
    return path
  }

  func write(_ content: [UInt8], to path: String, mode: UInt32, owner: String?) async throws(Fault) {
    try await elsewhere { () throws(Fault) in try SecretFile.write(content, to: path, mode: mode, owner: owner) }.get()
  }

  func mount(_ files: [(name: String, content: [UInt8])], in folder: String, mode: UInt32) async throws(Fault) {
    try await elsewhere { () throws(Fault) in try SecretFile.mount(files, in: folder, mode: mode) }.get()
  }

  /// Does what blocks on a thread of its own, and goes on here.
  private func elsewhere<Value: Sendable>(_ work: @escaping @Sendable () throws(Fault) -> Value) async -> Result<Value, Fault> {
    unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<Value, Fault>, Never>) in
      startThread {
        let result: Result<Value, Fault>
        do throws(Fault) { result = .success(try work()) } catch { result = .failure(error) }
        control.execute { unsafe continuation.resume(returning: result) }
      }
    }
  }
}

/// Files that hold secrets: never half written, never for a moment readable by more than is asked for.
enum SecretFile {
  static func write(_ content: [UInt8], to path: String, mode: UInt32, owner: String?) throws(Fault) {
    let temporary = "\(path).maskllm-\(getpid())"
    unsafe unlink(temporary)
    let fd = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw fault(path, "made") }
    var isDone = false
    defer {
      close(fd)
      if !isDone { unsafe unlink(temporary) }
    }
    if let owner {
      guard let entry = unsafe getpwnam(owner) else { throw Fault(.notFound, "there is no user '\(owner)'") }
      guard unsafe fchown(fd, entry.pointee.pw_uid, entry.pointee.pw_gid) == 0 else { throw fault(path, "given to '\(owner)'") }
    }
    guard fchmod(fd, mode) == 0 else { throw fault(path, "given its mode") }
    let n = unsafe content.withUnsafeBytes { unsafe Glibc.write(fd, $0.baseAddress, $0.count) }
    guard n == content.count, fsync(fd) == 0 else { throw fault(path, "written") }
    guard unsafe rename(temporary, path) == 0 else { throw fault(path, "put in place") }
    isDone = true
    syncFolder(of: path)
  }

  /// `folder/NAME` leads to `..data/NAME`, and `..data` to the folder of the moment, which changes in one step: as Kubernetes does
  /// it, so that what watches mounted secrets there works here.
  static func mount(_ files: [(name: String, content: [UInt8])], in folder: String, mode: UInt32) throws(Fault) {
    unsafe mkdir(folder, 0o755)
    var moment = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &moment)
    let fresh = "..\(moment.tv_sec).\(moment.tv_nsec)"
    guard unsafe mkdir("\(folder)/\(fresh)", 0o755) == 0 else { throw fault("\(folder)/\(fresh)", "made") }
    for (name, content) in files { try write(content, to: "\(folder)/\(fresh)/\(name)", mode: mode, owner: nil) }
    var before = [CChar](repeating: 0, count: 256)
    let length = unsafe readlink("\(folder)/..data", &before, before.count - 1)
    let next = "\(folder)/..data_next"
    unsafe unlink(next)
    guard unsafe symlink(fresh, next) == 0, unsafe rename(next, "\(folder)/..data") == 0 else {
      throw fault("\(folder)/..data", "changed")
    }
    for (name, _) in files where unsafe symlink("..data/\(name)", "\(folder)/\(name)") != 0 && errno != EEXIST {
      throw fault("\(folder)/\(name)", "made")
    }
    syncFolder(of: "\(folder)/..data")
    guard length > 0 else { return }
    let old = String(decoding: before[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard old.hasPrefix(".."), !old.contains("/"), old != fresh else { return }
    for (name, _) in files { unsafe unlink("\(folder)/\(old)/\(name)") }
    unsafe rmdir("\(folder)/\(old)")
  }

  private static func syncFolder(of path: String) {
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let fd = unsafe open(folder.isEmpty ? "/" : folder, O_RDONLY | O_CLOEXEC)
    if fd >= 0 {
      fsync(fd)
      close(fd)
    }
  }

  private static func fault(_ path: String, _ what: String) -> Fault {
    Fault(.system, unsafe "\(path) cannot be \(what): \(String(cString: strerror(errno)))")
  }
}
