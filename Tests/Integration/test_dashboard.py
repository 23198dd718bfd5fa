"""The dashboard in a real browser: what a person does with it, what it asks for, and whether everybody can use it."""
import http.client, json, os, pathlib, re, socket, time, urllib.request

import axe_playwright_python, pytest
from conftest import ROOT, Upstream, ok, post, raw, split, wait_until
from playwright.sync_api import expect, sync_playwright
from test_admin import Managed
from test_rotation import key_id

SHOTS = ROOT / ".build/screenshots"
AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
PAGES = ["overview", "keys", "providers", "budgets", "live", "alerts", "audit"]
ANSWER = json.dumps({"id": "x", "object": "chat.completion", "model": "gpt-4o-mini", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
                     "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}).encode()


def play(s, request):
    """Answers at once, or, where a stream is asked for, event by event until it is cut."""
    if b'"stream":true' not in request["body"]:
        return ok(ANSWER)(s, request)
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    event = b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    for _ in range(400):
        s.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as p:
        found = next((path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if os.path.exists(path)), None)
        # A sandbox within a container of root's is more than some kernels give.
        browser = p.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Visitor:
    """A browser window that remembers what went wrong in it and what it asked for."""

    def __init__(self, browser, gw, **options):
        self.gw, self.trouble, self.asked = gw, [], []
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "permissions": ["clipboard-read", "clipboard-write"], **options})
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.trouble.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.trouble.append(str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url))

    def sign_in(self, token):
        self.page.goto(f"{self.gw.admin_url}/")
        self.page.get_by_label("Admin token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Overview")
        return self

    def go(self, name):
        self.page.evaluate(f"location.hash = '#/{name}'")
        wait_until(lambda: self.page.evaluate("document.getElementById('main').dataset.shown") == f"#/{name}", f"page {name}")
        return self.page

    def shot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def axe(self):
        # Trusted types let no script of others be made from text: the checker comes in past the page, as a debugger's.
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html).slice(0, 3)]))")
        return found

    def clean(self):
        outside = [url for url in self.asked if not url.startswith(self.gw.admin_url) and not url.startswith("data:")]
        assert self.trouble == [] and outside == [], (self.trouble, outside)


@pytest.fixture
def gw(running, tmp_path):
    gateway = running(lambda: Managed(tmp_path, running(Upstream, play).url))
    gateway.cli("team", "set", "red", "--provider", "up")
    gateway.cli("team", "set", "blue", "--provider", "up")
    gateway.cli("price", "set", "up", "gpt-4o-mini", "--input", "1", "--output", "2")
    gateway.cli("budget", "set", "monthly", "--usd", "5", "--window", "month")
    return gateway


def test_a_person_makes_a_key_sees_it_used_and_ends_it(browser, gw):
    v = Visitor(browser, gw).sign_in(gw.token("--role", "owner"))
    page = v.go("keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill("made in the browser")
    page.get_by_label("Providers that may be called").select_option(["up"])
    page.get_by_label("Tags").fill("page, test")
    page.get_by_role("button", name="Create").click()
    secret = page.locator("#secret")
    expect(secret).to_be_visible()
    masked = secret.inner_text()
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == masked and masked.startswith("mk_")
    v.shot("secret-shown-once")
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("made in the browser")
    assert masked not in page.content() and masked not in gw.output
    id = key_id(masked)
    # It appears live within a second.
    page = v.go("live")
    time_asked = time.monotonic()
    assert split(raw(gw.port, post("/up/v1/chat/completions", masked, b'{"model":"gpt-4o-mini","max_tokens":50}')))[0] == 200
    expect(page.get_by_role("row").filter(has_text=id)).to_be_visible(timeout=1000)
    print(f"\n  seen {1000 * (time.monotonic() - time_asked):.0f} ms after it was asked for")
    v.shot("live")
    # A stream dies when the key is revoked on its page.
    with socket.create_connection(("127.0.0.1", gw.port), 20) as stream:
        stream.sendall(post("/up/v1/chat/completions", masked, b'{"model":"gpt-4o-mini","max_tokens":50,"stream":true}'))
        assert b"text/event-stream" in stream.recv(65536)
        page = v.go(f"keys/{id}")
        page.get_by_role("button", name="Revoke").click()
        page.get_by_label("Reason").fill("seen enough")
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("Receipt")
        assert id in page.get_by_role("dialog").inner_text()
        v.shot("receipt")
        rest = b""
        while piece := stream.recv(65536):
            rest += piece
        assert b"revoked" in rest
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_text("revoked", exact=True).first).to_be_visible()
    assert split(raw(gw.port, post("/up/v1/chat/completions", masked, b'{"model":"gpt-4o-mini","max_tokens":50}')))[0] == 401
    v.clean()


def test_every_page_shows_what_there_is_and_everybody_can_use_it(browser, gw):
    keys = [gw.key("--team", team, "--provider", "up", "--tag", "x") for team in ("red", "blue")]
    for key in keys * 3:
        raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"gpt-4o-mini","max_tokens":50}'))
    raw(gw.port, post("/up/v1/chat/completions", "mk_nonsense", b'{"model":"m"}'))
    gw.cli("alert-channel", "set", "here", "--kind", "command", "--place", "tell")
    token = gw.token("--role", "owner")
    for scheme in ("light", "dark"):
        v = Visitor(browser, gw, color_scheme=scheme).sign_in(token)
        for name in PAGES + [f"keys/{key_id(keys[0])}"]:
            page = v.go(name)
            v.page.wait_for_timeout(150)  # charts draw after the page is there
            assert v.axe() == [], (scheme, name)
            v.shot(f"{name.split('/')[0]}{'-one' if '/' in name else ''}-{scheme}")
        page = v.go("overview")
        expect(page.get_by_text("serving")).to_be_visible()
        assert page.locator("canvas").count() == 2 and page.evaluate("[...document.querySelectorAll('canvas')].every((c) => Chart.getChart(c))")
        v.clean()
        v.context.close()
    v = Visitor(browser, gw).sign_in(token)
    assert "0.00" not in v.go("budgets").get_by_role("heading", level=2).first.inner_text().split(":")[0] and "left" in v.page.inner_text("main")
    page = v.go(f"keys/{key_id(keys[0])}")
    page.get_by_role("button", name="What would be enough?").click()
    expect(page.get_by_text("It would have refused 0 of 3 requests.")).to_be_visible()
    page.get_by_role("button", name="Give it that policy").click()
    expect(page.get_by_text("Only models gpt-4o-mini")).to_be_visible()
    page.get_by_role("button", name="Rotate").click()
    page.get_by_label("Hours that the old secret goes on for").fill("1")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(page.locator("#secret")).to_be_visible()
    page.get_by_role("button", name="I have it").click()
    page = v.go("audit")
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("entries are as they were written")).to_be_visible()
    page.get_by_label("Act").fill("key.rotate")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("row").filter(has_text="key.rotate")).to_have_count(1)
    page = v.go("alerts")
    page.get_by_role("button", name=re.compile("acknowledge")).first.click()
    expect(page.get_by_text("acknowledged").first).to_be_visible()
    v.clean()


def test_an_alert_is_silenced_and_the_vault_is_sealed(browser, gw):
    key = gw.key()
    gw.call("POST", "/v1/leaks", gw.token("--role", "owner"), [{"token": key, "url": "https://example.com/paste/1"}])
    v = Visitor(browser, gw).sign_in(gw.token("--role", "owner"))
    page = v.go("alerts")
    page.get_by_role("button", name=f"silence: leaked: key/{key_id(key)}").click()
    page.get_by_label("For", exact=True).select_option("a day")
    page.get_by_label("Reason").fill("a drill")
    v.shot("silence")
    page.get_by_role("dialog").get_by_role("button", name="Silence").click()
    table = page.get_by_role("table", name="Silences")
    expect(table.get_by_role("row").filter(has_text="a drill")).to_have_count(1)
    assert v.axe() == []
    silence = json.loads(gw.cli("silence", "list", "--json"))
    assert [(s["act"], s["subject"]) for s in silence] == [("event.leaked", f"key/{key_id(key)}")]
    table.get_by_role("button", name=re.compile("End")).click()
    expect(page.get_by_role("table", name="Silences")).to_have_count(0)
    page = v.go("overview")
    page.get_by_role("button", name="Seal the vault").click()
    page.get_by_label("Reason").fill("a made-up break-in")
    v.shot("seal")
    page.get_by_role("dialog").get_by_role("button", name="Seal").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sealed")
    assert split(raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m"}')))[0] == 503
    v.clean()
    # With it open again, everything is as it was.
    gw.cli("unseal")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_channel_is_made_tried_changed_and_removed(browser, gw, tmp_path):
    hooks, heard = gw.data / "hooks", tmp_path / "heard"
    hooks.mkdir(mode=0o700)
    (hooks / "tell").write_text(f"#!/bin/sh\ncat > {heard}\n")
    (hooks / "tell").chmod(0o700)
    v = Visitor(browser, gw).sign_in(gw.token("--role", "owner"))
    page = v.go("alerts")

    def rows(name):
        return page.get_by_role("table", name="Channels").get_by_role("row").filter(has_text=name)

    def fill(name, kind, place):
        page.get_by_role("button", name="New channel").click()
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Kind").select_option(kind)
        page.get_by_label("Place").fill(place)

    fill("told", "command", "tell")
    expect(page.get_by_label("Credential")).to_be_hidden()
    assert v.axe() == []
    page.get_by_role("button", name="Set").click()
    page.get_by_role("button", name="Test told").click()
    expect(page.get_by_text("told was told")).to_be_visible()
    assert json.loads(heard.read_text())
    # What is wrong is said in the form, which keeps what was filled in.
    fill("siem", "webhook", "http://127.0.0.1:9/hook")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("a webhook needs a credential")
    page.get_by_label("Credential").fill("made-up-signing-secret")
    page.get_by_label("Where nobody acknowledges").select_option("told")
    v.shot("channel")
    page.get_by_role("button", name="Set").click()
    expect(rows("siem")).to_have_count(1)
    assert "made-up-signing-secret" not in page.content() + gw.output
    page.get_by_role("button", name="Change siem").click()
    page.get_by_label("Told of what matters").select_option("critical")
    page.get_by_role("button", name="Set").click()
    expect(rows("siem")).to_contain_text("critical")
    (siem,) = [c for c in json.loads(gw.cli("alert-channel", "list", "--json")) if c["name"] == "siem"]
    assert siem["has_secret"] and (siem["escalate_to"], siem["escalate_seconds"], siem["severity"]) == ("told", 900, "critical")
    page.get_by_role("button", name="Remove told").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator("#status p.bad")).to_contain_text("'siem' escalates to it")
    page.get_by_role("button", name="Remove siem").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(rows("siem")).to_have_count(1)
    page.get_by_role("button", name="Remove siem").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(rows("siem")).to_have_count(0)


def test_a_real_key_is_sealed_taken_out_of_use_and_used_again(browser, gw):
    v = Visitor(browser, gw).sign_in(gw.token("--role", "owner"))
    page = v.go("providers")
    page.get_by_role("button", name="Add a provider key").click()
    page.get_by_label("Provider", exact=True).select_option("up")
    page.get_by_label("Name", exact=True).fill("second")
    page.get_by_label("The real key").fill("sk-made-up-in-the-browser-0001")
    assert v.axe() == []
    v.shot("provider-key")
    page.get_by_role("button", name="Seal it").click()
    row = page.get_by_role("table", name="Provider keys").get_by_role("row").filter(has_text="second")
    expect(row).to_contain_text("usable")
    assert "sk-made-up" not in page.content() + gw.output
    page.get_by_role("button", name="Disable: second of up").click()
    page.get_by_label("Reason").fill("seen elsewhere")
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled: seen elsewhere")
    page.get_by_role("button", name="Enable: second of up").click()
    expect(row).to_contain_text("usable")
    v.clean()
    auditor = Visitor(browser, gw).sign_in(gw.token("--role", "auditor"))
    page = auditor.go("providers")
    page.get_by_role("button", name="Disable: second of up").click()
    page.get_by_label("Reason").fill("not mine")
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.locator("#status p.bad")).to_be_visible()
    assert {k["state"] for k in json.loads(gw.cli("provider-key", "list", "--json"))} == {"usable"}


def test_keys_are_found_by_a_part_of_their_name_and_by_the_keyboard(browser, gw):
    for n in range(60):
        gw.key() if n % 20 else gw.cli("key", "create", "--name", f"needle-{n}", "--provider", "up")
    v = Visitor(browser, gw).sign_in(gw.token("--role", "operator"))
    page = v.go("keys")
    expect(page.get_by_role("button", name="More")).to_be_visible()
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("row")).to_have_count(62)  # two tables with a head each
    page.get_by_label("Name or ID").focus()
    page.keyboard.type("needle")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(4)
    # From the top of the page by keys alone: skip link, then navigation.
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Keys")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Providers"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Providers")
    v.clean()


def test_it_obeys_the_roles_and_shows_nothing_of_others(browser, gw):
    red, blue = gw.key("--team", "red"), gw.key("--team", "blue")
    for key in (red, blue):
        raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"gpt-4o-mini","max_tokens":50}'))
    v = Visitor(browser, gw).sign_in(gw.token("--role", "developer", "--team", "red"))
    page = v.go("keys")
    expect(page.get_by_role("row").filter(has_text=key_id(red))).to_have_count(1)
    assert key_id(blue) not in page.content()
    page = v.go("live")
    raw(gw.port, post("/up/v1/chat/completions", blue, b'{"model":"gpt-4o-mini","max_tokens":50}'))
    raw(gw.port, post("/up/v1/chat/completions", red, b'{"model":"for-red","max_tokens":50}'))
    expect(page.get_by_text("for-red")).to_be_visible()
    assert key_id(blue) not in page.content()
    v.go("audit")
    expect(v.page.get_by_text("There is nothing here, or nothing that you may see.")).to_be_visible()
    auditor = Visitor(browser, gw).sign_in(gw.token("--role", "auditor"))
    page = auditor.go(f"keys/{key_id(red)}")
    page.get_by_role("button", name="Disable").click()
    page.get_by_label("Reason").fill("not mine")
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.locator("#status p.bad")).to_be_visible()
    assert split(raw(gw.port, post("/up/v1/chat/completions", red, b'{"model":"gpt-4o-mini","max_tokens":50}')))[0] == 200


def test_a_wrong_token_and_one_that_ends_are_said(browser, gw):
    v = Visitor(browser, gw)
    v.page.goto(f"{gw.admin_url}/ui/")
    v.page.get_by_label("Admin token").fill("mka_nonsense")
    v.page.get_by_role("button", name="Sign in").click()
    expect(v.page.get_by_role("alert")).not_to_be_empty()
    token = gw.token("--role", "owner")
    v.sign_in(token)
    gw.cli("token", "revoke", key_id(token))
    v.page.reload()
    expect(v.page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_on_a_phone_nothing_is_wider_than_the_screen_and_it_is_small(browser, gw):
    gw.key()
    v = Visitor(browser, gw, viewport={"width": 360, "height": 740}, device_scale_factor=2, is_mobile=True, has_touch=True)
    v.sign_in(gw.token("--role", "owner"))
    for name in PAGES:
        page = v.go(name)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        v.shot(f"phone-{name}")
    v.clean()
    size = sum(len(urllib.request.urlopen(f"{gw.admin_url}/ui/{f}").read()) for f in ("", "app.css", "app.js", "api.js", "dom.js", "alerts.js", "charts.js", "overview.js", "keys.js", "key.js", "providers.js", "watch.js"))
    print(f"\n  {size} bytes of our own")
    assert size < 64_000


def test_pages_come_with_a_strict_policy_and_are_not_sent_twice(gw):
    connection = http.client.HTTPConnection("127.0.0.1", gw.admin_port, timeout=20)

    def get(path, **headers):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        return answer, body

    answer, body = get("/ui/")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status == 200 and body.startswith(b"<!doctype html>") and "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "no-cache"
    again, body = get("/ui/", **{"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304 and body == b""
    assert get("/")[0].status == 302
    for path in ("/ui/nothing", "/ui/../v1/keys", "/ui/%2e%2e/x", "/ui/app.js/x"):
        assert get(path)[0].status in (400, 401, 404), path
    connection.request("POST", "/ui/", b"")
    assert connection.getresponse().status in (401, 405)


def test_the_stream_is_for_whoever_may_see_requests_and_ends_with_the_token(gw):
    def listen(token):
        s = socket.create_connection(("127.0.0.1", gw.admin_port), 20)
        s.sendall(f"GET /ui/stream HTTP/1.1\r\nHost: x\r\n{f'Authorization: Bearer {token}' if token else 'X-Nothing: x'}\r\n\r\n".encode())
        return s

    assert split(raw(gw.admin_port, b"GET /ui/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[0] == 401
    nobody = gw.token("--role", "custom", "--grant", "read:keys")
    with listen(nobody) as s:
        assert b" 404 " in s.recv(65536)[:20]
    token = gw.token("--role", "auditor")
    with listen(token) as s:
        assert b"text/event-stream" in s.recv(65536)
        gw.cli("token", "revoke", key_id(token))
        end = time.monotonic() + 5
        while s.recv(65536):
            assert time.monotonic() < end, "the stream goes on without a token"
