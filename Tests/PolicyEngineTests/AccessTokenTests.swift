import Cryptography
import Domain
import Primitives
import Providers
import Testing

@testable import PolicyEngine

struct AccessTokenTests {
  private static let second: UInt64 = 1_000_000_000

  private func make() throws -> AccessToken {
    let secret = Array("made-up-id:made-up-secret".utf8)
    let style = try #require(CredentialStyle("oauth2:https://tokens.example.com/token"))
    guard case .token(let source) = style else { throw Fault(.invalidInput, "no token source") }
    return AccessToken(try TokenGrant(source, secret: secret.span))
  }

  private func give(_ token: AccessToken, seconds: Int, at now: UInt64) {
    let body = Array(#"{"access_token":"made-up-\#(now)","expires_in":\#(seconds)}"#.utf8)
    token.replace(TokenGrant.token(in: body.span)!, now: now)
  }

  @Test("a token is used until shortly before its end, and the next one is asked for once, early")
  func life() throws {
    let token = try make()
    #expect(token.current(now: 0).need == .now && token.settled(now: 0) == nil)
    give(token, seconds: 3600, at: 0)
    #expect(token.current(now: 3289 * Self.second).need == .none && token.settled(now: 3289 * Self.second) == true)
    let (value, need) = token.current(now: 3291 * Self.second)
    #expect(value != nil && need == .soon && token.settled(now: 3291 * Self.second) == nil)
    #expect(token.current(now: 3291 * Self.second).need == .none, "one is told")
    #expect(token.current(now: 3589 * Self.second).value != nil)
    let late = token.current(now: 3590 * Self.second)
    #expect(late.value == nil && late.need == .now)
  }

  @Test("a short life leaves most of it for use", arguments: [1, 5, 60]) func short(seconds: Int) throws {
    let token = try make()
    give(token, seconds: seconds, at: 0)
    let end = UInt64(seconds) * Self.second
    #expect(token.current(now: end / 10 * 6).need == .none)
    #expect(token.current(now: end / 100 * 78).need == .soon)
    #expect(token.current(now: end).need == .now)
  }

  @Test("after a failure nobody asks for a moment, and a good token stays in use") func failure() throws {
    let token = try make()
    token.failed(now: 0)
    #expect(token.current(now: Self.second - 1).need == .later && token.settled(now: Self.second - 1) == false)
    #expect(token.current(now: Self.second).need == .now)
    give(token, seconds: 100, at: 0)
    #expect(token.current(now: 80 * Self.second).need == .soon)
    token.failed(now: 80 * Self.second)
    let after = token.current(now: 80 * Self.second + 1)
    #expect(after.value != nil && after.need == .none)
    #expect(token.current(now: 81 * Self.second).need == .soon)
  }

  @Test("of a token that was refused another is tried, unless it is new; one that has come meanwhile stays") func refused() throws
  {
    let token = try make()
    give(token, seconds: 3600, at: 0)
    let first = try #require(token.current(now: 1).value)
    #expect(!token.drop(first, now: Self.second) && token.current(now: 1).need == .now)
    give(token, seconds: 3600, at: 2)
    #expect(token.drop(first, now: 2 * Self.second) && token.current(now: 3).need == .none)
  }

  @Test(
    "styles are written as they are read",
    arguments: [
      "bearer", "basic", "header:x-key", "query:key", "aws:bedrock", "aws:bedrock:eu-central-1", "google", "ibm",
      "ibm:https://iam.test.example.com/identity/token", "entra:made-up.onmicrosoft.com",
      "oauth2:https://x.example.com/oidc/v1/token",
      "oauth2:https://x.example.com/token a b.c",
    ])
  func styles(text: String) { #expect(CredentialStyle(text)?.text == text) }

  @Test("Microsoft's tokens are asked for with the scope of its AI services") func entra() throws {
    let source = TokenSource.entra(tenant: "made-up")
    let secret = Array("id:a+b".utf8)
    let request = try TokenGrant(source, secret: secret.span).request(secret: secret.span, now: Timestamp(milliseconds: 0))
    let text = String(decoding: request.copy(), as: UTF8.self)
    #expect(text.hasPrefix("POST /made-up/oauth2/v2.0/token HTTP/1.1\r\nHost: login.microsoftonline.com\r\n"))
    let body =
      "grant_type=client_credentials&client_id=id&client_secret=a%2Bb&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    #expect(text.hasSuffix("\r\n\r\n\(body)") && !text.contains("Authorization"))
  }
}
