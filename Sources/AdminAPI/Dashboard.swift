import CDashboard
import Cryptography
import Primitives

/// The pages for people: files within the program, for anybody; what they show they ask for with the rights of whoever signs in.
struct Dashboard: Sendable {
  private struct File: Sendable {
    let mediaType: String
    let bytes: [UInt8]
    let tag: String
  }

  private let files: [String: File]

  /// Nothing from elsewhere, nothing inline, in no frame of others.
  static let policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

  init() {
    var files: [String: File] = [:]
    for index in 0..<dashboard_count() {
      let file = unsafe dashboard_file_at(index)
      // SAFETY: constants of the program; the name and the type end with a zero, and there are `count` bytes.
      let bytes = unsafe Array(UnsafeBufferPointer(start: file.bytes, count: file.count))
      let digest = SHA256.digest(bytes.span)
      unsafe files[String(cString: file.name)] = File(
        mediaType: String(cString: file.media_type), bytes: bytes, tag: "\"\(hexadecimal(Array(digest.prefix(12))))\"")
    }
    self.files = files
  }

  /// The answer to GET on `target`; nil where it is none of the dashboard's. `known` is what the browser has of it.
  func answer(_ target: String, known: String?, hasOpenID: Bool, isSignedIn: Bool) -> AdminResponse? {
    let path = target.prefix { $0 != "?" }
    if path == "/" || path == "/ui" {
      var response = AdminResponse(status: 302, body: [])
      response.location = "/ui/"
      return response
    }
    guard path.hasPrefix("/ui/") else { return nil }
    let name = String(path.dropFirst("/ui/".count))
    if name == "sign-in" {
      return AdminResponse(status: 200, body: Array("{\"openid\":\(hasOpenID),\"signed_in\":\(isSignedIn)}".utf8))
    }
    guard let file = files[name.isEmpty ? "index.html" : name] else { return nil }
    var response = AdminResponse(status: known == file.tag ? 304 : 200, body: known == file.tag ? [] : file.bytes)
    response.mediaType = file.mediaType
    response.entityTag = file.tag
    response.isPage = true
    return response
  }
}
