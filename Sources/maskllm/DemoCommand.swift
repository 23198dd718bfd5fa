import DemoProvider
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
    var template = Array("/tmp/maskllm-demo-XXXXXX".utf8CString)
    guard unsafe template.withUnsafeMutableBufferPointer({ unsafe mkdtemp($0.baseAddress!) }) != nil else {
      throw Fault(.system, "no temporary directory")
    }
    let path = unsafe template.withUnsafeBufferPointer { unsafe String(cString: $0.baseAddress!) }
    defer { removeDirectory(path) }
    try InitCommand.initialize(path, try Arguments([], options: []))
    let listen = ["--listen", arguments.value("listen") ?? "127.0.0.1:0"]
    let loops = arguments.value("loops").map { ["--loops", $0] } ?? []
    try ServeCommand.run(
      try Arguments(listen + loops, options: ServeCommand.command.allOptions), path: path,
      demo: try DemoSetup(paceMilliseconds: pace))
  }

  private static func removeDirectory(_ path: String) {
    for name in ["audit-checkpoints.jsonl", "maskllm.db", "maskllm.db-wal", "maskllm.db-shm", "unseal.key", "lock", "admin.sock"]
    {
      unsafe unlink("\(path)/\(name)")
    }
    unsafe rmdir(path)
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
