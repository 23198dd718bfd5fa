"""Masked keys get new secrets and lose them: by hand, over the command line, with real processes and open streams."""
import json

import pytest
from conftest import Gateway, Upstream, ok, post, raw, split, wait_until
from streams import SlowProvider, admin, revoke_under_load

CHAT = "/up/v1/chat/completions"


@pytest.fixture
def gw(running):
    return running(Gateway, running(Upstream, ok()).url)


def status(gw, key):
    answer, _, body = split(raw(gw.port, post(CHAT, key)))
    return (answer, json.loads(body)["error"]["code"]) if answer >= 400 else (answer, None)


def key_id(text):
    return text.split("_")[1]


class TestRotation:
    def test_old_and_new_work_in_the_grace_period_and_the_old_is_shown(self, gw):
        old = gw.key()
        new = gw.cli("key", "rotate", key_id(old))
        assert key_id(new) == key_id(old) and new != old
        assert status(gw, old) == status(gw, new) == (200, None)
        shown = gw.cli("key", "show", key_id(old))
        assert "version 2" in shown and "version 1" in shown and "in_grace" in shown
        versions = {row["key_version"] for row in gw.activity("--key", key_id(old))}
        assert versions == {1, 2}

    def test_without_grace_the_old_is_refused_and_recorded_under_its_key(self, gw):
        old = gw.key()
        new = gw.cli("key", "rotate", key_id(old), "--grace", "0")
        assert status(gw, old) == (401, "retired_version") and status(gw, new) == (200, None)
        refused = [r for r in gw.activity("--key", key_id(old)) if r["code"] == "retired_version"]
        assert len(refused) == 1 and refused[0]["key_version"] == 1 and refused[0]["address"] == "127.0.0.1"

    def test_it_outlives_kill_9(self, gw):
        old = gw.key()
        new = gw.cli("key", "rotate", key_id(old), "--grace", "0")
        gw.stop(9)
        gw.start()
        assert status(gw, old) == (401, "retired_version") and status(gw, new) == (200, None)

    def test_a_request_id_makes_it_repeatable(self, gw):
        key = gw.key()
        once = gw.cli("key", "rotate", key_id(key), "--request-id", "deploy-7")
        assert gw.cli("key", "rotate", key_id(key), "--request-id", "deploy-7") == once
        assert json.loads(gw.cli("key", "show", key_id(key), "--json"))["version"] == 2

    @pytest.mark.parametrize("arguments, says", [
        (["--grace", "soon"], "no length of time"), (["--grace", "91d"], "grace period"), (["--request-id", ""], "request ID"),
    ])
    def test_bad_wishes_are_refused_and_rotate_nothing(self, gw, arguments, says):
        key = gw.key()
        done = gw.cli("key", "rotate", key_id(key), *arguments, check=False)
        assert done.returncode != 0 and says in done.stderr and status(gw, key) == (200, None)
        assert json.loads(gw.cli("key", "show", key_id(key), "--json"))["version"] == 1

    @pytest.mark.parametrize("target, document", [
        ("rotate", {"grace_seconds": -1}), ("rotate", {"grace": 1}), ("rotate", {"request_id": 5}), ("revoke", {"why": "x"}), ("disable", {"reason": ""}),
    ])
    def test_the_management_side_refuses_what_it_does_not_know(self, gw, target, document):
        key = gw.key()
        answer, problem = admin(gw.data, "POST", f"/v1/keys/{key_id(key)}/{target}", document)
        assert answer == 400 and problem["code"] == "invalid_input" and status(gw, key) == (200, None)


class TestStates:
    def test_why_a_key_is_disabled_is_shown(self, gw):
        key = gw.key()
        gw.cli("key", "disable", key_id(key), "--reason", "owner left")
        assert status(gw, key) == (401, "disabled_key") and "owner left" in gw.cli("key", "show", key_id(key))
        gw.cli("key", "enable", key_id(key))
        assert status(gw, key) == (200, None) and "owner left" not in gw.cli("key", "show", key_id(key))

    def test_a_destroyed_key_is_unknown_and_stays_listed(self, gw):
        key = gw.key()
        assert gw.cli("key", "destroy", key_id(key), check=False).returncode != 0
        gw.cli("key", "revoke", key_id(key))
        assert status(gw, key) == (401, "revoked_key")
        gw.cli("key", "destroy", key_id(key))
        assert status(gw, key) == (401, "unknown_key") and "destroyed" in gw.cli("key", "list")
        gw.stop(9)
        gw.start()
        assert status(gw, key) == (401, "unknown_key")

    def test_a_decoy_answers_like_an_unknown_key_and_is_recorded_as_what_it_is(self, gw):
        key = gw.key("--provider", "*", "--decoy")
        assert status(gw, key) == (401, "unknown_key")
        assert [r["code"] for r in gw.activity("--key", key_id(key))] == ["decoy_key"]

    def test_a_throttled_key_has_so_many_requests_a_minute(self, gw):
        key = gw.key()
        gw.cli("key", "throttle", key_id(key), "--per-minute", "2")
        assert [status(gw, key)[0] for _ in range(3)] == [200, 200, 429]
        gw.cli("key", "throttle", key_id(key))
        assert status(gw, key) == (200, None)


class TestRevocation:
    def test_by_tag_with_a_receipt_and_a_rehearsal_first(self, gw):
        ours, theirs = gw.key("--provider", "*", "--tag", "ci"), gw.key()
        rehearsal = json.loads(gw.cli("revoke", "--tag", "ci", "--reason", "leak", "--rehearse", "--json"))
        assert rehearsal["revoked"] == [key_id(ours)] and rehearsal["rehearsal"] and status(gw, ours) == (200, None)
        receipt = json.loads(gw.cli("revoke", "--tag", "ci", "--reason", "leak", "--json"))
        assert receipt["revoked"] == [key_id(ours)] and receipt["acknowledged"] == [{"event_loops": 2, "node": "this"}] and not receipt["outstanding"]
        assert status(gw, ours) == (401, "revoked_key") and status(gw, theirs) == (200, None)
        acts = json.loads(gw.cli("audit", "list", "--act", "revoke", "--json"))
        assert [(a["subject"], a["details"]["reason"], a["details"]["receipt"]) for a in acts] == [(f"key/{key_id(ours)}", "leak", receipt["receipt"])]

    def test_by_version(self, gw):
        old = gw.key()
        new = gw.cli("key", "rotate", key_id(old))
        gw.cli("revoke", "--key", key_id(old), "--version", "1", "--reason", "old laptop")
        assert status(gw, old) == (401, "retired_version") and status(gw, new) == (200, None)

    def test_by_team_and_everything_before(self, gw):
        gw.cli("team", "set", "red", "--provider", "*")
        red, blue = gw.key("--team", "red"), gw.key()
        gw.cli("revoke", "--team", "red", "--reason", "r")
        assert status(gw, red) == (401, "revoked_key") and status(gw, blue) == (200, None)
        gw.cli("revoke", "--issued-before", "2999-01-01", "--reason", "r")
        assert status(gw, blue) == (401, "revoked_key")

    def test_a_provider_key_is_taken_out_of_use_and_back(self, gw):
        key = gw.key()
        own = next(k["id"] for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["provider"] == "up")
        gw.cli("revoke", "--provider-key", own, "--reason", "pasted in a chat")
        assert status(gw, key) == (503, "no_provider_key")
        listed = next(k for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["id"] == own)
        assert listed["state"] == "disabled" and listed["reason"] == "pasted in a chat"
        # Other changes to it do not bring it back, nor does a restart.
        gw.cli("provider-key", "set", own, "--weight", "2")
        gw.stop(9)
        gw.start()
        assert status(gw, key) == (503, "no_provider_key")
        gw.cli("provider-key", "enable", own)
        assert status(gw, key) == (200, None)

    @pytest.mark.parametrize("arguments, says", [
        (["--reason", "r"], "not said"), (["--everything"], "--reason"), (["--everything", "--tag", "a", "--reason", "r"], "everything"),
        (["--key", "ZZZZZZZZZZZZ", "--reason", "r"], "no key"), (["--key", "short", "--reason", "r"], "no ID"), (["--team", "x", "--reason", "r"], "no team"),
        (["--issued-before", "yesterday", "--reason", "r"], "time"), (["--provider-key", "ZZZZZZZZZZZZ", "--reason", "r"], "no provider key"),
    ])
    def test_what_is_unclear_revokes_nothing(self, gw, arguments, says):
        key = gw.key()
        done = gw.cli("revoke", *arguments, check=False)
        assert done.returncode != 0 and says in done.stderr and status(gw, key) == (200, None)

    def test_a_thousand_streams_are_cut_with_an_error_event_and_nothing_is_admitted_afterwards(self, running, capsys):
        slow = SlowProvider()
        gw = running(Gateway, slow.url)
        keys = gw.key("--provider", "*", "--tag", "load", "--count", "1000").split("\n")
        spared = gw.key()
        receipt, times, tails, answers, _ = revoke_under_load(gw.port, gw.data, "up", keys, {"tag": "load"})
        assert len(receipt["revoked"]) == 1000 and len(times) == 1000
        for tail in tails:
            assert b"revoked_key" in tail and tail.endswith(b"0\r\n\r\n"), tail
        for answer in answers:
            assert answer.startswith(b"HTTP/1.1 401") and b"revoked_key" in answer
        assert status_of(gw, spared) == 200
        times.sort()
        with capsys.disabled():
            print(f"\n  1,000 streams: last byte after {times[500] * 1000:.0f} ms (median), {times[989] * 1000:.0f} ms (p99)")
        wait_until(lambda: slow.open <= 1, "the provider's streams to be let go")
        slow.close()


def status_of(gw, key):
    """The status of a stream that goes on."""
    import socket
    from streams import request
    with socket.create_connection(("127.0.0.1", gw.port), 20) as s:
        s.sendall(request("up", key))
        return int(s.recv(4096).split()[1])
