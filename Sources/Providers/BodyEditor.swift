public import Primitives

/// Writes a body anew with a few changes.
public enum BodyEditor {
  /// Copies `body` with `edits` (ascending, apart from each other) to the end of `target`.
  public static func apply(_ edits: [RequestReader.Edit], to body: Span<UInt8>, into target: inout ByteBuffer) {
    var done = 0
    for edit in edits {
      target.append(body.extracting(done..<edit.place.lowerBound))
      write(edit.text, followedBy: firstByte(of: body, from: edit.place.upperBound), to: &target)
      done = edit.place.upperBound
    }
    target.append(body.extracting(done..<body.count))
  }

  /// The first byte that is no space.
  private static func firstByte(of body: Span<UInt8>, from start: Int) -> UInt8 {
    var i = start
    while i < body.count, body[i] == 32 || body[i] == 9 || body[i] == 10 || body[i] == 13 { i += 1 }
    return i < body.count ? body[i] : 0
  }

  private static func write(_ text: RequestReader.Edit.Text, followedBy next: UInt8, to target: inout ByteBuffer) {
    func name(_ name: StaticString, _ target: inout ByteBuffer) {
      target.append("\"")
      target.append(name)
      target.append("\":")
    }
    switch text {
    case .number(let n): return target.append(decimal: Int(n.count))
    case .isTrue: return target.append("true")
    case .member(let member, let n):
      name(member.text, &target)
      target.append(decimal: Int(n.count))
    case .object(let outer, let member, let n):
      name(outer.text, &target)
      target.append("{")
      name(member.text, &target)
      target.append(decimal: Int(n.count))
      target.append("}")
    case .usageOptions: target.append("\"stream_options\":{\"include_usage\":true}")
    case .usageOption: target.append("\"include_usage\":true")
    }
    // An empty object needs no comma.
    if next != UInt8(ascii: "}") { target.append(",") }
  }
}
