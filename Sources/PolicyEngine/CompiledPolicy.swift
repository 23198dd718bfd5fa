import Domain
import Primitives
import Providers

/// What several policies permit together, with names resolved to positions and bits. A class, because a copy of its lists for each
/// question would cost more than the answer.
final class CompiledPolicy: Sendable {
  private struct Models: Sendable {
    let allowed: [[UInt8]]
    let denied: [[UInt8]]
  }
  private struct Opening: Sendable {
    let hours: Hours
    let rules: ZoneRules
  }

  private let providers: [Bool]
  /// Per provider, which of its credentials may be used.
  private let credentials: [[Bool]]
  private let endpoints: UInt32
  // One entry for each policy that restricts its kind; what is asked for has to pass all of them.
  private let models: [Models]
  private let paths: [[PathTemplate]]
  private let networks: [[Network]]
  private let hours: [[Opening]]
  let allowsEveryEndpoint: Bool
  /// Milliseconds since 1970.
  let notBefore: Int64
  let bodyBytesMax: Int
  /// nil: as many as the provider gives.
  let outputTokensMax: Int64?

  /// An entry that cannot be read permits nothing.
  init(_ policies: [Policy], _ upstreams: [Upstream]) {
    providers = upstreams.map { upstream in
      policies.allSatisfy { $0.providers.contains(Policy.any) || $0.providers.contains(upstream.provider.name) }
    }
    credentials = upstreams.map { upstream in
      upstream.credentials.map { credential in
        policies.allSatisfy { policy in
          policy.providerKeyTags.contains(Policy.any) || policy.providerKeyTags.contains { credential.pool.tags.contains($0) }
        }
      }
    }
    endpoints = EndpointClass.allCases.reduce(0) { bits, kind in
      policies.allSatisfy { $0.endpoints.contains(Policy.any) || $0.endpoints.contains("\(kind.name)") }
        ? bits | 1 << UInt32(kind.rawValue) : bits
    }
    allowsEveryEndpoint = EndpointClass.allCases.count == endpoints.nonzeroBitCount
    models = policies.filter(\.restrictsModels).map { policy in
      Models(allowed: policy.models.map { Array($0.utf8) }, denied: policy.deniedModels.map { Array($0.utf8) })
    }
    func restricting<Entry>(_ list: KeyPath<Policy, [String]>, _ read: (String) -> Entry?) -> [[Entry]] {
      policies.map { $0[keyPath: list] }.filter { !$0.contains(Policy.any) }.map { $0.compactMap(read) }
    }
    paths = restricting(\.paths) { PathTemplate($0) }
    networks = restricting(\.networks) { Network($0) }
    hours = restricting(\.hours) { text in
      Hours(text).flatMap { hours in (try? ZoneRules(named: hours.zone)).map { Opening(hours: hours, rules: $0) } }
    }
    notBefore = policies.compactMap(\.notBefore).max() ?? .min
    bodyBytesMax = policies.compactMap(\.bodyBytesMax).min() ?? .max
    outputTokensMax = policies.compactMap(\.outputTokensMax).min().map(Int64.init)
  }

  func allows(provider index: Int) -> Bool { providers[index] }

  func allows(credential position: Int, of provider: Int) -> Bool { credentials[provider][position] }

  func allows(endpoint kind: EndpointClass) -> Bool { endpoints >> UInt32(kind.rawValue) & 1 == 1 }

  var restrictsModels: Bool { !models.isEmpty }
  var restrictsPaths: Bool { !paths.isEmpty }
  var isFromAnywhere: Bool { networks.isEmpty }

  /// An address that is not known is in no network.
  func allows(from address: NetworkAddress?) -> Bool {
    guard let address else { return networks.isEmpty }
    return networks.allSatisfy { list in list.contains { $0.contains(address) } }
  }

  func allows(method: Span<UInt8>, path: Span<UInt8>, name: Range<Int>) -> Bool {
    for list in paths {
      var isAllowed = false
      for template in list where template.matches(method, path, name: name) { isAllowed = true }
      if !isAllowed { return false }
    }
    return true
  }

  func allows(at now: Timestamp) -> Bool {
    guard !hours.isEmpty else { return true }
    let second = now.milliseconds.floorDivided(by: 1000)
    return hours.allSatisfy { list in
      list.contains { span in
        let local = second + span.rules.offset(at: second)
        let day = local.floorDivided(by: 86_400)
        // 1970-01-01 was a Thursday.
        let weekday = (day + 3) - (day + 3).floorDivided(by: 7) * 7
        return span.hours.contains(day: Int(weekday), minute: Int((local - day * 86_400) / 60))
      }
    }
  }

  /// Denial wins over permission.
  func allows(model name: Span<UInt8>) -> Bool {
    for rule in models where ModelGlob.any(of: rule.denied, match: name) || !ModelGlob.any(of: rule.allowed, match: name) {
      return false
    }
    return true
  }
}
