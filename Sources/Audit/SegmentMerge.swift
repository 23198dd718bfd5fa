import Primitives
public import Storage

/// Which small segments become one. A gateway that is asked now and then keeps a segment of a record or two every flush interval: millions of
/// them, each of which costs as much to look at as a hundred records.
public struct SegmentMerge: Sendable {
  /// Of one that is made of others.
  public var bytesMax = 64 * 1024
  public var segmentsMax = 500
  /// From the end of the first to that of the last, in milliseconds: what is forgotten by age goes by whole segments.
  public var span: Int64 = 3_600_000

  public init() {}

  /// What is next among `heads`, which are in the order of their numbers: the first `passed` stay as they are, those of `group` come
  /// together; nil while more may join them.
  public func next(_ heads: [SegmentHead]) -> (passed: Int, group: Range<Int>?) {
    var start = 0
    while start < heads.count {
      var (end, bytes) = (start, 0)
      while end < heads.count, end - start < segmentsMax, bytes + heads[end].bytes <= bytesMax,
        heads[end].last.milliseconds - heads[start].last.milliseconds < span
      {
        (bytes, end) = (bytes + heads[end].bytes, end + 1)
      }
      if end == heads.count { break }
      if end - start > 1 { return (start, start..<end) }
      start += 1
    }
    return (start, nil)
  }
}

extension ActivitySegment {
  /// Several in the order of their numbers as one, under the number of the first: of those after it somebody may remember that he has seen
  /// them. nil where one of them is damaged, which would take those behind it along.
  public init?(merging segments: [ActivitySegment]) {
    guard let first = segments.first, segments.allSatisfy({ ActivityEncoding.isWhole($0.records, count: $0.count) }) else {
      return nil
    }
    self.init(
      number: first.number, first: segments.map(\.first).min()!, last: segments.map(\.last).max()!,
      count: segments.reduce(0) { $0 + $1.count }, records: segments.flatMap(\.records))
  }
}
