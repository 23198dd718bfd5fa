import Cryptography
import KeyService
public import PolicyEngine
public import Primitives
public import Providers
import Storage
import Synchronization

/// Resolves masked keys to real ones in this process, against the store of a `maskllm` on the same machine.
///
/// For a backend that calls the provider itself: no network, no middleman, well under a microsecond. The process holds the
/// unseal key, so it is as trusted as the gateway. A change made elsewhere (a revoked key, a removed provider key) is in force
/// here within `stalenessMaxMilliseconds`; when the store cannot be read for that long, everything is refused. A vault that is
/// closed by hand (`maskllm seal`) is closed here as soon, for good: when it is open again, make another resolver.
///
/// Safe to use from any number of threads.
public final class Resolver: Sendable {
  /// How often the store is asked whether it has changed.
  public static let checkMilliseconds: UInt64 = 250
  /// After so long without an answer from the store, nothing is resolved any more.
  public static let stalenessMaxMilliseconds: UInt64 = 2000

  private struct State {
    var snapshot: Snapshot
    /// Of the monotonic clock, in milliseconds.
    var checkedAt: UInt64
    var confirmedAt: UInt64
  }
  private struct Source {
    let service: KeyService
    let store: SQLiteStore
    var version: Int64
  }
  private let state: Mutex<State>
  private let source: Mutex<Source>
  private let clock: any WallClock

  /// Opens the store in `dataDirectory` for reading and its vault with the content of the key file, or with the passphrase.
  ///
  /// Throws `Fault` with what is wrong and what to do: no store there, readable by others, the wrong key.
  public init(dataDirectory: String, unsealSecret: Span<UInt8>, clock: any WallClock = SystemClock()) throws(Fault) {
    let store = try SQLiteStore.openReadOnly(path: dataDirectory)
    let service = KeyService(
      store: store, sink: Nowhere(), clock: clock,
      catalogue: try Catalogue.with(folder: DataDirectory.cataloguePath(dataDirectory)), keepsLedger: false)
    let version = try store.dataVersion()
    try service.unseal(secret: unsealSecret)
    let now = Self.now()
    state = Mutex(State(snapshot: service.snapshot(), checkedAt: now, confirmedAt: now))
    source = Mutex(Source(service: service, store: store, version: version))
    self.clock = clock
  }

  /// Checks `maskedKey` and lends the real key for `provider` to `use`, for as long as that call takes.
  ///
  /// `endpoint` and `model` say what the key is wanted for. A masked key that is scoped to some of either is lent only for
  /// those; one that is scoped to networks, or counted by the day, in tokens or in money, is not lent at all: a process is in no
  /// network, and sees no request. What the caller then does with
  /// the real key is the caller's honesty. Throws `Refusal` with the rule that refused, the same as the gateway's. Allocates
  /// nothing.
  public func withProviderKey<Result>(
    for maskedKey: Span<UInt8>, provider: Span<UInt8>, endpoint: EndpointClass? = nil, model: Span<UInt8> = Span(),
    _ use: (Span<UInt8>) -> Result
  ) throws(Refusal) -> Result {
    let snapshot = try current()
    let index = try snapshot.authenticate(maskedKey, now: clock.now)
    guard let upstream = snapshot.upstream(named: provider) else { throw .providerNotAllowed }
    let position = try snapshot.decide(key: index, upstream: upstream)
    try snapshot.decide(key: index, from: nil)
    try snapshot.decide(key: index, anyOr: endpoint)
    if snapshot.restrictsModels(key: index) {
      guard !model.isEmpty else { throw .modelUnclear }
      try snapshot.decide(key: index, model: model)
    }
    try snapshot.decide(key: index, at: clock.now)
    // A reader of the store can keep no ledger, and sees no request whose tokens it could count or bound.
    guard !snapshot.restrictsPaths(key: index), snapshot.outputTokensMax(key: index) == nil, snapshot.isLendable(key: index)
    else { throw .notLendable }
    // A key lent counts as a request, in this process's own count.
    do throws(Denial) { try snapshot.countLoan(key: index, now: monotonicNanoseconds()) } catch { throw error.refusal }
    let credential = upstream.credentials[position]
    return credential.withSecret(use)
  }

  private static func now() -> UInt64 { monotonicNanoseconds() / 1_000_000 }

  private func current() throws(Refusal) -> Snapshot {
    let now = Self.now()
    let (snapshot, isDue, isStale) = state.withLock { state in
      let isDue = now - state.checkedAt >= Self.checkMilliseconds
      // One caller looks; the others go on with what there is.
      if isDue { state.checkedAt = now }
      return (state.snapshot, isDue, now - state.confirmedAt >= Self.stalenessMaxMilliseconds)
    }
    if !isDue, !isStale { return snapshot }
    guard let fresh = refreshed(now) else {
      if isStale { throw .sealed }
      return snapshot
    }
    return fresh
  }

  /// The state as the store has it now; nil when it cannot be read.
  private func refreshed(_ now: UInt64) -> Snapshot? {
    source.withLock { source in
      do throws(Fault) {
        let version = try source.store.dataVersion()
        var snapshot: Snapshot?
        if version != source.version {
          try source.service.reload()
          source.version = version
          snapshot = source.service.snapshot()
        }
        return state.withLock { state in
          if let snapshot { state.snapshot = snapshot }
          state.confirmedAt = max(state.confirmedAt, now)
          return state.snapshot
        }
      } catch { return nil }
    }
  }
}

/// A reader changes nothing, so there is nobody to tell.
private struct Nowhere: SnapshotSink {
  func publish(_ snapshot: Snapshot) async -> Int { 0 }
}
