import AdminAPI
import Primitives
import Wire

enum ActivityCommands {
  static let all = [list, export, usage]

  private static let filters = [
    Option(name: "key", value: "ID", help: "only of this masked key"),
    Option(name: "team", value: "NAME", help: "only of this team's keys"),
    Option(name: "tag", value: "TAG", help: "only of keys with this tag"),
    Option(name: "provider", value: "NAME", help: "only to this provider"),
    Option(name: "model", value: "NAME", help: "only for this model"),
    Option(name: "from", value: "TIME", help: "not before 2027-01-31T12:00:00Z"),
    Option(name: "to", value: "TIME", help: "not after that time"),
  ]

  private static let filtersOfRequests = [
    Option(name: "endpoint", value: "CLASS", help: "only for this class of endpoints: chat, embeddings, ..."),
    Option(name: "outcome", value: "OUTCOME", help: "only what ended so: completed, refused, client_gone, upstream_failed, ..."),
    Option(name: "code", value: "CODE", help: "only what was refused with this code"),
    Option(name: "status", value: "STATUS", help: "only what was answered so: 404, or 4xx"),
    Option(name: "network", value: "NETWORK", help: "only from there: 10.0.0.0/8"),
  ]

  private static let export = Command(
    path: ["activity", "export"], summary: "write requests to standard output as lines that tables are made of, the latest first",
    options: Unsealing.options + filters + filtersOfRequests + [
      Option(name: "format", value: "FORMAT", help: "jsonl (default) or csv: the same columns in every line")
    ]
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let options = filters + filtersOfRequests + [Option(name: "format", value: "FORMAT", help: "")]
    try printPages(try AdminLink.open(arguments), "/v1/activity/export", queryPairs(arguments, options))
  }

  private static let usage = Command(
    path: ["usage"], summary: "show what requests came to, by minute, hour or day",
    options: Unsealing.options + filters + [
      Option(name: "span", value: "SPAN", help: "minute, hour (default) or day"),
      Option(
        name: "by", value: "MEMBERS",
        help: "of time, key, provider, model, endpoint, outcome, with commas between (default: time)"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let options = filters + ["span", "by"].map { Option(name: $0, value: "", help: "") }
    let headings = ["TIME", "KEY", "PROVIDER", "MODEL", "REQUESTS", "REFUSED", "FAILED", "IN", "OUT", "USD", "MS"]
    try printList("/v1/usage?\(queryPairs(arguments, options).joined(separator: "&"))", arguments, headings) {
      (line: UsageDocument) in
      [
        line.time ?? "-", line.key ?? "-", orDash(line.provider ?? ""), orDash(Terminal.plain(line.model ?? "")),
        "\(line.requests)",
        "\(line.refused)", "\(line.failed)", "\(line.input_tokens)", "\(line.output_tokens)", line.cost_usd,
        "\(line.mean_duration_us / 1000)",
      ]
    }
  }

  private static let list = Command(
    path: ["activity"], summary: "show the latest requests",
    options: Unsealing.options + filters + filtersOfRequests + [
      Option(name: "limit", value: "N", help: "at most so many, 1 to 1000 (default: 50)"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let options = filters + filtersOfRequests + [Option(name: "limit", value: "N", help: "")]
    let headings = ["TIME", "KEY", "PROVIDER", "ENDPOINT", "MODEL", "STATUS", "OUTCOME", "IN", "OUT", "USD", "MS"]
    try printList("/v1/activity?\(queryPairs(arguments, options).joined(separator: "&"))", arguments, headings) {
      (entry: ActivityDocument) in
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
