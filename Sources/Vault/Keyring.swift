import Cryptography
import Primitives

/// The working keys: data keys that seal records, peppers that hash masked keys, MAC keys that sign rows. Each with versions.
///
/// Kept as one envelope under the root key.
final class Keyring: Sendable {
  enum Purpose: UInt8, CaseIterable { case data = 1, pepper = 2, rowMAC = 3 }

  final class Entry: Sendable {
    let purpose: Purpose
    let version: UInt32
    let key: SecretBytes
    init(purpose: Purpose, version: UInt32, key: consuming SecretBytes) {
      self.purpose = purpose
      self.version = version
      self.key = key
    }
  }

  let entries: [Entry]
  private static let entryLength = 1 + 4 + 32

  init(_ entries: [Entry]) { self.entries = entries }

  /// Version 1 of every key.
  static func fresh() -> Keyring { Keyring(Purpose.allCases.map { Entry(purpose: $0, version: 1, key: .random(32)) }) }

  /// The newest key for `purpose`.
  func current(_ purpose: Purpose) -> Entry { entries.filter { $0.purpose == purpose }.max { $0.version < $1.version }! }

  func entry(_ purpose: Purpose, version: UInt32) -> Entry? { entries.first { $0.purpose == purpose && $0.version == version } }

  func encoded() -> SecretBytes {
    SecretBytes(count: entries.count * Self.entryLength) { target in
      for (n, entry) in entries.enumerated() {
        let at = n * Self.entryLength
        target[at] = entry.purpose.rawValue
        for i in 0..<4 { target[at + 1 + i] = UInt8(truncatingIfNeeded: entry.version >> UInt32(24 - 8 * i)) }
        entry.key.copy(to: &target, at: at + 5)
      }
    }
  }

  static func decode(_ bytes: borrowing SecretBytes) throws(Fault) -> Keyring {
    let damaged = Fault(.tampered, "the keyring is damaged", hint: "restore a backup")
    guard bytes.count % entryLength == 0 else { throw damaged }
    var entries: [Entry] = []
    for at in stride(from: 0, to: bytes.count, by: entryLength) {
      guard let purpose = Purpose(rawValue: bytes.span[at]) else { throw damaged }
      var version: UInt32 = 0
      for i in 1...4 { version = version << 8 | UInt32(bytes.span[at + i]) }
      entries.append(
        Entry(purpose: purpose, version: version, key: SecretBytes(copying: bytes.span.extracting((at + 5)..<(at + 37)))))
    }
    for purpose in Purpose.allCases where !entries.contains(where: { $0.purpose == purpose }) { throw damaged }
    return Keyring(entries)
  }
}
