import Primitives

/// Who gives tokens in exchange for a key. Written as `google`, `ibm`, `ibm:TOKEN-URL`, `entra:TENANT`, `oauth2:TOKEN-URL` or
/// `oauth2:TOKEN-URL SCOPE ...`.
public enum TokenSource: Equatable, Sendable {
  /// The key is a service account's JSON file, which says itself who gives the tokens (RFC 7523).
  case google
  /// The key is an API key of IBM Cloud.
  case ibm(BaseURL)
  /// The key is `client-id:client-secret` of an application registered with Microsoft Entra.
  case entra(tenant: String)
  /// The key is `client-id:client-secret` (RFC 6749, section 4.4); scopes are parted by spaces.
  case clientCredentials(BaseURL, scope: String)

  static let ibmURL = "https://iam.cloud.ibm.com/identity/token"
  static let entraScope = "https://cognitiveservices.azure.com/.default"

  /// nil when `text` is none of the forms.
  init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    switch (parts[0], parts.count > 1 ? parts[1] : nil) {
    case ("google", nil): self = .google
    case ("ibm", let url):
      guard let url = try? BaseURL(url ?? Self.ibmURL) else { return nil }
      self = .ibm(url)
    case ("entra", let tenant?):
      let isName = tenant.utf8.allSatisfy { $0 == 45 || $0 == 46 || ASCII.isDigit($0) || ASCII.isLetter($0) }
      guard (1...100).contains(tenant.utf8.count), isName, tenant.first != "." else { return nil }
      self = .entra(tenant: tenant)
    case ("oauth2", let rest?):
      let words = rest.split(separator: " ", maxSplits: 1).map(String.init)
      guard let first = words.first, let url = try? BaseURL(first) else { return nil }
      let scope = words.count > 1 ? words[1] : ""
      guard scope.utf8.count <= 500, scope.utf8.allSatisfy({ $0 >= 32 && $0 < 127 && $0 != 34 && $0 != 92 }) else { return nil }
      self = .clientCredentials(url, scope: scope)
    default: return nil
    }
  }

  /// Where tokens are asked for; nil: the key says it.
  public var url: BaseURL? {
    switch self {
    case .google: nil
    case .ibm(let url), .clientCredentials(let url, _): url
    case .entra(let tenant): try? BaseURL("https://login.microsoftonline.com/\(tenant)/oauth2/v2.0/token")
    }
  }

  public var scope: String {
    switch self {
    case .google: "https://www.googleapis.com/auth/cloud-platform"
    case .ibm: ""
    case .entra: Self.entraScope
    case .clientCredentials(_, let scope): scope
    }
  }

  var text: String {
    switch self {
    case .google: "google"
    case .ibm(let url): url.text == Self.ibmURL ? "ibm" : "ibm:\(url.text)"
    case .entra(let tenant): "entra:\(tenant)"
    case .clientCredentials(let url, let scope): scope.isEmpty ? "oauth2:\(url.text)" : "oauth2:\(url.text) \(scope)"
    }
  }
}
