import Audit
import Cryptography
import Domain
import KeyService
import Primitives
import Storage

/// Where spans and metrics go, by OpenTelemetry's protocol over HTTP.
struct TelemetrySettings {
  /// `http://127.0.0.1:4318`, without `/v1/...`; nil: nowhere.
  var endpoint: String?
  /// A file with header lines, as what receives it wants them: `Authorization: Bearer ...`.
  var headersFile: String?
  var authorityFile: String?
  /// Spans of one second; of more requests than that, those that did not end well go first.
  var spansPerSecond = 200
  var metricsSeconds = 15
}

/// Sends what was recorded on to a collector, on the control loop. What it does not take in time is dropped, and counted: telemetry holds
/// nothing up, and what has to be known is in the activity.
final class TelemetryKeeper {
  private let settings: TelemetrySettings
  private let endpoint: String
  private let headers: [(name: String, value: [UInt8])]
  private let service: KeyService
  private let outside: OutsideWorld
  private let log: Log
  private let randomness = SystemRandomness()
  private var spans: [OpenTelemetry.Value] = []
  private var dropped = 0
  private var second: Int64 = 0
  private var inSecond = 0
  private var metricsDue: Int64 = 0
  private var isBusy = false
  private var trouble: String?

  private static let waitingMax = 5000
  private static let atOnce = 500

  /// nil where there is nowhere to send it.
  init?(_ settings: TelemetrySettings, service: KeyService, outside: OutsideWorld, log: Log) throws(Fault) {
    guard let endpoint = settings.endpoint else { return nil }
    (self.settings, self.endpoint, self.service, self.outside, self.log) = (settings, endpoint, service, outside, log)
    var headers: [(name: String, value: [UInt8])] = [("Content-Type", Array("application/json".utf8))]
    if let path = settings.headersFile {
      let file = try Files.readKeyFile(path, what: "headers for telemetry", option: "set telemetry.headers_file")
      for line in String(decoding: [UInt8](copying: file.span), as: UTF8.self).split(separator: "\n") {
        guard let colon = line.firstIndex(of: ":") else {
          throw Fault(.invalidInput, "\(path) has a line that is no header", hint: "write it as 'Authorization: Bearer ...'")
        }
        headers.append((String(line[..<colon]), Array(line[line.index(after: colon)...].drop { $0 == " " }.utf8)))
      }
    }
    self.headers = headers
  }

  /// Takes the spans of a segment, within what a second may have.
  func take(_ segment: ActivitySegment) {
    let now = service.now.milliseconds / 1000
    if now != second { (second, inSecond) = (now, 0) }
    // A flood is not looked at one by one only to be thrown away.
    let entries =
      segment.count > settings.spansPerSecond * 4
      ? ActivityEncoding.decode(Array(segment.records.prefix(64 * settings.spansPerSecond)), of: 0)
      : ActivityEncoding.decode(segment.records, of: 0)
    dropped += max(0, segment.count - entries.count)
    let kinds = Dictionary(service.providers().map { ($0.name, $0.kind) }) { first, _ in first }
    let wanted = entries.filter { $0.record.trace?.isSampled != false }
    for entry in wanted.filter({ $0.record.outcome != .completed }) + wanted.filter({ $0.record.outcome == .completed }) {
      guard inSecond < settings.spansPerSecond, spans.count < Self.waitingMax else {
        dropped += 1
        continue
      }
      inSecond += 1
      let random = randomness.bytes(24)
      func number(_ at: Int) -> UInt64 { random[at..<(at + 8)].reduce(0) { $0 << 8 | UInt64($1) } }
      spans.append(
        OpenTelemetry.span(
          entry, kind: kinds[entry.provider] ?? entry.provider, id: max(1, number(0)),
          trace: (number(8), max(1, number(16)))))
    }
  }

  /// Once a second: sends what waits.
  func keep() async {
    guard !isBusy else { return }
    isBusy = true
    defer { isBusy = false }
    let batch = Array(spans.prefix(Self.atOnce))
    var failure: String?
    if !batch.isEmpty {
      failure = await send("traces", OpenTelemetry.traces(batch, version: Version.text))
      if failure == nil { spans.removeFirst(batch.count) }
    }
    let now = service.now
    if failure == nil, now.milliseconds >= metricsDue {
      metricsDue = now.milliseconds + Int64(settings.metricsSeconds) * 1000
      let kinds = Dictionary(service.providers().map { ($0.name, $0.kind) }) { first, _ in first }
      failure = await send(
        "metrics", OpenTelemetry.metrics(service.traffic, kinds: kinds, from: service.startedAt, to: now, version: Version.text))
    }
    if (failure == nil) != (trouble == nil) {
      if let failure {
        log.warn("telemetry is not taken, and goes on waiting: \(failure, .because)")
      } else {
        log.info("telemetry is taken again; spans that were dropped: \(dropped, .count)")
        dropped = 0
      }
    }
    trouble = failure
  }

  private func send(_ what: String, _ body: OpenTelemetry.Value) async -> String? {
    do throws(Fault) {
      let answer = try await outside.call(
        OutboundRequest(
          "POST", "\(endpoint)/v1/\(what)", headers: headers, body: OpenTelemetry.encoded(body),
          authorityFile: settings.authorityFile))
      return (200..<300).contains(answer.status) ? nil : "it answered \(answer.status)"
    } catch { return error.message }
  }
}
