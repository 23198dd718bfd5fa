import Primitives
import Testing
import Transport

struct ChildProcessTests {
  private func run(_ script: String, input: Int = 0, milliseconds: Int = 20_000) throws -> (status: Int32, output: [UInt8]) {
    try ChildProcess.run(
      ["/bin/sh", "-c", script], environment: ["PATH=/usr/bin:/bin"], input: [UInt8](repeating: 65, count: input).span,
      outputMax: 1 << 20, milliseconds: milliseconds)
  }

  @Test("a program that closes its output first still gets all of its input, and its end is seen") func closedOutput() throws {
    for _ in 0..<20 { #expect(try run("exec cat > /dev/null", input: 200_000).status == 0) }
    #expect(try run("exec > /dev/null; test $(wc -c) = 200000", input: 200_000).status == 0)
  }

  @Test("what it writes comes back, whether or not it reads") func output() throws {
    #expect(try run("cat", input: 300_000).output.count == 300_000)
    let (status, output) = try run("echo said; exit 3")
    #expect(status == 3 && output == Array("said\n".utf8))
  }

  @Test("one that does not end is ended, whatever it does with its streams") func deadline() throws {
    for script in ["exec sleep 100", "exec sleep 100 > /dev/null", "exec sleep 100 < /dev/null > /dev/null"] {
      #expect(try run(script, milliseconds: 200).status == 124, "\(script)")
    }
  }
}
