"""New secrets are brought where their users read them: files, mounted folders, programs, webhooks, AWS Secrets Manager, Vault."""
import base64, hashlib, hmac, json, os, pwd, random, stat, threading, time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from zoneinfo import ZoneInfo

import pytest
from conftest import Gateway, Upstream, cli, ok, post, raw, serve_tls, split, wait_until
from test_rotation import key_id, status


@pytest.fixture
def gw(running):
    return running(Gateway, running(Upstream, ok()).url)


def rotate_to(gw, name, key, grace="1h"):
    """Has the trigger for leaks rotate `key` to the destination `name` now: schedules have a minute at least."""
    gw.cli("schedule", "set", f"key/{key_id(key)}", "--every", "30d", "--grace", grace, "--to", name)
    gw.cli("trigger", "set", "leaked", "--then", "rotate", "--live")
    body = json.dumps([{"token": key, "url": "test"}]).encode()
    assert split(raw(gw.port, post("/leaks", "none", body)))[0] == 200


def shown(gw, key):
    return json.loads(gw.cli("key", "show", key_id(key), "--json"))


def delivered(gw, key):
    wait_until(lambda: shown(gw, key)["version"] == 2 and not shown(gw, key).get("undelivered"), "the new secret to be delivered")


class TestHere:
    def test_a_file_has_its_mode_and_is_never_half_there(self, gw, tmp_path):
        folder = tmp_path / "run"
        folder.mkdir()
        gw.cli("destination", "set", "disk", "--kind", "file", "--place", f"{folder}/{{key}}.env", "--mode", "0440", "--variable", "OPENAI_API_KEY", "--owner", pwd.getpwuid(os.geteuid()).pw_name)
        key = gw.key()
        rotate_to(gw, "disk", key)
        delivered(gw, key)
        path = folder / f"{key_id(key)}.env"
        name, _, new = path.read_text().strip().partition("=")
        assert name == "OPENAI_API_KEY" and stat.S_IMODE(path.stat().st_mode) == 0o440 and [p.name for p in folder.iterdir()] == [path.name]
        assert status(gw, new) == (200, None) and status(gw, key) == (200, None)
        assert [a["details"]["destination"] for a in json.loads(gw.cli("audit", "list", "--act", "key.delivered", "--json"))] == ["disk"]

    def test_a_folder_changes_in_one_step_as_kubernetes_does_it(self, gw, tmp_path):
        mounted = tmp_path / "mounted"
        gw.cli("destination", "set", "pod", "--kind", "directory", "--place", mounted, "--variable", "openai-key")
        key = gw.key()
        rotate_to(gw, "pod", key)
        delivered(gw, key)
        assert (mounted / "openai-key").is_symlink() and os.readlink(mounted / "openai-key") == "..data/openai-key"
        first, target = (mounted / "openai-key").read_text(), os.readlink(mounted / "..data")
        assert (mounted / "version").read_text() == "2" and status(gw, first) == (200, None)
        rotate_to(gw, "pod", first)
        wait_until(lambda: (mounted / "version").read_text() == "3", "the next version")
        assert os.readlink(mounted / "..data") != target
        wait_until(lambda: not (mounted / target).exists(), "the old folder to be gone")
        assert status(gw, (mounted / "openai-key").read_text()) == (200, None)

    def test_a_program_of_the_hooks_folder_gets_it_on_standard_input(self, gw, tmp_path):
        hooks = gw.data / "hooks"
        hooks.mkdir(mode=0o700)
        hook = hooks / "reload"
        hook.write_text(f"#!/bin/sh\ncat > {tmp_path}/got\necho \"$@\" > {tmp_path}/arguments\nenv > {tmp_path}/environment\n")
        hook.chmod(0o700)
        gw.cli("destination", "set", "hook", "--kind", "command", "--place", "reload", "--argument", "{key}", "--argument", "v{version}")
        key = gw.key()
        rotate_to(gw, "hook", key)
        delivered(gw, key)
        new = (tmp_path / "got").read_text().strip()
        assert status(gw, new) == (200, None) and (tmp_path / "arguments").read_text() == f"{key_id(key)} v2\n"
        assert new not in (tmp_path / "environment").read_text() + (tmp_path / "arguments").read_text()

    @pytest.mark.parametrize("spoil, says", [
        (lambda hooks: None, "no hook"), (lambda hooks: [hooks.mkdir(mode=0o700), (hooks / "reload").symlink_to("/bin/cat")], "no hook"),
        (lambda hooks: [hooks.mkdir(mode=0o700), (hooks / "reload").write_text("#!/bin/sh\n"), (hooks / "reload").chmod(0o777)], "changed by others"),
        (lambda hooks: [hooks.mkdir(mode=0o700), (hooks / "reload").write_text("#!/bin/sh\nexit 9\n"), (hooks / "reload").chmod(0o700)], "status 9"),
    ])
    def test_a_program_that_others_could_have_put_there_is_not_run_and_the_old_secret_stays(self, gw, spoil, says):
        spoil(gw.data / "hooks")
        gw.cli("destination", "set", "hook", "--kind", "command", "--place", "reload")
        key = gw.key()
        rotate_to(gw, "hook", key, grace="0")
        assert gw.says("could not be brought to 'hook'") and gw.says(says)
        assert status(gw, key) == (200, None) and shown(gw, key)["undelivered"] == ["hook"]

    def test_once_the_reason_is_gone_it_can_be_brought_at_once(self, gw, tmp_path):
        place = tmp_path / "later/key"
        gw.cli("destination", "set", "disk", "--kind", "file", "--place", place)
        key = gw.key()
        rotate_to(gw, "disk", key, grace="0")
        gw.says("could not be brought")
        gw.stop(9)
        place.parent.mkdir()
        gw.start()
        gw.cli("key", "deliver", key_id(key))
        assert status(gw, place.read_text().strip()) == (200, None) and status(gw, key) == (401, "retired_version")
        assert gw.cli("key", "deliver", key_id(key), check=False).returncode != 0


class Receiver(BaseHTTPRequestHandler):
    """Keeps what comes, and answers as it is told."""
    got, answers = [], {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        answer = self.answers.get(self.path, 200)
        self.send_response(answer)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver(certificates):
    Receiver.got, Receiver.answers = [], {}
    server, url = serve_tls(Receiver, certificates)
    yield url, Receiver
    server.shutdown()


class TestElsewhere:
    def test_a_webhook_is_signed_as_standard_webhooks_has_it(self, gw, receiver, certificates):
        url, got = receiver
        secret = base64.b64encode(b"made-up-signing-key-24-bytes!").decode()
        gw.cli("destination", "set", "ops", "--kind", "webhook", "--place", f"{url}/hook?x=1", "--ca-file", certificates / "ca.pem", input=f"whsec_{secret}\n")
        key = gw.key()
        rotate_to(gw, "ops", key)
        delivered(gw, key)
        path, headers, body = got.got[0]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(base64.b64decode(secret), signed, "sha256")).decode()
        document = json.loads(body)
        assert path == "/hook?x=1" and abs(time.time() - int(headers["webhook-timestamp"])) < 60 and document["type"] == "key.rotated" and document["key"] == key_id(key)
        assert status(gw, document["masked_key"]) == (200, None) and headers["webhook-id"] == f"msg_{key_id(key)}_2"
        listed = gw.cli("destination", "list", "--json")
        assert secret not in listed and json.loads(listed)[0]["sealed"]

    def test_vaults_key_value_engine_gets_it_under_its_field(self, gw, receiver, certificates):
        url, got = receiver
        gw.cli("destination", "set", "vault", "--kind", "vault-kv", "--place", "apps/{key}", "--address", url, "--mount", "kv", "--variable", "openai", "--namespace", "team-a",
               "--ca-file", certificates / "ca.pem", input="hvs.made-up-token\n")
        key = gw.key()
        rotate_to(gw, "vault", key)
        delivered(gw, key)
        path, headers, body = got.got[0]
        assert path == f"/v1/kv/data/apps/{key_id(key)}" and headers["x-vault-token"] == "hvs.made-up-token" and headers["x-vault-namespace"] == "team-a"
        assert status(gw, json.loads(body)["data"]["openai"]) == (200, None)

    def test_what_is_refused_there_is_told_and_the_old_secret_stays(self, gw, receiver, certificates):
        url, got = receiver
        got.answers["/hook"] = 503
        gw.cli("destination", "set", "ops", "--kind", "webhook", "--place", f"{url}/hook", "--ca-file", certificates / "ca.pem", input="made-up\n")
        key = gw.key()
        rotate_to(gw, "ops", key, grace="0")
        assert gw.says("the webhook answered 503") and status(gw, key) == (200, None)
        del got.answers["/hook"]
        gw.cli("key", "deliver", key_id(key))
        assert got.got[0][1]["webhook-id"] == got.got[-1][1]["webhook-id"] and got.got[0][2] == got.got[-1][2], "a repetition is the same message"
        assert status(gw, key) == (401, "retired_version")

    def test_aws_secrets_manager_on_moto(self, gw):
        import boto3
        from moto.server import ThreadedMotoServer
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        moto.start()
        try:
            host, port = moto.get_host_and_port()
            url = f"http://127.0.0.1:{port}"
            client = boto3.client("secretsmanager", region_name="eu-central-1", endpoint_url=url, aws_access_key_id="AKIAMADEUPMADEUP0000", aws_secret_access_key="made-up")
            gw.cli("destination", "set", "aws", "--kind", "aws-secrets-manager", "--place", "llm/{key}", "--region", "eu-central-1", "--address", url, input="AKIAMADEUPMADEUP0000:made-up-secret-access-key\n")
            key = gw.key()
            rotate_to(gw, "aws", key)
            delivered(gw, key)
            first = client.get_secret_value(SecretId=f"llm/{key_id(key)}")["SecretString"]
            assert status(gw, first) == (200, None)
            rotate_to(gw, "aws", first)
            wait_until(lambda: client.get_secret_value(SecretId=f"llm/{key_id(key)}")["SecretString"] != first, "the next version")
            assert status(gw, client.get_secret_value(SecretId=f"llm/{key_id(key)}")["SecretString"]) == (200, None)
        finally:
            moto.stop()


class TestSchedules:
    def test_a_schedule_of_a_team_rotates_its_keys_at_their_time(self, gw, tmp_path):
        gw.cli("destination", "set", "disk", "--kind", "file", "--place", f"{tmp_path}/{{key}}")
        gw.cli("team", "set", "red", "--provider", "*")
        key = gw.key("--team", "red")
        gw.cli("schedule", "set", "team/red", "--cron", "*/5 * * * *", "--time-zone", "Asia/Kathmandu", "--spread", "0", "--to", "disk")
        listed = json.loads(gw.cli("schedule", "list", "--json"))[0]
        assert listed["scope"] == "team/red" and listed["keys"] == 1 and listed["next_at"] == shown(gw, key)["next_rotation_at"]
        assert datetime.fromisoformat(listed["next_at"]).minute % 5 == 0
        assert gw.cli("destination", "remove", "disk", check=False).returncode != 0
        gw.cli("schedule", "remove", "team/red")
        assert "next_rotation_at" not in shown(gw, key)

    @pytest.mark.parametrize("arguments, says", [
        (["key/x", "--every", "1d", "--to", "d"], "no ID"), (["team/none", "--every", "1d", "--to", "d"], "no team"), (["nothing", "--every", "1d"], "key/ID"),
        (["policy/p", "--every", "1d", "--to", "none"], "no destination"), (["policy/p", "--to", "d"], "interval or a cron"), (["policy/p", "--every", "1s", "--to", "d"], "a minute"),
        (["policy/p", "--cron", "61 * * * *", "--to", "d"], "cron expression"), (["policy/p", "--every", "1d"], "1 to 8 destinations"), (["policy/p", "--every", "1d", "--to", "d", "--time-zone", "X/Y"], "time zone"),
    ])
    def test_bad_schedules_are_refused(self, gw, tmp_path, arguments, says):
        gw.cli("destination", "set", "d", "--kind", "file", "--place", f"{tmp_path}/k")
        gw.cli("policy", "set", "p", "--provider", "*")
        done = gw.cli("schedule", "set", *arguments, check=False)
        assert done.returncode != 0 and says in done.stderr and json.loads(gw.cli("schedule", "list", "--json")) == []

    @pytest.mark.parametrize("arguments, secret, says", [
        (["--kind", "fax", "--place", "x"], "", "no such kind"), (["--kind", "file", "--place", "x"], "", "whole path"), (["--kind", "file", "--place", "/x", "--mode", "777"], "", "mode"),
        (["--kind", "webhook", "--place", "http://example.com/"], "s", "in the clear"), (["--kind", "webhook", "--place", "https://example.com/"], "", "needs a credential"), (["--kind", "vault-kv", "--place", "a"], "t", "address"),
        (["--kind", "aws-secrets-manager", "--place", "a"], "a:b", "region"), (["--kind", "file", "--place", "/x", "--region", "eu"], "", "means nothing"), (["--kind", "command", "--place", "/bin/sh"], "", "means nothing"),
    ])
    def test_bad_destinations_are_refused(self, gw, arguments, secret, says):
        done = gw.cli("destination", "set", "d", *arguments, input=secret, check=False)
        assert done.returncode != 0 and says in done.stderr and json.loads(gw.cli("destination", "list", "--json")) == []

    def test_cron_agrees_with_another_implementation(self):
        from croniter import croniter
        random.seed(5)
        field = lambda low, high: random.choice(["*", str(random.randint(low, high)), f"*/{random.randint(2, 9)}", "{}-{}".format(*sorted(random.sample(range(low, high + 1), 2))),
                                                 f"{random.randint(low, high)},{random.randint(low, high)}"])
        for _ in range(60):
            expression = f"{field(0, 59)} {field(0, 23)} {random.choice(['*', str(random.randint(1, 28)), '3-9', '1,15'])} {random.choice(['*', field(1, 12)])} {random.choice(['*', '1-5', 'sun', '6,0', str(random.randint(0, 7))])}"
            # (`*/8` as a day counts as restricted for some and not for others: cron's own way is ours, and not compared.)
            # A zone whose clocks are never changed; where they are, implementations differ.
            zone = ZoneInfo(random.choice(["UTC", "Asia/Kathmandu", "America/Phoenix"]))
            start = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=random.randint(0, 500_000))
            ours = cli(None, "schedule", "next", expression, "--time-zone", zone.key, "--from", start.strftime("%Y-%m-%dT%H:%M:%SZ"), "--count", "8").split("\n")
            it = croniter(expression, start.astimezone(zone))
            theirs = [it.get_next(datetime).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z") for _ in range(8)]
            assert ours == theirs, (expression, zone.key, start)

    def test_a_skipped_hour_comes_when_the_clock_jumps_and_a_doubled_one_once(self):
        next_of = lambda e, start: cli(None, "schedule", "next", e, "--time-zone", "Europe/Berlin", "--from", start, "--count", "3").split("\n")
        # 2026-03-29, 02:00 to 03:00 do not exist; 2026-10-25, 02:00 to 03:00 come twice.
        assert next_of("30 2 * * *", "2026-03-28T12:00:00Z") == ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z", "2026-03-31T00:30:00.000Z"]
        assert next_of("30 2 * * *", "2026-10-24T12:00:00Z") == ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z", "2026-10-27T01:30:00.000Z"]

    @pytest.mark.parametrize("expression", ["", "* * * *", "60 * * * *", "* 24 * * *", "0 0 30 2 *", "a * * * *", "*/0 * * * *", "5-1 * * * *", "1,,2 * * * *", "* * * * 8"])
    def test_what_is_no_cron_expression_is_refused(self, expression):
        assert cli(None, "schedule", "next", expression, check=False).returncode == 2
