"""What there should be, as files: plan shows it, apply makes it, export gives it back."""
import json, os, subprocess, threading, http.server, time

import pytest
from conftest import BINARY, ok, post, raw, split
from test_admin import Managed, gw, key_id  # noqa: F401: a fixture

FILES = """
providers:
  second: {kind: openai, base_url: "https://127.0.0.1:1"}
provider_keys:
  second/main: {secret: {env: SECOND_KEY}, weight: 2, tags: [prod]}
teams:
  green: {providers: [up, second], limits: {requests_per_minute: 60}}
policies:
  chat:
    models: ["m*"]
keys:
  billing: {team: green, shared_policy: chat, tags: [a, b], policy: {providers: [up]}}
  night: {policy: {providers: [up]}, expires_at: 2100-01-01T00:00:00Z}
budgets:
  green-month: {usd: 100, window: month, team: green}
prices:
  up/m*: {input: 1, output: 2.5}
triggers:
  mine: {when: unused, then: disable, days: 30}
"""
BODY = b"{\"model\":\"m%d\",\"max_tokens\":5}"
ENV = {**os.environ, "SECOND_KEY": "made-up-second-key"}


class Files:
    def __init__(self, gw, folder):
        self.gw, self.folder, self.count = gw, folder, 0
        folder.mkdir()

    def write(self, text, name="all.yaml"):
        (self.folder / name).write_text(text)

    def run(self, command, *args, env=ENV):
        return self.gw.cli(command, "-f", self.folder, *args, check=False, env=env)

    def apply(self, *args, env=ENV):
        self.count += 1
        done = self.run("apply", "--new-keys", self.folder.parent / f"new-{self.count}", *args, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def plan(self, *args):
        done = self.run("plan", "--json", *args)
        assert done.returncode in (0, 3), done.stderr
        told = json.loads(done.stdout)
        assert (done.returncode == 3) == bool(told["changes"])
        return told

    @property
    def new_keys(self):
        return {line.split("\t")[0]: line.split("\t")[2] for line in (self.folder.parent / f"new-{self.count}").read_text().splitlines()}


@pytest.fixture
def files(gw, tmp_path):
    return Files(gw, tmp_path / "files")


def actions(told):
    return [(c["action"], c["kind"], c["name"]) for c in told["changes"]]


def test_what_is_declared_is_made_once_and_works(gw, files):
    files.write(FILES)
    told = files.plan()
    assert [a[1:] for a in actions(told)] == [("provider", "second"), ("team", "green"), ("policy", "chat"), ("provider key", "second/main"), ("key", "billing"), ("key", "night"),
                                              ("budget", "green-month"), ("price", "up/m*"), ("trigger", "mine")]
    assert {a[0] for a in actions(told)} == {"add"}
    assert gw.cli("team", "list", "--json").count('"green"') == 0 and "billing" not in gw.cli("key", "list"), "a plan changes nothing"
    assert gw.cli("audit", "list", "--act", "team", "--json").count("green") == 0, "and leaves no trace"
    assert "9 to add, 0 to change, 0 to remove; 0 as declared" in files.apply()
    keys = files.new_keys
    assert set(keys) == {"billing", "night"} and os.stat(files.folder.parent / "new-1").st_mode & 0o777 == 0o600
    for key in keys.values():
        assert split(raw(gw.port, post("/up/v1/chat/completions", key, BODY % 1)))[0] == 200
    assert files.plan() == {"changes": [], "unchanged": 9, "undeclared": files.plan()["undeclared"]}
    before = gw.cli("audit", "list", "--json")
    done = files.run("apply")
    assert done.returncode == 0 and "0 to add, 0 to change, 0 to remove; 9 as declared" in done.stdout
    assert gw.cli("audit", "list", "--json") == before, "a second time changes nothing"


def test_a_key_keeps_its_id_and_its_secret_across_changes(gw, files):
    files.write(FILES)
    files.apply()
    key = files.new_keys["billing"]
    files.write(FILES.replace("tags: [a, b], policy: {providers: [up]}", "tags: [c], policy: {providers: [up], models: [m9]}").replace("requests_per_minute: 60", "requests_per_minute: 90").replace("2100-01-01", "2101-01-01"))
    shown = files.run("plan")
    assert shown.returncode == 3 and "~ team green\n    policy.limits.requests_per_minute: 60 → 90" in shown.stdout
    assert 'policy.models: ["*"] → ["m9"]' in shown.stdout and 'tags: ["a","b"] → ["c"]' in shown.stdout and "2101" in shown.stdout
    files.apply()
    shown = json.loads(gw.cli("key", "show", key_id(key), "--json"))
    assert (shown["tags"], shown["policy"]["models"], shown["state"]) == (["c"], ["m9"], "active")
    assert split(raw(gw.port, post("/up/v1/chat/completions", key, BODY % 9)))[0] == 200
    assert split(raw(gw.port, post("/up/v1/chat/completions", key, BODY % 1)))[0] == 403
    assert files.plan()["changes"] == []


def test_drift_is_seen_and_mended(gw, files):
    files.write(FILES)
    files.apply()
    gw.cli("team", "set", "green", "--provider", "*")
    gw.cli("key", "tag", key_id(files.new_keys["billing"]), "--tag", "other")
    gw.cli("trigger", "remove", "mine")
    told = files.plan()
    assert actions(told) == [("change", "team", "green"), ("change", "key", "billing"), ("add", "trigger", "mine")]
    assert told["changes"][0]["before"]["policy"]["providers"] == ["*"] and told["changes"][0]["after"]["policy"]["providers"] == ["up", "second"]
    files.apply()
    assert files.plan()["changes"] == []


def test_only_prune_removes_and_only_of_the_files_sections(gw, files):
    files.write(FILES)
    files.apply()
    keys = files.new_keys
    other = gw.key()
    files.write("teams: {green: {providers: [up, second]}}\nkeys:\n  night: {policy: {providers: [up]}, expires_at: 2100-01-01T00:00:00Z}\n")
    told = files.plan()
    assert actions(told) == [("change", "team", "green")] and {"key billing", "team red", "team blue"} <= set(told["undeclared"])
    assert split(raw(gw.port, post("/up/v1/chat/completions", keys["billing"], BODY % 1)))[0] == 200
    files.apply("--prune")
    assert split(raw(gw.port, post("/up/v1/chat/completions", keys["billing"], BODY % 1)))[0] == 401
    assert split(raw(gw.port, post("/up/v1/chat/completions", other)))[0] == 401 and split(raw(gw.port, post("/up/v1/chat/completions", keys["night"])))[0] == 200
    assert [t["name"] for t in json.loads(gw.cli("team", "list", "--json"))] == ["green"]
    assert "chat" in gw.cli("policy", "list") and "green-month" in gw.cli("budget", "list"), "no section, not managed"
    assert json.loads(gw.cli("key", "show", key_id(keys["billing"]), "--json"))["reason"] == "no longer declared"
    assert files.plan("--prune")["changes"] == []


def test_export_gives_the_files_back(gw, files, running, tmp_path):
    files.write(FILES)
    files.apply()
    gw.cli("key", "create", "--name", "twin", "--provider", "up")
    gw.cli("key", "create", "--name", "twin", "--provider", "up")
    gw.cli("key", "create", "--name", 'odd: "name" #1', "--provider", "up")
    told = gw.cli("export")
    assert "made-up" not in told and "mk_" not in told
    files.write(told)
    assert files.plan("--prune")["changes"] == [], "as it is"
    # The same elsewhere: all but the secrets, which are references.
    other = running(lambda: Managed(tmp_path))
    for line in ("UP_DEFAULT", "ANT_DEFAULT", "SECOND_MAIN"):
        assert line in told
    import re
    files.write(re.sub(r'\n +id: "\w+"', "", told).replace("twin (", "twin-(").replace('name: "twin"', "name: twin-of-old"), "all.yaml")
    env = {**ENV, **{v: "made-up-key-of-" + v.lower() for v in re.findall(r'env: "(\w+)"', told)}}
    there = Files.__new__(Files)
    there.gw, there.folder, there.count = other, files.folder, 50
    assert "twin" in there.run("plan", env=env).stdout
    there.apply(env=env)
    again = there.run("plan", env=env)
    assert again.returncode == 1 and "keys are named 'twin-of-old'" in again.stderr and "id" in again.stderr, "names that say nothing are not guessed about"


def test_nothing_is_made_where_new_keys_have_nowhere_to_go(gw, files):
    files.write(FILES)
    done = files.run("apply")
    assert done.returncode == 2 and "--new-keys" in done.stderr and "green" not in gw.cli("team", "list")
    (files.folder.parent / "new-1").write_text("of before")
    done = files.run("apply", "--new-keys", files.folder.parent / "new-1")
    assert done.returncode == 1 and "green" not in gw.cli("team", "list") and (files.folder.parent / "new-1").read_text() == "of before"


@pytest.mark.parametrize("text,told", [
    ("team: {}", "line 1: there is no section 'team'"),
    ("teams:\n  a: {provider: [up]}", "line 2: team 'a' has no member 'provider'"),
    ("teams:\n  a: {limits: {requests_per_minute: many}}", "a whole number is wanted"),
    ("teams:\n  a: {providers: up}", "a list is wanted"),
    ("teams:\n  a: {}\n  a: {}", "'a' is given twice"),
    ("teams: [a]", "names with their members"),
    ("teams:\n  A!: {}", "line 2: team 'A!': that is no name for a team"),
    ("keys:\n  k: {policy: {providers: [nobody]}}", "key 'k': there is no provider 'nobody'"),
    ("keys:\n  k: {team: nobody}", "there is no team 'nobody'"),
    ("keys:\n  k: {id: ZZZZZZZZZZZZ}", "there is no key ZZZZZZZZZZZZ"),
    ("keys:\n  k: {expires_at: tomorrow, policy: {providers: [up]}}", "that is no time"),
    ("provider_keys:\n  up/x: {}", "'secret' is missing"),
    ("provider_keys:\n  up/x: {secret: {}}", "give one of env, file, command, vault"),
    ("provider_keys:\n  up/x: {secret: {env: A, file: b}}", "a secret is in one place"),
    ("provider_keys:\n  x: {secret: {env: A}}", "named provider/name"),
    ("prices:\n  m: {input: 1}", "has two parts"),
    ("schedules:\n  team/red: {every_seconds: 86400, destinations: [nowhere]}", "there is no destination 'nowhere'"),
    ("budgets:\n  b: {usd: lots, window: month}", "that is no amount"),
    ("- a", "sections are wanted"),
    ("teams: {a: {", "did not find expected"),
])
def test_what_is_wrong_is_named_with_its_place_and_nothing_is_done(gw, files, text, told):
    files.write("policies:\n  before: {}\n", "a.yaml")
    files.write(text, "b.yaml")
    for command in ("plan", "apply"):
        done = files.run(command)
        assert done.returncode in (1, 2) and told in done.stderr and "b.yaml" in done.stderr, done.stderr
    assert "before" not in gw.cli("policy", "list")


def test_secrets_come_from_where_the_references_say(gw, files, running, tmp_path):
    (tmp_path / "secret").write_text("made-up-key-in-a-file\n")

    class Vault(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            good = self.headers["X-Vault-Token"] == "made-up-token" and self.path == "/v1/secret/data/up"
            body = json.dumps({"data": {"data": {"api_key": "made-up-key-in-vault"}}} if good else {"errors": []}).encode()
            self.send_response(200 if good else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    vault = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vault)
    threading.Thread(target=vault.serve_forever, daemon=True).start()
    files.write(f"""provider_keys:
  up/e: {{secret: {{env: SECOND_KEY}}}}
  up/f: {{secret: {{file: {tmp_path}/secret}}}}
  up/c: {{secret: {{command: [printf, "made-up-key-by-%s", command]}}}}
  up/v: {{secret: {{vault: "http://127.0.0.1:{vault.server_port}/v1/secret/data/up", field: api_key}}}}
""")
    refused = files.run("apply")
    assert refused.returncode == 1 and "VAULT_TOKEN" in refused.stderr and "up  e" not in gw.cli("provider-key", "list"), "all or none of the secrets"
    refused = files.run("apply", env={**ENV, "VAULT_TOKEN": "wrong"})
    assert refused.returncode == 1 and "answered 403" in refused.stderr
    done = files.run("apply", env={**ENV, "VAULT_TOKEN": "made-up-token"})
    vault.shutdown()
    assert done.returncode == 0 and {k["name"] for k in json.loads(gw.cli("provider-key", "list", "--json"))} >= {"e", "f", "c", "v"}
    assert "made-up" not in done.stdout + done.stderr + gw.output


def test_somebody_who_may_not_cannot_by_a_batch_either(gw):
    developer = gw.token("--role", "developer", "--team", "red")
    blue = key_id(gw.key("--team", "blue"))

    def batch(*calls, token=developer, **more):
        return gw.call("POST", "/v1/batches", token, {"calls": [{"method": m, "path": p, **({"document": d} if d is not None else {})} for m, p, d in calls], **more})

    make = ("POST", "/v1/keys", {"name": "n"})
    assert batch(make)[0] == 200
    for wrong in [("PUT", "/v1/teams/red", {}), ("POST", f"/v1/keys/{blue}/revoke", None), ("PUT", f"/v1/keys/{blue}/tags", {"tags": []}), ("GET", "/v1/keys", None), ("POST", "/v1/backups", None),
                  ("POST", "/v1/batches", {"calls": []}), ("POST", "/v2/keys", {}), ("BREW", "/v1/keys", {}), ("POST", "/v1/keys/%zz/revoke", None)]:
        before = len(gw.call("GET", "/v1/keys", developer)[1])
        status, problem = batch(make, wrong)
        assert status in (400, 404) and problem["title"].startswith("call 2, "), (wrong, problem)
        assert len(gw.call("GET", "/v1/keys", developer)[1]) == before, "all or nothing"
    assert batch()[0] == 400 and batch(*[make] * 501)[0] == 400
    # A rehearsal does nothing, not even what could not be undone.
    own = gw.call("POST", "/v1/keys", developer, {"name": "kept"})[1]
    status, told = batch(("POST", f"/v1/keys/{own['key']['id']}/revoke", None), rehearse=True)
    assert status == 200 and told[0]["changed"] and told[0]["before"]["state"] == "active" and told[0]["answer"]["state"] == "revoked"
    gw.stop(9)
    gw.start()
    assert split(raw(gw.port, post("/up/v1/chat/completions", own["masked_key"])))[0] == 200
    assert batch(("POST", f"/v1/keys/{own['key']['id']}/revoke", None))[0] == 200
    assert split(raw(gw.port, post("/up/v1/chat/completions", own["masked_key"])))[0] == 401


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_thousand_keys_and_a_hundred_policies(gw, files):
    policies = "".join(f"  p{n}: {{models: [m{n}], limits: {{requests_per_minute: {n + 1}}}}}\n" for n in range(100))
    keys = "".join(f"  service-{n}: {{shared_policy: p{n % 100}, tags: [t{n % 7}]}}\n" for n in range(2000))
    files.write(f"policies:\n{policies}keys:\n{keys}")
    assert "2100 to add" in files.apply() and len(files.new_keys) == 2000
    assert "2100 as declared" in files.run("apply").stdout
    key = files.new_keys["service-7"]
    assert split(raw(gw.port, post("/up/v1/chat/completions", key, BODY % 7)))[0] == 200
    assert split(raw(gw.port, post("/up/v1/chat/completions", key, BODY % 8)))[0] == 403
