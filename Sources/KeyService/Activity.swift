public import Audit
public import Primitives
public import Storage

// The record of requests.
extension KeyService {
  public func keep(_ segment: ActivitySegment) throws(Fault) { try store.append(segment) }

  public func activity(_ query: ActivityQuery) throws(Fault) -> [ActivityEntry] { try query.run(store) }
}
