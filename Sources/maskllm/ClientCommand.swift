import AdminAPI
import Primitives
import Providers
import Wire

/// What a client of a provider changes: the lines of the catalogue, with this gateway's address in them.
enum ClientCommand {
  private static let languages = ClientLines.Language.allCases.map(\.rawValue)

  static let command = Command(
    path: ["provider", "client"], operand: "NAME", summary: "show what a client of a provider changes",
    options: Unsealing.options + [
      Option(name: "language", value: "LANGUAGE", help: "\(languages.joined(separator: ", ")) (default: all)"),
      Option(
        name: "url", value: "URL",
        help: "where clients reach the gateway (default: http://127.0.0.1:\(ServerSettings.portDefault))"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    let asked = arguments.value("language")
    if let asked, !languages.contains(asked) {
      throw Fault(
        .invalidInput, "'\(asked)' is no language that is known here", hint: "use one of: \(languages.joined(separator: ", "))")
    }
    let link = try AdminLink.open(arguments)
    let providers: [ProviderDocument] = try decode(try link.call(.get, "/v1/providers"))
    let kinds: [KindDocument] = try decode(try link.call(.get, "/v1/provider-kinds"))
    guard let provider = providers.first(where: { $0.name == name }) else {
      throw Fault(.notFound, "there is no provider '\(name)'", hint: "see 'maskllm provider list'")
    }
    let base = arguments.value("url") ?? "http://127.0.0.1:\(ServerSettings.portDefault)"
    guard let address = try? WebAddress(base), address.query == nil, !base.hasSuffix("/") else {
      throw Fault(
        .invalidInput, "'\(base)' is no address of a gateway", hint: "write it as https://llm.example.com, without a last slash")
    }
    let lines = kinds.first { $0.name == provider.kind }?.client.filter { asked == nil || asked == $0.key }
      .mapValues { $0.replacing(ClientLines.url, with: "\(base)/\(name)").replacing(ClientLines.key, with: "mk_...") }
    guard let lines, !lines.isEmpty else {
      throw Fault(
        .notFound, "nobody has written lines for the kind '\(provider.kind)'",
        hint: "see docs/providers.md for a kind of your own")
    }
    if arguments.has("json") { return Terminal.result(try jsonText(lines)) }
    let texts = languages.compactMap { language in
      lines[language].map { text in
        let text =
          language == "environment" ? text.replacing(" ", with: "\n") : String(text.dropLast(text.hasSuffix("\n") ? 1 : 0))
        return asked == nil ? "# \(language)\n\(text)" : text
      }
    }
    Terminal.result(texts.joined(separator: "\n\n"))
  }
}
