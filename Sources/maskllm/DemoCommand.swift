import DemoProvider
import FoundationEssentials
import Glibc
import Primitives
import Transport

/// `maskllm demo`: the whole path in a directory that is thrown away, or the stand-in provider alone.
enum DemoCommand {
  static let command = Command(
    path: ["demo"], summary: "try everything with a local stand-in provider: no account, no internet, nothing kept",
    options: [
      Option(
        name: "listen", value: "HOST:PORT",
        help: "where the gateway (or the stand-in) listens (default: a free port on 127.0.0.1)"),
      Option(name: "provider-only", value: nil, help: "run only the stand-in provider, for a gateway of your own"),
      Option(name: "tls-certificate", value: "PATH", help: "with --provider-only: serve TLS with this PEM certificate chain"),
      Option(name: "tls-key", value: "PATH", help: "and this PEM private key"),
      Option(name: "pace-ms", value: "N", help: "milliseconds between the events of a stream (default: 20)"),
      Option(name: "loops", value: "N", help: "event-loop threads of the gateway (default: one a core)"),
    ], usesData: false
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let pace = try arguments.number("pace-ms", 0...10_000) ?? 20
    if arguments.has("provider-only") { return try runProvider(arguments, pace) }
    guard !arguments.has("tls-certificate"), !arguments.has("tls-key") else {
      throw Fault(.invalidInput, "the certificate is for --provider-only", hint: "for a gateway with TLS use 'maskllm serve'")
    }
    let path = try temporaryDirectory()
    defer {
      // All of it: what is in there depends on what was tried, and may be a secret.
      do { try FileManager.default.removeItem(atPath: path) } catch {
        Terminal.note("\(path) could not be removed: remove it, there are secrets in it")
      }
    }
    try InitCommand.initialize(path, try Arguments([], options: []))
    let listen = ["--listen", arguments.value("listen") ?? "127.0.0.1:0"]
    let loops = arguments.value("loops").map { ["--loops", $0] } ?? []
    try ServeCommand.run(
      try Arguments(listen + loops, options: ServeCommand.command.allOptions), path: path,
      demo: try DemoSetup(paceMilliseconds: pace))
  }

  /// A new directory for this user only, in `TMPDIR`, else in `/tmp`.
  private static func temporaryDirectory() throws(Fault) -> String {
    let parent = Files.environment("TMPDIR").flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
    // mkdtemp(3) replaces the last six characters, which have to be these.
    let ending = String(repeating: "X", count: 6)
    var template = Array("\(parent)/maskllm-demo-\(ending)".utf8CString)
    guard unsafe template.withUnsafeMutableBufferPointer({ unsafe mkdtemp($0.baseAddress!) }) != nil else {
      throw Fault(
        .system, unsafe "no directory can be made in \(parent): \(String(cString: strerror(errno)))",
        hint: "name one that can be written to with TMPDIR")
    }
    return unsafe template.withUnsafeBufferPointer { unsafe String(cString: $0.baseAddress!) }
  }

  private static func runProvider(_ arguments: Arguments, _ pace: Int) throws(Fault) {
    blockServerSignals()
    var tls: TLSContextBox?
    if let certificate = arguments.value("tls-certificate"), let key = arguments.value("tls-key") {
      tls = TLSContextBox(try TLSContext.server(certificateFile: certificate, keyFile: key))
    }
    let listen = arguments.value("listen") ?? "127.0.0.1:0"
    guard let colon = listen.lastIndex(of: ":"), let port = UInt16(listen[listen.index(after: colon)...]) else {
      throw Fault(.invalidInput, "'\(listen)' is no address to listen on", hint: "write it as 127.0.0.1:9000")
    }
    let listener = try Listener.tcp(host: String(listen[..<colon]), port: port, sharesPort: false)
    let loop = EventLoop()
    let server = HTTPServer(loop: loop, handler: DemoProvider(paceMilliseconds: pace), limits: ServerLimits(), tls: tls)
    Terminal.result(
      "demo provider on \(tls == nil ? "http" : "https")://\(listen[..<colon]):\(listener.port), key \(DemoProvider.key)")
    let box = ListenerBox(listener)
    startThread {
      _ = nextServerSignal()
      loop.execute {
        server.drain()
        loop.cancelAll()
      }
    }
    loop.run { await server.run(box.take()) }
  }
}
