import FoundationEssentials
import Gateway
import Primitives

/// The server's log: one line an event on standard error, with constant words and never a byte of a request.
struct Log: OperatorLog {
  enum Format: String, CaseIterable { case text, json }

  var format = Format.text

  func info(_ message: LogMessage) { line("info", message) }
  func warn(_ message: LogMessage) { line("warn", message) }

  private func line(_ level: String, _ message: LogMessage) {
    let now = SystemClock().now.rfc3339
    switch format {
    case .text: Terminal.note("\(now) \(level) \(message.text)")
    case .json:
      var members = ["time": now, "level": level, "message": message.words, "service": "maskllm"]
      // Of one key there is one value in a message.
      for (key, value) in message.values { members[key.rawValue] = value }
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      if let data = try? encoder.encode(members) { Terminal.note(String(decoding: data, as: UTF8.self)) }
    }
  }
}
