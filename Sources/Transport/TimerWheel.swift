/// Deadlines of a loop's scopes: moving one later is a store; a scope changes its slot only when the old one comes round.
@safe
final class TimerWheel {
  static let tickMilliseconds: Int32 = 16
  private static let slots: UInt64 = 1024
  // SAFETY: 1,024 sentinels of circular lists; only the loop's thread touches them or what they link.
  private let heads: ScopePointer
  private var time: UInt64 = 0  // in ticks
  private var armed = 0
  /// No slot before this tick has a scope in it.
  private var nearest: UInt64 = .max

  init() {
    unsafe heads = .allocate(capacity: Int(Self.slots))
    for i in 0..<Int(Self.slots) {
      unsafe (heads + i).initialize(to: ScopeState())
      unsafe heads[i].wheelPrevious = unsafe heads + i
      unsafe heads[i].wheelNext = unsafe heads + i
    }
  }

  deinit { unsafe heads.deallocate() }

  /// How long the loop may sleep at `now`, in milliseconds; -1: for ever.
  func patience(at now: UInt64) -> Int32 {
    guard armed > 0 else { return -1 }
    let due = nearest * UInt64(Self.tickMilliseconds)
    return due <= now ? 1 : Int32(clamping: due - now)
  }

  func start(at now: UInt64) { time = now / UInt64(Self.tickMilliseconds) }

  /// Sets the deadline of `scope`; `.max` is none.
  func set(_ scope: ScopePointer, _ deadline: UInt64) {
    unsafe scope.pointee.deadline = deadline
    if unsafe deadline == .max
      || (scope.pointee.slotTime != 0 && scope.pointee.slotTime <= deadline / UInt64(Self.tickMilliseconds))
    {
      return
    }
    unsafe link(scope)
  }

  private func link(_ scope: ScopePointer) {
    unsafe unlink(scope)
    let wanted = unsafe scope.pointee.deadline / UInt64(Self.tickMilliseconds)
    let at = min(max(wanted, time + 1), time + Self.slots - 1)
    let head = unsafe heads + Int(at % Self.slots)
    unsafe scope.pointee.slotTime = at
    unsafe scope.pointee.wheelNext = unsafe head.pointee.wheelNext
    unsafe scope.pointee.wheelPrevious = unsafe head
    unsafe head.pointee.wheelNext!.pointee.wheelPrevious = unsafe scope
    unsafe head.pointee.wheelNext = unsafe scope
    armed += 1
    nearest = min(nearest, at)
  }

  func unlink(_ scope: ScopePointer) {
    guard unsafe scope.pointee.slotTime != 0 else { return }
    unsafe scope.pointee.wheelPrevious!.pointee.wheelNext = unsafe scope.pointee.wheelNext
    unsafe scope.pointee.wheelNext!.pointee.wheelPrevious = unsafe scope.pointee.wheelPrevious
    unsafe scope.pointee.slotTime = 0
    armed -= 1
  }

  /// Interrupts what is due at `now` milliseconds.
  func advance(to now: UInt64) {
    let target = now / UInt64(Self.tickMilliseconds)
    if armed == 0 { time = max(time, target) }
    while time < target {
      time += 1
      let head = unsafe heads + Int(time % Self.slots)
      var scope = unsafe head.pointee.wheelNext!
      while unsafe scope != head {
        let following = unsafe scope.pointee.wheelNext!
        if unsafe scope.pointee.slotTime <= time {
          unsafe unlink(scope)
          if unsafe scope.pointee.deadline == .max {
            // disarmed meanwhile
          } else if unsafe scope.pointee.deadline > now {
            unsafe link(scope)
          } else {
            unsafe scope.pointee.deadline = .max
            unsafe scope.pointee.interrupt(.timedOut)
          }
        }
        unsafe scope = unsafe following
      }
    }
    if nearest <= time { nearest = nextUsedSlot() }
  }

  private func nextUsedSlot() -> UInt64 {
    guard armed > 0 else { return .max }
    for tick in (time + 1)...(time + Self.slots) {
      let head = unsafe heads + Int(tick % Self.slots)
      if unsafe head.pointee.wheelNext! != head { return tick }
    }
    return .max
  }
}
