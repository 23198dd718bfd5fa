import Domain
import KeyService
import PolicyEngine
import Primitives
import Wire

// What would happen to a request, and why.
extension AdminAPI {
  func explain(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    let document: ExplainDocument = try decode(r)
    let request = try asked(document)
    let told: Explanation
    switch (document.key, document.policy) {
    case (let key?, nil): told = try service.explain(key: try recordID(key), request)
    case (nil, let policy?): told = try service.explain(policy: try policy.policy(providers: [Policy.any]), request)
    default: throw Fault(.invalidInput, "a key or a policy is wanted, and not both")
    }
    return try encode(ExplanationDocument(told))
  }

  private func asked(_ document: ExplainDocument) throws(Fault) -> AskedRequest {
    guard let method = Method.allCases.first(where: { "\($0.name)" == document.method }) else {
      throw Fault(.invalidInput, "that is no method", hint: "write it as GET or POST")
    }
    let target = Array(document.path.utf8)
    guard target.first == UInt8(ascii: "/"), target.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw Fault(.invalidInput, "that is no path", hint: "write it as /openai/v1/chat/completions")
    }
    var from: NetworkAddress?
    if let text = document.from {
      guard let address = NetworkAddress(text) else {
        throw Fault(.invalidInput, "that is no address", hint: "write it as 192.0.2.7 or 2001:db8::7")
      }
      from = address
    }
    return AskedRequest(
      method: method, target: target, body: Array((document.body ?? "").utf8),
      contentType: Array((document.content_type ?? "application/json").utf8), from: from,
      at: try moment(document.at) ?? service.now)
  }
}

extension ExplanationDocument {
  init(_ told: Explanation) {
    self.init(
      allowed: told.refusal == nil, refused_by: told.refusal.map { "\($0.code)" }, model: told.model.isEmpty ? nil : told.model,
      steps: told.steps.map { step in
        switch step.verdict {
        case .pass: Step(rule: step.rule, verdict: "pass", because: step.because)
        case .skip: Step(rule: step.rule, verdict: "skip", because: step.because)
        case .refuse(let refusal): Step(rule: "\(refusal.code)", verdict: "refuse", because: step.because)
        }
      })
  }
}
