public import Audit
public import Primitives
public import Storage

// The record of requests.
extension KeyService {
  /// Keeps a segment, and judges it.
  public func keep(_ segment: ActivitySegment) throws(Fault) {
    var segment = segment
    segment.number = try store.append(segment)
    try judge(segment)
  }

  public func activity(_ query: ActivityQuery) throws(Fault) -> [ActivityEntry] { try query.run(store) }
}
