import Audit
public import Primitives
import PolicyEngine

/// Somebody says that a key is where it should not be.
public struct LeakReport: Sendable {
  /// All of its text: only that proves that it is known.
  public let token: [UInt8]
  public let place: String
  public let source: String
  public init(token: [UInt8], place: String, source: String) {
    (self.token, self.place, self.source) = (token, place, source)
  }
}

// Keys that were found.
extension KeyService {
  /// Reports taken in one call.
  public static let leakReportsMax = 1000

  /// For each report the key that it is about: nil where the text is none of ours. The triggers for leaked keys have done what they
  /// do when it returns.
  public func reportLeaks(_ reports: [LeakReport]) async throws(Fault) -> (keys: [RecordID?], outcomes: [TriggerOutcome]) {
    _ = try requireVault()
    guard reports.count <= Self.leakReportsMax else {
      throw Fault(.invalidInput, "more than \(Self.leakReportsMax) reports at once")
    }
    let snapshot = inForce ?? snapshot()
    var found: [RecordID?] = []
    try watch()
    for report in reports {
      guard let key = try? snapshot.identify(report.token.span) else {
        found.append(nil)
        continue
      }
      let id = snapshot.keyID(at: key.index)
      found.append(id)
      let place = String(report.place.prefix(300))
      try audit(
        "event.leaked", "key/\(id)", ["place": place, "source": String(report.source.prefix(60)), "version": "\(key.version)"],
        by: .gateway)
      pendingVerdicts += engine!.takeLeak(of: id, place: place, at: clock.now, facts)
    }
    return (found, try await actOnVerdicts())
  }
}
