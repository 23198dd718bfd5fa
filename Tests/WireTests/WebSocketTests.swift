import Primitives
import Testing
import Wire

struct WebSocketTests {
  /// A frame of at most 125 bytes; with a mask, as clients send.
  private func frame(_ head: UInt8, _ text: String, mask: [UInt8]? = nil) -> [UInt8] {
    let payload = Array(text.utf8)
    guard let mask else { return [head, UInt8(payload.count)] + payload }
    return [head, 0x80 | UInt8(payload.count)] + mask + payload.enumerated().map { $1 ^ mask[$0 & 3] }
  }

  private func messages(_ bytes: [UInt8], fromClient: Bool, cut: Int) -> (texts: [String], isValid: Bool, isBetween: Bool) {
    var frames = WebSocketFrames(fromClient: fromClient)
    var texts: [String] = []
    var current: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: cut) {
      let piece = Array(bytes[start..<min(start + cut, bytes.count)])
      var i = 0
      loop: while true {
        switch frames.step(piece.span, from: i) {
        case .payload(let range):
          frames.unmask(piece.span, range) { current += [UInt8](copying: $0) }
          i = range.upperBound
        case .endOfMessage(let used):
          texts.append(String(decoding: current, as: UTF8.self))
          current = []
          i = used
        case .more: break loop
        case .invalid: return (texts, false, false)
        }
      }
    }
    return (texts, true, frames.isBetweenFrames)
  }

  @Test("messages are put together from their frames, past pings, wherever the bytes are cut", arguments: [1, 2, 3, 7, 1000])
  func messages(cut: Int) {
    let mask: [UInt8] = [1, 0x82, 3, 0x84]
    let long = String(repeating: "ab", count: 300)
    let client =
      frame(0x81, "hello", mask: mask) + frame(0x89, "ping", mask: mask) + frame(0x01, "fr", mask: mask)
      + frame(0x8A, "", mask: mask) + frame(0x00, "", mask: mask) + frame(0x80, "ag", mask: mask) + frame(0x82, "", mask: mask)
    #expect(messages(client, fromClient: true, cut: cut) == (["hello", "frag", ""], true, true))
    let server =
      frame(0x81, "hi") + [0x81, 126, 2, 88] + Array(long.utf8) + [0x81, 127, 0, 0, 0, 0, 0, 0, 2, 88] + Array(long.utf8)
    #expect(messages(server, fromClient: false, cut: cut) == (["hi", long, long], true, true))
    #expect(messages(server.dropLast(), fromClient: false, cut: cut).isBetween == false)
  }

  @Test(
    "frames that break RFC 6455 are refused",
    arguments: [
      [0x81, 0x01, 0x78], [0xC1, 0x80, 0, 0, 0, 0], [0x83, 0x80, 0, 0, 0, 0], [0x8B, 0x80, 0, 0, 0, 0], [0x09, 0x80, 0, 0, 0, 0],
      [0x89, 0xFE, 0, 0x80], [0x80, 0x80, 0, 0, 0, 0], [0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80],
      [0x81, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] as [[UInt8]]) func refused(bytes: [UInt8])
  {
    for cut in [1, 100] { #expect(!messages(bytes, fromClient: true, cut: cut).isValid) }
  }

  @Test("a server's frame is not a client's") func sides() {
    #expect(!messages(frame(0x81, "x"), fromClient: true, cut: 9).isValid)
    #expect(!messages(frame(0x81, "x", mask: [1, 2, 3, 4]), fromClient: false, cut: 9).isValid)
  }

  @Test("a closing frame has its code and its reason") func close() {
    var buffer = ByteBuffer(capacity: 16)
    WebSocketFrames.writeClose(1008, "revoked_key", to: &buffer)
    #expect(buffer.copy() == [0x88, 13, 0x03, 0xF0] + Array("revoked_key".utf8))
  }
}
