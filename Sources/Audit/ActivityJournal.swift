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

/// Reads what has been kept.
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

  /// The newest entries first; of one millisecond those that were kept last.
  public func run(_ store: any Store) throws(Fault) -> [ActivityEntry] {
    var found: [ActivityEntry] = []
    let last = min(to, after?.start ?? to)
    try store.forEachSegment(from: from, to: last) { segment in
      // The loops' segments overlap in time: only one that is older as a whole than all we need can add nothing.
      if found.count >= limit, segment.last < found[limit - 1].record.start { return true }
      for entry in ActivityEncoding.decode(segment.records, of: segment.number) where matches(entry) { found.append(entry) }
      found.sort { $0.place > $1.place }
      if found.count > limit { found.removeLast(found.count - limit) }
      return true
    }
    return found
  }

  private func matches(_ entry: ActivityEntry) -> Bool {
    (key == nil || entry.record.key == key) && (keys == nil || entry.record.key.map { keys!.contains($0) } ?? false)
      && (provider == nil || entry.provider == provider) && entry.record.start >= from
      && (model == nil || entry.model == model) && (endpoint == nil || entry.record.endpoint == endpoint)
      && (outcome == nil || entry.record.outcome == outcome) && (code == nil || entry.code == code)
      && statuses?.contains(entry.record.status) != false
      && (network == nil || entry.record.address.map { network!.contains($0) } ?? false)
      && entry.record.start <= to && (after == nil || entry.place < after!)
  }
}
