import Cryptography
import Domain
import KeyService
import Primitives
import Storage
import Transport
import Vault

/// `maskllm serve`: the gateway.
enum ServeCommand {
  static let options =
    Unsealing.options + [
      Option(name: "listen", value: "HOST:PORT", help: "where to accept requests (default: 127.0.0.1:8780)"),
      Option(name: "tls-certificate", value: "PATH", help: "serve TLS with this PEM certificate chain"),
      Option(name: "tls-key", value: "PATH", help: "and this PEM private key"),
      Option(
        name: "admin-listen", value: "HOST:PORT",
        help: "where the management side is reached with admin tokens (default: nowhere)"),
      Option(name: "loops", value: "N", help: "event-loop threads (default: one a core)"),
      Option(name: "config", value: "PATH", help: "the configuration file (default: maskllm.yaml in the data directory)"),
    ]

  static let command = Command(
    path: ["serve"], summary: "run the gateway",
    options: options + [
      Option(name: "init", value: nil, help: "make the data directory first if there is none"),
      Option(
        name: "demo", value: nil, help: "add a local stand-in provider and a key for it, to try everything without an account"),
    ], isManaging: false
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    try run(
      arguments, path: try Files.dataDirectory(arguments), demo: arguments.has("demo") ? try DemoSetup(paceMilliseconds: 20) : nil
    )
  }

  static func run(_ arguments: Arguments, path: String, demo: DemoSetup?) throws(Fault) {
    if arguments.has("init"), !DataDirectory.isInitialized(path) {
      try InitCommand.initialize(path, try Arguments([], options: []))
    }
    let settings = try ServerSettings(arguments, dataDirectory: path)
    let store = try SQLiteStore.open(in: try DataDirectory.take(path, creating: false))
    let server = try Server(settings: settings, dataDirectory: path, store: store)
    try openVault(server.service, path, arguments, log: server.log)
    let isSealed = server.service.isSealed
    if demo != nil, isSealed {
      throw Fault(.sealed, "the demo needs an open vault", hint: "give the passphrase with --passphrase-fd")
    }
    let scheme = server.scheme
    let host = settings.host.contains(":") ? "[\(settings.host)]" : settings.host
    try server.run(demo: demo) { port, adminPort, result in
      let admin = settings.admin.map {
        "\($0.certificateFile == nil ? "http" : "https")://\($0.host.contains(":") ? "[\($0.host)]" : $0.host):\(adminPort)"
      }
      Terminal.result(greeting("\(scheme)://\(host):\(port)", path, isSealed: isSealed, result, admin: admin))
    }
  }

  /// With a key file the server opens its vault itself; with a passphrase it starts sealed unless it can ask for it.
  private static func openVault(_ service: KeyService, _ path: String, _ arguments: Arguments, log: Log) throws(Fault) {
    if try service.isSealedByHand() {
      log.warn("the vault was sealed by hand: run 'maskllm unseal'")
      return
    }
    let method = try service.sealMethod()
    if method != .keyFile, !arguments.has("passphrase-fd"), !Terminal.isInteractive {
      log.warn("the vault is sealed: run 'maskllm unseal'")
      return
    }
    let secret = try Unsealing.secret(path: path, method: method, arguments)
    try service.unseal(secret: secret.span)
    for id in service.tamperedKeys { log.warn("masked key \(id, .key) was changed outside maskllm and is not used") }
    for id in service.restoredKeys {
      log.warn(
        "masked key \(id, .key) had ended and was alive in this store, an older copy: it is ended again, see 'maskllm key show \(id, .key)'"
      )
    }
    for name in service.tamperedProviders {
      log.warn("provider '\(name, .provider)' was changed outside maskllm and is not used")
    }
  }

  private static func greeting(_ url: String, _ path: String, isSealed: Bool, _ demo: DemoSetup.Result?, admin: String?)
    -> String
  {
    // As it was called, so that the lines can be pasted.
    let me = CommandLine.arguments[0]
    var text = "maskllm \(Version.text) serves \(url) from \(path)\(isSealed ? ", sealed" : "")"
    if let demo {
      text += """


        try it, no account needed:

          curl \(url)/demo/v1/chat/completions -H 'Authorization: Bearer \(demo.maskedKey)' \\
            -H 'Content-Type: application/json' -d '{"model":"demo-small","messages":[{"role":"user","content":"hello"}]}'

        the OpenAI SDK: base_url \(url)/demo/v1; the Anthropic SDK: base_url \(url)/demo-anthropic; the same key for both
        your own: \(me) provider-key add openai; \(me) key create --name my-app --provider openai
        """
    } else if !isSealed {
      text += "\nnext: \(me) provider-key add openai; \(me) key create --name my-app --provider openai"
    }
    if let admin { text += "\nmanagement: \(admin)/v1 with an admin token; make one: \(me) token create --name me --role owner" }
    return text
  }
}
