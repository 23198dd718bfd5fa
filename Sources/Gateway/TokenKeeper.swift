import Domain
public import PolicyEngine
import Primitives
import Providers
public import Transport

/// Where a loop gets tokens in exchange for provider keys. Called on the loop's thread.
public protocol TokenDesk: Sendable {
  /// Gets a token for `credential`, which then has it.
  func renew(_ credential: Credential, trusting authorityFile: String?) async -> TokenKeeper.Outcome
  /// The same without waiting for it.
  func begin(_ credential: Credential, trusting authorityFile: String?)
}

/// Exchanges provider keys for tokens: one exchange at a time for each key, whoever asks. Belongs to one loop.
public final class TokenKeeper: @unchecked Sendable {
  public enum Outcome: Equatable, Sendable {
    case renewed
    /// Who gives the tokens does not take the key.
    case refused
    /// It could not be reached, or did not answer as it should.
    case failed
  }

  private let call: HTTPCall
  private let loop: EventLoop
  private let tls: ClientTLS
  private let log: any OperatorLog
  // Loop-confined: who waits for the exchange of which key.
  private var waiting: [ObjectIdentifier: [(Outcome) -> Void]] = [:]

  /// Milliseconds from the first byte sent to the last received.
  static let deadline = 15_000

  public init(connector: Connector, loop: EventLoop, tls: ClientTLS, log: any OperatorLog) {
    call = HTTPCall(connector: connector, loop: loop)
    self.loop = loop
    self.tls = tls
    self.log = log
  }

  /// Begins an exchange, or joins the one under way; `answer` is called when it has ended. On the loop's thread.
  public func renew(_ credential: Credential, trusting authorityFile: String?, _ answer: @escaping (Outcome) -> Void) {
    // Whoever asked just before the last exchange ended comes just after it.
    if let known = credential.token?.settled(now: monotonicNanoseconds()) { return answer(known ? .renewed : .failed) }
    let key = ObjectIdentifier(credential)
    waiting[key, default: []].append(answer)
    guard waiting[key]!.count == 1 else { return }
    Task(executorPreference: loop) {
      let outcome = await self.exchange(credential, authorityFile)
      for answer in self.waiting.removeValue(forKey: key) ?? [] { answer(outcome) }
    }
  }

  private func exchange(_ credential: Credential, _ authorityFile: String?) async -> Outcome {
    guard let token = credential.token else { return .failed }
    let who = "'\(token.grant.url.host)', for a token in exchange for provider key \(credential.keyID)"
    func failed(_ outcome: Outcome, _ why: String) -> Outcome {
      log.warn("asked \(who, .host): \(why, .because)")
      token.failed(now: monotonicNanoseconds())
      return outcome
    }
    do {
      let url = token.grant.url
      var request = try credential.tokenRequest(now: SystemClock().now)
      let origin = Origin(
        host: url.host, port: url.port, tls: url.secure ? try tls.context(authorityFile: authorityFile) : nil)
      let answer = try await call.send(&request, to: origin, milliseconds: Self.deadline, answerMax: TokenGrant.answerMax)
      let body = answer.body.readable
      if answer.status == 200, let fresh = TokenGrant.token(in: body) {
        token.replace(fresh, now: monotonicNanoseconds())
        return .renewed
      }
      let error = TokenGrant.error(in: body)
      // RFC 6749, section 5.2: what is wrong with the key or with the request is a 400 or a 401.
      guard answer.status == 400 || answer.status == 401 || answer.status == 403 else {
        return failed(.failed, "it answered \(answer.status)")
      }
      let isNew = credential.health.refused(now: monotonicNanoseconds())
      return failed(.refused, "it answered \(answer.status) \(error)" + (isNew ? ": no longer using the key" : ""))
    } catch let error as IOFailure {
      return failed(.failed, "\(error.clause)")
    } catch { return failed(.failed, "\(error)") }
  }
}
