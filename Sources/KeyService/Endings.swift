import Audit
import Domain
import Primitives
import Storage
import Vault

// What has ended stays ended, also when an older copy of the store is put in its place: endings are written down beside it.
extension KeyService {
  /// Notes that `version` of a key (0: the key as a whole) ends at `moment`, before that is in force.
  func noteEndings(_ endings: [(key: RecordID, version: UInt32)], at moment: Timestamp) throws(Fault) {
    guard !endings.isEmpty else { return }
    let vault = try requireVault()
    let lines = endings.map { vault.ending(of: $0.key, version: $0.version, at: moment) }
    if batch != nil { batch?.endings += lines } else { try store.append(endings: lines) }
  }

  /// Ends what the store has alive and what was ended: an older copy of it was put in place. Returns which keys these are.
  func enforceEndings(_ vault: Vault) throws(Fault) {
    restoredKeys = []
    for line in try store.endings() {
      // A line that was changed outside ends nobody.
      guard let (id, version, moment) = vault.ending(from: line), var key = keys[id], !key.state.isFinal else { continue }
      if version == 0 {
        key.state = .revoked
        key.details.reason = "revoked at \(moment.rfc3339); an older copy of the store had it alive"
      } else {
        // Its present secret is one that has been replaced; the one that has replaced it is not in this copy.
        guard version == key.details.version, moment <= clock.now, key.state == .active else { continue }
        key.state = .disabled
        key.details.reason = "an older copy of the store had a secret that ended at \(moment.rfc3339); rotate the key"
      }
      key.revision += 1
      keys[id] = key
      restoredKeys.append(id)
    }
  }

  /// Keeps what `enforceEndings` has changed, and writes down that an older copy was put in place.
  func keepEndings(_ vault: Vault) throws(Fault) {
    guard !restoredKeys.isEmpty else { return }
    for id in restoredKeys {
      try audit("event.older_store", "key/\(id)", ["because": keys[id]?.details.reason ?? ""], by: .gateway)
    }
    // Several lines can be about one key: the row goes up by one.
    for id in Set(restoredKeys) {
      guard var key = keys[id], let known = try store.maskedKeys().first(where: { $0.id == id }) else { continue }
      key.revision = known.revision + 1
      try store.save(try vault.row(for: key))
      keys[id] = key
    }
  }
}
