import Audit
import Domain
public import FoundationEssentials
import KeyService
import PolicyEngine
import Primitives
import Providers
import Vault

// What goes over the wire: plain documents, none of which has room for a secret, but `CreatedKeyDocument`.

/// The state of a server.
public struct StatusDocument: Codable, Sendable {
  public var version: String
  public var sealed: Bool
  public var seal_method: String
  public var keys: Int
  public var provider_keys: Int
  /// What was changed outside maskllm and is therefore not used.
  public var tampered_keys: [String]
  public var tampered_providers: [String]
  public var unusable_provider_keys: [String]
  /// Requests whose record was lost because the store did not keep up.
  public var activity_lost: Int
}

/// A process that serves.
public struct NodeDocument: Codable, Sendable {
  public var node: String
  public var version: String
  public var started_at: String
  /// Those that have the latest state in force.
  public var event_loops: Int
  public var sealed: Bool
}

/// A provider.
public struct ProviderDocument: Codable, Sendable {
  public var name: String
  public var base_url: String
  public var credential: String
  public var kind: String
  public var authority_file: String?
  public var price_list: String?
  public var fallback_urls: [String]?
  public var keys: Int?
}

/// What is asked for a provider.
public struct NewProviderDocument: Codable, Sendable {
  public var name: String
  /// nil: the kind's own.
  public var base_url: String?
  /// nil: the kind's own.
  public var credential: String?
  /// nil: the catalogue's entry of that name, else `openai-compatible`.
  public var kind: String?
  public var authority_file: String?
  public var price_list: String?
  /// Where it can be reached when the base URL cannot.
  public var fallback_urls: [String]?
  public init(name: String) { self.name = name }
}

/// An entry of the catalogue.
public struct KindDocument: Codable, Sendable {
  public var name: String
  public var title: String
  public var base_url: String?
  public var credential: String
  public var errors: String
  public var price_list: String?
  /// What its users change, by language; `{url}` stands for where the gateway has the provider, `{key}` for the masked key.
  public var client: [String: String]
}

/// A provider key, without its secret.
public struct ProviderKeyDocument: Codable, Sendable {
  public var id: String
  public var provider: String
  public var name: String
  public var version: Int
  public var usable: Bool
  /// `usable`, `cooling`, `quarantined`, `disabled`, or `broken` where it does not open.
  public var state: String
  /// Seconds for which a cooling key still rests.
  public var cools_seconds: Int?
  public var weight: Int
  public var tags: [String]
  public var created_at: String
  /// Why it is disabled.
  public var reason: String?
}

/// Why something is done.
public struct ReasonDocument: Codable, Sendable {
  public var reason: String
  public init(reason: String) { self.reason = reason }
}

/// What a key is found by.
public struct TagsDocument: Codable, Sendable {
  public var tags: [String]
  public init(tags: [String]) { self.tags = tags }
}

/// What is left to a key.
public struct ThrottleDocument: Codable, Sendable {
  /// nil: what its policy says.
  public var requests_per_minute: Int?
  public var reason: String?
  public init(requests_per_minute: Int?, reason: String?) {
    self.requests_per_minute = requests_per_minute
    self.reason = reason
  }
}

/// How a provider key shares requests with the others.
public struct PoolDocument: Codable, Sendable {
  public var weight: Int?
  public var tags: [String]?
  public init(weight: Int? = nil, tags: [String]? = nil) {
    self.weight = weight
    self.tags = tags
  }
}

/// A new key, with the text that is shown this once.
public struct CreatedKeyDocument: Codable, Sendable {
  public var key: KeyDocument
  public var masked_key: String
}

/// One request that went through, or did not.
public struct ActivityDocument: Codable, Sendable {
  public var at: String
  public var key: String?
  /// Which of the key's secrets was used.
  public var key_version: Int?
  /// Where the request came from.
  public var address: String?
  public var provider: String
  /// Which of the provider's keys it went on with.
  public var provider_key: String?
  public var endpoint: String?
  public var model: String
  public var outcome: String
  /// The refusal's code; empty when it was not refused.
  public var code: String
  public var status: Int
  public var upstream_status: Int?
  public var stream: Bool
  public var bytes_in: Int
  public var bytes_out: Int
  public var duration_us: Int
  public var first_byte_us: Int?
  public var input_tokens: Int64?
  public var output_tokens: Int64?
  public var cache_read_tokens: Int64?
  public var cache_write_tokens: Int64?
  public var reasoning_tokens: Int64?
  /// Seconds of sound, and pictures, where those are what is counted.
  public var audio_seconds: Int64?
  public var images: Int64?
  public var cost_usd: String?
  /// Whether tokens and cost were counted here, because the provider did not say.
  public var estimated: Bool?
}

/// An error (RFC 9457).
public struct ProblemDocument: Codable, Sendable {
  /// The code as a URN.
  public var type: String?
  public var status: Int
  public var code: String
  public var title: String
  public var hint: String?
  public init(status: Int, code: String, title: String, hint: String? = nil) {
    type = "urn:maskllm:problem:\(code)"
    (self.status, self.code, self.title, self.hint) = (status, code, title, hint)
  }
}

extension ProviderDocument {
  init(_ provider: Provider, keys: Int?) {
    self.init(
      name: provider.name, base_url: provider.baseURL.origin + provider.baseURL.prefix, credential: provider.credential.text,
      kind: provider.kind, authority_file: provider.authorityFile,
      price_list: provider.priceList, fallback_urls: provider.fallbackURLs?.map(\.text), keys: keys)
  }
}

extension ActivityDocument {
  init(_ entry: ActivityEntry) {
    let r = entry.record
    self.init(
      at: r.start.rfc3339, key: r.key?.description, key_version: r.keyVersion == 0 ? nil : Int(r.keyVersion),
      address: r.address?.description, provider: entry.provider, provider_key: r.providerKey?.description,
      endpoint: r.endpoint.map { "\($0.name)" },
      model: entry.model,
      outcome: r.outcome.name, code: entry.code, status: Int(r.status),
      upstream_status: r.upstreamStatus == 0 ? nil : Int(r.upstreamStatus),
      stream: r.isStream, bytes_in: r.bytesIn, bytes_out: r.bytesOut, duration_us: r.durationMicroseconds,
      first_byte_us: r.upstreamStatus == 0 ? nil : r.firstByteMicroseconds, input_tokens: r.usage.input?.count,
      output_tokens: r.usage.output?.count,
      cache_read_tokens: r.usage.cacheRead?.count, cache_write_tokens: r.usage.cacheWrite?.count,
      reasoning_tokens: r.usage.reasoning?.count,
      audio_seconds: r.usage.seconds?.count, images: r.usage.images?.count,
      cost_usd: r.cost?.dollars, estimated: r.isEstimated ? true : nil)
  }
}

extension JSONEncoder {
  /// Stable output: members sorted, slashes as they are.
  public static var stable: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
  }
}
