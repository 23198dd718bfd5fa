/// The rules that a request can break. Each has a name that is the same in answers, activity, explanations and docs.
public enum Refusal: UInt8, Sendable, CaseIterable, Error {
  case sealed, missingKey, malformedKey, unknownKey, disabledKey, revokedKey, expiredKey, notYetValidKey
  case unknownProvider, providerNotAllowed, noProviderKey, noUsableProviderKey, networkNotAllowed, hoursNotAllowed
  case endpointNotAllowed, endpointNotInScope, pathNotAllowed, encodedBody, bodyTooLarge, modelUnclear, modelNotAllowed
  case rateLimited, tooManyAtOnce, tokensLimited, outputLimitUnclear, priceUnknown, costUnbounded, budgetExhausted
  case ledgerUnavailable, notLendable, objectNotFound, retiredVersion, decoyKey

  /// The stable name.
  public var code: StaticString {
    switch self {
    case .sealed: "sealed"
    case .missingKey: "missing_key"
    case .malformedKey: "malformed_key"
    case .unknownKey: "unknown_key"
    case .disabledKey: "disabled_key"
    case .revokedKey: "revoked_key"
    case .expiredKey: "expired_key"
    case .notYetValidKey: "key_not_yet_valid"
    case .unknownProvider: "unknown_provider"
    case .providerNotAllowed: "provider_not_allowed"
    case .noProviderKey: "no_provider_key"
    case .noUsableProviderKey: "no_usable_provider_key"
    case .networkNotAllowed: "network_not_allowed"
    case .hoursNotAllowed: "hours_not_allowed"
    case .endpointNotAllowed: "endpoint_not_allowed"
    case .endpointNotInScope: "endpoint_not_in_scope"
    case .pathNotAllowed: "path_not_allowed"
    case .encodedBody: "encoded_body"
    case .bodyTooLarge: "body_too_large"
    case .modelUnclear: "model_unclear"
    case .modelNotAllowed: "model_not_allowed"
    case .rateLimited: "rate_limited"
    case .tooManyAtOnce: "too_many_at_once"
    case .tokensLimited: "tokens_limited"
    case .outputLimitUnclear: "output_limit_unclear"
    case .priceUnknown: "price_unknown"
    case .costUnbounded: "cost_unbounded"
    case .budgetExhausted: "budget_exhausted"
    case .ledgerUnavailable: "ledger_unavailable"
    case .notLendable: "not_lendable"
    case .objectNotFound: "object_not_found"
    case .retiredVersion: "retired_version"
    case .decoyKey: "decoy_key"
    }
  }
}
