import Audit
import Domain
import PolicyEngine
import Primitives
import Storage

/// One thing that was looked at.
public struct Check: Sendable, Codable, Equatable {
  public enum Verdict: String, Sendable, Codable, CaseIterable { case good, warning, bad }
  public let what: String
  public let verdict: Verdict
  /// What was found.
  public let finding: String
  /// How to mend it; empty when there is nothing to mend.
  public let mend: String
  public init(_ what: String, _ verdict: Verdict, _ finding: String, mend: String = "") {
    (self.what, self.verdict, self.finding, self.mend) = (what, verdict, finding, mend)
  }
}

// What is wrong here, and how it is mended.
extension KeyService {
  /// Milliseconds that the clocks of providers and of this machine may differ: signatures are refused at five minutes.
  private static let skewMax: Int64 = 60_000

  public func checkUp() async -> [Check] {
    var checks: [Check] = []
    do throws(Fault) {
      try await outside.offLoop(store.inspection())
      checks.append(Check("store", .good, "its pages and indexes are whole"))
    } catch { checks.append(Check("store", .bad, error.message, mend: "restore a backup: maskllm restore --replace < backup")) }
    guard !isSealed else {
      checks.append(Check("vault", .bad, "it is sealed, so that nothing is served", mend: "maskllm unseal"))
      return checks
    }
    checks.append(Check("vault", .good, "it is open"))
    for id in tamperedKeys {
      checks.append(
        Check(
          "masked key \(id)", .bad, "its row was changed outside maskllm, and is not used",
          mend: "make another key: maskllm key create"))
    }
    for name in tamperedProviders {
      checks.append(
        Check(
          "provider '\(name)'", .bad, "its row was changed outside maskllm, and is not used", mend: "maskllm provider add \(name)"
        ))
    }
    if let trouble = auditTrouble {
      checks.append(Check("audit", .bad, trouble, mend: "keep the data directory as it is, and see docs/audit.md"))
    } else if let trouble = auditWatch.trouble {
      checks.append(
        Check("audit", .warning, "checkpoints do not get to their second place: \(trouble)", mend: "maskllm audit state"))
    } else {
      let upTo = auditWatch.verifier?.number ?? 0
      checks.append(Check("audit", .good, upTo == 0 ? "it can be written" : "its chain is whole up to entry \(upTo)"))
    }
    do throws(Fault) { checks.append(try await checkRecords()) } catch {
      checks.append(Check("records", .bad, error.message, mend: "restore a backup: maskllm restore --replace < backup"))
    }
    let now = monotonicNanoseconds()
    for (key, isUsable) in (try? listProviderKeys()) ?? [] {
      let what = "provider key \(key.id) of '\(key.provider)'"
      if !isUsable {
        checks.append(
          Check(
            what, .bad, "it does not open", mend: "maskllm provider-key remove \(key.id), then provider-key add \(key.provider)"))
      } else if let reason = pools[key.id]?.disabledBecause {
        checks.append(Check(what, .warning, "it is disabled: \(reason)", mend: "maskllm provider-key enable \(key.id)"))
      } else if health(of: key.id)?.state(now: now) == .quarantined {
        checks.append(
          Check(what, .bad, "the provider refuses it", mend: "look at it there; rotate it: maskllm provider-key rotate \(key.id)")
        )
      } else {
        checks.append(Check(what, .good, "it opens"))
      }
    }
    for (id, run) in runs.sorted(by: { $0.key < $1.key }) where run.because != nil {
      checks.append(
        Check(
          "rotation of provider key \(id)", .warning, "it waits at '\(run.step.rawValue)': \(run.because!)",
          mend: "maskllm rotation show \(id)"))
    }
    for key in keys.values where key.details.renewal?.attempts ?? 0 > 0 {
      checks.append(
        Check(
          "masked key \(key.id)", .warning, "its new secret is not where it is read",
          mend: "maskllm audit list --act event.delivery_failed; then maskllm key deliver \(key.id)"))
    }
    await checkProviders(&checks)
    return checks
  }

  private func checkProviders(_ checks: inout [Check]) async {
    guard keepsBreathing else {
      checks.append(Check("providers", .warning, "they are not asked without a server", mend: "maskllm serve"))
      return
    }
    for provider in providers() where providerKeys.contains(where: { $0.provider == provider.name }) {
      let what = "provider '\(provider.name)'"
      do throws(Fault) {
        let theirs = try await outside.reach(provider)
        checks.append(Check(what, .good, "\(provider.baseURL.host) answers"))
        guard let theirs, abs(theirs.milliseconds - clock.now.milliseconds) > Self.skewMax else { continue }
        let seconds = abs(theirs.milliseconds - clock.now.milliseconds) / 1000
        checks.append(
          Check(
            "clock", .bad, "it differs from that of \(provider.baseURL.host) by \(seconds) s",
            mend: "set it: timedatectl set-ntp true"))
      } catch {
        checks.append(
          Check(what, .bad, error.message, mend: "check its base URL, DNS, the firewall, HTTPS_PROXY; maskllm provider list"))
      }
    }
  }
}
