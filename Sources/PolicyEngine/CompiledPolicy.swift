import Domain
import Primitives
import Providers

/// A policy with its names resolved to positions and bits.
struct CompiledPolicy: Sendable {
  private let providers: [Bool]
  private let endpoints: UInt32
  private let allowed: [[UInt8]]
  private let denied: [[UInt8]]
  let allowsEveryEndpoint: Bool
  /// Whether the model has to be known before a request may go on.
  let restrictsModels: Bool
  /// nil: from anywhere.
  private let networks: [Network]?
  /// Milliseconds since 1970.
  let notBefore: Int64
  let bodyBytesMax: Int

  init(_ policy: Policy, _ upstreams: [Upstream]) {
    let all = policy.providers.contains(Policy.any)
    providers = upstreams.map { all || policy.providers.contains($0.provider.name) }
    endpoints = EndpointClass.allCases.reduce(0) { bits, kind in
      policy.endpoints.contains(Policy.any) || policy.endpoints.contains("\(kind.name)")
        ? bits | 1 << UInt32(kind.rawValue) : bits
    }
    allowsEveryEndpoint = EndpointClass.allCases.count == endpoints.nonzeroBitCount
    allowed = policy.models.map { Array($0.utf8) }
    denied = policy.deniedModels.map { Array($0.utf8) }
    restrictsModels = policy.restrictsModels
    // A row that does not read as a network permits nothing.
    networks = policy.networks.contains(Policy.any) ? nil : policy.networks.compactMap { Network($0) }
    notBefore = policy.notBefore ?? .min
    bodyBytesMax = policy.bodyBytesMax ?? .max
  }

  func allows(provider index: Int) -> Bool { providers[index] }

  func allows(endpoint kind: EndpointClass) -> Bool { endpoints >> UInt32(kind.rawValue) & 1 == 1 }

  var isFromAnywhere: Bool { networks == nil }

  /// An address that is not known is in no network.
  func allows(from address: NetworkAddress?) -> Bool {
    guard let networks else { return true }
    guard let address else { return false }
    return networks.contains { $0.contains(address) }
  }

  /// Denial wins over permission.
  func allows(model name: Span<UInt8>) -> Bool { !Self.any(of: denied, match: name) && Self.any(of: allowed, match: name) }

  private static func any(of globs: [[UInt8]], match name: Span<UInt8>) -> Bool {
    for glob in globs where ModelGlob.matches(glob.span, name) { return true }
    return false
  }
}
