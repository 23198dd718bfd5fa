public import Audit
import Cryptography
import Domain
public import Primitives
import Storage
import Vault

/// How it stands with the record of acts.
public struct AuditState: Sendable {
  public let keys: AuditKeys
  /// The number of the last entry.
  public let last: Int64
  /// Up to which entry the chain was followed since it was last begun with, and when that was finished the last time.
  public let verifiedUpTo: Int64
  public let verifiedAt: Timestamp?
  /// Where it is broken.
  public let broken: ChainBreak?
  /// Up to which entry a checkpoint is in the second places, and what keeps the next from there.
  public let checkpointed: Int64
  public let trouble: String?
  /// Why the last act could not be written down; nil once anything can be.
  public let unwritten: String?
}

/// The state of following the chain, piece by piece beside all else.
struct AuditWatch {
  var verifier: ChainVerifier?
  var verifiedAt: Timestamp?
  var broken: ChainBreak?
  var checkpointed: Int64 = 0
  var trouble: String?
  /// Why the last act could not be written down; nil once anything can be.
  var unwritten: String?
  /// What the second place had when the process started.
  var checkpoints: [Checkpoint] = []
}

private struct VaultSealer: AuditSealer {
  let vault: Vault
  func seal(_ key: borrowing SecretBytes) throws(Fault) -> [UInt8] { try vault.seal(key.span, for: "audit", hosts: []) }
  func open(_ sealed: [UInt8]) throws(Fault) -> SecretBytes { try vault.open(sealed, for: "audit", hosts: []) }
}

extension KeyService {
  /// Writes down what is about to be done. Where it cannot be, it throws, and is not done.
  func audit(_ act: String, _ subject: String, _ details: [String: String] = [:], by actor: Actor = .administrator) throws(Fault)
  {
    try audit(act, [subject], details, by: actor)
  }

  func audit(_ act: String, _ subjects: [String], _ details: [String: String] = [:], by actor: Actor = .administrator)
    throws(Fault)
  {
    let who = actor == .administrator ? Actor.named(Caller.current.name) : actor
    let log = try auditLog()
    do throws(Fault) { try log.append(act, subjects, details, by: who, at: clock.now) } catch {
      auditWatch.unwritten = error.message
      throw error
    }
    auditWatch.unwritten = nil
  }

  /// What is wrong with the record of acts itself; nil when nothing is known to be.
  public var auditTrouble: String? {
    auditWatch.broken.map { "entry \($0.number) is not what it was: \($0.reason)" }
      ?? auditWatch.unwritten.map { "it cannot be written: \($0)" }
  }

  /// Finds out whether the record can be written again where it could not: an entry is appended, and taken back.
  public func retryAudit() {
    guard auditWatch.unwritten != nil, vault != nil, batch == nil else { return }
    do throws(Fault) {
      try store.begin()
      defer { store.rollBack() }
      try audit("event.probe", "audit", by: .gateway)
    } catch {}
  }

  public func auditLog() throws(Fault) -> AuditLog { AuditLog(store, VaultSealer(vault: try requireVault())) }

  /// Entries looked at before others go on: about 5 ms.
  private static let entriesAtOnce = 2000

  /// Entries that match, the newest first. Goes through them in pieces, while everything goes on.
  public func auditEntries(_ filter: AuditFilter, before number: Int64 = .max, limit: Int = .max) async throws(Fault)
    -> [AuditEntry]
  {
    try await auditPieces(from: number) { (log, place, found) throws(Fault) in
      try log.entries(filter, before: place, limit: limit - found, rows: Self.entriesAtOnce)
    }
  }

  /// Entries that match, in their order. Goes through them in pieces, while everything goes on.
  public func auditEntries(_ filter: AuditFilter, after number: Int64, limit: Int) async throws(Fault) -> [AuditEntry] {
    try await auditPieces(from: number) { (log, place, found) throws(Fault) in
      try log.entries(filter, after: place, limit: limit - found, rows: Self.entriesAtOnce)
    }
  }

  /// What `piece` finds from `number` on, given the place to go on from and how many were found, until there is nothing more.
  private func auditPieces(
    from number: Int64, _ piece: (AuditLog, Int64, Int) throws(Fault) -> (found: [AuditEntry], next: Int64?)
  ) async throws(Fault) -> [AuditEntry] {
    var (found, next): ([AuditEntry], Int64?) = ([], number)
    while let place = next {
      if place != number { try await breathe() }
      let more = try piece(try auditLog(), place, found.count)
      (found, next) = (found + more.found, more.next)
    }
    return found
  }

  /// Writes down that the vault was opened for serving. From here on people are told of what is written down.
  public func noteUnsealed() throws(Fault) {
    try loadAlerts()
    try audit("vault.unseal", "vault", by: .named(Caller.current.name))
  }

  /// Writes down that somebody was refused on the management side.
  public func noteRefusal(_ act: String, _ subject: String, _ details: [String: String]) throws(Fault) {
    if vault != nil { try audit(act, subject, details, by: .gateway) }
  }

  /// Writes down that the caller has asked for what is not theirs: the first of a minute, so that who asks for it all day writes no book.
  public func noteForbidden(_ asked: String) {
    let caller = Caller.current.name
    let minute = clock.now.milliseconds / 60_000
    guard vault != nil, lastForbidden[caller] != minute else { return }
    if lastForbidden.count >= Self.forbiddenMax { lastForbidden = [:] }
    lastForbidden[caller] = minute
    // It was refused already: where it cannot be written down there is nothing left to refuse.
    try? audit(
      "event.forbidden", caller.contains("/") ? caller : "caller/\(caller)", ["asked": asked, "because": "asked for \(asked)"],
      by: .gateway)
  }

  private static let forbiddenMax = 10_000

  // MARK: verifying

  public func auditState() throws(Fault) -> AuditState {
    let log = try auditLog()
    guard let keys = try log.keys() else { throw Fault(.notFound, "nothing was written down yet") }
    let last = try log.entries(limit: 1).first?.number ?? 0
    return AuditState(
      keys: keys, last: last, verifiedUpTo: auditWatch.verifier?.number ?? 0, verifiedAt: auditWatch.verifiedAt,
      broken: auditWatch.broken, checkpointed: auditWatch.checkpointed, trouble: auditWatch.trouble,
      unwritten: auditWatch.unwritten)
  }

  /// Follows the chain for at most `limit` entries more. What it finds first is written down, and stays until it is begun with anew.
  public func verifyAudit(limit: Int) throws(Fault) {
    guard vault != nil, auditWatch.broken == nil else { return }
    let log = try auditLog()
    guard let keys = try log.keys(), let id = keys.id else { return }
    do throws(ChainBreak) {
      if auditWatch.verifier == nil {
        auditWatch.verifier = try ChainVerifier(
          log: id, publicKey: keys.firstPublicKey, checkpoints: auditWatch.checkpoints.filter { $0.log == id })
      }
      guard try !log.verify(&auditWatch.verifier!, limit: limit) else { return }
      try auditWatch.verifier!.end()
      auditWatch.verifiedAt = clock.now
    } catch {
      auditWatch.broken = error
      try audit("event.audit_broken", "audit", ["number": "\(error.number)", "because": error.reason], by: .gateway)
    }
  }

  /// Follows the chain from its beginning again, while everything goes on.
  public func verifyAuditAnew() async throws(Fault) -> AuditState {
    _ = try requireVault()
    (auditWatch.verifier, auditWatch.broken, auditWatch.verifiedAt) = (nil, nil, nil)
    while auditWatch.broken == nil, auditWatch.verifiedAt == nil {
      try verifyAudit(limit: 200)
      try await breathe()
    }
    return try auditState()
  }

  // MARK: checkpoints

  /// Takes what the second place has, before anything is followed.
  public func takeCheckpoints(_ checkpoints: [Checkpoint]) {
    auditWatch.checkpoints = checkpoints
    auditWatch.checkpointed = checkpoints.map(\.number).max() ?? 0
  }

  /// What the second places do not have yet.
  public func checkpointDue() throws(Fault) -> Checkpoint? {
    guard vault != nil, let checkpoint = try auditLog().checkpoint(), checkpoint.number != auditWatch.checkpointed else {
      return nil
    }
    return checkpoint
  }

  /// Notes that a checkpoint was brought to the second places, or what kept it.
  public func noteCheckpoint(_ number: Int64, trouble: String?) throws(Fault) {
    let isNews = trouble != nil && auditWatch.trouble == nil
    auditWatch.trouble = trouble
    if isNews { try audit("event.checkpoint_trouble", "audit", ["because": Label.fitting(trouble ?? "")], by: .gateway) }
    if trouble == nil { auditWatch.checkpointed = number }
  }
}
