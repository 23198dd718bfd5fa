import AdminAPI
import Primitives
import Providers
import Wire

/// `maskllm price …`: what models cost.
enum PriceCommands {
  static let all = [set, list, remove]

  private static let set = Command(
    path: ["price", "set"], operand: "PROVIDER MODEL",
    summary: "say what a model, or models by a glob, cost; wins over the shipped list",
    options: Unsealing.options
      + Price.columnNames.map { column in
        Option(
          name: column.replacing("_", with: "-"), value: Price.isCount(column) ? "TOKENS" : "USD",
          help: Price.isCount(column)
            ? "tokens" : ["image", "second"].contains(column) ? "dollars per \(column)" : "dollars per million tokens")
      } + [Command.json]
  ) { arguments throws(Fault) in
    let target = try target(arguments)
    var prices: [String: String] = [:]
    for column in Price.columnNames { prices[column] = arguments.value(column.replacing("_", with: "-")) }
    let body = try AdminLink.open(arguments).call(.put, target, json: PriceDocument(prices: prices))
    Terminal.result(
      arguments.has("json")
        ? String(decoding: body, as: UTF8.self) : "price of \(arguments.operands.joined(separator: " ")) is set")
  }

  private static let list = Command(
    path: ["price", "list"], summary: "list prices, yours first, in dollars per million tokens",
    options: Unsealing.options + [
      Option(name: "provider", value: "NAME", help: "only of this price list"),
      Option(name: "model", value: "GLOB", help: "only of such models"), Option(name: "own", value: nil, help: "only yours"),
      Command.json,
    ]
  ) { arguments throws(Fault) in
    var parameters = ["provider", "model"].compactMap { name in arguments.value(name).map { "\(name)=\(percentEncoded($0))" } }
    if arguments.has("own") { parameters.append("own=") }
    let headings = ["PROVIDER", "MODEL", "INPUT", "OUTPUT", "CACHED", "WINDOW", "SOURCE"]
    try printList("/v1/prices?\(parameters.joined(separator: "&"))", arguments, headings) { (price: PriceDocument) in
      [
        price.provider ?? "-", price.model ?? "-", price.prices["input"] ?? "-", price.prices["output"] ?? "-",
        price.prices["cache_read"] ?? "-", price.prices["max_input"] ?? "-", price.source ?? "-",
      ]
    }
  }

  private static let remove = Command(
    path: ["price", "remove"], operand: "PROVIDER MODEL",
    summary: "take a price of yours away; the shipped one is in force again",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    _ = try AdminLink.open(arguments).call(.delete, try target(arguments))
    Terminal.result(
      arguments.has("json")
        ? try jsonText(["removed": arguments.operands]) : "removed the price of \(arguments.operands.joined(separator: " "))")
  }

  private static func target(_ arguments: Arguments) throws(Fault) -> String {
    guard arguments.operands.count == 2 else {
      throw Fault(
        .invalidInput, "a provider and a model are wanted",
        hint: "such as: maskllm price set openai 'ft:gpt-4o*' --input 3.75 --output 15")
    }
    return "/v1/prices/\(percentEncoded(arguments.operands[0]))/\(percentEncoded(arguments.operands[1]))"
  }
}
