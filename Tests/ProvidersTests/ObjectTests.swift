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
      (#"{"file\u005fid":"1"}"#, ["1"]), (#"{"conversation":{"id":"2"},"x":"3","id":"4"}"#, ["2"]),
      ("no json: 'file-abcdefghijk1'", []),
      (#"{"é":"file-abcdefghijk1","ü":"\ud83d\ude00"}"#, ["file-abcdefghijk1"]),
    ]) func references(body: String, expected: [String])
  {
    for cut in [1, 2, 3, 5, 1000] { #expect(references(body, cut: cut, ids) == expected, "\(cut)") }
  }

  @Test(
    "IDs are found by where they stand, whatever they look like",
    arguments: [
      (#"{"file_ids":["file-abcdefghijklmnop","x"],"y":"z"}"#, ["file-abcdefghijklmnop", "x"]),
      (#"{"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids" : [ "a" , "b" ]}}]}"#, ["a", "b"]),
      (#"{"container":"cntr_x","a":["b"]}"#, ["cntr_x"]),
      (#"{"container":{"skills":[{"id":"no"}],"id":"c","type":"auto"}}"#, ["c"]),
      (#"{"container":{"type":"auto"},"id":"no"}"#, []), (#"{"file_ids":[],"x":["no"]}"#, []),
      (#"{"training_files":[{"file_id":"a","weight":1},{"file_id":"b"}],"x":"no"}"#, ["a", "b"]),
      (#"{"file_ids":[null,1,"a",[]],"x":["no"]}"#, ["a"]), (#"{"input_file_id":"a","vector_store_ids":["b"]}"#, ["a", "b"]),
      (#"{"file\u005fids":["\u0061"]}"#, ["a"]), (#"{"file_ids":{"id":"no"}}"#, []),
    ]) func places(body: String, expected: [String])
  {
    for cut in [1, 2, 3, 7, 1000] { #expect(references(body, cut: cut, ids) == expected, "\(cut) \(body)") }
  }

  private func form(_ body: String, boundary: String, cut: Int) -> [String]? {
    var reader = ReferenceReader()
    reader.expect(ids)
    let (bytes, b) = (Array(body.utf8), Array(boundary.utf8))
    reader.expectForm(b.span)
    var found: [String] = []
    for start in stride(from: 0, to: bytes.count, by: cut) {
      reader.feed(bytes.span.extracting(start..<min(start + cut, bytes.count)))
      found += reader.take() ?? []
    }
    reader.finish()
    return found + (reader.take() ?? [])
  }

  @Test(
    "IDs are found in the fields of forms, and nothing of a file is taken for one",
    arguments: [
      ("Content-Disposition: form-data; name=\"file_id\"\n\nfile-abcdefghijkl", ["file-abcdefghijkl"]),
      ("Content-Disposition: form-data; name=\"file_ids[]\"\n\nx", ["x"]),
      ("Content-Disposition: form-data; name=\"image[file_id]\"\n\nx", ["x"]),
      ("content-disposition:form-data;name=file_id\n\nx", ["x"]),
      ("Content-Disposition: form-data; name=\"a\"\n\nfile-abcdefghijk1", ["file-abcdefghijk1"]),
      ("Content-Disposition: form-data; name=\"prompt\"\n\nsay file-abcdefghijk1", []),
      ("Content-Disposition: form-data; name=\"a\"\n\nx", []),
      ("Content-Disposition: form-data; name=\"file_id\"; filename=\"x\"\n\nfile-abcdefghijk1", []),
      (
        "Content-Disposition: form-data; name=\"file\"; filename=\"x\"\nContent-Type: text/plain\n\nfile-abcdefghijk1\n--bx\n", []
      ),
      ("Content-Type: text/plain\nContent-Disposition: form-data; name=\"file_id\"\n\nx\n", ["x\r\n"]),
    ]) func forms(part: String, expected: [String])
  {
    let other = "--b\nContent-Disposition: form-data; name=\"file\"; filename=\"y\"\n\n\n\n--\n--b\n"
    for cut in [1, 2, 3, 7, 1000] {
      for body in ["\(other)\(part)\n--b--\n", "--b\n\(part)\n\(other)Content-Disposition: form-data; name=\"q\"\n\nr\n--b--"] {
        #expect(form(body.replacing("\n", with: "\r\n"), boundary: "b", cut: cut) == expected, "\(cut) \(body)")
      }
    }
  }

  @Test(
    "IDs are found where a form is written as a query is, and in queries",
    arguments: [
      ("file_id=file-x&a=b", ["file-x"]), ("a=b&file%5Fid=%78", ["x"]), ("a=file-abcdefghijk1", ["file-abcdefghijk1"]),
      ("file_ids[]=a&file_ids[]=b", ["a", "b"]),
      ("a=b;file_id=x", ["x"]), ("file_id", []), ("file_id=", []), ("after=x", []), ("", []),
    ]) func urlEncoded(body: String, expected: [String])
  {
    for cut in [1, 2, 3, 1000] { #expect(form(body, boundary: "", cut: cut) == expected, "\(cut) \(body)") }
    let query = Array("?\(body)".utf8)
    // A query is looked at by place alone.
    if !body.hasPrefix("a=file") { #expect(GatewayTarget.references(query.span) == expected) }
  }

  @Test("text in UTF-16 or UTF-32 is seen to be that")
  func wide() {
    for (bytes, isWide) in [
      ([0xFF, 0xFE, 123, 0], true), ([0xFE, 0xFF], true), ([123, 0, 34, 0], true), ([0, 0, 0, 123], true),
      ([123, 34, 97, 34], false), ([], false),
    ]
      as [([UInt8], Bool)]
    {
      var reader = ReferenceReader()
      reader.expect(ids)
      for b in bytes { reader.feed([b].span) }
      #expect(reader.isWide == isWide)
    }
  }

  @Test("containers that tools have made are the key's own, whichever event tells of them")
  func containers() {
    let stream =
      "data: {\"response\":{\"id\":\"r1\"}}\n\ndata: {\"item\":{\"container_id\":\"c1\"}}\n\ndata: {\"item\":{\"container_id\":\"c1\"}}\n\n"
    let message =
      "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\ndata: {\"delta\":{\"container\":{\"id\":\"c2\"}}}\n\n"
    for (effect, format, body, uses, expected) in [
      (ObjectEffect.makesByID, UsageMeter.Format.eventStream, stream, true, ["r1", "c1"]),
      (.makesByID, .eventStream, stream, false, ["r1"]),
      (.makesByID, .json, #"{"id":"r","output":[{"container_id":"c"}]}"#, true, ["r", "c"]),
      (.makesContainers, .eventStream, message, true, ["c2"]),
      (.makesContainers, .json, #"{"id":"msg","container":{"id":"c"}}"#, true, ["c"]),
      (.makesContainers, .json, #"{"id":"msg","container":{"id":"c"}}"#, false, []),
    ] as [(ObjectEffect, UsageMeter.Format, String, Bool, [String])] {
      for cut in [1, 5, 1000] {
        var made = MadeObjects()
        made.expect(effect, format, usesContainers: uses)
        let bytes = Array(body.utf8)
        var found: [String] = []
        for start in stride(from: 0, to: bytes.count, by: cut) {
          found += made.feed(bytes.span.extracting(start..<min(start + cut, bytes.count)))
        }
        #expect(found == expected, "\(cut) \(body)")
      }
    }
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
