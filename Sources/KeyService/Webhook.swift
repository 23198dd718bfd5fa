import Cryptography
import FoundationEssentials
public import Primitives

/// Messages to addresses of others, signed as Standard Webhooks has it.
public enum Webhook {
  /// The headers of a message: `v1,` and the HMAC-SHA-256 of ID, time and body. The ID is the same at every repetition.
  public static func headers(_ body: [UInt8], id: String, now: Timestamp, secret: Span<UInt8>) -> [(name: String, value: [UInt8])]
  {
    let seconds = "\(now.milliseconds / 1000)"
    let message = Array("\(id).\(seconds).".utf8) + body
    var key = signingKey(secret)
    defer { wipe(&key) }
    let signature = HMACKey(key.span).authenticate(message.span)
    return [
      ("Content-Type", Array("application/json".utf8)), ("webhook-id", Array(id.utf8)),
      ("webhook-timestamp", Array(seconds.utf8)),
      ("webhook-signature", Array("v1,\(Data(signature.bytes).base64EncodedString())".utf8)),
    ]
  }

  /// Of a secret in the form `whsec_BASE64` the bytes, else the text itself.
  private static func signingKey(_ secret: Span<UInt8>) -> [UInt8] {
    let bytes = [UInt8](copying: secret)
    let prefix = Array("whsec_".utf8)
    guard bytes.starts(with: prefix), let decoded = Data(base64Encoded: Data(bytes.dropFirst(prefix.count))) else { return bytes }
    return [UInt8](decoded)
  }
}
