import Primitives

/// Names of members, fields and parameters that may name a model, at whatever server: what nobody has looked at is not passed where a
/// decision depends on the model.
public enum ModelMember {
  /// Whether `name` has `model`, `fallback` or `deployment` in it, or begins with `rout`, in letters of any case.
  public static func isOne(_ name: Span<UInt8>) -> Bool {
    for i in name.indices {
      switch ASCII.lower(name[i]) {
      case UInt8(ascii: "m"): if stands("model", name, i) { return true }
      case UInt8(ascii: "f"): if stands("fallback", name, i) { return true }
      case UInt8(ascii: "d"): if stands("deployment", name, i) { return true }
      case UInt8(ascii: "r"): if i == 0, stands("rout", name, i) { return true }
      default: break
      }
    }
    return false
  }

  private static func stands(_ word: StaticString, _ name: Span<UInt8>, _ i: Int) -> Bool {
    let n = word.utf8CodeUnitCount
    return i + n <= name.count && name.extracting(i..<(i + n)).equalsIgnoringCase(word)
  }
}
