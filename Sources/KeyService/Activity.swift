public import Audit
public import Primitives
public import Storage

/// How long what is kept of requests.
public struct Retention: Sendable {
  /// Each request on its own: days, and megabytes of all.
  public var days = 30
  public var megabytes = 2048
  /// Sums by minute, hour and day.
  public var minuteDays = 7
  public var hourDays = 400
  public var dayDays = 3660
  /// Captured content.
  public var captureDays = 7
  public init() {}
}

// The record of requests.
extension KeyService {
  /// Keeps a segment, and judges it.
  public func keep(_ segment: ActivitySegment) throws(Fault) {
    var segment = segment
    segment.number = try store.append(segment)
    traffic.count(segment) { providersByName[$0] != nil }
    try rollUp(segment)
    if listeners > 0 { tellListeners(segment) }
    try judge(segment)
  }

  // MARK: listeners

  /// Of a flood, the end is enough for eyes.
  private static let recentMax = 1000

  /// Begins to remember what is recorded, for somebody who listens; returns the number of the last request.
  public func listen() -> Int64 {
    listeners += 1
    return heardCount
  }

  public func stopListening() {
    listeners -= 1
    if listeners == 0 { recent = [] }
  }

  private func tellListeners(_ segment: ActivitySegment) {
    heardCount += Int64(segment.count)
    recent.append(segment)
    while recent.dropFirst().reduce(0, { $0 + $1.count }) >= Self.recentMax { recent.removeFirst() }
  }

  /// The last requests after number `number`, at most `limit` of those that are remembered, and the number of the last of all.
  /// Texts are made of these only.
  public func heard(after number: Int64, limit: Int) -> (entries: [ActivityEntry], last: Int64) {
    var wanted = Int(min(heardCount - number, Int64(min(limit, Self.recentMax))))
    var pieces: [[ActivityEntry]] = []
    for segment in recent.reversed() where wanted > 0 {
      pieces.append(ActivityEncoding.decode(segment.records, of: segment.number, from: max(0, segment.count - wanted)))
      wanted -= segment.count
    }
    return (pieces.reversed().flatMap(\.self), heardCount)
  }

  // MARK: sums

  private func rollUp(_ segment: ActivitySegment) throws(Fault) {
    if rollup == nil { rollup = try freshRollup() }
    // Others may have kept segments before this one.
    if segment.number > rollup!.upTo + 1 { try catchUp(before: segment.number) }
    rollup!.take(segment)
  }

  private func freshRollup() throws(Fault) -> UsageRollup { UsageRollup(upTo: try store.usageUpTo() ?? 0) }

  /// Takes in what was kept and not summed up before a crash.
  private func catchUp(before number: Int64) throws(Fault) {
    try store.forEachSegment(after: rollup!.upTo) { segment in
      guard segment.number < number else { return false }
      rollup!.take(segment)
      return true
    }
  }

  /// Keeps the sums of what was kept.
  public func keepUsage() throws(Fault) {
    guard var sums = rollup, !sums.isEmpty else { return }
    try store.add(sums.drain(), upTo: sums.upTo)
    rollup = sums
  }

  /// The sums that are asked for, at most 10,000 lines. Minutes of single keys are summed up from the requests, in pieces, while everything
  /// goes on.
  public func usage(_ query: UsageQuery) async throws(Fault) -> [UsageQuery.Line] {
    let limit = 10_000
    if query.needsRequests {
      var tally = UsageQuery.Tally(query, limit: limit)
      var minutes = UsageRollup()
      try await forEachSegment(from: query.from) { segment in
        guard !tally.isFull else { return }
        minutes.take(segment)
        for row in minutes.drain() { tally.add(row) }
      }
      return try tally.lines()
    }
    if rollup == nil {
      rollup = try freshRollup()
      try catchUp(before: .max)
    }
    try keepUsage()
    return try query.run(store, limit: limit)
  }

  /// Puts small segments of an hour ago and before together, a few at a time.
  public func mergeActivity() throws(Fault) {
    // Whoever goes through them must meet each once.
    guard searches == 0 else { return }
    // What was not judged or summed up yet is found by its number.
    let known = min(keptUpTo, try store.usageUpTo() ?? 0)
    let before = Timestamp(milliseconds: clock.now.milliseconds - 3_600_000)
    let heads = try store.segmentHeads(after: mergedUpTo, upTo: known, limit: 1000).prefix { $0.last < before }
    let (passed, group) = SegmentMerge().next(Array(heads))
    guard let group else {
      if passed > 0 { mergedUpTo = heads[passed - 1].number }
      return
    }
    var segments: [ActivitySegment] = []
    _ = try store.forEachSegment(
      after: heads[group.lowerBound].number - 1, from: Timestamp(milliseconds: 0), rows: group.count
    ) { segment in
      segments.append(segment)
      return true
    }
    // A damaged one stays on its own, with those before it.
    if let merged = ActivitySegment(merging: segments) {
      try store.replaceSegments(merged.number...heads[group.upperBound - 1].number, with: merged)
    }
    mergedUpTo = heads[group.upperBound - 1].number
  }

  /// Erases a part of what is kept for longer than is wanted: some segments at a time, so that nothing waits for it. Whether there is more.
  public func forgetActivity(_ retention: Retention) throws(Fault) -> Bool {
    try keepUsage()
    func moment(_ days: Int) -> Int64 { clock.now.milliseconds - Int64(days) * 86_400_000 }
    for (span, days) in zip(UsageRow.Span.allCases, [retention.minuteDays, retention.hourDays, retention.dayDays]) {
      try store.deleteUsage(span, before: moment(days))
    }
    try forgetCaptures(days: retention.captureDays)
    let limit = 200
    guard try store.deleteSegments(before: Timestamp(milliseconds: moment(retention.days)), limit: limit) < limit else {
      return true
    }
    let excess = try store.segmentBytes() - Int64(retention.megabytes) << 20
    guard excess > 0 else { return false }
    return try store.deleteOldestSegments(bytes: excess, limit: limit) == limit
  }

  /// How far the store has the spool of a loop.
  public func spoolMark(_ loop: Int) throws(Fault) -> SpoolMark? {
    try store.blob(SpoolMark.name(loop)).flatMap { SpoolMark($0) }
  }

  /// What is asked for, the newest first. Goes through the record in pieces, while everything goes on.
  public func activity(_ query: ActivityQuery) async throws(Fault) -> [ActivityEntry] {
    var search = ActivitySearch(query)
    searches += 1
    defer { searches -= 1 }
    while true {
      try search.step(store)
      if search.isOver { return search.found }
      try await breathe()
    }
  }

  /// Goes through what was kept and has records at `from` or later, in the order in which it was, in pieces, while everything goes on.
  func forEachSegment(from: Timestamp, _ body: (ActivitySegment) throws(Fault) -> Void) async throws(Fault) {
    var place: Int64? = 0
    searches += 1
    defer { searches -= 1 }
    while let after = place {
      var bytes = 0
      var segments: [ActivitySegment] = []
      place = try store.forEachSegment(after: after, from: from, rows: ActivitySearch.segmentsAtOnce) { segment in
        segments.append(segment)
        bytes += segment.records.count
        return bytes < ActivitySearch.bytesAtOnce
      }
      for segment in segments { try body(segment) }
      if place != nil { try await breathe() }
    }
  }

  /// Writes down that a real key is about to leave.
  public func noteRelease(of key: RecordID, providerKey: RecordID, provider: String, to address: NetworkAddress?) throws(Fault) {
    try audit(
      "provider_key.release_to_resolver", "provider-key/\(providerKey)",
      ["key": key.description, "provider": provider, "to": address?.description ?? ""], by: .gateway)
  }
}
