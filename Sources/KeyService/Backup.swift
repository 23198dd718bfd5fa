import Audit
import Cryptography
import FoundationEssentials
public import Primitives
import Storage
public import Vault

/// A copy of everything in one encrypted stream: `MASKLLM-BACKUP-1\n`, a line of JSON that says how it is opened (nothing secret in
/// it), and the pieces of a secret stream: the store, then the file of endings.
public enum Backup {
  static let magic = "MASKLLM-BACKUP-1"
  static let pieceLength = 64 * 1024

  /// What goes before the secret part.
  public struct Head: Codable, Sendable {
    public let createdAt: String
    /// Of the last act in it: which of two copies is the older one.
    public let lastAct: Int64
    public let vault: Vault.Wrapped
    let salt: [UInt8]
    let dataKey: UInt32
    /// Bytes of the store.
    let storeLength: Int
  }
}

extension KeyService {
  /// Writes a backup to `path`, which must not be there, while everything goes on. Returns its length.
  public func backUp(to path: String) async throws(Fault) -> Int {
    let vault = try requireVault()
    let copyPath = "\(path).store"
    defer { for suffix in ["", "-journal", "-wal", "-shm"] { SequentialFile.remove(copyPath + suffix) } }
    try audit("backup.create", "store")
    let lastAct = try auditLog().entries(limit: 1).first?.number ?? 0
    try SequentialFile.create(copyPath)
    let copy = try store.copy(to: copyPath)
    while try !copy.step() { try await breathe() }
    let source = try SequentialFile(reading: copyPath)
    let salt = randomness.bytes(32)
    let key = try vault.backupKey(salt: salt, version: vault.dataKeyVersion)
    let head = Backup.Head(
      createdAt: clock.now.rfc3339, lastAct: lastAct, vault: try Vault.wrapped(in: store), salt: salt,
      dataKey: vault.dataKeyVersion,
      storeLength: source.length)
    try SequentialFile.create(path)
    let target = try SequentialFile(writing: path)
    let stream = SecretStream.Writer(key: key)
    try target.write(Array("\(Backup.magic)\n".utf8) + (try Delivery.json(head)) + [10] + stream.header)
    var left = source.length
    while left > 0 {
      let piece = try source.read(min(Backup.pieceLength, left))
      guard !piece.isEmpty else { throw Fault(.storage, "the copy of the store cannot be read") }
      left -= piece.count
      try target.write(stream.push(piece.span, isLast: false))
      try await breathe()
    }
    let endings = Array(try store.endings().joined(separator: "\n").utf8)
    try target.write(stream.push(endings.span, isLast: true))
    try target.sync()
    return target.written
  }

  /// The folder that everything lies in.
  public var place: String { store.place }

  /// Lets others go on; in a command of its own there are none.
  func breathe() async throws(Fault) {
    if keepsBreathing { try await outside.pause(milliseconds: 0) }
  }
}

/// Reads a backup back.
public struct BackupReader {
  public let head: Backup.Head
  private let file: SequentialFile

  /// Throws `.invalidInput` for what is no backup.
  public init(descriptor: Int32) throws(Fault) {
    file = SequentialFile(descriptor)
    let bad = Fault(.invalidInput, "that is no backup of maskllm", hint: "give it on standard input: maskllm restore < backup")
    guard try file.line(limit: 100) == Array(Backup.magic.utf8), let line = try file.line(limit: 1 << 20),
      let head = try? JSONDecoder().decode(Backup.Head.self, from: Data(line)), head.storeLength >= 0
    else { throw bad }
    self.head = head
  }

  /// Writes the store to `path`, a new file, and returns the lines of the endings. Throws `.tampered` when anything in it was changed or
  /// is missing: what was written is then no store.
  public func restore(_ vault: Vault, to path: String) throws(Fault) -> [String] {
    do throws(Fault) {
      let reader = try self.reader(vault)
      try SequentialFile.create(path)
      return try copy(reader, to: try SequentialFile(writing: path))
    } catch {
      throw error == Fault(.cryptography, "") ? Self.damaged : error
    }
  }

  private static let damaged = Fault(
    .tampered, "the backup is damaged or cut off", hint: "take another one; nothing was changed")

  private func reader(_ vault: Vault) throws(Fault) -> SecretStream.Reader {
    let key = try vault.backupKey(salt: head.salt, version: head.dataKey)
    guard let header = try file.exactly(SecretStream.headerLength) else { throw Self.damaged }
    return try SecretStream.Reader(key: key, header: header)
  }

  private func copy(_ reader: SecretStream.Reader, to target: SequentialFile) throws(Fault) -> [String] {
    var left = head.storeLength
    while left > 0 {
      guard let piece = try file.exactly(min(Backup.pieceLength, left) + SecretStream.overhead) else { throw Self.damaged }
      let plain = try reader.pull(piece.span)
      if reader.isOver { throw Self.damaged }
      try target.write(plain)
      left -= plain.count
    }
    let rest = try file.rest(limit: 256 << 20)
    let endings = try reader.pull(rest.span)
    if !reader.isOver { throw Self.damaged }
    try target.sync()
    return String(decoding: endings, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}
