import Audit
import Cryptography
import Domain
import PolicyEngine
public import Primitives
import Storage
import Vault

/// What came of closing the vault.
public struct SealReceipt: Sendable {
  /// How many event loops serve nothing since.
  public var eventLoops = 0
  /// Alert channels that were told, and what kept the others.
  public var told: [String] = []
  public var notTold: [(channel: String, because: String)] = []
}

// The emergency stop: the vault is closed by hand, and stays closed over restarts until somebody opens it.
extension KeyService {
  /// Set, and not empty, while the vault is closed by hand.
  private static let mark = "sealed_by_hand"

  /// Whether the vault was closed by hand, so that a key file alone does not open it.
  public func isSealedByHand() throws(Fault) -> Bool { try store.blob(Self.mark)?.isEmpty == false }

  /// Closes the vault. On return nothing is served, streams in flight are being cut, the real keys are out of this process's
  /// memory, and the alert channels were tried once.
  ///
  /// Throws `.conflict` when it is closed already; when it cannot be written down, it stays open.
  public func seal(reason: String) async throws(Fault) -> SealReceipt {
    guard vault != nil else { throw Fault(.conflict, "the vault is sealed already") }
    try Label.validate(reason, of: "reason")
    try audit("vault.seal", "vault", ["because": reason])
    try store.setBlobs([(Self.mark, Array("1".utf8))])
    // From here on it is closed, whatever else cannot be kept.
    try? keepObjects()
    let farewells = farewells()
    close()
    var receipt = SealReceipt()
    receipt.eventLoops = await publish()
    // After the streams have ended, what accounts have at hand is given back.
    try? closeLedger()
    await tell(farewells, &receipt)
    return receipt
  }

  /// Opens a vault that may have been closed by hand, and writes it down.
  public func reopen(secret: Span<UInt8>) async throws(Fault) {
    try unseal(secret: secret, reopening: true)
    do throws(Fault) {
      try noteUnsealed()
      if try isSealedByHand() { try store.setBlobs([(Self.mark, [])]) }
    } catch {
      close()
      throw error
    }
    await publish()
  }

  /// Forgets what the vault has opened: everything is as in a process that has not opened it.
  func close() {
    vault = nil
    (keys, keyOrder, tamperedKeys, tamperedProviders, restoredKeys) = ([:], [], [], [], [])
    (providerKeys, credentials, tokens) = ([], [:], [:])
    (plans, runs, schedules, destinations, channels, silences) = ([:], [:], [:], [:], [:], [:])
    (pendingObjects, dues, due) = ([:], [:], nil)
  }

  /// What a channel is still to be told, with what it takes to tell it.
  private struct Farewell: Sendable {
    let name: String
    let channel: AlertChannel
    let alerts: [Alert]
    let secret: [UInt8]
  }

  /// With the vault closed, channels' credentials are not there any more: what waits for anything is told now.
  private func farewells() -> [Farewell] {
    try? takeAlerts()
    return channels.sorted { $0.key < $1.key }.compactMap { name, channel in
      let waiting = alertBook?.waiting(name) ?? []
      guard !waiting.isEmpty, let secret = try? credential(of: channel, named: name) else { return nil }
      return Farewell(name: name, channel: channel, alerts: waiting, secret: secret)
    }
  }

  /// Each channel on its own, so that a slow one keeps no other.
  private func tell(_ farewells: [Farewell], _ receipt: inout SealReceipt) async {
    let outcomes = await withTaskGroup(of: (String, String?).self) { group in
      for farewell in farewells {
        group.addTask {
          var secret = farewell.secret
          defer { wipe(&secret) }
          do throws(Fault) {
            return (
              farewell.name, try await self.tell(farewell.alerts, to: farewell.channel, named: farewell.name, secret: secret)
            )
          } catch { return (farewell.name, error.message) }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    for (name, trouble) in outcomes.sorted(by: { $0.0 < $1.0 }) {
      if let trouble { receipt.notTold.append((name, trouble)) } else { receipt.told.append(name) }
    }
  }
}
