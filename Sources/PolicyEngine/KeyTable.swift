public import Cryptography
public import Domain
public import Primitives

/// What a request needs to know of a masked key.
public struct KeyEntry: Sendable {
  public let id: RecordID
  public let hash: Digest256
  /// Milliseconds since 1970; `.max` when it never expires.
  public let expiresAt: Int64
  public let state: MaskedKey.State
  /// Of the present secret.
  public let version: UInt32
  let isDecoy: Bool
  /// Until when its content is captured, in milliseconds since 1970; 0: it is not.
  let capturesUntil: Int64
  /// Where its earlier secrets are, among the snapshot's.
  let earlier: Range<UInt32>
  /// Position in the snapshot's peppers.
  let pepper: UInt16
  /// Position in the snapshot's policies.
  let policy: UInt32
  /// Position in the snapshot's allowances of teams; `.max` when the team has none.
  let team: UInt32
}

/// An earlier secret of a key.
struct EarlierSecret: Sendable {
  let hash: Digest256
  let pepper: UInt16
  let version: UInt32
  /// End of its grace period, in milliseconds since 1970; `.max` while that has not begun.
  let validUntil: Int64
}

/// A masked key that was presented and is right: whether it may be used is another question.
public struct PresentedKey: Sendable {
  /// Position in the snapshot.
  public let index: Int
  /// Which of the key's secrets it is.
  public let version: UInt32
}

/// Key ID → entry: open addressing over two flat arrays, built once and then only read.
struct KeyTable: Sendable {
  private let entries: [KeyEntry]
  private let slots: [UInt32]  // position in `entries` plus one; 0 is empty
  private let mask: Int

  init(_ entries: [KeyEntry]) {
    self.entries = entries
    var capacity = 16
    while capacity < entries.count * 2 { capacity *= 2 }
    mask = capacity - 1
    var slots = [UInt32](repeating: 0, count: capacity)
    for (i, entry) in entries.enumerated() {
      var at = Self.hash(entry.id) & mask
      while slots[at] != 0 { at = (at + 1) & mask }
      slots[at] = UInt32(i + 1)
    }
    self.slots = slots
  }

  /// The position of the entry of `id`.
  func index(of id: RecordID) -> Int? {
    var at = Self.hash(id) & mask
    while slots[at] != 0 {
      let i = Int(slots[at]) - 1
      if entries[i].id == id { return i }
      at = (at + 1) & mask
    }
    return nil
  }

  subscript(_ i: Int) -> KeyEntry { entries[i] }

  // IDs are random; one multiplication spreads their base62 over the low bits.
  private static func hash(_ id: RecordID) -> Int {
    Int(truncatingIfNeeded: ((id.high ^ UInt64(id.low) &* 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93) >> 20)
  }
}
