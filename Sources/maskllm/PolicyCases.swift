import AdminAPI
import Configuration
import Domain
import Primitives

/// A file of requests and what is expected to become of them.
///
/// A list under `cases`, each with `expect` (`allowed`, or the name of the rule that refuses), `key` (ID or name) or `policy`, and
/// what `explain` takes: `method`, `path`, `body` or `model`, `from`, `at`.
struct PolicyCases {
  struct Case {
    var name = ""
    var line = 0
    var expected = ""
    var key: String?
    var request = ExplainDocument(method: "POST", path: "")
  }

  struct Result: Encodable {
    let name, expected, got: String
    let line: Int
    let ok: Bool
    init(_ one: Case, got: String) {
      (name, expected, self.got, line, ok) = (one.name, one.expected, got, one.line, one.expected == got)
    }
  }

  static func read(_ bytes: [UInt8], name: String) throws(Fault) -> [Case] {
    func fault(_ line: Int, _ what: String) -> Fault { Fault(.invalidInput, "\(name), line \(line): \(what)") }
    let root = try YAMLNode.parse(bytes, name: name)
    guard case .mapping(let members) = root.value, members.count == 1, members[0].name == "cases",
      case .sequence(let items) = members[0].value.value
    else { throw fault(root.line, "a list 'cases' is wanted, and nothing else") }
    var cases: [Case] = []
    for item in items {
      guard case .mapping(let fields) = item.value else { throw fault(item.line, "a case with 'expect' and 'path' is wanted") }
      var one = Case()
      one.line = item.line
      for (field, line, node) in fields {
        if field == "policy" {
          one.request.policy = try policy(node, name)
          continue
        }
        guard case .scalar(let text) = node.value else { throw fault(line, "'\(field)' is one value") }
        switch field {
        case "name": one.name = text
        case "expect": one.expected = text
        case "key": one.key = text
        case "method": one.request.method = text
        case "path": one.request.path = text
        case "body": one.request.body = text
        case "content_type": one.request.content_type = text
        case "model":
          guard !text.contains("\""), !text.contains("\\") else { throw fault(line, "a model with quotes has to be in a 'body'") }
          one.request.body = "{\"model\":\"\(text)\",\"max_tokens\":1,\"messages\":[]}"
        case "from": one.request.from = text
        case "at": one.request.at = text
        default: throw fault(line, "there is no '\(field)' in a case")
        }
      }
      guard !one.expected.isEmpty, !one.request.path.isEmpty else { throw fault(item.line, "a case has 'expect' and 'path'") }
      guard (one.key == nil) != (one.request.policy == nil) else { throw fault(item.line, "a case has a 'key' or a 'policy'") }
      if one.name.isEmpty { one.name = "\(one.request.method) \(one.request.path)" }
      cases.append(one)
    }
    return cases
  }

  private static func policy(_ node: YAMLNode, _ name: String) throws(Fault) -> PolicyDocument {
    func fault(_ line: Int, _ what: String) -> Fault { Fault(.invalidInput, "\(name), line \(line): \(what)") }
    guard case .mapping(let fields) = node.value else { throw fault(node.line, "a policy is a mapping") }
    var policy = PolicyDocument()
    for (field, line, value) in fields {
      func list() throws(Fault) -> [String] {
        switch value.value {
        case .scalar(let text): return [text]
        case .sequence(let items):
          var texts: [String] = []
          for item in items {
            guard case .scalar(let text) = item.value else { throw fault(item.line, "one value is wanted") }
            texts.append(text)
          }
          return texts
        case .mapping: throw fault(line, "'\(field)' is a list")
        }
      }
      func number(_ node: YAMLNode) throws(Fault) -> Int {
        guard case .scalar(let text) = node.value, let n = ASCII.decimal(Array(text.utf8).span) else {
          throw fault(node.line, "'\(field)' is a number")
        }
        return n
      }
      switch field {
      case "providers": policy.providers = try list()
      case "models": policy.models = try list()
      case "denied_models": policy.denied_models = try list()
      case "endpoints": policy.endpoints = try list()
      case "paths": policy.paths = try list()
      case "networks": policy.networks = try list()
      case "hours": policy.hours = try list()
      case "not_before": policy.not_before = try list().first
      case "body_bytes_max": policy.body_bytes_max = try number(value)
      case "output_tokens_max": policy.output_tokens_max = try number(value)
      case "limits":
        guard case .mapping(let limits) = value.value else { throw fault(line, "'limits' is a mapping") }
        var all = Limits()
        for (name, line, count) in limits {
          if name == "concurrent" {
            all.concurrent = try number(count)
          } else if let limit = Limit(name: name) {
            all.counts[limit] = try number(count)
          } else {
            throw fault(line, "there is no limit '\(name)'")
          }
        }
        policy.limits = all
      default: throw fault(line, "there is no '\(field)' in a policy")
      }
    }
    return policy
  }
}
