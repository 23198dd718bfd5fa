import AdminAPI
import Cryptography
import FoundationEssentials
import Gateway
import KeyService
import Primitives
import Transport

/// Takes reports of leaked keys from the gateway's port. Belongs to the control loop.
///
/// A signed report counts when GitHub's signature is right. One without a signature counts because it has the whole text of the key:
/// who has that can say that it is out. A text that is none of ours does nothing, whoever sends it.
final class LeakIntake: @unchecked Sendable {
  private let settings: LeakSettings
  private let api: AdminAPI
  private let outside: any Outside
  private let log: Log
  private let tell: (TriggerOutcome) -> Void
  // Loop-confined.
  private var keys: [String: [UInt8]] = [:]
  private var fetchedAt: UInt64 = 0
  private var windowStart: UInt64 = 0
  private var inWindow = 0

  /// Unsigned reports a second, all senders together: enough for any scanner, too few to keep the loop busy.
  private static let perSecond = 50
  /// Nanoseconds between two looks at GitHub's keys.
  private static let fetchEvery: UInt64 = 60_000_000_000

  init(
    settings: LeakSettings, api: AdminAPI, outside: any Outside, log: Log, tell: @escaping (TriggerOutcome) -> Void
  ) {
    (self.settings, self.api, self.outside, self.log, self.tell) = (settings, api, outside, log, tell)
  }

  func report(_ post: LeakPost) async -> (status: UInt16, body: [UInt8]) {
    do throws(Fault) {
      if post.signature.isEmpty && post.keyIdentifier.isEmpty {
        guard !settings.signedOnly else {
          return Self.problem(401, "unsigned", "Only signed reports are taken here.")
        }
        let now = monotonicNanoseconds()
        if now - windowStart >= 1_000_000_000 { (windowStart, inWindow) = (now, 0) }
        inWindow += 1
        guard inWindow <= Self.perSecond else { return Self.problem(429, "rate_limited", "Too many reports at once. Try again.") }
      } else if try await !isSigned(post) {
        log.warn("a report of leaked keys had a wrong signature and was not taken")
        return Self.problem(401, "bad_signature", "The signature is not right for this body and that key.")
      }
      let (response, outcomes) = try await api.answerLeaks(post.body)
      for outcome in outcomes { tell(outcome) }
      return (UInt16(response.status), response.body)
    } catch {
      let status: UInt16 = error.code == .invalidInput ? 400 : 503
      if status == 503 { log.warn("a report of leaked keys could not be taken: \(error, .because)") }
      return Self.problem(status, error.code.rawValue, error.message)
    }
  }

  private static func problem(_ status: UInt16, _ code: String, _ title: String) -> (status: UInt16, body: [UInt8]) {
    let document = ProblemDocument(status: Int(status), code: code, title: title, hint: nil)
    return (status, (try? [UInt8](JSONEncoder.stable.encode(document))) ?? [])
  }

  private func isSigned(_ post: LeakPost) async throws(Fault) -> Bool {
    let name = String(decoding: post.keyIdentifier, as: UTF8.self)
    if keys[name] == nil { try await fetch() }
    guard let key = keys[name], let signature = Data(base64Encoded: Data(post.signature)) else { return false }
    return ECDSASignature.verify([UInt8](signature).span, of: post.body.span, publicKey: key.span)
  }

  private struct PublicKeys: Decodable {
    struct Key: Decodable {
      let key_identifier: String
      let key: String
    }
    let public_keys: [Key]
  }

  /// Reads GitHub's keys: from the file where one is set, else from GitHub, and not more often than a minute.
  private func fetch() async throws(Fault) {
    let now = monotonicNanoseconds()
    guard fetchedAt == 0 || now - fetchedAt >= Self.fetchEvery else { return }
    fetchedAt = max(now, 1)
    let body: [UInt8]
    if let file = settings.keysFile {
      body = try Files.read(file) ?? []
    } else {
      let answer = try await outside.call(
        OutboundRequest(
          "GET", settings.keysURL, headers: [("Accept", Array("application/json".utf8))],
          authorityFile: settings.keysAuthorityFile))
      guard answer.status == 200 else { throw Fault(.unavailable, "GitHub's keys could not be read (status \(answer.status))") }
      body = answer.body
    }
    guard let known = try? JSONDecoder().decode(PublicKeys.self, from: Data(body)) else {
      throw Fault(.unavailable, "GitHub's keys could not be understood")
    }
    for key in known.public_keys {
      let lines = key.key.split(separator: "\n").filter { !$0.hasPrefix("-----") }
      keys[key.key_identifier] = Data(base64Encoded: lines.joined()).map { [UInt8]($0) }
    }
  }
}

/// Where reports are checked against, and whether unsigned ones are taken.
struct LeakSettings: Sendable {
  var keysURL = "https://api.github.com/meta/public_keys/secret_scanning"
  var keysFile: String?
  var keysAuthorityFile: String?
  var signedOnly = false
}

struct LeakLink: LeakDesk {
  let server: Unowned<Server>
  let control: EventLoop
  func report(_ post: LeakPost) async -> (status: UInt16, body: [UInt8]) {
    unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<(status: UInt16, body: [UInt8]), Never>) in
      control.execute {
        Task(executorPreference: control) {
          let answer = await server.value.leaks?.report(post) ?? (503, [])
          unsafe continuation.resume(returning: answer)
        }
      }
    }
  }
}
