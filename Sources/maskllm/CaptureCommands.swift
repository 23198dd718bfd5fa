import AdminAPI
import Primitives
import Wire

/// Content of requests, where somebody has asked for it.
enum CaptureCommands {
  static let all = [set, list, show, remove]

  private static let set = Command(
    path: ["key", "capture"], operand: "ID", summary: "keep what a key sends and gets, sealed, for a while; or no longer",
    options: Unsealing.options + [
      Option(name: "for", value: "DURATION", help: "how long, at most 7d"), Option(name: "off", value: nil, help: "no longer"),
      Option(name: "reason", value: "TEXT", help: "why; it is written down, and shown with the key"), Command.json,
    ]
  ) { arguments throws(Fault) in
    let id = try arguments.operand("ID")
    let seconds = try Duration.seconds(arguments, "for")
    guard (seconds != nil) != arguments.has("off"), let reason = arguments.value("reason") else {
      throw Fault(.invalidInput, "content is captured '--for' some time or '--off', with a '--reason'")
    }
    let until = seconds.map { (SystemClock().now + Int64($0)).rfc3339 }
    let body = try AdminLink.open(arguments).call(
      .put, "/v1/keys/\(percentEncoded(id))/capture", json: CaptureSettingDocument(until: until, reason: reason))
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    Terminal.result(until.map { "content of key \(id) is captured until \($0)" } ?? "content of key \(id) is not captured")
  }

  private static let list = Command(
    path: ["capture", "list"], summary: "list requests whose content was captured",
    options: Unsealing.options + [Option(name: "key", value: "ID", help: "only of this key"), Command.json]
  ) { arguments throws(Fault) in
    let query = arguments.value("key").map { "?key=\(percentEncoded($0))" } ?? ""
    try printList("/v1/captures\(query)", arguments, ["NUMBER", "AT", "KEY", "STATUS"]) { (capture: CaptureDocument) in
      ["\(capture.number)", capture.at, capture.key, "\(capture.status)"]
    }
  }

  private static let show = Command(
    path: ["capture", "show"], operand: "NUMBER",
    summary: "show what a request and its answer said; that you look is written down",
    options: Unsealing.options + [Command.json]
  ) { arguments throws(Fault) in
    let number = try arguments.operand("NUMBER")
    let body = try AdminLink.open(arguments).call(.get, "/v1/captures/\(percentEncoded(number))")
    if arguments.has("json") { return Terminal.result(String(decoding: body, as: UTF8.self)) }
    let capture: CaptureContentDocument = try decode(body)
    Terminal.result(
      "\(capture.at), key \(capture.key), status \(capture.status)\(capture.cut ? ", cut" : "")\n> "
        + Terminal.plain(capture.request) + "\n< " + Terminal.plain(capture.answer))
  }

  private static let remove = Command(
    path: ["capture", "delete"], operand: "KEY", summary: "erase all that was captured of a key", options: Unsealing.options
  ) { arguments throws(Fault) in
    let id = try arguments.operand("KEY")
    _ = try AdminLink.open(arguments).call(.delete, "/v1/keys/\(percentEncoded(id))/capture")
    Terminal.result("what was captured of key \(id) is erased")
  }
}
