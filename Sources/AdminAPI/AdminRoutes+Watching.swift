import Domain
import KeyService
import Primitives
import Wire

extension AdminAPI {
  /// What is looked at: metrics, requests, acts.
  static let watching: [AdminRoute] = [
    AdminRoute(
      .get, "metrics", .read, .status, "What Prometheus scrapes; also at /metrics",
      gives: .text(["text/plain", "application/openmetrics-text"])
    ) { (api, r, p) async throws(Fault) in try await api.metrics(r) },
    AdminRoute(
      .get, "activity", .read, .activity, ofTeams: true, "List requests, the latest first", gives: .list(ActivityDocument.self),
      query: activityFilters
    ) { (api, r, p) async throws(Fault) in try await api.activity(r)
    },
    AdminRoute(
      .get, "activity/export", .read, .activity, ofTeams: true, "Requests as lines that tables are made of, the latest first",
      gives: .lines([jsonLines, "text/csv"]), query: activityFilters + ["format"]
    ) { (api, r, p) async throws(Fault) in try await api.exportActivity(r) },
    AdminRoute(
      .get, "usage", .read, .activity, ofTeams: true, "What requests came to, by minute, hour or day",
      gives: .all(UsageDocument.self),
      query: ["span", "by", "from", "to", "key", "provider", "model", "team", "tag"]
    ) { (api, r, p) async throws(Fault) in try await api.usage(r) },
    AdminRoute(
      .get, "keys/{id}/advice", .read, .activity, ofTeams: true, "Propose the smallest policy that a key's requests need",
      gives: .one(AdviceDocument.self), query: ["days"]
    ) { (api, r, p) async throws(Fault) in try await api.adviseKey(r, p[0]) },
    AdminRoute(
      .post, "policy-replays", .read, .activity, "Say what a policy would have refused in the past",
      gives: .one(ReplayedPolicyDocument.self), takes: .document(PolicyReplayDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.replayPolicy(r) },
    AdminRoute(
      .put, "keys/{id}/capture", .change, .captures, "Keep what a key sends and gets, sealed, for a while; or no longer",
      gives: .one(KeyDocument.self), takes: .document(CaptureSettingDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.setCapture(r, p[0]) },
    AdminRoute(.delete, "keys/{id}/capture", .end, .captures, "Erase all that was captured of a key", gives: .nothing) {
      (api, r, p) async throws(Fault) in try api.deleteCaptures(r, p[0])
    },
    AdminRoute(
      .get, "captures", .read, .captures, "List requests whose content was captured, the latest first",
      gives: .list(CaptureDocument.self), query: ["key"]
    ) { (api, r, p) async throws(Fault) in try api.listCaptures(r) },
    AdminRoute(
      .get, "captures/{number}", .read, .captures, "Read what a request and its answer said; that it is read is written down",
      gives: .one(CaptureContentDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.showCapture(r, p[0]) },
    AdminRoute(
      .get, "audit", .read, .audit,
      "List what was done, the latest first; with `number_above`, those behind it in their order",
      gives: .list(AuditDocument.self),
      query: auditFilters + ["number_above"]
    ) { (api, r, p) async throws(Fault) in try await api.audit(r) },
    AdminRoute(
      .get, "audit/export", .read, .audit, "What was done as lines: the whole chain, to be verified; or what a filter finds",
      gives: .lines([jsonLines, "text/plain"]), query: auditFilters + ["format"]
    ) { (api, r, p) async throws(Fault) in try await api.exportAudit(r) },
    AdminRoute(
      .get, "audit/state", .read, .audit, "How it stands with the record of what was done", gives: .one(AuditStateDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.showAuditState(r) },
    AdminRoute(
      .post, "audit/verifications", .read, .audit, "Follow the record of what was done from its beginning",
      gives: .one(AuditStateDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.verifyAudit(r) },
  ]
}
