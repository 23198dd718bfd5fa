import Domain
import FoundationEssentials
import Primitives
import TestSupport
import Testing

@testable import Storage

struct SQLiteStoreTests {
  /// A fresh directory that goes with the test.
  private final class Folder {
    let path: String
    init() {
      path = "\(FileManager.default.temporaryDirectory.path())/maskllm-test-\(RecordID.random(SystemRandomness()))"
      try? FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func mode(_ name: String) throws -> Int {
      try #require(FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")[.posixPermissions] as? Int)
    }
  }

  private func create(_ folder: Folder) throws -> SQLiteStore {
    try SQLiteStore.create(in: try DataDirectory.take(folder.path, creating: true))
  }
  private func open(_ folder: Folder) throws -> SQLiteStore {
    try SQLiteStore.open(in: try DataDirectory.take(folder.path, creating: false))
  }

  private func row(_ id: String, revision: Int64 = 1) -> MaskedKeyRow {
    MaskedKeyRow(
      id: RecordID(id)!, name: "it's; DROP TABLE masked_key;--", policy: [1, 0, 2], state: "active", createdAt: 1, expiresAt: nil,
      hash: [9],
      pepperVersion: 1, revision: revision, mac: [])
  }

  @Test("what was written is there after opening again, and the files are 0600") func reopen() throws {
    let folder = Folder()
    do {
      let store = try create(folder)
      try store.setBlobs([("a", [1, 2]), ("b", [])])
      try store.save(row("AAAAAAAAAAAA"))
      _ = try store.append(
        ActivitySegment(first: Timestamp(milliseconds: 5), last: Timestamp(milliseconds: 9), count: 2, records: [7]))
      for name in ["maskllm.db", "maskllm.db-wal", "maskllm.db-shm", "lock"] {
        #expect(try folder.mode(name) == 0o600, "\(name)")
      }
    }
    let store = try open(folder)
    #expect(try store.blob("a") == [1, 2])
    #expect(try store.blob("b") == [])
    #expect(try store.blob("c") == nil)
    #expect(try store.maskedKeys() == [row("AAAAAAAAAAAA")])
    var segments = 0
    try store.forEachSegment(after: 0) { segment in
      segments += segment.count
      return true
    }
    #expect(segments == 2)
  }

  @Test("segments are gone through in pieces, both ways, and none twice or not at all") func pieces() throws {
    let store = try create(Folder())
    var r = SeededRandomness(seed: 7)
    var all: [ActivitySegment] = []
    for _ in 0..<300 {
      let last = Int64.random(in: 1000..<1100, using: &r)
      var segment = ActivitySegment(
        first: Timestamp(milliseconds: last - Int64.random(in: 0..<50, using: &r)), last: Timestamp(milliseconds: last), count: 1,
        records: [1, 2, 3])
      segment.number = try store.append(segment)
      all.append(segment)
    }
    for _ in 0..<50 {
      let bounds = [Int64.random(in: 950..<1110, using: &r), Int64.random(in: 950..<1110, using: &r)].sorted()
      let (from, to) = (Timestamp(milliseconds: bounds[0]), Timestamp(milliseconds: bounds[1]))
      let (rows, most) = (Int.random(in: 1..<20, using: &r), Int.random(in: 1..<20, using: &r))
      var seen: [Int64] = []
      func take(_ segment: ActivitySegment, _ taken: inout Int) -> Bool {
        #expect(segment.records == [1, 2, 3])
        seen.append(segment.number)
        taken += 1
        return taken < most
      }
      var place: SegmentPlace? = .end
      while let before = place {
        var taken = 0
        place = try store.forEachSegment(before: before, from: from, to: to, rows: rows) { take($0, &taken) }
        #expect(taken <= rows && taken <= most)
      }
      #expect(
        seen
          == all.filter { $0.last >= from && $0.first <= to }.sorted { ($0.last, $0.number) > ($1.last, $1.number) }.map(\.number)
      )
      seen = []
      var number: Int64? = 0
      while let after = number {
        var taken = 0
        number = try store.forEachSegment(after: after, from: from, rows: rows) { take($0, &taken) }
        #expect(taken <= rows && taken <= most)
      }
      #expect(seen == all.filter { $0.last >= from }.map(\.number))
    }
  }

  @Test("how much there is of activity is known, also in a store from before that was counted") func size() throws {
    let folder = Folder()
    do {
      let store = try create(folder)
      for n in 1...10 {
        let moment = Timestamp(milliseconds: Int64(n))
        _ = try store.append(
          ActivitySegment(first: moment, last: moment, count: 1, records: [UInt8](repeating: 7, count: 100 * n)))
      }
      #expect(try store.segmentBytes() == 5500)
      #expect(try store.deleteOldestSegments(bytes: 250, limit: 10) == 2)
      #expect(try store.deleteSegments(before: Timestamp(milliseconds: 5), limit: 10) == 2)
      #expect(try store.segmentBytes() == 4500)
      #expect(
        try store.segmentHeads(after: 5, upTo: 8, limit: 2).map { [$0.number, Int64($0.bytes)] } == [[6, 600], [7, 700]])
      let moment = Timestamp(milliseconds: 6)
      let merged = ActivitySegment(number: 6, first: moment, last: moment, count: 2, records: [UInt8](repeating: 7, count: 1300))
      try store.replaceSegments(6...7, with: merged)
      #expect(
        try store.segmentHeads(after: 5, upTo: 9, limit: 9).map { [$0.number, Int64($0.bytes)] } == [
          [6, 1300], [8, 800], [9, 900],
        ])
      #expect(try store.segmentBytes() == 4500)
      for statement: StaticString in [
        "DROP TRIGGER activity_added", "DROP TRIGGER activity_erased", "DROP TABLE activity_size", "PRAGMA user_version = 11",
      ] { try store.database.run(statement) }
    }
    #expect(try open(folder).segmentBytes() == 4500)
  }

  @Test("a second process cannot take the directory, and can after the first has gone") func lock() throws {
    let folder = Folder()
    do {
      let store = try create(folder)
      #expect(throws: Fault(.conflict, "")) { _ = try open(folder) }
      withExtendedLifetime(store) {}
    }
    _ = try open(folder)
  }

  @Test("initialising twice is refused and loses nothing") func twice() throws {
    let folder = Folder()
    do { try create(folder).setBlobs([("a", [1])]) }
    #expect(throws: Fault(.conflict, "")) { _ = try create(folder) }
    #expect(try open(folder).blob("a") == [1])
  }

  @Test("a directory or file that others can read is refused with the command that mends it") func permissions() throws {
    let folder = Folder()
    do { _ = try create(folder) }
    try FileManager.default.setAttributes([.posixPermissions: 0o750], ofItemAtPath: folder.path)
    #expect(throws: Fault(.forbidden, "")) { _ = try open(folder) }
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: "\(folder.path)/maskllm.db")
    #expect(throws: Fault(.forbidden, "")) { _ = try open(folder) }
  }

  @Test("a file that is no store, is damaged, or comes from a newer version is refused") func foreign() throws {
    let folder = Folder()
    #expect(throws: Fault(.notFound, "")) { _ = try open(folder) }
    do { _ = try create(folder) }
    let path = "\(folder.path)/maskllm.db"
    var bytes = try Corpora.data(path)
    bytes[63] = 99  // user_version, big-endian at 60
    try Data(bytes).write(to: URL(filePath: path))
    #expect(throws: Fault(.storage, "")) { _ = try open(folder) }
    bytes[0] = 0
    try Data(bytes).write(to: URL(filePath: path))
    #expect(throws: Fault(.storage, "")) { _ = try open(folder) }
  }

  @Test("a damaged record of requests is found by looking at all, and does not keep the rest from being opened") func record()
    throws
  {
    let folder = Folder()
    let path = "\(folder.path)/maskllm.db"
    do {
      let store = try create(folder)
      try store.setBlobs([("a", [1])])
      let moment = Timestamp(milliseconds: 1)
      _ = try store.append(
        ActivitySegment(first: moment, last: moment, count: 1, records: [UInt8](repeating: 0x5A, count: 200_000)))
      #expect(throws: Never.self) { try store.inspection()() }
    }
    // The page that tells where those of the segment are.
    var bytes = try Corpora.data(path)
    let page = 4096
    let content = try #require((0..<bytes.count / page).first { bytes[$0 * page + 2000] == 0x5A && bytes[$0 * page] == 13 })
    for i in 0..<64 { bytes[content * page + i] = 0xFF }
    try Data(bytes).write(to: URL(filePath: path))
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    let store = try open(folder)
    #expect(try store.blob("a") == [1])
    #expect(throws: Fault(.storage, "")) { try store.inspection()() }
  }

  @Test("a change made meanwhile is not overwritten") func conflict() throws {
    let store = try create(Folder())
    try store.save(row("AAAAAAAAAAAA"))
    try store.save(row("AAAAAAAAAAAA", revision: 2))
    #expect(throws: Fault(.conflict, "")) { try store.save(row("AAAAAAAAAAAA", revision: 2)) }
    #expect(throws: Fault(.conflict, "")) { try store.save(row("AAAAAAAAAAAA", revision: 4)) }
    #expect(try store.maskedKeys().map(\.revision) == [2])
  }

  @Test("a reader beside the writer sees what is committed, learns of changes, and cannot write") func reader() throws {
    let folder = Folder()
    let store = try create(folder)
    let reader = try SQLiteStore.openReadOnly(path: folder.path)
    let version = try reader.dataVersion()
    try store.save(row("AAAAAAAAAAAA"))
    #expect(try reader.dataVersion() != version)
    #expect(try reader.maskedKeys().count == 1)
    #expect(throws: Fault(.storage, "")) { try reader.save(row("BBBBBBBBBBBB")) }
  }

  @Test("an erased provider key is gone from the pages of the file and of its log") func erased() throws {
    let folder = Folder()
    let store = try create(folder)
    let canary = Array("CANARY-CIPHERTEXT-0123456789".utf8)
    try store.save(ProviderRow(name: "p", document: [], mac: []))
    try store.insert(
      ProviderKey(
        id: RecordID("AAAAAAAAAAAA")!, provider: "p", name: "n", version: 1, sealed: canary, createdAt: Timestamp(milliseconds: 0)
      ))
    #expect(throws: Fault(.storage, "")) {
      try store.insert(
        ProviderKey(
          id: RecordID("BBBBBBBBBBBB")!, provider: "unknown", name: "n", version: 1, sealed: [],
          createdAt: Timestamp(milliseconds: 0)))
    }
    #expect(try store.deleteProviderKey(RecordID("AAAAAAAAAAAA")!, version: nil))
    #expect(try !store.deleteProviderKey(RecordID("AAAAAAAAAAAA")!, version: nil))
    for name in ["maskllm.db", "maskllm.db-wal"] {
      let bytes = try Corpora.data("\(folder.path)/\(name)")
      #expect(!String(decoding: bytes, as: UTF8.self).contains("CANARY"), "\(name)")
    }
  }
}
