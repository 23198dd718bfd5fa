import AdminAPI
import Primitives
import Wire

enum ActivityCommand {
  static let command = Command(
    path: ["activity"], summary: "show the latest requests",
    options: Unsealing.options + [
      Option(name: "key", value: "ID", help: "only of this masked key"),
      Option(name: "provider", value: "NAME", help: "only to this provider"),
      Option(name: "from", value: "TIME", help: "not before 2027-01-31T12:00:00Z"),
      Option(name: "to", value: "TIME", help: "not after that time"),
      Option(name: "limit", value: "N", help: "at most so many, 1 to 1000 (default: 50)"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let parameters = ["key", "provider", "from", "to", "limit"].compactMap { name in
      arguments.value(name).map { "\(name)=\(percentEncoded($0))" }
    }
    let body = try AdminLink.open(arguments).call(.get, "/v1/activity?\(parameters.joined(separator: "&"))")
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let entries: [ActivityDocument] = try decode(body)
    func tokens(_ n: Int64?) -> String { n.map { "\($0)" } ?? "-" }
    Terminal.result(
      Terminal.table(
        ["TIME", "KEY", "PROVIDER", "ENDPOINT", "MODEL", "STATUS", "OUTCOME", "IN", "OUT", "MS"],
        entries.map {
          [
            $0.at, $0.key ?? "-", $0.provider.isEmpty ? "-" : $0.provider, $0.endpoint ?? "-",
            $0.model.isEmpty ? "-" : Terminal.plain($0.model),
            $0.status == 0 ? "-" : "\($0.status)", $0.code.isEmpty ? $0.outcome : $0.code, tokens($0.input_tokens),
            tokens($0.output_tokens),
            "\($0.duration_us / 1000)",
          ]
        }))
  }
}
