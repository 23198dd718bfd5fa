import Audit
import Domain
import KeyService
import Primitives

// What triggers say of what was recorded, and what came of it.
extension Server {
  func actOnVerdicts() async {
    do throws(Fault) { for outcome in try await service.actOnVerdicts() { tell(outcome) } } catch {
      log.warn("what triggers say could not be written down, and was not done: \(error, .because)")
    }
  }

  func tell(_ outcome: TriggerOutcome) {
    let subject = outcome.verdict.key.map { "key \($0)" } ?? "provider key \(outcome.verdict.providerKey?.description ?? "")"
    let did = outcome.isShadow ? "would \(outcome.action.rawValue)" : outcome.did ?? "alert"
    // What others have written stays on one line.
    log.warn(
      "trigger '\(outcome.verdict.trigger, .trigger)' (\(Label.fitting(did), .did)): \(Label.fitting(subject), .subject): \(Label.fitting(outcome.verdict.because), .because)"
    )
  }
}
