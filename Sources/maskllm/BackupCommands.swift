import AdminAPI
import Audit
import Cryptography
import Domain
import Glibc
import KeyService
import Primitives
import Providers
import Storage
import Vault
import Wire

/// Copies of everything, and back.
enum BackupCommands {
  static let all = [backup, restore]

  private static let backup = Command(
    path: ["backup"], summary: "write an encrypted copy of everything to standard output, while the server goes on",
    options: Unsealing.options
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    guard isatty(1) == 0 else {
      throw Fault(.invalidInput, "a backup is not for a terminal", hint: "redirect it: maskllm backup > maskllm.backup")
    }
    let answer: BackupDocument = try decode(try AdminLink.open(arguments).call(.post, "/v1/backups"))
    defer { unsafe unlink(answer.path) }
    let fd = unsafe open(answer.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard fd >= 0 else {
      throw Fault(
        .system, "the backup \(answer.path) cannot be read here",
        hint: "run it on the server's machine, as the server's user")
    }
    defer { close(fd) }
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let n = unsafe read(fd, &piece, piece.count)
      if n < 0, errno == EINTR { continue }
      guard n >= 0 else { throw Fault(.system, "the backup cannot be read") }
      if n == 0 { break }
      var done = 0
      while done < n {
        let m = unsafe piece.withUnsafeBytes { unsafe write(1, $0.baseAddress! + done, n - done) }
        if m < 0, errno == EINTR { continue }
        guard m > 0 else { throw Fault(.system, "the backup cannot be written to standard output", hint: "is the disk full?") }
        done += m
      }
    }
    Terminal.note("\(answer.bytes) bytes; what opens the vault opens it: keep that elsewhere")
  }

  private static let restore = Command(
    path: ["restore"], summary: "put a backup, read from standard input, in place",
    options: Unsealing.options + [
      Option(name: "replace", value: nil, help: "where there is a store already: put it aside"),
      Option(name: "older", value: nil, help: "also where that store is newer than the backup"), Command.json,
    ], isManaging: false
  ) { arguments throws(Fault) in
    try arguments.noOperands()
    let path = try Files.dataDirectory(arguments)
    let reader = try BackupReader(descriptor: 0)
    let method = try Vault.method(of: reader.head.vault)
    guard method == .keyFile || arguments.has("passphrase-fd") else {
      throw Fault(
        .invalidInput, "the vault in this backup has a passphrase, and standard input has the backup",
        hint: "give the passphrase with --passphrase-fd")
    }
    let secret = try Unsealing.secret(path: path, method: method, arguments)
    let vault = try Vault.unseal(reader.head.vault, secret: secret.span)
    let isThere = DataDirectory.isInitialized(path)
    guard !isThere || arguments.has("replace") else {
      throw Fault(.conflict, "there is a store at \(path) already", hint: "name another directory with --data, or give --replace")
    }
    let fresh = "\(path)/restored.db"
    if isThere { try compare(path, reader.head, secret, arguments) }
    do throws(Fault) {
      let directory = try DataDirectory.take(path, creating: true)
      unsafe unlink(fresh)
      let endings = try reader.restore(vault, to: fresh)
      try putInPlace(path, fresh, isThere: isThere)
      let store = try SQLiteStore.open(in: directory)
      let known = Set(try store.endings())
      try store.append(endings: endings.filter { !known.contains($0) })
      let service = KeyService(
        store: store, sink: Nobody(), catalogue: try Catalogue.with(folder: DataDirectory.cataloguePath(path)))
      try service.unseal(secret: secret.span)
      try tell(service, reader.head, path, arguments)
    } catch {
      unsafe unlink(fresh)
      throw error
    }
  }

  /// Refuses what somebody would be sorry for.
  private static func compare(_ path: String, _ head: Backup.Head, _ secret: borrowing SecretBytes, _ arguments: Arguments)
    throws(Fault)
  {
    let store = try SQLiteStore.open(in: try DataDirectory.take(path, creating: false))
    let service = KeyService(store: store, sink: Nobody(), keepsLedger: false)
    do throws(Fault) { try service.unseal(secret: secret.span) } catch {
      throw Fault(
        .conflict, "the store at \(path) is another vault's", hint: "restore into another directory with --data")
    }
    let last = try service.auditLog().entries(limit: 1).first?.number ?? 0
    guard last <= head.lastAct || arguments.has("older") else {
      throw Fault(
        .conflict,
        "the store at \(path) is newer: \(last - head.lastAct) acts were written since the backup of \(head.createdAt)",
        hint: "give --older to go back; keys that have ended since stay ended")
    }
  }

  private static func putInPlace(_ path: String, _ fresh: String, isThere: Bool) throws(Fault) {
    let place = DataDirectory.storePath(path)
    if isThere {
      let aside = "\(place).\(SystemClock().now.milliseconds)"
      for suffix in ["", "-wal", "-shm"] where unsafe access(place + suffix, F_OK) == 0 {
        guard unsafe rename(place + suffix, aside + suffix) == 0 else {
          throw Fault(.system, "\(place)\(suffix) cannot be put aside")
        }
      }
      // Checkpoints of what came after the backup would contradict all that comes now.
      let checkpoints = CheckpointKeeper.defaultPath(path)
      unsafe rename(checkpoints, "\(checkpoints).\(SystemClock().now.milliseconds)")
    }
    guard unsafe rename(fresh, place) == 0 else { throw Fault(.system, "\(place) cannot be put in place") }
  }

  private static func tell(_ service: KeyService, _ head: Backup.Head, _ path: String, _ arguments: Arguments) throws(Fault) {
    let keys = try service.unorderedKeys()
    let broken = try service.listProviderKeys().filter { !$0.isUsable }.map(\.key.id.description)
    if arguments.has("json") {
      let document = RestoredDocument(
        data: path, created_at: head.createdAt, keys: keys.count,
        ended_again: Set(service.restoredKeys).map(\.description).sorted(),
        tampered: service.tamperedKeys.map(\.description), unusable_provider_keys: broken)
      return Terminal.result(try jsonText(document))
    }
    Terminal.result("restored the backup of \(head.createdAt) into \(path): \(keys.count) masked keys")
    let ended = Set(service.restoredKeys).count
    if ended > 0 {
      Terminal.note("\(ended) keys that have ended since are ended again; see 'maskllm audit list --act event.older_store'")
    }
    if !service.tamperedKeys.isEmpty || !broken.isEmpty {
      Terminal.note(
        "not used, because they do not open: \((service.tamperedKeys.map(\.description) + broken).joined(separator: ", "))")
    }
  }

  private struct RestoredDocument: Encodable {
    let data: String
    let created_at: String
    let keys: Int
    let ended_again: [String]
    let tampered: [String]
    let unusable_provider_keys: [String]
  }
}
