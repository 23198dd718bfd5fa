import Domain
import Primitives

/// Which keys of all are listed, and from where on: `team`, `policy`, `tag`, `state`, `name` (a glob), `limit` (1 to 1000, else all) and
/// `after` (the cursor of the page before).
///
/// Keys are listed by when they were made, which nothing changes: a page never repeats or misses a key because of what happens between two.
struct KeyFilter {
  private let (team, policy, tag, state): (String?, String?, String?, String?)
  private let name: [UInt8]?
  let limit: Int
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
    if let text = r.query["limit"] {
      guard let n = Int(text), (1...1000).contains(n) else { throw Fault(.invalidInput, "the limit is no number from 1 to 1000") }
      limit = n
    } else {
      limit = .max
    }
    after = r.query["after"].flatMap(Place.init)
    if after == nil, r.query["after"] != nil {
      throw Fault(.invalidInput, "that is no cursor", hint: "follow the link of the page before, or leave 'after' out")
    }
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

  mutating func pass(_ key: MaskedKey) { last = Place(key) }

  var isAnything: Bool { team == nil && policy == nil && tag == nil && state == nil && name == nil }

  /// What the page after this one is asked for with.
  var next: String {
    let pairs = [
      ("team", team), ("policy", policy), ("tag", tag), ("state", state),
      ("name", name.map { String(decoding: $0, as: UTF8.self) }),
      ("limit", "\(limit)"), ("after", last?.text),
    ]
    return "?" + pairs.compactMap { name, value in value.map { "\(name)=\(percentEncoded($0))" } }.joined(separator: "&")
  }
}
