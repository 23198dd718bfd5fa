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
      func cost(_ price: Tariff?) -> Int64 { price?.price.bound(inputTokens: input, outputTokens: output)?.count ?? .max }
      let isDearer = known.price != nil && (bound.price == nil || cost(bound.price) > cost(known.price))
      most.bound = Bound(inputTokens: input, outputTokens: output, price: isDearer ? bound.price : known.price)
    }
    return most
  }
}
