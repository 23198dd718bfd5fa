import Domain
import FoundationEssentials
import KeyService
import Primitives
import Providers
import Wire

// The management side as an OpenAPI 3.1 document: made from the routes, and from what the documents' types read and write.
extension AdminAPI {
  /// The document, indented, so that the copy that is checked in can be compared line by line.
  public static func openAPI() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    return (try? [UInt8](encoder.encode(OpenAPIDocument(routes).tree))) ?? []
  }
}

/// Builds the document route by route.
private struct OpenAPIDocument {
  private var schemas: [String: JSONTree] = [:]
  private var paths: [String: JSONTree] = [:]

  init(_ routes: [AdminRoute]) {
    for route in routes {
      paths[route.path] = (paths[route.path] ?? [:]).with(["\(route.method.name)".lowercased(): operation(route)])
    }
    _ = schema(ProblemDocument.self, isAnswer: true)
  }

  var tree: JSONTree {
    [
      "openapi": "3.1.0",
      "info": [
        "title": "MaskLLM management", "version": "1",
        "description":
          "Everything that the command line does. What one may not do answers as if it were not there. Times are RFC 3339, amounts of money decimal text.",
        "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
      ],
      "servers": [["url": "/"]],
      "security": [["token": []]],
      "paths": .object(paths),
      "components": [
        "schemas": .object(schemas),
        "securitySchemes": [
          "token": ["type": "http", "scheme": "bearer", "description": "An admin token, as 'maskllm token create' makes it."]
        ],
        "responses": .object(
          Dictionary(uniqueKeysWithValues: Self.problems.map { status, description in ("\(status)", Self.problem(description)) })),
      ],
    ]
  }

  // MARK: operations

  private mutating func operation(_ route: AdminRoute) -> JSONTree {
    let words = route.pattern.filter { !$0.hasPrefix("{") }.flatMap { $0.split { $0 == "-" || $0 == "." } }
    var parameters = route.pattern.filter { $0.hasPrefix("{") }.map { parameter($0.dropFirst().dropLast(), of: route) }
    parameters += route.query.map {
      Self.parameter($0, "query", isRequired: route.isSecret, ShapeFacets.query($0, at: route.path))
    }
    var operation: [String: JSONTree] = [
      "summary": .text(route.summary), "tags": [.text("\(route.permission.resource.rawValue)")],
      "operationId": .text(
        "\(route.method.name)".lowercased() + words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
          + (parameters.isEmpty || route.given.isPage ? "" : "One")),
      "description": .text("Needs `\(route.permission)`\(route.isOfTeams ? ", and keeps to the caller's team" : "")."),
    ]
    if route.given.isPage {
      parameters += [
        Self.parameter("limit", "query", ["type": "integer", "minimum": 1, "maximum": .integer(Page.limitMax)]),
        Self.parameter("after", "query", ShapeFacets.cursor(at: route.path)),
      ]
    }
    if route.method != .get { parameters += conditions(route) }
    if !parameters.isEmpty { operation["parameters"] = .list(parameters) }
    operation["requestBody"] = body(route.taken)
    operation["responses"] = responses(route)
    return .object(operation)
  }

  private func parameter(_ name: Substring, of route: AdminRoute) -> JSONTree {
    Self.parameter(String(name), "path", isRequired: true, ShapeFacets.segment(String(name), at: route.path))
  }

  private static func parameter(_ name: String, _ place: String, isRequired: Bool = false, _ schema: JSONTree) -> JSONTree {
    ["name": .text(name), "in": .text(place), "required": .boolean(isRequired), "schema": schema]
  }

  private func conditions(_ route: AdminRoute) -> [JSONTree] {
    var headers: [JSONTree] = []
    if route.pattern.contains(where: { $0.hasPrefix("{") }) {
      for name in ["If-Match", "If-None-Match"] {
        headers.append(
          Self.parameter(
            name, "header",
            [
              "type": "string", "pattern": .text(Precondition.pattern),
              "description": "Entity tags, or `*` (RFC 9110).",
            ]))
      }
    }
    if route.method == .post, route.permission.verb != .read {
      headers.append(
        Self.parameter(
          "Idempotency-Key", "header",
          [
            "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$",
            "description": "Sent again within a day, the request is answered as before and not done again.",
          ]))
    }
    return headers
  }

  private mutating func body(_ taken: AdminRoute.Taken) -> JSONTree? {
    func json(_ schema: JSONTree, isRequired: Bool) -> JSONTree {
      ["required": .boolean(isRequired), "content": ["application/json": ["schema": schema]]]
    }
    switch taken {
    case .nothing: return nil
    case .document(let type): return json(schema(type, isAnswer: false), isRequired: true)
    case .maybe(let type): return json(schema(type, isAnswer: false), isRequired: false)
    case .reports(let type):
      return json(["type": "array", "items": schema(type, isAnswer: false, isOpen: true)], isRequired: true)
    case .secret:
      return ["required": true, "content": ["text/plain": ["schema": ["type": "string", "minLength": 1]]]]
    }
  }

  // MARK: answers

  private static let problems: [(Int, String)] = [
    (400, "The request cannot be understood, or asks for what cannot be."), (401, "No admin token that is in force."),
    (403, "It would give more than the caller holds, or the secret is not the right one."),
    (404, "There is no such thing, or none that the caller may know of."),
    (405, "There is no such method there, or none that the caller may use."), (408, "The body did not arrive."),
    (413, "The body is too large."),
    (409, "It stands in the way of something else, or was changed outside maskllm."), (412, "It is not what was read."),
    (422, "The idempotency key stands for another request."), (429, "Too many wrong tokens from there."),
    (502, "A provider did not answer."), (503, "The vault is sealed."),
  ]

  private static func problem(_ description: String) -> JSONTree {
    [
      "description": .text(description),
      "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
    ]
  }

  private mutating func responses(_ route: AdminRoute) -> JSONTree {
    var all: [String: JSONTree] = [:]
    for (status, _) in Self.problems {
      switch status {
      case 403, 408, 412, 413: guard route.method != .get else { continue }
      case 422: guard route.method == .post, route.permission.verb != .read else { continue }
      case 502: guard route.permission.resource == .rotations else { continue }
      default: break
      }
      all["\(status)"] = ["$ref": .text("#/components/responses/\(status)")]
    }
    func answer(_ schema: JSONTree, headers: [String: JSONTree] = [:]) -> JSONTree {
      var answer: [String: JSONTree] = ["description": "Done.", "content": ["application/json": ["schema": schema]]]
      if !headers.isEmpty { answer["headers"] = .object(headers) }
      return .object(answer)
    }
    func header(_ description: String) -> JSONTree { ["description": .text(description), "schema": ["type": "string"]] }
    switch route.given {
    case .nothing: all["204"] = ["description": "Done."]
    case .one(let type):
      let tag = ["ETag": header("Another whenever what can be set is another.")]
      all["200"] = answer(schema(type, isAnswer: true), headers: route.method == .get ? tag : [:])
    case .made(let type): all["201"] = answer(schema(type, isAnswer: true))
    case .begun(let type): all["202"] = answer(schema(type, isAnswer: true))
    case .oneOrList(let type):
      let one = schema(type, isAnswer: true)
      all["201"] = answer(["oneOf": [one, ["type": "array", "items": one]]])
    case .all(let type): all["200"] = answer(["type": "array", "items": schema(type, isAnswer: true)])
    case .list(let type):
      all["200"] = answer(
        ["type": "array", "items": schema(type, isAnswer: true)],
        headers: ["Link": header("`<?...>; rel=\"next\"`, where there is a next page (RFC 8288).")])
    case .text(let mediaTypes): all["200"] = ["description": "Done.", "content": Self.text(mediaTypes)]
    case .lines(let mediaTypes):
      all["200"] = [
        "description": "Done.", "content": Self.text(mediaTypes),
        "headers": ["Link": header("`<?...>; rel=\"next\"`, where there is a next page (RFC 8288).")],
      ]
    case .openAPI: all["200"] = answer(["type": "object"])
    }
    return .object(all)
  }

  private static func text(_ mediaTypes: [String]) -> JSONTree {
    .object(Dictionary(uniqueKeysWithValues: mediaTypes.map { ($0, ["schema": ["type": "string"]]) }))
  }

  // MARK: schemas

  /// A reference to the schema of `type`, which is kept under its name.
  private mutating func schema(_ type: any Decodable.Type, isAnswer: Bool, isOpen: Bool = false) -> JSONTree {
    guard case .object(let object) = DocumentShape.of(type) else { return schema(.of(type), isAnswer: isAnswer) }
    return reference(isAnswer ? object : object.asSent(type), isAnswer: isAnswer, isOpen: isOpen, full: object)
  }

  private mutating func reference(_ object: ObjectShape, isAnswer: Bool, isOpen: Bool = false, full: ObjectShape) -> JSONTree {
    // One that is sent with less than it is answered with has two schemas.
    let name = object.members.count < full.members.count ? "\(object.name)Sent" : object.name
    if schemas[name] == nil {
      schemas[name] = [:]
      var members: [String: JSONTree] = [:]
      for member in object.members {
        var inner = schema(member.shape, isAnswer: isAnswer, in: object.name, member.name)
        // Absent and null are the same to us; we never send null.
        if member.isOptional { inner = ["anyOf": [inner, ["type": "null"]]] }
        members[member.name] = inner
      }
      var built: [String: JSONTree] = ["type": "object", "properties": .object(members)]
      let needed = object.members.filter { !$0.isOptional }.map { JSONTree.text($0.name) }
      if !needed.isEmpty { built["required"] = .list(needed) }
      if !isOpen { built["additionalProperties"] = false }
      schemas[name] = .object(built)
    }
    return ["$ref": .text("#/components/schemas/\(name)")]
  }

  private mutating func schema(_ shape: DocumentShape, isAnswer: Bool, in object: String = "", _ member: String = "") -> JSONTree
  {
    switch shape {
    case .text(let cases):
      if !cases.isEmpty { return ["type": "string", "enum": .list(cases.map { .text($0) })] }
      return (["type": "string"] as JSONTree).with(ShapeFacets.text(object, member))
    case .integer: return (["type": "integer", "format": "int64"] as JSONTree).with(ShapeFacets.number(object, member))
    case .number: return ["type": "number"]
    case .boolean: return ["type": "boolean"]
    case .anything: return [:]
    case .list(let entry): return ["type": "array", "items": schema(entry, isAnswer: isAnswer, in: object, member)]
    case .map(let value): return ["type": "object", "additionalProperties": schema(value, isAnswer: isAnswer)]
    case .object(let inner): return reference(inner, isAnswer: isAnswer, full: inner)
    }
  }
}

extension AdminRoute {
  fileprivate var isSecret: Bool { if case .secret = taken { true } else { false } }
}

extension AdminRoute.Given {
  fileprivate var isPage: Bool {
    switch self {
    case .list, .lines: true
    default: false
    }
  }
}
