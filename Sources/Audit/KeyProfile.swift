public import Primitives

/// What is known of how a key is used, from the record of its requests. Bounded, whatever the key does; a kilobyte or less for most.
///
/// A reference, so that a request changes it where it lies. Belongs to the engine's thread.
public final class KeyProfile: Codable {
  /// One neighbourhood that a key is used from, seen as a run of requests.
  struct Place: Codable {
    let network: NetworkAddress
    var lastAt: Int64
    /// Requests since the last silence.
    var probes = 0
    /// After a few requests and a pause: the requests of the minute that counts.
    var isProbed = false
    var minute: Int64 = 0
    var inMinute = 0
  }

  /// Who uses one secret of a key.
  public struct VersionUse: Codable, Sendable {
    public let version: UInt32
    public var requests = 0
    public var lastAt: Int64 = 0
    /// At most `hostsMax`.
    public var hosts: [NetworkAddress] = []
  }

  /// Milliseconds since 1970; 0: never.
  public internal(set) var firstAt: Int64 = 0
  public internal(set) var lastAt: Int64 = 0
  public internal(set) var requests = 0
  public internal(set) var versions: [VersionUse] = []
  var places: [Place] = []
  public internal(set) var models: [String] = []
  /// Requests by hour of the day (UTC), working days and weekends apart, as far as a byte counts.
  var hours = [UInt8](repeating: 0, count: 48)
  var refusedMinute: Int64 = 0
  var refusedInMinute = 0
  /// Nano-dollars and tokens.
  var spend = HourlySum()
  var tokens = HourlySum()
  /// When each trigger last spoke of the key.
  var spoken: [String: Int64] = [:]
  /// Whether it is to be kept.
  var isChanged = false

  public static let hostsMax = 32
  static let placesMax = 64
  static let modelsMax = 128
  static let versionsMax = 16

  public init() {}

  /// Puts what was read back within what can be: moments of the years 1 to 9999, counts of 0 or more, no list longer than it may be.
  public func bound() {
    func moment(_ at: Int64) -> Int64 { Timestamp(milliseconds: at).milliseconds }
    (firstAt, lastAt, requests) = (moment(firstAt), moment(lastAt), max(requests, 0))
    versions = versions.suffix(Self.versionsMax).map { use in
      var use = use
      (use.requests, use.lastAt, use.hosts) = (max(use.requests, 0), moment(use.lastAt), Array(use.hosts.prefix(Self.hostsMax)))
      return use
    }
    places = places.suffix(Self.placesMax).map { place in
      var place = place
      (place.lastAt, place.probes, place.inMinute) = (moment(place.lastAt), max(place.probes, 0), max(place.inMinute, 0))
      return place
    }
    models = Array(models.prefix(Self.modelsMax))
    if hours.count != 48 { hours = [UInt8](repeating: 0, count: 48) }
    refusedInMinute = max(refusedInMinute, 0)
    spoken = spoken.mapValues(moment)
  }

  /// A copy that goes its own way.
  public func copy() -> KeyProfile {
    let copy = KeyProfile()
    (copy.firstAt, copy.lastAt, copy.requests) = (firstAt, lastAt, requests)
    (copy.versions, copy.places, copy.models, copy.hours) = (versions, places, models, hours)
    (copy.refusedMinute, copy.refusedInMinute) = (refusedMinute, refusedInMinute)
    (copy.spend, copy.tokens, copy.spoken) = (spend, tokens, spoken)
    return copy
  }

  public func use(of version: UInt32) -> VersionUse? { versions.first { $0.version == version } }

  public var networks: [NetworkAddress] { places.map(\.network) }

  /// The position of the use of `version`.
  func position(of version: UInt32) -> Int {
    // Most requests come with the present secret, which is the last.
    for i in versions.indices.reversed() where versions[i].version == version { return i }
    if versions.count >= Self.versionsMax { versions.removeFirst() }
    versions.append(VersionUse(version: version))
    return versions.count - 1
  }

  func hasModel(_ name: Span<UInt8>) -> Bool {
    for model in models where name.equals(model.utf8.span) { return true }
    return false
  }
}

/// What an hour comes to, against what hours in use usually do: their mean over about the last week in use.
struct HourlySum: Codable {
  private var hour: Int64 = 0
  private var sum: Int64 = 0
  private var mean: Int64 = 0
  private var count: Int64 = 0
  /// Hours in use that the mean remembers.
  private static let memory: Int64 = 60
  /// Hours in use before which nothing is usual.
  private static let enough: Int64 = 12

  /// Adds to the hour of `at`. Returns the hour's sum so far, and what is usual; nil while that is not known.
  mutating func add(_ amount: Int64, at: Int64) -> (sum: Int64, usual: Int64?) {
    let (now, amount) = (at.floorDivided(by: 3_600_000), max(amount, 0))
    if now > hour {
      if sum > 0 {
        // What was stored is nobody's to trust: within bounds, no difference or sum is too large.
        (count, mean) = (min(max(count, 0), Self.memory - 1) + 1, min(max(mean, 0), .max / 2))
        mean += (min(max(sum, 0), .max / 2) - mean) / count
      }
      (hour, sum) = (now, 0)
    }
    // What arrives late counts for the hour that it arrives in.
    sum = sum.addingReportingOverflow(amount).overflow ? .max : sum + amount
    return (sum, count >= Self.enough ? mean : nil)
  }
}
