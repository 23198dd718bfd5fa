import Primitives
import Testing
import Wire

struct EventStreamTests {
  /// The data of each event, lines joined without a separator.
  private func events(_ text: String, pieces: Int) -> [String] {
    let bytes = Array(text.utf8)
    var splitter = EventStreamSplitter()
    var out: [String] = []
    var current: [UInt8] = []
    var at = 0
    while at < bytes.count {
      let piece = Array(bytes[at..<min(at + pieces, bytes.count)])
      at += piece.count
      var i = 0
      loop: while true {
        switch splitter.step(piece.span, from: i) {
        case .data(let range):
          current += piece[range]
          i = range.upperBound
        case .endOfEvent(let used):
          out.append(String(decoding: current, as: UTF8.self))
          current = []
          i = used
        case .more: break loop
        }
      }
    }
    return out
  }

  @Test("events are found with every line end, wherever the bytes are cut", arguments: ["\n", "\r\n", "\r"])
  func lineEnds(end: String) {
    let text = [
      ": comment", "event: a", "data: one", "", "data:two", "data: three", "", "", "id: 7", "", "data: ", "", "data: [DONE]", "",
      "",
    ]
    .joined(separator: end)
    for pieces in 1...text.utf8.count {
      #expect(events(text, pieces: pieces) == ["one", "twothree", "", "[DONE]"], "pieces of \(pieces)")
    }
  }

  @Test("an event without its blank line is not yet an event") func unfinished() {
    #expect(events("data: one\n", pieces: 100).isEmpty)
  }
}
