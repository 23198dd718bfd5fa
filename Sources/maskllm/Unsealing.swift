import Cryptography
import Primitives
import Storage
import Vault

/// Where the secret that opens the vault comes from.
enum Unsealing {
  static let options = [
    Option(name: "key-file", value: "PATH", help: "the unseal key file (default: unseal.key in the data directory)"),
    Option(name: "passphrase-fd", value: "N", help: "read the passphrase from file descriptor N"),
  ]

  /// The key file's content, or the passphrase: from a descriptor, typed, or piped.
  static func secret(path: String, method: SealMethod, _ arguments: Arguments) throws(Fault) -> SecretBytes {
    switch method {
    case .keyFile: return try Files.readKeyFile(arguments.value("key-file") ?? DataDirectory.keyFilePath(path))
    case .passphrase: return try Terminal.secret("passphrase", fd: try arguments.number("passphrase-fd", 0...1023))
    }
  }
}
