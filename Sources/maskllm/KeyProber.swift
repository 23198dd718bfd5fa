import Domain
import Gateway
import KeyService
import PolicyEngine
import Primitives
import Providers
import Transport

/// Finds out if provider keys are as bad as answers to requests said: asks the provider for what only a good key is answered on. One look
/// at a time for each key, a few at once for all. Belongs to the control loop.
final class KeyProber: @unchecked Sendable {
  private let outside: OutsideWorld
  private let log: Log
  // Loop-confined.
  private var underWay: Set<ObjectIdentifier> = []

  /// Looks at once, of all keys; what is asked beside is asked again with the next suspicion.
  private static let atOnceMax = 8

  init(outside: OutsideWorld, log: Log) { (self.outside, self.log) = (outside, log) }

  /// Begins a look. On the loop's thread.
  func begin(_ credential: Credential, of upstream: Upstream, status: UInt16) {
    let key = ObjectIdentifier(credential.health)
    guard let path = upstream.entry.probePath, underWay.count < Self.atOnceMax, underWay.insert(key).inserted else { return }
    Task(executorPreference: outside.control) {
      await self.look(credential, upstream, path, status)
      self.underWay.remove(key)
    }
  }

  private func look(_ credential: Credential, _ upstream: Upstream, _ path: String, _ status: UInt16) async {
    let name = upstream.provider.name
    do throws(Fault) {
      let answer = try await outside.ask(credential, upstream.provider, path: path)
      let said = UInt16(clamping: answer.status)
      let start = answer.body.span.extracting(0..<min(answer.body.count, RefusalFacts.bodyMax))
      guard said == 401 || upstream.entry.refusals.read(said, start, now: SystemClock().now).blamesKey else {
        log.warn(
          "provider '\(name, .provider)' answered a request \(status, .status), but takes provider key \(credential.keyID, .providerKey): it stays in use"
        )
        return
      }
      if credential.health.refused(now: monotonicNanoseconds()) {
        log.warn(
          "provider '\(name, .provider)' answered \(said, .status): no longer using provider key \(credential.keyID, .providerKey)"
        )
      }
    } catch {
      log.warn("provider key \(credential.keyID, .providerKey) is in doubt, and stays in use: \(error, .because)")
    }
  }
}

struct SuspicionLink: SuspicionDesk {
  let prober: KeyProber
  let control: EventLoop
  func lookInto(_ credential: Credential, of upstream: Upstream, status: UInt16) {
    control.execute { prober.begin(credential, of: upstream, status: status) }
  }
}
