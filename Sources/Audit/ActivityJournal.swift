public import Primitives
public import Providers
public import Storage

/// The records of one loop that are not kept yet. Handed over as a whole, so the request path takes no lock.
public struct ActivityBatch: ~Copyable {
  public private(set) var buffer = ByteBuffer(capacity: 64 * 1024)
  public private(set) var count = 0
  private var first = Timestamp.distantFuture
  private var last = Timestamp(milliseconds: 0)
  /// Records that found the buffer full because the store did not keep up.
  public private(set) var lost = 0

  /// Bytes that one loop holds at most between two flushes.
  public static let bytesMax = 16 << 20
  /// Where records are, too, until the store has them; nil: a process that is killed takes the last ones with it.
  private var spool: (spool: ActivitySpool, loop: Int)?

  public init() {}

  /// Keeps what comes in `spool`, which is that of loop number `loop`.
  public mutating func use(_ spool: ActivitySpool, loop: Int) { self.spool = (spool, loop) }

  public mutating func append(
    _ record: borrowing ActivityRecord, provider: Span<UInt8>, model: Span<UInt8>, code: StaticString
  ) {
    guard buffer.count < Self.bytesMax else {
      lost += 1
      return
    }
    let before = buffer.count
    ActivityEncoding.append(record, provider: provider, model: model, code: code, to: &buffer)
    if let spool { spool.spool.append(buffer.readable.extracting(before..<buffer.count)) }
    count += 1
    first = min(first, record.start)
    last = max(last, record.start)
  }

  /// What has gathered, leaving the batch empty; nil when there is nothing.
  public mutating func take() -> ActivitySegment? {
    guard count > 0 else { return nil }
    var segment = ActivitySegment(first: first, last: last, count: count, records: buffer.copy())
    if let spool { segment.spool = (spool.loop, spool.spool.id, spool.spool.mark) }
    buffer.clear()
    (count, first, last) = (0, .distantFuture, Timestamp(milliseconds: 0))
    return segment
  }
}

extension ActivitySegment {
  /// Of records that a process left behind; nil when there are none.
  public init?(leftover bytes: [UInt8]) {
    var (first, last, count) = (Timestamp.distantFuture, Timestamp(milliseconds: 0), 0)
    ActivityEncoding.forEach(in: bytes) { record, _, _, _ in
      (first, last) = (min(first, record.start), max(last, record.start))
      count += 1
    }
    guard count > 0 else { return nil }
    self.init(first: first, last: last, count: count, records: bytes)
  }
}

/// A question about what has been kept.
public struct ActivityQuery: Sendable {
  public var key: RecordID?
  /// Only of these; nil: of all, and of requests without a key.
  public var keys: Set<RecordID>?
  public var provider: String?
  public var model: String?
  public var endpoint: EndpointClass?
  public var outcome: Outcome?
  /// A refusal's code.
  public var code: String?
  /// What the client was told.
  public var statuses: ClosedRange<UInt16>?
  /// Where requests came from.
  public var network: Network?
  public var from = Timestamp(milliseconds: 0)
  public var to = Timestamp.distantFuture
  /// Entries at most, 1 to 1,000.
  public var limit = 50
  /// Only what comes after this in the order of the answer.
  public var after: ActivityPlace?
  public init() {}

}

/// Looks for what an `ActivityQuery` asks for, a piece of the record at a time: others go on in between.
public struct ActivitySearch: Sendable {
  private let query: ActivityQuery
  private let provider: [UInt8]?
  private let model: [UInt8]?
  private let code: [UInt8]?
  private var place: SegmentPlace? = .end
  /// The newest entries first; of one millisecond those that were kept last.
  public private(set) var found: [ActivityEntry] = []
  public var isOver: Bool { place == nil }

  /// A piece: so many bytes of records, or so many segments that are only looked at. One takes about 5 ms.
  public static let bytesAtOnce = 1 << 20
  public static let segmentsAtOnce = 5000

  public init(_ query: ActivityQuery) {
    self.query = query
    (provider, model, code) = (
      query.provider.map { Array($0.utf8) }, query.model.map { Array($0.utf8) }, query.code.map { Array($0.utf8) }
    )
  }

  /// Goes through one more piece.
  public mutating func step(_ store: any Store, bytes bytesMax: Int = bytesAtOnce, segments: Int = segmentsAtOnce) throws(Fault) {
    guard let before = place else { return }
    var (found, bytes, isEnough) = (found, 0, false)
    let rest = try store.forEachSegment(
      before: before, from: query.from, to: min(query.to, query.after?.start ?? query.to), rows: segments
    ) { segment in
      // Those that come now have ended earlier still: none of their records is as new as the oldest that was found.
      isEnough = found.count >= query.limit && segment.last < found[query.limit - 1].record.start
      if !isEnough { take(segment, &found) }
      bytes += segment.records.count
      return !isEnough && bytes < bytesMax
    }
    (self.found, place) = (found, isEnough ? nil : rest)
  }

  private func take(_ segment: ActivitySegment, _ found: inout [ActivityEntry]) {
    let bytes = segment.records
    let count = found.count
    var index = -1
    ActivityEncoding.forEach(in: bytes) { record, provider, model, code in
      index += 1
      guard matches(record, bytes[provider], bytes[model], bytes[code]) else { return }
      let place = ActivityPlace(start: record.start, segment: segment.number, index: index)
      guard query.after.map({ place < $0 }) ?? true, count < query.limit || place > found[count - 1].place else { return }
      // Texts are made of what matches only.
      found.append(
        ActivityEntry(
          place: place, record: record, provider: String(decoding: bytes[provider], as: UTF8.self),
          model: String(decoding: bytes[model], as: UTF8.self), code: String(decoding: bytes[code], as: UTF8.self)))
    }
    guard found.count > count else { return }
    found.sort { $0.place > $1.place }
    if found.count > query.limit { found.removeLast(found.count - query.limit) }
  }

  private func matches(
    _ record: ActivityRecord, _ provider: ArraySlice<UInt8>, _ model: ArraySlice<UInt8>, _ code: ArraySlice<UInt8>
  ) -> Bool {
    (query.key == nil || record.key == query.key) && (query.keys == nil || record.key.map { query.keys!.contains($0) } ?? false)
      && record.start >= query.from && record.start <= query.to && (query.endpoint == nil || record.endpoint == query.endpoint)
      && (query.outcome == nil || record.outcome == query.outcome) && query.statuses?.contains(record.status) != false
      && (self.provider == nil || provider.elementsEqual(self.provider!))
      && (self.model == nil || model.elementsEqual(self.model!))
      && (self.code == nil || code.elementsEqual(self.code!))
      && (query.network == nil || record.address.map { query.network!.contains($0) } ?? false)
  }
}
