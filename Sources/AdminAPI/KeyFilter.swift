import Domain
import Primitives

/// Which keys of all are listed, and from where on: `team`, `policy`, `tag`, `state`, `name` (a glob), and the page of them.
///
/// Keys are listed by when they were made, which nothing changes: a page never repeats or misses a key because of what happens between two.
struct KeyFilter {
  private let (team, policy, tag, state): (String?, String?, String?, String?)
  private let name: [UInt8]?
  private let page: Page
  private let after: Place?
  private var last: Place?

  private struct Place: Comparable {
    let (madeAt, id): (Int64, RecordID)
    init(_ key: MaskedKey) { (madeAt, id) = (key.createdAt.milliseconds, key.id) }
    init?(_ text: String) {
      let parts = text.split(separator: "-", maxSplits: 1)
      guard parts.count == 2, let madeAt = Int64(parts[0]), let id = RecordID(String(parts[1])) else { return nil }
      (self.madeAt, self.id) = (madeAt, id)
    }
    static func < (a: Self, b: Self) -> Bool { (a.madeAt, a.id) < (b.madeAt, b.id) }
    var text: String { "\(madeAt)-\(id)" }
  }

  init(_ r: borrowing AdminRequest) throws(Fault) {
    (team, policy, tag, state) = (r.query["team"], r.query["policy"], r.query["tag"], r.query["state"])
    name = r.query["name"].map { Array($0.utf8) }
    let states = MaskedKey.State.allCases.map(\.rawValue) + ["expired"]
    if let state, !states.contains(state) {
      throw Fault(.invalidInput, "there is no such state", hint: "use one of: \(states.joined(separator: ", "))")
    }
    page = try Page(r)
    after = page.after.flatMap(Place.init)
    if after == nil, page.after != nil { throw Page.badCursor }
  }

  func takes(_ key: MaskedKey, _ state: String) -> Bool {
    if let after, Place(key) <= after { return false }
    if let name {
      let text = Array(key.name.utf8)
      guard ModelGlob.matches(name.span, text.span) else { return false }
    }
    return (team == nil || key.team == team) && (policy == nil || key.sharedPolicy == policy)
      && (self.state == nil || state == self.state) && (tag.map(key.details.tags.contains) ?? true)
  }

  var limit: Int { page.limit }

  mutating func pass(_ key: MaskedKey) { last = Place(key) }

  var isAnything: Bool { team == nil && policy == nil && tag == nil && state == nil && name == nil }

  /// What the page after this one is asked for with; nil where nothing was passed.
  var next: String? { last.map { page.next($0.text) } }
}
