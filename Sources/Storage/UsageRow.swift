public import Primitives

/// What requests of one kind came to within one span of time.
public struct UsageRow: Sendable, Hashable {
  /// How long a span is.
  public enum Span: Int, Sendable, CaseIterable {
    case minute, hour, day
    public var milliseconds: Int64 { [60_000, 3_600_000, 86_400_000][rawValue] }
    public var name: String { ["minute", "hour", "day"][rawValue] }
  }

  /// Of which requests a row is the sum.
  public struct Place: Sendable, Hashable {
    public var span: Span
    /// Its beginning, in milliseconds since 1970.
    public var start: Int64
    /// nil where no key was recognised, and in rows of minutes, which are of all keys.
    public var key: RecordID?
    public var provider: String
    /// Empty for requests that no provider was asked with: their models could be anything.
    public var model: String
    /// As activity has it; 0 where none was recognised.
    public var endpoint: UInt8
    public var outcome: UInt8
    /// Hundreds of the status.
    public var status: Int
    public init(
      span: Span, start: Int64, key: RecordID?, provider: String, model: String, endpoint: UInt8, outcome: UInt8, status: Int
    ) {
      (self.span, self.start, self.key, self.provider, self.model) = (span, start, key, provider, model)
      (self.endpoint, self.outcome, self.status) = (endpoint, outcome, status)
    }
  }

  /// Sums stop at the largest number there is.
  public struct Sums: Sendable, Hashable {
    public var requests: Count = 0
    public var bytesIn: ByteCount = 0
    public var bytesOut: ByteCount = 0
    public var input: TokenCount = 0
    public var output: TokenCount = 0
    public var cacheRead: TokenCount = 0
    public var cacheWrite: TokenCount = 0
    public var cost: NanoDollars = 0
    public var microseconds: Microseconds = 0
    public init() {}

    public static func += (a: inout Self, b: Self) {
      a.requests += b.requests
      a.bytesIn += b.bytesIn
      a.bytesOut += b.bytesOut
      a.input += b.input
      a.output += b.output
      a.cacheRead += b.cacheRead
      a.cacheWrite += b.cacheWrite
      a.cost += b.cost
      a.microseconds += b.microseconds
    }
  }

  public var place: Place
  public var sums: Sums
  public init(_ place: Place, _ sums: Sums) { (self.place, self.sums) = (place, sums) }
}

/// The roll-ups of activity.
public protocol UsageStore: AnyObject, Sendable {
  /// Adds `rows` to what there is; they were made of the segments up to number `upTo`. All or nothing.
  func add(_ rows: [UsageRow], upTo: Int64) throws(Fault)
  /// Up to which segment there are roll-ups; nil before the first.
  func usageUpTo() throws(Fault) -> Int64?
  /// Rows of spans that begin in [from, to), in the order of their beginnings, as long as `body` returns true.
  func forEachUsage(_ span: UsageRow.Span, from: Int64, to: Int64, _ body: (UsageRow) -> Bool) throws(Fault)
  func deleteUsage(_ span: UsageRow.Span, before start: Int64) throws(Fault)

  /// Erases at most `limit` segments whose records are all older, the oldest first; how many.
  func deleteSegments(before moment: Timestamp, limit: Int) throws(Fault) -> Int
  /// At most `limit` segments whose number is in (number, last], in the order of their numbers.
  func segmentHeads(after number: Int64, upTo last: Int64, limit: Int) throws(Fault) -> [SegmentHead]
  /// Keeps `segment` under its number in place of those whose number is in `numbers`.
  func replaceSegments(_ numbers: ClosedRange<Int64>, with segment: ActivitySegment) throws(Fault)
  /// Bytes of all segments.
  func segmentBytes() throws(Fault) -> Int64
  /// Erases at most `limit` of the oldest segments, as many as have `bytes` together; how many.
  func deleteOldestSegments(bytes: Int64, limit: Int) throws(Fault) -> Int
}
