import Configuration
import Primitives
import Testing

struct SettingsTests {
  private func settings(_ text: String) throws -> Settings { try Settings(Array(text.utf8), name: "m.yaml") }

  @Test("settings are read by their path, once each") func read() throws {
    var s = try settings("listen: 127.0.0.1:1\nlimits:\n  body_bytes_max: 5\n  head_bytes_max: 4096\n")
    #expect(s.text("listen") == "127.0.0.1:1")
    #expect(try s.number("limits.body_bytes_max", 1...10) == 5)
    #expect(try s.number("limits.head_bytes_max", 1...10_000) == 4096)
    #expect(try s.number("limits.other", 1...10) == nil)
    try s.finish()
  }

  @Test("an empty file sets nothing") func empty() throws { try settings("# nothing\n").finish() }

  private func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return "nothing was thrown"
  }

  @Test("a setting that does not exist is refused with its line") func unknown() {
    #expect(message { try settings("a: 1\nb:\n  c: 2\n").finish() }.contains("m.yaml, line 1"))
    #expect(
      message {
        var s = try settings("a: 1\nb:\n  c: 2\n")
        _ = s.text("a")
        try s.finish()
      }.contains("line 3: there is no setting 'b.c'"))
  }

  @Test("numbers out of range, lists, doubles, aliases and what is not YAML are refused with their line") func refused() {
    #expect(
      message {
        var s = try settings("\nn: 11\n"); _ = try s.number("n", 1...10)
      }.contains("line 2: 'n' is no number from 1 to 10"))
    #expect(
      message {
        var s = try settings("n: +5"); _ = try s.number("n", 1...10)
      }.contains("line 1"))
    for (text, line) in [
      ("a:\n  - 1\n", 2), ("a: 1\na: 2\n", 2), ("a: &x 1\n", 1), ("a: 1\nb: *x\n", 2), ("a: [\n", 2), ("a: b: c\n", 1),
      ("a: 1\n---\nb: 2\n", 2),
    ] {
      #expect(message { _ = try settings(text) }.contains("line \(line)"), "\(text)")
    }
    #expect(message { _ = try settings(String(repeating: "{a: ", count: 40)) }.contains("nested too deep"))
  }
}
