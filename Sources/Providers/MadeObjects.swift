import Domain
import Primitives
import Wire

/// Reads the IDs of new objects out of an answer while it flows past.
public struct MadeObjects: Sendable {
  private var effect = ObjectEffect.none
  private var isEvents = false
  private var probe = JSONProbe()
  private var events = EventStreamSplitter()
  private var isOver = false
  /// Whether containers are told of, too, which can come after the ID of the answer.
  private var tellsContainers = false
  private var taken: [String] = []

  public init() {}

  /// `usesContainers`: whether the request has tools that make some.
  public mutating func expect(_ effect: ObjectEffect, _ format: UsageMeter.Format, usesContainers: Bool = false) {
    guard effect == .makesByID || effect == .makesByName || (effect == .makesContainers && usesContainers),
      format == .json || format == .eventStream
    else { return }
    self = MadeObjects()
    (self.effect, isEvents, tellsContainers) = (effect, format == .eventStream, usesContainers && effect != .makesByName)
  }

  public mutating func reset() { if effect != .none { self = MadeObjects() } }

  private static let byID = JSONPaths([
    ("id", .text(0)), ("response.id", .text(0)), ("interaction.id", .text(0)), ("output_file_id", .text(1)),
    ("file.id", .text(1)), ("error_file_id", .text(2)),
    ("store", .number(0)), ("response.store", .number(0)),
    // Containers of tools; no answer has both these and a file of errors.
    ("output.[].container_id", .text(2)), ("response.output.[].container_id", .text(2)), ("item.container_id", .text(2)),
  ])
  private static let byContainer = JSONPaths([
    ("container.id", .text(2)), ("message.container.id", .text(2)), ("delta.container.id", .text(2)),
  ])
  private static let byName = JSONPaths([("name", .text(0)), ("file.name", .text(0)), ("response.name", .text(1))])

  /// What was told of new objects when a document is over; empty before, and for what was told before.
  public mutating func feed(_ bytes: Span<UInt8>) -> [String] {
    guard effect != .none, !isOver else { return [] }
    let paths = effect == .makesByID ? Self.byID : effect == .makesByName ? Self.byName : Self.byContainer
    if !isEvents {
      probe.feed(bytes, paths)
      return probe.status == .complete ? take() : []
    }
    var i = 0
    var found: [String] = []
    while !isOver {
      switch events.step(bytes, from: i) {
      case .data(let range):
        probe.feed(bytes.extracting(range), paths)
        i = range.upperBound
      case .endOfEvent(let used):
        i = used
        if !JSONText(probe.text(0)).isEmpty || !JSONText(probe.text(2)).isEmpty { found += take() }
        probe.startNextDocument()
      case .more: return found
      }
    }
    return found
  }

  private mutating func take() -> [String] {
    isOver = !tellsContainers || !isEvents
    // Asked not to be kept: there is nothing to find again.
    if probe.number(0) == 0 {
      isOver = true
      return []
    }
    let told = (0..<3).map { String(decoding: [UInt8](copying: probe.text($0).span), as: UTF8.self) }
    let new = told.filter { !$0.isEmpty && !taken.contains($0) }
    guard taken.count + new.count <= Self.objectsMax else { return [] }
    taken += new
    return new
  }

  /// Objects that one answer can make.
  static let objectsMax = 64
}
