public import Providers
import Primitives

extension Snapshot {
  /// The most that a request can come to, and whether the client said how long the answer may be; nil where nothing depends on it.
  ///
  /// `reader` has read all of `body`. What can come to anything is refused, by name.
  public func bound(
    key: Int, endpoint: Endpoint, provider: Int, model: Span<UInt8>, reader: borrowing RequestReader, body: Span<UInt8>,
    isForm: Bool
  ) throws(Refusal) -> (bound: Bound?, wasSaid: Bool) {
    let counts = countsTokens(key: key)
    let limit = outputTokensMax(key: key)
    guard counts || limit != nil else { return (nil, true) }
    if endpoint.isFree {
      return (Bound(inputTokens: 0, outputTokens: 0, price: Self.free), true)
    }
    // A session goes on for as long as its two sides like.
    if endpoint.isSocket { throw counts ? .costUnbounded : .outputLimitUnclear }
    let price = price(provider: provider, model: model)
    if hasBudget(key: key), price == nil { throw .priceUnknown }
    var (output, wasSaid): (TokenCount, Bool) = (0, true)
    if endpoint.generates {
      guard let choices = reader.choices else { throw .outputLimitUnclear }
      switch reader.outputLimit {
      case .unclear: throw .outputLimitUnclear
      case .tokens(let n): output = min(n, limit.map { TokenCount($0) } ?? n)
      case .absent:
        // Where neither the policy nor the provider has a limit, only the request can bound the answer.
        guard let most = limit ?? price?.price.outputMax, reader.canLimitOutput else {
          throw counts ? .costUnbounded : .outputLimitUnclear
        }
        (output, wasSaid) = (TokenCount(min(most, price?.price.outputMax ?? most)), false)
      }
      output = output * choices
    }
    guard counts else { return (Bound(inputTokens: 0, outputTokens: output, price: price), wasSaid) }
    guard endpoint.generates || endpoint.kind == .embeddings, !isForm, !reader.runsInBackground else { throw .costUnbounded }
    // A token is a byte at least, and no request has more than the model's window.
    let bytes = TokenCount(clamping: body.count)
    let input: TokenCount
    switch BodyReach.of(body, endpoint.dialect) {
    case .itself: input = min(bytes, price?.price.inputMax.map { TokenCount($0) } ?? bytes)
    case .elsewhere:
      guard let most = price?.price.inputMax else { throw .costUnbounded }
      input = TokenCount(most)
    case .unbounded: throw .costUnbounded
    }
    return (Bound(inputTokens: input, outputTokens: output, price: price), wasSaid)
  }

  private static let free: Tariff = {
    var price = Price()
    (price.input, price.output) = (0, 0)
    return Tariff(price)
  }()
}
