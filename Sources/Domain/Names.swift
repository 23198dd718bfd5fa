public import Primitives

/// The first path segment of a gateway URL: `[a-z0-9][a-z0-9-]{0,39}`.
public enum ProviderName {
  public static func validate(_ name: String) throws(Fault) {
    let bytes = Array(name.utf8)
    let allowed = bytes.allSatisfy { ASCII.isDigit($0) || ($0 >= 97 && $0 <= 122) || $0 == 45 }
    guard allowed, (1...40).contains(bytes.count), bytes[0] != 45 else {
      throw Fault(.invalidInput, "that is no provider name", hint: "use 1 to 40 of a-z, 0-9 and '-', not starting with '-'")
    }
  }
}

/// A person's label for a record: 1 to 100 bytes of UTF-8 without control characters.
public enum Label {
  public static let lengthMax = 100

  /// `text` as a label, whatever it is: what others have written into it is cut and made harmless.
  public static func fitting(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(lengthMax).map { (32...126).contains($0.value) ? $0 : "?" }))
  }

  public static func validate(_ text: String, of what: String) throws(Fault) {
    guard (1...lengthMax).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else {
      throw Fault(.invalidInput, "that \(what) cannot be used", hint: "use 1 to \(lengthMax) bytes without control characters")
    }
  }
}

/// The name of a team, a policy or a budget: `[a-z0-9][a-z0-9._-]{0,63}`.
public enum DocumentName {
  public static func validate(_ name: String, of what: String) throws(Fault) {
    let bytes = Array(name.utf8)
    let allowed = bytes.allSatisfy { ASCII.isDigit($0) || ($0 >= 97 && $0 <= 122) || $0 == 45 || $0 == 46 || $0 == 95 }
    guard allowed, (1...64).contains(bytes.count), ASCII.isDigit(bytes[0]) || ASCII.isLetter(bytes[0]) else {
      throw Fault(
        .invalidInput, "that is no name for a \(what)",
        hint: "use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit")
    }
  }
}
