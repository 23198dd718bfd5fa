import Primitives

/// A method and a path below the provider's name: `POST /v1/chat/completions`, `* /v1/models/*`. `*` stands for any method, and
/// for one path segment. A leading `/v1` may stand or not, in the template as in the request.
public struct PathTemplate: Hashable, Sendable {
  /// Empty: any.
  private let method: [UInt8]
  private let path: [UInt8]

  /// nil unless `text` is a method or `*`, one space, and a path of visible ASCII without query.
  public init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 2, (2...200).contains(parts[1].utf8.count), parts[1].utf8.first == 47,
      parts[1].utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 63 && $0 != 35 }),
      parts[0] == "*" || parts[0].utf8.allSatisfy({ $0 >= 65 && $0 <= 90 }),
      !parts[0].isEmpty
    else { return nil }
    method = parts[0] == "*" ? [] : Array(parts[0].utf8)
    let path = Array(parts[1].utf8)
    self.path = Array(copying: path.span.extracting(Self.start(path.span)..<path.count))
  }

  private static func start(_ path: Span<UInt8>) -> Int { path.starts(with: "/v1/") ? 3 : 0 }

  /// Whether `method` and `path` (without query) are ones that it stands for, byte for byte. Allocates nothing.
  public func matches(_ method: Span<UInt8>, _ whole: Span<UInt8>) -> Bool {
    guard self.method.isEmpty || method.equals(self.method.span) else { return false }
    let path = whole.extracting(Self.start(whole)..<whole.count)
    var (t, p) = (0, 0)
    while t < self.path.count {
      let isSegment = self.path[t] == 42 && self.path[t - 1] == 47 && (t + 1 == self.path.count || self.path[t + 1] == 47)
      if isSegment {
        let start = p
        while p < path.count, path[p] != 47 { p += 1 }
        guard p > start else { return false }
      } else {
        guard p < path.count, path[p] == self.path[t] else { return false }
        p += 1
      }
      t += 1
    }
    return p == path.count
  }
}
