import AdminAPI
import Primitives
import Wire

/// `maskllm budget …`: money per window.
enum BudgetCommands {
  static let all = [set, list, show, raise, remove]

  private static let set = Command(
    path: ["budget", "set"], operand: "NAME", summary: "make or change a budget; what was spent stays spent",
    options: Unsealing.options + [
      Option(name: "usd", value: "AMOUNT", help: "dollars, such as 100 or 0.25"),
      Option(name: "window", value: "WINDOW", help: "hour, day, week, month, quarter, year or total (default: month)"),
      Option(name: "rolling", value: nil, help: "the last so long at any moment, instead of the one on the calendar"),
      Option(name: "time-zone", value: "ZONE", help: "whose calendar, such as Europe/Berlin (default: UTC)"),
      Option(name: "key", value: "ID", help: "only requests of this masked key"),
      Option(name: "team", value: "NAME", help: "only requests of this team's keys"),
      Option(name: "provider", value: "NAME", help: "only requests to this provider"),
      Option(name: "model", value: "GLOB", help: "only requests for such models", isRepeatable: true),
      Option(name: "alert", value: "PERCENT", help: "warn when so much is spent (default: 80 and 100)", isRepeatable: true),
      Option(name: "roll-over", value: nil, help: "what is left adds to the next window, up to one amount"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    guard let usd = arguments.value("usd") else {
      throw Fault(.invalidInput, "'--usd' is missing", hint: "say how many dollars, such as --usd 100")
    }
    var document = BudgetDocument(usd: usd, window: arguments.value("window") ?? "month")
    (document.rolling, document.rolls_over) = (arguments.has("rolling"), arguments.has("roll-over"))
    (document.time_zone, document.key) = (arguments.value("time-zone"), arguments.value("key"))
    (document.team, document.provider) = (arguments.value("team"), arguments.value("provider"))
    document.models = arguments.has("model") ? arguments.all("model") : nil
    if arguments.has("alert") {
      var alerts: [Int] = []
      for text in arguments.all("alert") {
        guard let percent = ASCII.decimal(Array(text.utf8).span) else {
          throw Fault(.invalidInput, "'--alert' is no percentage", hint: "write it as 80")
        }
        alerts.append(percent)
      }
      document.alerts = alerts.sorted()
    }
    try print(try AdminLink.open(arguments).call(.put, "/v1/budgets/\(percentEncoded(name))", json: document), arguments)
  }

  private static let list = Command(
    path: ["budget", "list"], summary: "list the budgets and where they stand", options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let headings = ["NAME", "WINDOW", "LIMIT", "SPENT", "HELD", "LEFT", "FOR", "ENDS"]
    try printList("/v1/budgets", arguments, headings) { (budget: BudgetDocument) in
      [
        budget.name ?? "-", (budget.rolling == true ? "rolling " : "") + budget.window, budget.state?.limit_usd ?? budget.usd,
        budget.state?.spent_usd ?? "-", budget.state?.held_usd ?? "-", budget.state?.left_usd ?? "-", scope(budget),
        budget.state?.window_end ?? "never",
      ]
    }
  }

  private static let show = Command(
    path: ["budget", "show"], operand: "NAME", summary: "show one budget and where it stands",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    try print(try AdminLink.open(arguments).call(.get, "/v1/budgets/\(percentEncoded(name))"), arguments)
  }

  private static let raise = Command(
    path: ["budget", "raise"], operand: "NAME", summary: "add to a budget until a moment",
    options: Unsealing.options + [
      Option(name: "usd", value: "AMOUNT", help: "dollars to add"),
      Option(name: "until", value: "TIME", help: "2027-01-31 or 2027-01-31T12:00:00Z, in UTC"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    guard let usd = arguments.value("usd"), let until = arguments.value("until") else {
      throw Fault(.invalidInput, "'--usd' and '--until' are wanted", hint: "a raise has an amount and an end")
    }
    let document = RaiseDocument(usd: usd, until: until)
    try print(try AdminLink.open(arguments).call(.post, "/v1/budgets/\(percentEncoded(name))/raise", json: document), arguments)
  }

  private static let remove = Command(
    path: ["budget", "remove"], operand: "NAME", summary: "remove a budget and what was spent on it",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let name = try arguments.operand("NAME")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/budgets/\(percentEncoded(name))")
    Terminal.result(arguments.has("json") ? try jsonText(["removed": name]) : "removed budget '\(name)'")
  }

  private static func scope(_ budget: BudgetDocument) -> String {
    let parts =
      [budget.key.map { "key \($0)" }, budget.team.map { "team \($0)" }, budget.provider.map { "provider \($0)" }].compactMap {
        $0
      }
      + (budget.models.flatMap { $0 == ["*"] ? nil : ["models \($0.joined(separator: ","))"] } ?? [])
    return parts.isEmpty ? "everything" : parts.joined(separator: ", ")
  }

  private static func print(_ body: [UInt8], _ arguments: Arguments) throws(Fault) {
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let budget: BudgetDocument = try decode(body)
    let raised = budget.raise.map { "; \($0.usd) USD more until \($0.until)" } ?? ""
    var text = """
      budget     \(budget.name ?? "-")
      amount     \(budget.usd) USD a \(budget.rolling == true ? "rolling " : "")\(budget.window), \(budget.time_zone ?? "UTC")\(raised)
      for        \(scope(budget))
      alerts     at \((budget.alerts ?? []).map { "\($0) %" }.joined(separator: ", "))
      """
    if let state = budget.state {
      text += """

        window     \(state.window_start) to \(state.window_end ?? "for ever")
        limit      \(state.limit_usd) USD, of it carried over \(state.carried_usd)
        spent      \(state.spent_usd) USD, of it estimated \(state.estimated_usd)
        held       \(state.held_usd) USD by requests in flight
        left       \(state.left_usd) USD
        """
    }
    Terminal.result(text)
  }
}
