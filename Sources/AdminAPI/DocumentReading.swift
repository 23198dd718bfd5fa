import Cryptography
import FoundationEssentials
import Primitives
import Wire

// Reading what is sent, strictly.
extension AdminAPI {
  /// Refuses what the path does not know.
  func allow(_ r: borrowing AdminRequest, query names: [String], hasBody: Bool = false) throws(Fault) {
    for name in r.query.keys where !names.contains(name) {
      throw Fault(.invalidInput, "the parameter '\(name)' is not known here")
    }
    if !hasBody, r.method == .get || r.method == .delete, r.body.count > 0 {
      throw Fault(.invalidInput, "a body is not wanted here")
    }
  }

  /// Reads a JSON object strictly: no member that the document does not have or that is only in answers, none twice, nothing Foundation is
  /// lenient about.
  func decode<Document: Decodable>(_ r: borrowing AdminRequest) throws(Fault) -> Document {
    try allow(r, query: [])
    guard case .object(let object) = DocumentShape.of(Document.self) else {
      throw Fault(.system, "nothing says what is read here")
    }
    let shape = object.asSent(Document.self)
    let paths = JSONPaths(shape.paths.map { ($0, .inner) })
    var probe = JSONProbe()
    probe.feed(r.body.span, paths)
    probe.finish(paths)
    guard probe.status == .complete else { throw Fault(.invalidInput, "the body is not valid JSON") }
    guard !probe.hasDuplicate else { throw Fault(.invalidInput, "a member occurs twice in the body") }
    let data = Data([UInt8](copying: r.body.span))
    do {
      try JSONDecoder().decode(JSONTree.self, from: data).check(shape)
      return try JSONDecoder().decode(Document.self, from: data)
    } catch let fault as Fault { throw fault } catch {
      throw Fault(.invalidInput, "the body does not have the members that are needed: \(shape.names.joined(separator: ", "))")
    }
  }
}

extension ObjectShape {
  var names: [String] { members.map(\.name) }

  /// Without what is only in answers.
  func asSent(_ type: any Decodable.Type) -> ObjectShape {
    guard let answered = type as? any AnsweredDocument.Type else { return self }
    var shape = self
    shape.members.removeAll { answered.onlyInAnswers.contains($0.name) }
    return shape
  }

  /// The members, and the members of those.
  fileprivate var paths: [String] {
    members.flatMap { member in
      guard case .object(let inner) = member.shape else { return [member.name] }
      return [member.name] + inner.names.map { "\(member.name).\($0)" }
    }
  }
}

extension JSONTree {
  /// Refuses members that `shape` does not have, at any depth.
  fileprivate func check(_ shape: ObjectShape) throws(Fault) {
    guard case .object(let members) = self else { return }
    for (name, value) in members {
      switch (shape[name], value) {
      case (nil, _):
        throw Fault(
          .invalidInput, "the member '\(name.prefix(64))' is not known here",
          hint: "use some of: \(shape.names.joined(separator: ", "))")
      case (.object(let object), _): try value.check(object)
      case (.list(.object(let object)), .list(let entries)): for entry in entries { try entry.check(object) }
      default: continue
      }
    }
  }
}
