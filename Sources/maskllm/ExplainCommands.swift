import AdminAPI
import Configuration
import Cryptography
import Domain
import Primitives
import Wire

/// `maskllm explain` and `maskllm policy test`: what would happen, and why.
enum ExplainCommands {
  static let all = [explain, test]

  private static let explain = Command(
    path: ["explain"], summary: "say what would happen to a request, rule by rule; nothing is sent or counted",
    options: Unsealing.options + [
      Option(name: "key", value: "ID", help: "the masked key's ID"),
      Option(name: "method", value: "METHOD", help: "GET or POST (default: POST)"),
      Option(name: "path", value: "PATH", help: "with the provider in front: /openai/v1/chat/completions"),
      Option(name: "body", value: "FILE", help: "the request body, or '-' for standard input"),
      Option(name: "content-type", value: "TYPE", help: "of the body (default: application/json)"),
      Option(name: "from", value: "ADDRESS", help: "where the request comes from"),
      Option(name: "at", value: "TIME", help: "when (default: now)"), Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    guard let key = arguments.value("key"), let path = arguments.value("path") else {
      throw Fault(.invalidInput, "'--key' and '--path' are wanted", hint: "such as: --key ID --path /openai/v1/chat/completions")
    }
    var document = ExplainDocument(method: arguments.value("method") ?? "POST", path: path)
    document.key = key
    if let file = arguments.value("body") { document.body = try text(file) }
    document.content_type = arguments.value("content-type")
    (document.from, document.at) = (arguments.value("from"), arguments.value("at"))
    let body = try AdminLink.open(arguments).call(.post, "/v1/explain", json: document)
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let told: ExplanationDocument = try decode(body)
    let rows = told.steps.map { [$0.verdict, $0.rule, Terminal.plain($0.because)] }
    Terminal.result(Terminal.table(["VERDICT", "RULE", "BECAUSE"], rows))
    Terminal.result(told.allowed ? "\nallowed" : "\nrefused: \(told.refused_by ?? "-")")
  }

  private static func text(_ file: String) throws(Fault) -> String {
    let bytes: [UInt8]
    if file == "-" {
      let input = try Terminal.readSecret(fd: 0)
      bytes = [UInt8](copying: input.span)
    } else {
      guard let content = try Files.read(file) else { throw Fault(.notFound, "there is no file \(file)") }
      bytes = content
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw Fault(.invalidInput, "the body is not UTF-8") }
    return text
  }

  private static let test = Command(
    path: ["policy", "test"], operand: "FILE", summary: "run expected decisions from a file; fails when one differs",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let file = try arguments.operand("FILE")
    guard let bytes = try Files.read(file) else { throw Fault(.notFound, "there is no file \(file)") }
    let cases = try PolicyCases.read(bytes, name: file)
    let link = try AdminLink.open(arguments)
    let keys: [KeyDocument] = try decode(try link.call(.get, "/v1/keys"))
    var results: [PolicyCases.Result] = []
    for one in cases {
      var document = one.request
      document.key = try one.key.map { (name) throws(Fault) in try id(of: name, among: keys, "\(file), line \(one.line)") }
      let told: ExplanationDocument = try decode(try link.call(.post, "/v1/explain", json: document))
      results.append(PolicyCases.Result(one, got: told.allowed ? "allowed" : told.refused_by ?? "refused"))
    }
    let failed = results.count { !$0.ok }
    if arguments.has("json") {
      Terminal.result(try jsonText(results))
    } else {
      for result in results {
        Terminal.result(
          "\(result.ok ? "ok    " : "FAILED") line \(result.line): \(result.name): \(result.got)\(result.ok ? "" : ", expected \(result.expected)")"
        )
      }
      Terminal.result("\(results.count - failed) of \(results.count) decisions are as expected")
    }
    if failed > 0 { throw Fault(.conflict, "\(failed) of \(results.count) decisions differ") }
  }

  /// A key by its ID or its name.
  private static func id(of name: String, among keys: [KeyDocument], _ place: String) throws(Fault) -> String {
    let found = keys.filter { $0.id == name || $0.name == name }
    guard found.count == 1 else {
      throw Fault(.notFound, "\(place): \(found.isEmpty ? "there is no key" : "several keys have the name") '\(name)'")
    }
    return found[0].id
  }
}
