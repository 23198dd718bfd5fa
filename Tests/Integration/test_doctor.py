"""`maskllm doctor` finds what is wrong and says how to mend it."""
import json, sqlite3, time
from email.utils import formatdate

import pytest
from conftest import DEMO_KEY, Gateway, Upstream, cli, ok
from test_rotation import key_id


def doctor(gw, *args):
    done = gw.cli("doctor", "--json", *args, check=False)
    return done.returncode, {c["what"]: c for c in json.loads(done.stdout)}


def test_nothing_is_wrong_with_what_is_fresh(running):
    gw = running(Gateway, running(Upstream, ok()).url)
    code, checks = doctor(gw)
    assert code == 0, checks
    assert {"store", "vault", "provider 'up'", "disk", "open files", str(gw.data)} <= set(checks) and all(c["verdict"] != "bad" for c in checks.values())
    assert "ok      store: its pages and indexes are whole" in gw.cli("doctor")


def test_each_trouble_is_found_with_what_mends_it(running):
    up = running(Upstream, ok(headers=[f"Date: {formatdate(time.time() + 600, usegmt=True)}"]))
    gw = running(Gateway, up.url)
    gw.cli("provider", "add", "far", "--base-url", "http://127.0.0.1:1")
    gw.cli("provider-key", "add", "far", input="sk-made-up-000000000\n")
    far = next(k["id"] for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["provider"] == "far")
    key = gw.key()
    gw.cli("provider-key", "disable", far, "--reason", "too dear")
    gw.stop()
    db = sqlite3.connect(gw.data / "maskllm.db")
    db.execute("UPDATE masked_key SET name = 'other' WHERE id = ?", (key_id(key),))
    broken = db.execute("SELECT id FROM provider_key_version WHERE provider = 'ant'").fetchone()[0]
    db.execute("UPDATE provider_key_version SET sealed = x'00' WHERE id = ?", (broken,))
    db.commit()
    db.close()
    gw.start()
    (gw.data / "unseal.key").chmod(0o444)
    code, checks = doctor(gw)
    assert code == 1
    assert "changed outside" in checks[f"masked key {key_id(key)}"]["finding"] and checks[f"masked key {key_id(key)}"]["mend"]
    assert checks[f"provider key {broken} of 'ant'"]["finding"] == "it does not open"
    assert "too dear" in checks[f"provider key {far} of 'far'"]["finding"] and "provider-key enable" in checks[f"provider key {far} of 'far'"]["mend"]
    assert "did not answer" in checks["provider 'far'"]["finding"] and checks["provider 'far'"]["verdict"] == "bad"
    assert 590 <= int(checks["clock"]["finding"].rsplit(" ", 2)[1]) <= 610
    assert checks[str(gw.data / "unseal.key")]["mend"].startswith("chmod 400")
    assert all(c["mend"] for c in checks.values() if c["verdict"] != "good") and DEMO_KEY not in json.dumps(checks)


def test_a_sealed_vault_and_a_damaged_store(running, tmp_path):
    cli(tmp_path / "p", "init", "--passphrase-fd", "0", input="correct horse battery\n")

    class Sealed(Gateway):
        def __init__(self, path, data):
            self.data = data
            self.start()

    gw = running(lambda: Sealed(tmp_path, tmp_path / "p"))
    code, checks = doctor(gw)
    assert code == 1 and checks["vault"]["mend"] == "maskllm unseal"
    cli(tmp_path / "d", "init")
    content = bytearray((tmp_path / "d/maskllm.db").read_bytes())
    content[4096 * 3: 4096 * 5] = b"\xff" * 8192
    (tmp_path / "d/maskllm.db").write_bytes(content)
    done = cli(tmp_path / "d", "doctor", "--json", check=False)
    assert done.returncode == 1 and "damaged" in done.stdout and "restore a backup" in done.stdout


def test_without_a_server_it_says_what_it_cannot_look_at(tmp_path):
    cli(tmp_path / "d", "init")
    done = cli(tmp_path / "d", "doctor")
    assert "warning providers: they are not asked without a server" in done
