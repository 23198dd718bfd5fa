import KeyService
import Primitives
import Transport

// Who is told of what.
extension Server {
  /// Once a second: takes in what people have to be told, and tells the channels that wait, each on its own, so that a slow one keeps no other.
  func keepAlerts() {
    do throws(Fault) {
      try service.watchForAlerts()
      try service.takeAlerts()
    } catch { log.warn("alerts could not be kept: \(error, .because)") }
    for name in service.channelsDue() {
      Task(executorPreference: control) {
        do throws(Fault) {
          if let trouble = try await self.service.tell(name) {
            self.log.warn("alert channel '\(name, .channel)' was not told, it will be again: \(trouble, .because)")
          }
        } catch { self.log.warn("alerts could not be kept: \(error, .because)") }
      }
    }
  }
}
