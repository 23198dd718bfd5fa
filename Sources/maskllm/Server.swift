import AdminAPI
import Cryptography
import DemoProvider
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
  private let settings: ServerSettings
  let log = Log()
  private let control = EventLoop()
  let service: KeyService
  private let dataDirectory: String
  private let tls: TLSContextBox?
  private var planes: [Plane] = []
  private let tokens: TokenKeeper
  private let lost = Atomic<Int>(0)
  private let stop = LoopEvent()
  private let stopped = LoopEvent()
  private var running = 0

  /// A data loop and what runs on it.
  private struct Plane: Sendable {
    let loop: EventLoop
    let shard: GatewayShard
    let server: HTTPServer<GatewayShard>
  }

  init(settings: ServerSettings, dataDirectory: String, store: any Store) throws(Fault) {
    self.settings = settings
    self.dataDirectory = dataDirectory
    let switchboard = Switchboard()
    let log = log
    service = KeyService(
      store: store, sink: switchboard, catalogue: try Catalogue.with(folder: DataDirectory.cataloguePath(dataDirectory))
    ) { account, percent in
      log.warn("\(account): \(percent) % are spent")
    }
    if let certificate = settings.certificateFile, let key = settings.keyFile {
      tls = TLSContextBox(try TLSContext.server(certificateFile: certificate, keyFile: key))
    } else {
      tls = nil
    }
    let environment = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"].reduce(into: [String: String]()) {
      $0[$1] = Files.environment($1)
    }
    let connector = Connector(resolver: NameResolver(), proxy: try ProxySettings(environment: environment))
    let clientTLS = ClientTLS()
    tokens = TokenKeeper(connector: connector, loop: control, tls: clientTLS, log: log)
    for _ in 0..<settings.loops {
      let loop = EventLoop()
      let shard = GatewayShard(
        loop: loop, snapshot: .sealed(generation: 0), limits: settings.gateway, clock: SystemClock(), connector: connector,
        tls: clientTLS,
        sink: Keeper(server: Unowned(self), control: control), desk: Desk(server: Unowned(self), control: control),
        tokens: Tokens(keeper: tokens, control: control), log: log)
      planes.append(
        Plane(loop: loop, shard: shard, server: HTTPServer(loop: loop, handler: shard, limits: settings.gateway.server, tls: tls))
      )
    }
    switchboard.planes.withLock { $0 = planes.map { ($0.loop, $0.shard) } }
  }

  var scheme: String { tls == nil ? "http" : "https" }

  /// Serves until SIGTERM or SIGINT; `ready` is called with the port when connections are accepted.
  func run(demo: DemoSetup?, ready: @escaping @Sendable (UInt16, _ demo: DemoSetup.Result?) -> Void) throws(Fault) {
    blockServerSignals()
    var listeners: [ListenerBox] = []
    var port = settings.port
    for _ in planes {
      let listener = try Listener.tcp(host: settings.host, port: port, sharesPort: true)
      port = listener.port
      listeners.append(ListenerBox(listener))
    }
    let admin = ListenerBox(try Listener.unix(path: DataDirectory.socketPath(dataDirectory)))
    let snapshot = service.snapshot()
    for plane in planes { plane.shard.adopt(snapshot) }  // no loop runs yet
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
        let adminServer = HTTPServer(loop: self.control, handler: AdminHandler(api: api), limits: adminLimits)
        do throws(Fault) {
          let result = try await demo?.install(in: self.service)
          group.addTask(executorPreference: self.control) { await adminServer.run(admin.take()) }
          group.addTask(executorPreference: self.control) { await self.watchCertificate() }
          group.addTask(executorPreference: self.control) { await self.keepLedger() }
          ready(boundPort, result)
        } catch {
          setUp.withLock { $0 = error }
          self.stop.fire()
        }
        await self.stop.wait()
        await self.drain()
        do throws(Fault) { try self.service.closeLedger() } catch { self.log.warn("the ledger could not be closed: \(error)") }
        adminServer.drain()
        demoServer?.drain()
        self.control.cancelAll()
      }
    }
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

  // MARK: certificate

  private func watchCertificate() async {
    guard let file = settings.certificateFile, tls != nil else { return }
    let scope = Scope(on: control)
    var seen = modified(file)
    while true {
      do throws(IOFailure) { try await scope.sleep(milliseconds: 5000) } catch { return }
      let now = modified(file)
      if now != seen {
        seen = now
        reloadCertificate()
      }
    }
  }

  private func modified(_ path: String) -> Int {
    var info = stat()
    return unsafe stat(path, &info) == 0 ? info.st_mtim.tv_sec &* 1_000_000_000 &+ info.st_mtim.tv_nsec : 0
  }

  private func reloadCertificate() {
    guard let tls, let certificate = settings.certificateFile, let key = settings.keyFile else { return }
    do {
      tls.replace(with: try TLSContext.server(certificateFile: certificate, keyFile: key))
      log.info("the server certificate was reloaded")
    } catch { log.warn("the server certificate was not reloaded, the old one stays: \(error)") }
  }

  // MARK: activity

  fileprivate func keep(_ segment: ActivitySegment) {
    do { try service.keep(segment) } catch {
      lost.add(segment.count, ordering: .relaxed)
      log.warn("activity could not be kept: \(error)")
    }
  }

  // MARK: ledger

  private var needs: [(need: Charges.Need, answer: (Ledger.Outcome?) -> Void)] = []

  /// Takes a need into the next transaction: all that arrive while one is written share the one after it.
  fileprivate func take(_ need: Charges.Need, _ answer: @escaping (Ledger.Outcome?) -> Void) {
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
      log.warn("the ledger could not be written: \(error)")
      for entry in waiting { entry.answer(nil) }
    }
  }

  /// Keeps what requests came to, as often as activity.
  private func keepLedger() async {
    let scope = Scope(on: control)
    while true {
      do throws(IOFailure) { try await scope.sleep(milliseconds: settings.gateway.flushMilliseconds) } catch { return }
      do throws(Fault) { try service.settleLedger() } catch { log.warn("the ledger could not be written: \(error)") }
    }
  }

  private struct Desk: LedgerDesk {
    let server: Unowned<Server>
    let control: EventLoop
    func take(_ need: Charges.Need) async -> Ledger.Outcome? {
      let server = server
      return unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Ledger.Outcome?, Never>) in
        control.execute { server.value.take(need) { outcome in unsafe continuation.resume(returning: outcome) } }
      }
    }
  }

  /// Tokens are got on the control loop, so that loops that want the same one wait for the same exchange.
  private struct Tokens: TokenDesk {
    let keeper: TokenKeeper
    let control: EventLoop
    func renew(_ credential: Credential, trusting authorityFile: String?) async -> TokenKeeper.Outcome {
      unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<TokenKeeper.Outcome, Never>) in
        control.execute {
          keeper.renew(credential, trusting: authorityFile) { outcome in unsafe continuation.resume(returning: outcome) }
        }
      }
    }
    func begin(_ credential: Credential, trusting authorityFile: String?) {
      control.execute { keeper.renew(credential, trusting: authorityFile) { _ in } }
    }
  }

  /// Has every loop hand over what it has recorded, and keeps it.
  private func flush() async {
    for plane in planes {
      unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        plane.loop.execute {
          plane.shard.flush()
          // Behind the segment in the control loop's queue.
          self.control.execute { unsafe continuation.resume() }
        }
      }
    }
  }

  private struct Keeper: ActivitySink {
    let server: Unowned<Server>
    let control: EventLoop
    func keep(_ segment: ActivitySegment, lost: Int) {
      let server = server
      control.execute { server.value.keep(segment) }
    }
  }
}

/// A reference that does not keep its object: the server owns the loops that own the sink that points back at it.
private struct Unowned<Object: AnyObject & Sendable>: Sendable {
  unowned let value: Object
  init(_ value: Object) { self.value = value }
}

/// Takes snapshots to all loops and returns when each has it in force.
private final class Switchboard: SnapshotSink {
  let planes = Mutex<[(EventLoop, GatewayShard)]>([])

  func publish(_ snapshot: Snapshot) async {
    let planes = planes.withLock { $0 }
    for (loop, shard) in planes {
      unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        loop.execute {
          shard.adopt(snapshot)
          unsafe continuation.resume()
        }
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
