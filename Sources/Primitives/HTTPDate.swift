extension Timestamp {
  /// Reads the one form that HTTP dates are sent in, `Wed, 25 Nov 2026 02:00:00 GMT` (RFC 9110 section 5.6.7); nil for any other.
  public init?(httpDate b: Span<UInt8>) {
    guard b.count == 29, b.extracting(25..<29).equals(" GMT"), b[3] == 44, b[4] == 32 else { return nil }
    func number(_ range: Range<Int>) -> Int64? { ASCII.decimal(b.extracting(range)).map(Int64.init) }
    let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
    var month: Int64 = 0
    for i in 0..<12 where months.span.extracting((3 * i)..<(3 * i + 3)).equals(b.extracting(8..<11)) { month = Int64(i + 1) }
    guard month > 0, let day = number(5..<7), let year = number(12..<16), let hour = number(17..<19),
      let minute = number(20..<22),
      let second = number(23..<25), b[19] == 58, b[22] == 58, hour < 24, minute < 60, second < 61,
      (1...CivilDate.daysIn(month: month, year: year)).contains(day)
    else { return nil }
    let days = CivilDate.days(year: year, month: month, day: day)
    self.init(milliseconds: (days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
  }
}
