/// What bounds the waits of one task: a deadline, a cancellation, and a socket watched beside the one waited for.
///
/// Belongs to one loop; its methods are called on that loop's thread only.
@safe
public struct Scope: ~Copyable, @unchecked Sendable {
  // SAFETY: allocated here, freed in deinit, linked into the loop's lists in between; loop-confined.
  let state: ScopePointer
  public let loop: EventLoop

  public init(on loop: EventLoop) {
    self.loop = loop
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: ScopeState())
    unsafe state.pointee.isCancelled = loop.isCancelled
    let head = unsafe loop.scopes
    unsafe state.pointee.listNext = unsafe head.pointee.listNext
    unsafe state.pointee.listPrevious = unsafe head
    unsafe head.pointee.listNext!.pointee.listPrevious = unsafe state
    unsafe head.pointee.listNext = unsafe state
  }

  deinit {
    unsafe loop.wheel.unlink(state)
    unsafe state.pointee.listPrevious!.pointee.listNext = unsafe state.pointee.listNext
    unsafe state.pointee.listNext!.pointee.listPrevious = unsafe state.pointee.listPrevious
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// Every wait from now on fails with `.timedOut` once `milliseconds` have passed; 0 takes the deadline away.
  public func setDeadline(milliseconds: Int) {
    if unsafe state.pointee.pending == .timedOut { unsafe state.pointee.pending = .none }
    unsafe loop.wheel.set(state, milliseconds == 0 ? .max : loop.now + UInt64(milliseconds))
  }

  /// An idle scope is ended by a drain at once, a busy one when its exchange is over.
  public func setIdle(_ isIdle: Bool) { unsafe state.pointee.isIdle = isIdle }

  /// Parks the task until something interrupts it.
  func park() async throws(IOFailure) {
    try takePending()
    unsafe await withUnsafeContinuation { unsafe state.pointee.waiter = unsafe $0 }
    let wake = unsafe state.pointee.wake
    unsafe state.pointee.wake = .none
    if wake != .ready { throw failure(wake) }
  }

  func takePending() throws(IOFailure) {
    if unsafe state.pointee.isCancelled { throw .cancelled }
    guard unsafe state.pointee.pending != .none else { return }
    let reason = unsafe state.pointee.pending
    unsafe state.pointee.pending = .none
    throw failure(reason)
  }

  private func failure(_ wake: ScopeState.Wake) -> IOFailure {
    switch wake {
    case .timedOut: .timedOut
    case .watched: .watched
    case .recheck: .recheck
    default: .cancelled
    }
  }

  /// Waits for `milliseconds`; throws `.cancelled` when the loop is drained.
  public func sleep(milliseconds: Int) async throws(IOFailure) {
    setDeadline(milliseconds: max(milliseconds, 1))
    while true {
      do { try await park() } catch {
        switch error {
        case .timedOut: return
        case .recheck, .watched: continue
        default: throw error
        }
      }
    }
  }
}
