public import Domain
public import Primitives
public import Storage
import Synchronization

/// A store without a file, for tests of what stands above it. It can be told to fail.
public final class MemoryStore: Store, Sendable {
  private struct State {
    var blobs: [String: [UInt8]] = [:]
    var keys: [MaskedKeyRow] = []
    var providers: [ProviderRow] = []
    var providerKeys: [ProviderKey] = []
    var segments: [ActivitySegment] = []
    var lastSegment: Int64 = 0
    var documents: [DocumentRow] = []
    var accounts: [String: [Int64: AccountRow]] = [:]
    var objects: [ObjectRow] = []
    var counted: Set<String> = []
    var endings: [String] = []
    var audit: [AuditRow] = []
    var answers: [String: (at: Timestamp, sealed: [UInt8])] = [:]
    var profiles: [RecordID: [UInt8]] = [:]
    var upTo: Int64 = 0
    var usage: [UsageRow.Place: UsageRow.Sums] = [:]
    var usageUpTo: Int64?
    var alerts: [String: [UInt8]] = [:]
    var alertsUpTo: Int64?
    var captures: [CaptureRow] = []
    var isFailing = false
  }
  private let state = Mutex(State())
  private let before = Mutex<State?>(nil)

  public init() {}

  public func begin() throws(Fault) { before.withLock { $0 = state.withLock { $0 } } }
  public func commit() throws(Fault) { before.withLock { $0 = nil } }
  public func rollBack() {
    let old = before.withLock { $0 }
    if let old { state.withLock { $0 = old } }
    before.withLock { $0 = nil }
  }
  public func transaction(_ body: () throws(Fault) -> Void) throws(Fault) {
    if before.withLock({ $0 != nil }) { return try body() }
    try begin()
    do { try body() } catch {
      rollBack()
      throw error
    }
    try commit()
  }
  public func reseal(_ key: ProviderKey) throws(Fault) {
    try write { state in
      for i in state.providerKeys.indices where state.providerKeys[i].id == key.id && state.providerKeys[i].version == key.version
      {
        state.providerKeys[i] = key
      }
    }
  }
  public func deleteProvider(_ name: String) throws(Fault) { try write { $0.providers.removeAll { $0.name == name } } }

  /// From now on every write fails, as on a full disk.
  public func fail(_ isFailing: Bool) { state.withLock { $0.isFailing = isFailing } }

  /// Lets a test edit what is kept, as somebody with the file could.
  public func editKeys(_ edit: @Sendable (inout [MaskedKeyRow]) -> Void) { state.withLock { edit(&$0.keys) } }

  private func write(_ body: (inout sending State) throws(Fault) -> Void) throws(Fault) {
    try state.withLock { (state) throws(Fault) in
      if state.isFailing { throw Fault(.storage, "the disk is full") }
      try body(&state)
    }
  }

  public func blob(_ name: String) throws(Fault) -> [UInt8]? { state.withLock { $0.blobs[name] } }
  public func setBlobs(_ blobs: [(name: String, value: [UInt8])]) throws(Fault) {
    try write { for (name, value) in blobs { $0.blobs[name] = value } }
  }
  public func maskedKeys() throws(Fault) -> [MaskedKeyRow] { state.withLock { $0.keys } }
  public func save(_ row: MaskedKeyRow) throws(Fault) {
    try write { (state) throws(Fault) in
      if let i = state.keys.firstIndex(where: { $0.id == row.id }) {
        guard state.keys[i].revision == row.revision - 1 else { throw Fault(.conflict, "changed meanwhile") }
        state.keys[i] = row
      } else {
        state.keys.append(row)
      }
    }
  }
  public func insert(_ rows: [MaskedKeyRow]) throws(Fault) {
    try write { state in
      for row in rows {
        state.keys.removeAll { $0.id == row.id }
        state.keys.append(row)
      }
    }
  }
  public func providers() throws(Fault) -> [ProviderRow] { state.withLock { $0.providers } }
  public func save(_ row: ProviderRow) throws(Fault) {
    try write { state in
      state.providers.removeAll { $0.name == row.name }
      state.providers.append(row)
    }
  }
  public func providerKeys() throws(Fault) -> [ProviderKey] { state.withLock { $0.providerKeys } }
  public func insert(_ key: ProviderKey) throws(Fault) { try write { $0.providerKeys.append(key) } }
  public func deleteProviderKey(_ id: RecordID, version: UInt32?) throws(Fault) -> Bool {
    var isDeleted = false
    try write { state in
      let before = state.providerKeys.count
      state.providerKeys.removeAll { $0.id == id && (version == nil || $0.version == version) }
      isDeleted = state.providerKeys.count < before
    }
    return isDeleted
  }
  public func object(provider: String, id: String) throws(Fault) -> ObjectRow? {
    state.withLock { $0.objects.first { $0.object.provider == provider && $0.object.id == id } }
  }
  public func objects(of key: RecordID?, after: ObjectCursor?, limit: Int) throws(Fault) -> [ObjectRow] {
    state.withLock { state in
      var found = state.objects.filter { key == nil || $0.object.key == key }
      found.sort { a, b in
        (b.object.createdAt, a.object.provider, a.object.id) < (a.object.createdAt, b.object.provider, b.object.id)
      }
      let text = after?.text
      let start = found.firstIndex { ObjectCursor($0.object).text == text }.map { $0 + 1 } ?? 0
      return Array(found.dropFirst(start).prefix(limit))
    }
  }
  public func save(_ rows: [ObjectRow]) throws(Fault) {
    try write { state in
      for row in rows {
        state.objects.removeAll { $0.object.provider == row.object.provider && $0.object.id == row.object.id }
        state.objects.append(row)
      }
    }
  }
  public func countObject(provider: String, id: String, at now: Timestamp) throws(Fault) -> Bool {
    var isNews = false
    try write { state in
      let exists = state.objects.contains { $0.object.provider == provider && $0.object.id == id }
      isNews = exists && state.counted.insert("\(provider)/\(id)").inserted
    }
    return isNews
  }
  public func deleteObject(provider: String, id: String) throws(Fault) {
    try write { $0.objects.removeAll { $0.object.provider == provider && $0.object.id == id } }
  }
  public func deleteObjects(expiredBy now: Timestamp) throws(Fault) {
    try write { $0.objects.removeAll { $0.object.expiresAt.map { $0 <= now } == true } }
  }
  /// Lets a test edit what is kept, as somebody with the file could.
  public func editObjects(_ edit: @Sendable (inout [ObjectRow]) -> Void) { state.withLock { edit(&$0.objects) } }

  public func append(endings lines: [String]) throws(Fault) { try write { $0.endings += lines } }
  public func endings() throws(Fault) -> [String] { state.withLock { $0.endings } }
  /// Lets a test put an older copy of the keys in place, as somebody with a backup could.
  public func keyRows() -> [MaskedKeyRow] { state.withLock { $0.keys } }
  public func append(_ rows: [AuditRow]) throws(Fault) {
    try write { state in
      state.audit += rows
    }
  }
  public func replaceAudit(_ rows: [AuditRow]) throws(Fault) { try write { $0.audit = rows } }
  /// Lets a test edit what is kept, as somebody with the file could.
  public func editAudit(_ edit: @Sendable (inout [AuditRow]) -> Void) { state.withLock { edit(&$0.audit) } }
  public func forEachAuditRow(before number: Int64, _ body: (AuditRow) -> Bool) throws(Fault) {
    for row in state.withLock({ $0.audit }).reversed() where row.number < number { if !body(row) { return } }
  }
  public func forEachAuditRow(after number: Int64, _ body: (AuditRow) -> Bool) throws(Fault) {
    for row in state.withLock({ $0.audit }) where row.number > number { if !body(row) { return } }
  }
  public func append(_ row: CaptureRow) throws(Fault) {
    try write { state in
      var row = row
      row.number = (state.captures.last?.number ?? 0) + 1
      state.captures.append(row)
    }
  }
  public func forEachCapture(of key: RecordID?, before number: Int64, _ body: (CaptureRow) -> Bool) throws(Fault) {
    for row in state.withLock({ $0.captures }).reversed() where row.number < number && (key == nil || row.key == key) {
      if !body(row) { return }
    }
  }
  public func resealCapture(_ number: Int64, _ sealed: [UInt8]) throws(Fault) {
    try write { state in
      for i in state.captures.indices where state.captures[i].number == number { state.captures[i].sealed = sealed }
    }
  }
  public func deleteCaptures(before moment: Timestamp, keeping count: Int64) throws(Fault) {
    try write { state in
      let last = state.captures.last?.number ?? 0
      state.captures.removeAll { $0.at < moment || $0.number <= last - count }
    }
  }
  public func deleteCaptures(of key: RecordID) throws(Fault) { try write { $0.captures.removeAll { $0.key == key } } }
  public func alerts() throws(Fault) -> (bodies: [[UInt8]], upTo: Int64?) {
    state.withLock { (Array($0.alerts.values), $0.alertsUpTo) }
  }
  public func save(alerts: [(id: String, body: [UInt8]?)], upTo: Int64) throws(Fault) {
    try write { state in
      for (id, body) in alerts { state.alerts[id] = body }
      state.alertsUpTo = upTo
    }
  }
  public func add(_ rows: [UsageRow], upTo: Int64) throws(Fault) {
    try write { state in
      for row in rows { state.usage[row.place, default: UsageRow.Sums()] += row.sums }
      state.usageUpTo = upTo
    }
  }
  public func usageUpTo() throws(Fault) -> Int64? { state.withLock { $0.usageUpTo } }
  public func forEachUsage(_ span: UsageRow.Span, from: Int64, to: Int64, _ body: (UsageRow) -> Bool) throws(Fault) {
    let rows = state.withLock { $0.usage }.filter { $0.key.span == span && $0.key.start >= from && $0.key.start < to }
    for (place, sums) in rows.sorted(by: { $0.key.start < $1.key.start }) { if !body(UsageRow(place, sums)) { return } }
  }
  public func deleteUsage(_ span: UsageRow.Span, before start: Int64) throws(Fault) {
    try write { state in state.usage = state.usage.filter { $0.key.span != span || $0.key.start >= start } }
  }
  public func deleteSegments(before moment: Timestamp, limit: Int) throws(Fault) -> Int {
    try erase { $0.last < moment }
  }
  public func segmentHeads(after number: Int64, upTo last: Int64, limit: Int) throws(Fault) -> [SegmentHead] {
    state.withLock { state in
      state.segments.filter { $0.number > number && $0.number <= last }.prefix(limit).map {
        SegmentHead(number: $0.number, last: $0.last, bytes: $0.records.count)
      }
    }
  }
  public func replaceSegments(_ numbers: ClosedRange<Int64>, with segment: ActivitySegment) throws(Fault) {
    try write { state in
      state.segments.removeAll { numbers.contains($0.number) }
      state.segments.append(segment)
      state.segments.sort { $0.number < $1.number }
    }
  }
  public func segmentBytes() throws(Fault) -> Int64 { state.withLock { $0.segments.reduce(0) { $0 + Int64($1.records.count) } } }
  public func deleteOldestSegments(bytes: Int64, limit: Int) throws(Fault) -> Int {
    var left = bytes
    return try erase { segment in
      defer { left -= Int64(segment.records.count) }
      return left > 0
    }
  }
  private func erase(_ isGone: (ActivitySegment) -> Bool) throws(Fault) -> Int {
    let gone = Set(state.withLock { $0.segments }.filter(isGone).map(\.number))
    try write { state in state.segments.removeAll { gone.contains($0.number) } }
    return gone.count
  }
  public func append(_ segment: ActivitySegment) throws(Fault) -> Int64 {
    var number: Int64 = 0
    try write { state in
      state.lastSegment += 1
      number = state.lastSegment
      var segment = segment
      segment.number = number
      state.segments.append(segment)
    }
    return number
  }
  public func forEachSegment(after number: Int64, _ body: (ActivitySegment) -> Bool) throws(Fault) {
    for segment in state.withLock({ $0.segments }) where segment.number > number { if !body(segment) { return } }
  }
  public func profiles() throws(Fault) -> (rows: [(id: RecordID, body: [UInt8])], upTo: Int64) {
    state.withLock { ($0.profiles.map { ($0.key, $0.value) }, $0.upTo) }
  }
  public func save(profiles: [(id: RecordID, body: [UInt8])], upTo: Int64) throws(Fault) {
    try write { state in
      for (id, body) in profiles { state.profiles[id] = body }
      state.upTo = upTo
    }
  }
  public func answer(_ name: String) throws(Fault) -> (at: Timestamp, sealed: [UInt8])? { state.withLock { $0.answers[name] } }
  public func answerNames() throws(Fault) -> [String] { state.withLock { $0.answers.keys.sorted() } }
  public func save(answer name: String, at now: Timestamp, sealed: [UInt8]?) throws(Fault) {
    try write { state in state.answers[name] = sealed.map { (now, $0) } }
  }
  public func deleteAnswers(before moment: Timestamp) throws(Fault) {
    try write { state in state.answers = state.answers.filter { $0.value.at >= moment } }
  }
  public func forEachSegment(after number: Int64, from: Timestamp, rows: Int, _ body: (ActivitySegment) -> Bool) throws(Fault)
    -> Int64?
  {
    let left = state.withLock { $0.segments.filter { $0.number > number } }
    for (i, segment) in left.enumerated() {
      if segment.last >= from, !body(segment) { return segment.number }
      if i + 1 == rows { return segment.number }
    }
    return nil
  }
  public func forEachSegment(
    before place: SegmentPlace, from: Timestamp, to: Timestamp, rows: Int, _ body: (ActivitySegment) -> Bool
  ) throws(Fault) -> SegmentPlace? {
    let left = state.withLock { state in
      state.segments.filter { $0.last >= from && ($0.last, $0.number) < (place.last, place.number) }
        .sorted { ($0.last, $0.number) > ($1.last, $1.number) }
    }
    for (i, segment) in left.enumerated() {
      let here = SegmentPlace(last: segment.last, number: segment.number)
      if segment.first <= to, !body(segment) { return here }
      if i + 1 == rows { return here }
    }
    return nil
  }
  public func documents() throws(Fault) -> [DocumentRow] { state.withLock { $0.documents } }
  public func editDocuments(_ edit: @Sendable (inout [DocumentRow]) -> Void) { state.withLock { edit(&$0.documents) } }
  public func change(save: [DocumentRow], delete: [(kind: String, name: String)], blob: (name: String, value: [UInt8]))
    throws(Fault)
  {
    try write { state in
      let gone = save.map { ($0.kind, $0.name) } + delete.map { ($0.kind, $0.name) }
      state.documents.removeAll { row in gone.contains { $0 == (row.kind, row.name) } }
      state.documents += save
      state.blobs[blob.name] = blob.value
    }
  }
  public func accounts() throws(Fault) -> [AccountRow] {
    state.withLock { $0.accounts.values.flatMap(\.values).sorted { ($0.name, $0.start) < ($1.name, $1.start) } }
  }
  public func save(_ rows: [AccountRow]) throws(Fault) {
    try write { state in for row in rows { state.accounts[row.name, default: [:]][row.start] = row } }
  }
  public func deleteAccounts(_ name: String, before start: Int64) throws(Fault) {
    try write { state in state.accounts[name] = state.accounts[name]?.filter { $0.key >= start } }
  }
  public func inspection() -> @Sendable () throws(Fault) -> Void { { () throws(Fault) in } }
  public func copy(to path: String) throws(Fault) -> StoreCopy { throw Fault(.storage, "there is no file to copy") }
  public var place: String { "/nowhere" }
  public func dataVersion() throws(Fault) -> Int64 { 1 }
}
