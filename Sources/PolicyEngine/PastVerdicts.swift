public import Domain
public import Primitives
public import Providers

/// What the scopes of policies together would have said of requests that were. By the same compiled rules as decisions; of paths, which the
/// record does not have, it says nothing. Limits are `PastLimits`.
public struct PastVerdicts: Sendable {
  private let policy: CompiledPolicy
  private let providers: [String: Int]
  /// Per provider, whether it has a key that may be used; nil where it has none at all, which no policy changes.
  private let hasKey: [Bool?]

  public init(_ policies: [Policy], _ upstreams: [Upstream]) {
    policy = CompiledPolicy(policies, upstreams)
    providers = Dictionary(upstreams.enumerated().map { ($0.element.provider.name, $0.offset) }) { first, _ in first }
    hasKey = upstreams.enumerated().map { [policy] index, upstream in
      upstream.credentials.isEmpty ? nil : upstream.credentials.indices.contains { policy.allows(credential: $0, of: index) }
    }
  }

  /// nil: as many as the provider gives.
  public var outputTokensMax: Int64? { policy.outputTokensMax }

  /// The first rule that would refuse; nil when none would. An empty `model` is one that was not named.
  public func refusal(
    provider: String, model: Span<UInt8>, endpoint: EndpointClass?, from address: NetworkAddress?, at moment: Timestamp,
    bodyBytes: Int
  ) -> Refusal? {
    guard let index = providers[provider] else { return .unknownProvider }
    guard policy.allows(provider: index) else { return .providerNotAllowed }
    guard hasKey[index] ?? true else { return .noUsableProviderKey }
    guard policy.allows(from: address) else { return .networkNotAllowed }
    guard policy.allows(at: moment) else { return .hoursNotAllowed }
    guard moment.milliseconds >= policy.notBefore else { return .notYetValidKey }
    guard endpoint.map({ policy.allows(endpoint: $0) }) ?? policy.allowsEveryEndpoint else { return .endpointNotInScope }
    guard bodyBytes <= policy.bodyBytesMax else { return .bodyTooLarge }
    guard model.isEmpty || policy.allows(model: model) else { return .modelNotAllowed }
    return nil
  }
}
