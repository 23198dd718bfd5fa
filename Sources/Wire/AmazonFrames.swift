public import Primitives

/// Finds the payloads of `application/vnd.amazon.eventstream` in the bytes of a stream: a value that is fed bytes.
///
/// A frame is a prelude (its length, its headers' length, a CRC-32), headers, payload and a CRC-32, numbers big-endian.
public struct AmazonFrames: Sendable {
  public enum Step: Equatable, Sendable {
    /// Bytes of the payload of the current frame.
    case payload(Range<Int>)
    /// The frame is over; this many bytes are used.
    case endOfFrame(Int)
    /// All bytes are used.
    case more
    /// These are no frames.
    case invalid
  }

  /// Bytes of one frame.
  public static let frameMax = 24 << 20

  // Position in the current frame, and where its parts end.
  private var at = 0
  private var prelude: UInt64 = 0
  private var payloadStart = 0
  private var payloadEnd = 0
  private var end = 0
  private var isInvalid = false

  public init() {}

  /// Looks at `bytes` from position `from` on.
  public mutating func step(_ bytes: Span<UInt8>, from: Int) -> Step {
    var i = from
    while i < bytes.count {
      if isInvalid { return .invalid }
      if at < 12 {
        if at < 8 { prelude = prelude << 8 | UInt64(bytes[i]) }
        i += 1
        at += 1
        if at == 12, !startFrame() {
          isInvalid = true
          return .invalid
        }
      } else if at < payloadStart {
        let n = min(payloadStart - at, bytes.count - i)
        i += n
        at += n
      } else if at < payloadEnd {
        let n = min(payloadEnd - at, bytes.count - i)
        at += n
        return .payload(i..<(i + n))
      } else {
        let n = min(end - at, bytes.count - i)
        i += n
        at += n
        if at == end {
          (at, prelude) = (0, 0)
          return .endOfFrame(i)
        }
      }
    }
    return .more
  }

  private mutating func startFrame() -> Bool {
    let (length, headers) = (Int(prelude >> 32), Int(prelude & 0xFFFF_FFFF))
    guard length >= 16, length <= Self.frameMax, headers <= length - 16 else { return false }
    (payloadStart, payloadEnd, end) = (12 + headers, length - 4, length)
    return true
  }

  /// An exception that ends a stream, as the AWS SDKs raise it.
  public static func writeException(_ type: StaticString, _ payload: Span<UInt8>, to buffer: inout ByteBuffer) {
    var headers = ByteBuffer(capacity: 256)
    func header(_ name: StaticString, _ value: StaticString) {
      headers.append(UInt8(name.utf8CodeUnitCount))
      headers.append(name)
      headers.append(7)  // a string
      headers.append(UInt8(value.utf8CodeUnitCount >> 8))
      headers.append(UInt8(value.utf8CodeUnitCount & 255))
      headers.append(value)
    }
    header(":message-type", "exception")
    header(":exception-type", type)
    header(":content-type", "application/json")
    var frame = ByteBuffer(capacity: 512)
    func number(_ value: Int) { for shift in [24, 16, 8, 0] { frame.append(UInt8(truncatingIfNeeded: value >> shift)) } }
    number(16 + headers.count + payload.count)
    number(headers.count)
    number(Int(CRC32.checksum(frame.readable)))
    frame.append(headers)
    frame.append(payload)
    number(Int(CRC32.checksum(frame.readable)))
    buffer.append(frame)
  }
}
