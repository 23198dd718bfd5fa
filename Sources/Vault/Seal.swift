public import Cryptography
import Domain
public import Primitives
public import Storage

/// How the root key is kept: wrapped under a key that a file holds or a passphrase gives.
public enum SealMethod: Sendable, Equatable {
  case keyFile
  case passphrase(PasswordHash, salt: [UInt8])

  public var name: String { if case .keyFile = self { "key-file" } else { "passphrase" } }

  static let blobName = "seal"

  /// What the store says; throws `.notFound` when it says nothing.
  public static func read(from store: any Store) throws(Fault) -> SealMethod { try decode(try blob(store)).method }

  static func blob(_ store: any Store) throws(Fault) -> [UInt8] {
    guard let blob = try store.blob(blobName) else {
      throw Fault(.notFound, "the store is not initialised", hint: "run 'maskllm init'")
    }
    return blob
  }

  /// `method u8 | passes u64 | memory u64 | salt 16 | envelope`; the parameters are bound into the envelope.
  static func encode(_ method: SealMethod, _ envelope: [UInt8]) -> [UInt8] { method.header + envelope }

  static func decode(_ blob: [UInt8]) throws(Fault) -> (method: SealMethod, envelope: [UInt8]) {
    let damaged = Fault(.tampered, "the seal is damaged", hint: "restore a backup")
    guard blob.count > 33 else { throw damaged }
    func number(_ at: Int) -> UInt64 { blob[at..<(at + 8)].reduce(0) { $0 << 8 | UInt64($1) } }
    let envelope = Array(blob[33...])
    switch blob[0] {
    case 1:
      guard blob[1..<33].allSatisfy({ $0 == 0 }) else { throw damaged }
      return (.keyFile, envelope)
    case 2:
      guard let memory = Int(exactly: number(9)), memory <= 16 << 30, number(1) <= 64 else { throw damaged }
      return (.passphrase(PasswordHash(passes: number(1), memoryBytes: memory), salt: Array(blob[17..<33])), envelope)
    default: throw damaged
    }
  }

  var header: [UInt8] {
    func bytes(_ n: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: n >> UInt64(56 - 8 * $0)) } }
    switch self {
    case .keyFile: return [1] + [UInt8](repeating: 0, count: 32)
    case .passphrase(let hash, let salt): return [2] + bytes(hash.passes) + bytes(UInt64(hash.memoryBytes)) + salt
    }
  }

  /// The root key's place, with the parameters of its seal.
  var context: RecordContext {
    RecordContext(table: "blob", column: "value", record: Self.blobName, provider: hexadecimal(header))
  }

  /// The 32-byte key that wraps the root key, from the content of the key file or from the passphrase.
  func unsealKey(_ secret: Span<UInt8>) throws(Fault) -> SecretBytes {
    switch self {
    case .keyFile: return try KeyFile.decode(secret)
    case .passphrase(let hash, let salt): return try hash.key(passphrase: secret, salt: salt)
    }
  }
}

/// The key file: one line, `maskllm-unseal-1:` and 64 hexadecimal digits.
public enum KeyFile {
  private static let prefix: StaticString = "maskllm-unseal-1:"

  /// The content of a new key file. The caller writes it with mode 0400.
  public static func generate() -> SecretBytes {
    let key = SecretBytes.random(32)
    let start = prefix.utf8CodeUnitCount
    return SecretBytes(count: start + 64 + 1) { target in
      for i in 0..<start { target[i] = prefix.span[i] }
      let digits: StaticString = "0123456789abcdef"
      for i in 0..<32 {
        target[start + 2 * i] = digits.span[Int(key.span[i] >> 4)]
        target[start + 2 * i + 1] = digits.span[Int(key.span[i] & 15)]
      }
      target[start + 64] = 10
    }
  }

  static func decode(_ content: Span<UInt8>) throws(Fault) -> SecretBytes {
    let bad = Fault(.unsealFailed, "that is no unseal key file", hint: "it holds one line that starts with \(prefix)")
    let start = prefix.utf8CodeUnitCount
    guard content.count == start + 64 || (content.count == start + 65 && content[start + 64] == 10), content.starts(with: prefix)
    else { throw bad }
    var isValid = true
    let key = SecretBytes(count: 32) { target in
      for i in 0..<32 {
        guard let h = ASCII.hexadecimal(content[start + 2 * i]), let l = ASCII.hexadecimal(content[start + 2 * i + 1]) else {
          isValid = false
          return
        }
        target[i] = h << 4 | l
      }
    }
    guard isValid else { throw bad }
    return key
  }
}
