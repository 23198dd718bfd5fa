import Gateway
import Primitives

/// The server's log: one line an event on standard error, with constant words and never a byte of a request.
struct Log: OperatorLog {
  func info(_ message: String) { line("info", message) }
  func warn(_ message: String) { line("warn", message) }
  private func line(_ level: String, _ message: String) { Terminal.note("\(SystemClock().now.rfc3339) \(level) \(message)") }
}
