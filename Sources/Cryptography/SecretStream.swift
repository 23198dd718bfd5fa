import CSodium
public import Primitives

/// A long message in pieces (libsodium's secretstream, XChaCha20-Poly1305): none can be changed, left out, doubled, moved or cut off
/// unnoticed.
public enum SecretStream {
  /// Bytes of the beginning, which is not secret.
  public static let headerLength = 24
  /// Bytes that a piece gets longer.
  public static let overhead = 17

  public final class Writer {
    // SAFETY: a plain C struct, used by one thread.
    private var state = crypto_secretstream_xchacha20poly1305_state()
    public let header: [UInt8]

    /// `key` has 32 bytes and is used for one message.
    public init(key: borrowing SecretBytes) {
      precondition(key.count == 32)
      var header = [UInt8](repeating: 0, count: headerLength)
      var fresh = crypto_secretstream_xchacha20poly1305_state()
      unsafe key.span.withUnsafeBytes {
        _ = unsafe crypto_secretstream_xchacha20poly1305_init_push(
          &fresh, &header, $0.baseAddress!.assumingMemoryBound(to: UInt8.self))
      }
      state = fresh
      self.header = header
    }

    /// The next piece, sealed; after the last one there is none.
    public func push(_ piece: Span<UInt8>, isLast: Bool) -> [UInt8] {
      var out = [UInt8](repeating: 0, count: piece.count + overhead)
      let tag = UInt8(isLast ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0)
      unsafe piece.withUnsafeBytes {
        _ = unsafe crypto_secretstream_xchacha20poly1305_push(
          &state, &out, nil, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64($0.count), nil, 0, tag)
      }
      return out
    }
  }

  public final class Reader {
    private var state = crypto_secretstream_xchacha20poly1305_state()
    /// Whether the last piece was read.
    public private(set) var isOver = false

    /// Throws `.cryptography` for what cannot be a beginning.
    public init(key: borrowing SecretBytes, header: [UInt8]) throws(Fault) {
      precondition(key.count == 32 && header.count == headerLength)
      var fresh = crypto_secretstream_xchacha20poly1305_state()
      let isRead = unsafe key.span.withUnsafeBytes {
        unsafe crypto_secretstream_xchacha20poly1305_init_pull(
          &fresh, header, $0.baseAddress!.assumingMemoryBound(to: UInt8.self)) == 0
      }
      guard isRead else { throw Fault(.cryptography, "the message does not open") }
      state = fresh
    }

    /// The next piece; throws `.cryptography` when it is not what was written next.
    public func pull(_ piece: Span<UInt8>) throws(Fault) -> [UInt8] {
      guard !isOver, piece.count >= overhead else { throw Fault(.cryptography, "the message does not open") }
      var out = [UInt8](repeating: 0, count: piece.count - overhead)
      var tag: UInt8 = 0
      let isRead = unsafe piece.withUnsafeBytes {
        unsafe crypto_secretstream_xchacha20poly1305_pull(
          &state, &out, nil, &tag, $0.baseAddress!.assumingMemoryBound(to: UInt8.self), UInt64($0.count), nil, 0) == 0
      }
      guard isRead else { throw Fault(.cryptography, "the message does not open") }
      isOver = tag == UInt8(crypto_secretstream_xchacha20poly1305_TAG_FINAL)
      return out
    }
  }
}
