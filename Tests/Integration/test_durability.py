"""kill -9 at any moment of a write loop loses nothing that was acknowledged."""
import json, os, random, signal, socket, threading, time

import pytest
from conftest import DEADLINE, Gateway, Upstream, cli, ok, post, raw, split

ROUNDS = 25


def admin(path, method, target, body=b""):
    """One request over the admin socket: (status, document)."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE)
        s.connect(str(path / "admin.sock"))
        s.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        out = b""
        while piece := s.recv(65536):
            out += piece
        status, headers, text = split(out)
        if len(text) != int(headers.get("content-length", 0)):
            raise ConnectionError("cut short")
        return status, json.loads(text) if text else None


def test_no_acknowledged_write_is_lost(running):
    gw = running(Gateway)
    r = random.Random(7)
    created, revoked, secrets = set(), set(), {}
    for n in range(ROUNDS):
        stop = threading.Event()

        def write():
            while not stop.is_set():
                try:
                    if created - revoked and r.random() < 0.3:
                        id_ = r.choice(sorted(created - revoked))
                        status, _ = admin(gw.data, "POST", f"/v1/keys/{id_}/revoke")
                        if status == 200:
                            revoked.add(id_)
                    else:
                        status, made = admin(gw.data, "POST", "/v1/keys", b'{"name":"n","policy":{"providers":["openai"]}}')
                        if status == 201:
                            created.add(made["key"]["id"])
                            secrets[made["key"]["id"]] = made["masked_key"]
                except (OSError, ConnectionError, ValueError, IndexError):
                    return

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(r.uniform(0.005, 0.12))
        os.kill(gw.pid, signal.SIGKILL)
        gw.child.wait()
        stop.set()
        writer.join()
        gw.start()
        states = {k["id"]: k["state"] for k in json.loads(gw.cli("key", "list", "--json"))}
        assert created <= set(states), f"round {n}: {created - set(states)} lost"
        assert all(states[i] == "revoked" for i in revoked), f"round {n}: a revocation was lost"
        assert "tampered" not in states.values()
        # A write that was not acknowledged may have happened; only what happened is there, and whole.
        created |= set(states)
        revoked |= {i for i, s in states.items() if s == "revoked"}
    assert len(created) > ROUNDS and len(revoked) > ROUNDS / 4
    for id_ in list(secrets)[:: max(1, len(secrets) // 20)]:
        answer = split(raw(gw.port, post("/openai/v1/chat/completions", secrets[id_])))
        assert answer[0] == (401 if id_ in revoked else 503), answer  # 503: known, but no provider key


@pytest.mark.parametrize("flush", [60_000, 50])
def test_a_kill_loses_no_finished_requests_record_and_keeps_none_twice(running, tmp_path, flush):
    """With a minute between flushes nothing is in the store when it is killed; with 50 ms, some is."""
    gw = running(Gateway, running(Upstream, ok()).url, config=f"activity:\n  flush_ms: {flush}\n")
    key = gw.key()
    expected = []
    for round_ in range(3):
        for n in range(40):
            raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m-%d-%d"}' % (round_, n)))
            expected.append(f"m-{round_}-{n}")
        os.kill(gw.pid, signal.SIGKILL)
        gw.child.wait()
        gw.start()
        # The record of the last request is made when its last byte is out: it may be a moment late, and is the only one that may.
        found = sorted(e["model"] for e in gw.activity("--limit", "1000"))
        assert found in (sorted(expected), sorted(expected[:-1])), set(expected) ^ set(found)
        expected = found
    assert list(gw.data.glob("activity-*.spool")) and gw.stop() == 0
    assert not list(gw.data.glob("activity-*.spool"))


def test_a_spool_that_is_nonsense_is_no_reason_not_to_start(running):
    gw = running(Gateway, running(Upstream, ok()).url)
    size = next(gw.data.glob("activity-*.spool")).stat().st_size
    os.kill(gw.pid, signal.SIGKILL)
    gw.child.wait()
    r = random.Random(3)
    (gw.data / "activity-0.spool").write_bytes(b"MSPOOL01" + r.randbytes(size - 8))
    (gw.data / "activity-1.spool").write_bytes(b"short")
    (gw.data / "activity-7.spool").write_bytes(r.randbytes(size))
    gw.start()
    assert split(raw(gw.port, post("/up/v1/chat/completions", gw.key())))[0] == 200
