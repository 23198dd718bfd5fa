/// How long each kind of wait may take, in milliseconds.
public struct Timeouts: Sendable, Equatable {
  /// A connection without a request.
  public var idle = 75_000
  /// From the first byte of a request head to its last.
  public var head = 15_000
  /// Between two pieces of a request body.
  public var body = 30_000
  /// Name look-up, TCP connect, proxy and TLS handshake together.
  public var connect = 10_000
  /// From the end of the request to the first byte of the answer: models think long.
  public var firstByte = 600_000
  /// Between two pieces of an answer.
  public var between = 120_000
  /// Silence on both sides of a WebSocket.
  public var session = 600_000
  /// For the peer to take what is written.
  public var write = 30_000
  /// From SIGTERM to the last exchange; then they are cut.
  public var drain = 30_000

  public init() {}
}
