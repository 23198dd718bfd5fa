import Primitives
import Wire

/// Members of a provider's requests that name models beside `model`, written in the catalogue as `fallbacks metadata.fallbacks -route
/// !preset`: names joined by dots. One with `-` names none; one with `!` does, in a way that cannot be looked at.
struct ModelPlaces: Sendable {
  enum Action: Sendable { case walk, models, harmless, refused }
  private struct Node: Sendable {
    let name: [UInt8]
    let parent: Int
    var action: Action
  }
  /// The first is the document itself.
  private var nodes = [Node(name: [], parent: -1, action: .walk)]
  static let root = 0
  static let none = -1

  init?(_ text: String) {
    for word in text.split(separator: " ") {
      let action: Action = word.first == "-" ? .harmless : word.first == "!" ? .refused : .models
      let names = (action == .models ? word : word.dropFirst()).split(separator: ".", omittingEmptySubsequences: false)
      guard !names.isEmpty else { return nil }
      var node = Self.root
      for name in names {
        let utf8 = Array(name.utf8)
        guard !utf8.isEmpty, utf8.allSatisfy({ ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 95 }) else { return nil }
        let known = child(of: node, utf8.span)
        if known == Self.none {
          nodes.append(Node(name: utf8, parent: node, action: .walk))
          node = nodes.count - 1
        } else {
          node = known
        }
      }
      nodes[node].action = action
    }
  }

  func child(of parent: Int, _ name: Span<UInt8>) -> Int {
    guard parent != Self.none, nodes.count > 1 else { return Self.none }
    for i in nodes.indices where nodes[i].parent == parent {
      let known = nodes[i].name
      if name.equals(known.span) { return i }
    }
    return Self.none
  }

  func action(_ node: Int) -> Action { nodes[node].action }
}
