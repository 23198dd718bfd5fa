import Primitives
import Transport

/// How a provider can misbehave, chosen by the model's name.
enum DemoBehaviour {
  /// `demo-error-NNN`: that status, in the provider's shape; 401 and 403 echo the key's tail.
  case error(Int)
  /// `demo-hang`: no answer for a minute.
  case hang
  /// `demo-drop`: a stream that breaks off in the middle.
  case drop
  /// `demo-endless`: a stream that goes on for a minute.
  case endless
  /// `demo-garbage`: bytes that are not HTTP.
  case garbage
  /// `demo-redirect`: a redirect to elsewhere.
  case redirect

  init?(model: String) {
    switch model {
    case "demo-hang": self = .hang
    case "demo-drop": self = .drop
    case "demo-endless": self = .endless
    case "demo-garbage": self = .garbage
    case "demo-redirect": self = .redirect
    default:
      guard model.hasPrefix("demo-error-"), let status = Int(model.dropFirst(11)), (400...599).contains(status) else {
        return nil
      }
      self = .error(status)
    }
  }

  /// The result of the whole request.
  func act(_ connection: inout ServerConnection, key: String, isAnthropic: Bool) async throws(IOFailure) -> Bool? {
    switch self {
    case .error(let status):
      let tail = status == 401 || status == 403 ? " (key ...\(key.suffix(4)))" : ""
      return try await DemoProvider(paceMilliseconds: 0).answer(
        status, DemoShapes.error(status, "demo error \(status)\(tail)", anthropic: isAnthropic), &connection)
    case .hang:
      connection.socket.watch(.hangup)
      connection.scope.setDeadline(milliseconds: 60_000)
      _ = try await connection.socket.read(into: &connection.relay, connection.scope)
      return false
    case .drop:
      DemoShapes.startStream(&connection)
      DemoShapes.chunk(
        isAnthropic ? DemoShapes.messageStart("demo-drop") : DemoShapes.chatDelta("demo-drop", "half a sent"), &connection)
      try await connection.flush()
      return false
    case .endless:
      DemoShapes.startStream(&connection)
      connection.socket.watch(.hangup)
      if isAnthropic { DemoShapes.chunk(DemoShapes.messageStart("demo-endless"), &connection) }
      for _ in 0..<600 {
        DemoShapes.chunk(
          isAnthropic ? DemoShapes.messageDelta("on and ") : DemoShapes.chatDelta("demo-endless", "on and "), &connection)
        try await connection.flush()
        try await connection.scope.sleep(milliseconds: 100)
        if connection.socket.isHungUp { return false }
      }
      return false
    case .garbage:
      connection.outbound.append("this is not HTTP\r\n\r\n")
      try await connection.flush()
      return false
    case .redirect:
      connection.outbound.append("HTTP/1.1 302 Found\r\nLocation: https://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n")
      try await connection.flush()
      return true
    }
  }
}
