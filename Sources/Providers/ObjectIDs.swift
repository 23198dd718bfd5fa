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

  /// Members of a request whose value is an ID, whatever it looks like.
  private static let members = [
    "previous_response_id", "conversation", "file_id", "input_file_id", "training_file", "validation_file", "vector_store_id",
    "batch_id", "cached_content", "cachedContent", "previous_interaction_id",
  ].map { Array($0.utf8) }

  static func isMember(_ name: Span<UInt8>) -> Bool {
    guard memberLengths.contains(name.count) else { return false }
    for member in members where name.equals(member.span) { return true }
    return false
  }
  private static let memberLengths = 7...23

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

/// Finds the IDs of objects in a request body while it flows past: every JSON string that is one, under whatever name, and whatever
/// stands where the API wants one. It looks at strings only, of any content type, so that no parser upstream sees one that it does not.
public struct ReferenceReader: Sendable {
  /// References that one request may have.
  public static let referencesMax = 64

  /// What was read since the last string ended.
  private enum Between { case nothing, colon, other }

  private var ids: ObjectIDs?
  private var isString = false
  private var isEscape = false
  private var between = Between.other
  /// Whether the last string was the name of a member whose value is an ID, and whether the string at hand is that value.
  private var wasMember = false
  private var isValue = false
  /// Whether the string at hand is kept: short, and of characters that names and IDs have.
  private var isKept = false
  private var unicode: UInt32 = 0
  private var unicodeDigits = -1
  private var text: [UInt8] = []
  /// Those found and not taken yet.
  private var found: [String] = []
  private var count = 0

  public init() {}

  /// Has the IDs of a provider looked for; before the first byte.
  public mutating func expect(_ ids: ObjectIDs) {
    self = ReferenceReader()
    if !ids.isEmpty {
      self.ids = ids
      text.reserveCapacity(ObjectIDs.lengthMax)
    }
  }

  public mutating func reset() { if ids != nil { self = ReferenceReader() } }

  /// What was found since the last time; nil when that is more than a request may have.
  public mutating func take() -> [String]? {
    guard count <= Self.referencesMax else { return nil }
    let taken = found
    found = []
    return taken
  }

  public var hasFound: Bool { !found.isEmpty }

  public mutating func feed(_ bytes: Span<UInt8>) {
    guard let ids else { return }
    var i = 0
    while i < bytes.count {
      if !isString {
        i = skipOutside(bytes, from: i)
        continue
      }
      if isKept {
        // Nearly every string is here whole, and without an escape.
        let end = text.isEmpty && !isEscape && unicodeDigits < 0 ? JSONProbe.nextSpecial(in: bytes, from: i) : bytes.count
        if end < bytes.count, bytes[end] == UInt8(ascii: "\"") {
          endString(bytes.extracting(i..<end), ids)
          i = end + 1
          continue
        }
      } else if !isEscape, unicodeDigits < 0 {
        i = JSONProbe.endOfString(in: bytes, from: i)
        guard i < bytes.count else { return }
      }
      step(bytes[i], ids)
      i += 1
    }
  }

  /// On to what follows the next quote.
  private mutating func skipOutside(_ bytes: Span<UInt8>, from: Int) -> Int {
    var i = from
    while i < bytes.count, between != .other, bytes[i] != UInt8(ascii: "\"") {
      if bytes[i] == UInt8(ascii: ":"), between == .nothing { between = .colon } else if bytes[i] > 32 { between = .other }
      i += 1
    }
    guard let quote = bytes.firstIndex(of: UInt8(ascii: "\""), from: i) else { return bytes.count }
    (isString, isKept) = (true, true)
    isValue = wasMember && between == .colon
    text.removeAll(keepingCapacity: true)
    return quote + 1
  }

  private mutating func step(_ b: UInt8, _ ids: ObjectIDs) {
    if unicodeDigits >= 0 {
      unicode = unicode << 4 | UInt32(ASCII.hexadecimal(b) ?? 0)
      unicodeDigits += 1
      if unicodeDigits == 4 {
        unicodeDigits = -1
        keep(unicode < 128 ? UInt8(unicode) : 0)
      }
      return
    }
    if isEscape {
      isEscape = false
      if b == UInt8(ascii: "u") { (unicode, unicodeDigits) = (0, 0) } else { keep(b == UInt8(ascii: "/") ? b : 0) }
      return
    }
    switch b {
    case UInt8(ascii: "\\"): isEscape = true
    case UInt8(ascii: "\""):
      let text = text
      endString(isKept || isValue ? text.span : Span(), ids)
    default: keep(b)
    }
  }

  private mutating func keep(_ b: UInt8) {
    guard isKept else { return }
    // What no ID has in it, and is no ID: but where an ID is wanted, it is one that nobody owns.
    if b <= 32 || b >= 127 || text.count == ObjectIDs.lengthMax { isKept = isValue && text.count < ObjectIDs.lengthMax }
    if isKept { text.append(b) }
  }

  private mutating func endString(_ text: Span<UInt8>, _ ids: ObjectIDs) {
    (isString, between, wasMember) = (false, .nothing, false)
    guard !text.isEmpty else { return }
    if let id = ids.id(text) {
      add(id)
    } else if isValue {
      add(String(decoding: [UInt8](copying: text.extracting(first: ObjectIDs.lengthMax)), as: UTF8.self))
    } else {
      wasMember = ObjectIDs.isMember(text)
    }
  }

  private mutating func add(_ id: String) {
    count += 1
    if count <= Self.referencesMax, !found.contains(id) { found.append(id) }
  }
}

/// Reads the IDs of new objects out of an answer while it flows past.
public struct MadeObjects: Sendable {
  private var effect = ObjectEffect.none
  private var isEvents = false
  private var probe = JSONProbe()
  private var events = EventStreamSplitter()
  private var isOver = false

  public init() {}

  public mutating func expect(_ effect: ObjectEffect, _ format: UsageMeter.Format) {
    guard effect == .makesByID || effect == .makesByName, format == .json || format == .eventStream else { return }
    self = MadeObjects()
    (self.effect, isEvents) = (effect, format == .eventStream)
  }

  public mutating func reset() { if effect != .none { self = MadeObjects() } }

  private static let byID = JSONPaths([
    ("id", .text(0)), ("response.id", .text(0)), ("interaction.id", .text(0)), ("output_file_id", .text(1)),
    ("file.id", .text(1)), ("error_file_id", .text(2)),
    ("store", .number(0)), ("response.store", .number(0)),
  ])
  private static let byName = JSONPaths([("name", .text(0)), ("file.name", .text(0)), ("response.name", .text(1))])

  /// What was told of new objects when the first document is over; empty before, and after it was told once.
  public mutating func feed(_ bytes: Span<UInt8>) -> [String] {
    guard effect != .none, !isOver else { return [] }
    let paths = effect == .makesByID ? Self.byID : Self.byName
    if !isEvents {
      probe.feed(bytes, paths)
      return probe.status == .complete ? take() : []
    }
    var i = 0
    while !isOver {
      switch events.step(bytes, from: i) {
      case .data(let range):
        probe.feed(bytes.extracting(range), paths)
        i = range.upperBound
      case .endOfEvent(let used):
        i = used
        if !JSONText(probe.text(0)).isEmpty { return take() }
        probe.startNextDocument()
      case .more: return []
      }
    }
    return []
  }

  private mutating func take() -> [String] {
    isOver = true
    // Asked not to be kept: there is nothing to find again.
    if probe.number(0) == 0 { return [] }
    return (0..<3).map { String(decoding: [UInt8](copying: probe.text($0).span), as: UTF8.self) }.filter { !$0.isEmpty }
  }
}
