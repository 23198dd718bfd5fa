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
    let parameters = ["key", "provider", "from", "to", "limit"].compactMap { name in
      arguments.value(name).map { "\(name)=\(percentEncoded($0))" }
    }
    let headings = ["TIME", "KEY", "PROVIDER", "ENDPOINT", "MODEL", "STATUS", "OUTCOME", "IN", "OUT", "USD", "MS"]
    try printList("/v1/activity?\(parameters.joined(separator: "&"))", arguments, headings) { (entry: ActivityDocument) in
      [
        entry.at, entry.key ?? "-", orDash(entry.provider), entry.endpoint ?? "-", orDash(Terminal.plain(entry.model)),
        entry.status == 0 ? "-" : "\(entry.status)", entry.code.isEmpty ? entry.outcome : entry.code, tokens(entry.input_tokens),
        tokens(entry.output_tokens), "\(entry.estimated == true ? "~" : "")\(entry.cost_usd ?? "-")",
        "\(entry.duration_us / 1000)",
      ]
    }
  }

  private static func tokens(_ count: Int64?) -> String { count.map { "\($0)" } ?? "-" }

  private static func orDash(_ text: String) -> String { text.isEmpty ? "-" : text }
}
