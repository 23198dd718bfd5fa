public import Primitives
public import Transport

/// What the data plane accepts at most.
public struct GatewayLimits: Sendable {
  public var server = ServerLimits()
  public var client = ClientLimits()
  /// Bytes of request content.
  public var bodyMax = 64 << 20
  /// Proxies whose X-Forwarded-For is believed.
  public var trustedProxies: [Network] = []
  /// How often activity is handed over to be kept.
  public var flushMilliseconds = 200
  public init() {}
}
