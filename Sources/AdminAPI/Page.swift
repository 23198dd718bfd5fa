import Primitives

/// Which part of a list is asked for: at most `limit` entries after the cursor `after`.
///
/// A cursor stands for a place in an order that nothing changes, so a page neither repeats nor misses an entry because of what happens
/// between two.
struct Page {
  static let parameters = ["limit", "after"]
  static let limitMax = 1000

  let limit: Int
  let after: String?
  private let query: [String: String]

  /// Without a `limit` there are `usual` entries.
  init(_ r: borrowing AdminRequest, usual: Int = .max) throws(Fault) {
    query = r.query
    after = r.query["after"]
    guard let text = r.query["limit"] else {
      limit = usual
      return
    }
    guard let n = Int(text), (1...Self.limitMax).contains(n) else {
      throw Fault(.invalidInput, "the limit is no number from 1 to \(Self.limitMax)")
    }
    limit = n
  }

  static let badCursor = Fault(
    .invalidInput, "that is no cursor", hint: "follow the link of the page before, or leave 'after' out")

  /// What the page after the one that ends at `cursor` is asked for with.
  func next(_ cursor: String) -> String {
    var pairs = query
    pairs["after"] = cursor
    return "?"
      + pairs.sorted { $0.key < $1.key }.map { "\(percentEncoded($0.key))=\(percentEncoded($0.value))" }.joined(separator: "&")
  }
}

extension AdminAPI {
  /// The page of `all` that is asked for, in the order of their cursors, each of which is another.
  func page<Entry>(
    _ r: borrowing AdminRequest, of all: [Entry], filters: [String] = [], by cursor: (Entry) -> String,
    _ document: (Entry) -> some Encodable
  ) throws(Fault) -> AdminResponse {
    try allow(r, query: filters + Page.parameters)
    let page = try Page(r)
    var places = all.map { (cursor($0), $0) }.sorted { $0.0 < $1.0 }
    if let after = page.after { places.removeAll { $0.0 <= after } }
    let part = places.prefix(page.limit)
    var response = try encode(part.map { document($0.1) })
    if part.count < places.count, let last = part.last { response.next = page.next(last.0) }
    return response
  }
}
