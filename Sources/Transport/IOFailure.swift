import Glibc

/// Why a wait or a transfer ended without its result.
public enum IOFailure: Error, Equatable, Sendable {
  /// The peer closed or reset the connection.
  case closed
  /// The deadline passed.
  case timedOut
  /// The server is stopping, or the exchange was given up.
  case cancelled
  /// The socket that was watched beside the wait has something to say (`Scope.watch`).
  case watched
  /// The state that the exchange was decided on has changed: decide again.
  case recheck
  /// TLS failed; the clause is OpenSSL's own constant.
  case tls(String)
  /// An `errno`.
  case system(Int32)

  /// For a log: one clause.
  public var clause: String {
    switch self {
    case .closed: "the connection was closed, or the answer cannot be read"
    case .timedOut: "there was no answer in time"
    case .cancelled, .watched, .recheck: "the server is stopping"
    case .tls(let reason): "TLS: \(reason)"
    case .system(let code): unsafe String(cString: strerror(code))
    }
  }
}
