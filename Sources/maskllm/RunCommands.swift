import AdminAPI
import Cryptography
import Domain
import FoundationEssentials
import Glibc
import Primitives
import Providers
import Transport
import Wire

/// Masked keys for programs: in their environment, never in a file or an argument.
enum RunCommands {
  static let all = [run, environment]

  private static let url = Option(
    name: "url", value: "URL",
    help: "where the gateway is reached (default: $MASKLLM_URL, else http://127.0.0.1:\(ServerSettings.portDefault))")

  private static func base(_ arguments: Arguments) throws(Fault) -> String {
    let text = arguments.value("url") ?? Files.environment("MASKLLM_URL") ?? "http://127.0.0.1:\(ServerSettings.portDefault)"
    guard let address = try? WebAddress(text), address.query == nil, !text.hasSuffix("/") else {
      throw Fault(.invalidInput, "that is no address of a gateway", hint: "write it as http://127.0.0.1:8780")
    }
    return text
  }

  /// Variables of a provider's SDK, in the order in which its page has them.
  private static func variables(_ name: String, _ kind: KindDocument, _ base: String, key: String) -> [(String, String)] {
    (kind.client[ClientLines.Language.environment.rawValue] ?? "").split(separator: " ").compactMap { item in
      let pair = item.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2 else { return nil }
      return (
        pair[0], pair[1].replacing(ClientLines.url, with: "\(base)/\(name)").replacing(ClientLines.key, with: key)
      )
    }
  }

  private static let run = Command(
    path: ["run"], operand: "-- COMMAND [ARGUMENT...]",
    summary: "run a program with a masked key of its own in its environment, revoked when it ends",
    options: [
      Option(name: "name", value: "NAME", help: "what the key is called (default: the program's name)"),
      Option(name: "team", value: "NAME", help: "the team that it belongs to"),
      Option(name: "policy", value: "NAME", help: "the policy that it shares with others"),
    ] + PolicyOptions.all + [
      Option(name: "ttl", value: "DURATION", help: "the key works for at most so long (default: 12h)"),
      Option(name: "key-fd", value: "N", help: "use the masked key that is read from file descriptor N, and make none"), url,
    ]
  ) { arguments throws(Fault) in
    guard let program = arguments.operands.first else {
      throw Fault(
        .invalidInput, "the program is missing",
        hint: "write it behind two dashes: maskllm run --provider openai -- python app.py")
    }
    let base = try base(arguments)
    let link = try AdminLink.toServer(arguments)
    let providers: [ProviderDocument] = try decode(try link.call(.get, "/v1/providers"))
    let kinds: [KindDocument] = try decode(try link.call(.get, "/v1/provider-kinds"))
    var id: String?
    let text: String
    var named = arguments.all("provider")
    if let fd = try arguments.number("key-fd", 0...1023) {
      let secret = try Terminal.readSecret(fd: Int32(fd))
      guard MaskedKeyFormat.keyID(of: secret.span) != nil else { throw Fault(.invalidInput, "that is no masked key") }
      text = String(decoding: [UInt8](copying: secret.span), as: UTF8.self)
    } else {
      let ttl = try Duration.seconds(arguments, "ttl") ?? 43_200
      guard (1...90 * 86_400).contains(ttl) else { throw Fault(.invalidInput, "'--ttl' is no time from 1s to 90d") }
      var document = NewKeyDocument(
        name: Label.fitting(arguments.value("name") ?? "run \(program.split(separator: "/").last ?? "")"))
      (document.team, document.shared_policy) = (arguments.value("team"), arguments.value("policy"))
      document.policy = try PolicyOptions.document(arguments)
      document.tags = ["run"]
      document.expires_at = (SystemClock().now + Int64(ttl)).rfc3339
      let created: CreatedKeyDocument = try decode(try link.call(.post, "/v1/keys", json: document))
      (id, text) = (created.key.id, created.masked_key)
      if named.isEmpty { named = created.key.policy.providers ?? [] }
    }
    if named.isEmpty || named.contains("*") { named = providers.filter { ($0.keys ?? 0) > 0 }.map(\.name) }
    var values = ["MASKLLM_KEY": text, "MASKLLM_URL": base]
    for name in named {
      guard let provider = providers.first(where: { $0.name == name }),
        let kind = kinds.first(where: { $0.name == provider.kind })
      else { continue }
      for (variable, value) in variables(name, kind, base, key: text) {
        if let other = values[variable], other != value {
          Terminal.note("maskllm: \(variable) can lead to one provider only; '\(name)' is reached at \(base)/\(name)")
        } else {
          values[variable] = value
        }
      }
    }
    let inherited = Files.environment.filter { entry in values[String(entry.prefix { $0 != "=" })] == nil }
    let status = try wait(arguments.operands, inherited + values.map { "\($0.key)=\($0.value)" })
    if let id {
      do throws(Fault) {
        _ = try link.call(
          .post, "/v1/keys/\(id)/revoke", json: ReasonDocument(reason: "the program that it was made for has ended"))
      } catch { Terminal.note("maskllm: key \(id) could not be revoked and works until it expires: \(error)") }
    }
    exit(status)
  }

  /// Runs the program to its end; what is sent to us is sent on to it.
  private static func wait(_ words: [String], _ environment: [String]) throws(Fault) -> Int32 {
    blockServerSignals()
    let child = try ChildProcess.start(words, environment: environment)
    startThread {
      while true {
        let number = nextServerSignal()
        // What is typed at the terminal reaches it by itself.
        if number != SIGINT || isatty(0) == 0 { child.send(signal: number) }
      }
    }
    return child.wait()
  }

  private static let environment = Command(
    path: ["env"], operand: "[PROVIDER...]", summary: "show which environment variables lead each provider's SDK here",
    options: Unsealing.options + [url, Command.json]
  ) { arguments throws(Fault) in
    let base = try base(arguments)
    let link = try AdminLink.open(arguments)
    let providers: [ProviderDocument] = try decode(try link.call(.get, "/v1/providers"))
    let kinds: [KindDocument] = try decode(try link.call(.get, "/v1/provider-kinds"))
    for name in arguments.operands where !providers.contains(where: { $0.name == name }) {
      throw Fault(.notFound, "there is no provider '\(name.prefix(40))'", hint: "see 'maskllm provider list'")
    }
    var all: [String: [String: String]] = [:]
    var lines: [String] = []
    for provider in providers
    where arguments.operands.isEmpty ? (provider.keys ?? 0) > 0 : arguments.operands.contains(provider.name) {
      guard let kind = kinds.first(where: { $0.name == provider.kind }) else { continue }
      let found = variables(provider.name, kind, base, key: "$MASKLLM_KEY")
      all[provider.name] = Dictionary(found) { $1 }
      lines.append("# \(kind.title): what its SDK reads. Everything else of the program stays as it is.")
      if found.isEmpty { lines.append("# its SDK reads no variables; see 'maskllm provider client \(provider.name)'") }
      if !found.isEmpty, !found.contains(where: { $0.1.contains(base) }) {
        lines.append("# its address is set in the program; see 'maskllm provider client \(provider.name)'")
      }
      lines += found.map { "export \($0)=\($1.contains("$") ? "\"\($1)\"" : "'\($1)'")" }
    }
    if arguments.has("json") { return Terminal.result(try jsonText(all)) }
    guard !lines.isEmpty else {
      throw Fault(.notFound, "no provider has a key yet", hint: "add one: maskllm provider-key add openai")
    }
    Terminal.result(lines.joined(separator: "\n"))
    Terminal.note("MASKLLM_KEY is the masked key; 'maskllm run -- COMMAND' makes one and sets all of this for one program")
  }
}
