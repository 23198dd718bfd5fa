/// What went wrong, for the person or program that asked: a stable code, a sentence, and what to do about it.
///
/// Two faults are equal when their codes are. None of the texts ever holds a secret.
public struct Fault: Error, Sendable, Equatable, CustomStringConvertible {
  /// A stable, lower-case, dot-free name (`key_not_found`). The set can grow.
  public struct Code: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public init(stringLiteral value: String) { rawValue = value }
  }

  public let code: Code
  /// One clause, no capital, no full stop.
  public let message: String
  /// What the reader can do; empty when nothing.
  public let hint: String

  public init(_ code: Code, _ message: String, hint: String = "") {
    self.code = code
    self.message = message
    self.hint = hint
  }

  public static func == (a: Fault, b: Fault) -> Bool { a.code == b.code }

  public var description: String { hint.isEmpty ? message : "\(message); \(hint)" }
}

extension Fault.Code {
  public static let invalidInput: Self = "invalid_input"
  public static let notFound: Self = "not_found"
  public static let methodNotAllowed: Self = "method_not_allowed"
  public static let conflict: Self = "conflict"
  /// It is no longer what the caller believes.
  public static let preconditionFailed: Self = "precondition_failed"
  /// An idempotency key that stands for another request.
  public static let idempotencyKeyReused: Self = "idempotency_key_reused"
  public static let sealed: Self = "sealed"
  public static let storage: Self = "storage"
  public static let tampered: Self = "tampered"
  public static let unsealFailed: Self = "unseal_failed"
  public static let forbidden: Self = "forbidden"
  public static let unauthorized: Self = "unauthorized"
  public static let tooMany: Self = "too_many"
  public static let system: Self = "system"
  /// Somebody outside did not answer.
  public static let unavailable: Self = "unavailable"
}
