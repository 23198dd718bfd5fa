public import Primitives

/// A byte of a path, whether it is written as it is or escaped.
public enum EscapedPath {
  /// The byte that stands at `i`, and where the next one begins. A `%` that begins no escape stands for itself.
  @inlinable public static func byte(_ path: Span<UInt8>, at i: Int) -> (UInt8, Int) {
    guard path[i] == UInt8(ascii: "%"), i + 2 < path.count, let high = ASCII.hexadecimal(path[i + 1]),
      let low = ASCII.hexadecimal(path[i + 2])
    else { return (path[i], i + 1) }
    return (high << 4 | low, i + 3)
  }
}

/// A method and a path below the provider's name: `POST /v1/chat/completions`, `* /v1/models/*`. `*` stands for any method, and
/// for one path segment: for a whole name where the provider's names have slashes, raw or escaped. A leading `/v1` may stand or not, in
/// the template as in the request.
public struct PathTemplate: Hashable, Sendable {
  /// Empty: any.
  private let method: [UInt8]
  /// Without escapes.
  private let path: [UInt8]

  /// nil unless `text` is a method or `*`, one space, and a path of visible ASCII without query; one that has an empty part, a part of
  /// dots or an escape other than of `:`, `@` and `/` could be met by no request.
  public init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 2, (2...200).contains(parts[1].utf8.count), parts[1].utf8.first == 47,
      parts[1].utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 63 && $0 != 35 && $0 != 92 }),
      parts[0] == "*" || parts[0].utf8.allSatisfy({ $0 >= 65 && $0 <= 90 }),
      !parts[0].isEmpty
    else { return nil }
    method = parts[0] == "*" ? [] : Array(parts[0].utf8)
    let written = Array(parts[1].utf8)
    var path: [UInt8] = []
    var i = 0
    while i < written.count {
      let (b, next) = EscapedPath.byte(written.span, at: i)
      guard next == i + 1 ? b != UInt8(ascii: "%") : b == 58 || b == 64 || b == 47 else { return nil }
      path.append(b)
      i = next
    }
    let isPlain = path.dropFirst().split(separator: 47, omittingEmptySubsequences: false).allSatisfy {
      !$0.isEmpty && !$0.allSatisfy { $0 == 46 }
    }
    guard isPlain else { return nil }
    self.path = Array(copying: path.span.extracting(Self.start(path.span)..<path.count))
  }

  private static func start(_ path: Span<UInt8>) -> Int { path.starts(with: "/v1/") ? 3 : 0 }

  /// True where `method` and `whole`, the path of an endpoint (without query), are ones that it stands for, byte for byte once escapes are
  /// undone. `name` is where a name stands that can have slashes. Allocates nothing.
  public func matches(_ method: Span<UInt8>, _ whole: Span<UInt8>, name: Range<Int> = 0..<0) -> Bool {
    guard self.method.isEmpty || method.equals(self.method.span) else { return false }
    var (t, p) = (0, Self.start(whole))
    while t < path.count {
      let isSegment = path[t] == 42 && path[t - 1] == 47 && (t + 1 == path.count || path[t + 1] == 47)
      if isSegment {
        let start = p
        if p == name.lowerBound, !name.isEmpty { p = name.upperBound }
        while p < whole.count {
          let (b, next) = EscapedPath.byte(whole, at: p)
          if b == UInt8(ascii: "/") { break }
          p = next
        }
        guard p > start else { return false }
      } else {
        guard p < whole.count else { return false }
        let (b, next) = EscapedPath.byte(whole, at: p)
        guard b == path[t] else { return false }
        p = next
      }
      t += 1
    }
    return p == whole.count
  }
}
