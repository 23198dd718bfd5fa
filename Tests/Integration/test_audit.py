"""The record of acts: nobody changes it without being found, and what cannot be written down is not done."""
import base64, hashlib, hmac, json, os, pathlib, re, shutil, sqlite3, struct, subprocess, threading

import pytest
from conftest import BINARY, Upstream, cli, ok, post, raw, split, wait_until
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from test_admin import Managed, gw  # noqa: F401: a fixture


def field(*parts):
    """What docs/audit.md calls a row of fields."""
    out = b""
    for part in parts:
        part = struct.pack(">q", part) if isinstance(part, int) else part if isinstance(part, bytes) else part.encode()
        out += struct.pack(">I", len(part)) + part
    return out


def milliseconds(text):
    import datetime
    moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return round(moment.timestamp() * 1000)


def independent(lines, key):
    """The same verification written once more from docs/audit.md, with another library."""
    head, *entries, end = [json.loads(line) for line in lines]
    log, before, key = head["log"], b"\0" * 32, Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    for number, e in enumerate(entries, 1):
        assert e["number"] == number
        details = [part for name in sorted(e["details"], key=str.encode) for part in (name, e["details"][name])]
        digest = hashlib.sha256(field("maskllm/audit/1", log, before, number, milliseconds(e["at"]), e["actor"], e["act"], e["subject"], *details)).digest()
        assert digest.hex() == e["hash"], e
        key.verify(bytes.fromhex(e["signature"]), field("maskllm/audit-signature/1", log, number, digest))
        before = digest
        if e["act"] == "audit.key":
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(e["details"]["public_key"]))
    assert end["end"] == len(entries) and end["hash"] == before.hex()
    key.verify(bytes.fromhex(end["signature"]), field("maskllm/audit-end/1", log, len(entries), before, milliseconds(end["at"])))
    return len(entries)


def verify(folder, *args):
    """The verifier alone: no data directory, no environment, no server."""
    return subprocess.run([BINARY, "audit", "verify", *map(str, args)], cwd=folder, env={}, capture_output=True, text=True, timeout=60)


def state(gw):
    return json.loads(gw.cli("audit", "state", "--json"))


@pytest.fixture
def written(gw):
    """A gateway that has done some things."""
    for n in range(12):
        gw.cli("key", "create", "--name", f"key \"{n}\" é", "--provider", "up")
    gw.cli("revoke", "--everything", "--reason", "a drill \\ it = said | so")
    return gw


def test_an_export_is_verified_with_nothing_but_the_file_and_the_key(written, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    export = written.cli("audit", "export") + "\n"
    (folder / "record.jsonl").write_text(export)
    key = state(written)["first_public_key"]
    (folder / "key").write_text(key + "\n")
    done = verify(folder, "record.jsonl", "--key", key)
    count = len(export.splitlines()) - 2
    assert done.returncode == 0 and f"all {count} entries" in done.stdout, done
    assert verify(folder, "record.jsonl", "--key-file", "key").returncode == 0
    assert independent(export.splitlines(), key) == count and '"act":"vault.unseal"' in export
    lines = export.splitlines()
    shuffled = lines[:5] + [lines[6], lines[5]] + lines[7:]
    for name, changed, bad in [("edited", [l.replace("a drill", "a drall") for l in lines], next(i for i, l in enumerate(lines) if "a drill" in l)),
                               ("deleted", lines[:4] + lines[5:], 4), ("reordered", shuffled, 5), ("cut", lines[:9], 9), ("without its end", lines[:-1], count + 1)]:
        (folder / "changed.jsonl").write_text("\n".join(changed) + "\n")
        done = verify(folder, "changed.jsonl", "--key", key)
        assert done.returncode != 0 and f"entry {bad}:" in done.stderr, (name, done)
        assert bad == 1 or "the entries before it are as they were written" in done.stderr
        with pytest.raises((AssertionError, InvalidSignature, KeyError, ValueError)):
            independent(changed, key)
    for wrong in ("00" * 32, "xyz", ""):
        assert verify(folder, "record.jsonl", "--key", wrong).returncode != 0
    assert "cannot be read" in verify(folder, "nowhere", "--key", key).stderr
    (folder / "empty").write_text("")
    assert "the file is empty" in verify(folder, "empty", "--key", key).stderr


def test_the_end_of_the_record_cannot_be_cut_off_unseen_where_checkpoints_are_kept(written, tmp_path):
    last = state(written)["last_number"]
    wait_until(lambda: state(written)["checkpointed"] == last, "the checkpoint")
    places = written.data / "audit-checkpoints.jsonl"
    assert places.stat().st_mode & 0o777 == 0o600
    witness = tmp_path / "witness.jsonl"
    shutil.copy(places, witness)
    key = state(written)["first_public_key"]
    record = tmp_path / "record.jsonl"
    record.write_text(written.cli("audit", "export") + "\n")
    assert verify(tmp_path, record, "--key", key, "--checkpoints", witness).returncode == 0
    written.stop()
    with sqlite3.connect(written.data / "maskllm.db") as db:
        db.execute("DELETE FROM audit WHERE number > ?", (last - 2,))
    db.close()
    written.start()
    # It was signed by the right key, since the server signs what it has: alone, the file looks well.
    record.write_text(written.cli("audit", "export") + "\n")
    assert verify(tmp_path, record, "--key", key).returncode == 0
    done = verify(tmp_path, record, "--key", key, "--checkpoints", witness)
    assert done.returncode != 0 and re.search(rf"entry ({last - 1}|{last}): (it is missing|another entry had this number)", done.stderr), done
    # The server has the second place, too.
    found = wait_until(lambda: [e for e in json.loads(written.cli("audit", "list", "--json")) if e["act"] == "event.audit_broken"], "the server to find it")
    assert found[0]["details"]["number"] in (str(last - 1), str(last)) and state(written)["broken_at"] in (last - 1, last)


def test_an_edit_in_the_database_is_found_by_the_server(written):
    wait_until(lambda: state(written).get("verified_at"), "the chain to be followed")
    written.stop()
    with sqlite3.connect(written.data / "maskllm.db") as db:
        db.execute("UPDATE audit SET actor = 'nobody' WHERE number = 7")
    db.close()
    written.start()
    wait_until(lambda: state(written).get("broken_at") == 7, "the server to find it")
    done = written.cli("audit", "state", "--verify", check=False)
    assert done.returncode != 0 and "BROKEN at entry 7" in done.stdout


def test_checkpoints_go_to_a_signed_webhook_and_come_again_when_it_was_away(running, tmp_path):
    secret = tmp_path / "witness-secret"
    secret.write_text("made-up-witness-secret-0123456789\n")
    secret.chmod(0o600)
    state_of = {"status": 500}

    def play(s, request):
        s.sendall(f"HTTP/1.1 {state_of['status']} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        return False

    witness = running(Upstream, play)
    gw = running(lambda: Managed(tmp_path, running(Upstream, ok()).url, config=f"audit:\n  checkpoint_url: {witness.url}/w\n  checkpoint_secret_file: {secret}\n"))
    wait_until(lambda: "answered 500" in (state(gw).get("checkpoint_trouble") or ""), "the trouble to be shown")
    gw.says("audit checkpoints: the second place answered 500")
    # What is written down is written down all the same.
    gw.key()
    state_of["status"] = 204
    last = state(gw)["last_number"]
    wait_until(lambda: state(gw)["checkpointed"] == last and not state(gw).get("checkpoint_trouble"), "the checkpoint to be brought")
    message = witness.requests[-1]
    assert json.loads(message["body"])["number"] == last
    signed = f"{message['headers']['webhook-id']}.{message['headers']['webhook-timestamp']}.".encode() + message["body"]
    expected = base64.b64encode(hmac.new(b"made-up-witness-secret-0123456789", signed, hashlib.sha256).digest()).decode()
    assert message["headers"]["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("config, complaint", [
    ("checkpoint_url: https://w.example", "needs 'audit.checkpoint_secret_file'"), ("checkpoint_url: nothing\n  checkpoint_secret_file: x", "is no URL"),
    ("checkpoint_syslog: maybe", "true or false"), ("checkpoints: x", "audit.checkpoints"), ("checkpoint_file: /nowhere/at/all", None)])
def test_a_second_place_that_cannot_be_used_is_said(running, tmp_path, config, complaint):
    data = tmp_path / "data"
    cli(data, "init")
    (data / "maskllm.yaml").write_text(f"audit:\n  {config}\n")
    if complaint:
        done = cli(data, "serve", "--listen", "127.0.0.1:0", check=False)
        assert done.returncode != 0 and complaint in done.stderr
    else:
        server = running(lambda: Managed(tmp_path, config=f"audit:\n  {config}\n"))
        server.says("/nowhere/at/all cannot be written")


def test_where_nothing_can_be_written_down_nothing_is_done_and_requests_go_on(running, tmp_path):
    up = running(Upstream, ok())
    gw = running(lambda: Managed(tmp_path, up.url))
    key = gw.key()
    held = sqlite3.connect(gw.data / "maskllm.db", isolation_level=None, timeout=20)
    held.execute("CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
    held.close()
    done = gw.cli("key", "create", "--name", "n", "--provider", "up", check=False)
    assert done.returncode != 0 and not done.stdout
    done = gw.cli("revoke", "--everything", "--reason", "r", check=False)
    assert done.returncode != 0
    assert split(raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m"}')))[0] == 200
    held = sqlite3.connect(gw.data / "maskllm.db", isolation_level=None, timeout=20)
    held.execute("DROP TRIGGER refuse")
    held.close()
    assert len(json.loads(gw.cli("key", "list", "--json"))) == 1
    gw.cli("revoke", "--everything", "--reason", "r")
    assert split(raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m"}')))[0] == 401


def test_tail_shows_what_is_done_as_it_is_done(written):
    tail = subprocess.Popen([BINARY, "audit", "tail", "--act", "key", "--json", "--data", written.data], stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        threading.Thread(target=lambda: lines.extend(iter(tail.stdout.readline, "")), daemon=True).start()
        made = []

        def seen():
            # What was done before it ran is not shown: done again until it is.
            made.append(json.loads(written.cli("key", "create", "--name", "seen", "--provider", "up", "--json"))["key"]["id"])
            return lines

        line = json.loads(wait_until(seen, "a line")[0])
        assert line["act"] == "key.create" and line["subject"] in [f"key/{id}" for id in made]
    finally:
        tail.kill()
        tail.wait()


def test_filters_and_the_format_of_collectors(written):
    rows = lambda *a: json.loads(written.cli("audit", "list", "--json", "--limit", "1000", *a))
    everything = rows()
    assert {e["act"] for e in rows("--act", "key")} == {"key.create"} and len(rows("--act", "key")) == 12
    assert rows("--actor", "nobody") == [] and rows("--actor", "administrator") == everything
    middle = everything[len(everything) // 2]["at"]
    assert all(e["at"] >= middle for e in rows("--since", middle)) and all(e["at"] <= middle for e in rows("--until", middle))
    assert len(rows("--since", middle)) + len(rows("--until", middle)) >= len(everything)
    part = written.cli("audit", "export", "--act", "revoke", check=False)
    assert part.returncode == 0 and "nothing to verify" in part.stderr and all(json.loads(l)["act"] == "revoke" for l in part.stdout.splitlines())
    events = written.cli("audit", "export", "--format", "cef").splitlines()
    assert len(events) == len(everything) and all(e.startswith("CEF:0|MaskLLM|maskllm|") for e in events)
    assert any("suser=administrator" in e and "msg=" in e and r"reason\=a drill" in e for e in events)
    for bad in (("--since", "yesterday"), ("--format", "xml")):
        assert written.cli("audit", "export", *bad, check=False).returncode != 0
