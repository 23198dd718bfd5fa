import AdminAPI
import Cryptography
import DemoProvider
import Audit
import Domain
import Gateway
import Glibc
import KeyService
import PolicyEngine
import Primitives
import Providers
import Storage
import Synchronization
import Transport

/// A running server: the control loop on the main thread, one data loop a core on threads of their own.
final class Server: @unchecked Sendable {
  let settings: ServerSettings
  let log: Log
  let control = EventLoop()
  let service: KeyService
  let dataDirectory: String
  let tls: TLSContextBox?
  private(set) var planes: [Plane] = []
  private let tokens: TokenKeeper
  private let outside: OutsideWorld
  /// On the control loop, once it runs.
  private(set) var leaks: LeakIntake?
  let lost = Atomic<Int>(0)
  private let health = GatewayHealth()
  private let checkpoints: CheckpointKeeper
  private let telemetry: TelemetryKeeper?
  private let openIDSecret: [UInt8]?
  var spools: [ActivitySpool] = []
  /// Whether there is something to forget, a piece each second.
  private var forgets = false
  private let stop = LoopEvent()
  private let stopped = LoopEvent()
  private var running = 0

  /// A data loop and what runs on it.
  struct Plane: Sendable {
    let loop: EventLoop
    let shard: GatewayShard
    let server: HTTPServer<GatewayShard>
  }

  init(settings: ServerSettings, dataDirectory: String, store: any Store) throws(Fault) {
    self.settings = settings
    log = Log(format: settings.logFormat)
    self.dataDirectory = dataDirectory
    openIDSecret = try settings.admin?.openID?.secretFile.map { (path) throws(Fault) in
      let secret = try Files.readKeyFile(path, what: "client's secret", option: "set admin.oidc.client_secret_file")
      return [UInt8](copying: secret.span)
    }
    let switchboard = Switchboard()
    let log = log
    let environment = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"].reduce(into: [String: String]()) {
      $0[$1] = Files.environment($1)
    }
    let connector = Connector(resolver: NameResolver(), proxy: try ProxySettings(environment: environment))
    let clientTLS = ClientTLS()
    tokens = TokenKeeper(connector: connector, loop: control, tls: clientTLS, log: log)
    outside = OutsideWorld(
      connector: connector, tls: clientTLS, control: control, tokens: tokens, hooksFolder: "\(dataDirectory)/hooks")
    service = KeyService(
      store: store, sink: switchboard, catalogue: try Catalogue.with(folder: DataDirectory.cataloguePath(dataDirectory)),
      outside: outside
    ) { account, percent in
      log.warn("\(account, .account): \(percent, .percent) % are spent")
    }
    checkpoints = try CheckpointKeeper(
      settings.checkpoints, dataDirectory: dataDirectory, service: service, outside: outside, log: log)
    telemetry = try TelemetryKeeper(settings.telemetry, service: service, outside: outside, log: log)
    if let certificate = settings.certificateFile, let key = settings.keyFile {
      tls = TLSContextBox(try TLSContext.server(certificateFile: certificate, keyFile: key))
    } else {
      tls = nil
    }
    let prober = KeyProber(outside: outside, log: log)
    for _ in 0..<settings.loops {
      let loop = EventLoop()
      let shard = GatewayShard(
        loop: loop, snapshot: .sealed(generation: 0), limits: settings.gateway, clock: SystemClock(), connector: connector,
        tls: clientTLS,
        sink: ActivityLink(server: Unowned(self), control: control), desk: LedgerLink(server: Unowned(self), control: control),
        tokens: TokenLink(keeper: tokens, control: control), objects: ObjectLink(server: Unowned(self), control: control),
        leaks: LeakLink(server: Unowned(self), control: control),
        releases: ReleaseLink(server: Unowned(self), control: control),
        peppers: PepperLink(server: Unowned(self), control: control),
        captures: CaptureLink(server: Unowned(self), control: control),
        suspicions: SuspicionLink(prober: prober, control: control), health: health, log: log)
      planes.append(
        Plane(loop: loop, shard: shard, server: HTTPServer(loop: loop, handler: shard, limits: settings.gateway.server, tls: tls))
      )
    }
    switchboard.planes.withLock { $0 = planes.map { ($0.loop, $0.shard) } }
  }

  /// As it was last said.
  private var wasSealed = true

  var scheme: String { tls == nil ? "http" : "https" }

  /// Serves until SIGTERM or SIGINT; `ready` is called with the port when connections are accepted.
  func run(demo: DemoSetup?, ready: @escaping @Sendable (UInt16, _ adminPort: UInt16, _ demo: DemoSetup.Result?) -> Void)
    throws(Fault)
  {
    blockServerSignals()
    var listeners: [ListenerBox] = []
    var port = settings.port
    for _ in planes {
      let listener = try Listener.tcp(host: settings.host, port: port, sharesPort: true)
      port = listener.port
      listeners.append(ListenerBox(listener))
    }
    let admin = ListenerBox(try Listener.unix(path: DataDirectory.socketPath(dataDirectory)))
    var adminTLS: TLSContextBox?
    var adminNetwork: ListenerBox?
    var adminPort: UInt16 = 0
    if let door = settings.admin {
      let listener = try Listener.tcp(host: door.host, port: door.port, sharesPort: false)
      adminPort = listener.port
      adminNetwork = ListenerBox(listener)
      if let certificate = door.certificateFile, let key = door.keyFile {
        adminTLS = TLSContextBox(
          try TLSContext.server(certificateFile: certificate, keyFile: key, clientAuthorityFile: door.clientAuthorityFile))
      }
    }
    let (networkDoor, networkTLS, networkPort) = (adminNetwork, adminTLS, adminPort)
    wasSealed = service.isSealed
    if !wasSealed { try service.noteUnsealed() }
    let snapshot = service.snapshot()
    for plane in planes { plane.shard.adopt(snapshot) }  // no loop runs yet
    makeSpools()
    running = planes.count
    for (plane, listener) in zip(planes, listeners) { start(plane, listener) }
    startThread { self.handleSignals() }
    let boundPort = port
    let setUp = Mutex<Fault?>(nil)
    control.run {
      await withDiscardingTaskGroup { group in
        let demoServer = demo.map { $0.server(self.control) }
        if let demo, let demoServer {
          group.addTask(executorPreference: self.control) { await demoServer.run(demo.listener.take()) }
        }
        var adminLimits = ServerLimits()
        adminLimits.connectionsMax = 64
        let api = AdminAPI(
          service: self.service, version: Version.text, activityLost: { self.lost.load(ordering: .relaxed) },
          flushActivity: { await self.flush() })
        self.leaks = LeakIntake(settings: self.settings.leaks, api: api, outside: self.outside, log: self.log) { self.tell($0) }
        let people = self.settings.admin?.openID.map {
          OpenIDDesk($0, secret: self.openIDSecret, service: self.service, outside: self.outside)
        }
        let adminServer = HTTPServer(
          loop: self.control, handler: AdminHandler(api: api, door: .socket, loop: self.control), limits: adminLimits)
        let networkServer = HTTPServer(
          loop: self.control, handler: AdminHandler(api: api, door: .network, loop: self.control, people: people),
          limits: adminLimits,
          tls: networkTLS)
        do throws(Fault) {
          let result = try await demo?.install(in: self.service)
          group.addTask(executorPreference: self.control) { await adminServer.run(admin.take()) }
          if let networkDoor {
            group.addTask(executorPreference: self.control) { await networkServer.run(networkDoor.take()) }
          }
          group.addTask(executorPreference: self.control) { await self.watchCertificate() }
          group.addTask(executorPreference: self.control) { await self.keepLedger() }
          ready(boundPort, networkPort, result)
        } catch {
          setUp.withLock { $0 = error }
          self.stop.fire()
        }
        await self.stop.wait()
        await self.drain()
        _ = self.keepObjects()
        await self.checkpoints.keep()
        do throws(Fault) {
          try self.service.keepProfiles()
          try self.service.keepUsage()
        } catch {
          self.log.warn("what is known of how keys are used could not be kept: \(error, .because)")
        }
        do throws(Fault) { try self.service.closeLedger() } catch {
          self.log.warn("the ledger could not be closed: \(error, .because)")
        }
        adminServer.drain()
        networkServer.drain()
        demoServer?.drain()
        self.control.cancelAll()
      }
    }
    for spool in spools { spool.remove() }
    unsafe unlink(DataDirectory.socketPath(dataDirectory))
    if let fault = setUp.withLock({ $0 }) { throw fault }
  }

  private func start(_ plane: Plane, _ listener: ListenerBox) {
    startThread {
      plane.loop.run {
        await withDiscardingTaskGroup { group in
          group.addTask(executorPreference: plane.loop) { await plane.shard.keepHouse() }
          await plane.server.run(listener.take())
          plane.loop.cancelAll()
        }
        plane.shard.flush()
      }
      self.control.execute {
        self.running -= 1
        if self.running == 0 { self.stopped.fire() }
      }
    }
  }

  // MARK: ending

  private func handleSignals() {
    while true {
      switch nextServerSignal() {
      case SIGHUP: control.execute { self.reloadCertificate() }
      default:
        control.execute { self.stop.fire() }
        // A second request to stop is one to stop now.
        if nextServerSignal() != SIGHUP { for plane in planes { plane.loop.execute { plane.loop.cancelAll() } } }
      }
    }
  }

  /// Lets exchanges end by themselves until the deadline, then ends them.
  private func drain() async {
    log.info("stopping: no new connections; waiting for requests in flight")
    for plane in planes { plane.loop.execute { plane.server.drain() } }
    let deadline = settings.gateway.server.timeouts.drain
    await withDiscardingTaskGroup { group in
      group.addTask(executorPreference: control) {
        let scope = Scope(on: self.control)
        do throws(IOFailure) { try await scope.sleep(milliseconds: deadline) } catch { return }
        self.log.warn("stopping: the drain deadline has passed; cutting requests in flight")
        for plane in self.planes { plane.loop.execute { plane.loop.cancelAll() } }
      }
      await stopped.wait()
      control.cancelAll()
    }
    log.info("stopped")
  }

  // MARK: activity

  func keep(_ segment: ActivitySegment) -> Bool {
    defer { if service.hasVerdicts { Task(executorPreference: control) { await self.actOnVerdicts() } } }
    do {
      try service.keep(segment)
      telemetry?.take(segment)
      health.losesActivity.store(false, ordering: .relaxed)
      return true
    } catch {
      health.losesActivity.store(true, ordering: .relaxed)
      lost.add(segment.count, ordering: .relaxed)
      log.warn("activity could not be kept: \(error, .because)")
      return false
    }
  }

  // MARK: ledger

  private var needs: [(need: Charges.Need, answer: (Ledger.Outcome?) -> Void)] = []

  /// Takes a need into the next transaction: all that arrive while one is written share the one after it.
  func take(_ need: Charges.Need, _ answer: @escaping (Ledger.Outcome?) -> Void) {
    needs.append((need, answer))
    if needs.count == 1 { control.execute { self.answerNeeds() } }
  }

  private func answerNeeds() {
    let waiting = needs
    needs = []
    do throws(Fault) {
      let outcomes = try service.replenish(waiting.map(\.need))
      for (entry, outcome) in zip(waiting, outcomes) { entry.answer(outcome) }
    } catch {
      log.warn("the ledger could not be written: \(error, .because)")
      for entry in waiting { entry.answer(nil) }
    }
  }

  /// Keeps what requests came to and made, as often as activity; forgets now and then what has expired.
  private func keepLedger() async {
    let scope = Scope(on: control)
    var turns = 0
    // Every second.
    let keepEvery = max(1, 1000 / settings.gateway.flushMilliseconds)
    while true {
      do throws(IOFailure) { try await scope.sleep(milliseconds: settings.gateway.flushMilliseconds) } catch { return }
      do throws(Fault) { try service.settleLedger() } catch { log.warn("the ledger could not be written: \(error, .because)") }
      _ = keepObjects()
      turns += 1
      await service.takeTime()
      await keepRotations()
      if turns % keepEvery == 0 {
        await keepWatch()
        // Its places may be slow: nothing waits for them.
        Task(executorPreference: control) { await self.checkpoints.keep() }
        Task(executorPreference: control) { await self.telemetry?.keep() }
      }
      guard turns % 18_000 == 1 else { continue }
      forgets = true
      do throws(Fault) { try service.forgetExpired() } catch {
        log.warn("what has expired could not be forgotten: \(error, .because)")
      }
    }
  }

  /// What time alone brings about.
  private func keepWatch() async {
    if service.isSealed != wasSealed {
      wasSealed.toggle()
      log.warn(wasSealed ? "the vault is sealed: nothing is served until 'maskllm unseal'" : "the vault is open")
    }
    service.retryAudit()
    health.hasAuditTrouble.store(service.auditTrouble != nil, ordering: .relaxed)
    do throws(Fault) {
      try service.watch()
      try service.keepProfiles()
      try service.keepUsage()
      try service.mergeActivity()
      if forgets { forgets = try service.forgetActivity(settings.retention) }
    } catch { log.warn("what is known of how keys are used could not be kept: \(error, .because)") }
    // In small steps: what is sealed again holds nobody up.
    do throws(Fault) { _ = try service.resealSome(50) } catch {
      log.warn("records could not be sealed again: \(error, .because)")
    }
    if service.hasVerdicts { await actOnVerdicts() }
    keepAlerts()
    do throws(Fault) { for notice in try await service.keepSchedules() { tell(notice) } } catch {
      log.warn("keys that are due for a new secret could not be rotated: \(error, .because)")
    }
    for id in service.deliveriesDue() {
      Task(executorPreference: control) {
        do throws(Fault) { for notice in try await self.service.deliver(id) { self.tell(notice) } } catch {
          self.log.warn("key \(id, .key): its new secret could not be brought anywhere: \(error, .because)")
        }
      }
    }
  }

  /// Goes on with provider keys that are being replaced: each on its own, so that one that hangs keeps no other.
  private func keepRotations() async {
    do throws(Fault) {
      for id in try await service.rotationsDue() {
        Task(executorPreference: control) {
          do throws(Fault) { for notice in try await self.service.advance(id) { self.tell(notice) } } catch {
            self.log.warn("provider key \(id, .providerKey): its rotation does not go on: \(error, .because)")
          }
        }
      }
    } catch { log.warn("provider keys that are due could not be rotated: \(error, .because)") }
  }

  private func tell(_ notice: Notice) { log.warn("\(notice.subject, .subject): \(notice.text, .because)") }

  /// Keeps what was noted of objects; false when it could not be.
  func keepObjects() -> Bool {
    do throws(Fault) {
      try service.keepObjects()
      return true
    } catch {
      log.warn("whose objects are could not be kept: \(error, .because)")
      return false
    }
  }

  /// Has every loop hand over what it has recorded, and keeps it.
  private func flush() async {
    for plane in planes {
      unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        let isTaken = plane.loop.execute {
          plane.shard.flush()
          // Behind the segment in the control loop's queue.
          self.control.execute { unsafe continuation.resume() }
        }
        // A loop that has ended handed over all it had.
        if !isTaken { unsafe continuation.resume() }
      }
    }
  }
}

/// A listener on its way to the loop that will own it.
final class ListenerBox: Sendable {
  private let listener: Mutex<Listener?>
  init(_ listener: consuming Listener) { self.listener = Mutex(listener) }
  func take() -> Listener { listener.withLock { $0.take()! } }
}
