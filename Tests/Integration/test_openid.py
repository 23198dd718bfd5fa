"""People sign in with an OpenID provider: a real one that runs here (Canaille), and one that lies."""
import base64, hashlib, hmac, http.server, json, re, subprocess, sys, threading, time, urllib.parse

import pytest, requests
from conftest import ROOT, Upstream, ok
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwk, jwt
from test_admin import Managed

# Where the browser believes the management side to be; the tests go to where it is.
URL = "http://127.0.0.1:7777"


@pytest.fixture(scope="module", params=["client_secret_basic"])
def provider(request, tmp_path_factory):
    yield from serve(tmp_path_factory.mktemp("provider"), request.param)


def serve(folder, authentication):
    child = subprocess.Popen([sys.executable, str(ROOT / "Tests/Integration/openid_provider.py"), str(folder / "db"), f"{URL}/oidc/callback", authentication],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield child.stdout.readline().strip()
    child.stdin.close()
    child.wait(30)


def gateway(running, tmp_path, issuer, secret="made-up-client-secret", extra=""):
    file = tmp_path / "client-secret"
    if not file.exists():
        file.write_text(f"{secret}\n")
        file.chmod(0o400)
    config = f"""admin:
  listen: 127.0.0.1:0
  oidc:
    issuer: {issuer}
    client_id: maskllm
    url: {URL}
    roles: nobody-is-in-it=operator, platform=owner, red-developers=developer:red
{"    client_secret_file: " + str(file) if secret else ""}{extra}
"""
    gw = running(lambda: Managed(tmp_path, running(Upstream, ok()).url, config=config))
    gw.cli("team", "set", "red", "--provider", "up")
    return gw


class Browser:
    def __init__(self, gw):
        self.gw, self.http = gw, requests.Session()

    def begin(self):
        """Where the provider is to be asked."""
        answer = self.http.get(f"{self.gw.admin_url}/oidc/login", allow_redirects=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def at_the_provider(self, location, name, answer="accept"):
        """Signs in there; the parameters that it sends back."""
        fields = iter([{"login": name}, {"password": f"made-up password of {name}"}, {"answer": answer}])
        page = self.http.get(location, allow_redirects=False)
        while not page.headers.get("location", "").startswith(f"{URL}/oidc/callback?"):
            if page.is_redirect:
                page = self.http.get(urllib.parse.urljoin(page.url, page.headers["location"]), allow_redirects=False)
            else:
                # Who is known there from before is asked for less.
                form = next(f for f in fields if next(iter(f)) in page.text)
                page = self.http.post(page.url, data=form, allow_redirects=False)
        return dict(urllib.parse.parse_qsl(urllib.parse.urlparse(page.headers["location"]).query))

    def end(self, parameters):
        return self.http.get(f"{self.gw.admin_url}/oidc/callback", params=parameters, allow_redirects=False)

    def sign_in(self, name):
        done = self.end(self.at_the_provider(self.begin(), name))
        assert done.status_code == 302, done.text
        self.session = self.http.get(f"{self.gw.admin_url}/oidc/session").json()
        return done

    def call(self, method, path, document=None, csrf=True):
        headers = {"X-CSRF-Token": self.session["csrf_token"]} if csrf else {}
        answer = self.http.request(method, f"{self.gw.admin_url}{path}", json=document, headers=headers)
        return answer.status_code, answer.json() if answer.content else None


def test_a_person_signs_in_manages_and_signs_out(running, tmp_path, provider):
    gw = gateway(running, tmp_path, provider)
    browser = Browser(gw)
    done = browser.sign_in("ada")
    cookies = done.headers["set-cookie"]
    assert "maskllm-session=" in cookies and cookies.count("HttpOnly; SameSite=Lax") == 2 and "Max-Age=3600" in cookies
    assert (browser.session["name"], browser.session["role"]) == ("person/ada@example.com", "owner")
    assert browser.call("GET", "/v1/keys")[0] == 200
    make = {"name": "n", "policy": {"providers": ["up"]}}
    for csrf in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "made-up"}):
        answer = browser.http.post(f"{gw.admin_url}/v1/keys", json=make, headers=csrf)
        assert answer.status_code == 403 and "page of this server" in answer.json()["title"]
    status, made = browser.call("POST", "/v1/keys", make)
    assert status == 201
    acts = [(a["actor"], a["act"]) for a in json.loads(gw.cli("audit", "list", "--json"))]
    assert acts[:2] == [("person/ada@example.com", "key.create"), ("administrator", "person.sign_in")] or acts[0] == ("person/ada@example.com", "key.create")
    assert "person.sign_in" in {a for _, a in acts}
    assert browser.http.post(f"{gw.admin_url}/oidc/logout").status_code == 403
    kept = dict(browser.http.cookies)
    assert browser.call("POST", "/oidc/logout")[0] == 204 and "maskllm-session" not in browser.http.cookies
    assert requests.get(f"{gw.admin_url}/v1/keys", cookies=kept).status_code == 401, "the cookie of before opens nothing any more"
    # A token works beside all that, and a restart signs everybody out.
    # (As somebody else: this provider gives the same person the same token twice in a second, and refuses to.)
    browser = Browser(gw)
    browser.sign_in("kim")
    assert gw.call("GET", "/v1/keys", gw.token("--role", "auditor"))[0] == 200
    gw.stop(9)
    gw.start()
    assert requests.get(f"{gw.admin_url}/v1/keys", cookies=dict(browser.http.cookies)).status_code == 401


def test_groups_say_what_one_may(running, tmp_path, provider):
    gw = gateway(running, tmp_path, provider)
    gw.key()
    bob = Browser(gw)
    bob.sign_in("bob")
    assert (bob.session["role"], bob.session["team"]) == ("developer", "red")
    assert bob.call("GET", "/v1/keys") == (200, []) and bob.call("GET", "/v1/audit")[0] == 404
    status, made = bob.call("POST", "/v1/keys", {"name": "n"})
    assert status == 201 and made["key"]["team"] == "red"
    eve = Browser(gw)
    done = eve.end(eve.at_the_provider(eve.begin(), "eve"))
    assert done.status_code == 403 and "eve@example.com is in no group" in done.json()["title"] and "maskllm-session" not in eve.http.cookies
    refused = Browser(gw)
    done = refused.end(refused.at_the_provider(refused.begin(), "lee", answer="deny"))
    assert done.status_code == 401 and "access_denied" in done.json()["title"]


def test_only_the_browser_that_began_ends_a_sign_in_and_once(running, tmp_path, provider):
    gw = gateway(running, tmp_path, provider)
    attacker, victim = Browser(gw), Browser(gw)
    parameters = attacker.at_the_provider(attacker.begin(), "ada")
    victim.begin()
    assert victim.end(parameters).status_code == 401, "nobody is signed in as somebody else"
    for wrong in ({"state": "made-up"}, {"iss": "https://other.example.com"}, {"code": "made-up"}):
        browser = Browser(gw)
        good = browser.at_the_provider(browser.begin(), "ada")
        assert browser.end({**good, **wrong}).status_code == 401, wrong
        if "state" not in wrong:
            assert browser.end(good).status_code == 401, "an attempt is over after its first answer"
    assert Browser(gw).end({}).status_code == 401
    assert requests.get(f"{gw.admin_url}/oidc/session").status_code == 401 and requests.get(f"{gw.admin_url}/oidc/other").status_code == 404
    assert requests.post(f"{gw.admin_url}/oidc/login").status_code == 404


def test_a_public_client_needs_no_secret(running, tmp_path):
    for issuer in serve(tmp_path, "none"):
        gw = gateway(running, tmp_path, issuer, secret=None)
        browser = Browser(gw)
        browser.sign_in("ada")
        assert browser.call("GET", "/v1/keys")[0] == 200


class Liar:
    """A provider whose tokens are what the test makes of them."""

    def __init__(self):
        self.key, self.other = jwk.RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}), jwk.RSAKey.generate_key(2048, {"kid": "k1"})
        self.curve = jwk.ECKey.generate_key("P-256", {"kid": "k2"})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (http.server.BaseHTTPRequestHandler,), {"do_GET": lambda h: self.get(h), "do_POST": lambda h: self.post(h), "log_message": lambda *_: None}))
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.token, self.asked, self.keys = "", [], [self.key, self.curve]

    def stop(self, *_):
        self.server.shutdown()

    def send(self, handler, document):
        body = json.dumps(document).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def get(self, handler):
        if handler.path.startswith("/.well-known"):
            return self.send(handler, {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/a", "token_endpoint": f"{self.issuer}/t", "jwks_uri": f"{self.issuer}/k"})
        self.send(handler, {"keys": [k.as_dict(private=False) for k in self.keys]})

    def post(self, handler):
        self.asked.append((dict(handler.headers), dict(urllib.parse.parse_qsl(handler.rfile.read(int(handler.headers["Content-Length"])).decode()))))
        self.send(handler, {"access_token": "made-up", "token_type": "Bearer", "id_token": self.token})

    def claims(self, nonce, **more):
        now = int(time.time())
        return {"iss": self.issuer, "aud": "maskllm", "sub": "1", "email": "ada@example.com", "groups": ["platform"], "iat": now, "exp": now + 60, "nonce": nonce, **more}


def test_a_token_that_is_not_what_it_should_be_signs_nobody_in(running, tmp_path):
    liar = running(Liar)
    gw = gateway(running, tmp_path, liar.issuer, secret="made up: secret/1")

    def attempt(make):
        browser = Browser(gw)
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(browser.begin()).query))
        assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
        liar.token = make(asked["nonce"])
        done = browser.end({"state": asked["state"], "code": "c"})
        return done, asked

    def signed(nonce, key=None, header=None, **more):
        return jwt.encode(header or {"alg": "RS256", "kid": "k1"}, liar.claims(nonce, **more), key or liar.key)

    done, asked = attempt(signed)
    assert done.status_code == 302, done.text
    headers, body = liar.asked[-1]
    assert base64.b64decode(headers["Authorization"].split()[1]) == b"maskllm:made%20up%3A%20secret%2F1"
    assert base64.urlsafe_b64encode(hashlib.sha256(body["code_verifier"].encode()).digest()).rstrip(b"=").decode() == asked["code_challenge"], "the code is bound to this server"
    assert attempt(lambda n: signed(n, liar.curve, {"alg": "ES256", "kid": "k2"}))[0].status_code == 302
    assert attempt(lambda n: signed(n, aud=["maskllm", "other"], azp="maskllm"))[0].status_code == 302

    now = int(time.time())

    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def by_hand(header, claims, sign):
        text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(sign(text.encode()))}"

    def rsa(text):
        return liar.key.private_key.sign(text, padding.PKCS1v15(), hashes.SHA256())

    public = liar.key.as_pem(private=False)
    assert attempt(lambda n: by_hand({"alg": "RS256", "kid": "k1"}, liar.claims(n), rsa))[0].status_code == 302, "by hand is as good"
    wrong = {
        "another nonce": lambda n: signed("other"), "no nonce": lambda n: jwt.encode({"alg": "RS256", "kid": "k1"}, {k: v for k, v in liar.claims(n).items() if k != "nonce"}, liar.key),
        "another client": lambda n: signed(n, aud="other"), "many without azp": lambda n: signed(n, aud=["maskllm", "other"]), "another issuer": lambda n: signed(n, iss="https://other.example.com"),
        "expired": lambda n: signed(n, iat=now - 7200, exp=now - 3600), "of the future": lambda n: signed(n, iat=now + 3600, exp=now + 7200), "no end": lambda n: signed(n, exp=None),
        "of nobody": lambda n: signed(n, sub=""), "another key": lambda n: signed(n, liar.other), "an unknown key": lambda n: signed(n, liar.other, {"alg": "RS256", "kid": "k9"}),
        "unsigned": lambda n: by_hand({"alg": "none"}, liar.claims(n), lambda _: b""), "signed as if the public key were a secret": lambda n: by_hand({"alg": "HS256", "kid": "k1"}, liar.claims(n), lambda t: hmac.digest(public, t, "sha256")),
        "an extension that must be understood": lambda n: by_hand({"alg": "RS256", "kid": "k1", "crit": ["x"], "x": 1}, liar.claims(n), rsa),
        "another digest than said": lambda n: by_hand({"alg": "RS512", "kid": "k1"}, liar.claims(n), rsa),
        "nothing": lambda n: "", "no token": lambda n: "a.b.c", "a changed claim": lambda n: (lambda t: f"{t[0]}.{b64(json.dumps(liar.claims(n, email='root@example.com')).encode())}.{t[2]}")(signed(n).split(".")),
    }
    for name, make in wrong.items():
        done, _ = attempt(make)
        assert done.status_code == 401 and "set-cookie" not in done.headers, (name, done.text)
    # A key that the provider made since is looked up.
    liar.keys = [jwk.RSAKey.generate_key(2048, {"kid": "k3"})]
    assert attempt(lambda n: signed(n, liar.keys[0], {"alg": "RS256", "kid": "k3"}))[0].status_code == 302
    assert "made up: secret" not in gw.output


@pytest.mark.parametrize("setting,told", [
    ("roles: platform=owner, x=king", "has 'x=king'"), ("roles: platform=developer", "has 'platform=developer'"), ("issuer: http://login.example.com", "is no URL"),
    ("url: https://maskllm.example.com/", "is no URL"), ("session_minutes: 0", "session_minutes"), ("colour: red", "colour"),
])
def test_settings_that_cannot_be_meant_are_refused(running, tmp_path, setting, told):
    name = setting.split(":")[0]
    lines = {"issuer": "https://login.example.com", "client_id": "c", "url": "https://maskllm.example.com", "roles": "platform=owner"}
    lines[name] = setting.split(": ", 1)[1]
    config = "admin:\n  listen: 127.0.0.1:0\n  oidc:\n" + "".join(f"    {k}: {v}\n" for k, v in lines.items())
    with pytest.raises(AssertionError, match=re.escape(told)):
        running(lambda: Managed(tmp_path, config=config))
