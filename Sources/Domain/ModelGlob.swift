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
}
