import Audit
import Domain
import Primitives
import Providers
import Storage
import Wire

/// What is known of texts and numbers beyond their type. Never narrower than what the code takes.
enum ShapeFacets {
  private static let id: [String: JSONTree] = ["pattern": "^[0-9A-Za-z]{12}$"]
  private static let time: [String: JSONTree] = ["format": "date-time"]
  private static let documentName: [String: JSONTree] = ["pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"]
  private static let providerName: [String: JSONTree] = ["pattern": "^[a-z0-9][a-z0-9-]{0,39}$"]
  private static let label: [String: JSONTree] = ["minLength": 1, "maxLength": .integer(Label.lengthMax)]
  private static let dollars: [String: JSONTree] = ["pattern": "^-?[0-9]+(\\.[0-9]+)?$"]

  private static func oneOf(_ names: some Sequence<String>) -> [String: JSONTree] { ["enum": .list(names.map { .text($0) })] }

  /// Of the member `name` of the document `object`.
  static func text(_ object: String, _ name: String) -> [String: JSONTree] {
    switch (object, name) {
    case ("NewToken", "role"), ("Token", "role"): oneOf(AdminRole.allCases.map(\.rawValue))
    case ("Trigger", "when"), ("NamedTrigger", "when"): oneOf(Trigger.Condition.allCases.map(\.rawValue))
    case ("Trigger", "then"), ("NamedTrigger", "then"): oneOf(Trigger.Action.allCases.map(\.rawValue))
    case ("AlertChannel", "kind"): oneOf(AlertChannel.Kind.allCases.map(\.rawValue))
    case (_, "severity"): oneOf(Severity.allCases.map(\.name))
    case ("Silence", "until"), ("CaptureSetting", "until"): time
    case ("Destination", "kind"): oneOf(Destination.Kind.allCases.map(\.rawValue))
    case ("Budget", "window"): oneOf(Budget.Window.allCases.map(\.rawValue))
    case ("Explain", "method"): oneOf(Method.allCases.map { "\($0.name)" })
    case ("Policy", "endpoints"): oneOf(EndpointClass.allCases.map { "\($0.name)" } + [Policy.any])
    case ("NewProvider", "name"): providerName
    case ("NewKey", "name"), (_, "reason"), ("NewToken", "name"): label
    case ("NewKey", "team"), ("NewKey", "shared_policy"), ("Grant", "team"), ("Grant", "shared_policy"): documentName
    case ("GivenObject", "key"), ("GivenObject", "provider_key"), ("Explain", "key"), ("Budget", "key"), ("PolicyReplay", "key"):
      id
    case (_, "issued_before"), (_, "not_before"), ("Raise", "until"), ("Explain", "at"), ("Replay", "from"): time
    case (_, "usd"): dollars
    default: name.hasSuffix("_at") ? time : [:]
    }
  }

  static func number(_ object: String, _ name: String) -> [String: JSONTree] {
    switch (object, name) {
    case ("Throttle", "requests_per_minute"): ["minimum": 1, "maximum": 1_000_000]
    case ("PolicyReplay", "days"): ["minimum": 1, "maximum": 366]
    case ("NewKey", "count"): ["minimum": 1, "maximum": 1000]
    case ("Revocation", "version"): ["minimum": 1]
    default: [:]
    }
  }

  /// Of a path's segment.
  static func segment(_ name: String, at path: String) -> JSONTree {
    let facets: [String: JSONTree] =
      switch name {
      case "id", "provider_key": id
      case "kind": oneOf(["key", "policy", "team"])
      case "provider", "list": providerName
      case "number": ["pattern": "^[1-9][0-9]{0,17}$"]
      case "name": path.hasPrefix("/v1/providers/") ? providerName : documentName
      default: ["minLength": 1]
      }
    return (["type": "string"] as JSONTree).with(facets)
  }

  /// Of the cursor of a list. Whoever follows links need not know.
  static func cursor(at path: String) -> JSONTree {
    let known: JSONTree = ["type": "string", "description": "The cursor of the page before, as its link has it."]
    return switch path {
    case "/v1/keys": known.with(["pattern": "^[0-9]{1,13}-[0-9A-Za-z]{12}$"])
    case "/v1/activity", "/v1/activity/export": known.with(["pattern": "^[0-9]{1,13}-[0-9]{1,18}-[0-9]{1,9}$"])
    case "/v1/audit", "/v1/audit/export", "/v1/captures": known.with(["pattern": "^[1-9][0-9]{0,17}$"])
    case "/v1/objects": known.with(["pattern": "^[0-9]{1,13}/[^/]*/"])
    default: known
    }
  }

  private static let members = UsageQuery.Member.allCases.map(\.rawValue).joined(separator: "|")

  /// Of a parameter.
  static func query(_ name: String, at path: String) -> JSONTree {
    let facets: [String: JSONTree] =
      switch name {
      case "key": id
      case "from", "to", "since", "until": time
      case "number_above": ["pattern": "^[0-9]{1,18}$"]
      case "days": ["pattern": "^([1-9]|[1-9][0-9]|[12][0-9][0-9]|3[0-5][0-9]|36[0-6])$"]
      case "span": oneOf(UsageRow.Span.allCases.map(\.name))
      case "by": ["pattern": .text("^(\(members))(,(\(members)))*$")]
      case "outcome": oneOf(Outcome.allCases.map(\.name))
      case "endpoint": oneOf(EndpointClass.allCases.map { "\($0.name)" })
      case "status": ["pattern": "^[1-5]([0-9][0-9]|xx)$"]
      case "format" where path == "/v1/activity/export": oneOf(["jsonl", "csv"])
      case "format" where path == "/v1/audit/export": oneOf(["jsonl", "cef"])
      case "state" where path == "/v1/alerts": oneOf(Alert.State.allCases.map(\.rawValue))
      case "state": oneOf(MaskedKey.State.allCases.map(\.rawValue) + ["expired"])
      case "provider" where path == "/v1/provider-keys": providerName
      default: [:]
      }
    return (["type": "string"] as JSONTree).with(facets)
  }
}
