import Testing
import Wire

struct MediaTypeTests {
  private func read(_ text: String) -> String {
    let bytes = Array(text.utf8)
    let type = MediaType(bytes.span)
    return "\(type.kind)\(type.isUTF8 ? "" : " charset")\(type.isClear ? "" : " unclear")"
  }

  @Test(
    "a content type is what it says, in UTF-8 or not, or unclear",
    arguments: [
      ("application/json", "json"), ("Application/JSON", "json"), ("application/json; charset=utf-8", "json"),
      ("application/json;charset=\"UTF-8\"", "json"), ("application/json ; Charset = utf8 ", "json"),
      ("application/json;", "json"),
      ("application/json; profile=x", "json"), ("application/json; a=\"b;charset=utf-7\"", "json"),
      ("application/json; charset=utf-7", "json charset"), ("application/json; charset=UTF-16", "json charset"),
      ("application/json; charset=", "json charset"), ("application/json; charset=us-ascii", "json charset"),
      ("application/json; charset=utf-8; charset=utf-7", "json charset"),
      ("application/json; charset=utf-8; charset=utf-8", "json charset"),
      ("application/json; charset*=utf-7''x", "json charset"), ("application/json; charset*0=utf-7", "json charset"),
      ("application/json; x=y; CHARSET=\"utf-7\"", "json charset"), ("application/json; charset", "json unclear"),
      ("application/json; a=\"b", "json unclear"), ("application/json; a=\"\\\"; charset=utf-7\"", "json unclear"),
      ("application/json, text/plain", "other unclear"),
      ("application/json,application/json; charset=utf-7", "other charset unclear"),
      ("application/json5", "other"), ("application/jsonlines", "other"), ("text/plain", "other"), ("", "other"),
      ("multipart/form-data; boundary=x", "form"), ("multipart/form-data; boundary=x; charset=utf-16", "form charset"),
      ("application/x-www-form-urlencoded", "urlEncoded"),
    ])
  func types(text: String, expected: String) { #expect(read(text) == expected) }
}
