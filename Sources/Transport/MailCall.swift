import CMail
public import Primitives

/// Sends mail by SMTP, with libcurl.
public enum MailCall {
  public static let milliseconds = 20_000

  /// Blocks: on a thread of its own. `password` is the caller's to wipe. Throws `.unavailable` with what the server said.
  public static func send(
    _ text: [UInt8], from: String, to: [String], server: String, mustEncrypt: Bool, user: String?, password: [UInt8],
    authorityFile: String?
  ) throws(Fault) {
    var why = [CChar](repeating: 0, count: 256)
    var password = password + [0]
    defer { for i in password.indices { password[i] = 0 } }
    let addresses = to.map { Array($0.utf8CString) }
    let outcome = unsafe withPointers(addresses, []) { list in
      unsafe text.withUnsafeBytes { text in
        unsafe password.withUnsafeBytes { password in
          unsafe mail_send(
            server, mustEncrypt ? 1 : 0, user, user == nil ? nil : password.baseAddress!.assumingMemoryBound(to: CChar.self),
            authorityFile, from, list, to.count, text.baseAddress!.assumingMemoryBound(to: CChar.self), text.count, milliseconds,
            &why)
        }
      }
    }
    guard outcome == 0 else {
      let said = String(decoding: why.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw Fault(.unavailable, "the mail server did not take it: \(said)")
    }
  }

  /// Lends pointers to texts that end with a zero.
  private static func withPointers(
    _ texts: [[CChar]], _ found: [UnsafePointer<CChar>], _ body: (UnsafePointer<UnsafePointer<CChar>>) -> Int32
  ) -> Int32 {
    guard unsafe found.count < texts.count else {
      return unsafe found.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
    }
    return unsafe texts[found.count].withUnsafeBufferPointer { text in
      unsafe withPointers(texts, found + [text.baseAddress!], body)
    }
  }
}
