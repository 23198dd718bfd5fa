public import Primitives

// The same over a buffer: a span into one member of a struct cannot be held while another member changes.

extension RequestHead {
  /// Parses the head at the front of `buffer`.
  public mutating func parse(_ buffer: borrowing ByteBuffer, limits: HeadLimits) throws(HTTPError) -> Bool {
    try parse(buffer.readable, limits: limits)
  }
}

extension BodyDecoder {
  /// Looks at the front of `buffer`.
  public mutating func step(_ buffer: borrowing ByteBuffer) throws(HTTPError) -> Step { try step(buffer.readable) }
}

extension ResponseHead {
  /// Parses the head at the front of `buffer`, an answer to `method`.
  public mutating func parse(_ buffer: borrowing ByteBuffer, answering method: Method, limits: HeadLimits) throws(HTTPError)
    -> Bool
  {
    try parse(buffer.readable, answering: method, limits: limits)
  }
}
