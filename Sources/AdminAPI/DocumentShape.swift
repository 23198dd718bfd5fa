import Domain
import Synchronization

/// What a document looks like on the wire, found out from how its type reads itself. What is refused as unknown and what the OpenAPI document says
/// both come from here, so that they cannot differ from what the code takes.
indirect enum DocumentShape: Sendable {
  case text([String])
  case integer
  case number
  case boolean
  case anything
  case list(DocumentShape)
  /// Names of the sender's choice.
  case map(DocumentShape)
  case object(ObjectShape)

  static func of(_ type: any Decodable.Type) -> DocumentShape {
    let id = ObjectIdentifier(type)
    if let known = known.withLock({ $0[id] }) { return known }
    let shape = ShapeRecorder.shape(of: type)
    known.withLock { $0[id] = shape }
    return shape
  }

  private static let known = Mutex<[ObjectIdentifier: DocumentShape]>([:])
}

/// An object with members of its own.
struct ObjectShape: Sendable {
  struct Member: Sendable {
    let name: String
    let shape: DocumentShape
    let isOptional: Bool
  }
  /// The type's name without `Document`, and with the name of the type that it is within.
  let name: String
  var members: [Member]

  subscript(name: String) -> DocumentShape? { members.first { $0.name == name }?.shape }
}

/// A document that is sent to us, of which some members are only in answers.
protocol AnsweredDocument {
  static var onlyInAnswers: Set<String> { get }
}

/// Reads a document out of nothing and remembers what it asked for.
private final class ShapeRecorder: Decoder {
  let codingPath: [any CodingKey] = []
  let userInfo: [CodingUserInfoKey: Any] = [:]
  private let type: any Decodable.Type
  fileprivate var shape: DocumentShape?

  private init(_ type: any Decodable.Type) { self.type = type }

  static func shape(of type: any Decodable.Type) -> DocumentShape {
    func read<T: Decodable>(_ type: T.Type) -> DocumentShape { value(type).shape }
    return read(type)
  }

  /// A value of `type`, whatever is in it, and its shape.
  fileprivate static func value<T: Decodable>(_ type: T.Type) -> (value: T?, shape: DocumentShape) {
    if let value = [String: String]() as? T { return (value, .map(.text([]))) }
    if let value = JSONTree.null as? T { return (value, .anything) }
    if let value = Limits() as? T {
      let members = Limits.names.map { ObjectShape.Member(name: $0, shape: .integer, isOptional: true) }
      return (value, .object(ObjectShape(name: "Limits", members: members)))
    }
    if let cases = type as? any CaseIterable.Type {
      func all<C: CaseIterable>(_: C.Type) -> [Any] { Array(C.allCases) }
      let values = all(cases)
      return (values.first as? T, .text(values.compactMap { ($0 as? any RawRepresentable)?.rawValue as? String }))
    }
    let recorder = ShapeRecorder(type)
    let value = try? T(from: recorder)
    // A type that asks for nothing is an object without members.
    return (value, recorder.shape ?? .object(ObjectShape(name: name(of: type), members: [])))
  }

  fileprivate static func name(of type: any Decodable.Type) -> String {
    String(reflecting: type).split(separator: ".").dropFirst().joined().replacing("Document", with: "")
  }

  func container<Key: CodingKey>(keyedBy: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(Keyed<Key>(self, ObjectShape(name: Self.name(of: type), members: [])))
  }
  func unkeyedContainer() throws -> any UnkeyedDecodingContainer { Unkeyed(self) }
  func singleValueContainer() throws -> any SingleValueDecodingContainer { Single(self) }

  /// A primitive's value and shape.
  fileprivate static func primitive<T>(_ type: T.Type) -> (T, DocumentShape)? {
    for (value, shape) in [
      ("" as Any, DocumentShape.text([])), (false, .boolean), (0, .integer), (Int64(0), .integer), (UInt32(0), .integer),
      (0.0, .number),
    ] {
      if let value = value as? T { return (value, shape) }
    }
    return nil
  }

  fileprivate static func read<T: Decodable>(_ type: T.Type) throws -> (T, DocumentShape) {
    if let primitive = primitive(type) { return primitive }
    let (value, shape) = value(type)
    guard let value else {
      throw DecodingError.valueNotFound(type, .init(codingPath: [], debugDescription: "nothing says what a \(type) looks like"))
    }
    return (value, shape)
  }

  private final class Keyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let codingPath: [any CodingKey] = []
    let allKeys: [Key] = []
    private let recorder: ShapeRecorder
    private var object: ObjectShape
    private var isOptional = false

    init(_ recorder: ShapeRecorder, _ object: ObjectShape) {
      (self.recorder, self.object) = (recorder, object)
      recorder.shape = .object(object)
    }

    /// Asked before what may be missing, and only then.
    func contains(_ key: Key) -> Bool {
      isOptional = true
      return true
    }
    func decodeNil(forKey key: Key) throws -> Bool { false }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
      let wasOptional = isOptional
      isOptional = false
      let (value, shape) = try ShapeRecorder.read(type)
      object.members.append(ObjectShape.Member(name: key.stringValue, shape: shape, isOptional: wasOptional))
      recorder.shape = .object(object)
      return value
    }

    func nestedContainer<N: CodingKey>(keyedBy: N.Type, forKey key: Key) throws -> KeyedDecodingContainer<N> {
      throw Self.unknown
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { throw Self.unknown }
    func superDecoder() throws -> any Decoder { throw Self.unknown }
    func superDecoder(forKey key: Key) throws -> any Decoder { throw Self.unknown }
    private static var unknown: DecodingError {
      .dataCorrupted(.init(codingPath: [], debugDescription: "documents are read member by member"))
    }
  }

  private final class Unkeyed: UnkeyedDecodingContainer {
    let codingPath: [any CodingKey] = []
    let count: Int? = 1
    var isAtEnd: Bool { currentIndex > 0 }
    private(set) var currentIndex = 0
    private let recorder: ShapeRecorder
    init(_ recorder: ShapeRecorder) { self.recorder = recorder }

    func decodeNil() throws -> Bool { false }
    func decode<T: Decodable>(_ type: T.Type) throws -> T {
      let (value, shape) = try ShapeRecorder.read(type)
      recorder.shape = .list(shape)
      currentIndex += 1
      return value
    }
    func nestedContainer<N: CodingKey>(keyedBy: N.Type) throws -> KeyedDecodingContainer<N> {
      try recorder.container(keyedBy: keyedBy)
    }
    func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { self }
    func superDecoder() throws -> any Decoder { recorder }
  }

  private struct Single: SingleValueDecodingContainer {
    let codingPath: [any CodingKey] = []
    let recorder: ShapeRecorder
    init(_ recorder: ShapeRecorder) { self.recorder = recorder }
    func decodeNil() -> Bool { false }
    func decode<T: Decodable>(_ type: T.Type) throws -> T {
      let (value, shape) = try ShapeRecorder.read(type)
      recorder.shape = shape
      return value
    }
  }
}
