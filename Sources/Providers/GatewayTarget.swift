import Primitives

/// A gateway's request target, taken apart: `/PROVIDER/NATIVE-PATH?QUERY`. Positions in the target.
public struct GatewayTarget: Sendable {
  public let provider: Range<Int>
  /// With its first slash; empty when there is none.
  public let path: Range<Int>
  /// With its question mark; empty when there is none.
  public let query: Range<Int>

  public init(_ target: Span<UInt8>) {
    let query = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
    let slash = min(target.firstIndex(of: UInt8(ascii: "/"), from: 1) ?? query, query)
    provider = min(1, slash)..<slash
    path = slash..<query
    self.query = query..<target.count
  }

  /// Whether `query` could name a model.
  public static func namesModel(_ query: Span<UInt8>) -> Bool {
    for i in query.indices where query.extracting(i..<query.count).starts(with: "model=") { return true }
    return false
  }
}
