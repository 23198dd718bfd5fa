import Cryptography
import Domain
import FoundationEssentials
import KeyService
import Primitives
import Providers

// How real keys are replaced at their providers.
extension AdminAPI {
  func listConnectors(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try page(r, of: Array(service.connectors().values), by: \.name) { connector in
      ConnectorDocument(
        name: connector.name, title: connector.title, needs: connector.needs, pasted: connector.pasted,
        actions: RotationConnector.Action.allCases.filter(connector.has).map(\.rawValue))
    }
  }

  func listRotations(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    return try page(r, of: Array(service.plans.keys), by: \.description, document)
  }

  private func document(_ id: RecordID) -> RotationStateDocument {
    RotationStateDocument(id, service.plans[id] ?? RotationPlan(connector: RotationPlan.guided), service.runs[id])
  }

  func showRotation(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    let id = try recordID(id)
    guard service.plans[id] != nil else {
      throw Fault(
        .notFound, "nothing says how provider key \(id) is rotated", hint: "maskllm rotation set \(id) --connector NAME")
    }
    return try encode(document(id))
  }

  func setRotation(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    let asked: RotationPlanDocument = try decode(r)
    let id = try recordID(id)
    var secret = asked.secret.map { Array($0.utf8) }
    defer { if secret != nil { wipe(&secret!) } }
    try service.setPlan(id, try asked.plan(), secret: secret)
    return try encode(document(id))
  }

  func removeRotation(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.removePlan(try recordID(id))
    return AdminResponse(status: 204, body: [])
  }

  func startRotation(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let id = try recordID(id)
    let asked: PastedKeyDocument =
      r.body.count == 0 ? PastedKeyDocument() : try decode(r)
    var pasted = asked.secret.map { Array($0.utf8) }
    defer { if pasted != nil { wipe(&pasted!) } }
    _ = try await service.startRotation(id, pasted: pasted, remote: asked.remote ?? [:])
    return try encode(document(id), status: 202)
  }

  func endRotation(_ r: borrowing AdminRequest, _ id: String, _ action: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    let id = try recordID(id)
    _ = action == "abort" ? try await service.abortRotation(id) : try await service.confirmRotation(id)
    return try encode(document(id))
  }
}

/// How keys are made and ended at a provider.
public struct ConnectorDocument: Codable, Sendable {
  public var name: String
  public var title: String
  public var needs: [String]
  public var pasted: [String]
  public var actions: [String]
}

/// How a provider key is replaced. `secret`, the administrator's credential, only goes in.
public struct RotationPlanDocument: Codable, Sendable {
  public struct Timing: Codable, Sendable {
    public var shares: [Int]?
    public var stage_seconds: Int?
    public var probe_seconds: Int?
    public var drain_seconds: Int?
    public var proof_seconds: Int?
    public var hold_seconds: Int?
    public init() {}
  }
  public var connector: String
  public var hook: String?
  public var parameters: [String: String]?
  public var remote: [String: String]?
  public var address: String?
  public var ca_file: String?
  public var probe_path: String?
  public var timing: Timing?
  public var every_seconds: Int?
  public var cron: String?
  public var time_zone: String?
  public var secret: String?
  public init(connector: String) { self.connector = connector }

  func plan() throws(Fault) -> RotationPlan {
    var plan = RotationPlan(connector: connector)
    (plan.hook, plan.parameters, plan.remote) = (hook, parameters ?? [:], remote ?? [:])
    (plan.address, plan.authorityFile, plan.probePath) = (address, ca_file, probe_path)
    if let timing {
      plan.timing.shares = timing.shares ?? plan.timing.shares
      plan.timing.stage = timing.stage_seconds.map(Int64.init) ?? plan.timing.stage
      plan.timing.probe = timing.probe_seconds.map(Int64.init) ?? plan.timing.probe
      plan.timing.drain = timing.drain_seconds.map(Int64.init) ?? plan.timing.drain
      plan.timing.proof = timing.proof_seconds.map(Int64.init) ?? plan.timing.proof
      plan.timing.hold = timing.hold_seconds.map(Int64.init) ?? plan.timing.hold
    }
    plan.every = every_seconds.map(Int64.init)
    if let cron { plan.cron = try CronExpression(cron) }
    plan.timeZone = time_zone ?? "UTC"
    return plan
  }
}

/// How a provider key is replaced, and how far that is.
public struct RotationStateDocument: Codable, Sendable {
  public var provider_key: String
  public var connector: String
  public var hook: String?
  public var parameters: [String: String]
  public var remote: [String: String]
  public var address: String?
  public var every_seconds: Int?
  public var cron: String?
  public var time_zone: String?
  public var shares: [Int]
  public var stage_seconds: Int
  public var probe_seconds: Int
  public var drain_seconds: Int
  public var proof_seconds: Int
  public var hold_seconds: Int
  /// nil: nothing is under way.
  public var step: String?
  /// Percent of the key's requests that go out with the new secret.
  public var share: Int?
  public var from_version: Int?
  public var to_version: Int?
  public var started_at: String?
  public var step_at: String?
  public var next_attempt_at: String?
  public var because: String?

  init(_ id: RecordID, _ plan: RotationPlan, _ run: RotationRun?) {
    provider_key = id.description
    (connector, hook, parameters, remote, address) = (plan.connector, plan.hook, plan.parameters, plan.remote, plan.address)
    (every_seconds, cron, time_zone) = (plan.every.map { Int($0) }, plan.cron?.text, plan.timeZone)
    let t = plan.timing
    (shares, stage_seconds, probe_seconds) = (t.shares, Int(t.stage), Int(t.probe))
    (drain_seconds, proof_seconds, hold_seconds) = (Int(t.drain), Int(t.proof), Int(t.hold))
    guard let run else { return }
    (step, share, because) = (run.step.rawValue, run.share(of: run.to, plan.timing) ?? 0, run.because)
    (from_version, to_version) = (Int(run.from), Int(run.to))
    started_at = Timestamp(milliseconds: run.startedAt).rfc3339
    step_at = Timestamp(milliseconds: run.stepAt).rfc3339
    next_attempt_at = run.nextAttempt == 0 ? nil : Timestamp(milliseconds: run.nextAttempt).rfc3339
  }
}

/// A key that a person has made at the provider.
public struct PastedKeyDocument: Codable, Sendable {
  public var secret: String?
  public var remote: [String: String]?
  public init(secret: String? = nil, remote: [String: String]? = nil) { (self.secret, self.remote) = (secret, remote) }
}
