public import Primitives

/// When masked keys get new secrets, and where these are brought: of a key, of a policy's keys, or of a team's.
public struct RotationSchedule: Hashable, Sendable, Codable {
  /// Seconds between two secrets; nil: `cron` says when.
  public var every: Int64?
  public var cron: CronExpression?
  public var timeZone: String
  /// Seconds for which the old secret still works once the new one has been brought.
  public var grace: Int64
  /// Seconds over which keys of one schedule are spread, so that they do not all come at once.
  public var spread: Int64
  /// Names of destinations: all of them get each new secret.
  public var destinations: [String]

  public init(
    every: Int64?, cron: CronExpression?, timeZone: String = "UTC", grace: Int64, spread: Int64, destinations: [String]
  ) {
    (self.every, self.cron, self.timeZone) = (every, cron, timeZone)
    (self.grace, self.spread, self.destinations) = (grace, spread, destinations)
  }

  public static let destinationsMax = 8

  /// Throws `.invalidInput`, and `.notFound` for a time zone that is not known.
  public func validate() throws(Fault) {
    guard (every == nil) != (cron == nil) else {
      throw Fault(.invalidInput, "a schedule has either an interval or a cron expression")
    }
    if let every, !(60...10 * 366 * 86_400).contains(every) {
      throw Fault(.invalidInput, "the interval is no time from a minute to ten years")
    }
    _ = try ZoneRules(named: timeZone)
    guard (0...90 * 86_400).contains(grace) else { throw Fault(.invalidInput, "the grace period is no time up to 90 days") }
    guard (0...86_400).contains(spread) else { throw Fault(.invalidInput, "the keys are spread over at most a day") }
    if let every, spread >= every { throw Fault(.invalidInput, "the keys are spread over more than the interval") }
    guard (1...Self.destinationsMax).contains(destinations.count), Set(destinations).count == destinations.count else {
      throw Fault(
        .invalidInput, "a schedule names 1 to \(Self.destinationsMax) destinations",
        hint: "without one nobody would get the new secret; make one with 'maskllm destination set'")
    }
  }

  /// When the secret of `key` that was made at `madeAt` is due to be replaced. Each key has a place of its own within the spread.
  public func due(_ key: RecordID, madeAt: Timestamp, _ zone: ZoneRules) -> Timestamp? {
    let place = spread == 0 ? 0 : Int64(CRC32.checksum(key.bytes.span)) * 1000 % (spread * 1000)
    let base: Timestamp?
    if let every {
      base = madeAt + every
    } else {
      // From where this key's place was subtracted: else a key that was rotated within the spread would come again at once.
      base = cron?.next(after: Timestamp(milliseconds: madeAt.milliseconds - place), zone)
    }
    return base.map { Timestamp(milliseconds: $0.milliseconds + place) }
  }
}

/// Where new secrets are brought to.
public struct Destination: Hashable, Sendable, Codable {
  public enum Kind: String, Sendable, Codable, CaseIterable {
    case file, directory, command, webhook
    case secretsManager = "aws-secrets-manager"
    case vault = "vault-kv"
  }

  public var kind: Kind
  /// A path; a hook's name; a URL; a secret's name at AWS; a path in Vault. `{key}`, `{name}`, `{team}` and `{version}` stand for
  /// those of the key.
  public var place: String
  /// Of a file: its mode, and whose it is.
  public var mode: UInt32?
  public var owner: String?
  /// Of a file: `NAME=secret` instead of the secret alone. Of a folder: the file's name. Of Vault: the field.
  public var variable: String?
  /// Of AWS and Vault: where it is reached.
  public var address: String?
  public var region: String?
  /// Of Vault: the mount of the KV engine, version 2, and the namespace.
  public var mount: String?
  public var namespace: String?
  /// Arguments of a command.
  public var arguments: [String]?
  /// A PEM file with the only authorities to trust.
  public var authorityFile: String?
  /// The envelope of its credential: what webhooks are signed with, an access key, a token.
  public var sealed: [UInt8]?

  public init(_ kind: Kind, place: String) {
    (self.kind, self.place) = (kind, place)
  }

  public var needsSecret: Bool { kind == .webhook || kind == .secretsManager || kind == .vault }

  /// The origin that its credential may be sent to; nil where it has none.
  public func origin() throws(Fault) -> String? {
    switch kind {
    case .webhook: try Self.base(place).origin
    case .vault: try Self.base(address ?? "").origin
    case .secretsManager:
      try Self.base(address ?? "https://secretsmanager.\(region ?? "").amazonaws.com").origin
    case .file, .directory, .command: nil
    }
  }

  private static func base(_ url: String) throws(Fault) -> WebAddress {
    let address = try WebAddress(url)
    try address.requireSecrecy()
    return address
  }

  /// Throws `.invalidInput` for what is missing or means nothing.
  public func validate() throws(Fault) {
    guard (1...500).contains(place.utf8.count), place.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else {
      throw Fault(.invalidInput, "that place cannot be used")
    }
    func absent(_ what: String, _ isGiven: Bool) throws(Fault) {
      if isGiven { throw Fault(.invalidInput, "'\(what)' means nothing to '\(kind.rawValue)'") }
    }
    try absent("mode", mode != nil && kind != .file && kind != .directory)
    try absent("owner", owner != nil && kind != .file)
    try absent("variable", variable != nil && kind != .file && kind != .directory && kind != .vault)
    try absent("address", address != nil && kind != .secretsManager && kind != .vault)
    try absent("region", region != nil && kind != .secretsManager)
    try absent("mount", mount != nil && kind != .vault)
    try absent("namespace", namespace != nil && kind != .vault)
    try absent("argument", arguments != nil && kind != .command)
    switch kind {
    case .file, .directory:
      guard place.hasPrefix("/"), !place.split(separator: "/").contains("..") else {
        throw Fault(.invalidInput, "a file's place is a whole path, from the root")
      }
      if let mode, mode & ~0o777 != 0 || mode & 0o002 != 0 {
        throw Fault(.invalidInput, "that mode cannot be used", hint: "write it in octal, as 0400; nobody else may write the file")
      }
      let name = variable ?? "key"
      let allowed = name.utf8.allSatisfy {
        ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 95 || (kind == .directory && ($0 == 45 || $0 == 46))
      }
      guard !name.isEmpty, allowed, !name.hasPrefix(".") else {
        throw Fault(.invalidInput, "that name of a variable or file cannot be used")
      }
    case .command: try absent("a path", place.contains("/"))
    case .secretsManager:
      guard let region, !region.isEmpty, region.utf8.allSatisfy({ ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 45 }) else {
        throw Fault(.invalidInput, "'region' is missing", hint: "such as eu-central-1")
      }
    case .vault:
      guard address != nil else {
        throw Fault(.invalidInput, "'address' is missing", hint: "such as https://vault.example.com:8200")
      }
    case .webhook: break
    }
    _ = try origin()
  }

  /// The place for one key, with what stands in braces filled in.
  public func place(of key: MaskedKey) throws(Fault) -> String { try Self.filled(place, key) }

  public static func filled(_ text: String, _ key: MaskedKey) throws(Fault) -> String {
    var out = text
    let values = [
      ("{key}", key.id.description), ("{name}", key.name), ("{team}", key.team ?? ""), ("{version}", "\(key.details.version)"),
    ]
    for (name, value) in values where out.contains(name) {
      // Names come from people who may not choose places.
      guard !value.isEmpty,
        value.utf8.allSatisfy({ ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == 45 || $0 == 95 || $0 == 46 }),
        !value.hasPrefix(".")
      else { throw Fault(.invalidInput, "'\(name)' of key \(key.id) cannot stand in a place", hint: "use {key} instead") }
      out.replace(name, with: value)
    }
    return out
  }
}
