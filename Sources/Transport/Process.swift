import CLinuxShims
import Glibc
public import Primitives

/// Takes from the process what could give its secrets away: core dumps, and other processes of the same user looking in.
public func hardenProcess() throws(Fault) {
  guard linux_harden() == 0 else { throw Fault(.system, "core dumps cannot be switched off") }
}

/// Blocks the signals that stop or reload a server, in this thread and those it starts, and ignores SIGPIPE and SIGXFSZ.
public func blockServerSignals() {
  signal(SIGPIPE, SIG_IGN)
  // A file that may not grow is an error of a write, not the end.
  signal(SIGXFSZ, SIG_IGN)
  var set = serverSignals()
  unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
}

/// Waits for the next of those signals.
public func nextServerSignal() -> Int32 {
  var set = serverSignals()
  var number: Int32 = 0
  unsafe sigwait(&set, &number)
  return number
}

private func serverSignals() -> sigset_t {
  var set = sigset_t()
  unsafe sigemptyset(&set)
  for number in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&set, number) }
  return set
}

/// Something that happens once, awaited by tasks of one loop.
public final class LoopEvent: @unchecked Sendable {
  // Loop-confined.
  private var hasHappened = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  public init() {}

  /// On the loop's thread.
  public func fire() {
    hasHappened = true
    for continuation in waiting { continuation.resume() }
    waiting = []
  }

  public func wait() async {
    if hasHappened { return }
    await withCheckedContinuation { waiting.append($0) }
  }
}
