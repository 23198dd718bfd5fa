import Audit
import Cryptography
import Glibc
import KeyService
import Primitives
import Storage

/// Where signed checkpoints of the audit log go: to places that whoever changes the store does not reach at once. Named in the
/// configuration only; nothing that comes by the management side decides it.
struct CheckpointSettings {
  /// nil: within the data directory.
  var file: String?
  var toSyslog = false
  var url: String?
  /// What messages to the URL are signed with.
  var secretFile: String?
  var authorityFile: String?
}

/// Brings checkpoints to their places, on the control loop.
@safe
final class CheckpointKeeper {
  private let settings: CheckpointSettings
  private let path: String
  private let secret: [UInt8]?
  private let service: KeyService
  private let outside: OutsideWorld
  private let log: Log
  private var isBusy = false
  private var lastTrouble: String?

  init(_ settings: CheckpointSettings, dataDirectory: String, service: KeyService, outside: OutsideWorld, log: Log) throws(Fault)
  {
    self.settings = settings
    path = settings.file ?? Self.defaultPath(dataDirectory)
    (self.service, self.outside, self.log) = (service, outside, log)
    secret = try settings.secretFile.map { (path) throws(Fault) in
      let secret = try Files.readKeyFile(path, what: "secret for checkpoints", option: "set audit.checkpoint_secret_file")
      return [UInt8](copying: secret.span)
    }
    if unsafe access(path, F_OK) == 0 { service.takeCheckpoints(try AuditCommands.readCheckpoints(path)) }
  }

  static func defaultPath(_ dataDirectory: String) -> String { "\(dataDirectory)/audit-checkpoints.jsonl" }

  /// Once a second: brings the last entry's checkpoint to every place, and follows the chain a piece further.
  func keep() async {
    guard !isBusy else { return }
    isBusy = true
    defer { isBusy = false }
    do throws(Fault) {
      try service.verifyAudit(limit: 100)
      guard let checkpoint = try service.checkpointDue() else { return }
      let trouble = await bring(checkpoint)
      try service.noteCheckpoint(checkpoint.number, trouble: trouble)
      if trouble != lastTrouble { log.warn("audit checkpoints: \(trouble ?? "are kept again", .because)") }
      lastTrouble = trouble
    } catch { log.warn("the audit log cannot be followed: \(error, .because)") }
  }

  /// What kept it from a place.
  private func bring(_ checkpoint: Checkpoint) async -> String? {
    let line = AuditExport.line(checkpoint)
    do throws(Fault) {
      try append(line + [10])
      if settings.toSyslog {
        unsafe String(decoding: line, as: UTF8.self).withCString { text in
          unsafe withVaList([text]) { unsafe vsyslog(LOG_NOTICE | (10 << 3), "maskllm audit checkpoint %s", $0) }
        }
      }
      if let url = settings.url, let secret {
        let headers = Webhook.headers(
          line, id: "audit_\(checkpoint.log)_\(checkpoint.number)", now: service.now, secret: secret.span)
        let answer = try await outside.call(
          OutboundRequest("POST", url, headers: headers, body: line, authorityFile: settings.authorityFile))
        guard (200..<300).contains(answer.status) else { return "the second place answered \(answer.status)" }
      }
      return nil
    } catch { return error.message }
  }

  private func append(_ line: [UInt8]) throws(Fault) {
    let fd = unsafe open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw Fault(.system, unsafe "\(path) cannot be written: \(String(cString: strerror(errno)))") }
    defer { close(fd) }
    let file = SequentialFile(fd)
    do throws(Fault) {
      try file.write(line)
      try file.sync()
    } catch { throw Fault(.system, "\(path) cannot be written", hint: "is the disk full?") }
  }
}
