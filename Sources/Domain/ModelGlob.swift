public import Primitives

/// A pattern over model names, on bytes: `*` stands for any run of characters, `?` for one, everything else for itself.
public enum ModelGlob {
  public static let lengthMax = 128

  /// Throws `.invalidInput` unless `glob` is 1 to 128 visible ASCII characters.
  public static func validate(_ glob: String) throws(Fault) {
    guard (1...lengthMax).contains(glob.utf8.count), glob.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw Fault(
        .invalidInput, "that model pattern cannot be used",
        hint: "use 1 to \(lengthMax) visible ASCII characters; * and ? are wild")
    }
  }

  /// Whether `name` is one of those that `glob` stands for. At most `glob.count * name.count` steps, no allocation.
  public static func matches(_ glob: Span<UInt8>, _ name: Span<UInt8>) -> Bool {
    var (g, n) = (0, 0)
    // Where to go on when what follows the last star turns out not to fit.
    var star = -1
    var resume = 0
    while n < name.count {
      if g < glob.count, glob[g] == UInt8(ascii: "*") {
        (star, resume) = (g, n)
        g += 1
      } else if g < glob.count, glob[g] == UInt8(ascii: "?") || glob[g] == name[n] {
        g += 1
        n += 1
      } else if star >= 0 {
        resume += 1
        (g, n) = (star + 1, resume)
      } else {
        return false
      }
    }
    while g < glob.count, glob[g] == UInt8(ascii: "*") { g += 1 }
    return g == glob.count
  }

  /// Whether `name` is one of those that any of `globs` stands for.
  public static func any(of globs: [[UInt8]], match name: Span<UInt8>) -> Bool {
    for glob in globs where matches(glob.span, name) { return true }
    return false
  }

  /// Whether every name that `inner` stands for is certainly one that `outer` stands for.
  ///
  /// Read as a name, `inner`'s wild characters fit only `outer`'s: enough to be sure, and false for some pairs that would do.
  public static func covers(_ outer: String, _ inner: String) -> Bool {
    // A byte that no pattern holds stands for "any run" of the inner one, so that only a star of the outer takes it; a
    // question mark is fitted by a star or a question mark.
    let (o, i) = (Array(outer.utf8), Array(inner.utf8).map { $0 == UInt8(ascii: "*") ? 0 : $0 == UInt8(ascii: "?") ? 1 : $0 })
    guard i.contains(0) else { return matches(o.span, i.span) }
    // A question mark of the outer would take the run for one character: not sure.
    let sure = o.map { $0 == UInt8(ascii: "?") ? 2 : $0 }
    return matches(sure.span, i.span)
  }
}
