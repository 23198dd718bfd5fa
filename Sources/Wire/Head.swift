import Primitives

/// A run of bytes inside the buffer that a head was parsed from.
public struct Slice: Equatable, Sendable {
  @usableFromInline var start32: UInt32
  @usableFromInline var count32: UInt32

  @inlinable public init(_ range: Range<Int>) {
    start32 = UInt32(truncatingIfNeeded: range.lowerBound)
    count32 = UInt32(truncatingIfNeeded: range.count)
  }
  @inlinable public static var empty: Slice { Slice(0..<0) }
  @inlinable public var isEmpty: Bool { count32 == 0 }
  @inlinable public var count: Int { Int(count32) }
  @inlinable public var range: Range<Int> { Int(start32)..<(Int(start32) + Int(count32)) }
}

/// One header line of a parsed head.
public struct Field: Sendable {
  public var name: Slice
  public var value: Slice
  public var kind: FieldKind
  @inlinable init(name: Slice, value: Slice, kind: FieldKind) {
    self.name = name
    self.value = value
    self.kind = kind
  }
}

/// The fields that the server, the client or the gateway acts on; everything else is `other` and passes.
public enum FieldKind: UInt8, Sendable {
  case other
  case host, connection, contentLength, transferEncoding, expect, upgrade, te, trailer, keepAlive, proxyConnection
  case proxyAuthorization, proxyAuthenticate, contentType, contentEncoding, acceptEncoding
  case authorization, apiKey, azureKey, googleKey, cookie, setCookie, organization, project, forwarded, amazon
  case requestID, anthropicVersion, anthropicOrganization, via, rateLimit, webSocket, trace

  /// The kind of a field name, in any case.
  @usableFromInline static func of(_ name: Span<UInt8>) -> FieldKind {
    switch name.count {
    case 2: return name.equalsIgnoringCase("te") ? .te : .other
    case 3: return name.equalsIgnoringCase("via") ? .via : .other
    case 4: return name.equalsIgnoringCase("host") ? .host : .other
    case 6:
      if name.equalsIgnoringCase("expect") { return .expect }
      return name.equalsIgnoringCase("cookie") ? .cookie : .other
    case 7:
      if name.equalsIgnoringCase("upgrade") { return .upgrade }
      if name.equalsIgnoringCase("api-key") { return .azureKey }
      return name.equalsIgnoringCase("trailer") ? .trailer : .other
    case 9:
      if name.equalsIgnoringCase("x-api-key") { return .apiKey }
      if name.equalsIgnoringCase("x-real-ip") { return .forwarded }
      return name.equalsIgnoringCase("forwarded") ? .forwarded : .other
    case 10:
      if name.equalsIgnoringCase("connection") { return .connection }
      if name.equalsIgnoringCase("set-cookie") { return .setCookie }
      if name.equalsIgnoringCase("keep-alive") { return .keepAlive }
      return name.equalsIgnoringCase("request-id") ? .requestID : .other
    case 11: return name.equalsIgnoringCase("traceparent") ? .trace : .other
    case 12:
      if name.equalsIgnoringCase("content-type") { return .contentType }
      return name.equalsIgnoringCase("x-request-id") ? .requestID : .other
    case 13: return name.equalsIgnoringCase("authorization") ? .authorization : .other
    case 14:
      if name.equalsIgnoringCase("content-length") { return .contentLength }
      if name.equalsIgnoringCase("x-goog-api-key") { return .googleKey }
      return name.equalsIgnoringCase("openai-project") ? .project : .other
    case 15: return name.equalsIgnoringCase("accept-encoding") ? .acceptEncoding : longer(name)
    case 16:
      if name.equalsIgnoringCase("content-encoding") { return .contentEncoding }
      return name.equalsIgnoringCase("proxy-connection") ? .proxyConnection : longer(name)
    case 17: return name.equalsIgnoringCase("transfer-encoding") ? .transferEncoding : longer(name)
    default: return longer(name)
    }
  }

  private static func longer(_ name: Span<UInt8>) -> FieldKind {
    switch ASCII.lower(name.count > 0 ? name[0] : 0) {
    case UInt8(ascii: "a"):
      if name.count > 20, name.extracting(0..<20).equalsIgnoringCase("anthropic-ratelimit-") { return .rateLimit }
      if name.equalsIgnoringCase("anthropic-version") { return .anthropicVersion }
      return name.equalsIgnoringCase("anthropic-organization-id") || name.equalsIgnoringCase("anthropic-workspace-id")
        ? .anthropicOrganization : .other
    case UInt8(ascii: "o"): return name.equalsIgnoringCase("openai-organization") ? .organization : .other
    case UInt8(ascii: "p"):
      if name.equalsIgnoringCase("proxy-authorization") { return .proxyAuthorization }
      return name.equalsIgnoringCase("proxy-authenticate") ? .proxyAuthenticate : .other
    case UInt8(ascii: "s"):
      return name.count > 14 && name.extracting(0..<14).equalsIgnoringCase("sec-websocket-") ? .webSocket : .other
    case UInt8(ascii: "x"):
      if name.count > 6, name.extracting(0..<6).equalsIgnoringCase("x-amz-") { return .amazon }
      if name.count > 12, name.extracting(0..<12).equalsIgnoringCase("x-ratelimit-") { return .rateLimit }
      return name.count > 12 && name.extracting(0..<12).equalsIgnoringCase("x-forwarded-") ? .forwarded : .other
    default: return .other
    }
  }
}

/// Request methods. Anything else is refused with 501.
public enum Method: UInt8, Sendable, CaseIterable {
  case get, head, post, put, delete, patch, options, connect, trace

  public var name: StaticString {
    switch self {
    case .get: "GET"
    case .head: "HEAD"
    case .post: "POST"
    case .put: "PUT"
    case .delete: "DELETE"
    case .patch: "PATCH"
    case .options: "OPTIONS"
    case .connect: "CONNECT"
    case .trace: "TRACE"
    }
  }

  @usableFromInline static func of(_ bytes: Span<UInt8>) -> Method? {
    switch bytes.count {
    case 3: bytes.equals("GET") ? .get : bytes.equals("PUT") ? .put : nil
    case 4: bytes.equals("POST") ? .post : bytes.equals("HEAD") ? .head : nil
    case 5: bytes.equals("PATCH") ? .patch : bytes.equals("TRACE") ? .trace : nil
    case 6: bytes.equals("DELETE") ? .delete : nil
    case 7: bytes.equals("OPTIONS") ? .options : bytes.equals("CONNECT") ? .connect : nil
    default: nil
    }
  }
}

/// How long a message body is.
public enum Framing: Equatable, Sendable {
  case none
  case length(Int)
  case chunked
  /// Responses only: to the end of the connection.
  case untilClose
}

/// What a parser accepts at most.
public struct HeadLimits: Sendable {
  /// Bytes of start line and headers together.
  public var bytesMax: Int
  /// Header lines.
  public var fieldsMax: Int
  public init(bytesMax: Int = 32 * 1024, fieldsMax: Int = 100) {
    self.bytesMax = bytesMax
    self.fieldsMax = fieldsMax
  }
}
