/// Why a message was refused. Carries no bytes of the message: nothing of a request reaches a log through it.
public struct HTTPError: Error, Equatable, Sendable {
  /// The status a server answers with; a client treats all of them as a broken peer.
  public let status: UInt16
  /// A constant clause, no capital, no full stop.
  public let reason: StaticString

  @inlinable public init(_ status: UInt16, _ reason: StaticString) {
    self.status = status
    self.reason = reason
  }

  @inlinable public static func bad(_ reason: StaticString) -> HTTPError { HTTPError(400, reason) }

  public static func == (a: Self, b: Self) -> Bool { a.status == b.status }
}
