import Audit
import Gateway
import KeyService
import Primitives
import Storage
import Transport

// What outlives a process that is killed: the last records of each loop.
extension Server {
  private static let loopsMax = 256

  private func spoolPath(_ loop: Int) -> String { "\(dataDirectory)/activity-\(loop).spool" }

  /// Keeps what a killed process left behind, then gives each loop a spool. Before any loop runs.
  func makeSpools() {
    for loop in 0..<Self.loopsMax {
      let known = (try? service.spoolMark(loop)) ?? nil
      let found = ActivitySpool.leftover(spoolPath(loop)) { id in known?.id == id ? known?.mark ?? 0 : 0 }
      guard let found, let segment = ActivitySegment(leftover: found.bytes) else { continue }
      if keep(segment) { log.info("\(segment.count, .count) requests of a process that was killed are recorded") }
    }
    for (loop, plane) in planes.enumerated() {
      do throws(Fault) {
        let id = SystemRandomness().bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let spool = try ActivitySpool(path: spoolPath(loop), id: id)
        plane.shard.use(spool, loop: loop)
        spools.append(spool)
      } catch { log.warn("a kill would lose the last requests' records: \(error, .because)") }
    }
  }

  func releaseSpool(_ segment: ActivitySegment) {
    guard let spool = segment.spool else { return }
    let plane = planes[spool.loop]
    plane.loop.execute { plane.shard.release(spoolUpTo: spool.mark) }
  }
}
