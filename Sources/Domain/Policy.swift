public import Primitives

/// What a masked key may do. Default deny: an empty list permits nothing.
public struct Policy: Equatable, Sendable, Codable {
  /// Names of the providers that may be called; `"*"` stands for all of them.
  public var providers: [String]

  public init(providers: [String]) { self.providers = providers }

  public static let anyProvider = "*"

  /// Throws `.invalidInput` when a name cannot be a provider's.
  public func validate() throws(Fault) {
    guard !providers.isEmpty else {
      throw Fault(.invalidInput, "a key without a provider can do nothing", hint: "name at least one provider, or '*' for all")
    }
    for name in providers where name != Self.anyProvider { try ProviderName.validate(name) }
  }
}
