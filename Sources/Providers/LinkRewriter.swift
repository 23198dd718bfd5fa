public import Primitives

/// Has addresses of a provider in a JSON answer lead back through the gateway: what begins a string with the provider's base URL begins
/// with the gateway's. Fed bytes; what it cannot tell yet, it holds.
public struct LinkRewriter: ~Copyable, Sendable {
  /// `"https://api.example.com/`, whose quote stands nowhere else in it: a match that fails begins again at the byte it failed at.
  private let from: [UInt8]
  private let to: [UInt8]
  private var matched = 0
  /// What may pass; whoever sends it clears it.
  public var ready = ByteBuffer(capacity: 2048)

  /// Both without a last slash.
  public init(from base: [UInt8], to other: [UInt8]) {
    from = [34] + base + [47]
    to = [34] + other + [47]
  }

  /// Adds to `ready` what may pass of `bytes` and of what came before.
  public mutating func feed(_ bytes: Span<UInt8>) {
    var i = 0
    while i < bytes.count {
      if matched == 0 {
        let quote = bytes.firstIndex(of: 34, from: i) ?? bytes.count
        ready.append(bytes.extracting(i..<quote))
        i = quote
        if i == bytes.count { return }
      }
      if bytes[i] == from[matched] {
        matched += 1
        i += 1
        if matched == from.count {
          ready.append(to)
          matched = 0
        }
      } else {
        finish()
      }
    }
  }

  /// At the end of the answer, or when it breaks off: what is held passes.
  public mutating func finish() {
    let from = from
    ready.append(from.span.extracting(0..<matched))
    matched = 0
  }
}
