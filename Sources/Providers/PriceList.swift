import CPriceList
import Domain
import Primitives

/// A price that requests refer to while they last, instead of carrying its three hundred bytes about.
public final class Tariff: Sendable {
  public let price: Price
  public init(_ price: Price) { self.price = price }
}

/// What models cost: the list that is shipped, and what was set on top of it. Immutable; asked without an allocation.
public struct PriceList: Sendable {
  /// A price of a model at a provider's list, by exact name or by glob.
  public struct Entry: Sendable {
    /// The name of a list: a provider's of the catalogue.
    public let list: String
    public let model: String
    public let price: Price
    public init(list: String, model: String, price: Price) {
      self.list = list
      self.model = model
      self.price = price
    }
  }

  /// The date of the shipped list, as `2026-11-24`.
  public static var shippedDate: String { shipped.date }
  public static var shippedEntries: [Entry] { shipped.entries }

  private static let shipped: (date: String, entries: [Entry]) = {
    // SAFETY: a constant array of the program, of that size.
    let bytes = unsafe Array(UnsafeRawBufferPointer(start: maskllm_prices_start(), count: maskllm_prices_size()))
    guard let list = read(bytes) else { preconditionFailure("the shipped price list is broken") }
    return list
  }()

  /// Reads the table that `scripts/prices.py` writes; nil when it is none.
  static func read(_ bytes: [UInt8]) -> (date: String, entries: [Entry])? {
    var lines = bytes.split(separator: 10)[...]
    guard let head = lines.popFirst(), let columns = lines.popFirst(), head.count > 22,
      head.starts(with: Array("# prices of ".utf8))
    else { return nil }
    let names = columns.split(separator: 9).map { String(decoding: $0, as: UTF8.self) }
    let fields = names.map { name in Price.columns.first { $0.name == name }?.path }
    var entries: [Entry] = []
    entries.reserveCapacity(lines.count)
    for line in lines {
      let cells = line.split(separator: 9, omittingEmptySubsequences: false)
      guard cells.count == names.count else { return nil }
      var price = Price()
      for (cell, field) in zip(cells, fields) {
        guard let field, !cell.isEmpty else { continue }
        guard let value = ASCII.decimal(Array(cell).span) else { return nil }
        price[keyPath: field] = Int64(value)
      }
      entries.append(
        Entry(list: String(decoding: cells[0], as: UTF8.self), model: String(decoding: cells[1], as: UTF8.self), price: price))
    }
    return (String(decoding: head.dropFirst(12).prefix(10), as: UTF8.self), entries)
  }

  private struct Slot: Sendable {
    let list: UInt16
    let model: [UInt8]
    let tariff: Tariff
  }
  private let lists: [String]
  private let exact: [Slot]
  private let table: [UInt32]  // position in `exact` plus one; 0 is empty
  private let globs: [Slot]

  /// `overrides` win over what is shipped, an exact name over a glob, the longer glob over the shorter.
  public init(overrides: [Entry] = [], shipped: [Entry] = shippedEntries) {
    var lists: [String: UInt16] = [:]
    func number(_ list: String) -> UInt16 {
      if let known = lists[list] { return known }
      lists[list] = UInt16(lists.count)
      return UInt16(lists.count - 1)
    }
    func isGlob(_ model: String) -> Bool { model.utf8.contains { $0 == 42 || $0 == 63 } }
    let exact = (overrides.filter { !isGlob($0.model) } + shipped).map {
      Slot(list: number($0.list), model: Array($0.model.utf8), tariff: Tariff($0.price))
    }
    globs = overrides.filter { isGlob($0.model) }.sorted { $0.model.utf8.count > $1.model.utf8.count }.map {
      Slot(list: number($0.list), model: Array($0.model.utf8), tariff: Tariff($0.price))
    }
    overridden = overrides.count { !isGlob($0.model) }
    var capacity = 16
    while capacity < exact.count * 2 { capacity *= 2 }
    var table = [UInt32](repeating: 0, count: capacity)
    // In order, so that an override is met first.
    for (i, slot) in exact.enumerated() {
      var at = Self.hash(slot.list, slot.model.span) & (capacity - 1)
      while table[at] != 0 { at = (at + 1) & (capacity - 1) }
      table[at] = UInt32(i + 1)
    }
    self.exact = exact
    self.table = table
    self.lists = lists.sorted { $0.value < $1.value }.map(\.key)
  }
  private let overridden: Int

  /// The number of a list, to be looked up once; nil when it has no price.
  public func list(named name: String) -> UInt16? { lists.firstIndex(of: name).map(UInt16.init) }

  /// What `model` costs on list number `list`; nil when nobody has said.
  public func price(list: UInt16, model: Span<UInt8>) -> Tariff? {
    let mask = table.count - 1
    var at = Self.hash(list, model) & mask
    var found: Tariff?
    while table[at] != 0 {
      let i = Int(table[at]) - 1
      let name = exact[i].model
      if exact[i].list == list, model.equals(name.span) {
        if i < overridden { return exact[i].tariff }
        found = exact[i].tariff
        break
      }
      at = (at + 1) & mask
    }
    for slot in globs where slot.list == list {
      let glob = slot.model
      if ModelGlob.matches(glob.span, model) { return slot.tariff }
    }
    return found
  }

  // FNV-1a, 64 bits: names are short, and nobody outside chooses what is in the table.
  private static func hash(_ list: UInt16, _ model: Span<UInt8>) -> Int {
    var h: UInt64 = 0xCBF2_9CE4_8422_2325 ^ UInt64(list)
    for i in model.indices { h = (h ^ UInt64(model[i])) &* 0x100_0000_01B3 }
    return Int(truncatingIfNeeded: h ^ h >> 32) & .max
  }
}
