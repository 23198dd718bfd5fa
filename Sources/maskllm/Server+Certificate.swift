import Glibc
import Primitives
import Transport

// The certificate that clients see, read again when it changes.
extension Server {
  func watchCertificate() async {
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

  func reloadCertificate() {
    guard let tls, let certificate = settings.certificateFile, let key = settings.keyFile else { return }
    do {
      tls.replace(with: try TLSContext.server(certificateFile: certificate, keyFile: key))
      log.info("the server certificate was reloaded")
    } catch { log.warn("the server certificate was not reloaded, the old one stays: \(error, .because)") }
  }
}
