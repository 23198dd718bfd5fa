public import Cryptography
public import Primitives
public import Wire

/// A request to the management side, wherever it came from: a socket or a command in the same process.
public struct AdminRequest: ~Copyable {
  public let method: Wire.Method
  public let path: [String]
  public let query: [String: String]
  /// May hold a secret; wiped with the request.
  public let body: SecretBytes
  /// What a change is bound to; none when it is wanted in any case.
  public let preconditions: [Precondition]
  /// Under which the request is done once, however often it is sent.
  public let idempotencyKey: String?
  /// What the client reads, where it says.
  public let accept: String?

  /// `target` is a path and an optional query, percent-encoded; throws `.invalidInput` when it is not.
  public init(
    _ method: Wire.Method, _ target: String, body: consuming SecretBytes, preconditions: [Precondition] = [],
    idempotencyKey: String? = nil, accept: String? = nil
  )
    throws(Fault)
  {
    let bad = Fault(.invalidInput, "that URL cannot be read")
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var path: [String] = []
    for segment in parts[0].split(separator: "/") {
      guard let text = percentDecoded(segment) else { throw bad }
      path.append(text)
    }
    var query: [String: String] = [:]
    for item in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
      let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = percentDecoded(pair[0]), let value = percentDecoded(pair.count > 1 ? pair[1] : "") else { throw bad }
      guard query.updateValue(value, forKey: name) == nil else { throw Fault(.invalidInput, "a parameter is given twice") }
    }
    self.method = method
    self.path = path
    self.query = query
    self.body = body
    self.preconditions = preconditions
    self.idempotencyKey = idempotencyKey
    self.accept = accept
  }
}

/// An answer of the management side. `body` may hold a new key's text: whoever sends it wipes it.
public struct AdminResponse: Sendable {
  public var status: Int
  /// nil: JSON.
  public var mediaType: String?
  /// Whether it is a page of the dashboard, or a part of one.
  public var isPage = false
  public var body: [UInt8]
  /// With its quotes; for reading one thing that can be set.
  public var entityTag: String?
  /// The query of the page after this one; nil where this is the last.
  public var next: String?
  /// The methods that the caller may use there, where the one that was asked for is none of them.
  public var allowed: [String] = []
  /// Where a browser is sent, and what it is to keep.
  public var location: String?
  public var cookies: [String] = []
  /// Whether it was given before, to the same request.
  public var isRepeated = false
  public init(status: Int, body: [UInt8]) {
    self.status = status
    self.body = body
  }
}

/// `text` with everything but unreserved characters (RFC 3986) percent-encoded.
public func percentEncoded(_ text: String) -> String {
  var out = ""
  let digits = Array("0123456789ABCDEF")
  for b in text.utf8 {
    if ASCII.isDigit(b) || ASCII.isLetter(b) || b == 45 || b == 46 || b == 95 || b == 126 {
      out.unicodeScalars.append(Unicode.Scalar(b))
    } else {
      out += "%\(digits[Int(b >> 4)])\(digits[Int(b & 15)])"
    }
  }
  return out
}

func percentDecoded(_ text: Substring) -> String? {
  var out: [UInt8] = []
  var bytes = Array(text.utf8)[...]
  while let b = bytes.popFirst() {
    guard b == 37 else {
      out.append(b)
      continue
    }
    guard let h = bytes.popFirst().flatMap(ASCII.hexadecimal), let l = bytes.popFirst().flatMap(ASCII.hexadecimal) else {
      return nil
    }
    out.append(h << 4 | l)
  }
  return String(validating: out, as: UTF8.self)
}
