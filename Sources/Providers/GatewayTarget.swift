import Domain
public import Primitives
import Wire

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

  /// The name of a parameter of `query` that may name a model (`ModelMember`), escapes undone; nil: there is none. Parameters are parted by
  /// `&`, to some by `;` too.
  public static func modelParameter(_ query: Span<UInt8>) -> JSONText? {
    var i = 0
    while i < query.count {
      var end = i + 1
      while end < query.count, query[end] != UInt8(ascii: "&"), query[end] != UInt8(ascii: ";") { end += 1 }
      let name = name(query.extracting((i + 1)..<end))
      if ModelMember.isOne(name.span) { return name }
      i = end
    }
    return nil
  }

  /// Whether a parameter of `query` has servers take the request for one of another method, or carries a credential or an account of the
  /// client's (https://cloud.google.com/apis/docs/system-parameters), escapes undone.
  public static func hasOverride(_ query: Span<UInt8>) -> Bool {
    var i = 0
    while i < query.count {
      let end = query.firstIndex(of: UInt8(ascii: "&"), from: i + 1) ?? query.count
      let name = name(query.extracting((i + 1)..<end))
      for known in overrides where name.span.equalsIgnoringCase(known) { return true }
      i = end
    }
    return false
  }
  private static let overrides: [StaticString] = [
    "_method", "x-http-method-override", "x-http-method", "x-method-override", "$httpmethod", "access_token", "oauth_token",
    "$apikey", "$userproject", "userproject",
  ]

  /// The IDs of objects that parameters of `query` name.
  public static func references(_ query: Span<UInt8>) -> [String] {
    guard query.count > 1 else { return [] }
    var form = FormReferences(Span())
    form.feed(query.extracting(1..<query.count))
    form.finish()
    return form.take().filter(\.isNamed).map { String(decoding: $0.value, as: UTF8.self) }
  }

  /// The name of a parameter, escapes undone.
  private static func name(_ parameter: Span<UInt8>) -> JSONText {
    var name = JSONText()
    var i = 0
    while i < parameter.count, parameter[i] != UInt8(ascii: "=") {
      let (b, next) = EscapedPath.byte(parameter, at: i)
      name.append(b == UInt8(ascii: "+") ? 32 : b)
      i = next
    }
    return name
  }

  /// The model that the query of a WebSocket names, once and plainly, as `model` or `deployment`; empty when it names none. Throws when
  /// that is not clear.
  public static func model(_ query: Span<UInt8>) throws(Unclear) -> JSONText {
    let (model, deployment): (StaticString, StaticString) = ("model", "deployment")
    var found = JSONText()
    var i = 0
    while i < query.count {
      let end = query.firstIndex(of: UInt8(ascii: "&"), from: i + 1) ?? query.count
      let parameter = query.extracting((i + 1)..<end)
      let equals = parameter.firstIndex(of: UInt8(ascii: "=")) ?? parameter.count
      let name = parameter.extracting(0..<equals)
      if isName(name, model.span) || isName(name, deployment.span) {
        guard found.isEmpty, equals < parameter.count else { throw Unclear(.query, name) }
        let value = parameter.extracting((equals + 1)..<parameter.count)
        guard PathName.isPlain(value, slashes: true) else { throw Unclear(.query, name) }
        found = PathName.decoded(value)
      } else if let other = modelParameter(query.extracting(i..<end)) {
        throw Unclear(.query, other)
      }
      i = end
    }
    return found
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
