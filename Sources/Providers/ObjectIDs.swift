import Primitives
import Wire

/// What the IDs of objects look like that a provider keeps for an account: what each kind begins with. Written as
/// `file- batch_ resp_:30d`, the last of which are gone after 30 days; `shapeless` where they are numbers or UUIDs, which only the names
/// of the members around them tell.
public struct ObjectIDs: Sendable {
  private struct Kind: Sendable {
    let prefix: [UInt8]
    let days: Int?
    /// A resource name or a URL: `cachedContents/`. Whatever follows is an ID.
    var isCollection: Bool { prefix.last == UInt8(ascii: "/") }
  }
  private let kinds: [Kind]
  private static let shapeless = "shapeless"

  /// Characters that follow a prefix at least; fewer are a word, as in `file_search`.
  private static let tailMin = 12
  public static let lengthMax = 256

  init?(_ text: String) {
    var kinds: [Kind] = []
    for word in text.split(separator: " ") {
      var (prefix, days) = (Array(word.utf8), Int?.none)
      if word.hasSuffix("d"), let colon = word.lastIndex(of: ":"), let n = Int(word[word.index(after: colon)...].dropLast()) {
        guard (1...3650).contains(n) else { return nil }
        (prefix, days) = (Array(word[..<colon].utf8), n)
      }
      if prefix == Array(Self.shapeless.utf8) {
        kinds.append(Kind(prefix: [], days: days))
        continue
      }
      guard (3...80).contains(prefix.count), let last = prefix.last, [45, 47, 95].contains(last),
        prefix.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 34 && $0 != 92 })
      else { return nil }
      kinds.append(Kind(prefix: prefix, days: days))
    }
    self.kinds = kinds
    idMin = kinds.filter { !$0.prefix.isEmpty }.map { $0.prefix.count + ($0.isCollection ? 1 : Self.tailMin) }.min() ?? .max
  }

  /// Characters of the shortest ID.
  private let idMin: Int

  public var isEmpty: Bool { kinds.isEmpty }

  /// Members of a request whose value is an ID, or a list of them, whatever they look like.
  private static let members: [StaticString] = [
    "previous_response_id", "conversation", "file_id", "file_ids", "input_file_id", "input_file_ids", "input_files",
    "image_file_id",
    "training_file", "training_files", "validation_file", "validation_files", "vector_store_id", "vector_store_ids", "batch_id",
    "cached_content", "cachedContent", "previous_interaction_id", "container", "container_id", "response_id", "conversation_id",
  ]
  private static let memberLengths = 7...23

  static func isMember(_ name: Span<UInt8>) -> Bool {
    guard memberLengths.contains(name.count) else { return false }
    for member in members where name.equals(member) { return true }
    return false
  }

  /// Whether the member may also be an object that has its ID as `id`.
  static func isObjectMember(_ name: Span<UInt8>) -> Bool { name.equals("conversation") || name.equals("container") }

  /// Whether a field of a form or a parameter of a query is one: `file_id`, `file_ids[]`, `file_ids[0]`, `image[file_id]`.
  static func isField(_ name: Span<UInt8>) -> Bool {
    var start = 0
    while start < name.count {
      var end = start
      while end < name.count, name[end] != UInt8(ascii: "["), name[end] != UInt8(ascii: "]") { end += 1 }
      if isMember(name.extracting(start..<end)) { return true }
      start = end + 1
    }
    return false
  }

  /// The ID that `text` is, as it is kept: of a URL only the last two parts. nil when it is none.
  public func id(_ text: Span<UInt8>) -> String? {
    guard text.count >= idMin else { return nil }
    for kind in kinds where !kind.prefix.isEmpty {
      let n = kind.prefix.count
      guard text.count > n, text.count <= Self.lengthMax, text.extracting(0..<n).equals(kind.prefix.span) else { continue }
      let tail = text.extracting(n..<text.count)
      guard Self.isTail(tail, isAny: kind.isCollection) else { continue }
      return String(decoding: Self.shortened(kind.prefix) + [UInt8](copying: tail), as: UTF8.self)
    }
    return nil
  }

  /// The ID that a path names as `segment` of `collection`, as it is kept.
  public func id(segment: Span<UInt8>, of collection: [UInt8]) -> String {
    let isNamed = kinds.contains { $0.isCollection && Self.shortened($0.prefix) == collection }
    return String(decoding: (isNamed ? collection : []) + [UInt8](copying: segment), as: UTF8.self)
  }

  /// Days after which the provider forgets the object; nil: it keeps it.
  public func days(_ id: String) -> Int? {
    let bytes = Array(id.utf8)
    return kinds.first { bytes.starts(with: Self.shortened($0.prefix)) }?.days
  }

  private static func isTail(_ tail: Span<UInt8>, isAny: Bool) -> Bool {
    var digits = 0
    for i in tail.indices {
      let b = tail[i]
      guard ASCII.isLetter(b) || ASCII.isDigit(b) || b == 45 || b == 95 else { return false }
      if ASCII.isDigit(b) { digits += 1 }
    }
    return isAny || (tail.count >= tailMin && digits > 0)
  }

  /// The last part of a prefix that is a collection.
  private static func shortened(_ prefix: [UInt8]) -> [UInt8] {
    guard prefix.last == UInt8(ascii: "/"), let slash = prefix.dropLast().lastIndex(of: UInt8(ascii: "/")) else { return prefix }
    return Array(prefix[(slash + 1)...])
  }
}
