import Primitives

/// What is known of how a key is used, from the record of its requests. Bounded, whatever the key does.
public struct KeyProfile: Codable, Sendable, Equatable {
  /// One place that a key is used from, seen as a run of requests.
  struct Place: Codable, Sendable, Equatable {
    var lastAt: Int64
    /// Requests since the last silence, and when they began.
    var runStart: Int64
    var probes = 0
    /// After a few requests and a pause: the requests of the minute that counts.
    var isProbed = false
    var minute: Int64 = 0
    var inMinute = 0
  }

  /// Who uses one secret of a key.
  public struct VersionUse: Codable, Sendable, Equatable {
    public var requests = 0
    public var lastAt: Int64 = 0
    /// At most `hostsMax`.
    public var hosts: [String] = []
  }

  /// Milliseconds since 1970; 0: never.
  public internal(set) var firstAt: Int64 = 0
  public internal(set) var lastAt: Int64 = 0
  public internal(set) var requests = 0
  public internal(set) var versions: [UInt32: VersionUse] = [:]
  /// By the text of its neighbourhood.
  var places: [String: Place] = [:]
  public internal(set) var models: Set<String> = []
  /// Requests by hour of the day (UTC), working days and weekends apart.
  var hours = [Int](repeating: 0, count: 48)
  var refusedMinute: Int64 = 0
  var refusedInMinute = 0
  /// Sums of the hours of the last week in which the key was used: nano-dollars and tokens.
  var spend = HourlySums()
  var tokens = HourlySums()
  /// When each trigger last spoke of the key.
  var spoken: [String: Int64] = [:]

  public static let hostsMax = 32
  static let placesMax = 64
  static let modelsMax = 128

  public init() {}

  public var networks: [String] { places.keys.sorted() }
}

/// The hours of a week that had something in them.
struct HourlySums: Codable, Sendable, Equatable {
  private var hours: [Int64] = []
  private var sums: [Int64] = []
  static let kept: Int64 = 7 * 24

  /// Adds to the hour of `at`. Returns the hour's sum so far, and what an hour before it came to: the mean of those that had
  /// something, nil while fewer than `enough` had.
  mutating func add(_ amount: Int64, at: Int64, enough: Int = 12) -> (sum: Int64, usual: Int64?) {
    let hour = at.floorDivided(by: 3_600_000)
    if hours.last != hour {
      // What arrives late counts for the hour that it arrives in.
      if let last = hours.last, hour < last { return (sums[sums.count - 1], nil) }
      hours.append(hour)
      sums.append(0)
      while let first = hours.first, first < hour - Self.kept {
        hours.removeFirst()
        sums.removeFirst()
      }
    }
    sums[sums.count - 1] = sums[sums.count - 1].addingReportingOverflow(amount).overflow ? .max : sums[sums.count - 1] + amount
    let before = sums.dropLast()
    guard before.count >= enough else { return (sums.last!, nil) }
    return (sums.last!, before.reduce(0) { $0 + $1 / Int64(before.count) })
  }
}
