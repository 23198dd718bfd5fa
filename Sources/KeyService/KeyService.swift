public import Audit
import Cryptography
public import Domain
public import PolicyEngine
public import Primitives
public import Providers
public import Storage
public import Vault

/// Takes a new snapshot into force. Returns when every part of the process decides on it: how many did.
public protocol SnapshotSink: Sendable {
  func publish(_ snapshot: Snapshot) async -> Int
}

/// The use cases: what administrators do. Every change is durable, then in force, then answered.
///
/// Belongs to one thread (the control loop, or a command's only thread).
public final class KeyService: @unchecked Sendable {
  let store: any Store
  let clock: any WallClock
  let randomness: any Randomness
  private let sink: any SnapshotSink
  public let catalogue: Catalogue
  private var generation: UInt64 = 1
  /// Snapshots that were on their way, and that have got there.
  private var begun = 0
  private var finished = 0
  private var readers: [(begun: Int, continuation: CheckedContinuation<Void, Never>)] = []
  /// nil while sealed.
  var vault: Vault?
  var keys: [RecordID: MaskedKey] = [:] { didSet { (knownIndex, knownCounts) = (nil, nil) } }
  /// When keys were made, and their IDs, in order; worked out when it is asked for.
  var keyOrder: [(Timestamp, RecordID)] = []
  /// Rows that were changed outside: shown, never used.
  public internal(set) var tamperedKeys: [RecordID] = []
  public internal(set) var tamperedProviders: [String] = []
  /// Keys that an older copy of the store had alive, and that have ended since.
  public internal(set) var restoredKeys: [RecordID] = []
  var providersByName: [String: Provider] = [:]
  var providerKeys: [ProviderKey] = []
  var credentials: [VersionPlace: Credential] = [:]
  /// Teams, policies, budgets and prices, as they are kept.
  var documents: [DocumentPlace: DocumentRow] = [:]
  public internal(set) var teams: [String: Policy] = [:]
  public internal(set) var sharedPolicies: [String: Policy] = [:]
  public internal(set) var budgets: [String: Budget] = [:]
  public internal(set) var priceOverrides: [PriceName: Price] = [:]
  /// Built anew when an override changes.
  var priceList = PriceList(shipped: [])
  public internal(set) var pools: [RecordID: PoolSettings] = [:]
  /// Of provider keys. Kept from snapshot to snapshot.
  var healths: [VersionPlace: CredentialHealth] = [:]
  /// Of provider keys, by ID: how they are replaced, and how far that is.
  public internal(set) var plans: [RecordID: RotationPlan] = [:]
  public internal(set) var runs: [RecordID: RotationRun] = [:]
  var advancing: Set<RecordID> = []
  /// Since when this process sees the traffic.
  public let startedAt: Timestamp
  /// How many event loops have the last snapshot in force.
  public private(set) var eventLoops = 0
  /// Made a moment ago and not kept yet.
  var pendingObjects: [ObjectPlace: ProviderObject] = [:]
  public internal(set) var tokens: [RecordID: AdminToken] = [:]
  /// By whose they are; see `schedule(of:)`.
  public internal(set) var schedules: [String: RotationSchedule] = [:]
  public internal(set) var destinations: [String: Destination] = [:]
  /// When the present version of a key is due to be replaced, worked out once.
  var dues: [RecordID: (version: UInt32, due: Timestamp?)] = [:]
  /// What is looked for every second; see `index`.
  var knownIndex: KeyIndex?
  var knownCounts: (teams: [String: Int], policies: [String: Int])?
  /// Keys whose new secret is being brought somewhere just now.
  var delivering: Set<RecordID> = []
  let outside: any Outside
  /// Whether others wait for the same thread.
  let keepsBreathing: Bool
  /// Yours; see `allTriggers`.
  public internal(set) var ownTriggers: [String: Trigger] = [:]
  /// The changes that are being made as one.
  var batch: Batch?
  /// What went through since the process started.
  public internal(set) var traffic = TrafficMeter()
  /// nil until something is kept.
  var rollup: UsageRollup?
  /// nil until something is judged.
  var engine: TriggerEngine?
  /// The number of the last segment that was judged.
  var judgedUpTo: Int64 = 0
  /// The same as it was last written down.
  var keptUpTo: Int64 = 0
  /// The number up to which small segments have come together.
  var mergedUpTo: Int64 = 0
  /// How many go through segments in pieces.
  var searches = 0
  var pendingVerdicts: [Verdict] = []
  var auditWatch = AuditWatch()
  /// What could not be understood of what was stored, and what of that was told.
  var damaged = DamagedRecords()
  var toldDamaged = DamagedRecords()
  /// In which minute each caller was last seen to ask for what is not theirs.
  var lastForbidden: [String: Int64] = [:]
  /// Who wants to see requests as they are recorded, the last of these, and how many there were meanwhile.
  var listeners = 0
  var recent: [ActivitySegment] = []
  var heardCount: Int64 = 0
  public internal(set) var channels: [String: AlertChannel] = [:]
  public internal(set) var silences: [String: Silence] = [:]
  /// nil until it is looked at.
  var alertBook: AlertBook?
  /// The last act that was looked at.
  var alertsUpTo: Int64 = 0
  /// Channels that are being told something just now.
  var telling: Set<String> = []
  var knownQuarantined: Set<RecordID> = []
  var refusalWatch = RefusalWatch()
  private let counters = Counters()
  /// When time alone next changes what a key may do, in milliseconds since 1970.
  var due: Int64?
  /// The last snapshot that was made.
  private(set) var inForce: Snapshot?
  /// nil while sealed, and for a reader of the store.
  var ledger: Ledger?
  private let keepsLedger: Bool
  private let alert: @Sendable (_ account: String, _ percent: Int) -> Void

  public init(
    store: any Store, sink: any SnapshotSink, clock: any WallClock = SystemClock(),
    randomness: any Randomness = SystemRandomness(), catalogue: Catalogue = .builtIn, keepsLedger: Bool = true,
    outside: any Outside = NoOutside(),
    alert: @escaping @Sendable (_ account: String, _ percent: Int) -> Void = { _, _ in }
  ) {
    self.keepsLedger = keepsLedger
    self.outside = outside
    keepsBreathing = !(outside is NoOutside)
    self.catalogue = catalogue
    self.alert = alert
    self.store = store
    self.sink = sink
    self.clock = clock
    startedAt = clock.now
    self.randomness = randomness
  }

  public var isSealed: Bool { vault == nil }
  public var now: Timestamp { clock.now }

  public func sealMethod() throws(Fault) -> SealMethod { try SealMethod.read(from: store) }

  /// Opens the vault with the key file's content or the passphrase, and takes everything into force. One that was closed by hand opens
  /// with `reopening` only.
  public func unseal(secret: Span<UInt8>, reopening: Bool = false) throws(Fault) {
    guard vault == nil else { throw Fault(.conflict, "the vault is open already") }
    if !reopening, try isSealedByHand() {
      throw Fault(.sealed, "the vault was sealed by hand", hint: "run 'maskllm unseal' with the server running")
    }
    try adopt(try Vault.unseal(store, secret: secret, randomness: randomness))
  }

  /// Takes an open vault, as `Vault.initialize` gives it.
  public func adopt(_ vault: Vault) throws(Fault) {
    // What is found while it is taken in is written down, and signed with what the vault has.
    self.vault = vault
    do throws(Fault) {
      try load(vault)
      if keepsLedger {
        // Opened again, it goes on with the one that it has.
        if ledger == nil { ledger = try freshLedger() }
        try keepEndings(vault)
      }
    } catch {
      close()
      throw error
    }
  }

  private func freshLedger() throws(Fault) -> Ledger {
    try Ledger(store) { [unowned self] account, percent in
      self.alert(account, percent)
      // What cannot be written down is in the log, at least.
      try? noteBudget(account, percent: percent)
    }
  }

  /// Reads everything again after another process has changed the store. Where it was closed by hand, it is closed here, too.
  public func reload() throws(Fault) {
    guard try !isSealedByHand() else { return close() }
    try load(try requireVault())
  }

  func requireVault() throws(Fault) -> Vault {
    guard let vault else { throw Fault(.sealed, "the vault is sealed", hint: "run 'maskllm unseal' first") }
    return vault
  }

  private func load(_ vault: Vault) throws(Fault) {
    providersByName = Dictionary(uniqueKeysWithValues: catalogue.providers.map { ($0.name, $0) })
    tamperedProviders = []
    for row in try store.providers() {
      do { providersByName[row.name] = try vault.provider(from: row) } catch {
        providersByName[row.name] = nil
        tamperedProviders.append(row.name)
      }
    }
    try loadDocuments(vault)
    (keys, keyOrder, tamperedKeys) = ([:], [], [])
    var known: [[UInt8]: Grant] = [:]
    let rows = try store.maskedKeys()
    keys.reserveCapacity(rows.count)
    for row in rows {
      do { keys[row.id] = try vault.maskedKey(from: row, known: &known) } catch { tamperedKeys.append(row.id) }
    }
    try enforceEndings(vault)
    providerKeys = try store.providerKeys()
    credentials = [:]
    for key in Set(providerKeys.map(\.id)) { renewCredentials(of: key, vault) }
  }

  func credential(for key: ProviderKey, _ vault: Vault) throws(Fault) -> Credential {
    guard let provider = providersByName[key.provider] else {
      throw Fault(.tampered, "provider key \(key.id) belongs to a provider that is not known or was changed outside maskllm")
    }
    let secret = try vault.open(key, of: provider)
    let place = VersionPlace(id: key.id, version: key.version)
    let known = healths[place] ?? CredentialHealth()
    healths[place] = known
    let share = runs[key.id]?.share(of: key.version, plans[key.id]?.timing ?? RotationPlan.Timing()) ?? 100
    return try Credential(
      keyID: key.id, version: key.version, style: provider.credential, secret: secret, host: provider.baseURL.host,
      pool: pools[key.id] ?? PoolSettings(), share: share, health: known)
  }

  /// Makes the credentials of a provider key anew: of each version that is used.
  func renewCredentials(of id: RecordID, _ vault: Vault) {
    for key in providerKeys where key.id == id {
      let place = VersionPlace(id: id, version: key.version)
      credentials[place] = nil
      guard pools[id]?.disabledBecause == nil else { continue }
      // A version that no run knows is a leaving of a crash.
      if let run = runs[id] {
        guard [run.from, run.to].contains(key.version),
          run.share(of: key.version, plans[id]?.timing ?? RotationPlan.Timing()) != nil
        else { continue }
      } else if providerKeys.contains(where: { $0.id == id && $0.version > key.version }) {
        continue
      }
      credentials[place] = try? credential(for: key, vault)
    }
  }

  /// The version of each provider key that counts: the old one until the new one has taken over.
  func primaryKeys() -> [ProviderKey] {
    var primary: [RecordID: ProviderKey] = [:]
    for key in providerKeys {
      if let run = runs[key.id] {
        let isNew = [.drain, .prove, .disable, .hold, .delete, .confirm].contains(run.step)
        if key.version == (isNew ? run.to : run.from) { primary[key.id] = key }
      } else if primary[key.id].map({ $0.version < key.version }) ?? true {
        primary[key.id] = key
      }
    }
    return primary.values.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
  }

  /// What the provider has said of the version that counts.
  public func health(of id: RecordID) -> CredentialHealth? {
    primaryKeys().first { $0.id == id }.flatMap { healths[VersionPlace(id: id, version: $0.version)] }
  }

  func upstreams() -> [Upstream] {
    // A kind that is no longer in the catalogue has no endpoints: nothing of it passes.
    let known = providers().compactMap { provider in catalogue[provider.kind].map { (provider, $0) } }
    return known.enumerated().map { index, known in
      let (provider, entry) = known
      return Upstream(
        provider, entry, index: index,
        credentials: providerKeys.filter { $0.provider == provider.name }.compactMap {
          credentials[VersionPlace(id: $0.id, version: $0.version)]
        })
    }
  }

  /// The state to decide on, as of now.
  public func snapshot() -> Snapshot {
    generation += 1
    guard let vault else {
      inForce = nil  // it has the real keys
      return .sealed(generation: generation)
    }
    let upstreams = upstreams()
    var book = Rulebook()
    (book.teams, book.sharedPolicies, book.prices) = (teams, sharedPolicies, priceList)
    let all = Array(keys.values)
    let rules = counters.fill(
      &book, keys: all, budgets: budgets.values.sorted { $0.name < $1.name }, providers: upstreams.map(\.provider.name))
    ledger?.adopt(rules)
    let snapshot = Snapshot(
      generation: generation, keys: all, peppers: vault.peppers(), upstreams: upstreams, rulebook: book)
    inForce = snapshot
    return snapshot
  }

  /// Takes the current state into force everywhere; within a batch, at its end.
  @discardableResult public func publish() async -> Int {
    if batch != nil { return 0 }
    begun += 1
    let acknowledged = await sink.publish(snapshot())
    finished += 1
    for reader in readers where reader.begun <= finished { reader.continuation.resume() }
    readers.removeAll { $0.begun <= finished }
    eventLoops = acknowledged
    due = nextMoment(after: clock.now)
    return acknowledged
  }

  /// Returns when all that is known by now is in force: who reads that a key is revoked may rely on it. Snapshots get there in their order.
  public func settled() async {
    guard batch == nil, begun > finished else { return }
    await withCheckedContinuation { readers.append((begun, $0)) }
  }

  /// Takes into force what time alone has changed since the last time: ends of grace periods and keys.
  public func takeTime() async {
    if let due, clock.now.milliseconds >= due { await publish() }
  }
}

/// One version of a provider key.
struct VersionPlace: Hashable {
  let id: RecordID
  let version: UInt32
}
