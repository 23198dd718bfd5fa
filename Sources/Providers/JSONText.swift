import Wire

/// A short text taken out of a request or an answer, at most `JSONProbe.textMax` bytes: what is longer is cut.
public struct JSONText: Sendable {
  private var text: JSONProbe.Text
  init(_ text: JSONProbe.Text) { self.text = text }
  public init() { text = JSONProbe.Text() }
  public var span: Span<UInt8> {
    @_lifetime(borrow self) get { text.span }
  }
  public var isEmpty: Bool { text.count == 0 }
  public mutating func append(_ b: UInt8) { text.append(b) }
}
