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
  /// Where resolvers are, who get the real key for a masked one; none: nobody does.
  public var resolvers: [Network] = []
  /// Where clients reach the gateway, as `https://llm.example.com`, where their own word for it does not do. Goes into answers that send
  /// them back here.
  public var publicURL: [UInt8]?
  /// How often activity is handed over to be kept.
  public var flushMilliseconds = 200
  public init() {}
}
