// Explanations over the wire.

/// A request to be explained.
public struct ExplainDocument: Codable, Sendable {
  /// A key's ID; nil with `policy`.
  public var key: String?
  public var policy: PolicyDocument?
  public var method: String
  /// `/openai/v1/chat/completions`
  public var path: String
  public var body: String?
  public var content_type: String?
  public var from: String?
  public var at: String?
  public init(method: String, path: String) {
    self.method = method
    self.path = path
  }
}

/// What would happen to a request, rule by rule.
public struct ExplanationDocument: Codable, Sendable {
  public struct Step: Codable, Sendable {
    public var rule: String
    /// `pass`, `refuse`, or `skip` where the rule does not concern the request.
    public var verdict: String
    public var because: String
  }
  public var allowed: Bool
  /// The name of the first rule that refuses.
  public var refused_by: String?
  public var model: String?
  public var steps: [Step]
}
