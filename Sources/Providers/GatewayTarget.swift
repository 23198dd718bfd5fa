public import Primitives

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

  /// The model that the query of a WebSocket names, once and plainly, as `model` or `deployment`; empty when it names none, nil when
  /// that is not clear.
  public static func model(_ query: Span<UInt8>) -> JSONText? {
    let (model, deployment): (StaticString, StaticString) = ("model", "deployment")
    var found: JSONText?
    var i = 0
    while i < query.count {
      let end = query.firstIndex(of: UInt8(ascii: "&"), from: i + 1) ?? query.count
      let parameter = query.extracting((i + 1)..<end)
      let equals = parameter.firstIndex(of: UInt8(ascii: "=")) ?? parameter.count
      let name = parameter.extracting(0..<equals)
      if isName(name, model.span) || isName(name, deployment.span) {
        guard found == nil, equals < parameter.count else { return nil }
        let value = parameter.extracting((equals + 1)..<parameter.count)
        guard ModelName.isPlain(value) else { return nil }
        found = ModelName.decoded(value)
      }
      i = end
    }
    return found ?? JSONText()
  }

  /// Where the value of the parameter `key` stands in `target`; nil when there is none. The first one: a second is not passed on.
  public static func key(in target: Span<UInt8>) -> Range<Int>? {
    guard var i = target.firstIndex(of: UInt8(ascii: "?")) else { return nil }
    while i < target.count {
      let end = target.firstIndex(of: UInt8(ascii: "&"), from: i + 1) ?? target.count
      if target.extracting((i + 1)..<end).starts(with: "key=") { return (i + 5)..<end }
      i = end
    }
    return nil
  }

  /// Copies `query` (with its question mark, or empty) without parameters that carry a key: `key`, and `name` where it is one.
  /// True when nothing is left.
  public static func appendQuery(_ query: Span<UInt8>, without name: [UInt8]?, into target: inout ByteBuffer) -> Bool {
    var isFirst = true
    var i = 0
    while i < query.count {
      let end = query.firstIndex(of: UInt8(ascii: "&"), from: i + 1) ?? query.count
      let parameter = query.extracting((i + 1)..<end)
      let own = parameter.extracting(0..<(parameter.firstIndex(of: UInt8(ascii: "=")) ?? parameter.count))
      let key: StaticString = "key"
      if !isName(own, key.span), !(name.map { isName(own, $0.span) } ?? false) {
        target.append(isFirst ? "?" : "&")
        target.append(parameter)
        isFirst = false
      }
      i = end
    }
    return isFirst
  }

  /// Whether `text` is `name` once its escapes are undone, as the provider does.
  private static func isName(_ text: Span<UInt8>, _ name: Span<UInt8>) -> Bool {
    var (i, n) = (0, 0)
    while i < text.count {
      var b = text[i]
      if b == UInt8(ascii: "%"), i + 2 < text.count, let high = ASCII.hexadecimal(text[i + 1]),
        let low = ASCII.hexadecimal(text[i + 2])
      {
        b = high << 4 | low
        i += 2
      }
      guard n < name.count, name[n] == b else { return false }
      i += 1
      n += 1
    }
    return n == name.count
  }
}
