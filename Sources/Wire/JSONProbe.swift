import Primitives

/// Reads chosen members out of a JSON text while its bytes flow past: strict, without allocating, without keeping the text.
///
/// Strict means RFC 8259 and nothing else: no BOM, no trailing comma, valid UTF-8, paired surrogates, depth up to `depthMax`.
/// A name that occurs twice in an object that is read, after unescaping, is reported as a duplicate.
public struct JSONProbe: Sendable {
  public static let numbersMax = 12
  /// Places that `JSONPaths.Slot.sum` adds up in.
  public static let sums = 8..<12
  public static let textsMax = 3
  /// Bytes kept of a string value; a longer one is reported as absent and sets `isTruncated`.
  public static let textMax = 128
  static let nameMax = 48
  public static let depthMax = 64

  public enum Status: UInt8, Sendable { case incomplete, complete, invalid }

  /// A short string taken from the document, unescaped.
  public struct Text: Sendable {
    @usableFromInline var bytes = InlineArray<128, UInt8>(repeating: 0)
    public internal(set) var count = 0
    @inlinable public var span: Span<UInt8> {
      @_lifetime(borrow self) get { bytes.span.extracting(0..<count) }
    }
    public init() {}

    /// Adds a byte while there is room.
    public mutating func append(_ b: UInt8) {
      guard count < bytes.count else { return }
      bytes[count] = b
      count += 1
    }
  }

  /// What stood at a path that was asked for.
  public enum Kind: UInt8, Sendable { case absent, integer, boolean, null, object, other }

  enum State: UInt8 {
    case value, firstKey, key, colon, afterValue, arrayFirst
    case string, escape, unicode, lowSurrogateBackslash, lowSurrogateU
    case minus, zero, integer, point, fraction, exponent, exponentSign, exponentDigits
    case literal, done
  }

  public internal(set) var status = Status.incomplete
  public internal(set) var hasDuplicate = false
  /// Where the paths notice it: a name that differs from one asked for in the case of its letters only: which of them a parser takes is its own taste.
  public internal(set) var hasCaseVariant = false
  public internal(set) var isTruncated = false
  var numbers = InlineArray<12, Int64>(repeating: 0)
  var numbersPresent: UInt16 = 0
  var kinds = InlineArray<12, Kind>(repeating: .absent)
  var starts = InlineArray<12, Int>(repeating: 0)
  var ends = InlineArray<12, Int>(repeating: 0)
  var texts: InlineArray<3, Text> = [Text(), Text(), Text()]
  /// Bytes fed before the byte at hand.
  var position = 0

  var state = State.value
  var depth = 0
  var objects: UInt64 = 0  // bit d: the container at depth d is an object
  var stack = InlineArray<64, UInt8>(repeating: JSONPaths.none)  // node of each open container
  var node = JSONPaths.root  // node of the value being read
  var seen: UInt64 = 0  // nodes met in this document
  var isKey = false
  var captures = false
  var name = InlineArray<48, UInt8>(repeating: 0)
  var nameCount = 0
  var textSlot = 0
  /// Places that something stood at that is no count, a bit each.
  var impossible: UInt16 = 0
  var number: Int64 = 0
  var isNegative = false
  var isIntegral = true
  /// Whether digits were left out of `digits` that are not 0.
  var isRounded = false
  /// All digits so far as one number, how many of them stand behind the point, and the exponent.
  var digits: Int64 = 0
  var fractionDigits = 0
  var exponent = 0
  var isExponentNegative = false
  var literal: UInt32 = 0
  var literalValue: Int64 = -1
  var unit: UInt32 = 0
  var unitDigits = 0
  var highSurrogate: UInt32 = 0
  var utf8Left = 0
  var utf8Low: UInt8 = 0x80
  var utf8High: UInt8 = 0xBF

  public init() {}

  /// The largest number that can be a count: of tokens, seconds or pictures.
  public static let countMax: Int64 = 1 << 40

  /// True where something stood at `slot` that is not a count: negative, not whole, above `countMax`, or not a number. `null` is nothing.
  public func isImpossible(_ slot: Int) -> Bool { isImpossible(anyOf: 1 << UInt16(slot)) }
  /// The same of any of `slots`, a bit each.
  public func isImpossible(anyOf slots: UInt16) -> Bool { impossible & slots != 0 }

  /// The number at `slot`, if the document had one there that is an integer within 63 bits.
  public func number(_ slot: Int) -> Int64? { numbersPresent & (1 << UInt16(slot)) != 0 ? numbers[slot] : nil }

  /// What stood at `slot`: a value that is no integer is not in `number`, but is here.
  public func kind(_ slot: Int) -> Kind { kinds[slot] }

  /// Where the value at `slot` stands in what was fed; of an object, where it opens.
  public func place(_ slot: Int) -> Range<Int> { starts[slot]..<max(starts[slot], ends[slot]) }

  /// The string at `slot`; empty when the document had none there.
  public func text(_ slot: Int) -> Text { texts[slot] }

  /// Ready for the next document; what was read before stays until it is read again.
  public mutating func startNextDocument() {
    status = .incomplete
    state = .value
    depth = 0
    seen = 0
    node = JSONPaths.root
    utf8Left = 0
    highSurrogate = 0
  }

  /// As new: nothing of what was read before is left, since nothing of it is taken over.
  public mutating func reset() { self = JSONProbe() }

  /// Reads on. After `.invalid`, further bytes are ignored.
  public mutating func feed(_ bytes: Span<UInt8>, _ paths: JSONPaths) {
    var i = 0
    let before = position
    defer { position = before + bytes.count }
    while i < bytes.count, status != .invalid {
      if state == .string, utf8Left == 0, highSurrogate == 0 {
        if captures {
          let plain = EightBytes.run(bytes, from: i) { EightBytes.stringSpecials($0) }
          capture(bytes.extracting(i..<plain))
          i = plain
        } else {
          i = Self.skipText(bytes, from: i)
        }
        guard i < bytes.count else { return }
      }
      position = before + i
      if !step(bytes[i], paths) { status = .invalid }
      i += 1
    }
  }

  /// The first position at or after `from` that needs a closer look: past plain text and two-byte escapes, which are most of what
  /// bodies are made of.
  private static func skipText(_ bytes: Span<UInt8>, from: Int) -> Int {
    var i = from
    while true {
      i = EightBytes.run(bytes, from: i) { EightBytes.stringSpecials($0) }
      guard i + 1 < bytes.count, bytes[i] == UInt8(ascii: "\\") else { return i }
      switch bytes[i + 1] {
      case UInt8(ascii: "n"), UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "t"), UInt8(ascii: "r"), UInt8(ascii: "/"),
        UInt8(ascii: "b"), UInt8(ascii: "f"):
        i += 2
      default: return i
      }
    }
  }

  /// The first position at or after `from` of a quote, a backslash, a control character or a byte that is not ASCII.
  public static func nextSpecial(in bytes: Span<UInt8>, from: Int) -> Int {
    EightBytes.run(bytes, from: from) { EightBytes.stringSpecials($0) }
  }

  /// The position of the quote that ends a string of which nothing matters, or of an escape that does not end in `bytes`, or the count.
  public static func endOfString(in bytes: Span<UInt8>, from: Int) -> Int {
    var i = from
    while true {
      i = EightBytes.run(bytes, from: i) { EightBytes.quotes($0) }
      guard i + 1 < bytes.count, bytes[i] == UInt8(ascii: "\\") else { return i }
      i += 2
    }
  }

  /// Says that the text is over: a number at top level ends only here.
  public mutating func finish(_ paths: JSONPaths) {
    guard status == .incomplete else { return }
    if depth == 0, endNumber(paths) { status = .complete } else { status = .invalid }
  }
}
