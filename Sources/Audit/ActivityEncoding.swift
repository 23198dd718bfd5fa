public import Primitives
import Providers

/// Records back to back in a segment: a version, fixed small fields, then varints. About sixty bytes each.
///
/// Written on the request path, so it appends to a buffer and allocates nothing.
public enum ActivityEncoding {
  private static let version: UInt8 = 5
  /// Bytes kept of a text.
  static let textMax = 128

  public static func append(
    _ record: borrowing ActivityRecord, provider: Span<UInt8>, model: Span<UInt8>, code: StaticString, to buffer: inout ByteBuffer
  ) {
    buffer.append(version)
    varint(UInt64(bitPattern: record.start.milliseconds), &buffer)
    id(record.key, &buffer)
    buffer.append(record.endpoint.map { $0.rawValue + 1 } ?? 0)
    buffer.append(record.outcome.rawValue)
    buffer.append((record.isStream ? 1 : 0) | (record.isEstimated ? 2 : 0))
    varint(UInt64(record.status), &buffer)
    varint(UInt64(record.upstreamStatus), &buffer)
    varint(UInt64(clamping: record.bytesIn), &buffer)
    varint(UInt64(clamping: record.bytesOut), &buffer)
    varint(UInt64(clamping: record.durationMicroseconds), &buffer)
    varint(UInt64(clamping: record.firstByteMicroseconds), &buffer)
    count(record.usage.input, &buffer)
    count(record.usage.output, &buffer)
    count(record.usage.cacheRead, &buffer)
    count(record.usage.cacheWrite, &buffer)
    count(record.usage.reasoning, &buffer)
    count(record.usage.audioInput, &buffer)
    count(record.usage.audioOutput, &buffer)
    count(record.cost, &buffer)
    count(record.usage.seconds, &buffer)
    count(record.usage.images, &buffer)
    varint(UInt64(record.keyVersion), &buffer)
    address(record.address, &buffer)
    id(record.providerKey, &buffer)
    varint(UInt64(record.providerKeyVersion), &buffer)
    id(record.refusedProviderKey, &buffer)
    trace(record.trace, &buffer)
    text(provider, &buffer)
    text(model, &buffer)
    text(code.span, &buffer)
  }

  private static func id(_ id: RecordID?, _ buffer: inout ByteBuffer) {
    guard let id else { return buffer.append(0) }
    buffer.append(1)
    for i in 0..<8 { buffer.append(UInt8(truncatingIfNeeded: id.high >> UInt64(56 - 8 * i))) }
    for i in 0..<4 { buffer.append(UInt8(truncatingIfNeeded: id.low >> UInt32(24 - 8 * i))) }
  }

  /// 0 for nil; else 1, or 3 where it is sampled, and three numbers.
  private static func trace(_ trace: TraceContext?, _ buffer: inout ByteBuffer) {
    guard let trace else { return buffer.append(0) }
    buffer.append(trace.isSampled ? 3 : 1)
    word(trace.high, &buffer)
    word(trace.low, &buffer)
    word(trace.span, &buffer)
  }

  private static func word(_ value: UInt64, _ buffer: inout ByteBuffer) {
    for i in 0..<8 { buffer.append(UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * i))) }
  }

  private static func varint(_ value: UInt64, _ buffer: inout ByteBuffer) {
    var rest = value
    while rest >= 0x80 {
      buffer.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    buffer.append(UInt8(rest))
  }

  /// 0 for nil, else the number plus one; a count that no request can have is none.
  private static func count(_ value: (some Quantity)?, _ buffer: inout ByteBuffer) {
    varint(value.map { type(of: $0).toldRange.contains($0.count) ? UInt64($0.count) + 1 : 0 } ?? 0, &buffer)
  }

  /// A length (0, 4 or 16) and so many bytes.
  private static func address(_ address: NetworkAddress?, _ buffer: inout ByteBuffer) {
    guard let address else { return buffer.append(0) }
    buffer.append(address.isV4 ? 4 : 16)
    if !address.isV4 { for i in 0..<8 { buffer.append(UInt8(truncatingIfNeeded: address.high >> UInt64(56 - 8 * i))) } }
    for i in (address.isV4 ? 4 : 0)..<8 { buffer.append(UInt8(truncatingIfNeeded: address.low >> UInt64(56 - 8 * i))) }
  }

  private static func text(_ bytes: Span<UInt8>, _ buffer: inout ByteBuffer) {
    let n = min(bytes.count, textMax)
    buffer.append(UInt8(n))
    buffer.append(bytes.extracting(0..<n))
  }

  /// The entries of a segment from number `first` on, in the order they were written; what follows a damaged one is lost.
  public static func decode(_ bytes: [UInt8], of segment: Int64 = 0, from first: Int = 0) -> [ActivityEntry] {
    var entries: [ActivityEntry] = []
    var index = -1
    forEach(in: bytes) { record, provider, model, code in
      index += 1
      guard index >= first else { return }
      func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
      let place = ActivityPlace(start: record.start, segment: segment, index: index)
      entries.append(
        ActivityEntry(place: place, record: record, provider: text(provider), model: text(model), code: text(code)))
    }
    return entries
  }

  /// Damage found while records were read back.
  public struct Damage: Sendable, Equatable {
    /// Records with a number that no request can have: that number is left out.
    public var doubtful: Count = 0
    /// Segments whose rest cannot be read.
    public var cutShort: Count = 0
    public init() {}
    public var isNone: Bool { doubtful == 0 && cutShort == 0 }
    public static func += (a: inout Self, b: Self) {
      a.doubtful += b.doubtful
      a.cutShort += b.cutShort
    }
  }

  /// The same without making texts of them: hands over where in `bytes` provider, model and code are. Reads whatever stands there:
  /// what cannot be understood is passed over, and told.
  @discardableResult
  public static func forEach(
    in bytes: [UInt8], _ body: (ActivityRecord, _ provider: Range<Int>, _ model: Range<Int>, _ code: Range<Int>) -> Void
  ) -> Damage {
    var reader = Reader(bytes: bytes)
    var damage = Damage()
    while !reader.isAtEnd {
      guard let entry = reader.entry() else {
        damage.cutShort += 1
        break
      }
      if reader.isDoubtful { damage.doubtful += 1 }
      body(entry.record, entry.provider, entry.model, entry.code)
    }
    return damage
  }

  /// Whether all of `bytes` are so many records.
  static func isWhole(_ bytes: [UInt8], count: Int) -> Bool {
    var reader = Reader(bytes: bytes)
    var found = 0
    while !reader.isAtEnd, reader.entry() != nil, !reader.isDoubtful { found += 1 }
    return reader.isAtEnd && found == count
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0
    var isAtEnd: Bool { at >= bytes.count }

    mutating func byte() -> UInt8? {
      guard at < bytes.count else { return nil }
      defer { at += 1 }
      return bytes[at]
    }

    mutating func varint() -> UInt64? {
      var value: UInt64 = 0
      var shift: UInt64 = 0
      while let b = byte(), shift < 64 {
        value |= UInt64(b & 0x7F) << shift
        if b < 0x80 { return value }
        shift += 7
      }
      return nil
    }

    /// True once a number was read that cannot be true: then the record is damaged, or was written by somebody else.
    var isDoubtful = false

    /// A number of a request; what no request can have is the most that one can.
    mutating func number<Q: Quantity>(_: Q.Type) -> Int? {
      varint().map { value in
        if value > UInt64(Q.toldRange.upperBound) { isDoubtful = true }
        return Int(Q(clamping: value).told.count)
      }
    }

    mutating func text() -> Range<Int>? {
      guard let n = byte(), at + Int(n) <= bytes.count else { return nil }
      defer { at += Int(n) }
      return at..<(at + Int(n))
    }
    /// Count that a provider told; nil where it told none, or one that cannot be true.
    mutating func told<Q: Quantity>(_: Q.Type) -> Q?? {
      varint().map { value in
        guard value > 0 else { return nil }
        let count = Int64(exactly: value - 1).flatMap { Q(told: $0) }
        if count == nil { isDoubtful = true }
        return count
      }
    }

    mutating func id() -> RecordID?? {
      guard let isThere = byte() else { return nil }
      guard isThere == 1 else { return .some(nil) }
      guard at + 12 <= bytes.count, let id = RecordID(bytes.span.extracting(at..<(at + 12))) else { return nil }
      at += 12
      return id
    }

    mutating func address() -> NetworkAddress?? {
      guard let n = byte(), [0, 4, 16].contains(n), at + Int(n) <= bytes.count else { return nil }
      if n == 0 { return .some(nil) }
      func number(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
      defer { at += Int(n) }
      return n == 4
        ? NetworkAddress(v4: UInt32(number(at..<(at + 4))))
        : NetworkAddress(high: number(at..<(at + 8)), low: number((at + 8)..<(at + 16)))
    }

    mutating func trace() -> TraceContext?? {
      guard let kind = byte(), [0, 1, 3].contains(kind), kind == 0 || at + 24 <= bytes.count else { return nil }
      if kind == 0 { return .some(nil) }
      func number(_ from: Int) -> UInt64 { bytes[(at + from)..<(at + from + 8)].reduce(0) { $0 << 8 | UInt64($1) } }
      defer { at += 24 }
      return TraceContext(high: number(0), low: number(8), span: number(16), isSampled: kind == 3)
    }

    /// A count that versions before `first` did not have.
    private mutating func since<Q: Quantity>(_ first: UInt8, _ version: UInt8, _ type: Q.Type) -> Q?? {
      version < first ? .some(nil) : told(type)
    }

    mutating func entry() -> (record: ActivityRecord, provider: Range<Int>, model: Range<Int>, code: Range<Int>)? {
      isDoubtful = false
      guard let version = byte(), (1...5).contains(version), let start = varint(), let key = id() else { return nil }
      // No request came before 1970 or after 9999.
      let moment = Timestamp(milliseconds: max(0, Int64(bitPattern: start)))
      if moment.milliseconds != Int64(bitPattern: start) { isDoubtful = true }
      var record = ActivityRecord(start: moment)
      record.key = key
      guard let endpoint = byte(), let outcome = byte().flatMap(Outcome.init(rawValue:)), let stream = byte(),
        let status = varint(),
        let upstreamStatus = varint(), let bytesIn = number(ByteCount.self), let bytesOut = number(ByteCount.self),
        let duration = number(Microseconds.self), let firstByte = number(Microseconds.self),
        let input = told(TokenCount.self), let output = told(TokenCount.self), let read = told(TokenCount.self),
        let write = told(TokenCount.self), let reasoning = told(TokenCount.self),
        let audioIn = since(2, version, TokenCount.self), let audioOut = since(2, version, TokenCount.self),
        let cost = since(2, version, NanoDollars.self),
        let seconds = since(3, version, Count.self), let images = since(3, version, Count.self),
        let keyVersion = version < 4 ? 0 : varint(), let address = version < 4 ? .some(nil) : address(),
        let providerKey = version < 4 ? .some(nil) : id(), let providerKeyVersion = version < 4 ? 0 : varint(),
        let refusedProviderKey = version < 4 ? .some(nil) : id(), let trace = version < 5 ? .some(nil) : trace(),
        let provider = text(), let model = text(), let code = text()
      else { return nil }
      record.endpoint = endpoint == 0 ? nil : EndpointClass(rawValue: endpoint - 1)
      record.outcome = outcome
      (record.providerKey, record.providerKeyVersion) = (providerKey, UInt32(clamping: providerKeyVersion))
      (record.refusedProviderKey, record.trace) = (refusedProviderKey, trace)
      (record.keyVersion, record.address) = (UInt32(clamping: keyVersion), address)
      (record.isStream, record.isEstimated) = (stream & 1 == 1, stream & 2 == 2)
      record.cost = cost
      record.status = UInt16(clamping: status)
      record.upstreamStatus = UInt16(clamping: upstreamStatus)
      (record.bytesIn, record.bytesOut) = (bytesIn, bytesOut)
      (record.durationMicroseconds, record.firstByteMicroseconds) = (duration, firstByte)
      record.usage = Usage(
        input: input, output: output, cacheRead: read, cacheWrite: write, reasoning: reasoning, audioInput: audioIn,
        audioOutput: audioOut, seconds: seconds, images: images)
      return (record, provider, model, code)
    }
  }
}
