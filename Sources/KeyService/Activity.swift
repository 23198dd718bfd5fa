public import Audit
public import Primitives
public import Storage

// The record of requests.
extension KeyService {
  /// Keeps a segment, and judges it.
  public func keep(_ segment: ActivitySegment) throws(Fault) {
    var segment = segment
    segment.number = try store.append(segment)
    traffic.count(segment) { providersByName[$0] != nil }
    try judge(segment)
  }

  /// How far the store has the spool of a loop.
  public func spoolMark(_ loop: Int) throws(Fault) -> SpoolMark? {
    try store.blob(SpoolMark.name(loop)).flatMap { SpoolMark($0) }
  }

  public func activity(_ query: ActivityQuery) throws(Fault) -> [ActivityEntry] { try query.run(store) }

  /// Writes down that a real key is about to leave.
  public func noteRelease(of key: RecordID, providerKey: RecordID, provider: String, to address: NetworkAddress?) throws(Fault) {
    try audit(
      "provider_key.release_to_resolver", "provider-key/\(providerKey)",
      ["key": key.description, "provider": provider, "to": address?.description ?? ""], by: .gateway)
  }
}
