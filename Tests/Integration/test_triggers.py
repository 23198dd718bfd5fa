"""Triggers on real traffic: what is seen is told, what is live is done, what is in shadow is not, and a replay of the record says the same."""
import json, socket

import pytest
from conftest import DEMO_KEY, Gateway, Upstream, ok, post, raw, split, wait_until
from streams import admin
from test_rotation import key_id, status

CHAT = "/up/v1/chat/completions"


@pytest.fixture
def gw(running):
    return running(Gateway, running(Upstream, ok(b'{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}')).url)


def events(gw, act="event.trigger"):
    return [(e["details"]["trigger"], e["subject"], e["details"]["because"]) for e in reversed(json.loads(gw.cli("audit", "list", "--act", act, "--limit", "1000", "--json")))]


def send(gw, key, model="gpt-4o", source="127.0.0.1"):
    with socket.create_connection(("127.0.0.1", gw.port), 20, source_address=(source, 0)) as s:
        s.sendall(post(CHAT, key, json.dumps({"model": model}).encode()))
        out = b""
        while piece := s.recv(65536):
            out += piece
        return split(out)[0]


def told(gw, trigger, key):
    return wait_until(lambda: [e for e in events(gw) if e[0] == trigger and e[1] == f"key/{key_id(key)}"], f"'{trigger}' to be told")


def state(gw, key):
    shown = json.loads(gw.cli("key", "show", key_id(key), "--json"))
    return shown["state"], shown.get("reason", "")


def test_what_ships_only_reports(gw):
    listed = json.loads(gw.cli("trigger", "list", "--json"))
    assert len(listed) == 13 and all(t["shadow"] and t["source"] == "shipped" for t in listed)


def test_a_secret_after_its_grace_disables_the_key_and_can_be_undone(gw):
    gw.cli("trigger", "set", "used-after-grace", "--then", "disable", "--live")
    old = gw.key()
    new = gw.cli("key", "rotate", key_id(old), "--grace", "0")
    assert status(gw, old) == (401, "retired_version")
    wait_until(lambda: state(gw, old)[0] == "disabled", "the key to be disabled")
    assert "used-after-grace: version 1 was used from 127.0.0.1" in state(gw, old)[1] and status(gw, new) == (401, "disabled_key")
    gw.cli("key", "enable", key_id(old))
    assert status(gw, new) == (200, None)


def test_a_touched_decoy_is_told(gw):
    decoy = gw.key("--provider", "*", "--decoy")
    send(gw, decoy)
    assert "127.0.0.1" in told(gw, "decoy-used", decoy)[0][2]


def test_a_new_network_and_a_new_model(gw):
    for name in ("new-network", "new-model"):
        gw.cli("trigger", "set", name, "--learn-days", "0")
    key = gw.key()
    send(gw, key)
    gw.activity()  # judged now: two loops hand over in no order
    assert send(gw, key, source="127.0.1.5") == 200
    assert told(gw, "new-network", key)[0][2] == "used from 127.0.1.0 for the first time"
    assert send(gw, key, model="o3-pro") == 200
    assert told(gw, "new-model", key)[0][2] == "asked for 'o3-pro' for the first time"


def test_refusals_throttle_the_key(gw):
    gw.cli("trigger", "set", "refusals", "--count", "5", "--then", "throttle", "--per-minute", "1", "--live")
    key = gw.key("--provider", "up", "--model", "gpt-4o")
    for _ in range(5):
        send(gw, key, model="other")
    wait_until(lambda: json.loads(gw.cli("key", "show", key_id(key), "--json")).get("throttled_to") == 1, "the key to be throttled")
    assert sorted(send(gw, key) for _ in range(3)) == [200, 429, 429]


def test_an_empty_budget_revokes_where_that_is_asked_for(gw):
    gw.cli("trigger", "set", "budget-reached", "--then", "revoke", "--live")
    gw.cli("price", "set", "up", "m", "--input", "1", "--output", "1")
    key = gw.key()
    gw.cli("budget", "set", "b", "--usd", "0.000001", "--key", key_id(key))
    with_budget = post(CHAT, key, b'{"model":"m","max_tokens":1000,"messages":[]}')
    assert split(raw(gw.port, with_budget))[0] == 402
    wait_until(lambda: state(gw, key)[0] == "revoked", "the key to be revoked")


def test_a_refused_provider_key_is_taken_out_of_use(running):
    def play(s, request):
        good = request["headers"]["authorization"].endswith("another")
        ok()(s, request) if good else s.sendall(b"HTTP/1.1 401 -\r\nContent-Length: 0\r\n\r\n")

    gw = running(Gateway, running(Upstream, play).url)
    gw.cli("provider-key", "add", "up", "--name", "second", input="sk-made-up-another\n")
    gw.cli("trigger", "set", "provider-key-refused", "--live")
    key = gw.key()
    for _ in range(4):
        assert send(gw, key) == 200
    keys = lambda: {k["name"]: k for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["provider"] == "up"}
    wait_until(lambda: keys()["default"]["state"] == "disabled", "the provider key to be disabled")
    assert "provider-key-refused" in keys()["default"]["reason"] and keys()["second"]["state"] == "usable"


def test_a_replay_of_the_record_says_what_was_said(gw):
    for name in ("new-network", "new-model"):
        gw.cli("trigger", "set", name, "--learn-days", "0")
    gw.cli("trigger", "set", "refusals", "--count", "3")
    old, decoy = gw.key(), gw.key("--provider", "*", "--decoy")
    narrow = gw.key("--provider", "up", "--model", "gpt-4o")
    new = gw.cli("key", "rotate", key_id(old), "--grace", "0")
    for key, model, source in [(new, "a", "127.0.0.1"), (new, "b", "127.0.0.1"), (old, "a", "127.0.0.1"), (new, "a", "127.0.2.1"), (decoy, "a", "127.0.0.1"),
                               (narrow, "x", "127.0.0.1"), (narrow, "x", "127.0.0.1"), (narrow, "x", "127.0.0.1")]:
        send(gw, key, model, source)
        gw.activity()  # judged now: two loops hand over in no order
    admin(gw.data, "POST", "/v1/leaks", [{"token": new, "url": "a paste"}])
    wait_until(lambda: len(events(gw)) >= 6, "six things to be told")
    said = sorted(events(gw))
    assert {t for t, _, _ in said} == {"new-network", "new-model", "refusals", "used-after-grace", "decoy-used", "leaked"}
    replayed = json.loads(gw.cli("trigger", "replay", "--json"))
    assert sorted((v["trigger"], f"key/{v['key']}", v["because"]) for v in replayed) == said
    # After a crash the record is gone on with, and nothing is said twice.
    gw.stop(9)
    gw.start()
    send(gw, new, "a", "127.0.2.1")
    gw.cli("key", "show", key_id(new))
    assert sorted(events(gw)) == said
    # A trigger that is not set can be tried on the past.
    tried = json.loads(gw.cli("trigger", "replay", "--when", "refusals", "--count", "2", "--json"))
    assert [(v["trigger"], v["key"]) for v in tried] == [("asked", key_id(narrow))]


@pytest.mark.parametrize("arguments, says", [
    (["x"], "'when' is missing"), (["x", "--when", "moon"], "no such condition"), (["refusals", "--then", "panic"], "no such action"), (["refusals", "--days", "3"], "means nothing"),
    (["refusals", "--live", "--shadow"], "do not go together"), (["refusals", "--then", "throttle", "--live"], "per_minute"), (["X Y", "--when", "refusals"], "no name"),
    (["refusals", "--count", "0"], "--count"), (["provider-key-refused", "--then", "revoke"], "provider key"),
])
def test_a_trigger_that_means_nothing_is_refused(gw, arguments, says):
    done = gw.cli("trigger", "set", *arguments, check=False)
    assert done.returncode != 0 and says in done.stderr
    assert all(t["source"] == "shipped" for t in json.loads(gw.cli("trigger", "list", "--json")))


def test_a_trigger_of_ones_own_is_removed_and_the_shipped_one_is_back(gw):
    gw.cli("trigger", "set", "refusals", "--count", "7", "--live")
    gw.stop()
    gw.start()
    find = lambda: next(t for t in json.loads(gw.cli("trigger", "list", "--json")) if t["name"] == "refusals")
    assert (find()["count"], find()["shadow"], find()["source"]) == (7, False, "own")
    gw.cli("trigger", "remove", "refusals")
    assert (find()["count"], find()["shadow"], find()["source"]) == (60, True, "shipped")
    assert gw.cli("trigger", "remove", "refusals", check=False).returncode != 0
