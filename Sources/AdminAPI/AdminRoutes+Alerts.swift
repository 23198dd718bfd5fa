import Audit
import Domain
import KeyService
import Primitives
import Wire

extension AdminAPI {
  /// What people have to be told, and where.
  static let alerting: [AdminRoute] = [
    AdminRoute(
      .get, "alerts", .read, .alerts, "List what people have to be told", gives: .list(AlertDocument.self), query: ["state"]
    ) { (api, r, p) async throws(Fault) in try api.listAlerts(r) },
    AdminRoute(.get, "alerts/{id}", .read, .alerts, "Read an alert", gives: .one(AlertDocument.self)) {
      (api, r, p) async throws(Fault) in try api.showAlert(r, p[0])
    },
    AdminRoute(
      .post, "alerts/{id}/acknowledge", .change, .alerts, "Say that somebody looks at it: it is not told any more",
      gives: .one(AlertDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.setAlert(r, p[0], .acknowledged) },
    AdminRoute(
      .post, "alerts/{id}/resolve", .change, .alerts, "Say that it is over: the same again is a new alert",
      gives: .one(AlertDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.setAlert(r, p[0], .resolved) },
    AdminRoute(.get, "alert-channels", .read, .alerts, "List where alerts are brought", gives: .list(AlertChannelDocument.self)) {
      (api, r, p) async throws(Fault) in try api.listChannels(r)
    },
    AdminRoute(
      .get, "alert-channels/{name}", .read, .alerts, "Read where alerts are brought", gives: .one(AlertChannelDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.showChannel(r, p[0]) },
    AdminRoute(
      .put, "alert-channels/{name}", .change, .alerts, "Say where alerts are brought, and which",
      gives: .one(AlertChannelDocument.self), takes: .document(AlertChannelDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.setChannel(r, p[0]) },
    AdminRoute(.delete, "alert-channels/{name}", .end, .alerts, "Forget a channel and its credential", gives: .nothing) {
      (api, r, p) async throws(Fault) in try api.removeChannel(r, p[0])
    },
    AdminRoute(
      .post, "alert-channels/{name}/test", .change, .alerts, "Bring an alert there that says that it is a test", gives: .nothing
    ) { (api, r, p) async throws(Fault) in try await api.testChannel(r, p[0]) },
    AdminRoute(.get, "silences", .read, .alerts, "List what nobody is told of for a while", gives: .list(SilenceDocument.self)) {
      (api, r, p) async throws(Fault) in try api.listSilences(r)
    },
    AdminRoute(.get, "silences/{name}", .read, .alerts, "Read a silence", gives: .one(SilenceDocument.self)) {
      (api, r, p) async throws(Fault) in try api.showSilence(r, p[0])
    },
    AdminRoute(
      .put, "silences/{name}", .change, .alerts, "Tell nobody of something for a while", gives: .one(SilenceDocument.self),
      takes: .document(SilenceDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.setSilence(r, p[0]) },
    AdminRoute(.delete, "silences/{name}", .end, .alerts, "End a silence", gives: .nothing) {
      (api, r, p) async throws(Fault) in try api.removeSilence(r, p[0])
    },
  ]
}
