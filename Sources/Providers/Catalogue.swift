public import Domain

/// The providers that are known without being configured.
public enum Catalogue {
  public static let builtIn: [Provider] = [
    provider("anthropic", "https://api.anthropic.com", .xAPIKey, .anthropic),
    provider("openai", "https://api.openai.com", .bearer, .openai),
  ]

  private static func provider(_ name: String, _ url: String, _ credential: Provider.CredentialStyle, _ family: Provider.Family)
    -> Provider
  {
    // A literal that does not parse is a mistake of ours, found by the first test.
    guard let base = try? BaseURL(url) else { preconditionFailure("the catalogue has a bad URL") }
    return Provider(name: name, baseURL: base, credential: credential, family: family)
  }
}
