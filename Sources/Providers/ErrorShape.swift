/// How a provider's own SDK expects an error, so that it raises its own exception with our sentence in it.
public enum ErrorShape: String, Sendable, CaseIterable {
  /// `{"error":{"message","type","param","code"}}`
  case openai
  /// `{"type":"error","error":{"type","message"},"request_id"}`
  case anthropic
  /// `{"error":{"code":403,"message","status","details"}}`
  case google
  /// `{"message"}` and the header `x-amzn-ErrorType`
  case amazon
  /// `{"message","id"}`: Cohere
  case message
  /// `{"error":{"code":403,"message","metadata"}}`: OpenRouter, whose SDK wants a number
  case openrouter
  /// `{"error":"…"}`: Ollama, Hugging Face
  case text
  /// `{"detail":"…"}`: Voyage, Jina
  case detail
  /// `{"title","detail","status"}`: Replicate
  case title
  /// `{"error_code","message"}`
  case databricks
  /// `{"success":false,"errors":[{"code","message"}]}`
  case cloudflare
  /// `{"errors":[{"code","message"}],"status_code"}`
  case watsonx
}
