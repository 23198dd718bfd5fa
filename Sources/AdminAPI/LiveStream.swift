import Audit
import Domain
import FoundationEssentials
import KeyService
import Primitives

/// Requests as they are recorded, as server-sent events, for one listener.
struct LiveStream: ~Copyable {
  private let service: KeyService
  private let team: String?
  /// The last one that was sent.
  private var number: Int64

  static let everyMilliseconds = 250
  /// Requests that are told at once; of more, the latest.
  private static let atOnce = 25

  init(_ service: KeyService, team: String?) {
    (self.service, self.team) = (service, team)
    number = service.listen()
  }

  deinit { service.stopListening() }

  /// What is new, as events; a comment where nothing is, which keeps what lies between from closing the connection.
  mutating func next() -> [UInt8] {
    // What is of a team may be few among many.
    let (entries, last) = service.heard(after: number, limit: team == nil ? Self.atOnce : .max)
    let untold = max(0, Int(last - number) - entries.count)
    number = last
    var text = ""
    let (service, team) = (service, team)
    let shown = entries.filter { entry in
      team == nil || entry.record.key.flatMap { try? service.key($0) }?.team == team
    }
    for entry in shown.suffix(Self.atOnce) {
      guard let data = try? JSONEncoder.stable.encode(ActivityDocument(entry)) else { continue }
      text += "event: request\ndata: \(String(decoding: data, as: UTF8.self))\n\n"
    }
    if untold > 0, team == nil { text += "event: more\ndata: \(untold)\n\n" }
    return Array((text.isEmpty ? ": still here\n\n" : text).utf8)
  }
}
