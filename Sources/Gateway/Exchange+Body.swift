import Audit
import Domain
import PolicyEngine
import Primitives
import Providers
import Transport
import Wire

// What a body says decides: it is read whole, checked, counted, and sent as it was checked.
extension Exchange {
  /// Reads the whole body into `outbound` and decides on the model it names.
  mutating func readBody(_ client: inout ServerConnection) async throws(Ending) {
    if readsBody || wantsUsage { work.reader.readAll(endpoint!.dialect) }
    client.outbound.clear()
    while try !gather(&client) {
      do throws(IOFailure) { try await client.readMore() } catch {
        switch error {
        case .recheck, .watched: try checkPresent(client)
        case .timedOut: throw .refused(Answers.malformed(HTTPError(408, "The request body did not arrive in time.")), .refused)
        default: throw .clientGone
        }
      }
    }
    work.references.finish()
    if work.references.isToCheck { try await checkReferences() }
    guard readsBody else { return try recheck() }
    let boundary = formBoundary
    do throws(Unclear) {
      let named = try work.reader.resolveModels(
        endpoint!, of: upstream!.entry, mediaType, pathModel: model, body: client.outbound.readable, boundary: boundary.span)
      (model, otherModels) = (named.own, named.others)
    } catch { throw .refused(Answers.unclear(error), .refused) }
    // Much may have changed while the body arrived: the decision is made on what is in force now.
    try recheck()
    let key = try position()
    do throws(Refusal) {
      if shard.snapshot.restrictsModels(key: key) {
        try shard.snapshot.decide(key: key, model: model.span)
        for other in otherModels { try shard.snapshot.decide(key: key, model: other.span) }
      }
    } catch { throw .refused(error.answer, .refused) }
  }

  private mutating func gather(_ client: inout ServerConnection) throws(Ending) -> Bool {
    do throws(HTTPError) {
      let before = client.outbound.count
      let isRead = try client.takeContentToOutbound(atMost: .max)
      feed(client.outbound.readable.extracting(before..<client.outbound.count))
      try checkSize(client)
      return isRead
    } catch { throw refused(error) }
  }

  /// The key's position in the snapshot in force.
  private func position() throws(Ending) -> Int {
    guard let keyID, let key = shard.snapshot.position(of: keyID) else { throw .refused(Refusal.unknownKey.answer, .refused) }
    return key
  }

  // MARK: counting

  /// Counts the request against everything that knows more than how often it is called: models, tokens, days, money.
  mutating func count(_ client: borrowing ServerConnection) async throws(Ending) {
    var key = try position()
    let wasSaid = try boundOutput(key, client)
    guard shard.snapshot.counts(key: key) else { return }
    var bound = bound ?? Bound(inputTokens: 0, outputTokens: 0, price: nil)
    do throws(Denial) {
      try work.charges.admit(shard.snapshot, key: key, model: model.span, bound: bound, now: started)
      // Each turn the ledger gives at least what is asked for, or says that there is not so much; others can be faster.
      for turn in 0... {
        let need = try work.charges.hold(
          shard.snapshot, key: key, provider: providerIndex, model: model.span, bound: bound, now: shard.clock.now)
        guard let need else { break }
        guard turn < Self.turnsMax else { throw Denial(.ledgerUnavailable) }
        let outcome = await shard.desk.take(need)
        key = try stillPosition()
        switch outcome {
        case nil: throw Denial(.ledgerUnavailable)
        case .granted: continue
        case .short(let left, let again):
          if !wasSaid, need.account.unit == .nanoDollars, let price = bound.price,
            let tokens = price.price.affordable(
              NanoDollars(left.count), inputTokens: bound.inputTokens, limit: bound.outputTokens - 1),
            tokens >= Self.shortestAnswer
          {
            // Nobody asked for so long an answer: what there is pays for a shorter one.
            bound.outputTokens = tokens
            continue
          }
          throw denial(need.account.unit, again)
        }
      }
    } catch { throw refused(error) }
    self.bound = bound
    if endpoint!.generates, shard.snapshot.countsTokens(key: key) {
      // Beside one event a token there are a few that carry none: roles, ends, usage.
      piecesMax = bound.outputTokens + TokenCount(work.reader.choices ?? 1) * 4 + 4
    }
  }

  static let turnsMax = 64
  /// Tokens below which an answer is not worth its request.
  static let shortestAnswer: TokenCount = 16

  /// The key's position after a wait, if it is still in force. (A client that went meanwhile is noticed at the next read.)
  private func stillPosition() throws(Denial) -> Int {
    guard let keyID, let key = shard.snapshot.position(of: keyID) else {
      throw Denial(shard.snapshot.isSealed ? .sealed : .unknownKey)
    }
    do throws(Refusal) { try shard.snapshot.decide(key: key, validAt: shard.clock.now) } catch { throw Denial(error) }
    return key
  }

  private func denial(_ unit: Account.Unit, _ again: Timestamp) -> Denial {
    if unit == .nanoDollars { return Denial(.budgetExhausted) }
    let wait = min(max(again.milliseconds - shard.clock.now.milliseconds, 1), 31 * 86_400_000)
    return Denial(unit == .requests ? .rateLimited : .tokensLimited, retryAfterMilliseconds: Int(wait))
  }

  /// The upstream's position in the snapshot in force.
  private var providerIndex: Int {
    let name = upstream!.name
    return generation == shard.snapshot.generation
      ? upstream!.index : shard.snapshot.upstream(named: name.span)?.index ?? upstream!.index
  }

  /// Works out the most that the request can come to. Returns whether the client said how long the answer may be.
  private mutating func boundOutput(_ key: Int, _ client: borrowing ServerConnection) throws(Ending) -> Bool {
    do throws(Refusal) {
      let (bound, wasSaid) = try shard.snapshot.bound(
        key: key, endpoint: endpoint!, provider: providerIndex, model: model.span, others: otherModels, reader: work.reader,
        body: client.outbound.readable,
        isForm: !formBoundary.isEmpty)
      self.bound = bound
      return wasSaid
    } catch { throw refused(Denial(error)) }
  }

  /// The body as it is to be sent: as it came, but for the length of the answer and for a usage that has to be told.
  mutating func appendBody(_ client: inout ServerConnection) {
    shard.edits.removeAll(keepingCapacity: true)
    if let bound, endpoint!.generates {
      let choices = max(work.reader.choices ?? 1, 1)
      _ = work.reader.limitOutput(
        to: max(bound.outputTokens / choices, TokenCount(1)), name: upstream!.entry.outputLimit, into: &shard.edits)
    }
    // A body that is not understood here is the provider's to refuse.
    if wantsUsage || work.charges.isCounting, endpoint!.generates, upstream!.entry.asksForUsage, work.reader.isClear(),
      work.reader.askForUsage(into: &shard.edits)
    {
      usageFilter = UsageEventFilter()
    }
    shard.edits.sort { $0.place.lowerBound < $1.place.lowerBound }
    BodyEditor.apply(shard.edits, to: client.outbound.readable, into: &shard.scratch)
    if toSign != nil || resend != nil {
      let body = shard.scratch.copy()
      resend?.body = body
      finish(body, &client)
    } else {
      appendLength(shard.scratch.count, &client.relay)
      client.relay.append(shard.scratch)
    }
    shard.scratch.clear()
    shard.scratch.shrink(to: 64 * 1024)
    client.outbound.clear()
    client.outbound.shrink(to: 64 * 1024)
  }

  /// Ends the head for `body`, presenting the credential at hand, and adds the body.
  func finish(_ body: [UInt8], _ client: inout ServerConnection) {
    var signed = toSign
    signed?.payloadHash = AmazonSignature.hash(body.span)
    if client.head.method == .get, body.isEmpty {
      endHead(signed: signed, &client.relay)
    } else {
      appendLength(body.count, signed: signed, &client.relay)
    }
    client.relay.append(body)
  }

  // MARK: settling

  /// Ends the counting with what the request came to.
  mutating func settle() {
    record.usage = session == nil ? work.meter.usage : work.session.usage
    let now = monotonicNanoseconds()
    guard isSent, let upstream else { return work.charges.settle(nil, now: now) }
    var usage = record.usage
    if endpoint!.dialect.tellsOfBatch {
      if !countsBatch { record.usage = Usage() }
      let (named, name) = (work.meter.model, upstream.name)
      if countsBatch, let provider = shard.snapshot.upstream(named: name.span) {
        record.cost = shard.snapshot.price(provider: provider.index, model: named.span)?.price.cost(usage, service: .batch)
      }
      return work.charges.settle((0, 0, NanoDollars(0)), now: now)
    }
    let wasAnswered = record.upstreamStatus != 0
    if wasAnswered, record.upstreamStatus >= 300 || endpoint!.isFree {
      // An answer that is an error costs nothing.
      return work.charges.settle((0, 0, NanoDollars(0)), now: now)
    }
    if !wasAnswered {
      // It may have been carried out: all that was held for it.
      guard record.outcome != .upstreamFailed else { return work.charges.settle((0, 0, NanoDollars(0)), now: now) }
      record.isEstimated = !work.charges.isEmpty
      return work.charges.settle((bound?.inputTokens ?? 0, bound?.outputTokens ?? 0, nil), now: now)
    }
    // Nothing of an answer is believed that tells what cannot be true: all that was held for it.
    if session == nil ? work.meter.isImpossible : work.session.isImpossible {
      record.isEstimated = true
      return work.charges.settle((bound?.inputTokens ?? 0, bound?.outputTokens ?? 0, nil), now: now)
    }
    // A stream that says no end of its own is whole when its connection says so.
    let isWhole = usage.isKnown && (!record.isStream || work.meter.isComplete || record.outcome == .completed)
    if !isWhole { estimate(&usage) }
    let name = upstream.name
    var price = bound?.price
    if price == nil, let provider = shard.snapshot.upstream(named: name.span) {
      let named = model.isEmpty ? work.reader.model : model
      price = shard.snapshot.price(provider: provider.index, model: named.span)
    }
    if !otherModels.isEmpty, let provider = shard.snapshot.upstream(named: name.span),
      let told = shard.snapshot.price(provider: provider.index, model: work.meter.model.span)
    {
      // Of several models that were named, the one that has answered.
      price = told
    }
    record.usage = usage
    // What the provider says it costs is what it costs.
    record.cost = (isWhole ? work.meter.cost : nil) ?? price?.price.cost(usage, service: work.meter.service)
    work.charges.settle((usage.allInput, usage.output ?? 0, record.cost), now: now)
  }

  /// What an answer without a whole usage came to: what was told of it, else a token an event and one in four bytes.
  private mutating func estimate(_ usage: inout Usage) {
    // A passing answer that has no meter has no tokens to guess.
    guard endpoint!.generates || endpoint!.kind == .embeddings else { return }
    record.isEstimated = true
    if usage.input == nil { usage.input = TokenCount(clamping: record.bytesIn / 4 + 1) }
    let seen = record.isStream ? work.meter.pieces : TokenCount(clamping: record.bytesOut / 4 + 1)
    // Some providers begin with a made-up number.
    usage.output = max(usage.output ?? 0, endpoint!.generates ? seen : 0)
    if let bound { usage.output = min(usage.output ?? 0, max(bound.outputTokens, work.meter.usage.output ?? 0)) }
  }

  // MARK: what the head of an answer says of limits

  /// The state of the key's own windows, in the words of the provider's SDK.
  func writeReadings(to buffer: inout ByteBuffer) {
    guard let keyID, let key = shard.snapshot.position(of: keyID) else { return }
    let now = monotonicNanoseconds()
    for isTokens in [false, true] {
      guard let reading = shard.snapshot.reading(key: key, ofTokens: isTokens, now: now) else { continue }
      RateFields.write(
        reading.limit, reading.remaining, reading.resetMilliseconds, ofTokens: isTokens, shape, shard.clock.now, to: &buffer)
    }
  }

  /// Whether the key has windows of its own, so that the provider's would mislead.
  var hasReadings: Bool {
    guard let keyID, let key = shard.snapshot.position(of: keyID) else { return false }
    return shard.snapshot.reading(key: key, ofTokens: false, now: started) != nil
      || shard.snapshot.reading(key: key, ofTokens: true, now: started) != nil
  }
}
