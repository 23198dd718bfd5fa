import Primitives

// Values, numbers and literals (RFC 8259 sections 2 to 6).
extension JSONProbe {
  mutating func step(_ b: UInt8, _ paths: JSONPaths) -> Bool {
    switch state {
    case .string, .escape, .unicode, .lowSurrogateBackslash, .lowSurrogateU: return stringStep(b, paths)
    case .minus, .zero, .integer, .point, .fraction, .exponent, .exponentSign, .exponentDigits: return numberStep(b, paths)
    case .literal: return literalStep(b, paths)
    default: break
    }
    if b == 0x20 || b == 0x0A || b == 0x0D || b == 0x09 { return true }
    switch state {
    case .value: return startValue(b, paths)
    case .arrayFirst: return b == UInt8(ascii: "]") ? close(paths) : startValue(b, paths)
    case .firstKey:
      if b == UInt8(ascii: "}") { return close(paths) }
      fallthrough
    case .key:
      guard b == UInt8(ascii: "\"") else { return false }
      startString(
        asKey: true,
        capturing: paths.nodes.indices.contains(Int(stack[depth - 1])) && paths.nodes[Int(stack[depth - 1])].hasChildren)
      return true
    case .colon:
      state = .value
      return b == UInt8(ascii: ":")
    case .afterValue:
      let inObject = objects >> UInt64(depth - 1) & 1 == 1
      if b == UInt8(ascii: ",") {
        node = inObject ? JSONPaths.none : stack[depth - 1]
        state = inObject ? .key : .value
        return true
      }
      return b == (inObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) && close(paths)
    default: return false  // .done: something after the document
    }
  }

  private mutating func startValue(_ b: UInt8, _ paths: JSONPaths) -> Bool {
    if node != JSONPaths.none { note(b, paths) }
    switch b {
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      guard depth < Self.depthMax else { return false }
      let isObject = b == UInt8(ascii: "{")
      // Below a list's entry a name can come again: nodes there say nothing of duplicates, and nobody asks.
      let entry = isObject ? JSONPaths.none : paths.entry(of: node)
      stack[depth] = isObject ? node : entry
      objects = objects & ~(1 << UInt64(depth)) | (isObject ? 1 << UInt64(depth) : 0)
      depth += 1
      node = entry
      state = isObject ? .firstKey : .arrayFirst
    case UInt8(ascii: "\""):
      if case .text(let slot) = slot(paths) {
        texts[slot].count = 0
        startString(asKey: false, capturing: true)
      } else {
        startString(asKey: false, capturing: false)
      }
    case UInt8(ascii: "-"):
      (number, isNegative, isIntegral, state) = (0, true, true, .minus)
      startDigits(0)
    case 48...57:
      (number, isNegative, isIntegral) = (Int64(b - 48), false, true)
      state = b == 48 ? .zero : .integer
      startDigits(number)
    case UInt8(ascii: "t"): startLiteral(0x65_7572, 1)  // "rue", "alse", "ull": what is still to come, first byte lowest
    case UInt8(ascii: "f"): startLiteral(0x6573_6C61, 0)
    case UInt8(ascii: "n"): startLiteral(0x6C_6C75, -1)
    default: return false
    }
    return true
  }

  /// A value that was asked for begins here.
  private mutating func note(_ b: UInt8, _ paths: JSONPaths) {
    switch paths.nodes[Int(node)].slot {
    case .number(let slot):
      (kinds[slot], starts[slot], ends[slot]) = (.other, position, position)
      noteImpossible(slot, unless: b, isObjectFine: false)
    case .sum(let slot): noteImpossible(slot, unless: b, isObjectFine: false)
    case .scaled(let slot, _): noteImpossible(slot, unless: b, isObjectFine: true)
    case .object(let slot):
      (kinds[slot], starts[slot], ends[slot]) = (b == UInt8(ascii: "{") ? .object : .other, position, position)
    case .sums:
      numbersPresent &= ~(0xF << UInt16(Self.sums.lowerBound))
    case .count(let slot) where b != UInt8(ascii: "n"): add(1, slot)
    case .inner, .text, .count: break
    }
  }

  /// Marks a place where a value begins that is no number and not `null`.
  private mutating func noteImpossible(_ slot: Int, unless b: UInt8, isObjectFine: Bool) {
    guard !ASCII.isDigit(b), b != UInt8(ascii: "-"), b != UInt8(ascii: "n"), !isObjectFine || b != UInt8(ascii: "{") else {
      return
    }
    impossible |= 1 << UInt16(slot)
  }

  /// Adds to a sum, which begins with nothing and stops at the largest number.
  private mutating func add(_ value: Int64, _ slot: Int) {
    let before = numbersPresent & 1 << UInt16(slot) == 0 ? 0 : numbers[slot]
    let (sum, overflow) = before.addingReportingOverflow(value)
    numbers[slot] = overflow ? .max : sum
    numbersPresent |= 1 << UInt16(slot)
  }

  private mutating func startDigits(_ first: Int64) {
    (digits, fractionDigits, exponent, isExponentNegative, isRounded) = (first, 0, 0, false, false)
  }

  private func slot(_ paths: JSONPaths) -> JSONPaths.Slot { node == JSONPaths.none ? .inner : paths.nodes[Int(node)].slot }

  private mutating func close(_ paths: JSONPaths) -> Bool {
    depth -= 1
    endValue()
    return true
  }

  mutating func endValue() {
    if depth == 0 {
      state = .done
      status = .complete
    } else {
      state = .afterValue
    }
  }

  /// `end` is the position after the value.
  private mutating func store(_ value: Int64, _ kind: Kind, end: Int, _ paths: JSONPaths) {
    switch slot(paths) {
    case .number(let slot):
      (kinds[slot], ends[slot]) = (kind, end)
      guard kind != .null else { return }
      numbers[slot] = value
      numbersPresent |= 1 << UInt16(slot)
      if kind == .integer, !(0...Self.countMax).contains(value) { impossible |= 1 << UInt16(slot) }
    case .sum(let slot) where kind == .integer:
      guard (0...Self.countMax).contains(value) else { return impossible |= 1 << UInt16(slot) }
      add(value, slot)
    default: break
    }
  }

  /// Marks the place of a number that is not whole or does not fit.
  private mutating func storeImpossible(_ paths: JSONPaths) {
    switch slot(paths) {
    case .number(let slot), .sum(let slot): impossible |= 1 << UInt16(slot)
    default: break
    }
  }

  /// A number that may have a fraction, times ten to the power of its slot; one that does not fit is as large as there is.
  private mutating func storeScaled(_ paths: JSONPaths) {
    guard case .scaled(let slot, let power) = slot(paths) else { return }
    guard !isNegative || digits == 0, digits < .max else { return impossible |= 1 << UInt16(slot) }
    var places = power - fractionDigits + (isExponentNegative ? -exponent : exponent)
    var value = digits
    var isRounded = isRounded
    while places < 0, value > 0 {
      isRounded = isRounded || value % 10 != 0
      value /= 10
      places += 1
    }
    while places > 0, value > 0 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      guard !overflow else { return impossible |= 1 << UInt16(slot) }
      value = product
      places -= 1
    }
    numbers[slot] = isRounded && value < .max ? value + 1 : value
    numbersPresent |= 1 << UInt16(slot)
  }

  private mutating func startLiteral(_ rest: UInt32, _ value: Int64) {
    (literal, literalValue, state) = (rest, value, .literal)
  }

  private mutating func literalStep(_ b: UInt8, _ paths: JSONPaths) -> Bool {
    guard UInt32(b) == literal & 0xFF else { return false }
    literal >>= 8
    if literal == 0 {
      store(literalValue, literalValue < 0 ? .null : .boolean, end: position + 1, paths)
      endValue()
    }
    return true
  }

  private mutating func numberStep(_ b: UInt8, _ paths: JSONPaths) -> Bool {
    let isDigit = ASCII.isDigit(b)
    switch state {
    case .minus:
      guard isDigit else { return false }
      state = b == 48 ? .zero : .integer
      number = Int64(b - 48)
      digits = number
      return true
    case .integer where isDigit:
      let (product, overflow) = number.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = product.addingReportingOverflow(Int64(b - 48))
      // What does not fit stays the largest number, whatever digits come: it is no count, and no money.
      if overflow || overflow2 { (number, digits, isIntegral) = (.max, .max, false) } else { (number, digits) = (sum, sum) }
      return true
    case .point, .fraction:
      if isDigit {
        state = .fraction
        // Sixteen places of money are enough.
        if digits < 100_000_000_000_000_000, fractionDigits < 16 {
          digits = digits * 10 + Int64(b - 48)
          fractionDigits += 1
        } else if b != 48 {
          isRounded = true
        }
        return true
      }
      guard state == .fraction else { return false }
    case .exponent:
      if b == UInt8(ascii: "+") || b == UInt8(ascii: "-") {
        state = .exponentSign
        isExponentNegative = b == UInt8(ascii: "-")
        return true
      }
      fallthrough
    case .exponentSign:
      state = .exponentDigits
      if isDigit { exponent = min(exponent * 10 + Int(b - 48), 1000) }
      return isDigit
    case .exponentDigits where isDigit:
      exponent = min(exponent * 10 + Int(b - 48), 1000)
      return true
    default: break
    }
    if b == UInt8(ascii: "."), state == .zero || state == .integer {
      (state, isIntegral) = (.point, false)
      return true
    }
    if b | 0x20 == UInt8(ascii: "e"), state == .zero || state == .integer || state == .fraction {
      (state, isIntegral) = (.exponent, false)
      return true
    }
    return endNumber(paths) && (depth > 0 ? step(b, paths) : b == 0x20 || b == 0x0A || b == 0x0D || b == 0x09)
  }

  /// Ends a number that may end here; false when it may not, or when there is none.
  mutating func endNumber(_ paths: JSONPaths) -> Bool {
    guard state == .zero || state == .integer || state == .fraction || state == .exponentDigits else { return false }
    storeScaled(paths)
    if let value = isIntegral ? number : wholeNumber {
      store(isNegative ? -value : value, .integer, end: position, paths)
    } else {
      storeImpossible(paths)
    }
    endValue()
    return true
  }

  /// The whole number that `1024.0` or `1e3` is; nil for one that is not whole or does not fit.
  private var wholeNumber: Int64? {
    guard !isRounded, digits < .max else { return nil }
    var places = (isExponentNegative ? -exponent : exponent) - fractionDigits
    var value = digits
    while places != 0, value != 0 {
      if places < 0 {
        guard value % 10 == 0 else { return nil }
        (value, places) = (value / 10, places + 1)
      } else {
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        guard !overflow else { return nil }
        (value, places) = (product, places - 1)
      }
    }
    return value
  }
}
