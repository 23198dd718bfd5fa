"""The management side over the network: who may do what, for nobody, for a stranger's role and for the right one."""
import concurrent.futures, datetime, http.client, json, os, pathlib, re, socket, ssl, subprocess, time

import documented, pytest
from conftest import BINARY, ROOT, Gateway, Upstream, cli, ok, post, raw, split, wait_until
from test_rotation import key_id

MATRIX = ROOT / "docs/permissions.md"


class Managed(Gateway):
    """A gateway whose management side listens on a port of the system's choosing."""

    def start(self, args=(), env=None):
        super().start(["--admin-listen", "127.0.0.1:0", *args], env=env)
        self.admin_port = int(wait_until(lambda: [l for l in self.lines if l.startswith("management: ")], "the management side")[0].split("/v1")[0].rsplit(":", 1)[1])
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"

    def token(self, *args):
        return self.cli("token", "create", "--name", "t", *args)

    def call(self, method, path, token=None, document=None, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=30)
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **dict(headers)}
        connection.request(method, path, body if body is not None else json.dumps(document) if document is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        self.headers = {k.lower(): v for k, v in answer.getheaders()}
        document = data.decode() if not self.headers["content-type"].endswith("json") else json.loads(data) if data else None
        documented.check(method, path, answer.status, self.headers.get("content-type"), document)
        return answer.status, document


@pytest.fixture
def gw(running, tmp_path):
    gateway = running(lambda: Managed(tmp_path, running(Upstream, ok()).url))
    gateway.cli("team", "set", "red", "--provider", "up")
    gateway.cli("team", "set", "blue", "--provider", "up")
    return gateway


def matrix():
    """(method, path, permission, whether a caller of a team may) of every line of the matrix."""
    rows = [line.strip("| \n").split(" | ") for line in MATRIX.read_text().split("\n") if line.startswith("| `")]
    return [(*row[0].strip("`").split(" "), row[1].strip("`"), [role for role, cell in zip(("owner", "operator", "developer", "auditor"), row[2:]) if cell.strip() == "yes"]) for row in rows]


def test_the_matrix_is_what_the_program_does():
    told = cli(None, "token", "matrix")
    if os.environ.get("MASKLLM_WRITE_TABLE"):
        MATRIX.write_text(told + "\n")
    assert MATRIX.read_text() == told + "\n", "MASKLLM_WRITE_TABLE=1 rewrites it"
    assert len(matrix()) > 60


def test_every_endpoint_as_nobody_as_a_stranger_and_as_the_right_role(gw):
    tokens = {role: gw.token("--role", role, *(["--team", "red"] if role == "developer" else [])) for role in ("owner", "operator", "developer", "auditor")}
    masked = gw.key()
    calls = 0
    for method, path, permission, roles in matrix():
        concrete = re.sub(r"\{\w+\}", "ZZZZZZZZZZZZ", path)
        for wrong in (None, "mka_nonsense", masked):
            # Few enough wrong ones from here for the right ones to be looked at.
            if path == "/v1/status" or wrong is None and calls < 5:
                calls += 1
                assert gw.call(method, concrete, wrong)[0] == 401, (method, path)
        for role, token in tokens.items():
            status, problem = gw.call(method, concrete, token, body=b"" if method in ("GET", "DELETE") else b"{}")
            if role in roles:
                assert status != 401 and (status != 404 or problem["title"] != "there is no such path or method"), (method, path, role, status, problem)
            else:
                assert (status, problem["title"]) in ((404, "there is no such path or method"), (405, "there is no such method here")), (method, path, role)
                assert status == 404 or method not in gw.headers["allow"], "what they may do there does not have it"
    # One that is not there looks the same.
    assert gw.call("GET", "/v1/nothing", tokens["owner"])[1]["title"] == "there is no such path or method"


def test_a_developer_sees_and_does_what_is_of_the_team_and_nothing_else(gw):
    token = gw.token("--role", "developer", "--team", "red")
    red, blue, none = gw.key("--team", "red"), gw.key("--team", "blue"), gw.key()
    for key in (red, blue, none):
        assert split(raw(gw.port, post("/up/v1/chat/completions", key)))[0] == 200
    assert [k["id"] for k in gw.call("GET", "/v1/keys", token)[1]] == [key_id(red)]
    assert gw.call("GET", f"/v1/keys/{key_id(red)}", token)[0] == 200
    missing = gw.call("GET", "/v1/keys/ZZZZZZZZZZZZ", token)
    for other in (blue, none):
        status, problem = gw.call("GET", f"/v1/keys/{key_id(other)}", token)
        assert (status, problem["title"]) == (missing[0], missing[1]["title"].replace("ZZZZZZZZZZZZ", key_id(other))), "the forbidden looks like the missing"
        for method, action in [("POST", "revoke"), ("POST", "rotate"), ("PUT", "tags"), ("POST", "disable"), ("PUT", "expiry")]:
            assert gw.call(method, f"/v1/keys/{key_id(other)}/{action}", token, {"tags": []} if action == "tags" else None)[0] == 404
    assert {r["key"] for r in gw.call("GET", "/v1/activity", token)[1]} == {key_id(red)}
    assert gw.call("GET", f"/v1/activity?key={key_id(blue)}", token)[0] == 404
    assert [t["name"] for t in gw.call("GET", "/v1/teams", token)[1]] == ["red"]
    # Keys that they make are the team's, whatever they ask for.
    status, made = gw.call("POST", "/v1/keys", token, {"name": "mine"})
    assert status == 201 and made["key"]["team"] == "red" and split(raw(gw.port, post("/up/v1/chat/completions", made["masked_key"])))[0] == 200
    assert gw.call("POST", "/v1/keys", token, {"name": "theirs", "team": "blue"})[0] == 404
    assert gw.call("PUT", f"/v1/keys/{key_id(red)}", token, {"team": "blue"})[0] == 404
    # Everything is everything of the team.
    status, receipt = gw.call("POST", "/v1/revocations", token, {"everything": True, "reason": "r"})
    assert status == 200 and set(receipt["revoked"]) == {key_id(red), made["key"]["id"]}
    assert split(raw(gw.port, post("/up/v1/chat/completions", blue)))[0] == 200
    assert gw.call("POST", "/v1/revocations", token, {"keys": [key_id(blue)], "reason": "r"})[0] == 404
    assert gw.call("POST", "/v1/revocations", token, {"provider_key": "ZZZZZZZZZZZZ", "reason": "r"})[0] == 404


def test_who_did_it_is_in_the_audit(gw):
    token = gw.token("--role", "operator")
    made = gw.call("POST", "/v1/keys", token, {"name": "n", "policy": {"providers": ["up"]}})[1]
    assert gw.call("POST", f"/v1/keys/{made['key']['id']}/revoke", token)[0] == 200
    acts = json.loads(gw.cli("audit", "list", "--subject", f"key/{made['key']['id']}", "--json"))
    assert [(a["actor"], a["act"]) for a in acts] == [(f"token/{key_id(token)}", "key.revoke"), (f"token/{key_id(token)}", "key.create")]


class TestTokens:
    def test_one_is_shown_once_rotated_and_ended(self, gw):
        token = gw.token("--role", "auditor")
        assert gw.call("GET", "/v1/keys", token)[0] == 200
        assert token not in gw.cli("token", "list", "--json") and key_id(token) in gw.cli("token", "list")
        new = gw.cli("token", "rotate", key_id(token))
        assert gw.call("GET", "/v1/keys", token)[0] == 401 and gw.call("GET", "/v1/keys", new)[0] == 200
        gw.stop(9)
        gw.start()
        assert gw.call("GET", "/v1/keys", new)[0] == 200
        gw.cli("token", "revoke", key_id(new))
        assert gw.call("GET", "/v1/keys", new)[0] == 401

    def test_it_never_calls_a_model_and_no_masked_key_manages(self, gw):
        owner, masked = gw.token("--role", "owner"), gw.key()
        assert split(raw(gw.port, post("/up/v1/chat/completions", owner)))[0] == 401
        assert gw.call("GET", "/v1/keys", masked)[0] == 401

    def test_it_is_bound_to_networks_and_ends_in_time(self, gw):
        elsewhere, here = gw.token("--role", "auditor", "--network", "10.0.0.0/8"), gw.token("--role", "auditor", "--network", "127.0.0.0/8")
        assert gw.call("GET", "/v1/keys", elsewhere)[0] == 401 and gw.call("GET", "/v1/keys", here)[0] == 200
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        brief = gw.token("--role", "auditor", "--expires", soon)
        assert gw.call("GET", "/v1/keys", brief)[0] == 200
        wait_until(lambda: gw.call("GET", "/v1/keys", brief)[0] == 401, "the token to expire")

    def test_custom_grants_are_what_they_say(self, gw):
        token = gw.token("--role", "custom", "--grant", "read:keys", "--grant", "*:budgets")
        assert gw.call("GET", "/v1/keys", token)[0] == 200 and gw.call("GET", "/v1/budgets", token)[0] == 200
        assert gw.call("POST", "/v1/keys", token, {"name": "x"})[0] == 405 and gw.call("GET", "/v1/audit", token)[0] == 404

    def test_nobody_grants_more_than_they_hold(self, gw):
        token = gw.token("--role", "custom", "--grant", "*:tokens", "--grant", "read:keys")
        assert gw.call("POST", "/v1/tokens", token, {"name": "more", "role": "owner"})[0] == 403
        assert gw.call("POST", "/v1/tokens", token, {"name": "same", "role": "custom", "grants": ["read:keys"]})[0] == 201
        owner = gw.token("--role", "owner")
        assert gw.call("POST", f"/v1/tokens/{key_id(owner)}/rotate", token)[0] == 403, "nor by taking over a token that may more"
        assert gw.call("GET", "/v1/keys", owner)[0] == 200

    def test_whoever_guesses_is_slowed_and_then_not_listened_to(self, gw):
        token = gw.token("--role", "owner")
        wrong = token[:-49] + "A" * 49
        began = time.monotonic()
        statuses = [gw.call("GET", "/v1/keys", wrong)[0] for _ in range(11)]
        assert statuses == [401] * 10 + [429] and time.monotonic() - began > 1.5
        assert [e["subject"] for e in json.loads(gw.cli("audit", "list", "--act", "event.guessing", "--json"))] == ["network/127.0.0.1"]
        assert gw.call("GET", "/v1/keys", token)[0] == 429 and gw.headers["retry-after"] == "60"
        assert gw.cli("key", "list"), "the socket of the server's own user is another door"

    @pytest.mark.parametrize("arguments, says", [
        (["--role", "king"], "no such role"), (["--role", "developer"], "of a team"), (["--role", "owner", "--team", "red"], "not bound"), (["--role", "custom"], "custom"),
        (["--role", "custom", "--grant", "fly:keys"], "no grant"), (["--role", "owner", "--grant", "read:keys"], "custom"), (["--role", "owner", "--network", "10.0.0.1/8"], "no network"),
        (["--role", "developer", "--team", "none"], "no team"), (["--role", "owner", "--expires", "2020-01-01"], "past"), ([], "--role"),
    ])
    def test_bad_tokens_are_not_made(self, gw, arguments, says):
        done = gw.cli("token", "create", "--name", "t", *arguments, check=False)
        assert done.returncode != 0 and says in done.stderr and [t["name"] for t in json.loads(gw.cli("token", "list", "--json"))] == ["first"]


class TestDoor:
    def test_answers_are_not_kept_and_problems_are_problems(self, gw):
        token = gw.token("--role", "owner")
        assert gw.call("GET", "/v1/keys", token)[0] == 200
        assert gw.headers["cache-control"] == "no-store" and gw.headers["content-type"] == "application/json"
        status, problem = gw.call("POST", "/v1/keys", token, {"nme": "x"})
        assert status == 400 and gw.headers["content-type"] == "application/problem+json" and problem["code"] == "invalid_input" and problem["status"] == 400
        assert gw.call("GET", "/v1/keys")[0] == 401 and gw.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("data", [b"GET /v1/keys HTTP/1.1\r\n\r\n", b"junk\r\n\r\n", b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"])
    def test_what_is_no_http_is_refused(self, gw, data):
        assert raw(gw.admin_port, data).startswith(b"HTTP/1.1 400")

    def test_it_is_not_there_unless_it_is_asked_for(self, running):
        gateway = running(Gateway)
        assert "management" not in gateway.output

    @pytest.mark.parametrize("config, args, says", [
        ("admin:\n  listen: 0.0.0.0:0\n", [], "in the clear"), ("", ["--admin-listen", "0.0.0.0:0"], "in the clear"), ("", ["--admin-listen", "here"], "no address"),
        ("admin:\n  tls:\n    certificate_file: a\n", [], "admin.listen"), ("admin:\n  listen: 127.0.0.1:0\n  tls:\n    certificate_file: a\n", [], "both"),
    ])
    def test_tokens_do_not_travel_in_the_clear(self, tmp_path, config, args, says):
        cli(tmp_path / "data", "init")
        (tmp_path / "data/maskllm.yaml").write_text(config)
        done = subprocess.run([BINARY, "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", *args], capture_output=True, text=True, timeout=20)
        assert done.returncode != 0 and says in done.stderr

    def test_with_tls_and_client_certificates_only_those_are_let_in(self, running, tmp_path, certificates):
        config = (f"admin:\n  listen: 127.0.0.1:0\n  tls:\n    certificate_file: {certificates / 'leaf.pem'}\n    key_file: {certificates / 'leaf.key'}\n    client_ca_file: {certificates / 'ca.pem'}\n")
        gateway = running(lambda: Gateway(tmp_path, config=config))
        line = wait_until(lambda: [l for l in gateway.lines if l.startswith("management: https://")], "the management side")[0]
        port, token = int(line.split("/v1")[0].rsplit(":", 1)[1]), gateway.cli("token", "create", "--name", "t", "--role", "owner")

        def ask(own):
            context = ssl.create_default_context(cafile=certificates / "ca.pem")
            if own:
                context.load_cert_chain(certificates / "renewed.pem", certificates / "renewed.key")
            connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
            connection.request("GET", "/v1/keys", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status

        assert ask(True) == 200
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            ask(False)


def test_the_first_token_is_the_owners_for_a_week(running, tmp_path):
    upstream = running(Upstream, ok())

    class Fresh(Managed):
        def __init__(self, path):
            self.data = path / "fresh"
            self.first = json.loads(cli(self.data, "init", "--json"))["owner_token"]
            self.start()

    fresh = running(lambda: Fresh(tmp_path))
    assert fresh.call("POST", "/v1/providers", fresh.first, {"name": "up", "kind": "openai", "base_url": upstream.url})[0] == 201
    (first,) = fresh.call("GET", "/v1/tokens", fresh.first)[1]
    assert first["role"] == "owner" and 6.9 < (datetime.datetime.fromisoformat(first["expires_at"]) - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400 <= 7
    assert [e["act"] for e in json.loads(fresh.cli("audit", "list", "--json"))].count("token.create") == 1
    assert fresh.first.encode() not in b"".join(p.read_bytes() for p in fresh.data.iterdir() if p.is_file())


class TestRemote:
    def run(self, gw, token, *arguments, env=None):
        read, write = os.pipe()
        os.write(write, token.encode() + b"\n")
        os.close(write)
        done = subprocess.run([BINARY, *arguments, "--server", gw.admin_url, "--token-fd", str(read)], pass_fds=[read], capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": "/nonexistent"})
        os.close(read)
        return done

    def test_the_command_line_manages_a_server_elsewhere(self, gw):
        token = gw.token("--role", "operator")
        made = self.run(gw, token, "key", "create", "--name", "far", "--provider", "up")
        assert made.returncode == 0 and split(raw(gw.port, post("/up/v1/chat/completions", made.stdout.strip())))[0] == 200
        assert "far" in self.run(gw, token, "key", "list").stdout
        assert self.run(gw, token, "key", "revoke", key_id(made.stdout.strip())).returncode == 0
        assert split(raw(gw.port, post("/up/v1/chat/completions", made.stdout.strip())))[0] == 401
        refused = self.run(gw, token, "token", "create", "--name", "x", "--role", "owner")
        assert refused.returncode == 1 and "no such method" in refused.stderr

    def test_a_token_comes_from_a_file_that_nobody_else_can_read(self, gw, tmp_path):
        path = tmp_path / "token"
        path.write_text(gw.token("--role", "auditor"))
        env = {**os.environ, "MASKLLM_SERVER": gw.admin_url, "MASKLLM_TOKEN_FILE": str(path)}
        path.chmod(0o644)
        done = subprocess.run([BINARY, "key", "list"], env=env, capture_output=True, text=True)
        assert done.returncode == 1 and "read by others" in done.stderr
        path.chmod(0o600)
        assert subprocess.run([BINARY, "key", "list"], env=env, capture_output=True, text=True).returncode == 0

    @pytest.mark.parametrize("token, says", [("", "no admin token"), ("nonsense", "no admin token"), ("mk_000000000000_" + "A" * 49, "no admin token")])
    def test_what_is_no_token_is_not_sent(self, gw, token, says):
        done = self.run(gw, token, "key", "list")
        assert done.returncode != 0 and says in done.stderr


class TestVersions:
    """One thing at a time, with an entity tag that changes of it can be bound to."""

    def things(self, gw, tmp_path):
        """(path, first document, second document) of everything that is set with PUT."""
        key = key_id(gw.key())
        gw.cli("destination", "set", "e", "--kind", "file", "--place", tmp_path / "e", input="")
        pk = next(k["id"] for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["provider"] == "up")
        return [
            ("/v1/teams/t", {"providers": ["up"], "limits": {"requests_per_minute": 5, "tokens_per_day": 7}}, {"providers": ["up"]}),
            ("/v1/policies/p", {"providers": ["up", "ant"], "models": ["a*"]}, {"providers": ["ant"]}),
            ("/v1/budgets/b", {"usd": "5", "window": "day"}, {"usd": "6", "window": "day"}),
            ("/v1/prices/openai/x", {"prices": {"input": "1"}}, {"prices": {"input": "2"}}),
            ("/v1/triggers/t", {"when": "unused"}, {"when": "unused", "days": 3}),
            ("/v1/destinations/d", {"kind": "file", "place": str(tmp_path / "a")}, {"kind": "file", "place": str(tmp_path / "b")}),
            (f"/v1/schedules/key/{key}", {"every_seconds": 86400, "destinations": ["e"]}, {"every_seconds": 172800, "destinations": ["e"]}),
            (f"/v1/keys/{key}", {"policy": {"providers": ["up"]}}, {"policy": {"providers": ["ant"]}}),
            (f"/v1/provider-keys/{pk}", {"weight": 2, "tags": []}, {"weight": 3, "tags": []}),
        ]

    def test_a_change_of_what_was_changed_meanwhile_is_refused(self, gw, tmp_path):
        token = gw.token("--role", "owner")
        for path, first, second in self.things(gw, tmp_path):
            assert gw.call("PUT", path, token, first)[0] == 200, path
            assert gw.call("GET", path, token)[0] == 200, path
            old = gw.headers["etag"]
            assert gw.call("GET", path, token)[0] == 200 and gw.headers["etag"] == old, path
            assert gw.call("PUT", path, token, second, headers={"If-Match": f'"other", {old}'})[0] == 200, path
            status, problem = gw.call("PUT", path, token, first, headers={"If-Match": old})
            assert (status, problem["code"]) == (412, "precondition_failed") and "read it again" in problem["hint"], path
            gw.call("GET", path, token)
            now = gw.headers["etag"]
            assert now != old, path
            if "keys/" not in path:
                assert gw.call("DELETE", path, token, headers={"If-Match": old})[0] == 412, path
                assert gw.call("DELETE", path, token, headers={"If-Match": now})[0] == 204, path

    def test_tags_are_the_same_after_a_restart(self, gw, tmp_path):
        token = gw.token("--role", "owner")
        tags = {}
        for path, first, _ in self.things(gw, tmp_path):
            assert gw.call("PUT", path, token, first)[0] == 200, path
        paths = [path for path, _, _ in self.things(gw, tmp_path)[:6]]
        for path in paths:
            gw.call("GET", path, token)
            tags[path] = gw.headers["etag"]
        gw.stop()
        gw.start()
        for path in paths:
            gw.call("GET", path, token)
            assert gw.headers["etag"] == tags[path], path

    def test_use_does_not_change_the_tag_of_a_budget(self, gw):
        token = gw.token("--role", "owner")
        gw.call("PUT", "/v1/budgets/b", token, {"usd": "5", "window": "day"})
        gw.call("GET", "/v1/budgets/b", token)
        tag = gw.headers["etag"]
        raw(gw.port, post("/up/v1/chat/completions", gw.key(), b'{"model":"gpt-4o","messages":[]}'))
        gw.call("GET", "/v1/budgets/b", token)
        assert gw.headers["etag"] == tag

    def test_something_is_made_only_where_nothing_is(self, gw):
        token = gw.token("--role", "owner")
        absent = {"If-None-Match": "*"}
        assert gw.call("PUT", "/v1/policies/new", token, {"providers": ["up"]}, headers={"If-Match": "*"})[0] == 412
        assert gw.call("PUT", "/v1/policies/new", token, {"providers": ["up"]}, headers=absent)[0] == 200
        status, problem = gw.call("PUT", "/v1/policies/new", token, {"providers": ["ant"]}, headers=absent)
        assert status == 412 and problem["title"] == "it is there already"
        assert gw.call("GET", "/v1/policies/new", token)[1]["policy"]["providers"] == ["up"]

    def test_of_many_changes_of_one_reading_one_is_made(self, gw):
        token = gw.token("--role", "owner")
        gw.call("PUT", "/v1/policies/p", token, {"providers": ["up"], "limits": {"concurrent": 1}})
        gw.call("GET", "/v1/policies/p", token)
        tag = gw.headers["etag"]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            done = list(pool.map(lambda n: gw.call("PUT", "/v1/policies/p", token, {"providers": ["up"], "limits": {"concurrent": n}}, headers={"If-Match": tag})[0], range(2, 50)))
        assert done.count(200) == 1 and done.count(412) == 47

    @pytest.mark.parametrize("headers", [{"If-Match": "x"}, {"If-Match": '"a'}, {"If-None-Match": '"a", b'}])
    def test_what_is_no_tag_is_refused(self, gw, headers):
        assert gw.call("PUT", "/v1/policies/p", gw.token("--role", "owner"), {"providers": ["up"]}, headers=headers)[0] == 400

    def test_both_have_to_hold(self, gw):
        token = gw.token("--role", "owner")
        assert gw.call("PUT", "/v1/policies/p", token, {"providers": ["up"]}, headers={"If-Match": "*", "If-None-Match": "*"})[0] == 412
        assert gw.call("PUT", "/v1/policies/p", token, {"providers": ["up"]}, headers={"If-Match": ""})[0] == 412
        gw.cli("policy", "set", "p", "--provider", "up")
        assert gw.call("PUT", "/v1/policies/p", token, {"providers": ["up"]}, headers={"If-Match": "*", "If-None-Match": '"other"'})[0] == 200

    def test_what_is_not_there_is_not_found(self, gw):
        token = gw.token("--role", "owner")
        for path in ("providers/x", "provider-keys/ZZZZZZZZZZZZ", "teams/x", "policies/x", "prices/a/b", "triggers/x", "destinations/x", "schedules/key/x", "tokens/ZZZZZZZZZZZZ", "budgets/x", "keys/ZZZZZZZZZZZZ"):
            status, problem = gw.call("GET", f"/v1/{path}", token)
            assert status == 404 and problem["title"].startswith("there is no ") and "etag" not in gw.headers, path
        assert gw.call("GET", "/v1/providers/up", token)[1]["name"] == "up"

    def test_a_team_reads_only_its_own(self, gw):
        gw.cli("policy", "set", "of-blue", "--provider", "up")
        gw.key("--team", "blue", "--policy", "of-blue")
        token = gw.token("--role", "developer", "--team", "red")
        assert [gw.call("GET", f"/v1/{path}", token)[0] for path in ("teams/red", "teams/blue", "policies/of-blue")] == [200, 404, 404]


class TestLists:
    """Keys are listed by what they are, and page by page."""

    def walk(self, gw, token, query):
        """The names on each page, following the links."""
        pages, target = [], f"/v1/keys?{query}"
        while target:
            status, keys = gw.call("GET", target, token)
            assert status == 200, keys
            pages.append([k["name"] for k in keys])
            link = gw.headers.get("link")
            target = "/v1/keys" + re.fullmatch(r'<(\?[^>]+)>; rel="next"', link)[1] if link else None
        return pages

    def test_every_key_is_on_one_page_whatever_happens_between_two(self, gw):
        token = gw.token("--role", "owner")
        made = [key_id(k) for k in gw.cli("key", "create", "--name", "k", "--provider", "up", "--count", "7").split("\n")]
        status, first = gw.call("GET", "/v1/keys?limit=3", token)
        link = gw.headers["link"]
        gw.cli("key", "revoke", first[-1]["id"])
        gw.key()
        target = "/v1/keys" + re.fullmatch(r'<(\?[^>]+)>; rel="next"', link)[1]
        seen = [k["id"] for k in first]
        while target:
            seen += [k["id"] for k in gw.call("GET", target, token)[1]]
            link = gw.headers.get("link")
            target = "/v1/keys" + re.fullmatch(r'<(\?[^>]+)>; rel="next"', link)[1] if link else None
        assert len(seen) == len(set(seen)) == 8 and set(made) < set(seen)
        assert [len(p) for p in self.walk(gw, token, "limit=4")] == [4, 4] and [len(p) for p in self.walk(gw, token, "limit=8")] == [8]
        assert [len(p) for p in self.walk(gw, token, "")] == [8]

    def test_each_filter_takes_what_it_names_and_goes_on_to_the_next_page(self, gw):
        token = gw.token("--role", "owner")
        gw.cli("policy", "set", "pq", "--provider", "up")
        for n in range(3):
            gw.cli("key", "create", "--name", f"ci-{n}", "--team", "red", "--policy", "pq", "--tag", "night", "--provider", "up")
        gone = key_id(gw.cli("key", "create", "--name", "ci-gone", "--provider", "up"))
        gw.cli("key", "revoke", gone)
        gw.cli("key", "create", "--name", "other", "--team", "blue", "--provider", "up")
        for query in ("team=red", "policy=pq", "tag=night", "state=active&name=ci-*"):
            assert self.walk(gw, token, query + "&limit=2") == [["ci-0", "ci-1"], ["ci-2"]], query
        assert self.walk(gw, token, "state=revoked") == [["ci-gone"]] and self.walk(gw, token, "tag=none") == [[]]
        assert self.walk(gw, gw.token("--role", "developer", "--team", "blue"), "name=*&limit=1") == [["other"]]
        assert [k["name"] for k in json.loads(gw.cli("key", "list", "--team", "red", "--name", "*-1", "--json"))] == ["ci-1"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=x", "after=1-x", "after=-", "state=gone", "colour=red", "limit=1&limit=2"])
    def test_what_is_no_filter_is_refused(self, gw, query):
        status, problem = gw.call("GET", f"/v1/keys?{query}", gw.token("--role", "owner"))
        assert status == 400 and problem["code"] == "invalid_input"

    def test_every_list_is_read_page_by_page_too(self, gw):
        token, real = gw.token("--role", "owner"), "made-up-second-key"
        gw.cli("provider-key", "add", "up", "--name", "second", input=real + "\n")
        keys = [gw.key(), gw.key()]
        for key in keys * 2:
            assert split(raw(gw.port, post("/up/v1/chat/completions", key)))[0] == 200
        for n in ("b1", "b2"):
            gw.cli("budget", "set", n, "--usd", "5", "--window", "month")
            gw.cli("policy", "set", n, "--provider", "up")
            gw.cli("price", "set", "up", n, "--input", "1", "--output", "2")
            gw.cli("destination", "set", n, "--kind", "file", "--place", f"{gw.data}/{{key}}", "--variable", "K")
            gw.cli("alert-channel", "set", n, "--kind", "command", "--place", "tell")
            gw.cli("silence", "set", n, "--act", "event", "--for", "1h", "--reason", "r")
        for key in keys:
            gw.cli("schedule", "set", f"key/{key_id(key)}", "--every", "7d", "--to", "b1")
        for pk in json.loads(gw.cli("provider-key", "list", "--json")):
            gw.call("PUT", f"/v1/rotations/{pk['id']}", token, {"connector": "guided"})

        def walk(path, limit):
            entries, target = [], f"/v1/{path}{'&' if '?' in path else '?'}limit={limit}"
            while target:
                status, page = gw.call("GET", target, token)
                assert status == 200 and len(page) <= limit, (target, page)
                entries += page
                link = gw.headers.get("link")
                target = f"/v1/{path.split('?')[0]}" + re.fullmatch(r'<(\?[^>]+)>; rel="next"', link)[1] if link else None
            return entries

        lists = [path[4:] for method, path, permission, roles in matrix() if method == "GET" and "{" not in path and path not in ("/v1/status", "/v1/vault", "/v1/metrics", "/v1/openapi.json", "/v1/audit/export", "/v1/audit/state", "/v1/activity/export", "/v1/usage")]
        assert len(lists) >= 16
        empty = []
        for path in lists:
            # The whole price list is long: enough of it to have both own and shipped prices.
            path = path + "?model=b*" if path == "prices" else path
            whole = walk(path, 1000)
            assert walk(path, 3) == whole and walk(path, 1) == whole, path
            if len(whole) < 2:
                empty.append(path)
            for wrong in ("limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "offset=3"):
                assert gw.call("GET", f"/v1/{path}{'&' if '?' in path else '?'}{wrong}", token)[0] == 400, (path, wrong)
        assert sorted(empty) == ["alerts", "captures", "nodes", "objects"], "every list has something to turn pages of"


class TestOnce:
    """A POST under an idempotency key is done once, however often it is sent."""

    ASK = {"name": "n", "policy": {"providers": ["up"]}}

    def test_the_same_answer_is_given_again_also_after_a_crash(self, gw):
        token = gw.token("--role", "owner")
        head = {"Idempotency-Key": "a-made-up-uuid"}
        first = gw.call("POST", "/v1/keys", token, self.ASK, headers=head)
        assert first[0] == 201 and "idempotency-replayed" not in gw.headers
        assert gw.call("POST", "/v1/keys", token, self.ASK, headers=head) == first and gw.headers["idempotency-replayed"] == "true"
        gw.stop(9)
        gw.start()
        assert gw.call("POST", "/v1/keys", token, self.ASK, headers=head) == first
        assert [k["id"] for k in gw.call("GET", "/v1/keys?name=n", token)[1]] == [first[1]["key"]["id"]]
        assert first[1]["masked_key"].encode() not in b"".join(p.read_bytes() for p in gw.data.iterdir() if p.is_file()), "what is kept is sealed"
        assert split(raw(gw.port, post("/up/v1/chat/completions", first[1]["masked_key"])))[0] == 200

    def test_a_thousand_keys_fit(self, gw):
        token, head = gw.token("--role", "owner"), {"Idempotency-Key": "many"}
        first = gw.call("POST", "/v1/keys", token, {**self.ASK, "count": 1000}, headers=head)
        assert len(first[1]) == 1000 and gw.call("POST", "/v1/keys", token, {**self.ASK, "count": 1000}, headers=head) == first

    def test_another_request_or_another_caller_is_not_it(self, gw):
        token, other, head = gw.token("--role", "owner"), gw.token("--role", "operator"), {"Idempotency-Key": "k"}
        assert gw.call("POST", "/v1/keys", token, self.ASK, headers=head)[0] == 201
        status, problem = gw.call("POST", "/v1/keys", token, {**self.ASK, "name": "m"}, headers=head)
        assert (status, problem["code"]) == (422, "idempotency_key_reused")
        assert gw.call("POST", "/v1/revocations", token, self.ASK, headers=head)[0] == 422
        assert gw.call("POST", "/v1/keys", other, self.ASK, headers=head)[0] == 201
        assert len(gw.call("GET", "/v1/keys?name=n", token)[1]) == 2

    def test_what_was_refused_may_be_sent_again(self, gw):
        token, head = gw.token("--role", "owner"), {"Idempotency-Key": "k"}
        assert gw.call("POST", "/v1/keys", token, {**self.ASK, "team": "green"}, headers=head)[0] == 404
        gw.cli("team", "set", "green", "--provider", "up")
        assert gw.call("POST", "/v1/keys", token, {**self.ASK, "team": "green"}, headers=head)[0] == 201

    def test_one_is_made_of_many_at_once(self, gw):
        token, head = gw.token("--role", "owner"), {"Idempotency-Key": "k"}
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            done = list(pool.map(lambda _: gw.call("POST", "/v1/keys", token, self.ASK, headers=head), range(48)))
        assert {status for status, _ in done} <= {201, 409} and len({d["key"]["id"] for status, d in done if status == 201}) == 1
        assert len(gw.call("GET", "/v1/keys?name=n", token)[1]) == 1

    @pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
    def test_what_is_no_key_is_refused(self, gw, key):
        assert gw.call("POST", "/v1/keys", gw.token("--role", "owner"), self.ASK, headers={"Idempotency-Key": key.encode()})[0] == 400
