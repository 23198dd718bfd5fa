"""Real keys are replaced at their providers while requests go on: with every connector, across crashes at every step, and back where the new one is no good."""
import json, os, signal, socket, subprocess, threading, time

import pytest
from conftest import Gateway, Upstream, ok, post, raw, split, wait_until
from provider_with_keys import Provider
from test_rotation import key_id

QUICK = ["--shares", "50,100", "--stage", "0", "--probe", "0", "--drain", "5s", "--proof", "0", "--hold", "0"]

CONNECTORS = {
    # name: (dialect of the stand-in, kind of provider, parameters, what the first key is called there, credential)
    "openai": ("openai", "openai", {"project": "proj_1"}, {"account": "said1", "key": "keyid1"}, "sk-admin-made-up"),
    "openrouter": ("openrouter", "openrouter", {}, {"hash": "id1"}, "sk-admin-made-up"),
    "xai": ("xai", "xai", {"team": "team-1"}, {"id": "id1"}, "sk-admin-made-up"),
    "mistral": ("mistral", "mistral", {"workspace": "ws-1"}, {"id": "id1"}, "sk-admin-made-up"),
    "fireworks": ("fireworks", "fireworks", {"account": "acc-1", "user": "user-1"}, {"id": "id1"}, "sk-admin-made-up"),
    "azure": ("azure", "azure", {"tenant": "t-1", "subscription": "s-1", "group": "g-1", "account": "a-1"}, {"slot": "Key1"}, "made-up-client:made-up-client-secret"),
    "aws-bedrock": ("bedrock", "openai", {"user": "llm"}, {"id": "id1"}, "AKIAMADEUPMADEUP0000:made-up-secret-access-key"),
}


class World:
    """A gateway with one provider `up` at a stand-in, its key, and a masked key."""

    def __init__(self, running, dialect="openai", kind="openai", name="first", config=""):
        self.provider = running(Provider, dialect)
        self.first, _ = self.provider.make(name)
        self.gw = running(Gateway, config=config)
        self.gw.cli("provider", "add", "up", "--base-url", self.provider.url, "--kind", kind)
        self.gw.cli("provider-key", "add", "up", input=self.first + "\n")
        self.id = json.loads(self.gw.cli("provider-key", "list", "--json"))[0]["id"]
        self.key = self.gw.key("--provider", "up")

    def plan(self, connector="openai", parameters=None, remote=None, credential="sk-admin-made-up", timing=QUICK, more=()):
        parameters = {"project": "proj_1"} if parameters is None else parameters
        remote = {"account": "said1", "key": "keyid1"} if remote is None else remote
        words = [w for k, v in parameters.items() for w in ("--parameter", f"{k}={v}")] + [w for k, v in remote.items() for w in ("--remote", f"{k}={v}")]
        self.gw.cli("rotation", "set", self.id, "--connector", connector, "--address", self.provider.url, *words, *timing, *more, input=credential + "\n")

    def rotate(self, *arguments, **kw):
        return self.gw.cli("provider-key", "rotate", self.id, *arguments, **kw)

    def state(self):
        return json.loads(self.gw.cli("rotation", "show", self.id, "--json"))

    def step(self):
        return self.state().get("step")

    def until(self, *steps):
        return wait_until(lambda: self.step() in steps, f"the step {steps}", 30)

    def done(self):
        wait_until(lambda: self.step() is None, "the rotation to end", 40)

    def ask(self):
        status, _, body = split(raw(self.gw.port, post("/up/v1/chat/completions", self.key, b'{"model":"m","messages":[]}')))
        return status

    def version(self):
        return json.loads(self.gw.cli("provider-key", "list", "--json"))[0]["version"]

    def steps(self):
        return [a["details"]["step"] for a in reversed(json.loads(self.gw.cli("audit", "list", "--act", "provider_key.rotation_step", "--limit", "100", "--json")))]


class Traffic:
    """Requests at a steady rate from several clients; keeps what each was answered."""

    def __init__(self, gw, key, rate=200, clients=8, path="/up/v1/chat/completions"):
        self.gw, self.key, self.answers, self.over, self.path = gw, key, [], threading.Event(), path
        self.threads = [threading.Thread(target=self._run, args=(i / rate, clients / rate), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, delay, interval):
        time.sleep(delay)
        due, s = time.monotonic(), None
        while not self.over.is_set():
            key = self.key
            try:
                if s is None:
                    s = socket.create_connection(("127.0.0.1", self.gw.port), 20)
                s.sendall(post(self.path, key, b'{"model":"m","messages":[]}').replace(b"Connection: close\r\n", b""))
                out = b""
                while b"\r\n\r\n" not in out:
                    piece = s.recv(65536)
                    if not piece:
                        raise OSError("closed")
                    out += piece
                head, _, body = out.partition(b"\r\n\r\n")
                length = int(next(l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")).split(b":")[1])
                while len(body) < length:
                    body += s.recv(65536)
                self.answers.append((time.monotonic(), int(head.split()[1]), key, body if head.split()[1] != b"200" else b""))
            except OSError as e:
                self.answers.append((time.monotonic(), 0, key, str(e).encode()))
                s = None
            due += interval
            time.sleep(max(0, due - time.monotonic()))

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        return self.answers


class TestWholeStory:
    def test_keys_of_both_kinds_are_replaced_under_traffic_and_no_request_fails(self, running, tmp_path, capsys):
        world = World(running)
        gw, provider = world.gw, world.provider
        gw.cli("destination", "set", "disk", "--kind", "file", "--place", f"{tmp_path}/key")
        gw.cli("schedule", "set", f"key/{key_id(world.key)}", "--every", "30d", "--grace", "3s", "--to", "disk")
        world.plan(timing=["--shares", "10,50,100", "--stage", "1s", "--drain", "5s", "--proof", "1s", "--hold", "1s"])
        traffic = Traffic(gw, world.key)
        time.sleep(1)
        # The masked key: the new one is written where its user reads it, and the old one ends.
        gw.cli("trigger", "set", "leaked", "--then", "rotate", "--live")
        raw(gw.port, post("/leaks", "none", json.dumps([{"token": world.key, "url": "the story"}]).encode()))
        wait_until(lambda: (tmp_path / "key").exists(), "the new masked key")
        old, traffic.key = world.key, (tmp_path / "key").read_text().strip()
        wait_until(lambda: split(raw(gw.port, post("/up/v1/models", old)))[0] == 401, "the old masked key to end")
        # The real key.
        world.key = traffic.key
        world.rotate()
        world.done()
        time.sleep(0.5)
        answers = traffic.stop()
        failed = [a for a in answers if a[1] != 200]
        assert not failed, failed[:3]
        seconds = answers[-1][0] - answers[0][0]
        second = next(s for s in provider.keys if s != world.first)
        assert len(answers) / seconds > 120, "about 200 a second"
        assert provider.live() == {second} and provider.refused == 0, "the old real key is gone, and was never used after that"
        assert world.version() == 2 and provider.seen[world.first] > 0 and provider.seen[second] > 0
        assert world.steps() == ["probe", "shift", "shift", "shift", "drain", "prove", "disable", "hold", "delete"]
        acts = {a["act"] for a in json.loads(gw.cli("audit", "list", "--limit", "1000", "--json"))}
        assert {"key.rotate", "key.delivered", "event.leaked", "event.trigger", "provider_key.rotate", "provider_key.rotated"} <= acts
        with capsys.disabled():
            print(f"\n  {len(answers)} requests in {seconds:.1f} s at {len(answers) / seconds:.0f}/s, none failed; {provider.seen[world.first]} with the old real key, {provider.seen[second]} with the new")

    def test_a_killed_server_goes_on_wherever_it_was_and_leaves_one_key(self, running):
        """`kill -9` while each call of the management API is under way, and at each step between them."""
        world = World(running)
        gw, provider = world.gw, world.provider
        expected = 1
        for place in ["create", "create answered", "used", "delete", "delete answered", "probe", "shift", "drain", "hold"]:
            remote = world.state()["remote"] if expected > 1 else {"account": "said1", "key": "keyid1"}
            slow = {"shift": ["--shares", "50,100", "--stage", "3s"], "hold": ["--hold", "3s"], "drain": ["--proof", "3s"]}.get(place, [])
            base = [w for w in QUICK]
            for i in range(0, len(slow), 2):
                base[base.index(slow[i]) + 1] = slow[i + 1]
            world.plan(remote=remote, timing=base)
            action = place.split()[0]
            gate = provider.hold(action) if action in ("create", "used", "delete") else None
            world.rotate()
            if gate:
                wait_until(lambda: action not in provider.gates, f"'{action}' to be called")
                if "answered" in place:
                    gate.set()
                    time.sleep(0.005)
            elif place in ("shift", "hold"):
                world.until(place)
            elif place == "drain":
                world.until("drain", "prove")
            gw.stop(signal.SIGKILL)
            if gate:
                gate.set()
            time.sleep(0.2)  # what was under way at the provider comes to its end there
            gw.start()
            world.done()
            expected += 1
            assert len(provider.live()) == 1, (place, provider.keys)
            assert world.ask() == 200, place
            assert json.loads(gw.cli("provider-key", "list", "--json"))[0]["version"] == expected, place
            assert provider.live() != {world.first}


    def test_a_server_killed_while_it_gives_a_new_key_up_takes_that_key_away(self, running):
        world = World(running)
        world.plan(timing=["--shares", "50,100", "--stage", "30s", "--hold", "30s"])
        world.rotate()
        world.until("shift")
        gate = world.provider.hold("delete")
        world.gw.cli("rotation", "abort", world.id)
        wait_until(lambda: "delete" not in world.provider.gates, "the new key to be deleted")
        world.gw.stop(signal.SIGKILL)
        gate.set()
        world.gw.start()
        world.done()
        assert world.version() == 1 and list(world.provider.keys) == [world.first] and world.ask() == 200


class TestConnectors:
    @pytest.mark.parametrize("connector", CONNECTORS)
    def test_a_key_is_made_tried_used_and_the_old_one_ended(self, running, connector):
        dialect, kind, parameters, remote, credential = CONNECTORS[connector]
        world = World(running, dialect, kind, name="Key1" if connector == "azure" else "first")
        if connector == "azure":
            world.provider.make("Key2")
        world.plan(connector, parameters, remote, credential, more=["--probe-path", "/v1/models"])
        old = set(world.provider.keys)
        world.rotate()
        world.done()
        assert world.version() == 2 and world.first not in world.provider.live()
        if connector == "azure":
            assert world.provider.calls == ["token", "regenerate Key2", "regenerate Key1"] or world.provider.calls == ["token", "regenerate Key2", "token", "regenerate Key1"]
            new = world.provider.by("name", "Key2")[0]
        else:
            assert len(world.provider.live()) == 1
            (new,) = world.provider.live()
            assert world.provider.keys[new]["name"] in (f"maskllm-{world.id}-v2", "")
        status = split(raw(world.gw.port, b"GET /up/v1/models HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer " + world.key.encode() + b"\r\n\r\n"))[0]
        assert new not in old and (status == 200 or kind in ("azure", "fireworks", "openrouter")) and world.provider.refused == 0
        # And once more, from what was learned of the first.
        world.rotate()
        world.done()
        assert world.version() == 3 and new not in world.provider.live()

    def test_google_makes_keys_in_its_own_time(self, running, tmp_path):
        subprocess.run(["openssl", "genrsa", "-out", tmp_path / "key.pem", "2048"], check=True, capture_output=True)
        world = World(running, "google", "gemini")
        account = json.dumps({"type": "service_account", "client_email": "made-up@example.com", "private_key_id": "k", "private_key": (tmp_path / "key.pem").read_text(), "token_uri": f"{world.provider.url}/token"})
        world.plan("google-api-keys", {"project": "p-1"}, {"key": "projects/p-1/locations/global/keys/id1"}, account)
        world.rotate()
        world.done()
        assert world.version() == 2 and len(world.provider.live()) == 1 and world.first not in world.provider.keys
        assert world.provider.calls.count("poll") == 3

    def test_aws_access_keys_on_moto(self, running):
        import boto3
        from moto.server import ThreadedMotoServer
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        moto.start()
        try:
            url = "http://127.0.0.1:{}".format(moto.get_host_and_port()[1])
            iam = boto3.client("iam", region_name="us-east-1", endpoint_url=url, aws_access_key_id="AKIAMADEUPMADEUP0000", aws_secret_access_key="made-up")
            iam.create_user(UserName="llm")
            first = iam.create_access_key(UserName="llm")["AccessKey"]
            gw = running(Gateway)
            bedrock = running(Upstream, ok())
            gw.cli("provider", "add", "aws", "--kind", "bedrock", "--base-url", bedrock.url, "--credential", "aws:bedrock:us-east-1")
            gw.cli("provider-key", "add", "aws", input=f"{first['AccessKeyId']}:{first['SecretAccessKey']}\n")
            id = json.loads(gw.cli("provider-key", "list", "--json"))[0]["id"]
            gw.cli("rotation", "set", id, "--connector", "aws-iam", "--address", url, "--parameter", "user=llm", "--remote", f"access={first['AccessKeyId']}", "--probe-path", "/foundation-models", *QUICK,
                   input="AKIAMADEUPMADEUP0000:made-up-secret-access-key\n")
            for _ in range(2):
                before = {k["AccessKeyId"] for k in iam.list_access_keys(UserName="llm")["AccessKeyMetadata"]}
                gw.cli("provider-key", "rotate", id)
                wait_until(lambda: json.loads(gw.cli("rotation", "show", id, "--json")).get("step") is None, "the rotation to end", 40)
                after = {k["AccessKeyId"] for k in iam.list_access_keys(UserName="llm")["AccessKeyMetadata"]}
                assert len(after) == 1 and not after & before, gw.output
            (new,) = after
            assert f"Credential={new}/" in bedrock.requests[-1]["headers"]["authorization"], "the probe was signed with the new key"
        finally:
            moto.stop()

    def test_anthropics_keys_are_pasted_and_switched_by_its_api(self, running):
        world = World(running, "anthropic", "anthropic")
        second, made = world.provider.make("second")
        world.plan("anthropic", {}, {"id": "id1"})
        assert "made by a person" in world.rotate(check=False).stderr
        assert "--remote id=" in world.rotate("--guided", input=second + "\n", check=False).stderr
        world.rotate("--guided", "--remote", f"id={made['id']}", input=second + "\n")
        world.done()
        assert world.version() == 2 and world.provider.live() == {second} and world.provider.calls == ["disable", "delete"]

    def test_a_program_of_the_users_makes_and_deletes_keys(self, running, tmp_path):
        world = World(running)
        hooks = world.gw.data / "hooks"
        hooks.mkdir(mode=0o700)
        second, made = world.provider.make("second")
        (hooks / "keys").write_text(f"#!/bin/sh\ncat > {tmp_path}/$1.json\ntest $1 = create && echo '{{\"secret\":\"{second}\",\"remote\":{{\"id\":\"there-2\"}}}}'\nexit 0\n")
        (hooks / "keys").chmod(0o700)
        world.gw.cli("rotation", "set", world.id, "--connector", "hook", "--hook", "keys", "--parameter", "vault=a", "--remote", "id=there-1", *QUICK)
        world.rotate()
        world.done()
        asked = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("create", "disable", "delete")}
        assert asked["create"]["name"] == f"maskllm-{world.id}-v2" and asked["create"]["vault"] == "a" and asked["create"]["provider"] == "up"
        assert asked["delete"]["id"] == "there-1" and asked["delete"]["action"] == "delete"
        assert world.version() == 2 and world.ask() == 200 and world.provider.seen[second] > 0 and world.state()["remote"] == {"id": "there-2"}

    def test_a_server_of_the_users_makes_and_deletes_keys(self, running, certificates):
        import base64, hmac
        from http.server import BaseHTTPRequestHandler
        from conftest import serve_tls
        world = World(running)
        second, _ = world.provider.make("second")
        got = []

        class Keys(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
                right = "v1," + base64.b64encode(hmac.digest(b"made-up-signing-key", signed, "sha256")).decode() == self.headers["webhook-signature"]
                got.append((self.path, self.headers["webhook-id"], json.loads(body)["action"], right))
                answer = json.dumps({"secret": second, "remote": {"id": "there-2"}} if json.loads(body)["action"] == "create" else {}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        server, url = serve_tls(Keys, certificates)
        refused = world.gw.cli("rotation", "set", world.id, "--connector", "webhook", "--address", f"{url}/keys?x=1", *QUICK, input="", check=False)
        assert "signed with" in refused.stderr
        world.gw.cli("rotation", "set", world.id, "--connector", "webhook", "--address", f"{url}/keys?x=1", "--ca-file", certificates / "ca.pem", "--remote", "id=there-1", *QUICK, input="made-up-signing-key\n")
        world.rotate()
        world.done()
        server.shutdown()
        assert [(p, a, r) for p, _, a, r in got] == [("/keys?x=1", a, True) for a in ("create", "disable", "delete")] and world.version() == 2 and world.ask() == 200

    def test_guided_pastes_tries_cuts_over_and_reminds(self, running):
        world = World(running)
        second, _ = world.provider.make("second")
        # Nothing has to be set up for it.
        assert "--guided" in world.rotate(check=False).stderr
        world.gw.cli("rotation", "set", world.id, "--connector", "guided", *QUICK)
        world.rotate("--guided", input=second + "\n")
        world.until("confirm")
        assert world.gw.says(f"delete it at the provider, then run 'maskllm rotation confirm {world.id}'")
        assert world.ask() == 200 and world.provider.seen == {second: 1}
        del world.provider.keys[world.first]
        world.gw.cli("rotation", "confirm", world.id)
        assert world.step() is None and world.version() == 2 and world.ask() == 200


class TestTrouble:
    def test_a_new_key_that_is_refused_at_first_is_waited_for(self, running):
        world = World(running)
        second, made = world.provider.make("second")
        made["on"] = False
        world.gw.cli("rotation", "set", world.id, "--connector", "guided", *[w if w != "0" or QUICK[i - 1] != "--probe" else "60s" for i, w in enumerate(QUICK)])
        world.rotate("--guided", input=second + "\n")
        wait_until(lambda: world.provider.refused >= 1, "a first try")
        assert world.step() == "probe" and world.ask() == 200
        made["on"] = True
        world.until("confirm")

    def test_a_new_key_that_does_not_work_is_given_up_and_taken_away(self, running):
        world = World(running)
        world.plan()
        make = world.provider.make
        world.provider.make = lambda name, **kw: (lambda pair: (pair[1].update(on=False), pair)[1])(make(name, **kw))
        world.rotate()
        world.done()
        assert world.version() == 1 and list(world.provider.keys) == [world.first] and world.ask() == 200
        assert world.gw.says("the provider refuses the new key (401); the old secret goes on") and "rollback" in world.steps()

    def test_a_new_key_that_stops_working_on_the_way_is_given_up(self, running):
        world = World(running)
        world.gw.cli("provider-key", "add", "up", "--name", "other", input=world.provider.make("other")[0] + "\n")
        world.plan(timing=["--shares", "50,100", "--stage", "30s", "--proof", "0", "--hold", "0"])
        world.rotate()
        world.until("shift")
        new = world.provider.by("name", f"maskllm-{world.id}-v2")[1]
        new["on"] = False
        answers = [world.ask() for _ in range(30)]
        assert set(answers) == {200}, "what it was refused for went out with another key"
        world.done()
        assert world.version() == 1 and world.first in world.provider.live() and world.gw.says("back to version 1")

    def test_one_provider_that_hangs_keeps_no_other_from_going_on(self, running):
        stuck, free = World(running), World(running)
        # Both providers in one gateway.
        gw = stuck.gw
        gw.cli("provider", "add", "up2", "--base-url", free.provider.url)
        gw.cli("provider-key", "add", "up2", input=free.first + "\n")
        other = next(k["id"] for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["provider"] == "up2")
        stuck.plan()
        gate = stuck.provider.hold("create")
        stuck.rotate()
        wait_until(lambda: "create" not in stuck.provider.gates, "the call that hangs")
        gw.cli("rotation", "set", other, "--connector", "openai", "--address", free.provider.url, "--parameter", "project=proj_1", "--remote", "account=said1", "--remote", "key=keyid1", *QUICK, input="sk-admin-made-up\n")
        gw.cli("provider-key", "rotate", other)
        wait_until(lambda: json.loads(gw.cli("rotation", "show", other, "--json")).get("step") is None, "the other rotation to end", 30)
        assert stuck.step() == "create" and len(free.provider.live()) == 1
        gate.set()
        stuck.done()

    def test_an_old_key_that_somebody_else_uses_is_not_switched_off_unasked(self, running):
        world = World(running)
        world.plan()
        world.provider.keys[world.first]["used"] = time.time() + 3600
        world.rotate()
        assert world.gw.says("somebody has it")
        assert world.step() == "prove" and "by this gateway" in world.state()["because"] and world.first in world.provider.live()
        world.gw.cli("rotation", "confirm", world.id)
        world.done()
        assert world.version() == 2 and world.first not in world.provider.live()

    def test_it_can_be_given_up_as_long_as_the_old_key_works(self, running):
        world = World(running)
        world.plan(timing=["--shares", "50,100", "--stage", "30s", "--hold", "30s", "--proof", "0"])
        world.rotate()
        world.until("shift")
        world.gw.cli("rotation", "abort", world.id)
        world.done()
        assert world.version() == 1 and list(world.provider.keys) == [world.first] and world.ask() == 200
        assert world.gw.cli("rotation", "abort", world.id, check=False).returncode != 0

    def test_a_management_api_that_refuses_says_so_and_changes_nothing(self, running):
        world = World(running)
        world.plan()
        world.provider.failing["create"] = 403
        world.rotate()
        world.done()
        assert world.gw.says("answered 403") and world.version() == 1 and world.ask() == 200 and list(world.provider.keys) == [world.first]

    def test_by_schedule(self, running):
        world = World(running)
        world.plan(more=["--every", "30d"])
        assert world.state()["every_seconds"] == 30 * 86_400 and world.step() is None

    def test_what_the_provider_refuses_in_traffic_can_start_it(self, running):
        world = World(running)
        world.plan()
        world.gw.cli("trigger", "set", "provider-key-refused", "--then", "rotate", "--live")
        world.provider.keys[world.first]["on"] = False
        assert world.ask() == 503
        wait_until(lambda: world.version() == 2, "the new key", 30)
        assert world.ask() == 200
        world.done()

    @pytest.mark.parametrize("arguments, says", [
        (["--connector", "fax"], "no connector"), (["--connector", "openai"], "needs the parameter 'project'"), (["--connector", "openai", "--parameter", "project=a b"], "cannot have that value"),
        (["--connector", "openai", "--parameter", "project"], "NAME=VALUE"), (["--connector", "guided", "--shares", "50"], "rise to 100"), (["--connector", "guided", "--shares", "100,50"], "rise to 100"),
        (["--connector", "guided", "--every", "1m"], "interval"), (["--connector", "guided", "--every", "1d", "--cron", "* * * * *"], "not both"), (["--connector", "hook"], "hook"),
        (["--connector", "guided", "--hold", "91d"], "hold"), (["--connector", "anthropic"], "present key"), (["--connector", "openrouter", "--address", "http://example.com"], "in the clear"), ([], "--connector"),
        (["--connector", "guided", "--probe-path", "models"], "starts with '/'"),
    ])
    def test_bad_plans_are_refused(self, running, arguments, says):
        world = World(running)
        done = world.gw.cli("rotation", "set", world.id, *arguments, input="sk-admin-made-up\n", check=False)
        assert done.returncode != 0 and says in done.stderr and json.loads(world.gw.cli("rotation", "list", "--json")) == []

    def test_the_credential_is_nowhere_to_be_seen(self, running):
        world = World(running)
        world.plan()
        world.rotate()
        world.done()
        text = world.gw.output + world.gw.cli("rotation", "show", world.id, "--json") + world.gw.cli("audit", "list", "--json", "--limit", "1000")
        assert "sk-admin" not in text and "sk-made-up" not in text
        world.gw.stop()
        files = b"".join(p.read_bytes() for p in world.gw.data.iterdir() if p.is_file())
        assert b"sk-admin-made-up" not in files and b"sk-made-up" not in files
