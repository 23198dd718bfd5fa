import CPCRE2
import Primitives

/// A compiled regular expression over bytes (PCRE2's syntax, without its recursion and code).
@safe
final class Pattern: @unchecked Sendable {
  // SAFETY: written once, read by any thread; PCRE2 compiles to an immutable object. Each search has its own match data.
  private let code: OpaquePointer

  /// Throws `.invalidInput` for what is no regular expression.
  init(_ text: String) throws(Fault) {
    var (error, offset): (Int32, Int) = (0, 0)
    let bytes = Array(text.utf8)
    let compiled = unsafe bytes.withUnsafeBufferPointer {
      unsafe pcre2_compile_8($0.baseAddress, $0.count, 0, &error, &offset, nil)
    }
    guard let compiled = unsafe compiled else {
      throw Fault(.invalidInput, "a pattern of keys cannot be read at its character \(offset)")
    }
    // Where there is no just-in-time compiler, it is interpreted.
    _ = unsafe pcre2_jit_compile_8(compiled, UInt32(PCRE2_JIT_COMPLETE))
    unsafe code = unsafe compiled
  }

  deinit { unsafe pcre2_code_free_8(code) }

  /// Hands each match in `bytes` to `take`, in order, none inside another; what costs too much to search is given up.
  func forEachMatch(in bytes: Span<UInt8>, _ take: (Range<Int>) -> Void) {
    guard let data = unsafe pcre2_match_data_create_from_pattern_8(code, nil) else { return }
    defer { unsafe pcre2_match_data_free_8(data) }
    unsafe bytes.withUnsafeBufferPointer { buffer in
      var start = 0
      while start <= buffer.count,
        unsafe pcre2_match_8(code, buffer.baseAddress, buffer.count, start, UInt32(PCRE2_NO_UTF_CHECK), data, nil) > 0
      {
        let found = unsafe pcre2_get_ovector_pointer_8(data)!
        let range = unsafe Int(found[0])..<Int(found[1])
        take(range)
        start = max(range.upperBound, start + 1)
      }
    }
  }
}
