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
