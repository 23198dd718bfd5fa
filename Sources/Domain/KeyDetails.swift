public import Primitives

/// A secret that a masked key had before its present one.
public struct KeyVersion: Hashable, Sendable, Codable {
  /// Counts the secrets of a key, starting at 1.
  public let number: UInt32
  /// HMAC-SHA-256 of its text under the pepper of `pepperVersion`; 32 bytes.
  public let hash: [UInt8]
  public let pepperVersion: UInt32
  /// Milliseconds since 1970.
  public let madeAt: Int64
  /// End of its grace period, in milliseconds since 1970; nil while the version after it is still on its way to who uses it.
  public var validUntil: Int64?

  public init(number: UInt32, hash: [UInt8], pepperVersion: UInt32, madeAt: Int64, validUntil: Int64?) {
    self.number = number
    self.hash = hash
    self.pepperVersion = pepperVersion
    self.madeAt = madeAt
    self.validUntil = validUntil
  }
}

/// What the last rotation of a key needs to be repeated, or gone on with after a crash: the secret is derived from the salt.
public struct KeyRenewal: Hashable, Sendable, Codable {
  /// What the caller named the rotation; nil for one that the schedule made.
  public let requestID: String?
  /// 32 bytes; empty once the secret cannot be asked for any more.
  public var salt: [UInt8]
  public let grace: Int64
  public let madeAt: Int64
  /// Destinations that do not have the new secret yet.
  public var undelivered: [String]
  public var attempts = 0
  /// When the next attempt is due, in milliseconds since 1970.
  public var nextAttempt: Int64 = 0

  public init(requestID: String?, salt: [UInt8], grace: Int64, madeAt: Int64, undelivered: [String]) {
    self.requestID = requestID
    self.salt = salt
    self.grace = grace
    self.madeAt = madeAt
    self.undelivered = undelivered
  }
}

/// What a masked key has beside its policy and its present secret.
public struct KeyDetails: Hashable, Sendable {
  /// Of the present secret.
  public var version: UInt32 = 1
  /// When the present secret was made, in milliseconds since 1970; nil: with the key.
  public var madeAt: Int64?
  /// Secrets before the present one, the oldest first: those in their grace, and those that are still to be recognised.
  public var older: [KeyVersion] = []
  /// What keys are found and revoked by.
  public var tags: [String] = []
  public var prefix = MaskedKeyFormat.defaultPrefix
  /// Whether the key is there to be found: it opens nothing, and its use is an alarm.
  public var isDecoy = false
  /// Why the key stands where it stands, when that was not an administrator's doing alone.
  public var reason: String?
  /// Requests a minute that a trigger has left it.
  public var throttle: Int?
  public var renewal: KeyRenewal?
  /// The last warning before its expiry that was given, in days.
  public var warnedDays: Int?
  /// Until when what it sends and gets is kept, in milliseconds since 1970; nil: it is not.
  public var captureUntil: Int64?

  public func captures(at now: Timestamp) -> Bool { captureUntil.map { now.milliseconds < $0 } ?? false }

  /// Old secrets that are remembered.
  public static let olderMax = 8
  public static let tagsMax = 20

  public init() {}

  /// Throws `.invalidInput`.
  public static func validate(tags: [String]) throws(Fault) {
    guard tags.count <= tagsMax, Set(tags).count == tags.count else {
      throw Fault(.invalidInput, "more than \(tagsMax) tags, or one of them twice")
    }
    for tag in tags { try DocumentName.validate(tag, of: "tag") }
  }
}

extension KeyDetails: Codable {
  private enum Field: String, CodingKey {
    case version, madeAt, older, tags, prefix, isDecoy, reason, throttle, renewal, warnedDays, captureUntil
  }

  /// Members that are not there have their defaults: rows of earlier versions are read, too.
  public init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    version = try fields.decodeIfPresent(UInt32.self, forKey: .version) ?? 1
    madeAt = try fields.decodeIfPresent(Int64.self, forKey: .madeAt)
    older = try fields.decodeIfPresent([KeyVersion].self, forKey: .older) ?? []
    tags = try fields.decodeIfPresent([String].self, forKey: .tags) ?? []
    prefix = try fields.decodeIfPresent(String.self, forKey: .prefix) ?? MaskedKeyFormat.defaultPrefix
    isDecoy = try fields.decodeIfPresent(Bool.self, forKey: .isDecoy) ?? false
    reason = try fields.decodeIfPresent(String.self, forKey: .reason)
    throttle = try fields.decodeIfPresent(Int.self, forKey: .throttle)
    renewal = try fields.decodeIfPresent(KeyRenewal.self, forKey: .renewal)
    warnedDays = try fields.decodeIfPresent(Int.self, forKey: .warnedDays)
    captureUntil = try fields.decodeIfPresent(Int64.self, forKey: .captureUntil)
  }
}
