import Primitives
import Testing
import Wire

@testable import Providers

struct ObjectTests {
  private let ids = ObjectIDs("file- resp_:30d cachedContents/ https://g.example.com/v1/files/")!

  private func references(_ body: String, cut: Int, _ ids: ObjectIDs) -> [String]? {
    var reader = ReferenceReader()
    reader.expect(ids)
    let bytes = Array(body.utf8)
    var found: [String] = []
    for start in stride(from: 0, to: bytes.count, by: cut) {
      reader.feed(bytes.span.extracting(start..<min(start + cut, bytes.count)))
      guard let more = reader.take() else { return nil }
      found += more
    }
    return found
  }

  @Test(
    "references are found wherever they stand, however they are spelled, and wherever the bytes are cut",
    arguments: [
      (#"{"a":"file-abcdefghijk1"}"#, ["file-abcdefghijk1"]), (#"["\u0066ile-abcdefghijk1"]"#, ["file-abcdefghijk1"]),
      (#"{"file-abcdefghijk1":0}"#, ["file-abcdefghijk1"]), (#"{"a":"x file-abcdefghijk1"}"#, []),
      (#"{"a":"file-abcdefghijk1 "}"#, []), (#"{"a":"file-abc1"}"#, []), (#"{"a":"file-abcdefghijkl"}"#, []),
      (#"{"a":"\"","b":"resp_0123456789ab"}"#, ["resp_0123456789ab"]),
      (#"{"a":"\\","b":"resp_0123456789ab"}"#, ["resp_0123456789ab"]),
      (#"{"a":"cachedContents\/x"}"#, ["cachedContents/x"]), (#"{"a":"https://g.example.com/v1/files/x-1"}"#, ["files/x-1"]),
      (#"{"a":"https://g.example.com/v1/files/x/y"}"#, []), (#"{"previous_response_id":"x y"}"#, ["x y"]),
      (#"{"previous_response_id" : "1"}"#, ["1"]), (#"{"previous_response_id":null,"b":"1"}"#, []),
      (#"["previous_response_id","1"]"#, []),
      (#"{"file\u005fid":"1"}"#, ["1"]), (#"{"conversation":{"id":"2"},"x":"3"}"#, []), ("no json: 'file-abcdefghijk1'", []),
      (#"{"é":"file-abcdefghijk1","ü":"\ud83d\ude00"}"#, ["file-abcdefghijk1"]),
    ]) func references(body: String, expected: [String])
  {
    for cut in [1, 2, 3, 5, 1000] { #expect(references(body, cut: cut, ids) == expected, "\(cut)") }
  }

  @Test("nothing is looked for where a provider keeps nothing") func nothing() {
    #expect(references(#"{"previous_response_id":"1","a":"file-abcdefghijk1"}"#, cut: 9, ObjectIDs("")!) == [])
  }

  @Test("more references than there may be are refused, not left out") func many() {
    let body = "[" + (0...64).map { #""file-abcdefghij\#($0)x""# }.joined(separator: ",") + "]"
    #expect(references(body, cut: 50, ids) == nil)
  }

  @Test("a kind of ID says how long it lasts") func days() {
    #expect(ids.days("resp_0123456789ab") == 30 && ids.days("file-0123456789ab") == nil)
    #expect(ObjectIDs("shapeless:7d")?.days("anything") == 7)
  }

  @Test("what cannot be the beginning of an ID is refused", arguments: ["f", "file", "resp_:0d", "resp_:9999d", "\"a-"])
  func bad(text: String) { #expect(ObjectIDs(text) == nil) }

  @Test(
    "new objects are read out of answers, wherever the bytes are cut",
    arguments: [
      (ObjectEffect.makesByID, UsageMeter.Format.json, #"{"object":"file","id":"file-1","x":{"id":"no"}}"#, ["file-1"]),
      (.makesByID, .json, #"{"id":"b","output_file_id":"o","error_file_id":"e"}"#, ["b", "o", "e"]),
      (.makesByID, .json, #"{"id":"u","file":{"id":"f"}}"#, ["u", "f"]),
      (.makesByID, .json, #"{"id":"r","store":false}"#, []), (.makesByID, .json, #"{"id":"r","store":true}"#, ["r"]),
      (.makesByName, .json, #"{"name":"cachedContents/1","id":"no"}"#, ["cachedContents/1"]),
      (.makesByName, .json, #"{"file":{"name":"files/1"}}"#, ["files/1"]),
      (
        .makesByID, .eventStream,
        "event: a\ndata: {\"type\":\"x\"}\n\ndata: {\"response\":{\"id\":\"r1\"}}\n\ndata: {\"id\":\"r2\"}\n\n", ["r1"]
      ),
      (.makesByID, .other, #"{"id":"file-1"}"#, []), (.none, .json, #"{"id":"file-1"}"#, []),
      (.ends, .json, #"{"id":"file-1"}"#, []),
    ]) func made(effect: ObjectEffect, format: UsageMeter.Format, body: String, expected: [String])
  {
    let bytes = Array(body.utf8)
    for cut in [1, 4, 1000] {
      var made = MadeObjects()
      made.expect(effect, format)
      var found: [String] = []
      for start in stride(from: 0, to: bytes.count, by: cut) {
        found += made.feed(bytes.span.extracting(start..<min(start + cut, bytes.count)))
      }
      #expect(found == expected, "\(cut)")
    }
  }

  @Test("no shipped endpoint passes an object by a placeholder that is not checked for its owner") func catalogue() {
    for entry in Catalogue.builtIn.all where !entry.objects.isEmpty {
      for path in ["/files/x", "/v1/files/x", "/batches/x", "/v1/batches/x", "/v1/responses/x", "/v1beta/files/x"] {
        for method in [Wire.Method.get, .delete, .post] {
          let bytes = Array(path.utf8)
          guard let found = entry.endpoint(method, bytes.span) else { continue }
          #expect(!found.object.isEmpty, "\(entry.name) \(method) \(path)")
        }
      }
    }
  }
}
