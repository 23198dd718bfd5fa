import CLinuxShims
import Glibc

/// Readiness bits, as epoll has them.
@usableFromInline enum Ready {
  @usableFromInline static let input: UInt32 = 0x001
  @usableFromInline static let output: UInt32 = 0x004
  @usableFromInline static let failed: UInt32 = 0x018  // EPOLLERR | EPOLLHUP
  @usableFromInline static let hangup: UInt32 = 0x2000  // EPOLLRDHUP
}

/// Loop-confined state of one open file; its address is what epoll carries.
@unsafe @usableFromInline
struct DescriptorState {
  @usableFromInline var fd: Int32
  /// Edges seen and not yet used up. `hangup` and `failed` stay.
  @usableFromInline var ready: UInt32 = 0
  /// What the scope's task waits for on this descriptor.
  @usableFromInline var interest: UInt32 = 0
  /// What interrupts the scope's task while it waits for something else.
  @usableFromInline var watched: UInt32 = 0
  @usableFromInline var scope: UnsafeMutablePointer<ScopeState>?
  @usableFromInline var next: UnsafeMutablePointer<DescriptorState>?
  @usableFromInline init(fd: Int32) { unsafe self.fd = fd }
}

typealias DescriptorPointer = UnsafeMutablePointer<DescriptorState>
typealias ScopePointer = UnsafeMutablePointer<ScopeState>

/// Loop-confined state of one task that waits: where it is parked, until when, and what ends the wait early.
@unsafe @usableFromInline
struct ScopeState {
  enum Wake: UInt8 { case none, ready, timedOut, cancelled, watched, recheck }
  @usableFromInline var waiter: UnsafeContinuation<Void, Never>?
  var wake = Wake.none
  /// An interruption that came while the task was not waiting.
  var pending = Wake.none
  /// Cancelled for good: every further wait fails.
  var isCancelled = false
  /// Idle between requests: a drain ends it at once.
  var isIdle = false
  /// Milliseconds of the loop's clock.
  var deadline: UInt64 = .max
  // Timer wheel.
  var slotTime: UInt64 = 0
  var wheelPrevious: UnsafeMutablePointer<ScopeState>?
  var wheelNext: UnsafeMutablePointer<ScopeState>?
  // All scopes of the loop.
  var listPrevious: UnsafeMutablePointer<ScopeState>?
  var listNext: UnsafeMutablePointer<ScopeState>?

  /// Ends the wait with `reason`, or remembers it for the next wait.
  mutating func interrupt(_ reason: Wake) {
    if reason == .cancelled { unsafe isCancelled = true }
    guard let waiter = unsafe waiter else {
      if unsafe pending == .none || reason == .cancelled { unsafe pending = reason }
      return
    }
    unsafe self.waiter = nil
    unsafe wake = reason
    unsafe waiter.resume()
  }
}
