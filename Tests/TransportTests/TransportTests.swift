import FoundationEssentials
import Glibc
import Primitives
import Synchronization
import TestSupport
import Testing
import Wire

@testable import Transport

struct EventLoopTests {
  @Test("tasks that prefer a loop run on its thread, and work handed over from others gets there") func affinity() {
    let loop = EventLoop()
    let seen = Mutex<[Bool]>([])
    loop.run {
      seen.withLock { $0.append(loop.isCurrent) }
      await withCheckedContinuation { continuation in
        startThread {
          seen.withLock { $0.append(!loop.isCurrent) }
          loop.execute {
            seen.withLock { $0.append(loop.isCurrent) }
            continuation.resume()
          }
        }
      }
      seen.withLock { $0.append(loop.isCurrent) }
    }
    #expect(seen.withLock { $0 } == [true, true, true, true])
  }

  @Test("what a loop takes before its end is run, and what comes after its end is refused instead of forgotten") func ended() {
    let loop = EventLoop()
    let isRun = Mutex(false)
    loop.run { #expect(loop.execute { isRun.withLock { $0 = true } }) }
    #expect(isRun.withLock { $0 })
    #expect(!loop.execute { Issue.record("run after the end") })
  }

  @Test("a turn lets go first what is ready, and none is given once all waits have been ended") func turn() {
    let loop = EventLoop()
    let seen = Mutex<[String]>([])
    loop.run {
      loop.execute { seen.withLock { $0.append("other") } }
      for _ in 0..<2 {
        do throws(IOFailure) {
          try await loop.turn()
          seen.withLock { $0.append("on") }
        } catch { seen.withLock { $0.append("\(error)") } }
        loop.cancelAll()
      }
    }
    #expect(seen.withLock { $0 } == ["other", "on", "cancelled"])
  }

  @Test("a closed file has no events any more, also while a program that is being started holds a copy of it") func closed()
    throws
  {
    let loop = EventLoop()
    var ends: [Int32] = [0, 0]
    #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    // A number that no other test has.
    let fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 900)
    let copy = dup(fd)
    defer { for open in ends + [copy] { close(open) } }
    func isWatched() -> Bool {
      let folder = "/proc/self/fdinfo"
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return names.contains { name in
        let text = FileManager.default.contents(atPath: "\(folder)/\(name)").map { String(decoding: $0, as: UTF8.self) } ?? ""
        return text.split(separator: "\n").contains { $0.hasPrefix("tfd:") && $0.split(separator: " ")[1] == "\(fd)" }
      }
    }
    let descriptor = unsafe loop.register(fd)
    #expect(isWatched())
    unsafe loop.retire(descriptor)
    #expect(!isWatched())
  }

  @Test("a deadline ends a wait, a later one does not end it early, and a cancelled scope waits no more") func deadlines() {
    let loop = EventLoop()
    let results = Mutex<[String]>([])
    loop.run {
      let scope = Scope(on: loop)
      let start = monotonicNanoseconds()
      do throws(IOFailure) {
        try await scope.sleep(milliseconds: 60)
        results.withLock { $0.append(monotonicNanoseconds() - start >= 50_000_000 ? "slept" : "early") }
      } catch { results.withLock { $0.append("\(error)") } }
      loop.cancelAll()
      do throws(IOFailure) { try await scope.sleep(milliseconds: 60_000) } catch { results.withLock { $0.append("\(error)") } }
    }
    #expect(results.withLock { $0 } == ["slept", "cancelled"])
  }

  @Test("a wait that begins after the loop was asked to end ends at once") func late() {
    let loop = EventLoop()
    let results = Mutex<[String]>([])
    loop.run {
      loop.cancelAll()
      let scope = Scope(on: loop)
      do throws(IOFailure) { try await scope.sleep(milliseconds: 60_000) } catch { results.withLock { $0.append("\(error)") } }
    }
    #expect(results.withLock { $0 } == ["cancelled"])
  }

  @Test("thousands of tasks sleeping on one loop all wake") func many() {
    let loop = EventLoop()
    final class Counter: Sendable { let value = Atomic<Int>(0) }
    let woken = Counter()
    loop.run {
      await withDiscardingTaskGroup { group in
        for i in 0..<5000 {
          group.addTask(executorPreference: loop) {
            let scope = Scope(on: loop)
            do throws(IOFailure) { try await scope.sleep(milliseconds: 1 + i % 90) } catch { return }
            woken.value.add(1, ordering: .relaxed)
          }
        }
      }
    }
    #expect(woken.value.load(ordering: .relaxed) == 5000)
  }
}

struct ProxySettingsTests {
  @Test("a proxy is read from the environment, with credentials and exceptions") func read() throws {
    let proxy = try #require(
      try ProxySettings(environment: [
        "HTTPS_PROXY": "http://us%65r:p%40ss@proxy.test:3128/", "NO_PROXY": "localhost, .internal.test,10.0.0.1",
      ]))
    #expect(proxy.host == "proxy.test" && proxy.port == 3128)
    #expect(proxy.applies(to: "api.openai.com") && proxy.applies(to: "notinternal.test"))
    #expect(!proxy.applies(to: "localhost") && !proxy.applies(to: "a.internal.test") && !proxy.applies(to: "10.0.0.1"))
    #expect(try ProxySettings(environment: [:]) == nil && ProxySettings(environment: ["HTTPS_PROXY": ""]) == nil)
    #expect(
      try #require(try ProxySettings(environment: ["https_proxy": "http://p:1", "no_proxy": "*"])).applies(to: "x") == false)
  }

  @Test(
    "a proxy that cannot be used is refused",
    arguments: ["proxy:3128", "https://proxy:3128", "http://proxy", "http://:3128", "http://proxy:x", "socks5://proxy:1"])
  func refused(text: String) {
    #expect(throws: Fault(.invalidInput, "")) { _ = try ProxySettings(environment: ["HTTPS_PROXY": text]) }
  }
}

struct TLSContextTests {
  @Test("files that are no certificate, no key, or not there are refused") func refused() {
    #expect(throws: Fault(.tls, "")) { _ = try TLSContext.server(certificateFile: "/nonexistent", keyFile: "/nonexistent") }
    #expect(throws: Fault(.tls, "")) { _ = try TLSContext.client(authorityFile: "Package.swift") }
  }
}
