import Primitives

/// The members of a JSON document that a `JSONProbe` reports, as a tree of names; built once, read by many.
public struct JSONPaths: Sendable {
  /// What becomes of the scalar at a path.
  public enum Slot: Equatable, Sendable {
    case inner
    /// A number (or true as 1, false as 0) goes to this place, 0..<`JSONProbe.numbersMax`.
    case number(Int)
    /// A string goes to this place, 0..<`JSONProbe.textsMax`.
    case text(Int)
    /// Numbers at this path are added up in this place.
    case sum(Int)
    /// Values at this path, but null, are counted in this place.
    case count(Int)
    /// A number with a fraction goes to this place, times ten to the power, rounded up.
    case scaled(Int, power: Int)
    /// A list begins here whose sums are those of this document: the sums so far are forgotten.
    case sums
    /// Of an object, only where it stands (`JSONProbe.place`); shares its numbering with the numbers.
    case object(Int)
  }

  struct Node: Sendable {
    /// The last child that was added; the others follow by `sibling`.
    var child = JSONPaths.none
    let sibling: UInt8
    /// Where the name stands in `names`.
    let start: Int
    let count: Int
    var slot: Slot
    var hasChildren: Bool { child != JSONPaths.none }
  }

  private(set) var nodes = [Node(sibling: JSONPaths.none, start: 0, count: 0, slot: .inner)]
  // One flat array: a look-up on the data path touches no reference count.
  private var names: [UInt8] = []
  let noticesCaseVariants: Bool
  static let none: UInt8 = 255
  static let root: UInt8 = 0

  /// `paths` are names joined by dots (`usage.prompt_tokens`), `[]` for the entries of a list (`results.[].count`); at most 63 nodes and 47 bytes a name.
  ///
  /// With `noticesCaseVariants`, names that differ from these in the case of their letters only are reported (a check per name,
  /// for documents that a decision depends on).
  public init(_ paths: [(String, Slot)], noticesCaseVariants: Bool = false) {
    self.noticesCaseVariants = noticesCaseVariants
    for (path, slot) in paths {
      var node = Self.root
      for name in path.split(separator: ".") {
        let utf8 = Array(name.utf8)
        precondition(utf8.count < JSONProbe.nameMax)
        let found = child(of: node, utf8.span)
        if found != Self.none {
          node = found
        } else {
          nodes.append(Node(sibling: nodes[Int(node)].child, start: names.count, count: utf8.count, slot: .inner))
          names += utf8
          precondition(nodes.count <= 64)
          nodes[Int(node)].child = UInt8(nodes.count - 1)
          node = UInt8(nodes.count - 1)
        }
      }
      nodes[Int(node)].slot = slot
    }
  }

  /// Every path that something is read at, with its slot: for tests that put a value into each.
  package var leaves: [(path: String, slot: Slot)] {
    var found: [(String, Slot)] = []
    func visit(_ at: Int, _ path: [String]) {
      if nodes[at].slot != .inner, at != Int(Self.root) { found.append((path.joined(separator: "."), nodes[at].slot)) }
      var child = nodes[at].child
      while child != Self.none {
        let node = nodes[Int(child)]
        visit(Int(child), path + [String(decoding: names[node.start..<(node.start + node.count)], as: UTF8.self)])
        child = node.sibling
      }
    }
    visit(Int(Self.root), [])
    return found
  }

  /// Whether `name` is a child of `parent` but for the case of ASCII letters: some parsers (Go's) take those for the same.
  func hasCaseVariant(of parent: UInt8, _ name: Span<UInt8>) -> Bool {
    var i = nodes[Int(parent)].child
    while i != Self.none {
      let node = nodes[Int(i)]
      var isSame = node.count == name.count
      for j in name.indices where isSame { isSame = ASCII.lower(names[node.start + j]) == ASCII.lower(name[j]) }
      if isSame { return true }
      i = node.sibling
    }
    return false
  }

  /// The node of the entries of a list.
  func entry(of parent: UInt8) -> UInt8 {
    guard parent != Self.none, nodes[Int(parent)].hasChildren else { return Self.none }
    let name: StaticString = "[]"
    return child(of: parent, name.span)
  }

  func child(of parent: UInt8, _ name: Span<UInt8>) -> UInt8 {
    var i = nodes[Int(parent)].child
    while i != Self.none {
      let node = nodes[Int(i)]
      if node.count == name.count, names.span.extracting(node.start..<(node.start + node.count)).equals(name) { return i }
      i = node.sibling
    }
    return Self.none
  }
}
