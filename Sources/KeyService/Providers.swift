public import Cryptography
public import Domain
import PolicyEngine
public import Primitives
import Providers
import Storage
import Vault

// Providers and their keys.
extension KeyService {
  /// All providers, by name.
  public func providers() -> [Provider] { providersByName.values.sorted { $0.name < $1.name } }

  /// Adds a provider, or changes one. Throws `.conflict` when keys are sealed for hosts that it would no longer have.
  public func setProvider(_ provider: Provider) async throws(Fault) {
    let vault = try requireVault()
    try ProviderName.validate(provider.name)
    guard !["healthz", "livez", "leaks", "resolver"].contains(provider.name) else {
      throw Fault(.invalidInput, "the name '\(provider.name)' is taken by the gateway itself")
    }
    guard catalogue[provider.kind] != nil else {
      throw Fault(
        .notFound, "there is no kind of provider '\(provider.kind.prefix(40))'", hint: "see 'maskllm provider kinds'")
    }
    let keys = providerKeys.filter { $0.provider == provider.name }
    if let old = providersByName[provider.name], !keys.isEmpty,
      old.allowedHosts != provider.allowedHosts || old.credential != provider.credential
    {
      throw Fault(
        .conflict, "provider '\(provider.name)' has keys that are sealed for \(old.baseURL.origin)",
        hint: "remove them first: maskllm provider-key remove \(keys[0].id)")
    }
    try audit("provider.set", "provider/\(provider.name)", ["base_url": provider.baseURL.origin + provider.baseURL.prefix])
    try store.save(try vault.row(for: provider))
    providersByName[provider.name] = provider
    tamperedProviders.removeAll { $0 == provider.name }
    await publish()
  }

  /// Removes a provider; one of the catalogue is as it is shipped again. Throws `.conflict` while it has keys, or rules name it.
  public func removeProvider(_ name: String) async throws(Fault) {
    _ = try requireVault()
    guard try store.providers().contains(where: { $0.name == name }) else {
      throw Fault(.notFound, "there is no provider '\(name.prefix(64))' of yours", hint: "see 'maskllm provider list'")
    }
    let shipped = catalogue.providers.first { $0.name == name }
    func refuse(_ what: String) -> Fault { Fault(.conflict, "\(what) '\(name)'", hint: "change or remove that first") }
    if let key = providerKeys.first(where: { $0.provider == name }) { throw refuse("provider key \(key.id) is of provider") }
    if shipped == nil {
      if let key = keys.values.first(where: { !$0.state.isFinal && $0.policy.providers.contains(name) }) {
        throw refuse("key \(key.id) names provider")
      }
      for (kind, all) in [("team", teams), ("policy", sharedPolicies)] {
        if let user = all.first(where: { $0.value.providers.contains(name) }) {
          throw refuse("\(kind) '\(user.key)' names provider")
        }
      }
      if let user = budgets.values.first(where: { $0.provider == name }) { throw refuse("budget '\(user.name)' names provider") }
    }
    try audit("provider.remove", "provider/\(name)")
    try store.deleteProvider(name)
    providersByName[name] = shipped
    await publish()
  }

  /// All provider keys, the oldest first; `isUsable` is false for one that does not open.
  public func listProviderKeys() throws(Fault) -> [(key: ProviderKey, isUsable: Bool)] {
    if isSealed { return try store.providerKeys().map { ($0, false) } }
    return primaryKeys().map { key in
      (key, pools[key.id]?.disabledBecause != nil || credentials[VersionPlace(id: key.id, version: key.version)] != nil)
    }
  }

  /// Seals `secret` as a key of `provider`.
  public func addProviderKey(provider name: String, name label: String, secret: borrowing SecretBytes) async throws(Fault)
    -> ProviderKey
  {
    let vault = try requireVault()
    guard let provider = providersByName[name] else {
      throw Fault(
        .notFound, "there is no provider of that name", hint: "see 'maskllm provider list', or add it with 'maskllm provider add'"
      )
    }
    try Label.validate(label, of: "name")
    // Refused before it is kept, where the style wants it in another form.
    _ = try Credential(
      keyID: .random(randomness), version: 0, style: provider.credential, secret: secret, host: provider.baseURL.host)
    guard !providerKeys.contains(where: { $0.provider == name && $0.name == label }) else {
      throw Fault(.conflict, "provider '\(name)' has a key named '\(label)' already", hint: "choose another name with --name")
    }
    var key = ProviderKey(id: .random(randomness), provider: name, name: label, version: 1, sealed: [], createdAt: clock.now)
    try vault.seal(secret.span, into: &key, of: provider)
    // A built-in provider gets its row with its first key: the key's row refers to it.
    if try !store.providers().contains(where: { $0.name == name }) { try store.save(try vault.row(for: provider)) }
    try audit("provider_key.add", "provider-key/\(key.id)", ["provider": name, "name": label])
    try store.insert(key)
    providerKeys.append(key)
    credentials[VersionPlace(id: key.id, version: key.version)] = try credential(for: key, vault)
    await publish()
    return key
  }

  /// Erases a provider key. Requests in flight with it are cut.
  public func removeProviderKey(_ id: RecordID) async throws(Fault) {
    _ = try requireVault()
    guard providerKeys.contains(where: { $0.id == id }) else { throw Fault(.notFound, "there is no provider key \(id)") }
    try audit("provider_key.remove", "provider-key/\(id)")
    guard try store.deleteProviderKey(id, version: nil) else { throw Fault(.notFound, "there is no provider key \(id)") }
    providerKeys.removeAll { $0.id == id }
    if plans[id] != nil { try erase(.rotation, id.description) }
    if runs[id] != nil { try erase(.rotationRun, id.description) }
    (plans[id], runs[id]) = (nil, nil)
    try forgetPool(id)
    credentials = credentials.filter { $0.key.id != id }
    await publish()
  }
}
