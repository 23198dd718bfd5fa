import PolicyEngine
import Providers
import Wire

extension Refusal {
  /// What the client is told.
  var answer: ErrorBody {
    switch self {
    case .sealed:
      ErrorBody(503, "sealed", "MaskLLM is sealed and knows no keys yet. An administrator has to run 'maskllm unseal'.")
    case .missingKey:
      ErrorBody(401, "missing_key", "No masked key in the request. Give your SDK the masked key (mk_...) as its API key.")
    case .malformedKey:
      ErrorBody(
        401, "malformed_key",
        "That is no masked key, or it was cut or mistyped. Copy it again; a provider's own key does not work here.")
    case .unknownKey:
      ErrorBody(
        401, "unknown_key", "This masked key is not known here. Check that it belongs to this gateway, or ask for a new one.")
    case .disabledKey:
      ErrorBody(401, "disabled_key", "This masked key is disabled. Ask its owner to enable it: maskllm key enable ID.")
    case .revokedKey: ErrorBody(401, "revoked_key", "This masked key has been revoked for good. Ask for a new one.")
    case .expiredKey: ErrorBody(401, "expired_key", "This masked key has expired. Ask for a new one.")
    case .providerNotAllowed:
      ErrorBody(403, "provider_not_allowed", "This masked key may not call this provider. Ask for a key whose policy names it.")
    case .endpointNotInScope:
      ErrorBody(
        403, "endpoint_not_in_scope", "This masked key may not use this kind of endpoint. Ask for a key whose policy names it.")
    case .modelNotAllowed:
      ErrorBody(403, "model_not_allowed", "This masked key may not use this model. Ask for a key whose policy names it.")
    case .networkNotAllowed:
      ErrorBody(
        403, "network_not_allowed", "This masked key may not be used from this network. Ask for a key whose policy names it.")
    case .notYetValidKey:
      ErrorBody(401, "key_not_yet_valid", "This masked key is not valid yet. Wait for its date, or ask for another one.")
    case .rateLimited:
      ErrorBody(
        429, "rate_limited", "This masked key has used up its requests for now. Slow down, or ask for a higher limit.",
        mayRetry: true)
    case .modelUnclear:
      ErrorBody(
        400, "model_unclear",
        "This masked key is for certain models, and the request does not name exactly one in valid JSON. Send the model once.")
    case .noProviderKey:
      ErrorBody(
        503, "no_provider_key",
        "MaskLLM has no usable key for this provider. An administrator has to run 'maskllm provider-key add'.")
    }
  }
}

/// Answers that are not about the key.
enum Answers {
  static let tooManyAtOnce = ErrorBody(
    429, "too_many_at_once", "This masked key has as many requests in flight as it may. Wait for one to end.", mayRetry: true)
  static let unknownProvider = ErrorBody(
    404, "unknown_provider",
    "No provider of that name. The URL is http://HOST:PORT/PROVIDER/NATIVE-PATH; see 'maskllm provider list'.")
  static let endpointNotAllowed = ErrorBody(
    403, "endpoint_not_allowed", "MaskLLM does not pass this method and path. Only the provider's model endpoints are passed.")
  static let encodedBody = ErrorBody(
    415, "encoded_body", "MaskLLM reads request bodies as they are. Send the body without Content-Encoding.")
  static let bodyTooLarge = ErrorBody(413, "body_too_large", "The request body is larger than this gateway accepts.")
  static let upstreamDown = ErrorBody(
    502, "upstream_unreachable", "The provider could not be reached. Try again in a moment.", mayRetry: true)
  static let upstreamUntrusted = ErrorBody(
    502, "upstream_untrusted", "The provider's TLS certificate could not be verified. An administrator has to look at the log.")
  static let upstreamBroken = ErrorBody(
    502, "upstream_broken", "The provider's answer could not be read. Try again in a moment.", mayRetry: true)
  static let upstreamRedirected = ErrorBody(
    502, "upstream_redirected",
    "The provider answered with a redirect, which MaskLLM never follows. Check the provider's base URL.")
  static let upstreamSlow = ErrorBody(
    504, "upstream_timeout", "The provider did not answer in time. Try again in a moment.", mayRetry: true)
  static let upstreamBusy = ErrorBody(
    503, "too_many_connections", "MaskLLM has too many open requests to this provider.", mayRetry: true)
  static let providerKeyRefused = ErrorBody(
    503, "provider_key_refused",
    "The provider refused MaskLLM's own key for this request. An administrator has to check the provider key.")
  static let stopping = ErrorBody(503, "stopping", "MaskLLM is restarting. Try again in a moment.", mayRetry: true)

  static func malformed(_ error: HTTPError) -> ErrorBody { ErrorBody(error.status, "malformed_request", error.reason) }
}
