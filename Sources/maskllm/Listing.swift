import AdminAPI
import Primitives
import Wire

/// Prints what the management side lists at `target`: as it came with `--json`, else a row of cells for each entry.
func printList<Entry: Decodable>(
  _ target: String, _ arguments: Arguments, _ headings: [String], _ cells: (Entry) -> [String]
) throws(Fault) {
  try arguments.noOperands()
  let body = try AdminLink.open(arguments).call(.get, target)
  if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
  let entries: [Entry] = try decode(body)
  Terminal.result(Terminal.table(headings, entries.map(cells)))
}

/// What the options that are given ask for, as pairs of a query.
func queryPairs(_ arguments: Arguments, _ options: [Option]) -> [String] {
  options.compactMap { option in arguments.value(option.name).map { "\(option.name)=\(percentEncoded($0))" } }
}

/// Prints the lines at `path`, page by page.
func printPages(_ link: AdminLink, _ path: String, _ query: [String]) throws(Fault) {
  var target: String? = "\(path)?\((query + ["limit=1000"]).joined(separator: "&"))"
  while let asked = target {
    let page = try link.page(asked)
    if !page.body.isEmpty { Terminal.result(String(decoding: page.body.dropLast(), as: UTF8.self)) }
    target = page.next.map { path + $0 }
  }
}
