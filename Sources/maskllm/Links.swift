import Domain
import Gateway
import KeyService
import PolicyEngine
import Primitives
import Storage
import Synchronization
import Transport

// What data loops ask of the control loop, and tell it.

struct LedgerLink: LedgerDesk {
  let server: Unowned<Server>
  let control: EventLoop
  func take(_ need: Charges.Need) async -> Ledger.Outcome? {
    let server = server
    return unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Ledger.Outcome?, Never>) in
      control.execute { server.value.take(need) { outcome in unsafe continuation.resume(returning: outcome) } }
    }
  }
}

/// Whose objects are is known on the control loop, in the order in which loops tell and ask.
struct ObjectLink: ObjectDesk {
  let server: Unowned<Server>
  let control: EventLoop
  func owner(provider: String, id: String) async throws(Fault) -> ProviderObject? {
    let server = server
    let result = unsafe await withUnsafeContinuation {
      (continuation: UnsafeContinuation<Result<ProviderObject?, Fault>, Never>) in
      control.execute {
        do throws(Fault) {
          unsafe continuation.resume(returning: .success(try server.value.service.object(provider: provider, id: id)))
        } catch { unsafe continuation.resume(returning: .failure(error)) }
      }
    }
    return try result.get()
  }
  func note(_ object: ProviderObject) {
    let server = server
    control.execute { server.value.service.noteObject(object) }
  }
  func keep(_ object: ProviderObject) async -> Bool {
    let server = server
    return unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Bool, Never>) in
      control.execute {
        server.value.service.noteObject(object)
        unsafe continuation.resume(returning: server.value.keepObjects())
      }
    }
  }
  func count(provider: String, id: String) async -> Bool {
    let server = server
    return unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Bool, Never>) in
      control.execute {
        do throws(Fault) {
          unsafe continuation.resume(returning: try server.value.service.countObject(provider: provider, id: id))
        } catch {
          server.value.log.warn("what a batch came to could not be counted: \(error, .because)")
          unsafe continuation.resume(returning: false)
        }
      }
    }
  }
  func forget(provider: String, id: String) {
    let server = server
    control.execute {
      do throws(Fault) { try server.value.service.forgetObject(provider: provider, id: id) } catch {
        server.value.log.warn("an object could not be forgotten: \(error, .because)")
      }
    }
  }
}

/// Tokens are got on the control loop, so that loops that want the same one wait for the same exchange.
struct TokenLink: TokenDesk {
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

/// The release of a real key is in the audit before it happens.
struct ReleaseLink: ReleaseDesk {
  let server: Unowned<Server>
  let control: EventLoop
  func release(of key: RecordID, providerKey: RecordID, provider: String, to address: NetworkAddress?) async -> Bool {
    let server = server
    return unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Bool, Never>) in
      control.execute {
        do throws(Fault) {
          try server.value.service.noteRelease(of: key, providerKey: providerKey, provider: provider, to: address)
          unsafe continuation.resume(returning: true)
        } catch {
          server.value.log.warn("the release of a real key could not be written down, and did not happen: \(error, .because)")
          unsafe continuation.resume(returning: false)
        }
      }
    }
  }
}

struct PepperLink: PepperDesk {
  let server: Unowned<Server>
  let control: EventLoop
  func rehash(_ key: RecordID, version: UInt32, hash: [UInt8], pepperVersion: UInt32) {
    let server = server
    control.execute {
      do throws(Fault) {
        try server.value.service.rehash(key, version: version, hash: hash, pepperVersion: pepperVersion)
      } catch { server.value.log.warn("a key could not be hashed with the new pepper: \(error, .because)") }
    }
  }
}

struct ActivityLink: ActivitySink {
  let server: Unowned<Server>
  let control: EventLoop
  func keep(_ segment: ActivitySegment, lost: Int) {
    let server = server
    control.execute { if server.value.keep(segment) { server.value.releaseSpool(segment) } }
  }
}

/// Captured content is sealed on the control loop.
struct CaptureLink: CaptureDesk {
  let server: Unowned<Server>
  let control: EventLoop
  func keep(_ content: CapturedContent) {
    let server = server
    control.execute {
      do throws(Fault) {
        try server.value.service.keepCapture(
          of: content.key, at: content.at, status: content.status, isCut: content.isCut, request: content.request,
          answer: content.answer)
      } catch { server.value.log.warn("content could not be kept: \(error, .because)") }
    }
  }
}

/// A reference that does not keep its object: the server owns the loops that own the sink that points back at it.
struct Unowned<Object: AnyObject & Sendable>: Sendable {
  unowned let value: Object
  init(_ value: Object) { self.value = value }
}

/// Takes snapshots to all loops and returns when each has it in force that has not ended.
final class Switchboard: SnapshotSink {
  let planes = Mutex<[(EventLoop, GatewayShard)]>([])

  func publish(_ snapshot: Snapshot) async -> Int {
    let planes = planes.withLock { $0 }
    var count = 0
    for (loop, shard) in planes {
      count += unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Int, Never>) in
        let isTaken = loop.execute {
          shard.adopt(snapshot)
          unsafe continuation.resume(returning: 1)
        }
        // While the server stops, one loop may have nothing left to do and another still a request in flight.
        if !isTaken { unsafe continuation.resume(returning: 0) }
      }
    }
    return count
  }
}
