public import Primitives
import Synchronization
public import Transport

/// The TLS settings towards providers, one per set of authorities, made when first needed: reading the system's takes milliseconds.
public final class ClientTLS: Sendable {
  private let contexts = Mutex<[String: TLSContext]>([:])

  public init() {}

  public func context(authorityFile: String?) throws(Fault) -> TLSContext {
    if let known = contexts.withLock({ $0[authorityFile ?? ""] }) { return known }
    let made = try TLSContext.client(authorityFile: authorityFile)
    contexts.withLock { $0[authorityFile ?? ""] = made }
    return made
  }
}
