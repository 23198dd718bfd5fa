public import Domain
public import Primitives
import Providers

/// What a trigger has to say of a key (or of a provider's key) at a moment.
public struct Verdict: Sendable, Equatable {
  public let trigger: String
  public let key: RecordID?
  /// Where it is about a key at the provider.
  public let providerKey: RecordID?
  public let at: Timestamp
  /// A sentence for people, without a secret in it.
  public let because: String
}

/// What has to be known of a key to judge what it does.
public struct KeyFacts: Sendable {
  public let team: String?
  public let tags: [String]
  public let createdAt: Timestamp
  public let isInUse: Bool
  public init(team: String?, tags: [String], createdAt: Timestamp, isInUse: Bool) {
    (self.team, self.tags, self.createdAt, self.isInUse) = (team, tags, createdAt, isInUse)
  }
}

/// Judges requests in the order of the record. The same record gives the same verdicts, live or replayed: it has no clock and no
/// chance in it. Judging a request that is nothing special allocates nothing.
public struct TriggerEngine {
  public var triggers: [String: Trigger] { didSet { index() } }
  public private(set) var profiles: [RecordID: KeyProfile]
  /// Keys whose profile has changed since it was last kept.
  public private(set) var changed: [RecordID] = []
  /// By the condition's place among all.
  private var rules: [[(name: String, trigger: Trigger)]] = []
  /// The last day (since 1970) whose end was looked at.
  private var day: Int64?
  /// Of provider keys: when each trigger last spoke of one.
  private var spoken: [String: Int64] = [:]

  public typealias Facts = (RecordID) -> KeyFacts?

  public init(_ triggers: [String: Trigger], profiles: [RecordID: KeyProfile] = [:]) {
    self.triggers = triggers
    self.profiles = profiles
    index()
  }

  private mutating func index() {
    rules = Trigger.Condition.allCases.map { condition in
      triggers.filter { $0.value.when == condition }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
  }

  private func rules(_ condition: Trigger.Condition) -> [(name: String, trigger: Trigger)] { rules[condition.position] }

  public mutating func keptAll() {
    for id in changed { profiles[id]?.isChanged = false }
    changed = []
  }

  private mutating func profile(of id: RecordID) -> KeyProfile {
    let profile: KeyProfile
    if let known = profiles[id] {
      profile = known
    } else {
      profile = KeyProfile()
      profiles[id] = profile
    }
    if !profile.isChanged {
      profile.isChanged = true
      changed.append(id)
    }
    return profile
  }

  // MARK: what comes in

  public mutating func take(_ entry: ActivityEntry, _ facts: Facts) -> [Verdict] {
    take(
      entry.record, provider: entry.provider.utf8.span, model: entry.model.utf8.span, code: entry.code.utf8.span, facts)
  }

  /// Judges one request.
  public mutating func take(
    _ record: ActivityRecord, provider: Span<UInt8>, model: Span<UInt8>, code: Span<UInt8>, _ facts: Facts
  ) -> [Verdict] {
    var verdicts: [Verdict] = []
    if let id = record.refusedProviderKey { speakOfProviderKey(id, at: record.start, provider, &verdicts) }
    guard let id = record.key else { return verdicts }
    let profile = profile(of: id)
    let at = record.start.milliseconds
    let about = Subject(id: id, profile: profile, at: record.start)
    noteVersion(record, at, profile)
    if record.outcome == .refused {
      if code.equals("decoy_key") {
        speak(.decoyUsed, about, facts, &verdicts) { "the decoy was used from \(Self.text(record.address))" }
      } else if code.equals("retired_version") {
        speak(.usedAfterGrace, about, facts, &verdicts) {
          "version \(record.keyVersion) was used from \(Self.text(record.address)) after its grace period"
        }
      } else if code.equals("budget_exhausted") {
        speak(.budgetReached, about, facts, &verdicts) { "a budget had nothing left for a request" }
      }
      let minute = at.floorDivided(by: 60_000)
      if profile.refusedMinute != minute { (profile.refusedMinute, profile.refusedInMinute) = (minute, 0) }
      profile.refusedInMinute.increment()
      let count = profile.refusedInMinute
      speak(.refusals, about, facts, &verdicts, where: { count >= $0.count ?? .max }) {
        "\(count) requests were refused within a minute"
      }
      return verdicts
    }
    // Only what was let in shows how the key is used: a stranger who guesses must not teach us anything.
    let first = profile.firstAt
    func isLearned(_ trigger: Trigger) -> Bool { first > 0 && at - first >= Int64(trigger.learnDays ?? 0) * 86_400_000 }
    if noteHour(at, profile) {
      speak(.unusualHours, about, facts, &verdicts, where: isLearned) { "used at an hour at which it never is" }
    }
    if let address = record.address {
      let (isNew, burst) = notePlace(address.neighbourhood, at, profile)
      if isNew {
        speak(.newNetwork, about, facts, &verdicts, where: isLearned) {
          "used from \(address.neighbourhood) for the first time"
        }
      }
      if burst > 0 {
        speak(.probeThenBurst, about, facts, &verdicts, where: { burst >= $0.count ?? .max }) {
          "a few requests from \(address.neighbourhood), a pause, then \(burst) in a minute"
        }
      }
    }
    if !model.isEmpty, profile.models.count < KeyProfile.modelsMax, !profile.hasModel(model) {
      let name = String(decoding: [UInt8](copying: model), as: UTF8.self)
      if !profile.models.isEmpty {
        speak(.newModel, about, facts, &verdicts, where: isLearned) { "asked for '\(name)' for the first time" }
      }
      profile.models.append(name)
    }
    if let cost = record.cost, cost > 0 {
      let (sum, usual) = profile.spend.add(cost.count, at: at)
      if let usual {
        speak(.spendSpike, about, facts, &verdicts, where: { Self.isSpike(sum / 1000, usual / 1000, $0) }) {
          "\(NanoDollars(sum).dollars) USD in this hour, where \(NanoDollars(usual).dollars) is usual"
        }
      }
    }
    let used = (record.usage.input ?? 0) + (record.usage.output ?? 0)
    if used > 0 {
      let (sum, usual) = profile.tokens.add(used.count, at: at)
      if let usual {
        speak(.tokenSpike, about, facts, &verdicts, where: { Self.isSpike(sum, usual, $0) }) {
          "\(sum) tokens in this hour, where \(usual) are usual"
        }
      }
    }
    if profile.firstAt == 0 { profile.firstAt = at }
    profile.lastAt = max(profile.lastAt, at)
    profile.requests.increment()
    return verdicts
  }

  /// Judges the report that a key was found where it should not be.
  public mutating func takeLeak(of id: RecordID, place: String, at: Timestamp, _ facts: Facts) -> [Verdict] {
    guard let known = facts(id) else { return [] }
    let profile = profile(of: id)
    var verdicts: [Verdict] = []
    // Every report counts: the action is the same, and repeating it is no error.
    for (name, trigger) in rules(.leaked) where Self.covers(trigger, known) {
      profile.spoken[name] = at.milliseconds
      verdicts.append(Verdict(trigger: name, key: id, providerKey: nil, at: at, because: "found at \(place)"))
    }
    return verdicts
  }

  /// Lets the time go on: at the end of each day, keys that nobody uses are looked for.
  public mutating func advance(to now: Timestamp, keys: some Sequence<RecordID>, _ facts: Facts) -> [Verdict] {
    let today = now.milliseconds.floorDivided(by: 86_400_000)
    guard let last = day, today > last else {
      day = day ?? today
      return []
    }
    day = today
    var verdicts: [Verdict] = []
    let at = Timestamp(milliseconds: today * 86_400_000)
    for (name, trigger) in rules(.unused) {
      for id in keys {
        guard let known = facts(id), known.isInUse, Self.covers(trigger, known) else { continue }
        let used = max(profiles[id]?.lastAt ?? 0, known.createdAt.milliseconds)
        guard at.milliseconds - used >= Int64(trigger.days ?? 3650) * 86_400_000 else { continue }
        if let spoken = profiles[id]?.spoken[name], at.milliseconds - spoken < Int64(trigger.cooldown) * 1000 { continue }
        profile(of: id).spoken[name] = at.milliseconds
        verdicts.append(
          Verdict(
            trigger: name, key: id, providerKey: nil, at: at,
            because: "not used since \(Timestamp(milliseconds: used).rfc3339)"))
      }
    }
    return verdicts.sorted { ($0.trigger, $0.key!) < ($1.trigger, $1.key!) }
  }

  // MARK: rules

  /// Whom a verdict would be about.
  private struct Subject {
    let id: RecordID
    let profile: KeyProfile
    let at: Timestamp
  }

  private func speak(
    _ condition: Trigger.Condition, _ about: Subject, _ facts: Facts, _ verdicts: inout [Verdict],
    where holds: (Trigger) -> Bool = { _ in true }, _ because: () -> String
  ) {
    for (name, trigger) in rules[condition.position] where holds(trigger) {
      let at = about.at.milliseconds
      guard let known = facts(about.id), Self.covers(trigger, known),
        about.profile.spoken[name].map({ at - $0 >= Int64(trigger.cooldown) * 1000 }) ?? true
      else { continue }
      about.profile.spoken[name] = at
      verdicts.append(Verdict(trigger: name, key: about.id, providerKey: nil, at: about.at, because: because()))
    }
  }

  private static func text(_ address: NetworkAddress?) -> String { address?.description ?? "somewhere" }

  private static func covers(_ trigger: Trigger, _ facts: KeyFacts) -> Bool {
    (trigger.team == nil || trigger.team == facts.team) && (trigger.tag == nil || facts.tags.contains(trigger.tag!))
  }

  private static func isSpike(_ sum: Int64, _ usual: Int64, _ trigger: Trigger) -> Bool {
    guard let times = trigger.times, let floor = trigger.count, sum >= Int64(floor) else { return false }
    return sum / Int64(times) >= max(usual, 1)
  }

  private mutating func speakOfProviderKey(
    _ providerKey: RecordID, at: Timestamp, _ provider: Span<UInt8>, _ verdicts: inout [Verdict]
  ) {
    for (name, trigger) in rules(.providerKeyRefused) {
      let place = "\(name)/\(providerKey)"
      guard spoken[place].map({ at.milliseconds - $0 >= Int64(trigger.cooldown) * 1000 }) ?? true else { continue }
      spoken[place] = at.milliseconds
      let who = String(decoding: [UInt8](copying: provider), as: UTF8.self)
      verdicts.append(
        Verdict(trigger: name, key: nil, providerKey: providerKey, at: at, because: "provider '\(who)' refused it"))
    }
  }

  private func noteVersion(_ record: ActivityRecord, _ at: Int64, _ profile: KeyProfile) {
    let i = profile.position(of: record.keyVersion)
    profile.versions[i].requests.increment()
    profile.versions[i].lastAt = max(profile.versions[i].lastAt, at)
    guard let host = record.address, profile.versions[i].hosts.count < KeyProfile.hostsMax,
      !profile.versions[i].hosts.contains(host)
    else { return }
    profile.versions[i].hosts.append(host)
  }

  /// Requests before an hour is said to be unusual.
  private static let hoursEnough = 200

  /// Notes the hour; true when it is an unusual one.
  private func noteHour(_ at: Int64, _ profile: KeyProfile) -> Bool {
    let hour = max(0, Int(at.floorDivided(by: 3_600_000)))
    // 1970-01-01 was a Thursday.
    let base = (hour / 24 + 3) % 7 >= 5 ? 24 : 0
    let slot = base + hour % 24
    if profile.hours[slot] > 0 {
      if profile.hours[slot] < .max { profile.hours[slot] += 1 }
      return false
    }
    let isUnusual =
      profile.requests >= Self.hoursEnough && profile.hours[base + (hour + 1) % 24] == 0
      && profile.hours[base + (hour + 23) % 24] == 0
    profile.hours[slot] = 1
    return isUnusual
  }

  /// Milliseconds of silence after which requests from a place are a new run.
  private static let silence: Int64 = 30 * 60_000
  /// Milliseconds between a probe and what follows it.
  private static let pause: Int64 = 10_000
  private static let probesMax = 3

  /// Notes where a request came from. Returns whether that is new, and, after a probe, how many came in this minute.
  private func notePlace(_ network: NetworkAddress, _ at: Int64, _ profile: KeyProfile) -> (isNew: Bool, burst: Int) {
    var isNew = false
    var i = profile.places.firstIndex { $0.network == network } ?? -1
    if i < 0 {
      // A key that is used from everywhere is at home nowhere: nothing is new to it.
      isNew = !profile.places.isEmpty && profile.places.count < KeyProfile.placesMax
      if profile.places.count >= KeyProfile.placesMax,
        let oldest = profile.places.indices.min(by: { profile.places[$0].lastAt < profile.places[$1].lastAt })
      {
        profile.places.remove(at: oldest)
      }
      profile.places.append(KeyProfile.Place(network: network, lastAt: at))
      i = profile.places.count - 1
    }
    let last = profile.places[i].lastAt
    if at - last > Self.silence { profile.places[i] = KeyProfile.Place(network: network, lastAt: at) }
    if !profile.places[i].isProbed {
      if (1...Self.probesMax).contains(profile.places[i].probes), at - last >= Self.pause {
        profile.places[i].isProbed = true
      } else {
        profile.places[i].probes.increment()
      }
    }
    if profile.places[i].isProbed {
      let minute = at.floorDivided(by: 60_000)
      if profile.places[i].minute != minute { (profile.places[i].minute, profile.places[i].inMinute) = (minute, 0) }
      profile.places[i].inMinute.increment()
    }
    profile.places[i].lastAt = max(last, at)
    return (isNew, profile.places[i].isProbed ? profile.places[i].inMinute : 0)
  }
}

extension Trigger.Condition {
  /// Its place among all.
  fileprivate var position: Int {
    switch self {
    case .leaked: 0
    case .providerKeyRefused: 1
    case .usedAfterGrace: 2
    case .newNetwork: 3
    case .newModel: 4
    case .probeThenBurst: 5
    case .spendSpike: 6
    case .tokenSpike: 7
    case .refusals: 8
    case .unusualHours: 9
    case .unused: 10
    case .budgetReached: 11
    case .decoyUsed: 12
    }
  }
}
