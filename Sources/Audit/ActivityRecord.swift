public import Primitives
public import Providers

/// How an exchange ended.
public enum Outcome: UInt8, Sendable, CaseIterable {
  /// The provider's answer was passed to its end.
  case completed
  /// The gateway refused: see the status and the refusal's code.
  case refused
  /// The client went away before the end.
  case clientGone
  /// The provider could not be reached, broke off, or made no sense.
  case upstreamFailed
  case upstreamTimedOut
  /// Cut because the key lost its right meanwhile, or the server was stopping.
  case cut

  public var name: String {
    switch self {
    case .completed: "completed"
    case .refused: "refused"
    case .clientGone: "client_gone"
    case .upstreamFailed: "upstream_failed"
    case .upstreamTimedOut: "upstream_timed_out"
    case .cut: "cut"
    }
  }
}

/// One request: who, what, how much, how it ended. Never a prompt, never an answer, never a secret.
public struct ActivityRecord: Sendable {
  /// When the head had arrived.
  public var start: Timestamp
  /// nil when no key was recognised.
  public var key: RecordID?
  /// Which of the key's secrets was presented; 0 when no key was recognised.
  public var keyVersion: UInt32 = 0
  /// Where the request came from; nil when that is not known.
  public var address: NetworkAddress?
  /// Which of the provider's keys it went on with; nil when it did not go on.
  public var providerKey: RecordID?
  public var providerKeyVersion: UInt32 = 0
  /// One that the provider refused on the way, whether or not another was taken.
  public var refusedProviderKey: RecordID?
  /// Which trace the client has it in; nil where it says none.
  public var trace: TraceContext?
  /// nil when no endpoint was recognised.
  public var endpoint: EndpointClass?
  public var outcome: Outcome
  /// What the client was told.
  public var status: UInt16
  /// What the provider told us; 0 when it was not asked or did not answer.
  public var upstreamStatus: UInt16
  public var isStream: Bool
  /// Bytes of content from and to the client.
  public var bytesIn: Int
  public var bytesOut: Int
  /// Microseconds from the head to the last byte, and to the provider's first.
  public var durationMicroseconds: Int
  public var firstByteMicroseconds: Int
  public var usage: Usage
  /// nil when nobody has said what the model costs, or nothing was used.
  public var cost: NanoDollars?
  /// Whether tokens and cost were counted by us, because the provider did not say.
  public var isEstimated = false

  public init(start: Timestamp) {
    self.start = start
    outcome = .refused
    status = 0
    upstreamStatus = 0
    isStream = false
    bytesIn = 0
    bytesOut = 0
    durationMicroseconds = 0
    firstByteMicroseconds = 0
    usage = Usage()
  }
}

/// A record as it is read back, with its texts.
public struct ActivityEntry: Sendable {
  public var place: ActivityPlace
  public var record: ActivityRecord
  public var provider: String
  public var model: String
  /// The refusal's code, or empty.
  public var code: String

  public init(place: ActivityPlace, record: ActivityRecord, provider: String, model: String, code: String) {
    self.place = place
    (self.record, self.provider, self.model, self.code) = (record, provider, model, code)
  }
}

/// Where a record stands among all: by its time, then by the segment that keeps it, then within that.
public struct ActivityPlace: Sendable, Comparable {
  let start: Timestamp
  let segment: Int64
  let index: Int

  public init(start: Timestamp, segment: Int64, index: Int) { (self.start, self.segment, self.index) = (start, segment, index) }

  /// Reads what `text` gives; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, let start = Int64(parts[0]), let segment = Int64(parts[1]), let index = Int(parts[2]) else {
      return nil
    }
    self.init(start: Timestamp(milliseconds: start), segment: segment, index: index)
  }

  public var text: String { "\(start.milliseconds)-\(segment)-\(index)" }

  public static func < (a: Self, b: Self) -> Bool {
    (a.start, a.segment, a.index) < (b.start, b.segment, b.index)
  }
}
