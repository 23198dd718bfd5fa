import Primitives

/// An injective encoding of fields: each as a 32-bit big-endian length and its bytes. What MACs and associated data are made of.
public struct FieldEncoding: Sendable {
  public private(set) var bytes: [UInt8] = []
  public init() {}

  public mutating func append(_ field: [UInt8]) {
    append(raw: UInt32(field.count))
    bytes += field
  }

  public mutating func append(_ text: String) { append(Array(text.utf8)) }

  public mutating func append(_ number: Int64) {
    append((0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) })
  }

  private mutating func append(raw length: UInt32) {
    bytes += (0..<4).map { UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * $0)) }
  }
}

extension MaskedKey {
  /// Everything that decides what the key may do, for its MAC. A key without details is written as it was before there were any.
  public func authenticatedBytes(policyDocument: [UInt8], detailsDocument: [UInt8]) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/masked-key/1")
    fields.append(id.bytes)
    fields.append(name)
    fields.append(policyDocument)
    fields.append(state.rawValue)
    fields.append(createdAt.milliseconds)
    fields.append(expiresAt?.milliseconds ?? .max)
    fields.append(hash)
    fields.append(Int64(pepperVersion))
    fields.append(revision)
    if !detailsDocument.isEmpty { fields.append(detailsDocument) }
    return fields.bytes
  }
}
