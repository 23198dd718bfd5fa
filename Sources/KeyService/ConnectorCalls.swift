import Cryptography
import Domain
import FoundationEssentials
import PolicyEngine
import Primitives
import Providers
import Vault

/// A key that was made at a provider, and what the provider calls it.
final class MadeKey: Sendable {
  let secret: SecretBytes
  let remote: [String: String]
  init(secret: consuming SecretBytes, remote: [String: String]) {
    self.secret = secret
    self.remote = remote
  }
}

/// Makes a connector's calls for one provider key.
struct ConnectorCalls {
  let connector: RotationConnector
  let plan: RotationPlan
  let credential: Credential
  let outside: any Outside
  let now: Timestamp

  private var origin: String { plan.address ?? connector.baseURL.text }

  /// What a new key is called at the provider: the same at every attempt, so that one that was made before a crash is found.
  static func name(_ key: RecordID, version: UInt32) -> String { "maskllm-\(key)-v\(version)" }

  // MARK: actions

  /// Makes a key. Returns its secret and what the provider calls it.
  func create(named name: String) async throws(Fault) -> MadeKey {
    var values = values(["name": name])
    if let idle = connector.slots.first(where: { $0.name != plan.remote["slot"] ?? connector.slots[0].name }) {
      (values["idle"], values["idle_place"]) = (idle.name, idle.place)
    }
    for call in connector.calls[.create] ?? [] {
      let answer = try await answer(call, &values)
      try take(call, from: answer, &values)
    }
    guard let secret = values.removeValue(forKey: "secret"), !secret.isEmpty else {
      throw Fault(.unavailable, "\(connector.title) made a key and did not say what it is")
    }
    // Only names go on: what has a part of the secret in it is used up.
    let kept = ["account", "key", "hash", "id", "access", "slot"]
    return MadeKey(
      secret: SecretBytes(copying: Array(secret.utf8).span),
      remote: values.filter { kept.contains($0.key) && plan.parameters[$0.key] == nil })
  }

  /// Keys of that name, or made since the rotation began: leavings of an attempt that nobody knows the end of.
  func strays(named name: String, since start: Timestamp) async throws(Fault) -> [[String: String]] {
    guard let call = connector.calls[.find]?.first, let list = call.list else { return [] }
    var values = values(["name": name])
    let answer = try await answer(call, &values)
    var found: [[String: String]] = []
    for item in answer.items(list) {
      if let named = call.named, item.text(named) != name { continue }
      if let since = call.since {
        guard let made = item.moment(since), made.milliseconds >= start.milliseconds / 1000 * 1000 else { continue }
      }
      var taken: [String: String] = [:]
      for (place, text, _) in call.takes { taken[place] = item.text(text) }
      if let not = call.not, taken[not] == nil || taken[not] == plan.remote[not] { continue }
      found.append(taken)
    }
    return found
  }

  /// When the provider last saw the key in use; nil where it does not say, or never did.
  func lastUse(of remote: [String: String]) async throws(Fault) -> Timestamp? {
    guard let call = connector.calls[.used]?.first, let at = call.at else { return nil }
    var values = values(remote)
    let answer = try await answer(call, &values)
    guard let list = call.list else { return answer.moment(at) }
    guard let equals = call.equals else { return nil }
    let text = try fill(equals.text, values)
    return answer.items(list).first { $0.text(equals.field) == text }?.moment(at)
  }

  /// Switches a key off or on, or deletes it. One that is not there any more is deleted already.
  func end(_ action: RotationConnector.Action, _ remote: [String: String]) async throws(Fault) {
    for call in connector.calls[action] ?? [] {
      var values = values(remote)
      _ = try await answer(call, &values, isGoneRight: action == .delete)
    }
  }

  // MARK: calls

  private func values(_ more: [String: String]) -> [String: String] { plan.parameters.merging(more) { $1 } }

  private func fill(_ text: String, _ values: [String: String]) throws(Fault) -> String {
    var out = text
    for (name, value) in values { out.replace("{\(name)}", with: value) }
    // What is still in braces is nobody's, unless it is JSON.
    if let open = out.firstIndex(of: "{"), !text.hasPrefix("{") {
      throw Fault(
        .invalidInput, "'\(out[open...].prefix(40))' of connector '\(connector.name)' is not known",
        hint: "give it with --parameter or --remote")
    }
    return out
  }

  /// Asks again after so many milliseconds where an answer says that it takes a while.
  private static let pollsMax = 20

  private func answer(_ call: RotationConnector.Call, _ values: inout [String: String], isGoneRight: Bool = false)
    async throws(Fault)
    -> ConnectorAnswer
  {
    for _ in 0..<Self.pollsMax {
      let body = Array(try fill(call.body, values).utf8)
      let url = origin + (try fill(call.path, values))
      let request = try await request(call, url, body)
      let answer = try await outside.call(request)
      if isGoneRight, answer.status == 404 { return ConnectorAnswer(answer.body) }
      guard (200..<300).contains(answer.status) else {
        // The body can have anything in it, and is not repeated.
        throw Fault(
          [401, 403].contains(answer.status) ? .forbidden : .unavailable,
          "\(connector.title) answered \(answer.status) to \(call.method) \(call.path)")
      }
      let parsed = ConnectorAnswer(answer.body)
      guard let until = call.until, parsed.text(until) != "true" else { return parsed }
      try await outside.pause(milliseconds: 500)
    }
    throw Fault(.unavailable, "\(connector.title) takes too long")
  }

  private func request(_ call: RotationConnector.Call, _ url: String, _ body: [UInt8]) async throws(Fault) -> OutboundRequest {
    var headers: [(name: String, value: String)] = connector.headers
    if let type = call.contentType { headers.append(("content-type", type)) }
    if let signer = credential.signer {
      return try credential.withSecretCopy { (secret) throws(Fault) in
        try AmazonCall.request(
          url: url, service: String(decoding: signer.service, as: UTF8.self),
          region: String(decoding: signer.region, as: UTF8.self), credential: secret, now: now, body: body, headers: headers,
          authorityFile: plan.authorityFile)
      }
    }
    var line: [UInt8]
    if credential.token == nil {
      let own = credential.line.copy()
      line = [UInt8](copying: own.span)
    } else {
      line = try await outside.tokenLine(for: credential, authorityFile: plan.authorityFile)
    }
    defer { wipe(&line) }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
      throw Fault(.invalidInput, "a credential of that style cannot be presented there")
    }
    var sent = headers.map { (name: $0.name, value: Array($0.value.utf8)) }
    sent.append(
      (
        String(decoding: line[..<colon], as: UTF8.self),
        Array(line[(colon + 1)...].filter { $0 != 13 && $0 != 10 }.drop { $0 == 32 })
      ))
    return OutboundRequest(call.method, url, headers: sent, body: body, authorityFile: plan.authorityFile)
  }

  private func take(_ call: RotationConnector.Call, from answer: ConnectorAnswer, _ values: inout [String: String]) throws(Fault)
  {
    for (name, place, isText) in call.takes {
      let text = isText ? try fill(place, values) : answer.text(try fill(place, values))
      guard let text, !text.isEmpty else {
        throw Fault(.unavailable, "\(connector.title) did not say '\(name)' in answer to \(call.method) \(call.path)")
      }
      values[name] = text
    }
  }
}

/// An answer, or an item of a list in one: JSON, or the flat XML of AWS's query protocol.
struct ConnectorAnswer {
  private let json: JSONValue?
  private let xml: Substring

  init(_ body: [UInt8]) {
    json = try? JSONDecoder().decode(JSONValue.self, from: Data(body))
    xml = json == nil ? Substring(String(decoding: body, as: UTF8.self)) : ""
  }

  private init(_ json: JSONValue?, _ xml: Substring) { (self.json, self.xml) = (json, xml) }

  /// What stands at a path (`a.b`) in JSON, or in the first `<Element>` in XML.
  func text(_ place: String) -> String? {
    if place.hasPrefix("<") { return Self.element(place, in: xml).map { String($0.content) } }
    var value = json
    for name in place.split(separator: ".") {
      guard case .object(let members) = value else { return nil }
      value = members[String(name)]
    }
    switch value {
    case .text(let text): return text
    case .number(let number): return number
    case .bool(let isTrue): return isTrue ? "true" : "false"
    default: return nil
    }
  }

  func moment(_ place: String) -> Timestamp? {
    guard let text = text(place) else { return nil }
    if let seconds = Int64(text.prefix { $0 != "." }) { return Timestamp(seconds: seconds) }
    // Fractions of other lengths than ours are cut to the second.
    let whole = text.count > 19 ? "\(text.prefix(19))Z" : text
    return Timestamp(rfc3339: text) ?? Timestamp(rfc3339: whole)
  }

  func items(_ place: String) -> [ConnectorAnswer] {
    if place.hasPrefix("<") {
      var items: [ConnectorAnswer] = []
      var rest = xml
      while let (content, after) = Self.element(place, in: rest) {
        items.append(ConnectorAnswer(nil, content))
        rest = after
      }
      return items
    }
    var value = json
    for name in place.split(separator: ".") {
      guard case .object(let members) = value else { return [] }
      value = members[String(name)]
    }
    guard case .list(let items) = value else { return [] }
    return items.map { ConnectorAnswer($0, "") }
  }

  private static func element(_ tag: String, in text: Substring) -> (content: Substring, after: Substring)? {
    guard let start = text.firstRange(of: tag), let end = text[start.upperBound...].firstRange(of: "</\(tag.dropFirst())") else {
      return nil
    }
    return (text[start.upperBound..<end.lowerBound], text[end.upperBound...])
  }
}

/// JSON of a shape that is not known beforehand.
indirect enum JSONValue: Decodable {
  case object([String: JSONValue])
  case list([JSONValue])
  case text(String)
  case number(String)
  case bool(Bool)
  case null

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let it = try? value.decode(Bool.self) {
      self = .bool(it)
    } else if let it = try? value.decode(Int64.self) {
      self = .number("\(it)")
    } else if let it = try? value.decode(Double.self) {
      self = .number("\(it)")
    } else if let it = try? value.decode(String.self) {
      self = .text(it)
    } else if let it = try? value.decode([JSONValue].self) {
      self = .list(it)
    } else {
      self = .object(try value.decode([String: JSONValue].self))
    }
  }
}
