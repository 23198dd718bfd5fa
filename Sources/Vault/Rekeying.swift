import Cryptography
public import Domain
public import Primitives
public import Storage

/// What of the keys that all rests on is made anew.
public enum Rekeying: Sendable {
  /// The root key, sealed under a new secret, or under the same one.
  case root(newSecret: [UInt8]?)
  /// The key that records are sealed under. Those that are there open under the older one until they are sealed again.
  case data
  /// The key that masked keys are hashed with. Those that are there are checked with the older one until they are used.
  case pepper
  /// Forgets older keys: data keys and peppers other than these versions and the newest.
  case retire(keepingData: Set<UInt32>, keepingPeppers: Set<UInt32>)
}

extension Vault {
  /// Makes keys anew, durably: `secret` is the key file's content or the passphrase that the store is sealed with now. Returns the vault with the
  /// keys of afterwards, which everything is done with from then on.
  ///
  /// What is written opens: it is opened before it is written. Throws `.unsealFailed` when `secret` is not the one.
  public func rekeyed(_ store: any Store, secret: Span<UInt8>, _ change: Rekeying) throws(Fault) -> Vault {
    let wrapped = try Self.wrapped(in: store)
    var (method, wrappedRoot) = try SealMethod.decode(wrapped.seal)
    var root = try Self.root(wrapped, secret: secret)
    var keyring = try Self.keyring(wrapped, root)
    switch change {
    case .root(let newSecret):
      root = SecretBytes.random(32)
      if case .passphrase(let hash, let salt) = method {
        method = .passphrase(hash, salt: randomness.bytes(salt.count))
      }
      let unsealKey = if let newSecret { try method.unsealKey(newSecret.span) } else { try method.unsealKey(secret) }
      wrappedRoot = try Envelope.seal(root.span, key: unsealKey, keyVersion: 0, method.context, suite: suite, randomness)
      guard try Envelope.open(wrappedRoot, key: unsealKey, method.context) == root else {
        throw Fault(.cryptography, "the new seal does not open; nothing was changed")
      }
    case .data: keyring = keyring.renewed(.data)
    case .pepper: keyring = keyring.renewed(.pepper)
    case .retire(let data, let peppers): keyring = keyring.keeping(data: data, peppers: peppers)
    }
    let plain = keyring.encoded()
    let wrappedKeyring = try Envelope.seal(
      plain.span, key: root, keyVersion: 1, Self.keyringContext, suite: suite, randomness)
    _ = try Self.keyring(Wrapped(seal: wrapped.seal, keyring: wrappedKeyring), root)
    try store.setBlobs([
      (SealMethod.blobName, SealMethod.encode(method, wrappedRoot)), (Self.keyringBlob, wrappedKeyring),
    ])
    return Vault(keyring, randomness, suite: suite)
  }

  // MARK: what is under which key

  /// Whether a sealed record is under an older data key.
  public func isOutdated(_ sealed: [UInt8]) -> Bool { Envelope.keyVersion(of: sealed) != dataKeyVersion }

  public func dataKeyVersion(of sealed: [UInt8]) -> UInt32? { Envelope.keyVersion(of: sealed) }

  public var dataKeyVersions: [UInt32] { keyring.versions(.data) }
  public var pepperVersions: [UInt32] { keyring.versions(.pepper) }
  public var pepperVersion: UInt32 { keyring.current(.pepper).version }

  /// Seals the secret of `key` again, under the newest data key.
  public func resealed(_ key: ProviderKey, of provider: Provider) throws(Fault) -> ProviderKey {
    var key = key
    let secret = try open(key, of: provider)
    try seal(secret.span, into: &key, of: provider)
    return key
  }

  /// The same for a credential within a document.
  public func resealed(_ sealed: [UInt8], for name: String, hosts: [String]) throws(Fault) -> [UInt8] {
    let secret = try open(sealed, for: name, hosts: hosts)
    return try seal(secret.span, for: name, hosts: hosts)
  }

  /// `text`, which has been checked, hashed with the newest pepper.
  public func rehashed(_ text: Span<UInt8>) -> (hash: [UInt8], pepperVersion: UInt32) {
    let pepper = keyring.current(.pepper)
    return (HMACKey(pepper.key).authenticate(text).bytes, pepper.version)
  }
}

extension Keyring {
  func versions(_ purpose: Purpose) -> [UInt32] { entries.filter { $0.purpose == purpose }.map(\.version).sorted() }

  /// With one more key for `purpose`, which is the newest.
  func renewed(_ purpose: Purpose) -> Keyring {
    Keyring(entries + [Entry(purpose: purpose, version: current(purpose).version + 1, key: .random(32))])
  }

  func keeping(data: Set<UInt32>, peppers: Set<UInt32>) -> Keyring {
    Keyring(
      entries.filter { entry in
        switch entry.purpose {
        case .data: data.contains(entry.version) || entry.version == current(.data).version
        case .pepper: peppers.contains(entry.version) || entry.version == current(.pepper).version
        case .rowMAC: true
        }
      })
  }
}
