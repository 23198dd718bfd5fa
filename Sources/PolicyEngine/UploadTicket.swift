import Cryptography
import Domain
public import Primitives

/// Stands for a masked key in an address that a provider has its client send more to, without a key: an upload that goes on elsewhere.
///
/// `mt_<key ID>_<provider key's ID>_<moment>_<HMAC>`, good for one path and query of one provider until that moment (seconds since
/// 1970), as long as the masked key is in force. It is made with the pepper, so that every node that shares the store can read it.
public enum UploadTicket {
  /// Seconds: providers keep an upload open for a week, but what is begun by a program goes on at once.
  public static let lifetime: Int64 = 86_400

  static let prefix: StaticString = "mt_"
  private static let momentLength = 10
  private static let tagLength = 43
  static let length = 3 + RecordID.length + 1 + RecordID.length + 1 + momentLength + 1 + tagLength
  private static let signedLength = length - tagLength - 1

  /// Whether `text` has the form of a ticket.
  public static func isTicket(_ text: Span<UInt8>) -> Bool { text.count == length && text.starts(with: prefix) }

  /// What is signed: the ticket's own parts, and what it is good for.
  private static func message(_ parts: Span<UInt8>, _ provider: Span<UInt8>, _ target: Span<UInt8>) -> [UInt8] {
    let domain: StaticString = "maskllm upload ticket 1\0"
    return [UInt8](copying: domain.span) + [UInt8](copying: parts) + [0] + [UInt8](copying: provider) + [0]
      + [UInt8](copying: target)
  }

  static func make(
    _ key: RecordID, _ providerKey: RecordID, provider: Span<UInt8>, target: Span<UInt8>, until: Timestamp,
    _ pepper: borrowing Pepper
  ) -> [UInt8] {
    let digits = Array(String(until.milliseconds / 1000).utf8)
    let moment = [UInt8](repeating: 48, count: momentLength - digits.count) + digits
    let parts = [UInt8](copying: prefix.span) + key.bytes + [95] + providerKey.bytes + [95] + moment
    let tag = pepper.key.authenticate(message(parts.span, provider, target).span)
    return parts + [95] + Base62.encode(tag.bytes, width: tagLength)
  }

  /// Whose ticket it is; nil when it is none, is over, or is good for something else.
  static func read(
    _ text: Span<UInt8>, provider: Span<UInt8>, target: Span<UInt8>, now: Timestamp, _ peppers: [Pepper]
  ) -> (key: RecordID, providerKey: RecordID)? {
    guard isTicket(text), let key = RecordID(text.extracting(3..<15)), let providerKey = RecordID(text.extracting(16..<28)),
      let moment = ASCII.decimal(text.extracting(29..<39)), text[15] == 95, text[28] == 95, text[39] == 95
    else { return nil }
    let message = message(text.extracting(0..<signedLength), provider, target)
    let given = text.extracting((signedLength + 1)..<length)
    for pepper in peppers {
      let tag = Base62.encode(pepper.key.authenticate(message.span).bytes, width: tagLength)
      guard constantTimeEqual(tag.span, given) else { continue }
      return now.milliseconds < Int64(moment) * 1000 ? (key, providerKey) : nil
    }
    return nil
  }
}

extension Snapshot {
  /// A ticket for the key `key`, to send more to `target` (path and query) of `upstream` with the provider key that began it.
  public func ticket(for key: RecordID, providerKey: RecordID, upstream: Upstream, target: Span<UInt8>, now: Timestamp) -> [UInt8]
  {
    let name = upstream.name
    return UploadTicket.make(
      key, providerKey, provider: name.span, target: target, until: now + UploadTicket.lifetime, peppers[peppers.count - 1])
  }

  /// The position of the key that a ticket stands for, and the provider key it goes on with.
  public func redeem(_ ticket: Span<UInt8>, upstream: Upstream, target: Span<UInt8>, now: Timestamp) throws(Refusal) -> (
    key: PresentedKey, providerKey: RecordID
  ) {
    guard !isSealed else { throw .sealed }
    let name = upstream.name
    guard let read = UploadTicket.read(ticket, provider: name.span, target: target, now: now, peppers),
      let index = keys.index(of: read.key)
    else { throw .unknownKey }
    // A ticket is of the key, whatever its secret was when it was given.
    return (PresentedKey(index: index, version: keys[index].version), read.providerKey)
  }
}
