import Audit
import FoundationEssentials
import Testing

struct OpenTelemetryTests {
  private struct Read: Decodable, Equatable {
    var text: String
    var whole: Int
    var part: Double
    var flags: [Bool]
    var none: [String]
    var nothing: [String: String]
  }

  @Test("what is put together is the JSON that it stands for, whatever a text has in it") func json() throws {
    let text = (0..<32).map { "\(UnicodeScalar(UInt8($0)))" }.joined() + "\"\\/ é 🔑 \u{2028}"
    let value = OpenTelemetry.Value.object([
      "text": .text(text), "whole": .number(3), "part": .number(0.0625), "flags": .list([.flag(true), .flag(false)]),
      "none": .list([]), "nothing": .object([:]),
    ])
    let read = try JSONDecoder().decode(Read.self, from: Data(OpenTelemetry.encoded(value)))
    #expect(read == Read(text: text, whole: 3, part: 0.0625, flags: [true, false], none: [], nothing: [:]))
    for number in [0, -1, 1e-9, 123_456.789, 9.2e18, 1e300] {
      let bytes = OpenTelemetry.encoded(.list([.number(number)]))
      #expect(try JSONDecoder().decode([Double].self, from: Data(bytes)) == [number])
    }
  }
}
