import Primitives
public import Providers

extension Snapshot {
  /// The most that a request can come to whichever of the models that it names answers: `model`, or one of `others`.
  public func bound(
    key: Int, endpoint: Endpoint, provider: Int, model: Span<UInt8>, others: [JSONText], reader: borrowing RequestReader,
    body: Span<UInt8>, isForm: Bool
  ) throws(Refusal) -> (bound: Bound?, wasSaid: Bool) {
    var most = try bound(
      key: key, endpoint: endpoint, provider: provider, model: model, reader: reader, body: body, isForm: isForm)
    for other in others {
      let next = try bound(
        key: key, endpoint: endpoint, provider: provider, model: other.span, reader: reader, body: body, isForm: isForm)
      guard let known = most.bound, let bound = next.bound else { continue }
      let (input, output) = (max(known.inputTokens, bound.inputTokens), max(known.outputTokens, bound.outputTokens))
      let candidates = [known, bound].map { Bound(inputTokens: input, outputTokens: output, price: $0.price) }
      let costs = candidates.map { $0.amount(.nanoDollars) }
      // What has no price is dearer than anything that has one.
      guard let first = costs[0], let second = costs[1] else {
        most.bound = costs[0] == nil ? candidates[0] : candidates[1]
        continue
      }
      most.bound = second > first ? candidates[1] : candidates[0]
    }
    return most
  }
}
