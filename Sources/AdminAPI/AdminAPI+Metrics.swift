import Audit
import Domain
import KeyService
import PolicyEngine
import Primitives
import Providers
import Transport

// What Prometheus scrapes.
extension AdminAPI {
  func metrics(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    await flushActivity()
    var text = ExpositionText(isOpen: r.accept?.contains("application/openmetrics-text") == true)
    state(&text)
    traffic(service.traffic, &text)
    if !service.isSealed {
      keys(&text)
      budgets(&text)
      record(&text)
    }
    process(&text)
    var response = AdminResponse(status: 200, body: Array(text.whole.utf8))
    response.mediaType = text.mediaType
    return response
  }

  private func state(_ text: inout ExpositionText) {
    text.family("maskllm_build_info", .gauge, "The version that runs.")
    text.sample("maskllm_build_info", [("version", version)], "1")
    text.single("maskllm_sealed", .gauge, "Whether the vault is sealed, so that nothing is served.", service.isSealed ? "1" : "0")
    text.single("maskllm_event_loops", .gauge, "Event loops that have the latest state in force.", "\(service.eventLoops)")
    text.single(
      "maskllm_activity_lost_total", .counter, "Requests whose record was lost because the store did not keep up.", "\(lost)")
    text.single(
      "maskllm_tampered_records", .gauge, "Records that were changed outside maskllm, and are not used.",
      "\(service.tamperedKeys.count + service.tamperedProviders.count)")
  }

  private func traffic(_ meter: TrafficMeter, _ text: inout ExpositionText) {
    text.family(
      "maskllm_requests_total", .counter, "Requests, by provider, endpoint class, how they ended and what the client was told.")
    for (request, count) in meter.requests.sorted(by: { "\($0.key)" < "\($1.key)" }) {
      text.sample(
        "maskllm_requests_total",
        [
          ("provider", request.provider), ("endpoint", request.endpoint), ("outcome", request.outcome),
          ("status", "\(request.status)xx"),
        ], "\(count)")
    }
    text.family("maskllm_refusals_total", .counter, "Requests that the gateway refused, by why.")
    for (code, count) in meter.refusals.sorted(by: { $0.key < $1.key }) {
      text.sample("maskllm_refusals_total", [("code", code)], "\(count)")
    }
    let uses = meter.uses.sorted { $0.key < $1.key }
    text.family("maskllm_tokens_total", .counter, "Tokens, by provider and kind.")
    for (provider, use) in uses {
      for (kind, count) in use.tokens.sorted(by: { $0.key < $1.key }) {
        text.sample("maskllm_tokens_total", [("provider", provider), ("kind", kind)], "\(count)")
      }
    }
    func counter(_ name: String, _ help: String, _ value: (TrafficMeter.Use) -> String) {
      text.family(name, .counter, help)
      for (provider, use) in uses { text.sample(name, [("provider", provider)], value(use)) }
    }
    counter("maskllm_cost_dollars_total", "What requests came to, as far as prices are known.") {
      $0.cost.dollars
    }
    counter("maskllm_request_bytes_total", "Bytes of content from clients.") { "\($0.bytesIn)" }
    counter("maskllm_response_bytes_total", "Bytes of content to clients.") { "\($0.bytesOut)" }
    text.family("maskllm_request_duration_seconds", .histogram, "From the request's head to the last byte of the answer.")
    for (provider, use) in uses { text.histogram("maskllm_request_duration_seconds", [("provider", provider)], use.durations) }
    text.family("maskllm_first_byte_seconds", .histogram, "From the request's head to the provider's first byte.")
    for (provider, use) in uses { text.histogram("maskllm_first_byte_seconds", [("provider", provider)], use.firstBytes) }
  }

  private func keys(_ text: inout ExpositionText) {
    text.family("maskllm_masked_keys", .gauge, "Masked keys, by state.")
    var states: [String: Int] = [:]
    if let keys = try? service.unorderedKeys() {
      for key in keys { states[key.stateName(isExpired: service.isExpired(key)), default: 0] += 1 }
    }
    for state in MaskedKey.stateNames { text.sample("maskllm_masked_keys", [("state", state)], "\(states[state] ?? 0)") }
    text.family("maskllm_provider_keys", .gauge, "Provider keys, by provider and state.")
    let providerKeys = ((try? service.listProviderKeys()) ?? []).map { document($0.key, isUsable: $0.isUsable) }
    for (place, found) in Dictionary(grouping: providerKeys, by: { "\($0.provider) \($0.state)" }).sorted(by: { $0.key < $1.key })
    {
      let parts = place.split(separator: " ").map(String.init)
      text.sample("maskllm_provider_keys", [("provider", parts[0]), ("state", parts[1])], "\(found.count)")
    }
  }

  private func budgets(_ text: inout ExpositionText) {
    let standings = service.budgets.keys.sorted().compactMap { name in service.standing(ofBudget: name).map { (name, $0) } }
    func gauge(_ name: String, _ help: String, _ value: (Ledger.Standing) -> Amount) {
      text.family(name, .gauge, help)
      for (budget, standing) in standings {
        text.sample(name, [("budget", budget)], NanoDollars(value(standing).count).dollars)
      }
    }
    gauge("maskllm_budget_limit_dollars", "What a budget has in the window in force.") { $0.limit }
    gauge("maskllm_budget_spent_dollars", "What of it is spent.") { $0.spent }
    gauge("maskllm_budget_held_dollars", "What of it is held by requests in flight.") { $0.held }
  }

  /// Of the record of acts, and of what people have to be told of it.
  private func record(_ text: inout ExpositionText) {
    if let state = try? service.auditState() {
      text.single("maskllm_audit_entries_total", .counter, "Entries of the record of acts.", "\(state.last)")
      text.single(
        "maskllm_audit_broken", .gauge, "Whether an entry of the record of acts is not what it was.",
        state.broken == nil ? "0" : "1")
      text.single(
        "maskllm_audit_unwritten", .gauge, "Whether the last act could not be written down, so that acts are refused.",
        state.unwritten == nil ? "0" : "1")
      text.single(
        "maskllm_audit_checkpoint_trouble", .gauge, "Whether checkpoints do not get to their second place.",
        state.trouble == nil ? "0" : "1")
    }
    text.family("maskllm_open_alerts", .gauge, "Alerts that nobody has acknowledged or resolved, by severity.")
    let open = ((try? service.alerts()) ?? []).filter { $0.state == .open }
    for severity in Severity.allCases {
      text.sample("maskllm_open_alerts", [("severity", severity.name)], "\(open.count { $0.severity == severity })")
    }
  }

  private func process(_ text: inout ExpositionText) {
    let own = ProcessFigures()
    text.single(
      "process_start_time_seconds", .gauge, "When the process started, since 1970.",
      "\(Double(service.startedAt.milliseconds) / 1000)")
    text.single("process_cpu_seconds_total", .counter, "Processor time, of the user and the system.", "\(own.cpuSeconds)")
    text.single("process_resident_memory_bytes", .gauge, "Memory that is in use.", "\(own.residentBytes)")
    text.single("process_open_fds", .gauge, "Open file descriptors.", "\(own.openFiles)")
    text.single("process_max_fds", .gauge, "How many there may be.", "\(own.openFilesMax)")
  }
}

/// Prometheus' text format, version 0.0.4; or OpenMetrics, version 1.0.0, which has exemplars.
struct ExpositionText {
  enum Kind: String { case counter, gauge, histogram }

  let isOpen: Bool
  private var text = ""

  init(isOpen: Bool) { self.isOpen = isOpen }

  var mediaType: String {
    isOpen ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8"
  }
  var whole: String { isOpen ? text + "# EOF\n" : text }

  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    // There, a counter's samples end with what its family's name does not.
    let name = isOpen && kind == .counter && name.hasSuffix("_total") ? String(name.dropLast("_total".count)) : name
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
  }

  /// A family of one sample.
  mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: String) {
    family(name, kind, help)
    sample(name, [], value)
  }

  mutating func sample(
    _ name: String, _ labels: [(String, String)], _ value: String, _ exemplar: TrafficMeter.Histogram.Exemplar? = nil
  ) {
    text += name
    if !labels.isEmpty {
      text += "{\(labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ","))}"
    }
    text += " \(value)"
    if isOpen, let exemplar {
      text += " # {trace_id=\"\(exemplar.trace.traceID)\"} \(exemplar.seconds) \(Double(exemplar.at.milliseconds) / 1000)"
    }
    text += "\n"
  }

  mutating func histogram(_ name: String, _ labels: [(String, String)], _ histogram: TrafficMeter.Histogram) {
    var total = 0
    for (i, count) in histogram.counts.enumerated() {
      total += count
      let bound = i < TrafficMeter.Histogram.bounds.count ? "\(TrafficMeter.Histogram.bounds[i])" : "+Inf"
      sample("\(name)_bucket", labels + [("le", bound)], "\(total)", histogram.exemplars[i])
    }
    sample("\(name)_sum", labels, "\(histogram.seconds)")
    sample("\(name)_count", labels, "\(total)")
  }

  private static func escaped(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }
}
