import Audit
import Cryptography
import Domain
import FoundationEssentials
public import KeyService
public import Primitives

// Triggers, and reports of keys that were found.
extension AdminAPI {
  func listTriggers(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    return try page(r, of: Array(service.allTriggers()), by: \.key) { document($0.key, $0.value) }
  }

  func showTrigger(_ r: borrowing AdminRequest, _ name: String) throws(Fault) -> AdminResponse {
    try service.requireOpen()
    return try one(r, "trigger '\(name.prefix(64))'", service.allTriggers()[name].map { document(name, $0) })
  }

  private func document(_ name: String, _ trigger: Trigger) -> NamedTriggerDocument {
    NamedTriggerDocument(
      name: name, trigger: trigger,
      source: service.ownTriggers[name] == nil ? "shipped" : "own")
  }

  func setTrigger(_ r: borrowing AdminRequest, _ name: String) async throws(Fault) -> AdminResponse {
    let trigger = try (try decode(r) as TriggerDocument).trigger(
      besides: service.allTriggers()[name])
    try await service.setTrigger(name, trigger)
    return try encode(document(name, trigger))
  }

  func removeTrigger(_ r: borrowing AdminRequest, _ name: String) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try await service.removeTrigger(name)
    return AdminResponse(status: 204, body: [])
  }

  func replayTriggers(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    let document: ReplayDocument = try decode(r)
    var triggers = service.allTriggers()
    if let asked = document.trigger {
      triggers = [document.name ?? "asked": try asked.trigger(besides: document.name.flatMap { triggers[$0] })]
    } else if let name = document.name {
      guard let known = triggers[name] else {
        throw Fault(.notFound, "there is no trigger '\(name.prefix(64))'", hint: "see 'maskllm trigger list'")
      }
      triggers = [name: known]
    }
    await flushActivity()
    let verdicts = try await service.replay(triggers, from: try moment(document.from) ?? Timestamp(milliseconds: 0))
    return try encode(
      verdicts.map { verdict in
        VerdictDocument(
          trigger: verdict.trigger, key: verdict.key?.description, provider_key: verdict.providerKey?.description,
          at: verdict.at.rfc3339, because: verdict.because, then: triggers[verdict.trigger]!.then.rawValue)
      })
  }

  // MARK: leaks

  /// Takes reports in the form of GitHub's secret scanning partner program; answers with what each is.
  func reportLeaks(_ r: borrowing AdminRequest) async throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    return try await answerLeaks([UInt8](copying: r.body.span)).response
  }

  /// The same for a report that came over the gateway's own port.
  public func answerLeaks(_ body: [UInt8]) async throws(Fault) -> (response: AdminResponse, outcomes: [TriggerOutcome]) {
    guard let documents = try? JSONDecoder().decode([LeakReportDocument].self, from: Data(body)) else {
      throw Fault(
        .invalidInput, "a list of reports is wanted", hint: "send [{\"token\": \"mk_...\", \"url\": \"where it was found\"}]")
    }
    let (keys, outcomes) = try await service.reportLeaks(
      documents.map { LeakReport(token: Array($0.token.utf8), place: $0.url ?? "", source: $0.source ?? "") })
    let verdicts = zip(documents, keys).map { document, key in
      LeakVerdictDocument(
        token_raw: document.token, token_type: document.type ?? "maskllm_masked_key",
        label: key == nil ? "false_positive" : "true_positive")
    }
    return (try encode(verdicts), outcomes)
  }
}

/// A trigger as it is set; what is not there is as it was, or as shipped.
public struct TriggerDocument: Codable, Sendable {
  public var when: String?
  public var then: String?
  public var shadow: Bool?
  public var team: String?
  public var tag: String?
  public var learn_days: Int?
  public var count: Int?
  public var times: Int?
  public var days: Int?
  public var per_minute: Int?
  public var cooldown_seconds: Int?
  public init() {}

  func trigger(besides known: Trigger?) throws(Fault) -> Trigger {
    var trigger: Trigger
    if let when {
      guard let condition = Trigger.Condition(rawValue: when) else {
        let names = Trigger.Condition.allCases.map(\.rawValue).joined(separator: ", ")
        throw Fault(.invalidInput, "there is no such condition", hint: "use one of: \(names)")
      }
      trigger = known?.when == condition ? known! : Trigger.shipped.values.first { $0.when == condition } ?? Trigger(condition)
    } else {
      guard let known else { throw Fault(.invalidInput, "'when' is missing", hint: "say what the trigger is to look for") }
      trigger = known
    }
    if let then {
      guard let action = Trigger.Action(rawValue: then) else {
        let names = Trigger.Action.allCases.map(\.rawValue).joined(separator: ", ")
        throw Fault(.invalidInput, "there is no such action", hint: "use one of: \(names)")
      }
      if action != .throttle { trigger.perMinute = nil }
      trigger.then = action
    }
    trigger.isShadow = shadow ?? trigger.isShadow
    (trigger.team, trigger.tag) = (team ?? trigger.team, tag ?? trigger.tag)
    (trigger.learnDays, trigger.count) = (learn_days ?? trigger.learnDays, count ?? trigger.count)
    (trigger.times, trigger.days) = (times ?? trigger.times, days ?? trigger.days)
    trigger.perMinute = per_minute ?? trigger.perMinute
    trigger.cooldown = cooldown_seconds ?? trigger.cooldown
    return trigger
  }
}

/// A trigger with its name.
public struct NamedTriggerDocument: Codable, Sendable {
  public var name: String
  public var when: String
  public var then: String
  public var shadow: Bool
  public var team: String?
  public var tag: String?
  public var learn_days: Int?
  public var count: Int?
  public var times: Int?
  public var days: Int?
  public var per_minute: Int?
  public var cooldown_seconds: Int
  /// `shipped` or `own`.
  public var source: String

  init(name: String, trigger: Trigger, source: String) {
    self.name = name
    (when, then, shadow) = (trigger.when.rawValue, trigger.then.rawValue, trigger.isShadow)
    (team, tag, learn_days, count) = (trigger.team, trigger.tag, trigger.learnDays, trigger.count)
    (times, days, per_minute, cooldown_seconds) = (trigger.times, trigger.days, trigger.perMinute, trigger.cooldown)
    self.source = source
  }
}

/// What is to be replayed: all triggers, one by name, or one that is not set (yet).
public struct ReplayDocument: Codable, Sendable {
  public var from: String?
  public var name: String?
  public var trigger: TriggerDocument?
  public init(from: String?, name: String?, trigger: TriggerDocument?) {
    (self.from, self.name, self.trigger) = (from, name, trigger)
  }
}

/// What a trigger would have said.
public struct VerdictDocument: Codable, Sendable {
  public var trigger: String
  public var key: String?
  public var provider_key: String?
  public var at: String
  public var because: String
  public var then: String
}

/// A report that a key was found, as GitHub's secret scanning sends it. Unknown members are ignored: others write them.
public struct LeakReportDocument: Codable, Sendable {
  public var token: String
  public var type: String?
  public var url: String?
  public var source: String?
  public init(token: String, url: String?, source: String?) {
    (self.token, self.url, self.source) = (token, url, source)
  }
}

/// What became of a report, as GitHub's secret scanning reads it.
public struct LeakVerdictDocument: Codable, Sendable {
  public var token_raw: String
  public var token_type: String
  /// `true_positive`: it was one of our keys.
  public var label: String
}
