import Domain
import Primitives

/// Which keys of all are listed, and from where on: `team`, `policy`, `tag`, `state`, `name` (a glob), and the page of them.
///
/// Keys are listed by when they were made, which nothing changes: a page never repeats or misses a key because of what happens between two.
struct KeyFilter {
  private let (team, policy, tag, state): (String?, String?, String?, String?)
  private let name: [UInt8]?
  private let page: Page
  /// Behind which key the page begins.
  let after: (madeAt: Timestamp, id: RecordID)?
  private var last: String?

  init(_ r: borrowing AdminRequest) throws(Fault) {
    (team, policy, tag, state) = (r.query["team"], r.query["policy"], r.query["tag"], r.query["state"])
    name = r.query["name"].map { Array($0.utf8) }
    if let state, !MaskedKey.stateNames.contains(state) {
      throw Fault(
        .invalidInput, "there is no such state", hint: "use one of: \(MaskedKey.stateNames.joined(separator: ", "))")
    }
    page = try Page(r)
    after = page.after.flatMap { text in
      let parts = text.split(separator: "-", maxSplits: 1)
      guard parts.count == 2, let madeAt = Int64(parts[0]), let id = RecordID(String(parts[1])) else { return nil }
      return (Timestamp(milliseconds: madeAt), id)
    }
    if after == nil, page.after != nil { throw Page.badCursor }
  }

  func takes(_ key: MaskedKey, isExpired: Bool) -> Bool {
    if let name, !ModelGlob.matches(name.span, key.name.utf8Span.span) { return false }
    return (team == nil || key.team == team) && (policy == nil || key.sharedPolicy == policy)
      && (state == nil || key.stateName(isExpired: isExpired) == state) && (tag.map(key.details.tags.contains) ?? true)
  }

  var limit: Int { page.limit }

  mutating func pass(_ key: MaskedKey) { last = "\(key.createdAt.milliseconds)-\(key.id)" }

  var isAnything: Bool { team == nil && policy == nil && tag == nil && state == nil && name == nil }

  /// What the page after this one is asked for with; nil where nothing was passed.
  var next: String? { last.map(page.next) }
}

extension MaskedKey {
  static let stateNames = State.allCases.map(\.rawValue) + ["expired"]

  /// As it is shown: one that has ended by itself has no state for that.
  func stateName(isExpired: Bool) -> String { isExpired && state == .active ? "expired" : state.rawValue }
}
