public import Domain
public import PolicyEngine
public import Primitives

/// A request to a server of others: a provider's management side, a webhook, a store of secrets.
public struct OutboundRequest: Sendable {
  public var method: String
  /// `https://host[:port]/path?query`; in the clear only to this machine.
  public var url: String
  /// May hold secrets: whoever sends them wipes them.
  public var headers: [(name: String, value: [UInt8])]
  public var body: [UInt8]
  /// Authorities to trust in place of the system's.
  public var authorityFile: String?
  public init(
    _ method: String, _ url: String, headers: [(name: String, value: [UInt8])] = [], body: [UInt8] = [],
    authorityFile: String? = nil
  ) {
    (self.method, self.url, self.headers, self.body, self.authorityFile) = (method, url, headers, body, authorityFile)
  }
}

public struct OutboundAnswer: Sendable {
  public let status: Int
  public let body: [UInt8]
  public init(status: Int, body: [UInt8]) { (self.status, self.body) = (status, body) }
}

/// What the key service needs done outside the process.
public protocol Outside: Sendable {
  /// Throws `.unavailable` when no answer came.
  func call(_ request: OutboundRequest) async throws(Fault) -> OutboundAnswer
  /// The header line that presents the token which `credential` is exchanged for.
  func tokenLine(for credential: Credential, authorityFile: String?) async throws(Fault) -> [UInt8]
  /// The status that the provider answers GET on `path` with, asked with this credential; nothing of it is recorded.
  func probe(_ credential: Credential, _ provider: Provider, path: String) async throws(Fault) -> Int
  /// Whether the provider answers at all, without any credential; returns what its clock says. Throws `.unavailable`.
  func reach(_ provider: Provider) async throws(Fault) -> Timestamp?
  /// Lets others go on for so long; 0: those that are ready.
  func pause(milliseconds: Int) async throws(Fault)
  /// Does what takes long on a thread of its own.
  func offLoop(_ work: @escaping @Sendable () throws(Fault) -> Void) async throws(Fault)
  /// Runs a program of the hooks folder with `input` on its standard input; throws when it fails. Returns what it wrote.
  func run(hook name: String, _ arguments: [String], input: [UInt8]) async throws(Fault) -> [UInt8]
  /// Hands a message to a mail server; throws `.unavailable` when it does not take it.
  func mail(_ message: MailMessage) async throws(Fault)
  /// Puts a file in place, whole or not at all, with this mode; `owner` is a user's name.
  func write(_ content: [UInt8], to path: String, mode: UInt32, owner: String?) async throws(Fault)
  /// Puts files into a folder the way mounted secrets are: all change at once, behind one link.
  func mount(_ files: [(name: String, content: [UInt8])], in folder: String, mode: UInt32) async throws(Fault)
}

/// Where there is no outside: commands without a server.
public struct NoOutside: Outside {
  public init() {}
  private static let fault = Fault(.conflict, "that needs a running server", hint: "start it: maskllm serve")
  public func call(_ request: OutboundRequest) async throws(Fault) -> OutboundAnswer { throw Self.fault }
  public func tokenLine(for credential: Credential, authorityFile: String?) async throws(Fault) -> [UInt8] { throw Self.fault }
  public func probe(_ credential: Credential, _ provider: Provider, path: String) async throws(Fault) -> Int { throw Self.fault }
  public func reach(_ provider: Provider) async throws(Fault) -> Timestamp? { throw Self.fault }
  public func pause(milliseconds: Int) async throws(Fault) { throw Self.fault }
  public func offLoop(_ work: @escaping @Sendable () throws(Fault) -> Void) async throws(Fault) { try work() }
  public func run(hook name: String, _ arguments: [String], input: [UInt8]) async throws(Fault) -> [UInt8] { throw Self.fault }
  public func mail(_ message: MailMessage) async throws(Fault) { throw Self.fault }
  public func write(_ content: [UInt8], to path: String, mode: UInt32, owner: String?) async throws(Fault) { throw Self.fault }
  public func mount(_ files: [(name: String, content: [UInt8])], in folder: String, mode: UInt32) async throws(Fault) {
    throw Self.fault
  }
}
