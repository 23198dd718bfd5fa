import Domain
public import Primitives
import Providers
public import Wire

/// What would happen to a request, rule by rule: by the same functions that decide it, each asked whatever the others said.
public struct Explanation: Sendable {
  public enum Verdict: Sendable, Equatable {
    case pass
    case refuse(Refusal)
    /// The rule does not concern the request.
    case skip
  }

  public struct Step: Sendable {
    public let rule: String
    public let verdict: Verdict
    /// What the rule looked at.
    public let because: String
  }

  public private(set) var steps: [Step] = []
  public internal(set) var model = ""
  /// The accounts that the request counts against, with the most it can come to. Only the ledger knows what is left there.
  public internal(set) var counted: [(account: Account, bound: Bound)] = []
  /// The first rule that refuses is the one that a client is told.
  public var refusal: Refusal? {
    for step in steps { if case .refuse(let refusal) = step.verdict { return refusal } }
    return nil
  }

  public init() {}

  public mutating func add(_ rule: String, _ because: String, _ verdict: Verdict) {
    steps.append(Step(rule: rule, verdict: verdict, because: because))
  }

  mutating func ask(_ rule: String, _ because: String, _ body: () throws(Refusal) -> Void) {
    do throws(Refusal) {
      try body()
      add(rule, because, .pass)
    } catch { add(rule, because, .refuse(error)) }
  }
}

/// A request that is only asked about.
public struct AskedRequest: Sendable {
  public var method: Wire.Method
  /// With the provider's name in front.
  public var target: [UInt8]
  public var body: [UInt8]
  public var contentType: [UInt8]
  public var from: NetworkAddress?
  public var at: Timestamp

  public init(method: Wire.Method, target: [UInt8], body: [UInt8], contentType: [UInt8], from: NetworkAddress?, at: Timestamp) {
    self.method = method
    self.target = target
    self.body = body
    self.contentType = contentType
    self.from = from
    self.at = at
  }
}

extension Snapshot {
  /// Decides `request` of the key at `index` without counting it.
  public func explain(key index: Int, _ request: AskedRequest) -> Explanation {
    var told = Explanation()
    told.ask("key", "is the key in force at \(request.at.rfc3339)?") { () throws(Refusal) in
      try decide(key: index, validAt: request.at)
    }
    let parts = GatewayTarget(request.target.span)
    let (name, path) = (
      [UInt8](copying: request.target.span.extracting(parts.provider)),
      [UInt8](copying: request.target.span.extracting(parts.path))
    )
    guard let upstream = upstream(named: name.span) else {
      told.add("provider", "there is no provider '\(text(name))'", .refuse(.unknownProvider))
      return told
    }
    guard let found = upstream.entry.endpoint(request.method, path.span) else {
      told.add("endpoint", "\(request.method.name) \(text(path)) is no endpoint that is passed", .refuse(.endpointNotAllowed))
      return told
    }
    let endpoint = found.endpoint
    told.ask("provider", "may it call '\(text(name))', and is there a key for it?") { () throws(Refusal) in
      _ = try decide(key: index, upstream: upstream)
    }
    told.ask("network", request.from == nil ? "the address is not given" : "does it come from a network of the key?") {
      () throws(Refusal) in
      try decide(key: index, from: request.from)
    }
    told.ask("hours", "is \(request.at.rfc3339) within the key's hours?") { () throws(Refusal) in
      try decide(key: index, at: request.at)
    }
    told.ask("endpoint", "may it use endpoints of class '\(endpoint.kind.name)'?") { () throws(Refusal) in
      try decide(key: index, endpoint: endpoint.kind)
    }
    let method = request.method.name
    told.ask("path", "may it use \(method) \(text(path))?") { () throws(Refusal) in
      try decide(key: index, method: method.span, path: path.span, name: found.model)
    }
    var model = JSONText()
    if endpoint.namesModelInPath { model = PathName.decoded(path.span.extracting(found.model)) }
    if !found.object.isEmpty {
      told.add("object", "it has to be one of the key's own: see 'maskllm object list --key ID'", .skip)
    }
    explainBody(index, request, upstream, endpoint, model, parts, &told)
    return told
  }

  private func explainBody(
    _ index: Int, _ request: AskedRequest, _ upstream: Upstream, _ endpoint: Endpoint, _ pathModel: JSONText,
    _ parts: GatewayTarget,
    _ told: inout Explanation
  ) {
    if !pathModel.isEmpty {
      told.model = text([UInt8](copying: pathModel.span))
      told.ask("model", "may it name '\(told.model)' in the path?") { () throws(Refusal) in
        try decide(key: index, model: pathModel.span)
      }
    }
    let reads = readsBody(key: index)
    if reads, let name = GatewayTarget.modelParameter(request.target.span.extracting(parts.query)) {
      told.add("model", "the query names a model, too: '\(text([UInt8](copying: name.span)))'", .refuse(.modelUnclear))
    }
    let most = bodyBytesMax(key: index)
    told.add(
      "body", "\(request.body.count) bytes\(most == .max ? "" : " of \(most)")",
      request.body.count > most ? .refuse(.bodyTooLarge) : .pass)
    guard reads, endpoint.method == .post, endpoint.namesModel else {
      told.add("model", "nothing depends on the model or the size of the answer", .skip)
      return explainCounting(index, upstream, pathModel, nil, &told)
    }
    var reader = RequestReader()
    reader.readAll(endpoint.dialect)
    let type = request.contentType.isEmpty ? MediaType() : MediaType(request.contentType.span)
    reader.isJSON = type.kind == .json
    reader.feed(request.body.span)
    let boundary =
      reader.isJSON
      ? [] : MultipartForm.boundary(contentType: request.contentType.span).map { Array(request.contentType[$0]) } ?? []
    let resolved = reader.resolved(
      endpoint, of: upstream.entry, type, pathModel: pathModel, body: request.body.span, boundary: boundary.span)
    guard let named = explainModels(index, resolved, &told) else { return }
    let model = named.own
    do throws(Refusal) {
      let (bound, wasSaid) = try self.bound(
        key: index, endpoint: endpoint, provider: upstream.index, model: model.span, others: named.others, reader: reader,
        body: request.body.span,
        isForm: !boundary.isEmpty)
      if let bound {
        let price = bound.price?.price.bound(inputTokens: bound.inputTokens, outputTokens: bound.outputTokens)
        told.add(
          "bound",
          "at most \(bound.inputTokens) tokens in and \(bound.outputTokens) out\(wasSaid ? "" : ", which is then asked for")"
            + (price.map { ", at most \($0.dollars) USD" } ?? ""), .pass)
      }
      explainCounting(index, upstream, model, bound, &told)
    } catch { told.add("bound", "what can the request come to?", .refuse(error)) }
  }

  private func explainModels(_ index: Int, _ resolved: Result<NamedModels, Unclear>, _ told: inout Explanation) -> NamedModels? {
    switch resolved {
    case .failure(let unclear):
      let name = unclear.subject.isEmpty ? "" : " '\(text([UInt8](copying: unclear.subject.span)))'"
      told.add("model", "\(unclear.sentence)\(name)", .refuse(.modelUnclear))
      return nil
    case .success(let named):
      told.model = text([UInt8](copying: named.own.span))
      guard restrictsModels(key: index) else { return named }
      for model in [named.own] + named.others {
        told.ask("model", "may it name '\(text([UInt8](copying: model.span)))'?") { () throws(Refusal) in
          try decide(key: index, model: model.span)
        }
      }
      return named
    }
  }

  /// What is at hand now; the ledger may have more.
  private func explainCounting(
    _ index: Int, _ upstream: Upstream, _ model: JSONText, _ bound: Bound?, _ told: inout Explanation
  ) {
    let now = monotonicNanoseconds()
    for isTokens in [false, true] {
      guard let reading = reading(key: index, ofTokens: isTokens, now: now) else { continue }
      let need: TokenCount = isTokens ? (bound?.inputTokens ?? 0) + (bound?.outputTokens ?? 0) : 1
      let isEnough = isTokens ? reading.remaining > 0 && need <= TokenCount(reading.limit) : reading.remaining > 0
      told.add(
        "limit", "\(reading.remaining) of \(reading.limit) \(isTokens ? "tokens" : "requests") are left in the tightest window",
        isEnough ? .pass : .refuse(isTokens ? .tokensLimited : .rateLimited))
    }
    for allowance in [allowance(ofKey: index), allowance(ofTeam: index), everyone] {
      for entry in allowance?.accounts ?? [] where entry.counts(provider: upstream.index, model: model.span) {
        told.counted.append((entry.account, bound ?? Bound(inputTokens: 0, outputTokens: 0, price: nil)))
      }
    }
  }

  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
