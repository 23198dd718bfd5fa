import PolicyEngine
import Primitives
import Providers
import Wire

extension Refusal {
  /// What the client is told.
  var answer: ErrorBody {
    let (status, message): (UInt16, StaticString) =
      switch self {
      case .sealed: (503, "MaskLLM is sealed and knows no keys yet. An administrator has to run 'maskllm unseal'.")
      case .missingKey: (401, "No masked key in the request. Give your SDK the masked key (mk_...) as its API key.")
      case .malformedKey:
        (401, "That is no masked key, or it was cut or mistyped. Copy it again; a provider's own key does not work here.")
      case .unknownKey:
        (401, "This masked key is not known here. Check that it belongs to this gateway, or ask for a new one.")
      case .disabledKey: (401, "This masked key is disabled. Ask its owner to enable it: maskllm key enable ID.")
      case .revokedKey: (401, "This masked key has been revoked for good. Ask for a new one.")
      case .expiredKey: (401, "This masked key has expired. Ask for a new one.")
      case .notYetValidKey: (401, "This masked key is not valid yet. Wait for its date, or ask for another one.")
      case .unknownProvider:
        (404, "No provider of that name. The URL is http://HOST:PORT/PROVIDER/NATIVE-PATH; see 'maskllm provider list'.")
      case .providerNotAllowed: (403, "This masked key may not call this provider. Ask for a key whose policy names it.")
      case .noProviderKey:
        (503, "MaskLLM has no usable key for this provider. An administrator has to run 'maskllm provider-key add'.")
      case .noUsableProviderKey:
        (
          503,
          "The provider has refused every key that MaskLLM may use for this request. An administrator has to look at 'maskllm provider-key list'."
        )
      case .networkNotAllowed:
        (403, "This masked key may not be used from this network. Ask for a key whose policy names it.")
      case .hoursNotAllowed: (403, "This masked key may not be used at this hour. Come back later, or ask for longer hours.")
      case .endpointNotAllowed:
        (403, "MaskLLM does not pass this method and path. Only the provider's model endpoints are passed.")
      case .endpointNotInScope:
        (403, "This masked key may not use this kind of endpoint. Ask for a key whose policy names it.")
      case .pathNotAllowed: (403, "This masked key may not use this method and path. Ask for a key whose policy names them.")
      case .encodedBody: (415, "MaskLLM reads request bodies as they are. Send the body without Content-Encoding.")
      case .bodyTooLarge: (413, "The request body is larger than this gateway, or this masked key's policy, accepts.")
      case .modelUnclear:
        (
          400,
          "What this request asks for decides whether it may pass, and it does not say so once, in a form every parser reads alike. Name the model once, in valid JSON."
        )
      case .modelNotAllowed: (403, "This masked key may not use this model. Ask for a key whose policy names it.")
      case .rateLimited: (429, "This masked key has used up its requests for now. Slow down, or ask for a higher limit.")
      case .tooManyAtOnce: (429, "This masked key has as many requests in flight as it may. Wait for one to end.")
      case .tokensLimited:
        (
          429,
          "The tokens that this request may take are more than this masked key has left for now. Slow down, ask for a shorter answer, or for a higher limit."
        )
      case .outputLimitUnclear:
        (
          400,
          "How long the answer may be has to be known for this masked key, and the request says it in no form that MaskLLM can read or set. Send a plain max_tokens."
        )
      case .priceUnknown:
        (
          403,
          "This masked key has a budget, and nobody has said what this model costs. An administrator can: maskllm price set PROVIDER MODEL --input USD --output USD."
        )
      case .costUnbounded:
        (
          403,
          "This masked key has a budget or a limit of tokens, and what this request can come to has no bound known beforehand. Send max_tokens, and no links, files, stored conversations or tools that the provider runs."
        )
      case .budgetExhausted:
        (
          402,
          "A budget that this masked key counts against does not have what this request can cost. Ask for a shorter answer, wait for the next window, or ask for a raise."
        )
      case .ledgerUnavailable:
        (503, "MaskLLM cannot write its ledger at the moment and does not let money pass unseen. Try again in a moment.")
      case .objectNotFound:
        (
          404,
          "The request names a file, batch, stored answer or other object that this masked key did not make. Objects belong to the key that made them; an administrator can hand one over: maskllm object give."
        )
      case .retiredVersion:
        (401, "This masked key was rotated, and the time in which its old secret still worked is over. Use the new one.")
      // A decoy has to look like a mistake of whoever found it.
      case .decoyKey:
        (401, "This masked key is not known here. Check that it belongs to this gateway, or ask for a new one.")
      case .notLendable: (403, "This masked key is counted in ways that only the gateway can count.")
      }
    return ErrorBody(
      status, self == .decoyKey ? Refusal.unknownKey.code : code, message, mayRetry: status == 429 || self == .ledgerUnavailable)
  }
}

/// Answers that are not about the key.
enum Answers {
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
  static let tokenUnavailable = ErrorBody(
    502, "token_unavailable",
    "MaskLLM could not get the token that this provider wants for its key. Try again in a moment; an administrator finds why in the log.",
    mayRetry: true)
  static let clockSkewed = ErrorBody(
    503, "clock_skewed",
    "MaskLLM's clock differs from the provider's, so that its signatures are refused. An administrator has to set the clock.")
  static let stopping = ErrorBody(503, "stopping", "MaskLLM is restarting. Try again in a moment.", mayRetry: true)

  /// What is not clear of the models that a request names.
  static func unclear(_ unclear: Unclear) -> ErrorBody {
    var body = ErrorBody(400, Refusal.modelUnclear.code, unclear.sentence)
    (body.about, body.subject) = ("Name", unclear.subject)
    return body
  }

  /// What is wrong with a path that names no endpoint, as far as it shows, and the path.
  static func endpointNotAllowed(_ path: Span<UInt8>) -> ErrorBody {
    let message: StaticString
    var body: ErrorBody
    if path.firstIndex(of: "//") != nil {
      message = "The path has an empty part (//). Look at the base URL of your client: it may end with a slash too many."
    } else if path.firstIndex(of: "/v1/v1") != nil {
      message = "The path has /v1 twice. Leave it out of the base URL of your client, which adds its own."
    } else if path.count > 1, path[path.count - 1] == UInt8(ascii: "/") {
      message = "The path ends with a slash, which providers' endpoints do not."
    } else if hasHiddenPart(path) {
      message =
        "The path has an escaped character or a part of dots that servers read differently. Escape no more than : and @, and / in names that have slashes."
    } else {
      message = "MaskLLM does not pass this method and path. Only the provider's model endpoints are passed."
    }
    body = ErrorBody(403, Refusal.endpointNotAllowed.code, message)
    body.about = "Path"
    appendPath(path, to: &body.subject)
    return body
  }

  /// Letters, digits, `_` and `-` in a row that no endpoint and no model is called, but a key may be.
  private static let secretMin = 32

  /// Appends the path with what could be a key in it starred out.
  private static func appendPath(_ path: Span<UInt8>, to subject: inout JSONText) {
    func isPlain(_ b: UInt8) -> Bool {
      ASCII.isLetter(b) || ASCII.isDigit(b) || b == UInt8(ascii: "_") || b == UInt8(ascii: "-")
    }
    var i = 0
    while i < path.count {
      var end = i
      while end < path.count, isPlain(path[end]) { end += 1 }
      if end - i >= secretMin {
        for _ in 0..<3 { subject.append(UInt8(ascii: "*")) }
      } else {
        for j in i..<max(end, i + 1) { subject.append(path[j]) }
        end = max(end, i + 1)
      }
      i = end
    }
  }

  /// Whether the path has an escape, or a part that is `.` or `..`.
  private static func hasHiddenPart(_ path: Span<UInt8>) -> Bool {
    if path.firstIndex(of: UInt8(ascii: "%")) != nil { return true }
    var start = 0
    while start < path.count {
      let end = path.firstIndex(of: UInt8(ascii: "/"), from: start + 1) ?? path.count
      let part = path.extracting((start + 1)..<end)
      if part.equals(".") || part.equals("..") { return true }
      start = end
    }
    return false
  }

  static func malformed(_ error: HTTPError) -> ErrorBody { ErrorBody(error.status, "malformed_request", error.reason) }
}
