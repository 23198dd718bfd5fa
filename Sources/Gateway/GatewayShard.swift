import Audit
import Domain
public import PolicyEngine
public import Primitives
import Providers
public import Storage
public import Synchronization
public import Transport
public import Wire

/// Where a loop's activity goes. Called on the loop's thread; must not block it.
public protocol ActivitySink: Sendable {
  func keep(_ segment: ActivitySegment, lost: Int)
}

/// Where a loop gets what accounts do not have at hand. Called on the loop's thread.
public protocol LedgerDesk: Sendable {
  /// Takes `need` from the ledger, durably; nil when the ledger cannot be written.
  func take(_ need: Charges.Need) async -> Ledger.Outcome?
}

/// Whether the process serves as it should, beyond what a snapshot says. Shared by all loops.
public final class GatewayHealth: Sendable {
  /// The store cannot be written: requests go on, and what they came to is not recorded.
  public let losesActivity = Atomic<Bool>(false)
  /// The record of acts is not what it was, or cannot be written: requests go on, acts are refused.
  public let hasAuditTrouble = Atomic<Bool>(false)
  public init() {}

  public var isDegraded: Bool { losesActivity.load(ordering: .relaxed) || hasAuditTrouble.load(ordering: .relaxed) }
}

/// Who keeps hashes of keys. Called on the loop's thread; must not block it.
public protocol PepperDesk: Sendable {
  /// The text of version `version` of `key` was seen, and has this hash under that pepper.
  func rehash(_ key: RecordID, version: UInt32, hash: [UInt8], pepperVersion: UInt32)
}

/// Who finds out if a provider key is as bad as an answer said. Called on the loop's thread; must not block it.
public protocol SuspicionDesk: Sendable {
  /// Looks at the provider with `credential`; what it finds goes to the credential's health.
  func lookInto(_ credential: Credential, of upstream: Upstream, status: UInt16)
}

/// The log line of the data plane that an operator must see. Constant messages, no request data.
public protocol OperatorLog: Sendable {
  func warn(_ message: LogMessage)
}

/// The data plane of one loop: its snapshot, its upstream connections, its activity. Nothing of it is shared or locked.
public final class GatewayShard: RequestHandler, @unchecked Sendable {
  // Loop-confined, but for the constants.
  var snapshot: Snapshot
  var activity = ActivityBatch()
  private var spool: ActivitySpool?
  private var pools: [UpstreamPools] = []
  private var requests: UInt64 = 0
  let loop: EventLoop
  let limits: GatewayLimits
  let clock: any WallClock
  let log: any OperatorLog
  let desk: any LedgerDesk
  let tokens: any TokenDesk
  let objects: any ObjectDesk
  let leaks: any LeakDesk
  let releases: any ReleaseDesk
  let peppers: any PepperDesk
  let captures: any CaptureDesk
  private let suspicions: any SuspicionDesk
  let health: GatewayHealth
  private var spare: [Workspace] = []
  /// Room for the changes of one body at a time; used between two suspensions.
  var edits: [RequestReader.Edit] = []
  var scratch = ByteBuffer(capacity: 8 * 1024)
  private let sink: any ActivitySink
  private let connector: Connector
  private let tls: ClientTLS
  private let salt: UInt64

  private struct UpstreamPools {
    let upstream: Upstream
    /// By credential, and for each by address.
    var pools: [ClientPool?]
    /// Until when each address is left alone, of the monotonic clock.
    var downUntil: [UInt64]
  }

  public init(
    loop: EventLoop, snapshot: Snapshot, limits: GatewayLimits, clock: any WallClock, connector: Connector, tls: ClientTLS,
    sink: any ActivitySink, desk: any LedgerDesk, tokens: any TokenDesk,
    objects: any ObjectDesk, leaks: any LeakDesk, releases: any ReleaseDesk, peppers: any PepperDesk, captures: any CaptureDesk,
    suspicions: any SuspicionDesk, health: GatewayHealth,
    log: any OperatorLog,
    randomness: any Randomness = SystemRandomness()
  ) {
    self.loop = loop
    self.snapshot = snapshot
    self.limits = limits
    self.clock = clock
    self.connector = connector
    self.tls = tls
    self.sink = sink
    self.desk = desk
    self.tokens = tokens
    self.objects = objects
    self.leaks = leaks
    self.releases = releases
    self.peppers = peppers
    self.captures = captures
    self.suspicions = suspicions
    self.health = health
    self.log = log
    salt = randomness.bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
    adoptPools(of: snapshot)
  }

  /// Takes `snapshot` into force on this loop, and has exchanges in flight decided again. On the loop's thread.
  public func adopt(_ snapshot: Snapshot) {
    self.snapshot = snapshot
    adoptPools(of: snapshot)
    loop.recheckAll()
  }

  private func adoptPools(of snapshot: Snapshot) {
    var old = pools
    pools = snapshot.upstreams.map { upstream in
      let places = upstream.places.count
      let previous = old.firstIndex { $0.upstream.provider == upstream.provider }
      let kept = upstream.credentials.flatMap { credential -> [ClientPool?] in
        guard let previous,
          let i = old[previous].upstream.credentials.firstIndex(where: {
            $0.keyID == credential.keyID && $0.version == credential.version
          })
        else { return Array(repeating: nil, count: places) }
        return (0..<places).map { place in
          let pool = old[previous].pools[i * places + place]
          old[previous].pools[i * places + place] = nil
          return pool
        }
      }
      let downUntil = previous.map { old[$0].downUntil } ?? Array(repeating: 0, count: places)
      return UpstreamPools(upstream: upstream, pools: kept, downUntil: downUntil)
    }
    for leftover in old { for pool in leftover.pools { pool?.closeIdle() } }
  }

  /// The connections to `upstream`, at its address number `place`, that present its credential number `credential`.
  func pool(_ upstream: Upstream, credential: Int, place: Int) throws(Fault) -> ClientPool {
    // A request that has waited may hold an upstream of an earlier snapshot, whose position means nothing any more.
    guard let entry = entry(of: upstream),
      let position = pools[entry].upstream.credentials.firstIndex(where: {
        $0.keyID == upstream.credentials[credential].keyID && $0.version == upstream.credentials[credential].version
      })
    else { throw Fault(.conflict, "its configuration has changed while a request was under way") }
    let i = position * upstream.places.count + place
    if let pool = pools[entry].pools[i] { return pool }
    let base = upstream.places[place].url
    let context = base.secure ? try tls.context(authorityFile: upstream.provider.authorityFile) : nil
    let pool = ClientPool(
      origin: Origin(host: base.host, port: base.port, tls: context), connector: connector, loop: loop, limits: limits.client)
    pools[entry].pools[i] = pool
    return pool
  }

  /// Where the connections to `upstream` are kept.
  private func entry(of upstream: Upstream) -> Int? {
    if upstream.index < pools.count, pools[upstream.index].upstream === upstream { return upstream.index }
    return pools.firstIndex { $0.upstream.provider == upstream.provider }
  }

  /// The first address of `upstream` that nobody has found unreachable just now; the first of all when all were.
  func place(of upstream: Upstream) -> Int {
    guard upstream.places.count > 1, let entry = entry(of: upstream) else { return 0 }
    let now = monotonicNanoseconds()
    return pools[entry].downUntil.firstIndex { $0 <= now } ?? 0
  }

  /// Nanoseconds for which an address that could not be reached is left alone.
  private static let downTime: UInt64 = 10_000_000_000

  func noteUnreachable(_ upstream: Upstream, place: Int) {
    guard let entry = entry(of: upstream) else { return }
    let now = monotonicNanoseconds()
    let wasUp = pools[entry].downUntil[place] <= now
    pools[entry].downUntil[place] = now + Self.downTime
    if wasUp {
      log.warn(
        "provider '\(upstream.provider.name, .provider)' cannot be reached at \(upstream.places[place].url.host, .host): trying its next address"
      )
    }
  }

  /// Notes that `upstream` answered a request with `status`, in words that blame the key or not. A look of ours at the provider, one at a
  /// time and one in a while, decides; where there is nothing to look at, the provider's own words about the key do.
  func suspect(_ credential: Credential, of upstream: Upstream, status: UInt16, blamesKey: Bool) {
    let now = monotonicNanoseconds()
    guard upstream.entry.probePath == nil else {
      if credential.health.suspected(now: now) { suspicions.lookInto(credential, of: upstream, status: status) }
      return
    }
    if blamesKey, credential.health.refused(now: now) {
      log.warn(
        "provider '\(upstream.provider.name, .provider)' answered \(status, .status): no longer using provider key \(credential.keyID, .providerKey)"
      )
    }
  }

  /// A request ID, unique among all processes: `req_` and 32 hexadecimal digits.
  func nextRequestID() -> RequestID {
    requests &+= 1
    return RequestID(salt, requests)
  }

  func takeWorkspace() -> Workspace { spare.popLast() ?? Workspace() }

  /// Takes back an object whose charges have been settled.
  func giveBack(_ work: Workspace) {
    guard spare.count < 1024 else { return }
    work.reader.reset()
    work.references.reset()
    work.made.reset()
    work.meter.reset()
    spare.append(work)
  }

  // MARK: RequestHandler

  public func handle(_ connection: inout ServerConnection) async throws(IOFailure) -> Bool {
    var exchange = Exchange(self, connection.head)
    return try await exchange.run(&connection)
  }

  public func answer(to error: HTTPError, into buffer: inout ByteBuffer) {
    let id = nextRequestID()
    Answers.malformed(error).write(to: &buffer, shape: .openai, requestID: id.span, closing: true)
    var record = ActivityRecord(start: clock.now)
    record.status = error.status
    activity.append(record, provider: Span(), model: Span(), code: "malformed_request")
  }

  // MARK: housekeeping

  /// Hands activity over and closes stale connections, until the loop is drained.
  public func keepHouse() async {
    let scope = Scope(on: loop)
    var turns = 0
    while true {
      do throws(IOFailure) { try await scope.sleep(milliseconds: limits.flushMilliseconds) } catch { return }
      flush()
      turns += 1
      if turns % 25 == 0 { for entry in pools { for pool in entry.pools { pool?.sweep() } } }
    }
  }

  /// Keeps records in `spool`, too, until the store has them. Before the loop runs.
  public func use(_ spool: ActivitySpool, loop: Int) {
    self.spool = spool
    activity.use(spool, loop: loop)
  }

  /// Forgets of the spool what the store has.
  public func release(spoolUpTo mark: UInt64) { spool?.release(upTo: mark) }

  public func flush() {
    let lost = activity.lost
    if let segment = activity.take() { sink.keep(segment, lost: lost) }
  }
}

/// What one exchange at a time works with: kilobytes that are used again instead of being made, moved and dropped.
final class Workspace {
  var reader = RequestReader()
  var meter = UsageMeter()
  var session = SessionMeter()
  var references = ReferenceReader()
  var made = MadeObjects()
  let charges = Charges()
}

/// `req_` and 32 hexadecimal digits, without an allocation.
struct RequestID {
  /// Differs from request to request.
  let number: UInt64
  private var bytes = InlineArray<36, UInt8>(repeating: 0)

  init(_ high: UInt64, _ low: UInt64) {
    number = high ^ low
    for (i, b) in [UInt8](arrayLiteral: 114, 101, 113, 95).enumerated() { bytes[i] = b }
    for i in 0..<16 {
      bytes[4 + i] = Self.digit(high >> UInt64(60 - 4 * i))
      bytes[20 + i] = Self.digit(low >> UInt64(60 - 4 * i))
    }
  }

  private static func digit(_ value: UInt64) -> UInt8 {
    let nibble = UInt8(truncatingIfNeeded: value & 15)
    return nibble < 10 ? 48 + nibble : 87 + nibble
  }

  var span: Span<UInt8> {
    @_lifetime(borrow self) get { bytes.span }
  }
}
