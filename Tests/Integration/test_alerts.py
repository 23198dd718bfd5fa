"""Alerts: brought where people look, signed, grouped, once, and not lost by a kill."""
import base64, email, email.policy, hashlib, hmac, json, socket, ssl

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from conftest import Upstream, cli, ok, post, raw, split, wait_until
from test_admin import Managed, gw  # noqa: F401: a fixture
from test_rotation import key_id

SECRET = "made-up-webhook-secret-0123456789"


def receiver(running, status=lambda: 200):
    """A channel's far side and what it got."""
    def play(s, request):
        s.sendall(f"HTTP/1.1 {status()} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        return False

    return running(Upstream, play)


def leak(gw, key=None):
    """Something to be told of: a leaked key."""
    key = key or gw.key()
    status, answer = gw.call("POST", "/v1/leaks", gw.token("--role", "owner"), [{"token": key, "url": "https://example.com/paste/1"}])
    assert status == 200, answer
    return key_id(key)


def alerts(gw, *args):
    return json.loads(gw.cli("alert", "list", "--json", *args))


def channel(gw, name, kind, place=None, secret=None, *args):
    return gw.cli("alert-channel", "set", name, "--kind", kind, *(["--place", place] if place else []), "--group", "0s", *args, input=secret or "")


def test_a_signed_webhook_is_told_once_and_says_what_happened(gw, running):
    far = receiver(running)
    channel(gw, "ops", "webhook", f"{far.url}/hook", SECRET)
    id = leak(gw)
    wait_until(lambda: [r for r in far.requests if b"event.leaked" in r["body"]], "the alert")
    request = next(r for r in far.requests if b"event.leaked" in r["body"])
    signed = f"{request['headers']['webhook-id']}.{request['headers']['webhook-timestamp']}.".encode() + request["body"]
    assert request["headers"]["webhook-signature"] == "v1," + base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    told = json.loads(request["body"])["alerts"]
    assert {a["subject"] for a in told} >= {f"key/{id}"} and {a["severity"] for a in told if a["act"] == "event.leaked"} == {"critical"}
    listed = [a for a in alerts(gw) if a["act"] == "event.leaked"]
    assert len(listed) == 1 and listed[0]["told"] == ["ops"] and listed[0]["state"] == "open"
    # The same once more is counted.
    leak(gw, gw.key()), gw.call("POST", "/v1/leaks", gw.token("--role", "owner"), [{"token": "x", "url": "u"}])
    count = len(far.requests)
    gw.cli("alert", "acknowledge", listed[0]["id"])
    gw.cli("alert", "resolve", listed[0]["id"])
    assert [a["state"] for a in alerts(gw) if a["id"] == listed[0]["id"]] == ["resolved"] and alerts(gw, "--state", "acknowledged") == []
    assert len(far.requests) >= count and gw.cli("alert", "resolve", listed[0]["id"], check=False).returncode != 0
    acts = [e["act"] for e in json.loads(gw.cli("audit", "list", "--act", "alert", "--json"))]
    assert acts == ["alert.resolve", "alert.acknowledge"]


def test_slack_and_pagerduty_get_what_they_read(gw, running):
    slack, pager = receiver(running), receiver(running, lambda: 202)
    # Of Slack's URLs the path is the secret: it is sealed, and shown nowhere.
    channel(gw, "slack", "slack", slack.url, "/services/T000/B000/made-up-path")
    channel(gw, "pager", "pagerduty", f"{pager.url}/v2/enqueue", "made-up-routing-key", "--severity", "critical")
    id = leak(gw)
    wait_until(lambda: [r for r in slack.requests if id.encode() in r["body"]] and pager.requests, "both")
    request = next(r for r in slack.requests if id.encode() in r["body"])
    assert request["target"] == "/services/T000/B000/made-up-path" and ":rotating_light: *critical*" in json.loads(request["body"])["text"]
    event = json.loads(pager.requests[0]["body"])
    assert event["routing_key"] == "made-up-routing-key" and event["event_action"] == "trigger" and event["dedup_key"].startswith("maskllm/")
    assert event["payload"]["severity"] == "critical" and event["payload"]["source"] and event["payload"]["summary"] and event["payload"]["component"] == f"key/{id}"
    assert all(json.loads(r["body"])["payload"]["severity"] == "critical" for r in pager.requests)
    shown = gw.cli("alert-channel", "list", "--json")
    assert "made-up" not in shown and [c["has_secret"] for c in json.loads(shown)] == [True, True]
    assert gw.call("GET", "/v1/alert-channels/slack", gw.token("--role", "auditor"))[1]["place"] == slack.url


class Mailbox:
    """A mail server that wants STARTTLS and a password."""

    def __init__(self, certificates, login=("ann", "made-up-password")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
        self.messages, box = [], self

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                box.messages.append((session.ssl is not None, envelope.mail_from, envelope.rcpt_tos, envelope.content))
                return "250 OK"

        def authenticate(server, session, envelope, mechanism, data):
            return AuthResult(success=(data.login.decode(), data.password.decode()) == login)

        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.controller = Controller(Handler(), hostname="127.0.0.1", port=self.port, ready_timeout=20, tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True)
        self.controller.start()

    def stop(self):
        self.controller.stop()


def test_mail_is_sent_encrypted_and_says_who_and_what(gw, running, certificates):
    box = running(Mailbox, certificates)
    common = ["--from", "maskllm@example.com", "--to", "ops@example.com", "--to", "sec@example.com", "--user", "ann", "--ca-file", certificates / "ca.pem"]
    channel(gw, "mail", "email", f"smtp://127.0.0.1:{box.port}", "made-up-password", *common)
    assert gw.cli("alert", "test") == "mail: told"
    encrypted, sender, to, content = box.messages[0]
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert encrypted and sender == "maskllm@example.com" and to == ["ops@example.com", "sec@example.com"]
    assert message["Subject"].startswith("[maskllm info] test") and message["Date"].datetime and message["Auto-Submitted"] == "auto-generated"
    id = leak(gw)
    wait_until(lambda: any(id in email.message_from_bytes(m[3], policy=email.policy.default).get_content() for m in box.messages), "the mail")
    # A wrong password, and a server whose certificate nobody vouches for.
    channel(gw, "mail", "email", f"smtp://127.0.0.1:{box.port}", "made-up-wrong-password", *common)
    done = gw.cli("alert", "test", check=False)
    assert done.returncode != 0 and "the mail server did not take it" in done.stdout and "made-up" not in done.stdout + done.stderr + gw.output
    channel(gw, "mail", "email", f"smtp://127.0.0.1:{box.port}", "made-up-password", *common[:-2])
    assert "certificate" in gw.cli("alert", "test", check=False).stdout


def test_a_program_of_the_hooks_folder_is_told(gw, tmp_path):
    hooks = gw.data / "hooks"
    hooks.mkdir(mode=0o700, exist_ok=True)
    (hooks / "tell").write_text(f"#!/bin/sh\ncat > {tmp_path}/told.new && mv {tmp_path}/told.new {tmp_path}/told\n")
    (hooks / "tell").chmod(0o700)
    channel(gw, "here", "command", "tell")
    id = leak(gw)
    wait_until(lambda: (tmp_path / "told").exists() and id in (tmp_path / "told").read_text(), "the program")
    assert json.loads((tmp_path / "told").read_text())["type"] == "alerts"


def test_nothing_is_lost_while_a_channel_is_away_not_even_by_a_kill(gw, running):
    state = {"status": 500}
    far = receiver(running, lambda: state["status"])
    channel(gw, "ops", "webhook", f"{far.url}/hook", SECRET)
    ids = [leak(gw), leak(gw)]
    wait_until(lambda: any((a["waiting"].get("ops") or "") for a in alerts(gw)), "the trouble to be shown")
    assert "the channel answered 500" in gw.cli("alert-channel", "list") and gw.says("was not told, it will be again: the channel answered 500")
    gw.stop(9)
    state["status"] = 204
    far.requests.clear()
    gw.start()
    wait_until(lambda: all(any(id.encode() in r["body"] for r in far.requests) for id in ids), "both to be told")
    for a in alerts(gw):
        assert a["waiting"] == {} or a["act"] != "event.leaked"
    assert sum(ids[0].encode() in r["body"] for r in far.requests) == 1


def test_what_is_silenced_is_written_down_and_told_to_nobody(gw, running):
    far = receiver(running)
    channel(gw, "ops", "webhook", f"{far.url}/hook", SECRET, "--act", "event.leaked")
    gw.cli("silence", "set", "drill", "--act", "event.leaked", "--for", "1h", "--reason", "a drill")
    quiet = leak(gw)
    wait_until(lambda: [a for a in alerts(gw) if a["silenced"]], "the silenced alert")
    gw.cli("silence", "remove", "drill")
    loud = leak(gw)
    wait_until(lambda: any(loud.encode() in r["body"] for r in far.requests), "the other")
    assert not any(quiet.encode() in r["body"] for r in far.requests)
    assert gw.cli("silence", "list", "--json") == "[]"


def test_it_goes_on_to_the_next_when_nobody_looks(gw, running):
    """Escalation waits a minute at least: its timing is in the unit tests. Here: that it is set and refused as it should be."""
    far = receiver(running)
    channel(gw, "boss", "webhook", f"{far.url}/boss", SECRET)
    channel(gw, "ops", "webhook", f"{far.url}/ops", SECRET, "--escalate-to", "boss", "--escalate-after", "15m")
    told = {c["name"]: c for c in json.loads(gw.cli("alert-channel", "list", "--json"))}
    assert (told["ops"]["escalate_to"], told["ops"]["escalate_seconds"]) == ("boss", 900)
    assert "escalates to it" in gw.cli("alert-channel", "remove", "boss", check=False).stderr
    gw.cli("alert-channel", "remove", "ops")
    gw.cli("alert-channel", "remove", "boss")


def test_budgets_guesses_and_quarantine_are_told_of(gw, running):
    refusing = running(Upstream, lambda s, r: s.sendall(b'HTTP/1.1 401 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'))
    gw.cli("provider", "add", "bad", "--base-url", refusing.url)
    gw.cli("provider-key", "add", "bad", input="made-up-refused-key\n")
    raw(gw.port, post("/bad/v1/chat/completions", gw.key("--provider", "*")))
    for n in range(11):
        gw.call("GET", "/v1/keys", f"mka_wrong_{n}")
    found = lambda act: [a for a in alerts(gw) if a["act"] == act]
    assert wait_until(lambda: found("event.quarantined"), "the quarantine")[0]["details"]["provider"] == "bad"
    assert wait_until(lambda: found("event.guessing"), "the guessing")[0]["subject"] == "network/127.0.0.1"


def test_what_makes_no_sense_is_refused_and_changes_nothing(gw):
    good = {"kind": "webhook", "place": "https://a.example/x", "secret": SECRET}
    token, auditor = gw.token("--role", "operator"), gw.token("--role", "auditor")
    for change in ({"kind": "pigeon"}, {"place": "http://a.example/"}, {"severity": "awful"}, {"group_seconds": 4000}, {"again_seconds": 1}, {"escalate_to": "nobody"}, {"escalate_to": "c"},
                   {"escalate_seconds": 60}, {"from": "a@b"}, {"secret": None}, {"secret": "a b"}, {"unknown": 1}, {"acts": ["x" * 65]}, {"kind": "email"}, {"kind": "command", "place": "a/b", "secret": None}):
        document = {k: v for k, v in {**good, **change}.items() if v is not None}
        status, answer = gw.call("PUT", "/v1/alert-channels/c", token, document)
        assert status in (400, 404) and answer["title"], (change, status, answer)
    assert gw.call("GET", "/v1/alert-channels", token)[1] == []
    assert gw.call("PUT", "/v1/alert-channels/c", auditor, good)[0] in (404, 405)
    for document in ({"until": "2100-01-01T00:00:00Z", "reason": "r", "act": "x"}, {"until": "2001-01-01T00:00:00Z", "reason": "r", "act": "x"}, {"until": "soon", "reason": "r", "act": "x"},
                     {"until": "2100-01-01T00:00:00Z", "reason": "r"}, {"act": "x", "reason": "r"}):
        assert gw.call("PUT", "/v1/silences/s", token, document)[0] == 400, document
    assert gw.call("POST", "/v1/alerts/nothing/resolve", token)[0] == 404 and gw.call("POST", "/v1/alert-channels/nothing/test", token)[0] == 404
    assert gw.call("GET", "/v1/alerts?state=great", token)[0] == 400
    assert "brought nowhere" in gw.cli("alert", "test", check=False).stderr
