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
/// chance in it.
public struct TriggerEngine: Sendable {
  public var triggers: [String: Trigger] { didSet { index() } }
  public private(set) var profiles: [RecordID: KeyProfile]
  /// Keys whose profile has changed since it was last kept.
  public var changed: Set<RecordID> = []
  private var byCondition: [Trigger.Condition: [String]] = [:]
  /// The last day (since 1970) whose end was looked at.
  private var day: Int64?
  /// Of provider keys: when each trigger last spoke of one.
  private var spoken: [String: Int64] = [:]

  public init(_ triggers: [String: Trigger], profiles: [RecordID: KeyProfile] = [:]) {
    self.triggers = triggers
    self.profiles = profiles
    index()
  }

  private mutating func index() {
    byCondition = Dictionary(grouping: triggers.keys.sorted(), by: { triggers[$0]!.when })
  }

  // MARK: what comes in

  /// Judges one request.
  public mutating func take(_ entry: ActivityEntry, _ facts: (RecordID) -> KeyFacts?) -> [Verdict] {
    var verdicts: [Verdict] = []
    let record = entry.record
    if let id = record.refusedProviderKey {
      speakOfProviderKey(id, at: record.start, "provider '\(entry.provider)' refused it", &verdicts)
    }
    guard let id = record.key, let known = facts(id) else { return verdicts }
    var profile = profiles[id] ?? KeyProfile()
    changed.insert(id)
    let at = record.start.milliseconds
    let (byCondition, triggers) = (byCondition, triggers)
    func speak(
      _ condition: Trigger.Condition, _ profile: inout KeyProfile, _ because: @autoclosure () -> String,
      where holds: (Trigger) -> Bool = { _ in true }
    ) {
      for name in byCondition[condition] ?? [] {
        let trigger = triggers[name]!
        guard Self.covers(trigger, known), holds(trigger),
          profile.spoken[name].map({ at - $0 >= Int64(trigger.cooldown) * 1000 }) ?? true
        else { continue }
        profile.spoken[name] = at
        verdicts.append(Verdict(trigger: name, key: id, providerKey: nil, at: record.start, because: because()))
      }
    }
    let isRefused = record.outcome == .refused
    switch entry.code {
    case "decoy_key":
      speak(.decoyUsed, &profile, "the decoy was used from \(record.address?.description ?? "somewhere")")
    case "retired_version":
      speak(
        .usedAfterGrace, &profile,
        "version \(record.keyVersion) was used from \(record.address?.description ?? "somewhere") after its grace period")
    case "budget_exhausted": speak(.budgetReached, &profile, "a budget had nothing left for a request")
    default: break
    }
    noteVersion(record, at, &profile)
    if isRefused {
      let minute = at.floorDivided(by: 60_000)
      if profile.refusedMinute != minute { (profile.refusedMinute, profile.refusedInMinute) = (minute, 0) }
      profile.refusedInMinute += 1
      let count = profile.refusedInMinute
      speak(.refusals, &profile, "\(count) requests were refused within a minute") { count >= $0.count ?? .max }
    } else {
      // Only what was let in shows how the key is used: a stranger who guesses must not teach us anything.
      let first = profile.firstAt
      func isLearned(_ trigger: Trigger) -> Bool { first > 0 && at - first >= Int64(trigger.learnDays ?? 0) * 86_400_000 }
      noteHour(at, &profile) { speak(.unusualHours, &$0, "used at an hour at which it never is", where: isLearned) }
      notePlace(record.address, at, &profile) { profile, place, isNew, burst in
        if isNew { speak(.newNetwork, &profile, "used from \(place) for the first time", where: isLearned) }
        speak(.probeThenBurst, &profile, "a few requests from \(place), a pause, then \(burst) in a minute") {
          burst >= $0.count ?? .max
        }
      }
      if !entry.model.isEmpty, !profile.models.contains(entry.model), profile.models.count < KeyProfile.modelsMax {
        if !profile.models.isEmpty {
          speak(.newModel, &profile, "asked for '\(entry.model)' for the first time", where: isLearned)
        }
        profile.models.insert(entry.model)
      }
      if let cost = record.cost?.count, cost > 0 {
        let (sum, usual) = profile.spend.add(cost, at: at)
        speak(
          .spendSpike, &profile, "\(NanoDollars(sum).dollars) USD in this hour, where \(NanoDollars(usual ?? 0).dollars) is usual"
        ) {
          Self.isSpike(sum / 1000, usual.map { $0 / 1000 }, $0)
        }
      }
      let used = (record.usage.input ?? 0) + (record.usage.output ?? 0)
      if used > 0 {
        let (sum, usual) = profile.tokens.add(used, at: at)
        speak(.tokenSpike, &profile, "\(sum) tokens in this hour, where \(usual ?? 0) are usual") { Self.isSpike(sum, usual, $0) }
      }
      if profile.firstAt == 0 { profile.firstAt = at }
      profile.lastAt = max(profile.lastAt, at)
      profile.requests += 1
    }
    profiles[id] = profile
    return verdicts
  }

  /// Judges the report that a key was found where it should not be.
  public mutating func takeLeak(of id: RecordID, place: String, at: Timestamp, _ facts: (RecordID) -> KeyFacts?) -> [Verdict] {
    guard let known = facts(id) else { return [] }
    var profile = profiles[id] ?? KeyProfile()
    var verdicts: [Verdict] = []
    // Every report counts: the action is the same, and repeating it is no error.
    for name in byCondition[.leaked] ?? [] where Self.covers(triggers[name]!, known) {
      profile.spoken[name] = at.milliseconds
      verdicts.append(Verdict(trigger: name, key: id, providerKey: nil, at: at, because: "found at \(place)"))
    }
    profiles[id] = profile
    changed.insert(id)
    return verdicts
  }

  /// Lets the time go on: at the end of each day, keys that nobody uses are looked for.
  public mutating func advance(to now: Timestamp, keys: some Sequence<RecordID>, _ facts: (RecordID) -> KeyFacts?) -> [Verdict] {
    let today = now.milliseconds.floorDivided(by: 86_400_000)
    guard let last = day, today > last else {
      day = day ?? today
      return []
    }
    day = today
    var verdicts: [Verdict] = []
    let at = Timestamp(milliseconds: today * 86_400_000)
    for name in byCondition[.unused] ?? [] {
      let trigger = triggers[name]!
      for id in keys {
        guard let known = facts(id), known.isInUse, Self.covers(trigger, known) else { continue }
        let used = max(profiles[id]?.lastAt ?? 0, known.createdAt.milliseconds)
        guard at.milliseconds - used >= Int64(trigger.days ?? 3650) * 86_400_000 else { continue }
        var profile = profiles[id] ?? KeyProfile()
        if let spoken = profile.spoken[name], at.milliseconds - spoken < Int64(trigger.cooldown) * 1000 { continue }
        profile.spoken[name] = at.milliseconds
        profiles[id] = profile
        changed.insert(id)
        verdicts.append(
          Verdict(
            trigger: name, key: id, providerKey: nil, at: at, because: "not used since \(Timestamp(milliseconds: used).rfc3339)"))
      }
    }
    return verdicts.sorted { ($0.trigger, $0.key!) < ($1.trigger, $1.key!) }
  }

  public mutating func forget(_ id: RecordID) {
    profiles[id] = nil
    changed.remove(id)
  }

  // MARK: rules

  private static func covers(_ trigger: Trigger, _ facts: KeyFacts) -> Bool {
    (trigger.team == nil || trigger.team == facts.team) && (trigger.tag == nil || facts.tags.contains(trigger.tag!))
  }

  private static func isSpike(_ sum: Int64, _ usual: Int64?, _ trigger: Trigger) -> Bool {
    guard let usual, let times = trigger.times, let floor = trigger.count, sum >= Int64(floor) else { return false }
    return sum / Int64(times) >= max(usual, 1)
  }

  private mutating func speakOfProviderKey(
    _ providerKey: RecordID, at: Timestamp, _ because: String, _ verdicts: inout [Verdict]
  ) {
    for name in byCondition[.providerKeyRefused] ?? [] {
      let place = "\(name)/\(providerKey)"
      guard spoken[place].map({ at.milliseconds - $0 >= Int64(triggers[name]!.cooldown) * 1000 }) ?? true else { continue }
      spoken[place] = at.milliseconds
      verdicts.append(Verdict(trigger: name, key: nil, providerKey: providerKey, at: at, because: because))
    }
  }

  private func noteVersion(_ record: ActivityRecord, _ at: Int64, _ profile: inout KeyProfile) {
    var use = profile.versions[record.keyVersion] ?? KeyProfile.VersionUse()
    use.requests += 1
    use.lastAt = max(use.lastAt, at)
    if let host = record.address?.description, !use.hosts.contains(host), use.hosts.count < KeyProfile.hostsMax {
      use.hosts.append(host)
    }
    profile.versions[record.keyVersion] = use
    if profile.versions.count > 2 * KeyDetails.olderMax { profile.versions[profile.versions.keys.min()!] = nil }
  }

  /// Requests before an hour is said to be unusual.
  private static let hoursEnough = 200

  private func noteHour(_ at: Int64, _ profile: inout KeyProfile, _ speak: (inout KeyProfile) -> Void) {
    let hour = Int(at.floorDivided(by: 3_600_000))
    // 1970-01-01 was a Thursday.
    let weekday = (hour / 24 + 3) % 7
    let base = weekday >= 5 ? 24 : 0
    let isUnusual =
      profile.requests >= Self.hoursEnough
      && [23, 0, 1].allSatisfy { profile.hours[base + (hour % 24 + $0) % 24] == 0 }
    profile.hours[base + hour % 24] += 1
    if isUnusual { speak(&profile) }
  }

  /// Milliseconds of silence after which requests from a place are a new run.
  private static let silence: Int64 = 30 * 60_000
  /// Milliseconds between a probe and what follows it.
  private static let pause: Int64 = 10_000
  private static let probesMax = 3

  private func notePlace(
    _ address: NetworkAddress?, _ at: Int64, _ profile: inout KeyProfile,
    _ judge: (inout KeyProfile, _ place: String, _ isNew: Bool, _ burst: Int) -> Void
  ) {
    guard let address else { return }
    let name = address.neighbourhood.description
    var isNew = false
    var place: KeyProfile.Place
    if let known = profile.places[name] {
      place = known
    } else {
      // A key that is used from everywhere is at home nowhere: nothing is new to it.
      isNew = !profile.places.isEmpty && profile.places.count < KeyProfile.placesMax
      if profile.places.count >= KeyProfile.placesMax, let oldest = profile.places.min(by: { $0.value.lastAt < $1.value.lastAt })
      {
        profile.places[oldest.key] = nil
      }
      place = KeyProfile.Place(lastAt: at, runStart: at)
    }
    if at - place.lastAt > Self.silence { place = KeyProfile.Place(lastAt: at, runStart: at) }
    if !place.isProbed, place.probes > 0, place.probes <= Self.probesMax, at - place.lastAt >= Self.pause {
      place.isProbed = true
    }
    if !place.isProbed { place.probes += 1 }
    if place.isProbed {
      let minute = at.floorDivided(by: 60_000)
      if place.minute != minute { (place.minute, place.inMinute) = (minute, 0) }
      place.inMinute += 1
    }
    place.lastAt = max(place.lastAt, at)
    profile.places[name] = place
    judge(&profile, name, isNew, place.isProbed ? place.inMinute : 0)
  }
}
