"""Scopes, explanations and the model that is checked being the model that is used."""
import datetime, io, json, random, shutil, subprocess, zoneinfo
from pathlib import Path

import openai, pytest
from conftest import Gateway, Process, Upstream, cli, ok, post, raw, split, wait_until
from test_gateway import CHAT, code_of, status_of

ORACLES = Path(__file__).parent / "oracles"


class TestExplain:
    @pytest.fixture(scope="class")
    def gw(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("explain")
        gw = Gateway(path)
        gw.cli("provider-key", "add", "openai", input="sk-made-up-00000000\n")
        gw.cli("team", "set", "ml", "--provider", "openai", "--limit", "tokens_per_day=1000")
        gw.secret = gw.cli("key", "create", "--name", "bot", "--team", "ml", "--model", "gpt-4*", "--network", "10.0.0.0/8", "--endpoint", "chat", "--endpoint", "models")
        gw.id = gw.secret.split("_")[1]
        yield gw
        gw.stop()

    def ask(self, gw, *args, body='{"model":"gpt-4o","max_tokens":10}', path="/openai/v1/chat/completions"):
        file = gw.data / "body.json"
        file.write_text(body)
        return json.loads(gw.cli("explain", "--json", "--key", gw.id, "--path", path, "--body", file, "--from", "10.1.2.3", *args))

    def test_each_rule_says_what_it_thinks(self, gw):
        told = self.ask(gw)
        assert told["allowed"] and told["model"] == "gpt-4o" and "refused_by" not in told
        rules = {s["rule"]: s for s in told["steps"]}
        assert {"key", "provider", "network", "hours", "endpoint", "path", "body", "model", "bound", "limit/team/ml/tokens_per_day"} == set(rules)
        assert "1000 of 1000 are left; the request can come to 44" in rules["limit/team/ml/tokens_per_day"]["because"]
        assert all(s["verdict"] == "pass" for s in told["steps"])

    @pytest.mark.parametrize("body,args,refusal", [
        ('{"model":"o3","max_tokens":10}', [], "model_not_allowed"), ('{"model":"gpt-4o","model":"o3"}', [], "model_unclear"),
        ('{"model":"gpt-4o","max_tokens":1001}', [], "tokens_limited"), ('{"model":"gpt-4o","max_tokens":"x"}', [], "output_limit_unclear"),
    ])
    def test_what_refuses_is_named(self, gw, body, args, refusal):
        told = self.ask(gw, *args, body=body)
        assert not told["allowed"] and told["refused_by"] == refusal
        # And the gateway does the same.
        answer = raw(gw.port, post("/openai/v1/chat/completions", gw.secret, body.encode()))
        assert code_of(answer) == "network_not_allowed"  # from here it is refused before that
        assert [e["code"] for e in gw.activity("--limit", "1")] == ["network_not_allowed"]

    def test_the_terminal_shows_a_table_and_the_verdict(self, gw):
        text = gw.cli("explain", "--key", gw.id, "--path", "/openai/v1/models", "--method", "GET")
        assert text.split("\n")[0].split() == ["VERDICT", "RULE", "BECAUSE"] and text.endswith("refused: network_not_allowed")
        assert gw.cli("explain", "--key", gw.id, "--path", "/nope/v1", ).endswith("refused: unknown_provider")
        assert gw.cli("explain", "--key", gw.id, "--path", "/openai/v1/organization/users", "--from", "10.0.0.1").endswith("refused: endpoint_not_allowed")

    @pytest.mark.parametrize("args,says", [
        ([], "'--key' and '--path' are wanted"), (["--key", "AAAAAAAAAAAA", "--path", "/x"], "there is no key"), (["--key", "x", "--path", "/x"], "no ID"),
        (["--key", "AAAAAAAAAAAA", "--path", "/x", "--body", "/nonexistent"], "there is no file"), (["--key", "AAAAAAAAAAAA", "--path", "x"], "no path"),
        (["--key", "AAAAAAAAAAAA", "--path", "/x", "--method", "YELL"], "no method"), (["--key", "AAAAAAAAAAAA", "--path", "/x", "--from", "home"], "no address"),
        (["--key", "AAAAAAAAAAAA", "--path", "/x", "--at", "noon"], "no time"),
    ])
    def test_bad_questions_are_answered_plainly(self, gw, args, says):
        done = gw.cli("explain", *args, check=False)
        assert done.returncode != 0 and says in done.stderr

    def test_expected_decisions_from_a_file(self, gw, tmp_path):
        file = tmp_path / "cases.yaml"
        file.write_text("""
cases:
  - name: the bot chats
    key: bot
    path: /openai/v1/chat/completions
    model: gpt-4o
    from: 10.0.0.1
    expect: allowed
  - key: bot
    path: /openai/v1/chat/completions
    model: o3
    from: 10.0.0.1
    expect: model_not_allowed
  - name: night
    policy: {providers: [openai], hours: ["mon-fri 08:00-18:00 Europe/Berlin"], limits: {requests_per_minute: 5}}
    path: /openai/v1/models
    method: GET
    at: 2026-11-25T03:00:00Z
    expect: hours_not_allowed
""")
        out = gw.cli("policy", "test", file)
        assert "3 of 3 decisions are as expected" in out and "ok     line 3: the bot chats: allowed" in out
        file.write_text(file.read_text().replace("expect: allowed", "expect: provider_not_allowed"))
        done = gw.cli("policy", "test", file, check=False)
        assert done.returncode != 0 and "FAILED line 3: the bot chats: allowed, expected provider_not_allowed" in done.stdout
        assert [r["ok"] for r in json.loads(gw.cli("policy", "test", file, "--json", check=False).stdout)] == [False, True, True]

    @pytest.mark.parametrize("text,says", [
        ("", "a list 'cases' is wanted"), ("cases: 1", "a list 'cases' is wanted"), ("cases:\n - expect: allowed", "line 2: a case has 'expect' and 'path'"),
        ("cases:\n - {expect: allowed, path: /x}", "line 2: a case has a 'key' or a 'policy'"), ("cases:\n - {expect: allowed, path: /x, key: nobody}", "there is no key 'nobody'"),
        ("cases:\n - {expect: allowed, path: /x, policy: {nope: 1}}", "there is no 'nope' in a policy"), ("cases:\n - {expects: allowed}", "there is no 'expects' in a case"),
        ("cases:\n - {expect: a, path: /x, policy: {limits: {per_day: 1}}}", "there is no limit 'per_day'"), ("cases:\n - {expect: a, path: /x, policy: {body_bytes_max: x}}", "is a number"),
    ])
    def test_a_file_that_is_wrong_is_refused_with_its_line(self, gw, tmp_path, text, says):
        (tmp_path / "c.yaml").write_text(text)
        done = gw.cli("policy", "test", tmp_path / "c.yaml", check=False)
        assert done.returncode != 0 and says in done.stderr, done.stderr

    def test_hours_are_those_of_the_zone_database(self, gw, tmp_path):
        """Python's zoneinfo is the oracle: 400 moments, many of them around changes of the clock."""
        r = random.Random(9)
        zones = [z for z in sorted(zoneinfo.available_timezones()) if "/" in z and not z.startswith(("posix/", "right/", "SystemV/"))]
        cases, inside = ["cases:"], 0
        for _ in range(400):
            zone = zoneinfo.ZoneInfo(name := r.choice(zones))
            at = datetime.datetime(r.choice([1999, 2024, 2026, 2027, 2045]), 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(minutes=r.randrange(525_600))
            if r.random() < 0.7:  # near a change, where there is one
                day = next((d for d in range(366) if (at + datetime.timedelta(days=d)).astimezone(zone).utcoffset() != (at + datetime.timedelta(days=d + 1)).astimezone(zone).utcoffset()), 0)
                at += datetime.timedelta(days=day, minutes=r.randrange(1440))
            local = at.astimezone(zone)
            minute = local.hour * 60 + local.minute
            start = (minute - r.randrange(0, 30)) % 1440
            end = (start + r.choice([10, 20, 30, 60])) % 1440
            day = local.weekday() if start <= minute else (local.weekday() - 1) % 7
            expected = (minute - start) % 1440 < (end - start) % 1440
            inside += expected
            span = f"{['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'][day]} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02} {name}"
            cases.append(f"  - {{expect: {'allowed' if expected else 'hours_not_allowed'}, path: /openai/v1/models, method: GET, at: '{at:%Y-%m-%dT%H:%M:%SZ}', policy: {{providers: [openai], hours: ['{span}']}}}}")
        (tmp_path / "hours.yaml").write_text("\n".join(cases))
        assert "400 of 400" in gw.cli("policy", "test", tmp_path / "hours.yaml") and 100 < inside < 350


class TestScopes:
    def test_where_a_request_comes_from_behind_proxies(self, running):
        gw = running(Gateway, running(Upstream, ok()).url, config="trusted_proxies: 127.0.0.0/8, 10.9.0.0/16\n")
        key = gw.key("--provider", "*", "--network", "203.0.113.0/24")
        ask = lambda *headers: status_of(raw(gw.port, post(CHAT, key, b"{}", headers)))
        assert ask("X-Forwarded-For: 203.0.113.7") == 200 and ask("X-Forwarded-For: 198.51.100.1, 203.0.113.7") == 200
        assert ask("X-Forwarded-For: 203.0.113.7, 10.9.1.1") == 200 and ask("X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.7, 10.9.0.1") == 200
        # What a client writes stands left of what the proxy saw.
        assert ask("X-Forwarded-For: 203.0.113.7, 198.51.100.1") == 403 and ask("X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 198.51.100.1") == 403
        assert ask("X-Forwarded-For: 203.0.113.7, nonsense") == 403 and ask("Forwarded: for=203.0.113.7") == 403 and ask() == 403
        assert ask("X-Forwarded-For: 203.0.113.7, unknown, 10.9.0.1") == 403

    def test_nobody_but_a_configured_proxy_is_believed(self, running):
        gw = running(Gateway, running(Upstream, ok()).url, config="trusted_proxies: 10.9.0.0/16\n")
        key = gw.key("--provider", "*", "--network", "203.0.113.0/24")
        assert code_of(raw(gw.port, post(CHAT, key, b"{}", ["X-Forwarded-For: 203.0.113.7"]))) == "network_not_allowed"

    def test_paths_and_hours(self, running):
        gw = running(Gateway, running(Upstream, ok()).url)
        key = gw.key("--provider", "*", "--path", "POST /v1/chat/completions", "--path", "GET /models/*")
        assert status_of(raw(gw.port, post(CHAT, key))) == 200 and code_of(raw(gw.port, post("/up/v1/embeddings", key))) == "path_not_allowed"
        get = lambda path: raw(gw.port, f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(get("/up/v1/models/m")) == 200 and code_of(get("/up/v1/models")) == "path_not_allowed"
        today = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][datetime.datetime.now(datetime.timezone.utc).weekday()]
        others = ",".join(d for d in ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] if d != today)
        assert code_of(raw(gw.port, post(CHAT, gw.key("--provider", "*", "--hours", f"{others} 00:00-24:00 UTC")))) in ("hours_not_allowed",)
        assert status_of(raw(gw.port, post(CHAT, gw.key("--provider", "*", "--hours", "mon-sun 00:00-24:00 UTC")))) == 200

    def test_teams_bound_their_keys_at_once(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        gw.cli("team", "set", "ml", "--provider", "up", "--model", "m-*")
        key = gw.key("--team", "ml")
        ask = lambda model="m-1", path=CHAT: raw(gw.port, post(path, key, b'{"model":"%s"}' % model.encode()))
        assert status_of(ask()) == 200 and code_of(ask("x")) == "model_not_allowed" and code_of(ask(path="/ant/v1/messages")) == "provider_not_allowed"
        gw.cli("team", "set", "ml", "--provider", "up", "--model", "n-*")
        assert code_of(ask()) == "model_not_allowed" and status_of(ask("n-1")) == 200
        too_much = gw.cli("key", "create", "--name", "x", "--team", "ml", "--provider", "ant", check=False)
        assert too_much.returncode != 0 and "team 'ml' does not permit all of these providers" in too_much.stderr and "nobody can grant more than they hold" in too_much.stderr
        in_use = gw.cli("team", "remove", "ml", check=False)
        assert in_use.returncode != 0 and "a key has the team 'ml'" in in_use.stderr
        gw.cli("key", "set", key.split("_")[1], "--provider", "up")
        assert status_of(ask("anything")) == 200 and gw.cli("team", "remove", "ml") == "removed team 'ml'"

    def test_audio_forms_name_their_model(self, running):
        up = running(Upstream, ok(b'{"text":"hi"}'))
        gw = running(Gateway, up.url)
        client = openai.OpenAI(api_key=gw.key("--provider", "*", "--model", "whisper-*"), base_url=f"{gw.url}/up/v1", max_retries=0)
        assert client.audio.transcriptions.create(model="whisper-1", file=("a.wav", io.BytesIO(b"RIFF" * 1000))).text == "hi"
        assert b'name="model"' in up.requests[0]["body"] and b"whisper-1" in up.requests[0]["body"]
        with pytest.raises(openai.PermissionDeniedError) as error:
            client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", io.BytesIO(b"RIFF")))
        assert error.value.code == "model_not_allowed" and len(up.requests) == 1
        assert {e["model"] for e in gw.activity()} == {"whisper-1", "gpt-4o-transcribe"}

    def test_models_in_paths(self, running):
        up = running(Upstream, ok(b'{"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"thoughtsTokenCount":2},"usage":{"inputTokens":5,"outputTokens":4}}'))
        gw = running(Gateway, up.url)
        for name, style in (("azure", "api-key"), ("gemini", "x-goog-api-key"), ("bedrock", "bearer")):
            gw.cli("provider", "add", name, "--base-url", up.url, "--kind", name)
            gw.cli("provider-key", "add", name, input="made-up-key-00000000\n")
        key = gw.key("--provider", "*", "--model", "good*")
        ask = lambda path, body=b"{}", header="Authorization: Bearer ": raw(gw.port, post(path, key, body, header=header))
        for path in ("/azure/openai/deployments/good/chat/completions?api-version=1", "/gemini/v1beta/models/good:generateContent", "/bedrock/model/good%3A1/converse"):
            assert status_of(ask(path)) == 200 and up.requests[-1]["line"].split()[1] == path[path.index("/", 1):]
            assert code_of_any(ask(path.replace("good", "bad"))) == "model_not_allowed"
        assert up.requests[-1]["headers"]["authorization"] == "Bearer made-up-key-00000000"
        seen = sorted((e["provider"], e["model"], e["input_tokens"], e["output_tokens"], e.get("estimated", False)) for e in gw.activity() if e["status"] == 200)
        assert seen == [("azure", "good", 1, 33, True), ("bedrock", "good:1", 5, 4, False), ("gemini", "good", 7, 5, False)]
        # The keys of these SDKs stand where they put them, and so do ours upstream.
        assert status_of(ask("/gemini/v1beta/models/good:generateContent", header="x-goog-api-key: ")) == 200
        assert up.requests[-1]["headers"]["x-goog-api-key"] == "made-up-key-00000000"
        assert status_of(ask("/azure/openai/deployments/good/chat/completions", header="api-key: ")) == 200
        assert up.requests[-1]["headers"]["api-key"] == "made-up-key-00000000"
        # Path and body have to agree.
        assert status_of(ask("/azure/openai/deployments/good/chat/completions", b'{"model":"good"}')) == 200
        assert code_of(ask("/azure/openai/deployments/good/chat/completions", b'{"model":"good-2"}')) == "model_unclear"


def code_of_any(answer):
    """The code in the error shape of any family."""
    body = json.loads(split(answer)[2])
    error = body.get("error", body)
    details = error.get("details")
    return details[0]["reason"] if isinstance(details, list) else error["code"]


class TestDifferential:
    """What the gateway records and decides on is what parsers of three languages take for the model."""

    @pytest.fixture(scope="class", params=["python", "node", "go"])
    def oracle(self, request, tmp_path_factory):
        language = request.param
        if language == "go":
            binary = tmp_path_factory.mktemp("go") / "oracle"
            subprocess.run(["go", "build", "-o", str(binary), str(ORACLES / "oracle.go")], check=True, env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(binary.parent), "GOCACHE": str(binary.parent / "cache"), "GO111MODULE": "off"})
            command = [str(binary)]
        else:
            command = {"python": ["python3", str(ORACLES / "oracle.py")], "node": [shutil.which("node") or "nodejs", str(ORACLES / "oracle.js")]}[language]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        port = int(child.stdout.readline())
        yield f"http://127.0.0.1:{port}"
        child.kill()
        child.wait()

    def bodies(self, r):
        names = ["m-1", "m-2", "x", "é", "m\\u002d1", "\\u006d-1"]
        keys = ['"model"'] * 6 + ['"mod\\u0065l"', '"Model"', '"MODEL"', '"model "', '"\\u006dodel"', '"m\\u00f6del"', '"mode\\u006c"', '"modeI"', '"\u212aodel"']
        for _ in range(300):
            value = lambda: r.choice([f'"{r.choice(names)}"'] * 6 + ["null", "1", "[]", '{"model":"m-2"}', "true", '"m-1\\n"', '""'])
            members = [f"{r.choice(keys)}{r.choice(['', ' '])}:{value()}" for _ in range(r.choice([0, 1, 1, 1, 2, 3]))]
            members += r.sample(['"messages":[{"model":"m-2"}]', '"n":1', '"x":{"model":"x"}', '"s":"\\"model\\":\\"m-2\\""', '"deep":[[[{}]]]'], r.randrange(3))
            r.shuffle(members)
            text = "{" + ",".join(members) + "}"
            damage = r.random()
            if damage < 0.05:
                text = "\ufeff" + text
            elif damage < 0.1:
                text = text[:-1] + ",}"
            elif damage < 0.15:
                text += r.choice(["x", "{}", '{"model":"m-2"}', "\0", " "])
            elif damage < 0.2:
                text = text.replace('"n"', "'n'")
            elif damage < 0.25:
                text = "/* c */" + text
            yield text.encode("utf-8")

    def test_the_model_that_was_seen_is_the_model_that_was_checked(self, oracle, running, request):
        gw = running(Gateway, oracle)
        key = gw.key("--provider", "*", "--model", "m-*", "--endpoint", "chat")
        r = random.Random(2026)
        passed = refused = 0
        for body in self.bodies(r):
            status, _, answer = split(raw(gw.port, post(CHAT, key, body)))
            if status != 200:
                refused += 1
                assert json.loads(answer)["error"]["code"] in ("model_unclear", "model_not_allowed"), body
                continue
            passed += 1
            seen = json.loads(answer)["model"]
            recorded = next(e for e in gw.activity("--limit", "5") if e["status"] == 200)["model"]  # two of one millisecond have no order
            assert seen == recorded and seen.startswith("m-"), (body, seen, recorded)
        assert passed > 30 and refused > 100
