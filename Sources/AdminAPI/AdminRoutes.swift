import Domain
import KeyService
import Primitives
import Wire

extension AdminAPI {
  /// All of it. Who may ask for what is decided here and nowhere else.
  static let routes = managing + watching + alerting

  private static let managing: [AdminRoute] = [
    AdminRoute(.get, "status", .read, .status, ofTeams: true, "How the server is", gives: .one(StatusDocument.self)) {
      (api, r, p) async throws(Fault) in try api.status(r)
    },
    AdminRoute(
      .get, "nodes", .read, .status, ofTeams: true, "List who serves", gives: .list(NodeDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.listNodes(r) },
    AdminRoute(
      .get, "vault", .read, .seal, "Read which keys all rests on, and what is still under older ones",
      gives: .one(VaultDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.showVault(r) },
    AdminRoute(
      .post, "vault/rotate", .change, .seal, "Make the root key, the data key or the pepper anew",
      gives: .one(VaultDocument.self), takes: .document(VaultRotationDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.rotateVault(r) },
    AdminRoute(
      .post, "vault/retire", .change, .seal, "Forget data keys and peppers that nothing needs any more",
      gives: .one(VaultDocument.self), takes: .document(VaultSecretDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.retireVaultKeys(r) },
    AdminRoute(
      .post, "batches", .read, .status, ofTeams: true, "Make many changes as one, or see what they would come to",
      gives: .all(BatchAnswerDocument.self), takes: .document(BatchDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.doBatch(r) },
    AdminRoute(.get, "openapi.json", .read, .status, ofTeams: true, "This document", gives: .openAPI) {
      (api, r, p) async throws(Fault) in
      try api.allow(r, query: [])
      return AdminResponse(status: 200, body: AdminAPI.openAPI())
    },
    AdminRoute(
      .post, "unseal", .change, .seal, "Open the vault with its key file's content or passphrase", gives: .nothing, takes: .secret
    ) { (api, r, p) async throws(Fault) in try await api.unseal(r) },
    AdminRoute(
      .post, "seal", .change, .seal, "Close the vault: nothing is served until it is opened by hand",
      gives: .one(SealReceiptDocument.self), takes: .document(SealDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.seal(r) },
    AdminRoute(.get, "providers", .read, .providers, ofTeams: true, "List providers", gives: .list(ProviderDocument.self)) {
      (api, r, p) async throws(Fault) in try api.listProviders(r)
    },
    AdminRoute(
      .post, "providers", .create, .providers, "Add a provider, or change one", gives: .made(ProviderDocument.self),
      takes: .document(NewProviderDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.addProvider(r) },
    AdminRoute(.get, "providers/{name}", .read, .providers, ofTeams: true, "Read a provider", gives: .one(ProviderDocument.self))
    { (api, r, p) async throws(Fault) in
      try api.showProvider(r, p[0])
    },
    AdminRoute(
      .delete, "providers/{name}", .end, .providers, "Remove a provider; one of the catalogue is as shipped again",
      gives: .nothing
    ) { (api, r, p) async throws(Fault) in try await api.removeProvider(r, p[0]) },
    AdminRoute(
      .get, "provider-kinds", .read, .providers, ofTeams: true, "List what the catalogue knows", gives: .list(KindDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.listKinds(r)
    },
    AdminRoute(.get, "provider-keys", .read, .providerKeys, "List provider keys", gives: .list(ProviderKeyDocument.self)) {
      (api, r, p) async throws(Fault) in try api.listProviderKeys(r)
    },
    AdminRoute(
      .post, "provider-keys", .create, .providerKeys, "Seal a provider key", gives: .made(ProviderKeyDocument.self),
      takes: .secret, query: ["provider", "name"]
    ) { (api, r, p) async throws(Fault) in
      try await api.addProviderKey(r)
    },
    AdminRoute(
      .get, "provider-keys/{id}", .read, .providerKeys, "Read a provider key, without its secret",
      gives: .one(ProviderKeyDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try api.allow(r, query: [])
      return try api.showProviderKey(try api.recordID(p[0]))
    },
    AdminRoute(
      .put, "provider-keys/{id}", .change, .providerKeys, "Say how a provider key shares requests with the others",
      gives: .one(ProviderKeyDocument.self), takes: .document(PoolDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.setPool(r, p[0])
    },
    AdminRoute(
      .post, "provider-keys/{id}/release", .change, .providerKeys, "Use a provider key again that the provider had refused",
      gives: .one(ProviderKeyDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try api.releaseProviderKey(r, p[0])
    },
    AdminRoute(
      .post, "provider-keys/{id}/disable", .change, .providerKeys, "Take a provider key out of use",
      gives: .one(ProviderKeyDocument.self), takes: .document(ReasonDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.switchProviderKey(r, p[0], on: false)
    },
    AdminRoute(
      .post, "provider-keys/{id}/enable", .change, .providerKeys, "Take a provider key into use again",
      gives: .one(ProviderKeyDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.switchProviderKey(r, p[0], on: true)
    },
    AdminRoute(.delete, "provider-keys/{id}", .end, .providerKeys, "Erase a provider key", gives: .nothing) {
      (api, r, p) async throws(Fault) in
      try await api.removeProviderKey(r, p[0])
    },
    AdminRoute(
      .get, "keys", .read, .keys, ofTeams: true, "List masked keys", gives: .list(KeyDocument.self),
      query: ["team", "policy", "tag", "state", "name"]
    ) { (api, r, p) async throws(Fault) in try api.listKeys(r) },
    AdminRoute(
      .post, "keys", .create, .keys, ofTeams: true, "Make a masked key, or many", gives: .oneOrList(CreatedKeyDocument.self),
      takes: .document(NewKeyDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.createKey(r) },
    AdminRoute(
      .get, "keys/{id}", .read, .keys, ofTeams: true, "Read a masked key, without its secret", gives: .one(KeyDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.showKey(r, p[0]) },
    AdminRoute(
      .post, "keys/{id}/rotate", .change, .keys, ofTeams: true, "Give a masked key a new secret",
      gives: .one(CreatedKeyDocument.self), takes: .maybe(RotationDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.rotateKey(r, p[0])
    },
    AdminRoute(
      .post, "keys/{id}/disable", .change, .keys, ofTeams: true, "Refuse a masked key until it is enabled",
      gives: .one(KeyDocument.self), takes: .maybe(ReasonDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "disable")
    },
    AdminRoute(
      .post, "keys/{id}/enable", .change, .keys, ofTeams: true, "Accept a masked key again", gives: .one(KeyDocument.self),
      takes: .maybe(ReasonDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "enable")
    },
    AdminRoute(
      .post, "keys/{id}/revoke", .end, .keys, ofTeams: true, "End a masked key", gives: .one(KeyDocument.self),
      takes: .maybe(ReasonDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "revoke")
    },
    AdminRoute(
      .post, "keys/{id}/destroy", .end, .keys, ofTeams: true,
      "End a masked key and erase what its secrets could be recognised by", gives: .one(KeyDocument.self),
      takes: .maybe(ReasonDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.changeKey(r, p[0], "destroy")
    },
    AdminRoute(
      .put, "keys/{id}/tags", .change, .keys, ofTeams: true, "Give a masked key other tags", gives: .one(KeyDocument.self),
      takes: .document(TagsDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.retagKey(r, p[0])
    },
    AdminRoute(
      .put, "keys/{id}/throttle", .change, .keys, ofTeams: true, "Leave a masked key so many requests a minute",
      gives: .one(KeyDocument.self), takes: .document(ThrottleDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.throttleKey(r, p[0])
    },
    AdminRoute(
      .post, "revocations", .end, .keys, ofTeams: true,
      "Revoke by key, version, team, tag, provider key, time of issue, or everything", gives: .one(ReceiptDocument.self),
      takes: .document(RevocationDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.revoke(r) },
    AdminRoute(
      .put, "keys/{id}/expiry", .change, .keys, ofTeams: true, "Say when a masked key ends", gives: .one(KeyDocument.self),
      takes: .document(ExpiryDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.setExpiry(r, p[0])
    },
    AdminRoute(
      .post, "keys/{id}/deliver", .change, .keys, ofTeams: true, "Bring a new secret once more to where it could not be brought",
      gives: .one(KeyDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.retryDelivery(r, p[0])
    },
    AdminRoute(.get, "schedules", .read, .schedules, "List schedules", gives: .list(ScheduleDocument.self)) {
      (api, r, p) async throws(Fault) in try api.listSchedules(r)
    },
    AdminRoute(.get, "schedules/{kind}/{of}", .read, .schedules, "Read a schedule", gives: .one(ScheduleDocument.self)) {
      (api, r, p) async throws(Fault) in
      try api.showSchedule(r, "\(p[0])/\(p[1])")
    },
    AdminRoute(
      .put, "schedules/{kind}/{of}", .change, .schedules, "Say when a key, or the keys of a policy or team, get new secrets",
      gives: .one(ScheduleDocument.self), takes: .document(ScheduleDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try api.setSchedule(r, "\(p[0])/\(p[1])")
    },
    AdminRoute(.delete, "schedules/{kind}/{of}", .end, .schedules, "Remove a schedule", gives: .nothing) {
      (api, r, p) async throws(Fault) in
      try api.removeSchedule(r, "\(p[0])/\(p[1])")
    },
    AdminRoute(
      .get, "destinations", .read, .destinations, "List where new secrets are brought", gives: .list(DestinationDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.listDestinations(r) },
    AdminRoute(.get, "destinations/{name}", .read, .destinations, "Read a destination", gives: .one(DestinationDocument.self)) {
      (api, r, p) async throws(Fault) in
      try api.showDestination(r, p[0])
    },
    AdminRoute(
      .put, "destinations/{name}", .change, .destinations, "Say where new secrets are brought",
      gives: .one(DestinationDocument.self), takes: .document(DestinationDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try api.setDestination(r, p[0])
    },
    AdminRoute(.delete, "destinations/{name}", .end, .destinations, "Remove a destination", gives: .nothing) {
      (api, r, p) async throws(Fault) in
      try api.removeDestination(r, p[0])
    },
    AdminRoute(
      .get, "connectors", .read, .providers, "List at which providers keys can be replaced, and how",
      gives: .list(ConnectorDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.listConnectors(r) },
    AdminRoute(
      .get, "rotations", .read, .rotations, "List how provider keys are replaced, and how far that is",
      gives: .list(RotationStateDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.listRotations(r) },
    AdminRoute(
      .get, "rotations/{provider_key}", .read, .rotations, "Read how a provider key is replaced",
      gives: .one(RotationStateDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.showRotation(r, p[0]) },
    AdminRoute(
      .put, "rotations/{provider_key}", .change, .rotations, "Say how a provider key is replaced",
      gives: .one(RotationStateDocument.self), takes: .document(RotationPlanDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.setRotation(r, p[0]) },
    AdminRoute(.delete, "rotations/{provider_key}", .end, .rotations, "Forget how a provider key is replaced", gives: .nothing) {
      (api, r, p) async throws(Fault) in try api.removeRotation(r, p[0])
    },
    AdminRoute(
      .post, "rotations/{provider_key}/start", .change, .rotations, "Begin to replace a provider key",
      gives: .begun(RotationStateDocument.self), takes: .maybe(PastedKeyDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.startRotation(r, p[0])
    },
    AdminRoute(
      .post, "rotations/{provider_key}/abort", .change, .rotations, "Go back to the old provider key",
      gives: .one(RotationStateDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.endRotation(r, p[0], "abort")
    },
    AdminRoute(
      .post, "rotations/{provider_key}/confirm", .change, .rotations, "Say that the old provider key was deleted by hand",
      gives: .one(RotationStateDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.endRotation(r, p[0], "confirm")
    },
    AdminRoute(.get, "triggers", .read, .triggers, "List triggers", gives: .list(NamedTriggerDocument.self)) {
      (api, r, p) async throws(Fault) in try api.listTriggers(r)
    },
    AdminRoute(.get, "triggers/{name}", .read, .triggers, "Read a trigger", gives: .one(NamedTriggerDocument.self)) {
      (api, r, p) async throws(Fault) in try api.showTrigger(r, p[0])
    },
    AdminRoute(
      .put, "triggers/{name}", .change, .triggers, "Set a trigger", gives: .one(NamedTriggerDocument.self),
      takes: .document(TriggerDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.setTrigger(r, p[0]) },
    AdminRoute(
      .delete, "triggers/{name}", .end, .triggers, "Remove a trigger of yours; what is shipped under its name counts again",
      gives: .nothing
    ) { (api, r, p) async throws(Fault) in try await api.removeTrigger(r, p[0])
    },
    AdminRoute(
      .post, "replays", .read, .triggers, "Say what triggers would have said of the recorded past",
      gives: .all(VerdictDocument.self), takes: .document(ReplayDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.replayTriggers(r) },
    AdminRoute(
      .post, "leaks", .create, .leaks, "Report keys that were found, as GitHub's secret scanning does",
      gives: .all(LeakVerdictDocument.self), takes: .reports(LeakReportDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.reportLeaks(r) },
    AdminRoute(
      .put, "keys/{id}", .change, .keys, ofTeams: true, "Give a masked key another policy, team or shared policy",
      gives: .one(KeyDocument.self), takes: .document(GrantDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.regrantKey(r, p[0])
    },
    AdminRoute(.get, "teams", .read, .teams, ofTeams: true, "List teams", gives: .list(NamedPolicyDocument.self)) {
      (api, r, p) async throws(Fault) in
      try api.listNamedPolicies(r, .team)
    },
    AdminRoute(.get, "teams/{name}", .read, .teams, ofTeams: true, "Read a team", gives: .one(NamedPolicyDocument.self)) {
      (api, r, p) async throws(Fault) in
      try api.showNamedPolicy(r, .team, p[0])
    },
    AdminRoute(
      .put, "teams/{name}", .change, .teams, "Make a team, or change one", gives: .one(NamedPolicyDocument.self),
      takes: .document(PolicyDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.setNamedPolicy(r, .team, p[0])
    },
    AdminRoute(.delete, "teams/{name}", .end, .teams, "Remove a team that no key is in", gives: .nothing) {
      (api, r, p) async throws(Fault) in
      try await api.removeNamedPolicy(r, .team, p[0])
    },
    AdminRoute(.get, "policies", .read, .policies, ofTeams: true, "List shared policies", gives: .list(NamedPolicyDocument.self))
    { (api, r, p) async throws(Fault) in
      try api.listNamedPolicies(r, .policy)
    },
    AdminRoute(
      .get, "policies/{name}", .read, .policies, ofTeams: true, "Read a shared policy", gives: .one(NamedPolicyDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try api.showNamedPolicy(r, .policy, p[0])
    },
    AdminRoute(
      .put, "policies/{name}", .change, .policies, "Make a shared policy, or change one", gives: .one(NamedPolicyDocument.self),
      takes: .document(PolicyDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.setNamedPolicy(r, .policy, p[0])
    },
    AdminRoute(.delete, "policies/{name}", .end, .policies, "Remove a shared policy that no key has", gives: .nothing) {
      (api, r, p) async throws(Fault) in
      try await api.removeNamedPolicy(r, .policy, p[0])
    },
    AdminRoute(
      .get, "budgets", .read, .budgets, ofTeams: true, "List budgets and where they stand", gives: .list(BudgetDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.listBudgets(r) },
    AdminRoute(
      .get, "budgets/{name}", .read, .budgets, ofTeams: true, "Read a budget and where it stands",
      gives: .one(BudgetDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.showBudget(r, p[0])
    },
    AdminRoute(
      .put, "budgets/{name}", .change, .budgets, "Make a budget, or change one; what was spent stays spent",
      gives: .one(BudgetDocument.self), takes: .document(BudgetDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.setBudget(r, p[0]) },
    AdminRoute(
      .post, "budgets/{name}/raise", .change, .budgets, "Give a budget more until a moment", gives: .one(BudgetDocument.self),
      takes: .document(RaiseDocument.self)
    ) { (api, r, p) async throws(Fault) in
      try await api.raiseBudget(r, p[0])
    },
    AdminRoute(.delete, "budgets/{name}", .end, .budgets, "Remove a budget", gives: .nothing) { (api, r, p) async throws(Fault) in
      try await api.removeBudget(r, p[0])
    },
    AdminRoute(
      .get, "prices", .read, .prices, "List prices: yours, then what is shipped", gives: .list(PriceDocument.self),
      query: ["provider", "model", "own"]
    ) { (api, r, p) async throws(Fault) in try api.listPrices(r) },
    AdminRoute(.get, "prices/{list}/{model}", .read, .prices, "Read a price", gives: .one(PriceDocument.self)) {
      (api, r, p) async throws(Fault) in try api.showPrice(r, p[0], p[1])
    },
    AdminRoute(
      .put, "prices/{list}/{model}", .change, .prices, "Set a price of your own", gives: .one(PriceDocument.self),
      takes: .document(PriceDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.setPrice(r, p[0], p[1]) },
    AdminRoute(.delete, "prices/{list}/{model}", .end, .prices, "Remove a price of your own", gives: .nothing) {
      (api, r, p) async throws(Fault) in try await api.removePrice(r, p[0], p[1])
    },
    AdminRoute(
      .get, "objects", .read, .objects, "List whose the objects at the providers are, the newest first",
      gives: .list(ObjectDocument.self), query: ["key"]
    ) { (api, r, p) async throws(Fault) in try api.listObjects(r) },
    AdminRoute(
      .put, "objects/{provider}/{object}", .change, .objects, "Give an object at a provider to a key",
      gives: .one(ObjectDocument.self), takes: .document(GivenObjectDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.giveObject(r, p[0], p[1]) },
    AdminRoute(
      .post, "explain", .read, .policies, "Say what would happen to a request, rule by rule",
      gives: .one(ExplanationDocument.self), takes: .document(ExplainDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.explain(r) },
    AdminRoute(.post, "checkups", .read, .status, "Look for what is wrong", gives: .all(Check.self)) {
      (api, r, p) async throws(Fault) in try await api.checkUp(r)
    },
    AdminRoute(
      .post, "backups", .create, .backups, "Write an encrypted backup into the data directory", gives: .made(BackupDocument.self)
    ) { (api, r, p) async throws(Fault) in try await api.backUp(r) },
    AdminRoute(.get, "tokens", .read, .tokens, "List admin tokens", gives: .list(TokenDocument.self)) {
      (api, r, p) async throws(Fault) in try api.listTokens(r)
    },
    AdminRoute(
      .post, "tokens", .create, .tokens, "Make an admin token", gives: .made(CreatedTokenDocument.self),
      takes: .document(NewTokenDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.createToken(r) },
    AdminRoute(.get, "tokens/{id}", .read, .tokens, "Read an admin token, without its secret", gives: .one(TokenDocument.self)) {
      (api, r, p) async throws(Fault) in try api.showToken(r, p[0])
    },
    AdminRoute(
      .post, "tokens/{id}/rotate", .change, .tokens, "Give an admin token a new secret", gives: .one(CreatedTokenDocument.self)
    ) { (api, r, p) async throws(Fault) in try api.rotateToken(r, p[0]) },
    AdminRoute(.delete, "tokens/{id}", .end, .tokens, "End an admin token", gives: .nothing) { (api, r, p) async throws(Fault) in
      try api.revokeToken(r, p[0])
    },
  ]
}
