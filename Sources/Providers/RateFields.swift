public import Primitives

/// The header lines in which providers say how much is left, so that their SDKs wait as long as they should.
public enum RateFields {
  public static func write(
    _ limit: Int64, _ remaining: Int64, _ resetMilliseconds: Int, ofTokens: Bool, _ shape: ErrorShape, _ now: Timestamp,
    to buffer: inout ByteBuffer
  ) {
    let kind: StaticString = ofTokens ? "tokens" : "requests"
    func field(_ value: Int64, openai: StaticString, anthropic: StaticString, _ buffer: inout ByteBuffer) {
      start(openai: openai, anthropic: anthropic, &buffer)
      buffer.append(decimal: Int(value))
      buffer.append("\r\n")
    }
    func start(openai: StaticString, anthropic: StaticString, _ buffer: inout ByteBuffer) {
      if shape == .anthropic {
        buffer.append("anthropic-ratelimit-")
        buffer.append(kind)
        buffer.append(anthropic)
      } else {
        buffer.append("x-ratelimit-")
        buffer.append(openai)
        buffer.append("-")
        buffer.append(kind)
      }
      buffer.append(": ")
    }
    field(limit, openai: "limit", anthropic: "-limit", &buffer)
    field(remaining, openai: "remaining", anthropic: "-remaining", &buffer)
    start(openai: "reset", anthropic: "-reset", &buffer)
    if shape == .anthropic {
      // Anthropic's are moments, everybody else's are spans.
      let seconds = (now.milliseconds + Int64(resetMilliseconds) + 999).floorDivided(by: 1000)
      appendMoment(seconds, &buffer)
    } else {
      buffer.append(decimal: resetMilliseconds)
      buffer.append("ms")
    }
    buffer.append("\r\n")
  }

  /// `2026-11-24T10:00:00Z`, without a String.
  private static func appendMoment(_ seconds: Int64, _ buffer: inout ByteBuffer) {
    let day = seconds.floorDivided(by: 86_400)
    let (year, month, dayOfMonth) = CivilDate.of(days: day)
    let rest = seconds - day * 86_400
    func two(_ n: Int64, _ end: StaticString, _ buffer: inout ByteBuffer) {
      if n < 10 { buffer.append("0") }
      buffer.append(decimal: Int(n))
      buffer.append(end)
    }
    buffer.append(decimal: Int(year))
    buffer.append("-")
    two(month, "-", &buffer)
    two(dayOfMonth, "T", &buffer)
    two(rest / 3600, ":", &buffer)
    two(rest / 60 % 60, ":", &buffer)
    two(rest % 60, "Z", &buffer)
  }
}
