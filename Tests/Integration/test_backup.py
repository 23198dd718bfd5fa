"""Everything is copied while the server goes on, and comes back elsewhere: every key resolves, every revocation still holds."""
import json, os, pathlib, random, shutil, subprocess, threading, time

import pytest
from conftest import BINARY, Gateway, Upstream, cli, ok, post, raw, split
from test_rotation import key_id, status


def back_up(data, path):
    with open(path, "wb") as out:
        done = subprocess.run([BINARY, "backup", "--data", data], stdout=out, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return path


def restore(data, backup, *args, pass_fds=()):
    with open(backup, "rb") as source:
        return subprocess.run([BINARY, "restore", "--data", data, *map(str, args)], stdin=source, capture_output=True, text=True, timeout=120, pass_fds=pass_fds)


def elsewhere(gw, path):
    """Another directory with the key file, which is kept apart."""
    path.mkdir(mode=0o700)
    shutil.copy(gw.data / "unseal.key", path / "unseal.key")
    (path / "unseal.key").chmod(0o400)
    return path


@pytest.fixture
def gw(running):
    return running(Gateway, running(Upstream, ok()).url)


class Elsewhere(Gateway):
    def __init__(self, path, data):
        self.data = data
        self.start()


def test_a_drill_under_load(gw, running, tmp_path, capsys):
    keys = [gw.key() for _ in range(10)]
    for key in keys[:5]:
        gw.cli("key", "revoke", key_id(key))
    rotated = gw.cli("key", "rotate", key_id(keys[9]), "--grace", "0")
    over, made, answers = threading.Event(), [], []

    def create():
        while not over.is_set():
            key = gw.key()
            made.append((time.monotonic(), key))

    def ask():
        while not over.is_set():
            answers.append(status(gw, keys[5])[0])

    threads = [threading.Thread(target=f, daemon=True) for f in (create, ask, ask)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    backup = back_up(gw.data, tmp_path / "backup")
    seconds = time.monotonic() - began
    time.sleep(0.5)
    over.set()
    for thread in threads:
        thread.join(30)
    assert set(answers) == {200} and not [p for p in gw.data.iterdir() if p.name.startswith("backup")], "nothing is left lying about"
    data = elsewhere(gw, tmp_path / "elsewhere")
    done = restore(data, backup, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ended_again"] == [] and told["tampered"] == [] and told["unusable_provider_keys"] == []
    other = running(lambda: Elsewhere(tmp_path, data))
    for key in keys[:5]:
        assert status(other, key) == (401, "revoked_key")
    for key in keys[5:9] + [rotated] + [key for at, key in made if at < began]:
        assert status(other, key) == (200, None)
    assert status(other, keys[9]) == (401, "retired_version")
    assert len(other.activity("--limit", "1000")) > 10, "activity is in it, too"
    with capsys.disabled():
        print(f"\n  backup of {backup.stat().st_size} bytes in {seconds:.2f} s beside {len(answers)} requests; {told['keys']} keys restored")


def test_what_has_ended_since_stays_ended_in_place(gw, tmp_path):
    revoked, rotated, kept = gw.key(), gw.key(), gw.key()
    backup = back_up(gw.data, tmp_path / "backup")
    gw.cli("key", "revoke", key_id(revoked))
    new = gw.cli("key", "rotate", key_id(rotated), "--grace", "0")
    late = gw.key()
    gw.stop()
    done = restore(gw.data, backup)
    assert done.returncode == 1 and "--replace" in done.stderr
    done = restore(gw.data, backup, "--replace")
    assert done.returncode == 1 and "is newer" in done.stderr and "--older" in done.stderr
    gw.start()
    assert status(gw, late) == (200, None), "nothing was changed"
    gw.stop()
    done = restore(gw.data, backup, "--replace", "--older")
    assert done.returncode == 0 and "2 keys that have ended since are ended again" in done.stderr, done.stderr
    gw.start()
    assert status(gw, revoked) == (401, "revoked_key") and status(gw, rotated) == (401, "disabled_key") and status(gw, kept) == (200, None)
    assert status(gw, new) == (401, "unknown_key") and status(gw, late) == (401, "unknown_key")
    assert any(p.name.startswith("maskllm.db.") for p in gw.data.iterdir()), "the store that was there is put aside"


def test_a_changed_cut_or_foreign_backup_changes_nothing(gw, running, tmp_path):
    key = gw.key()
    backup = back_up(gw.data, tmp_path / "backup").read_bytes()
    data = elsewhere(gw, tmp_path / "elsewhere")
    random.seed(3)
    spoiled = [backup[:i] + bytes([backup[i] ^ 1]) + backup[i + 1:] for i in random.sample(range(len(backup)), 40)]
    spoiled += [backup[:n] for n in (0, 10, 17, 1000, len(backup) // 2, len(backup) - 1)] + [backup + b"x"]
    for i, content in enumerate(spoiled):
        (tmp_path / "spoiled").write_bytes(content)
        done = restore(data, tmp_path / "spoiled")
        assert done.returncode != 0 and "maskllm.db" not in os.listdir(data) and "restored.db" not in os.listdir(data), (i, done.stderr)
    stranger = running(Gateway)
    theirs = elsewhere(stranger, tmp_path / "theirs")
    (tmp_path / "good").write_bytes(backup)
    done = restore(theirs, tmp_path / "good")
    assert done.returncode == 1 and "does not open this vault" in done.stderr
    stranger.stop()
    shutil.copy(gw.data / "unseal.key", tmp_path / "own.key")
    (tmp_path / "own.key").chmod(0o400)
    done = restore(stranger.data, tmp_path / "good", "--replace", "--older", "--key-file", tmp_path / "own.key")
    assert done.returncode == 1 and "another vault" in done.stderr
    assert restore(data, tmp_path / "good").returncode == 0
    assert restore(gw.data, tmp_path / "good", "--replace", "--older").returncode == 1, "a server is running there"
    assert status(gw, key) == (200, None)


def test_nothing_can_be_read_in_it(gw, tmp_path):
    gw.cli("key", "create", "--name", "a-telling-name", "--provider", "up")
    content = back_up(gw.data, tmp_path / "backup").read_bytes()
    assert b"a-telling-name" not in content and b"SQLite format" not in content and b"sk-demo" not in content


@pytest.mark.slow
@pytest.mark.timeout(300)  # a passphrase takes its time
def test_a_vault_with_a_passphrase(running, tmp_path):
    def fd(text):
        read, write = os.pipe()
        os.write(write, text)
        os.close(write)
        return read

    source = tmp_path / "source"
    cli(source, "init", "--passphrase-fd", "0", input="correct horse battery\n")
    first = fd(b"correct horse battery\n")
    with open(tmp_path / "backup", "wb") as out:
        assert subprocess.run([BINARY, "backup", "--data", source, "--passphrase-fd", str(first)], stdout=out, pass_fds=[first], timeout=120).returncode == 0
    refused = restore(tmp_path / "target", tmp_path / "backup")
    assert refused.returncode == 2 and "--passphrase-fd" in refused.stderr
    for text, code in ((b"wrong horse battery\n", 1), (b"correct horse battery\n", 0)):
        n = fd(text)
        assert restore(tmp_path / "target", tmp_path / "backup", "--passphrase-fd", n, pass_fds=[n]).returncode == code


def test_without_a_server_too(tmp_path):
    cli(tmp_path / "data", "init")
    backup = back_up(tmp_path / "data", tmp_path / "backup")
    (tmp_path / "other").mkdir(mode=0o700)
    shutil.copy(tmp_path / "data/unseal.key", tmp_path / "other/unseal.key")
    (tmp_path / "other/unseal.key").chmod(0o400)
    assert restore(tmp_path / "other", backup).returncode == 0
    assert json.loads(cli(tmp_path / "other", "key", "list", "--json")) == []
