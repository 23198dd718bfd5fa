import Domain
import Primitives
import Wire

/// Finds the IDs of objects in a request body while it flows past: whatever stands where the APIs have them (as the value of a member,
/// in a list, as the `id` of an object, as a field of a form), and every JSON string that looks like one, under whatever name. It looks at
/// strings of any content type, so that no parser upstream sees one that it does not.
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
  /// The list or the object that is the value of such a member, and how deep in it the text at hand stands.
  private enum Container { case none, list, object }
  private var container = Container.none
  private var depth = 0
  private var wasObjectMember = false
  private var form: FormReferences?
  private var start: [UInt8] = []
  /// Whether it has tools that make containers, whose IDs an answer tells.
  public private(set) var usesContainers = false
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

  /// Has a body that is a form of this boundary read as one; with an empty one, as the parameters of a query are written.
  public mutating func expectForm(_ boundary: Span<UInt8>) {
    if ids != nil { form = FormReferences(boundary) }
  }

  /// Whether the body begins as text in UTF-16 or UTF-32 does, in which no string is found.
  public var isWide: Bool { Unclear.isWide(start.span) }

  public mutating func reset() { if ids != nil { self = ReferenceReader() } }

  /// What was found since the last time; nil when that is more than a request may have.
  public mutating func take() -> [String]? {
    guard count <= Self.referencesMax else { return nil }
    let taken = found
    found = []
    return taken
  }

  /// Whether there is something to check: IDs, or an encoding in which none are found.
  public var isToCheck: Bool { !found.isEmpty || isWide }

  /// Whether any are looked for.
  public var isOn: Bool { ids != nil }

  public mutating func feed(_ bytes: Span<UInt8>) {
    guard let ids else { return }
    for i in bytes.indices.prefix(max(0, 4 - start.count)) { start.append(bytes[i]) }
    if form != nil { feedForm(bytes, ids) }
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

  private mutating func feedForm(_ bytes: Span<UInt8>, _ ids: ObjectIDs) {
    form!.feed(bytes)
    for (isNamed, value) in form!.take() {
      if let id = ids.id(value.span) {
        add(id)
      } else if isNamed, !value.isEmpty {
        add(String(decoding: value, as: UTF8.self))
      }
    }
  }

  /// After the last byte: a form may end with a value.
  public mutating func finish() {
    guard let ids, form != nil else { return }
    form!.finish()
    feedForm(Span(), ids)
  }

  /// On to what follows the next quote.
  private mutating func skipOutside(_ bytes: Span<UInt8>, from: Int) -> Int {
    var i = from
    while i < bytes.count, between != .other || container != .none, bytes[i] != UInt8(ascii: "\"") {
      let b = bytes[i]
      if b == UInt8(ascii: ":"), between == .nothing {
        between = .colon
      } else if b > 32 {
        note(b)
        between = .other
      }
      i += 1
    }
    guard let quote = bytes.firstIndex(of: UInt8(ascii: "\""), from: i) else { return bytes.count }
    (isString, isKept) = (true, true)
    isValue = (wasMember && between == .colon) || (container == .list && depth == 0)
    text.removeAll(keepingCapacity: true)
    return quote + 1
  }

  /// A byte outside of strings: does the list or the object of such a member begin or end here?
  private mutating func note(_ b: UInt8) {
    let (opens, closes) = (b == UInt8(ascii: "[") || b == UInt8(ascii: "{"), b == UInt8(ascii: "]") || b == UInt8(ascii: "}"))
    if wasMember, between == .colon, opens, b == UInt8(ascii: "[") || wasObjectMember {
      (container, depth) = (b == UInt8(ascii: "[") ? .list : .object, 0)
    } else if container != .none {
      depth += opens ? 1 : closes ? -1 : 0
      if depth < 0 { container = .none }
    }
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
    if text.starts(with: "code_") || text.equals("container") { usesContainers = true }
    if let id = ids.id(text) {
      add(id)
    } else if isValue {
      add(String(decoding: [UInt8](copying: text.extracting(first: ObjectIDs.lengthMax)), as: UTF8.self))
    } else {
      wasMember = ObjectIDs.isMember(text) || (container == .object && depth == 0 && text.equals("id"))
      wasObjectMember = wasMember && ObjectIDs.isObjectMember(text)
    }
  }

  private mutating func add(_ id: String) {
    count += 1
    if count <= Self.referencesMax, !found.contains(id) { found.append(id) }
  }
}
