import Domain
import KeyService
import Primitives
import Storage

// What keys send and get, where somebody has asked for it.
extension AdminAPI {
  func setCapture(_ r: borrowing AdminRequest, _ id: String) async throws(Fault) -> AdminResponse {
    let document: CaptureSettingDocument = try decode(r)
    return try encode(
      self.document(
        try await service.setCapture(try recordID(id), until: try moment(document.until), reason: document.reason)))
  }

  func listCaptures(_ r: borrowing AdminRequest) throws(Fault) -> AdminResponse {
    try allow(r, query: ["key"] + Page.parameters)
    let page = try Page(r, usual: 50)
    var before = Int64.max
    if let after = page.after {
      guard let number = ASCII.decimal(Array(after.utf8).span), number > 0 else { throw Page.badCursor }
      before = Int64(number)
    }
    let key = try r.query["key"].map { (text) throws(Fault) in try recordID(text) }
    let found = try service.captures(of: key, before: before, limit: page.limit)
    var response = try encode(found.map(CaptureDocument.init))
    if found.count == page.limit, let last = found.last { response.next = page.next("\(last.number)") }
    return response
  }

  func showCapture(_ r: borrowing AdminRequest, _ text: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    guard let number = ASCII.decimal(Array(text.utf8).span), number > 0 else {
      throw Fault(.notFound, "there is no capture '\(text.prefix(20))'", hint: "see 'maskllm capture list'")
    }
    let capture = try service.capture(Int64(number))
    return try encode(
      CaptureContentDocument(
        number: capture.number, at: capture.at.rfc3339, key: capture.key.description, status: Int(capture.status),
        cut: capture.isCut, request: String(decoding: capture.request, as: UTF8.self),
        answer: String(decoding: capture.answer, as: UTF8.self)))
  }

  func deleteCaptures(_ r: borrowing AdminRequest, _ id: String) throws(Fault) -> AdminResponse {
    try allow(r, query: [])
    try service.deleteCaptures(of: try service.key(try recordID(id)).id)
    return AdminResponse(status: 204, body: [])
  }
}

/// Until when a key's content is captured: at most seven days on; nil: no longer.
public struct CaptureSettingDocument: Codable, Sendable {
  public var until: String?
  public var reason: String
  public init(until: String?, reason: String) { (self.until, self.reason) = (until, reason) }
}

/// A request whose content was captured.
public struct CaptureDocument: Codable, Sendable {
  public var number: Int64
  public var at: String
  public var key: String
  public var status: Int

  init(_ row: CaptureRow) {
    (number, at, key, status) = (row.number, row.at.rfc3339, row.key.description, Int(row.status))
  }
}

/// What a request and its answer said. What is no UTF-8 is shown as what it is not.
public struct CaptureContentDocument: Codable, Sendable {
  public var number: Int64
  public var at: String
  public var key: String
  public var status: Int
  /// Whether there was more of either than is kept.
  public var cut: Bool
  public var request: String
  public var answer: String
}
