public import Cryptography
public import Domain
import FoundationEssentials
public import Primitives
public import Storage

/// The unsealed vault: the working keys in guarded memory, and everything that is done with them.
///
/// Immutable, so that any thread may use it.
public final class Vault: Sendable {
  let keyring: Keyring
  private let macKey: HMACKey
  let randomness: any Randomness
  /// The suite of new records.
  let suite: AEAD

  static let keyringBlob = "keyring"
  static let keyringContext = RecordContext(table: "blob", column: "value", record: keyringBlob)

  init(_ keyring: Keyring, _ randomness: any Randomness, suite: AEAD) {
    self.keyring = keyring
    self.randomness = randomness
    self.suite = suite
    macKey = HMACKey(keyring.current(.rowMAC).key)
  }

  /// Makes a root key and a keyring and keeps them wrapped in `store`; `secret` is the key file's content or the passphrase.
  public static func initialize(
    _ store: any Store, method: SealMethod, secret: Span<UInt8>, randomness: any Randomness = SystemRandomness(),
    suite: AEAD = .aes256GCM
  ) throws(Fault) -> Vault {
    guard try store.blob(SealMethod.blobName) == nil else { throw Fault(.conflict, "the store is initialised already") }
    let root = SecretBytes.random(32)
    let keyring = Keyring.fresh()
    let unsealKey = try method.unsealKey(secret)
    let wrappedRoot = try Envelope.seal(root.span, key: unsealKey, keyVersion: 0, method.context, suite: suite, randomness)
    let plain = keyring.encoded()
    let wrappedKeyring = try Envelope.seal(plain.span, key: root, keyVersion: 1, keyringContext, suite: suite, randomness)
    let vault = Vault(keyring, randomness, suite: suite)
    try store.setBlobs([
      (SealMethod.blobName, SealMethod.encode(method, wrappedRoot)), (keyringBlob, wrappedKeyring),
      (manifestBlob, vault.manifest([])),
    ])
    return vault
  }

  /// Opens the vault. Throws `.unsealFailed` when `secret` is not the one it was sealed with.
  public static func unseal(
    _ store: any Store, secret: Span<UInt8>, randomness: any Randomness = SystemRandomness(), suite: AEAD = .aes256GCM
  ) throws(Fault) -> Vault {
    let wrapped = Wrapped(seal: try SealMethod.blob(store), keyring: try store.blob(keyringBlob) ?? [])
    return try unseal(wrapped, secret: secret, randomness: randomness, suite: suite)
  }

  /// The root key and the keyring as they are kept: both sealed.
  public struct Wrapped: Sendable, Codable {
    public let seal: [UInt8]
    public let keyring: [UInt8]
    init(seal: [UInt8], keyring: [UInt8]) { (self.seal, self.keyring) = (seal, keyring) }
  }

  public static func wrapped(in store: any Store) throws(Fault) -> Wrapped {
    Wrapped(seal: try SealMethod.blob(store), keyring: try store.blob(keyringBlob) ?? [])
  }

  /// How `wrapped` is opened.
  public static func method(of wrapped: Wrapped) throws(Fault) -> SealMethod { try SealMethod.decode(wrapped.seal).method }

  /// The same from what a backup has.
  public static func unseal(
    _ wrapped: Wrapped, secret: Span<UInt8>, randomness: any Randomness = SystemRandomness(), suite: AEAD = .aes256GCM
  ) throws(Fault) -> Vault {
    let root = try root(wrapped, secret: secret)
    return Vault(try keyring(wrapped, root), randomness, suite: suite)
  }

  static func root(_ wrapped: Wrapped, secret: Span<UInt8>) throws(Fault) -> SecretBytes {
    let (method, wrappedRoot) = try SealMethod.decode(wrapped.seal)
    let unsealKey = try method.unsealKey(secret)
    do { return try Envelope.open(wrappedRoot, key: unsealKey, method.context) } catch {
      throw Fault(
        .unsealFailed, method == .keyFile ? "the key file does not open this vault" : "the passphrase does not open this vault",
        hint: "nothing was changed; try again with the right one")
    }
  }

  static func keyring(_ wrapped: Wrapped, _ root: borrowing SecretBytes) throws(Fault) -> Keyring {
    guard !wrapped.keyring.isEmpty else { throw Fault(.tampered, "the keyring is missing", hint: "restore a backup") }
    do {
      let plain = try Envelope.open(wrapped.keyring, key: root, keyringContext)
      return try Keyring.decode(plain)
    } catch { throw Fault(.tampered, "the keyring does not open", hint: "it was changed outside maskllm: restore a backup") }
  }

  /// The key of one backup; `salt` is 32 random bytes that go with it. Throws `.tampered` when the vault does not
  /// have data key `version`.
  public func backupKey(salt: [UInt8], version: UInt32) throws(Fault) -> SecretBytes {
    guard let entry = keyring.entry(.data, version: version) else {
      throw Fault(.tampered, "the backup was sealed under a key that this vault does not have")
    }
    let key = entry.key.copy()
    return try HKDF.sha512(key: key.span, salt: salt.span, info: Array("maskllm/backup/1".utf8), length: 32)
  }

  public var dataKeyVersion: UInt32 { keyring.current(.data).version }

  // MARK: documents

  /// `document` as a row with its MAC.
  public func row(kind: String, name: String, _ document: some Encodable, revision: Int64) throws(Fault) -> DocumentRow {
    guard let body = try? Self.encoder.encode(document) else { throw Fault(.invalidInput, "the \(kind) cannot be written down") }
    return DocumentRow(
      kind: kind, name: name, body: [UInt8](body), revision: revision, mac: documentMAC(kind, name, [UInt8](body), revision))
  }

  /// What a row holds; throws `.tampered` when anything in it was changed outside.
  public func document<Document: Decodable>(from row: DocumentRow) throws(Fault) -> Document {
    guard constantTimeEqual(documentMAC(row.kind, row.name, row.body, row.revision).span, row.mac.span),
      let document = try? JSONDecoder().decode(Document.self, from: Data(row.body))
    else { throw Fault(.tampered, "\(row.kind) '\(row.name)' was changed outside maskllm", hint: "restore a backup") }
    return document
  }

  private func documentMAC(_ kind: String, _ name: String, _ body: [UInt8], _ revision: Int64) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/document/1")
    fields.append(kind)
    fields.append(name)
    fields.append(body)
    fields.append(revision)
    return macKey.authenticate(fields.bytes.span).bytes
  }

  /// The name of the blob that holds the manifest.
  public static let manifestBlob = "documents"

  /// A MAC over which documents there are, in which revision: without it, whoever can write the store could take a budget away.
  public func manifest(_ rows: [DocumentRow]) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/documents/1")
    for row in rows.sorted(by: { ($0.kind, $0.name) < ($1.kind, $1.name) }) {
      fields.append(row.kind)
      fields.append(row.name)
      fields.append(row.revision)
    }
    return macKey.authenticate(fields.bytes.span).bytes
  }

  private static var encoder: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
  }

  // MARK: objects at providers

  /// `object` as a row with its MAC.
  public func row(for object: ProviderObject) -> ObjectRow { ObjectRow(object: object, mac: objectMAC(object)) }

  /// What a row says; nil when anything in it was changed outside: it is nobody's then.
  public func object(from row: ObjectRow) -> ProviderObject? {
    constantTimeEqual(objectMAC(row.object).span, row.mac.span) ? row.object : nil
  }

  private func objectMAC(_ object: ProviderObject) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/object/1")
    fields.append(object.provider)
    fields.append(object.id)
    fields.append(object.key.description)
    fields.append(object.providerKey.description)
    fields.append(object.createdAt.milliseconds)
    fields.append(object.expiresAt?.milliseconds ?? .max)
    return macKey.authenticate(fields.bytes.span).bytes
  }

  // MARK: provider keys

  private static func context(_ key: ProviderKey, _ provider: Provider) -> RecordContext {
    RecordContext(
      table: "provider_key", column: "sealed", record: key.id.description, version: key.version, provider: provider.name,
      allowedHosts: provider.allowedHosts)
  }

  /// Seals `secret` as the content of `key`, for `provider`'s hosts only.
  public func seal(_ secret: Span<UInt8>, into key: inout ProviderKey, of provider: Provider) throws(Fault) {
    let entry = keyring.current(.data)
    key.sealed = try Envelope.seal(
      secret, key: entry.key, keyVersion: entry.version, Self.context(key, provider), suite: suite, randomness)
  }

  /// The secret of `key`; throws `.tampered` when the record, its row or the provider's hosts are not what they were.
  public func open(_ key: ProviderKey, of provider: Provider) throws(Fault) -> SecretBytes {
    guard let version = Envelope.keyVersion(of: key.sealed), let entry = keyring.entry(.data, version: version) else {
      throw Fault(.tampered, "provider key \(key.id) was sealed under a key that this vault does not have")
    }
    do { return try Envelope.open(key.sealed, key: entry.key, Self.context(key, provider)) } catch {
      throw Fault(
        .tampered, "provider key \(key.id) does not open",
        hint: "its row or the hosts of provider '\(provider.name)' were changed outside maskllm: add the key again")
    }
  }

  // MARK: other credentials

  private static func context(_ name: String, _ hosts: [String]) -> RecordContext {
    RecordContext(table: "document", column: "sealed", record: name, allowedHosts: hosts)
  }

  /// The envelope of a credential that is kept within a document: bound to the document's name and to the hosts that it may be sent to.
  public func seal(_ secret: Span<UInt8>, for name: String, hosts: [String]) throws(Fault) -> [UInt8] {
    let entry = keyring.current(.data)
    return try Envelope.seal(
      secret, key: entry.key, keyVersion: entry.version, Self.context(name, hosts), suite: suite, randomness)
  }

  /// Throws `.tampered` when it is of another document or for other hosts.
  public func open(_ sealed: [UInt8], for name: String, hosts: [String]) throws(Fault) -> SecretBytes {
    guard let version = Envelope.keyVersion(of: sealed), let entry = keyring.entry(.data, version: version) else {
      throw Fault(.tampered, "the credential of \(name) was sealed under a key that this vault does not have")
    }
    do { return try Envelope.open(sealed, key: entry.key, Self.context(name, hosts)) } catch {
      throw Fault(.tampered, "the credential of \(name) does not open", hint: "set it again")
    }
  }

  // MARK: masked keys

  /// A new secret for `id`, its text to be shown once, and the hash to be kept.
  public func issueSecret(prefix: String, id: RecordID) -> IssuedSecret {
    issue(randomness.bytes(32), prefix: prefix, id: id)
  }

  /// The secret of version `version` that `salt` (32 random bytes, kept for as long as it may be asked for again) stands for: the
  /// same at every call.
  public func renewedSecret(prefix: String, id: RecordID, version: UInt32, salt: [UInt8]) -> IssuedSecret {
    var fields = FieldEncoding()
    fields.append("maskllm/renewed-secret/1")
    fields.append(id.bytes)
    fields.append(Int64(version))
    fields.append(salt)
    return issue(macKey.authenticate(fields.bytes.span).bytes, prefix: prefix, id: id)
  }

  private func issue(_ secret: consuming [UInt8], prefix: String, id: RecordID) -> IssuedSecret {
    var text = MaskedKeyFormat.text(prefix: prefix, id: id, secret: secret)
    defer {
      wipe(&secret)
      wipe(&text)
    }
    let pepper = keyring.current(.pepper)
    let hash = HMACKey(pepper.key).authenticate(text.span).bytes
    return IssuedSecret(text: SecretBytes(copying: text.span), hash: hash, pepperVersion: pepper.version)
  }

  /// The peppers by version, for the snapshot that requests are checked against.
  public func peppers() -> [Pepper] {
    keyring.entries.filter { $0.purpose == .pepper }.sorted { $0.version < $1.version }.map {
      Pepper(version: $0.version, key: HMACKey($0.key))
    }
  }

  // MARK: endings

  /// One line that says that a version of a key (0: all of it) ends at `moment`, with its MAC.
  public func ending(of id: RecordID, version: UInt32, at moment: Timestamp) -> String {
    let text = "1 \(id) \(version) \(moment.milliseconds)"
    return "\(text) \(hexadecimal(endingMAC(text)))"
  }

  /// What a line says; nil when anything in it was changed outside.
  public func ending(from line: String) -> (id: RecordID, version: UInt32, moment: Timestamp)? {
    let parts = line.split(separator: " ").map(String.init)
    guard parts.count == 5, parts[0] == "1", let id = RecordID(parts[1]), let version = UInt32(parts[2]),
      let at = Int64(parts[3]),
      let mac = bytes(hexadecimal: parts[4])
    else { return nil }
    let expected = endingMAC(parts[0..<4].joined(separator: " "))
    return constantTimeEqual(expected.span, mac.span) ? (id, version, Timestamp(milliseconds: at)) : nil
  }

  private func endingMAC(_ text: String) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/ending/1")
    fields.append(text)
    return macKey.authenticate(fields.bytes.span).bytes
  }

  // MARK: rows

  /// `key` as a row with its MAC.
  public func row(for key: MaskedKey) throws(Fault) -> MaskedKeyRow { try rows(for: [key])[0] }

  /// `keys` as rows with their MACs. Of a thousand keys, most have one of a few policies, which is written once.
  public func rows(for keys: [MaskedKey]) throws(Fault) -> [MaskedKeyRow] {
    var grants: [Grant: [UInt8]] = [:]
    var details: [KeyDetails: [UInt8]] = [KeyDetails(): []]
    var rows: [MaskedKeyRow] = []
    rows.reserveCapacity(keys.count)
    for key in keys {
      guard let policy = grants[key.grant] ?? (try? Self.encoder.encode(key.grant)).map({ [UInt8]($0) }),
        let more = details[key.details] ?? (try? Self.encoder.encode(key.details)).map({ [UInt8]($0) })
      else { throw Fault(.invalidInput, "the key cannot be written down") }
      grants[key.grant] = policy
      details[key.details] = more
      let mac = macKey.authenticate(key.authenticatedBytes(policyDocument: policy, detailsDocument: more).span).bytes
      rows.append(
        MaskedKeyRow(
          id: key.id, name: key.name, policy: policy, state: key.state.rawValue, createdAt: key.createdAt.milliseconds,
          expiresAt: key.expiresAt?.milliseconds, hash: key.hash, pepperVersion: Int64(key.pepperVersion), details: more,
          revision: key.revision, mac: mac))
    }
    return rows
  }

  /// The key of a row; throws `.tampered` when anything in it was changed outside.
  ///
  /// `known` remembers decoded policies by their bytes: of 100,000 keys, most have one of a few.
  public func maskedKey(from row: MaskedKeyRow, known: inout [[UInt8]: Grant]) throws(Fault) -> MaskedKey {
    let refused = Fault(.tampered, "masked key \(row.id) was changed outside maskllm", hint: "revoke it and create a new one")
    guard let state = MaskedKey.State(rawValue: row.state), let pepperVersion = UInt32(exactly: row.pepperVersion),
      let grant = known[row.policy] ?? (try? JSONDecoder().decode(Grant.self, from: Data(row.policy)))
    else { throw refused }
    known[row.policy] = grant
    var details = KeyDetails()
    if !row.details.isEmpty {
      guard let told = try? JSONDecoder().decode(KeyDetails.self, from: Data(row.details)) else { throw refused }
      details = told
    }
    let key = MaskedKey(
      id: row.id, name: row.name, grant: grant, state: state,
      createdAt: Timestamp(milliseconds: row.createdAt),
      expiresAt: row.expiresAt.map(Timestamp.init(milliseconds:)), hash: row.hash, pepperVersion: pepperVersion,
      details: details, revision: row.revision)
    let expected = macKey.authenticate(
      key.authenticatedBytes(policyDocument: row.policy, detailsDocument: row.details).span
    ).bytes
    guard constantTimeEqual(expected.span, row.mac.span) else { throw refused }
    return key
  }

  public func row(for provider: Provider) throws(Fault) -> ProviderRow {
    guard let document = try? Self.encoder.encode(provider) else {
      throw Fault(.invalidInput, "the provider cannot be written down")
    }
    return ProviderRow(name: provider.name, document: [UInt8](document), mac: providerMAC(provider.name, [UInt8](document)))
  }

  /// The provider of a row; throws `.tampered` when anything in it was changed outside.
  public func provider(from row: ProviderRow) throws(Fault) -> Provider {
    guard constantTimeEqual(providerMAC(row.name, row.document).span, row.mac.span),
      let provider = try? JSONDecoder().decode(Provider.self, from: Data(row.document)), provider.name == row.name
    else { throw Fault(.tampered, "provider '\(row.name)' was changed outside maskllm", hint: "add it again") }
    return provider
  }

  private func providerMAC(_ name: String, _ document: [UInt8]) -> [UInt8] {
    var fields = FieldEncoding()
    fields.append("maskllm/provider/1")
    fields.append(name)
    fields.append(document)
    return macKey.authenticate(fields.bytes.span).bytes
  }
}

/// A masked key's text, to be shown once, and what is kept of it.
public struct IssuedSecret: ~Copyable {
  public let text: SecretBytes
  public let hash: [UInt8]
  public let pepperVersion: UInt32
}
