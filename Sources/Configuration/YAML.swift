import CYAML
public import Primitives

/// A YAML document as a tree that knows where each value stands.
///
/// Scalars stay text: what they mean is decided by whoever reads them. Anchors, tags and second documents are refused.
public struct YAMLNode: Sendable {
  public enum Value: Sendable {
    case scalar(String)
    case sequence([YAMLNode])
    case mapping([(name: String, line: Int, value: YAMLNode)])
  }

  public let value: Value
  /// Counted from 1.
  public let line: Int

  /// Reads one document; throws `.invalidInput` with the line.
  public static func parse(_ bytes: [UInt8], name: String) throws(Fault) -> YAMLNode {
    let reader = try YAMLReader(bytes, name: name)
    return try reader.document()
  }
}

/// libyaml's events, turned into a tree.
@safe
private final class YAMLReader {
  private static let depthMax = 16
  // SAFETY: the parser reads `bytes`, which live as long as it does; both are freed in deinit.
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let bytes: UnsafeMutableBufferPointer<UInt8>
  private let name: String
  private var event = unsafe yaml_event_t()

  init(_ input: [UInt8], name: String) throws(Fault) {
    self.name = name
    unsafe bytes = .allocate(capacity: max(input.count, 1))
    _ = unsafe bytes.initialize(from: input)
    unsafe parser = .allocate(capacity: 1)
    unsafe parser.initialize(to: yaml_parser_t())
    guard unsafe yaml_parser_initialize(parser) == 1 else { throw Fault(.system, "no memory") }
    unsafe yaml_parser_set_input_string(parser, bytes.baseAddress!, input.count)
  }

  deinit {
    unsafe yaml_event_delete(&event)
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
    unsafe bytes.deallocate()
  }

  private var line: Int { unsafe event.start_mark.line + 1 }

  private func fault(_ line: Int, _ what: String) -> Fault { Fault(.invalidInput, "\(name), line \(line): \(what)") }

  private func next() throws(Fault) {
    unsafe yaml_event_delete(&event)
    guard unsafe yaml_parser_parse(parser, &event) == 1 else {
      let problem = unsafe parser.pointee.problem.map { unsafe String(cString: $0) } ?? "not YAML"
      throw unsafe fault(parser.pointee.problem_mark.line + 1, problem)
    }
  }

  func document() throws(Fault) -> YAMLNode {
    repeat { try next() } while unsafe event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT
    if unsafe event.type == YAML_STREAM_END_EVENT { return YAMLNode(value: .mapping([]), line: 1) }
    let root = try node(depth: 0)
    try next()
    try next()
    guard unsafe event.type == YAML_STREAM_END_EVENT else { throw fault(line, "only one document is wanted") }
    return root
  }

  /// The node that starts with the current event.
  private func node(depth: Int) throws(Fault) -> YAMLNode {
    let line = line
    guard depth < Self.depthMax else { throw fault(line, "nested too deep") }
    switch unsafe event.type {
    case YAML_SCALAR_EVENT:
      guard unsafe event.data.scalar.anchor == nil else { throw fault(line, "anchors are not supported") }
      let text = unsafe UnsafeBufferPointer(start: event.data.scalar.value, count: event.data.scalar.length)
      return unsafe YAMLNode(value: .scalar(String(decoding: text, as: UTF8.self)), line: line)
    case YAML_SEQUENCE_START_EVENT:
      var items: [YAMLNode] = []
      try next()
      while unsafe event.type != YAML_SEQUENCE_END_EVENT {
        items.append(try node(depth: depth + 1))
        try next()
      }
      return YAMLNode(value: .sequence(items), line: line)
    case YAML_MAPPING_START_EVENT:
      var members: [(name: String, line: Int, value: YAMLNode)] = []
      var names: Set<String> = []
      try next()
      while unsafe event.type != YAML_MAPPING_END_EVENT {
        let key = try node(depth: depth + 1)
        guard case .scalar(let name) = key.value else { throw fault(key.line, "a name is wanted here") }
        guard names.insert(name).inserted else { throw fault(key.line, "'\(name)' is given twice") }
        try next()
        members.append((name, key.line, try node(depth: depth + 1)))
        try next()
      }
      return YAMLNode(value: .mapping(members), line: line)
    default: throw fault(line, "aliases are not supported")
    }
  }
}
