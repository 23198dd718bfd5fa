import Glibc
import Primitives
import Wire

// One input drives every parser of the wire floor: the first byte chooses, the rest is parsed whole and in two pieces, and both
// readings must agree. What may not happen is a trap, a loop, or a disagreement.

private let paths = JSONPaths([("model", .text(0)), ("stream", .number(0)), ("usage.a", .number(1))])
private let hasCanary = unsafe getenv("MASKLLM_FUZZ_CANARY") != nil

// SwiftPM calls an executable's entry point by the module's name; libFuzzer's own main then stays out.
@_silgen_name("LLVMFuzzerRunDriver")
private func run(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ callback: @convention(c) (UnsafePointer<UInt8>, Int) -> CInt
) -> CInt

@_cdecl("fuzz_wire_main")
public func main(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
  var (count, arguments) = unsafe (count, arguments)
  return unsafe run(&count, &arguments) { start, length in unsafe fuzz(start, length) }
}

private func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  guard count > 2 else { return 0 }
  let input = unsafe Span<UInt8>(_unsafeStart: start, count: count)
  let cut = 2 + Int(input[1]) % (count - 1)
  switch input[0] % 7 {
  case 0: requests(input, cut)
  case 1: responses(input)
  case 2: bodies(input, cut)
  case 3: json(input, cut)
  case 4: events(input, cut)
  case 5: frames(input, cut, fromClient: true)
  default: frames(input, cut, fromClient: false)
  }
  return 0
}

private func requests(_ input: Span<UInt8>, _ cut: Int) {
  let bytes = input.extracting(2..<input.count)
  var head = RequestHead()
  do throws(HTTPError) {
    if try head.parse(bytes, limits: HeadLimits()) {
      // A planted fault: proves that the fuzzer reaches this far.
      if hasCanary, head.framing == .chunked { fatalError("planted fault") }
      precondition(head.length <= bytes.count)
      for field in head.fields {
        precondition(field.name.range.upperBound <= head.length && field.value.range.upperBound <= head.length)
      }
      // A part of a head is never taken for a whole one.
      var part = RequestHead()
      let isWhole = try part.parse(bytes.extracting(0..<min(cut, head.length - 1)), limits: HeadLimits())
      precondition(!isWhole)
    }
  } catch {}
}

private func responses(_ input: Span<UInt8>) {
  var head = ResponseHead()
  let bytes = input.extracting(2..<input.count)
  do throws(HTTPError) {
    if try head.parse(bytes, answering: .post, limits: HeadLimits()) {
      precondition(head.length <= bytes.count && head.status >= 100)
    }
  } catch {}
}

private func bodies(_ input: Span<UInt8>, _ cut: Int) {
  func decode(_ pieces: [Range<Int>]) -> [UInt8]? {
    var decoder = BodyDecoder(.chunked)
    var out: [UInt8] = []
    do throws(HTTPError) {
      for piece in pieces {
        var at = piece.lowerBound
        steps: while true {
          switch try decoder.step(input.extracting(at..<piece.upperBound)) {
          case .content(let range):
            precondition(!range.isEmpty)
            out += [UInt8](copying: input.extracting((at + range.lowerBound)..<(at + range.upperBound)))
            at += range.upperBound
          case .more(let used):
            precondition(at + used == piece.upperBound)
            break steps
          case .end: return out + [255]
          }
        }
      }
      return out
    } catch { return nil }
  }
  let (whole, pieces) = (decode([2..<input.count]), decode([2..<cut, cut..<input.count]))
  precondition(whole == pieces)
}

private func json(_ input: Span<UInt8>, _ cut: Int) {
  func probe(_ pieces: [Range<Int>]) -> (JSONProbe.Status, Int64?, Bool, Int) {
    var probe = JSONProbe()
    for piece in pieces { probe.feed(input.extracting(piece), paths) }
    probe.finish(paths)
    return (probe.status, probe.number(1), probe.hasDuplicate, probe.text(0).count)
  }
  precondition(probe([2..<input.count]) == probe([2..<cut, cut..<input.count]))
}

private func events(_ input: Span<UInt8>, _ cut: Int) {
  func split(_ pieces: [Range<Int>]) -> [Int] {
    var splitter = EventStreamSplitter()
    var sizes = [0]
    for piece in pieces {
      let bytes = input.extracting(piece)
      var i = 0
      loop: while true {
        switch splitter.step(bytes, from: i) {
        case .data(let range):
          sizes[sizes.count - 1] += range.count
          i = range.upperBound
        case .endOfEvent(let used):
          sizes.append(0)
          i = used
        case .more: break loop
        }
      }
    }
    return sizes
  }
  precondition(split([2..<input.count]) == split([2..<cut, cut..<input.count]))
}

private func frames(_ input: Span<UInt8>, _ cut: Int, fromClient: Bool) {
  func split(_ pieces: [Range<Int>]) -> [Int] {
    var frames = WebSocketFrames(fromClient: fromClient)
    var sizes = [0]
    for piece in pieces {
      let bytes = input.extracting(piece)
      var i = 0
      loop: while true {
        switch frames.step(bytes, from: i) {
        case .payload(let range):
          frames.unmask(bytes, range) { plain in for j in plain.indices { sizes[sizes.count - 1] += Int(plain[j]) + 1 } }
          i = range.upperBound
        case .endOfMessage(let used):
          sizes.append(0)
          i = used
        case .more: break loop
        case .invalid: return sizes + [-1]
        }
      }
    }
    return sizes + [frames.isBetweenFrames ? 1 : 0]
  }
  precondition(split([2..<input.count]) == split([2..<cut, cut..<input.count]))
}
