import Domain
import Primitives
import Providers
import TestSupport
import Testing

struct PriceTests {
  private func price(_ values: [String: Int64]) -> Price {
    var price = Price()
    for (column, value) in values {
      let isKnown = price.set(column, value)
      #expect(isKnown)
    }
    return price
  }

  @Test("each kind of token costs its own price, exactly, rounded up once") func kinds() {
    let price = price([
      "input": 3_000_000_000, "output": 15_000_000_000, "cache_read": 300_000_000, "cache_write": 3_750_000_000,
      "reasoning": 20_000_000_000, "audio_input": 40_000_000_000,
    ])
    let usage = Usage(input: 1000, output: 500, cacheRead: 10_000, cacheWrite: 100, reasoning: 200, audioInput: 10)
    // 990·3 + 10·40 + 10,000·0.3 + 100·3.75 + 300·15 + 200·20, in millionths of a dollar.
    let parts: [Int64] = [990 * 3000, 10 * 40_000, 10_000 * 300, 100 * 3750, 300 * 15_000, 200 * 20_000]
    #expect(price.cost(usage)?.count == parts.reduce(0, +))
    #expect(self.price(["input": 1]).cost(Usage(input: 1))?.count == 1, "a fraction of a nano-dollar is one")
    #expect(self.price(["input": 1]).cost(Usage(input: 1_000_001))?.count == 2)
    #expect(self.price(["input": 5]).cost(Usage(input: 1, output: 1)) == nil, "a kind without a price has no cost")
    #expect(self.price(["input": 5]).cost(Usage()) == NanoDollars(0))
    #expect(
      self.price(["input": Price.valueMax]).cost(Usage(input: .max))?.count == .max, "what does not fit is as much as there is")
  }

  @Test("above its step a tier's prices are those of the whole request; priority and batch have their own") func tiers() {
    let price = price([
      "input": 1_000_000, "output": 2_000_000, "tier_above": 100, "tier_input": 2_000_000, "tier_output": 3_000_000,
      "priority_input": 5_000_000, "priority_output": 6_000_000, "batch_input": 500_000, "batch_output": 1_000_000,
    ])
    #expect(price.cost(Usage(input: 100, output: 10))?.count == 120)
    #expect(price.cost(Usage(input: 101, output: 10))?.count == 232)
    #expect(price.cost(Usage(input: 50, output: 10, cacheRead: 51))?.count == 232, "what is cached is input, too")
    #expect(price.cost(Usage(input: 100, output: 10), service: .priority)?.count == 560)
    #expect(price.cost(Usage(input: 100, output: 10), service: .batch)?.count == 60)
  }

  @Test("no request costs more than its bound, whatever kinds its tokens turn out to be") func bound() throws {
    let random = SeededRandomness(seed: 8)
    for _ in 0..<5000 {
      var price = Price()
      for column in Price.columnNames where random.next() % 2 == 0 {
        _ = price.set(column, Int64(random.next() % 50_000_000_000))
      }
      price.tierAbove = price.tierAbove.map { $0 % 1000 }
      (price.input, price.output) = (Int64(random.next() % 9_000_000_000), Int64(random.next() % 9_000_000_000))
      func tokens(upTo most: TokenCount) -> TokenCount { TokenCount(clamping: random.next() % UInt64(most.count + 1)) }
      let (most, longest) = (tokens(upTo: 5000), tokens(upTo: 5000))
      let input = tokens(upTo: most)
      let read = input / Int64(random.next() % 5 + 1)
      let write = (input - read) / Int64(random.next() % 5 + 1)
      let output = tokens(upTo: longest)
      let usage = Usage(
        input: input - read - write, output: output, cacheRead: read, cacheWrite: write,
        reasoning: tokens(upTo: output), audioInput: tokens(upTo: input), audioOutput: tokens(upTo: output))
      let bound = try #require(price.bound(inputTokens: most, outputTokens: longest))
      for service in [Price.Service.standard, .priority] {
        let cost = try #require(price.cost(usage, service: service))
        #expect(cost <= bound, "\(cost.count) > \(bound.count): \(usage) \(price)")
      }
      if let tokens = price.affordable(bound, inputTokens: most, limit: longest) { #expect(tokens == longest) }
    }
  }

  @Test("what is left pays for so many tokens, and one more would be too many") func affordable() throws {
    let price = price(["input": 1_000_000_000, "output": 7_000_000_000])
    let tokens = try #require(price.affordable(NanoDollars(1_000_000), inputTokens: 100, limit: 10_000))
    #expect(try #require(price.bound(inputTokens: 100, outputTokens: tokens)) <= NanoDollars(1_000_000))
    #expect(try #require(price.bound(inputTokens: 100, outputTokens: tokens + 1)) > NanoDollars(1_000_000))
    #expect(price.affordable(NanoDollars(99_999), inputTokens: 100, limit: 10) == nil)
  }

  private func look(_ list: PriceList, _ provider: String, _ model: String) -> Int64? {
    let name = Array(model.utf8)
    return list.list(named: provider).flatMap { list.price(list: $0, model: name.span) }?.price.input
  }

  @Test(
    "a price is found by its exact name in its own list; yours wins, an exact one over a glob, the longer glob over the shorter")
  func lookup() {
    let shipped: [PriceList.Entry] = (0..<3000).map { n in
      .init(list: ["a", "b"][n % 2], model: "model-\(n / 2)", price: price(["input": Int64(n)]))
    }
    let list = PriceList(
      overrides: [
        .init(list: "a", model: "model-7", price: price(["input": 9000001])),
        .init(list: "a", model: "model-8*", price: price(["input": 9000002])),
        .init(list: "a", model: "model-80?", price: price(["input": 9000003])),
        .init(list: "c", model: "x", price: price(["input": 9000004])),
      ], shipped: shipped)
    for n in 0..<1500 where n != 7 && !"\(n)".hasPrefix("8") {
      #expect(look(list, "a", "model-\(n)") == Int64(2 * n) && look(list, "b", "model-\(n)") == Int64(2 * n + 1))
    }
    #expect(look(list, "a", "model-7") == 9000001 && look(list, "b", "model-7") == 15)
    #expect(look(list, "a", "model-81") == 9000002 && look(list, "a", "model-801") == 9000003 && look(list, "c", "x") == 9000004)
    #expect(look(list, "a", "model") == nil && look(list, "d", "x") == nil && look(list, "a", "MODEL-9") == nil)
  }

  @Test("the shipped list is whole: its date, its models, and no price that is lost on the way") func shipped() throws {
    #expect(PriceList.shippedDate.count == 10 && PriceList.shippedEntries.count > 2000)
    let list = PriceList()
    #expect(look(list, "openai", "gpt-4o") == 2_500_000_000)
    #expect(look(list, "anthropic", "claude-sonnet-4-5") == 3_000_000_000)
    for entry in PriceList.shippedEntries { #expect(look(list, entry.list, entry.model) == entry.price.input) }
    let text = try Corpora.text("Sources/CPriceList/prices.tsv").split(separator: "\n")
    #expect(text.count == PriceList.shippedEntries.count + 2)
  }
}
