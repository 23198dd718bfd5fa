"""Content capture: off unless somebody asked for it, sealed, shown as on, and read only by being written down."""
import json, sqlite3

import pytest
from conftest import Upstream, ok, post, raw, split, wait_until
from test_admin import Managed, gw  # noqa: F401: a fixture
from test_rotation import key_id

PROMPT = "a prompt that nobody else may read 4711"
ANSWER = json.dumps({"id": "x", "choices": [{"message": {"role": "assistant", "content": "an answer that nobody else may read 4712"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()


@pytest.fixture
def gw(running, tmp_path):
    gateway = running(lambda: Managed(tmp_path, running(Upstream, ok(ANSWER)).url))
    gateway.cli("team", "set", "red", "--provider", "up")
    return gateway


def ask(gw, key):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}]}).encode()
    status, _, answer = split(raw(gw.port, post("/up/v1/chat/completions", key, body)))
    assert status == 200 and answer == ANSWER
    return body


def captures(gw, *args):
    return json.loads(gw.cli("capture", "list", "--json", *args))


def on_disk(gw, text):
    return any(text.encode() in path.read_bytes() for path in gw.data.iterdir() if path.is_file())


def test_nothing_is_kept_unless_it_was_asked_for_and_then_only_of_that_key(gw):
    watched, other = gw.key(), gw.key()
    ask(gw, watched), ask(gw, other)
    assert captures(gw) == [] and not on_disk(gw, PROMPT)
    id = key_id(watched)
    gw.cli("key", "capture", id, "--for", "1h", "--reason", "a complaint")
    body = ask(gw, watched)
    ask(gw, other)
    kept = wait_until(lambda: captures(gw), "the capture")
    assert [c["key"] for c in kept] == [id] and captures(gw, "--key", key_id(other)) == []
    # Sealed: neither the store nor its log has a word of it.
    assert not on_disk(gw, PROMPT) and not on_disk(gw, "4712")
    shown = json.loads(gw.cli("capture", "show", str(kept[0]["number"]), "--json"))
    assert shown["request"].encode() == body and shown["answer"].encode() == ANSWER and shown["status"] == 200 and shown["cut"] is False
    acts = {e["act"]: e for e in json.loads(gw.cli("audit", "list", "--act", "capture", "--json"))}
    assert acts["capture.read"]["subject"] == f"capture/{kept[0]['number']}" and acts["capture.start"]["details"]["reason"] == "a complaint"
    # It is shown as on, and ends when it is told to.
    assert json.loads(gw.cli("key", "show", id, "--json"))["captures_until"] and "captures_until" not in json.loads(gw.cli("key", "show", key_id(other), "--json"))
    gw.cli("key", "capture", id, "--off", "--reason", "seen")
    ask(gw, watched)
    assert len(captures(gw)) == 1
    gw.cli("capture", "delete", id)
    assert captures(gw) == []
    assert PROMPT not in gw.output and "4712" not in gw.output


def test_streams_are_captured_and_long_ones_cut(running, tmp_path):
    event = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * 900)

    def play(s, request):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            s.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        s.sendall(b"0\r\n\r\n")

    gw = running(lambda: Managed(tmp_path, running(Upstream, play).url))
    key = gw.key()
    gw.cli("key", "capture", key_id(key), "--for", "10m", "--reason", "r")
    status, _, body = split(raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m","stream":true}')))
    number = wait_until(lambda: captures(gw), "the capture")[0]["number"]
    shown = json.loads(gw.cli("capture", "show", str(number), "--json"))
    assert shown["cut"] and len(shown["answer"]) == 128 * 1024 and shown["answer"].startswith('data: {"choices"')


def test_what_was_sealed_opens_after_new_keys_and_not_after_an_edit(gw):
    key = gw.key()
    gw.cli("key", "capture", key_id(key), "--for", "1h", "--reason", "r")
    ask(gw, key), ask(gw, key)
    first, second = sorted(c["number"] for c in wait_until(lambda: len(captures(gw)) == 2 and captures(gw), "both"))
    gw.cli("vault", "rotate-data")
    wait_until(lambda: json.loads(gw.cli("vault", "status", "--json"))["outdated_records"] == 0, "all to be sealed again")
    gw.cli("vault", "retire")
    assert PROMPT in json.loads(gw.cli("capture", "show", str(first), "--json"))["request"]
    gw.stop()
    with sqlite3.connect(gw.data / "maskllm.db") as db:
        # The same content under the name of another key.
        db.execute("UPDATE capture SET key_id = 'AAAAAAAAAAAA' WHERE number = ?", (second,))
    db.close()
    gw.start()
    done = gw.cli("capture", "show", str(second), check=False)
    assert done.returncode != 0 and PROMPT not in done.stdout


def test_only_owners_and_who_was_given_it_may_and_nonsense_is_refused(gw):
    id = key_id(gw.key("--team", "red"))
    soon = json.loads(gw.cli("key", "capture", id, "--for", "1h", "--reason", "r", "--json"))["captures_until"]
    for role in (["operator"], ["auditor"], ["developer", "--team", "red"]):
        token = gw.token("--role", *role)
        assert gw.call("GET", "/v1/captures", token)[0] == 404 and gw.call("PUT", f"/v1/keys/{id}/capture", token, {"until": soon, "reason": "r"})[0] == 404
    token = gw.token("--role", "custom", "--grant", "read:captures")
    assert gw.call("GET", "/v1/captures", token) == (200, [])
    owner = gw.token("--role", "owner")
    for document in ({"until": "2100-01-01T00:00:00Z", "reason": "r"}, {"until": "2001-01-01T00:00:00Z", "reason": "r"}, {"until": soon}, {"until": "soon", "reason": "r"}, {"until": soon, "reason": ""}):
        assert gw.call("PUT", f"/v1/keys/{id}/capture", owner, document)[0] == 400, document
    assert gw.call("GET", "/v1/captures/1", owner)[0] == 404 and gw.call("GET", "/v1/captures/x", owner)[0] == 404
    assert gw.call("PUT", "/v1/keys/AAAAAAAAAAAA/capture", owner, {"until": soon, "reason": "r"})[0] == 404
    for words in (["--for", "1h"], ["--for", "8d", "--reason", "r"], ["--for", "1h", "--off", "--reason", "r"], ["--reason", "r"]):
        assert gw.cli("key", "capture", id, *words, check=False).returncode != 0, words
