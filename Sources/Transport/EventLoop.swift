import CLinuxShims
import Glibc
import Synchronization

/// One thread, one epoll: runs the tasks that prefer it and wakes them when their sockets are ready.
///
/// Edge-triggered, with readiness remembered per descriptor: a task tries first and parks only on EAGAIN. Jobs of the
/// loop's own thread go through a ring without a lock; other threads hand theirs over through a mutex and an eventfd.
@safe
public final class EventLoop: TaskExecutor, @unchecked Sendable {
  // SAFETY: everything below `remote` is touched by the loop's thread only, from `run` on.
  private let epoll: Int32
  private let wakeup: Int32
  private let remote = Mutex<Inbox>(Inbox())
  private let hasRemote = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)
  private let threadBits = Atomic<UInt>(0)

  private enum Handover {
    case job(UnownedJob)
    case call(@Sendable () -> Void)
  }

  /// What other threads have handed over. Once it is closed the loop runs nothing any more.
  private struct Inbox {
    var items: [Handover] = []
    var isClosed = false
  }

  private var ring: UnsafeMutablePointer<UnownedJob>
  private var mask = 1023
  private var head = 0
  private var tail = 0
  var retired: DescriptorPointer?
  let wheel = TimerWheel()
  let scopes: ScopePointer  // sentinel of the list of all scopes
  /// Milliseconds of the coarse monotonic clock, read once a turn.
  public private(set) var now: UInt64

  public init() {
    epoll = linux_epoll_create()
    wakeup = linux_eventfd()
    precondition(epoll >= 0 && wakeup >= 0, "no epoll: out of file descriptors")
    unsafe ring = .allocate(capacity: 1024)
    unsafe scopes = .allocate(capacity: 1)
    unsafe scopes.initialize(to: ScopeState())
    unsafe scopes.pointee.listNext = unsafe scopes
    unsafe scopes.pointee.listPrevious = unsafe scopes
    now = linux_coarse_ms()
    wheel.start(at: now)
    _ = linux_epoll_add(epoll, wakeup, nil)
  }

  deinit {
    close(epoll)
    close(wakeup)
    unsafe ring.deallocate()
    unsafe scopes.deallocate()
  }

  // MARK: executor

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if isCurrent { push(job) } else { _ = handOver(.job(job)) }
  }

  /// Whether all waits have been ended. Loop-confined.
  private(set) var isCancelled = false

  /// Runs `call` on the loop's thread, soon. False, and nothing is run, when the loop has ended: who waits for an answer
  /// must not wait for that one.
  @discardableResult
  public func execute(_ call: @escaping @Sendable () -> Void) -> Bool { handOver(.call(call)) }

  /// Has everything that is ready go first: what works for long asks for a turn every few milliseconds. Throws `.cancelled` when all
  /// waits have been ended. On the loop's thread.
  public func turn() async throws(IOFailure) {
    if isCancelled { throw .cancelled }
    // Through the door of other threads, which is looked at after the sockets have been.
    unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      execute { unsafe continuation.resume() }
    }
  }

  public var isCurrent: Bool { threadBits.load(ordering: .relaxed) == UInt(pthread_self()) }

  private func push(_ job: UnownedJob) {
    if tail &- head > mask { growRing() }
    unsafe ring[tail & mask] = job
    tail &+= 1
  }

  private func growRing() {
    let count = mask + 1
    let larger = UnsafeMutablePointer<UnownedJob>.allocate(capacity: count * 2)
    for i in 0..<count { unsafe larger[i] = unsafe ring[(head &+ i) & mask] }
    unsafe ring.deallocate()
    unsafe ring = unsafe larger
    (head, tail, mask) = (0, count, count * 2 - 1)
  }

  private func handOver(_ item: Handover) -> Bool {
    let isTaken = remote.withLock { inbox in
      if !inbox.isClosed { inbox.items.append(item) }
      return !inbox.isClosed
    }
    if isTaken, !hasRemote.exchange(true, ordering: .sequentiallyConsistent) { wake() }
    return isTaken
  }

  private func wake() {
    var one: UInt64 = 1
    unsafe write(wakeup, &one, 8)
  }

  /// `closing` takes over for the last time.
  private func takeOver(closing: Bool = false) {
    var count: UInt64 = 0
    unsafe read(wakeup, &count, 8)
    hasRemote.store(false, ordering: .sequentiallyConsistent)
    let items = remote.withLock { inbox in
      let taken = inbox.items
      inbox.items.removeAll()
      inbox.isClosed = closing
      return taken
    }
    for item in items {
      switch item {
      case .job(let job): push(job)
      case .call(let call): call()
      }
    }
  }

  // MARK: running

  /// Runs `body` and everything it starts on the calling thread; returns when `body` has returned, and all calls that
  /// `execute` took.
  public func run(_ body: @escaping @Sendable () async -> Void) {
    threadBits.store(UInt(pthread_self()), ordering: .relaxed)
    // The one task without an awaiting parent: the thread itself is the parent, and waits below.
    Task(executorPreference: self) {
      await body()
      self.isStopping.store(true, ordering: .relaxed)
    }
    let executor = unsafe asUnownedTaskExecutor()
    let events = UnsafeMutablePointer<linux_event>.allocate(capacity: 256)
    defer { unsafe events.deallocate() }
    takeOver()
    while true {
      while head != tail {
        let job = unsafe ring[head & mask]
        head &+= 1
        unsafe job.runSynchronously(on: executor)
      }
      freeRetired()
      if isStopping.load(ordering: .relaxed) { return takeOver(closing: true) }
      let n = unsafe linux_epoll_wait(epoll, events, wheel.patience(at: now))
      now = linux_coarse_ms()
      for i in 0..<Int(max(n, 0)) { unsafe dispatch(events + i) }
      wheel.advance(to: now)
    }
  }

  private func dispatch(_ event: UnsafePointer<linux_event>) {
    guard let tag = unsafe event.pointee.tag else {
      takeOver()
      return
    }
    let descriptor = unsafe tag.assumingMemoryBound(to: DescriptorState.self)
    var bits = unsafe event.pointee.bits
    if bits & Ready.failed != 0 { bits |= Ready.input | Ready.output }
    if bits & Ready.hangup != 0 { bits |= Ready.input }
    unsafe descriptor.pointee.ready |= bits
    guard let scope = unsafe descriptor.pointee.scope else { return }
    if unsafe descriptor.pointee.interest & bits != 0, let waiter = unsafe scope.pointee.waiter {
      unsafe scope.pointee.waiter = nil
      unsafe scope.pointee.wake = .ready
      unsafe waiter.resume()
    } else if unsafe descriptor.pointee.watched & bits != 0 {
      unsafe scope.pointee.interrupt(.watched)
    }
  }

  // MARK: descriptors and scopes

  func register(_ fd: Int32) -> DescriptorPointer {
    let descriptor = DescriptorPointer.allocate(capacity: 1)
    unsafe descriptor.initialize(to: DescriptorState(fd: fd))
    _ = unsafe linux_epoll_add(epoll, fd, descriptor)
    return unsafe descriptor
  }

  /// Closes the file now and frees the state at the end of the turn: events of this turn may still point at it.
  ///
  /// Closing alone does not end its events: while a program is being started, the copy that it has for a moment keeps the file open.
  func retire(_ descriptor: DescriptorPointer) {
    _ = unsafe linux_epoll_remove(epoll, descriptor.pointee.fd)
    unsafe close(descriptor.pointee.fd)
    unsafe descriptor.pointee.fd = -1
    unsafe descriptor.pointee.scope = nil
    unsafe descriptor.pointee.interest = 0
    unsafe descriptor.pointee.watched = 0
    unsafe descriptor.pointee.next = unsafe retired
    unsafe retired = unsafe descriptor
  }

  private func freeRetired() {
    while let descriptor = unsafe retired {
      unsafe retired = unsafe descriptor.pointee.next
      unsafe descriptor.deinitialize(count: 1)
      unsafe descriptor.deallocate()
    }
  }

  /// Asks every task of the loop to decide again whether it may go on.
  public func recheckAll() { unsafe forEachScope { unsafe $0.pointee.interrupt(.recheck) } }

  /// Ends every idle connection of the loop.
  public func cancelIdle() { unsafe forEachScope { if unsafe $0.pointee.isIdle { unsafe $0.pointee.interrupt(.cancelled) } } }

  /// Ends every wait of the loop, also of what has not begun to wait yet: a loop that is asked to stop at its start stops.
  public func cancelAll() {
    isCancelled = true
    unsafe forEachScope { unsafe $0.pointee.interrupt(.cancelled) }
  }

  private func forEachScope(_ body: (ScopePointer) -> Void) {
    var scope = unsafe scopes.pointee.listNext!
    while unsafe scope != scopes {
      let following = unsafe scope.pointee.listNext!
      unsafe body(scope)
      unsafe scope = unsafe following
    }
  }
}
