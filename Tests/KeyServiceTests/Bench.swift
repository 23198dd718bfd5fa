import Cryptography
import Domain
import KeyService
import PolicyEngine
import Primitives
import Synchronization
import TestSupport
import Vault

/// A key service as tests want it: its store in memory, its clock in their hands, its chances repeatable, its vault open.
struct Bench {
  let store = MemoryStore()
  let sink = InForce()
  let clock = ManualClock()
  /// The content of the unseal key file.
  let file: [UInt8]
  let service: KeyService

  init(seed: UInt64, outside: any Outside = NoOutside()) throws {
    let content = KeyFile.generate()
    file = [UInt8](copying: content.span)
    service = KeyService(store: store, sink: sink, clock: clock, randomness: SeededRandomness(seed: seed), outside: outside)
    try service.adopt(try Vault.initialize(store, method: .keyFile, secret: file.span))
  }
}

/// An outside where nobody answers, but for what a test says.
protocol Alone: Outside {}

extension Alone {
  private var nobody: Fault { Fault(.unavailable, "nobody is there") }
  func call(_ request: OutboundRequest) async throws(Fault) -> OutboundAnswer { throw nobody }
  func tokenLine(for credential: Credential, authorityFile: String?) async throws(Fault) -> [UInt8] { throw nobody }
  func probe(_ credential: Credential, _ provider: Provider, path: String) async throws(Fault) -> Int { throw nobody }
  func reach(_ provider: Provider) async throws(Fault) -> Timestamp? { throw nobody }
  func pause(milliseconds: Int) async throws(Fault) {}
  func offLoop(_ work: @escaping @Sendable () throws(Fault) -> Void) async throws(Fault) { try work() }
  func mail(_ message: MailMessage) async throws(Fault) { throw nobody }
  func run(hook name: String, _ arguments: [String], input: [UInt8]) async throws(Fault) -> [UInt8] { throw nobody }
  func write(_ content: [UInt8], to path: String, mode: UInt32, owner: String?) async throws(Fault) { throw nobody }
  func mount(_ files: [(name: String, content: [UInt8])], in folder: String, mode: UInt32) async throws(Fault) { throw nobody }
}

/// Remembers the last snapshot that was taken into force, as if by two loops.
final class InForce: SnapshotSink {
  static let loops = 2
  let last = Mutex<Snapshot?>(nil)

  func publish(_ snapshot: Snapshot) async -> Int {
    last.withLock { $0 = snapshot }
    return Self.loops
  }

  /// Why a request with that key would be refused; nil when it would not be.
  func refusal(_ text: [UInt8], at now: Timestamp) -> Refusal? {
    guard let snapshot = last.withLock({ $0 }) else { return .sealed }
    do throws(Refusal) {
      _ = try snapshot.authenticate(text.span, now: now)
      return nil
    } catch { return error }
  }
}

/// Tests at a bench, which find its parts by their names.
protocol AtBench { var bench: Bench { get } }

extension AtBench {
  var store: MemoryStore { bench.store }
  var sink: InForce { bench.sink }
  var clock: ManualClock { bench.clock }
  var file: [UInt8] { bench.file }
  var service: KeyService { bench.service }

  /// The service after a restart.
  func again(outside: any Outside = NoOutside()) throws -> KeyService {
    let service = KeyService(store: store, sink: sink, clock: clock, outside: outside)
    try service.unseal(secret: file.span)
    return service
  }
}
