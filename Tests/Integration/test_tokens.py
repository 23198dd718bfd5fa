"""Provider keys that are exchanged for tokens: Google service accounts, IBM Cloud, OAuth client credentials."""
import base64, json, subprocess, threading, time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

import google.auth.jwt, pytest
from conftest import Gateway, Upstream, cli, post, raw, serve_tls, wait_until
from test_gateway import CHAT, code_of, status_of

SECRET = "made-up client/secret&with=signs"


class TokenServer:
    """Gives tokens over TLS; `verify` says who asked, or raises."""

    def __init__(self, certificates):
        server = self
        self.asked, self.seconds, self.answer, self.hold = [], 3600, None, None

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                form = {k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
                server.asked.append((self.path, self.headers, form))
                if server.hold:
                    server.hold.wait(10)
                status, body = server.answer or (200, {"access_token": f"ya29.made-up-token-{len(server.asked)}", "expires_in": server.seconds, "token_type": "Bearer"})
                body = json.dumps(body).encode() if not isinstance(body, bytes) else body
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{server.url}/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server, self.url = serve_tls(Handler, certificates)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """A made-up service account, and the certificate that its signatures are checked with."""
    path = tmp_path_factory.mktemp("account")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path / "key.pem", "-out", path / "cert.pem", "-days", "2", "-subj", "/CN=made-up"], check=True, capture_output=True)

    def document(url, **changed):
        return json.dumps({"type": "service_account", "project_id": "made-up", "private_key_id": "0123456789abcdef", "private_key": (path / "key.pem").read_text(),
                           "client_email": "made-up@made-up.iam.gserviceaccount.com", "client_id": "1", "token_uri": url, **changed}, indent=2).replace("=", "\\u003d")

    return document, (path / "cert.pem").read_text()


class World:
    def __init__(self, running, certificates, kind, style, *secrets, play=None):
        self.refused = set()

        def answer(s, request):
            token = request["headers"].get("authorization", "").removeprefix("Bearer ")
            status = b"401 Unauthorized" if token in self.refused else b"200 OK"
            s.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % status)

        self.up = running(Upstream, play or answer)
        self.server = running(TokenServer, certificates)
        self.gw = running(Gateway)
        self.gw.cli("provider", "add", "p", "--kind", kind, "--base-url", self.up.url, "--credential", style.replace("URL", self.server.url), "--ca-file", certificates / "ca.pem")
        self.ids = [json.loads(self.gw.cli("provider-key", "add", "p", "--name", f"k{i}", "--json", input=secret(self.server.url) if callable(secret) else secret))["id"] for i, secret in enumerate(secrets)]
        self.key = self.gw.key()

    def ask(self, path="/p/v1/chat/completions", body=b'{"model":"m"}'):
        return raw(self.gw.port, post(path, self.key, body))

    def tokens(self):
        return [r["headers"]["authorization"].removeprefix("Bearer ") for r in self.up.requests]


GENERATE = "/p/v1/projects/x/locations/y/publishers/google/models/gemini-2.5-flash:generateContent"


def google_world(running, certificates, account, **kw):
    return World(running, certificates, "vertex", "google", lambda url: account[0](f"{url}/token", **kw))


def client_world(running, certificates, *secrets, **kw):
    return World(running, certificates, "openai-compatible", "oauth2:URL/oauth/token all-apis", *(secrets or (f"made-up-id:{SECRET}".replace(" ", "+"),)), **kw)


def test_a_service_account_signs_for_its_token(running, certificates, account):
    w = google_world(running, certificates, account)
    assert status_of(w.ask(GENERATE)) == 200 and w.tokens() == ["ya29.made-up-token-1"]
    path, headers, form = w.server.asked[0]
    assert path == "/token" and form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = google.auth.jwt.decode(form["assertion"], certs=account[1], audience=f"{w.server.url}/token")
    assert claims["iss"] == "made-up@made-up.iam.gserviceaccount.com" and claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert claims["exp"] - claims["iat"] == 3600 and abs(claims["iat"] - time.time()) < 30
    assert google.auth.jwt.decode_header(form["assertion"])["kid"] == "0123456789abcdef"
    for secret in ("ya29.", form["assertion"][:40], "BEGIN PRIVATE", form["assertion"].split(".")[2]):
        assert secret not in w.gw.output and secret not in w.gw.cli("provider-key", "list", "--json")


def test_requests_that_come_together_wait_for_one_exchange_and_later_ones_for_none(running, certificates, account):
    w = google_world(running, certificates, account)
    w.server.hold = threading.Event()
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(w.ask, GENERATE) for _ in range(40)]
        wait_until(lambda: w.server.asked, "the exchange")
        w.server.hold.set()
        assert [status_of(a.result()) for a in answers] == [200] * 40
    for _ in range(10):
        assert status_of(w.ask(GENERATE)) == 200
    assert len(w.server.asked) == 1 and set(w.tokens()) == {"ya29.made-up-token-1"}


def test_an_ibm_api_key(running, certificates):
    w = World(running, certificates, "watsonx", "ibm:URL/identity/token", "made-up_ibm-key+0000000000000000")
    assert status_of(w.ask("/p/ml/v1/text/chat?version=2024-05-01", b'{"model_id":"m"}')) == 200
    path, headers, form = w.server.asked[0]
    assert path == "/identity/token" and form == {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "made-up_ibm-key+0000000000000000"}
    assert w.tokens() == ["ya29.made-up-token-1"]


def test_client_credentials(running, certificates):
    w = client_world(running, certificates)
    assert status_of(w.ask()) == 200
    path, headers, form = w.server.asked[0]
    user, _, password = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode().partition(":")
    assert path == "/oauth/token" and form == {"grant_type": "client_credentials", "scope": "all-apis"}
    # RFC 6749, section 2.3.1: both are form-encoded first.
    assert (user, parse_qs(f"x={password}")["x"][0]) == ("made-up-id", SECRET.replace(" ", "+"))


def test_a_token_is_renewed_when_its_time_is_over(running, certificates):
    w = client_world(running, certificates)
    w.server.seconds = 1
    wait_until(lambda: status_of(w.ask()) == 200 and len(set(w.tokens())) >= 3, "the third token")
    assert len(w.server.asked) <= len(set(w.tokens())) + 2


def test_a_token_that_is_taken_back_is_renewed_and_the_request_goes_out_again(running, certificates):
    w = client_world(running, certificates)
    assert status_of(w.ask()) == 200
    end = time.monotonic() + 1.1
    wait_until(lambda: time.monotonic() > end, "the token to be older than a second")
    w.refused = {"ya29.made-up-token-1"}
    body = b'{"model":"m","n":1}'
    assert status_of(w.ask(body=body)) == 200
    assert w.tokens() == ["ya29.made-up-token-1", "ya29.made-up-token-1", "ya29.made-up-token-2"] and w.up.requests[-1]["body"] == body
    assert [e["status"] for e in w.gw.activity()] == [200, 200]


def test_a_provider_that_takes_no_token_is_not_asked_for_ever(running, certificates):
    w = client_world(running, certificates)
    w.refused = {f"ya29.made-up-token-{i}" for i in range(100)}
    codes = [code_of(w.ask()) for _ in range(8)]
    assert set(codes) == {"provider_key_refused", "no_usable_provider_key"} and codes[-1] == "no_usable_provider_key"
    assert len(w.server.asked) <= 6


@pytest.mark.parametrize("status, error", [(400, "invalid_grant"), (401, "invalid_client")])
def test_a_key_that_gets_no_token_is_not_used_any_more(running, certificates, status, error):
    w = client_world(running, certificates)
    w.server.answer = (status, {"error": error, "error_description": "made-up-id is not known"})
    assert code_of(w.ask()) == "provider_key_refused" and code_of(w.ask()) == "no_usable_provider_key"
    assert len(w.server.asked) == 1 and not w.up.requests
    assert w.gw.says(f"it answered {status} {error}: no longer using the key") and "is not known" not in w.gw.output
    assert json.loads(w.gw.cli("provider-key", "list", "--json"))[0]["state"] == "quarantined"
    w.server.answer = None
    w.gw.cli("provider-key", "release", w.ids[0])
    wait_until(lambda: status_of(w.ask()) == 200, "the key to be used again")


@pytest.mark.parametrize("answer", [(500, b"oops"), (200, b"<html>"), (200, {"access_token": ""}), (200, {"access_token": "a b"}), (200, {"token": "x"}), (302, b""), (200, b'{"access_token":"' + b"x" * 70000 + b'"}')])
def test_a_token_server_that_fails_is_said_to_and_not_asked_by_every_request(running, certificates, answer):
    w = client_world(running, certificates)
    w.server.answer = answer
    began = time.monotonic()
    codes = {code_of(w.ask()) for _ in range(10)}
    assert codes == {"token_unavailable"} and len(w.server.asked) <= 1 + (time.monotonic() - began)
    assert {path for path, _, _ in w.server.asked} == {"/oauth/token"} and not w.up.requests
    w.server.answer = None
    wait_until(lambda: status_of(w.ask()) == 200, "it to recover")


def test_another_key_is_used_where_one_gets_no_token(running, certificates):
    w = client_world(running, certificates, "made-up-id-1:made-up-secret", "made-up-id-2:made-up-secret")
    sick = []
    ok = w.server.answer

    class Answer:
        def __iter__(self):
            id = base64.b64decode(w.server.asked[-1][1]["Authorization"][6:]).decode().split(":")[0]
            return iter((400, {"error": "invalid_client"}) if id == "made-up-id-1" else (200, {"access_token": f"token-of-{id}", "expires_in": 60}))

    w.server.answer = Answer()
    bodies = [b'{"n":%d}' % i for i in range(12)]
    for body in bodies:
        assert status_of(w.ask(body=body)) == 200
    assert set(w.tokens()) == {"token-of-made-up-id-2"} and [r["body"] for r in w.up.requests] == bodies


@pytest.mark.parametrize("change, says", [
    ({"private_key": "nonsense"}, "the private key cannot be read"), ({"private_key": 5}, "no service account's key"), ({"client_email": ""}, "no service account's key"),
    ({"token_uri": "http://tokens.example.com/token"}, "must not travel in the clear"), ({"client_email": 'a"b'}, "no service account's key"), ({"private_key_id": "x" * 200}, "no service account's key"),
])
def test_a_file_that_is_no_service_accounts_key_is_refused(running, certificates, account, change, says):
    gw = running(Gateway)
    gw.cli("provider", "add", "p", "--kind", "vertex", "--base-url", "https://us-central1-aiplatform.googleapis.com")
    done = gw.cli("provider-key", "add", "p", input=account[0]("https://oauth2.googleapis.com/token", **change), check=False)
    assert done.returncode != 0 and says in done.stderr and "nonsense" not in done.stderr


@pytest.mark.parametrize("make", [["genrsa", "1024"], ["ecparam", "-genkey", "-name", "prime256v1", "-noout"], ["genrsa", "-aes128", "-passout", "pass:x", "2048"]])
def test_a_private_key_of_another_kind_is_refused(running, account, make):
    gw = running(Gateway)
    pem = subprocess.run(["openssl", *make], capture_output=True, text=True, check=True).stdout
    gw.cli("provider", "add", "p", "--kind", "vertex", "--base-url", "https://us-central1-aiplatform.googleapis.com")
    done = gw.cli("provider-key", "add", "p", input=account[0]("https://oauth2.googleapis.com/token", private_key=pem), check=False)
    assert done.returncode != 0 and "the private key cannot be read" in done.stderr


@pytest.mark.parametrize("style", ["oauth2:http://tokens.example.com/t", "oauth2:", "entra:", "entra:a/b", "ibm:x", "google:x", "entra", 'oauth2:https://x.example.com a"b'])
def test_a_style_that_cannot_be_is_refused(running, style):
    gw = running(Gateway)
    done = gw.cli("provider", "add", "p", "--base-url", "https://x.example.com", "--credential", style, check=False)
    assert done.returncode != 0 and "entra:TENANT" in done.stderr


def test_entra_asks_microsoft(running):
    gw = running(Gateway)
    gw.cli("provider", "add", "p", "--kind", "azure", "--base-url", "https://x.openai.azure.com", "--credential", "entra:made-up-tenant")
    assert json.loads(gw.cli("provider-key", "add", "p", "--json", input="made-up-id:made-up-secret"))["provider"] == "p"
    done = gw.cli("provider-key", "add", "p", "--name", "x", input="made-up-key-without-colon", check=False)
    assert done.returncode != 0 and "CLIENT-ID:CLIENT-SECRET" in done.stderr


def test_a_key_is_sealed_for_the_host_that_gives_the_tokens(running, certificates):
    w = client_world(running, certificates)
    done = w.gw.cli("provider", "add", "p", "--kind", "openai-compatible", "--base-url", w.up.url, "--credential", "oauth2:https://evil.example.com/token", "--ca-file", certificates / "ca.pem", check=False)
    assert done.returncode != 0 and "has keys that are sealed for" in done.stderr
