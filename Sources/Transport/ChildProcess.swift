import CLinuxShims
public import Glibc
public import Primitives

/// Another program, started without a shell.
@safe
public struct ChildProcess: Sendable {
  public let id: pid_t

  /// What becomes of one of its standard streams.
  public enum Stream: Sendable {
    case inherited
    case descriptor(Int32)
    case nothing
  }

  /// Starts `words[0]`, looked up in `PATH` where it has no slash, with `environment` as `NAME=VALUE`; throws `.notFound` when it
  /// cannot be started. Descriptors other than the three streams are closed in it, as all of ours are opened that way.
  public static func start(
    _ words: [String], environment: [String], input: Stream = .inherited, output: Stream = .inherited,
    errors: Stream = .inherited
  ) throws(Fault) -> ChildProcess {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for (number, stream) in [(Int32(0), input), (1, output), (2, errors)] {
      switch stream {
      case .inherited: break
      case .descriptor(let fd): unsafe posix_spawn_file_actions_adddup2(&actions, fd, number)
      case .nothing: unsafe posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0)
      }
    }
    // A server blocks signals in its threads: its children start without that.
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var (none, usual) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe sigemptyset(&usual)
    unsafe sigaddset(&usual, SIGPIPE)
    unsafe sigaddset(&usual, SIGXFSZ)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &usual)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var pid: pid_t = 0
    // SAFETY: the vectors end with nil and live until the call returns; the strings are freed after it.
    var (arguments, variables) = unsafe (words.map { unsafe strdup($0) }, environment.map { unsafe strdup($0) })
    defer { unsafe (arguments + variables).forEach { unsafe free($0) } }
    unsafe arguments.append(nil)
    unsafe variables.append(nil)
    let code = unsafe posix_spawnp(&pid, words[0], &actions, &attributes, arguments, variables)
    guard code == 0 else {
      throw Fault(.notFound, unsafe "'\(words[0])' cannot be started: \(String(cString: strerror(code)))")
    }
    return ChildProcess(id: pid)
  }

  /// Waits for its end: its exit status, or 128 and the number of the signal that ended it.
  public func wait() -> Int32 {
    var status: Int32 = 0
    while unsafe waitpid(id, &status, 0) < 0, errno == EINTR {}
    return Self.meaning(of: status)
  }

  /// The same where it has ended; nil while it goes on.
  private func ended() -> Int32? {
    var status: Int32 = 0
    return unsafe waitpid(id, &status, WNOHANG) == id ? Self.meaning(of: status) : nil
  }

  private static func meaning(of status: Int32) -> Int32 {
    let signal = status & 0x7F
    return signal == 0 ? status >> 8 & 0xFF : 128 + signal
  }

  public func send(signal number: Int32) { kill(id, number) }

  /// Two ends of a pipe, closed in children unless they are given to them.
  public static func pipe() throws(Fault) -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe linux_pipe(&ends) == 0 else { throw Fault(.system, "a pipe cannot be made") }
    return (ends[0], ends[1])
  }

  /// Runs a program to its end with `input` on its standard input, for at most `milliseconds`. Returns what it has written, at most
  /// `outputMax` bytes, and its status, 124 where the time was up. Blocks: for a thread of its own.
  public static func run(
    _ words: [String], environment: [String], input: Span<UInt8>, outputMax: Int, milliseconds: Int
  ) throws(Fault) -> (status: Int32, output: [UInt8]) {
    let (stdin, stdout) = (try pipe(), try pipe())
    defer { for fd in [stdin.write, stdout.read] { close(fd) } }
    let child: ChildProcess
    do {
      child = try start(
        words, environment: environment, input: .descriptor(stdin.read), output: .descriptor(stdout.write), errors: .inherited)
    } catch {
      for fd in [stdin.read, stdout.write] { close(fd) }
      throw error
    }
    for fd in [stdin.read, stdout.write] { close(fd) }
    // Both ways at once, so that neither side waits for the other for ever.
    _ = fcntl(stdin.write, F_SETFL, O_NONBLOCK)
    let deadline = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    var (sent, output, isOpen) = (0, [UInt8](), true)
    var writer = stdin.write
    // One that closes its output may still be reading.
    while isOpen || writer >= 0 {
      let now = monotonicNanoseconds()
      guard now < deadline else {
        child.send(signal: SIGKILL)
        _ = child.wait()
        return (124, output)
      }
      if sent == input.count, writer >= 0 {
        // The program sees the end of its input. (The descriptor is closed for good at the end.)
        dup2(Self.null, writer)
        writer = -1
        if !isOpen { break }
      }
      var watched = [
        pollfd(fd: isOpen ? stdout.read : -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: writer, events: Int16(POLLOUT), revents: 0),
      ]
      unsafe poll(&watched, 2, Int32(min(1000, (deadline - now) / 1_000_000 + 1)))
      if watched[1].revents != 0, writer >= 0 {
        let n = unsafe input.withUnsafeBytes { unsafe write(writer, $0.baseAddress! + sent, $0.count - sent) }
        sent = n < 0 ? (errno == EAGAIN ? sent : input.count) : sent + n
      }
      if watched[0].revents != 0 {
        var piece = [UInt8](repeating: 0, count: 4096)
        let n = unsafe read(stdout.read, &piece, piece.count)
        if n <= 0 { isOpen = false } else if output.count < outputMax { output += piece[..<min(n, outputMax - output.count)] }
        for i in piece.indices { piece[i] = 0 }
      }
    }
    while monotonicNanoseconds() < deadline {
      if let status = child.ended() { return (status, output) }
      usleep(2000)
    }
    child.send(signal: SIGKILL)
    _ = child.wait()
    return (124, output)
  }

  private static let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
}
