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
  private static let atOnce = 100

  init(_ service: KeyService, team: String?) {
    (self.service, self.team) = (service, team)
    number = service.listen()
  }

  deinit { service.stopListening() }

  /// What is new, as events; a comment where nothing is, which keeps what lies between from closing the connection.
  mutating func next() -> [UInt8] {
    let (entries, last) = service.heard(after: number)
    let missed = max(0, Int(last - number) - entries.count)
    number = last
    var text = ""
    for entry in entries.suffix(Self.atOnce) {
      if let team { guard let key = entry.record.key, (try? service.key(key))?.team == team else { continue } }
      guard let data = try? JSONEncoder.stable.encode(ActivityDocument(entry)) else { continue }
      text += "event: request\ndata: \(String(decoding: data, as: UTF8.self))\n\n"
    }
    let untold = missed + max(0, entries.count - Self.atOnce)
    if untold > 0, team == nil { text += "event: more\ndata: \(untold)\n\n" }
    return Array((text.isEmpty ? ": still here\n\n" : text).utf8)
  }
}
