import Primitives

/// Reads the short values of a form's fields while it flows past: of `multipart/form-data`, or written as a query is.
///
/// More lenient than any parser upstream: lines may end with LF alone, and heads may be in any order; files are passed over.
struct FormReferences {
  private static let valueMax = ObjectIDs.lengthMax
  private static let headMax = 4096
  /// Values that wait to be taken.
  private static let valuesMax = 1024

  private enum State { case content, afterDelimiter, head, name, value }
  /// What ends a part, without the CR before it; empty where the form is written as a query is.
  private let delimiter: [UInt8]
  private var state = State.content
  private var matched = 1
  private var head: [UInt8] = []
  private var name: [UInt8] = []
  private var value: [UInt8] = []
  private var keeps = false
  private var isNamed = false
  /// Digits of an escape that are still to come, and what they have come to.
  private var escape = 0
  private var escaped: UInt8 = 0
  private var found: [(isNamed: Bool, value: [UInt8])] = []

  init(_ boundary: Span<UInt8>) {
    delimiter = boundary.isEmpty ? [] : [10, 45, 45] + [UInt8](copying: boundary)
    if boundary.isEmpty { state = .name }
  }

  /// The values since the last time, and whether each stands in a field that has IDs.
  mutating func take() -> [(isNamed: Bool, value: [UInt8])] {
    defer { found = [] }
    return found
  }

  mutating func feed(_ bytes: Span<UInt8>) {
    var i = 0
    while i < bytes.count {
      if state == .content, !keeps, matched == 0 {
        // Nothing of a file matters but where it ends.
        guard let line = bytes.firstIndex(of: 10, from: i) else { return }
        i = line
      }
      step(bytes[i])
      i += 1
    }
  }

  mutating func finish() {
    if delimiter.isEmpty { endValue() }
  }

  private mutating func step(_ b: UInt8) {
    switch state {
    case .content:
      if b == delimiter[matched] {
        matched += 1
        guard matched == delimiter.count else { return }
        endPart()
        return
      }
      for held in delimiter.prefix(matched) { keep(held) }
      matched = b == 10 ? 1 : 0
      if matched == 0 { keep(b) }
    case .afterDelimiter:
      // The rest of its line: `--` at the end of all, else nothing.
      if b == 10 { (state, head) = (.head, []) }
    case .head:
      if b != 13, head.count < Self.headMax { head.append(b) }
      guard b == 10, head.count < 2 || head[head.count - 2] == 10 else { return }
      startPart()
    case .name, .value: parameter(b)
    }
  }

  private mutating func keep(_ b: UInt8) {
    if keeps, value.count < Self.valueMax { value.append(b) }
  }

  private mutating func startPart() {
    (state, matched, value) = (.content, 0, [])
    keeps = !contains("filename")
    name = parameterOfHead()
    isNamed = ObjectIDs.isField(name.span)
  }

  private mutating func endPart() {
    if value.last == 13 { value.removeLast() }
    if keeps { add() }
    (state, keeps, matched) = (.afterDelimiter, false, 0)
  }

  private mutating func add() {
    if found.count < Self.valuesMax, !value.isEmpty { found.append((isNamed, value)) }
    value = []
  }

  private func contains(_ word: StaticString) -> Bool {
    for i in head.indices {
      if i + word.utf8CodeUnitCount <= head.count, head.span.extracting(i..<(i + word.utf8CodeUnitCount)).equalsIgnoringCase(word)
      {
        return true
      }
    }
    return false
  }

  /// What `name=` says, with its quotes taken off.
  private func parameterOfHead() -> [UInt8] {
    let word: StaticString = "name="
    for i in head.indices where i > 0 && i + 5 < head.count && !ASCII.isLetter(head[i - 1]) {
      guard head.span.extracting(i..<(i + 5)).equalsIgnoringCase(word) else { continue }
      let rest = head[(i + 5)...]
      if rest.first == 34 { return Array(rest.dropFirst().prefix { $0 != 34 && $0 != 10 }) }
      return Array(rest.prefix { $0 > 32 && $0 != 59 })
    }
    return []
  }

  // MARK: as a query is written

  private mutating func parameter(_ b: UInt8) {
    if escape > 0, let digit = ASCII.hexadecimal(b) {
      escaped = escaped << 4 | digit
      escape -= 1
      if escape == 0 { append(escaped) }
      return
    }
    escape = 0
    switch b {
    case UInt8(ascii: "%"): (escape, escaped) = (2, 0)
    case UInt8(ascii: "&"), UInt8(ascii: ";"): endValue()
    case UInt8(ascii: "=") where state == .name:
      state = .value
      isNamed = ObjectIDs.isField(name.span)
    default: append(b == UInt8(ascii: "+") ? 32 : b)
    }
  }

  private mutating func append(_ b: UInt8) {
    if state == .name {
      if name.count < Self.valueMax { name.append(b) }
    } else if value.count < Self.valueMax {
      value.append(b)
    }
  }

  private mutating func endValue() {
    if state == .value { add() }
    (state, name, value) = (.name, [], [])
  }
}
