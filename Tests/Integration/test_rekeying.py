"""New keys under everything: the root key, the data key, the pepper, while everything goes on."""
import json, os, threading

import pytest
from conftest import Process, cli, mistyped, ok, post, raw, split, wait_until
from test_admin import Managed, gw, key_id  # noqa: F401: a fixture


def ask(gw, key):
    return split(raw(gw.port, post("/up/v1/chat/completions", key)))[0]


def state(gw):
    return json.loads(gw.cli("vault", "status", "--json"))


class Traffic:
    """Requests with `keys` all the while; `failed` counts those that were not answered well."""

    def __init__(self, gw, keys):
        self.gw, self.keys, self.done, self.failed, self.isOver = gw, keys, 0, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.isOver:
            for key in self.keys:
                self.failed += ask(self.gw, key) != 200
                self.done += 1

    def stop(self):
        self.isOver = True
        self.thread.join()
        return self.done, self.failed


def test_a_new_root_key_needs_the_new_key_file_and_only_that(gw):
    key = gw.key()
    old = (gw.data / "unseal.key").read_text()
    traffic = Traffic(gw, [key])
    told = gw.cli("vault", "rotate-root")
    done, failed = traffic.stop()
    assert "key-file" in told and failed == 0 and done > 0
    assert (gw.data / "unseal.key").read_text() != old == (gw.data / "unseal.key.old").read_text() and (gw.data / "unseal.key").stat().st_mode & 0o777 == 0o400
    gw.stop(9)
    refused = cli(gw.data, "key", "list", "--key-file", gw.data / "unseal.key.old", check=False)
    assert refused.returncode == 1 and "does not open this vault" in refused.stderr
    gw.start()
    assert ask(gw, key) == 200
    acts = json.loads(gw.cli("audit", "list", "--act", "vault.rotate_root", "--json"))
    assert [a["act"] for a in acts] == ["vault.rotate_root"]


@pytest.mark.slow
@pytest.mark.timeout(300)  # a passphrase takes its time
def test_a_new_passphrase(running, tmp_path):
    data = tmp_path / "sealed"

    def run(*args, **secrets):
        """A command with each of `secrets` in a descriptor of its own."""
        options, fds = [], []
        for name, text in secrets.items():
            read, write = os.pipe()
            os.write(write, text.encode())
            os.close(write)
            options += ["--" + name.replace("_", "-"), str(read)]
            fds.append(read)
        try:
            return cli(data, *args, *options, pass_fds=fds, check=False)
        finally:
            for fd in fds:
                os.close(fd)

    def serve():
        return running(Process, ["serve", "--data", data, "--listen", "127.0.0.1:0"])

    assert run("init", passphrase_fd="an old passphrase").returncode == 0
    server = serve()
    assert run("unseal", passphrase_fd="an old passphrase").returncode == 0
    short = run("vault", "rotate-root", passphrase_fd="an old passphrase", new_passphrase_fd="short")
    assert short.returncode != 0 and "12 bytes" in short.stderr
    wrong = run("vault", "rotate-root", passphrase_fd="no passphrase of it", new_passphrase_fd="a new passphrase")
    assert wrong.returncode == 1 and "does not open" in wrong.stderr
    done = run("vault", "rotate-root", passphrase_fd="an old passphrase", new_passphrase_fd="a new passphrase")
    assert done.returncode == 0, done.stderr
    server.stop(9)
    serve()
    assert "does not open" in run("unseal", passphrase_fd="an old passphrase").stderr
    assert run("unseal", passphrase_fd="a new passphrase").returncode == 0


def test_everything_is_sealed_again_while_requests_go_on(gw):
    token = gw.token("--role", "owner")
    key = gw.key()
    for n in range(120):
        status, made = gw.call("POST", f"/v1/provider-keys?provider=ant&name=k{n}", token, body=f"made-up-key-{n:04}".encode())
        assert status == 201
    gw.cli("destination", "set", "hook", "--kind", "webhook", "--place", "http://127.0.0.1:1/x", input="made-up-signing-secret-0000\n")
    pk = made["id"]
    gw.call("PUT", f"/v1/rotations/{pk}", token, {"connector": "webhook", "address": "http://127.0.0.1:1/r", "secret": "made-up-signing-secret-1111"})
    assert gw.call("POST", "/v1/keys", token, {"name": "once", "policy": {"providers": ["up"]}}, headers={"Idempotency-Key": "k"})[0] == 201
    before = state(gw)
    assert before["data_keys"] == [1] and before["outdated_records"] == 0 and before["sealed_records"] == 126
    traffic = Traffic(gw, [key])
    done = gw.cli("vault", "rotate-data", "--json")
    count, failed = traffic.stop()
    assert failed == 0 and count > 0
    assert json.loads(done)["data_keys"] == [2] and json.loads(done)["outdated_records"] == 0 and json.loads(done)["sealed_records"] == 126
    gw.stop(9)
    gw.start()
    assert ask(gw, key) == 200 and state(gw)["data_keys"] == [2]
    assert all(k["usable"] for k in json.loads(gw.cli("provider-key", "list", "--json")))
    again = gw.call("POST", "/v1/keys", token, {"name": "once", "policy": {"providers": ["up"]}}, headers={"Idempotency-Key": "k"})
    assert again[0] == 201 and gw.headers["idempotency-replayed"] == "true", "and what is kept of answers"


def test_after_a_crash_in_the_middle_both_keys_open_and_it_goes_on(gw):
    token = gw.token("--role", "owner")
    key = gw.key()
    secret = (gw.data / "unseal.key").read_text()
    for n in range(200):
        gw.call("POST", f"/v1/provider-keys?provider=ant&name=k{n}", token, body=f"made-up-key-{n:04}".encode())
    assert gw.call("POST", "/v1/vault/rotate", token, {"what": "data", "secret": secret})[1]["data_keys"] == [1, 2]
    gw.stop(9)
    gw.start()
    assert ask(gw, key) == 200 and state(gw)["data_keys"] == [1, 2]
    # What is still needed is not forgotten, however early it is asked for.
    gw.cli("vault", "retire")
    assert all(k["usable"] for k in json.loads(gw.cli("provider-key", "list", "--json")))
    wait_until(lambda: state(gw)["outdated_records"] == 0, "all to be sealed again", 60)
    gw.cli("vault", "retire")
    assert state(gw)["data_keys"] == [2] and all(k["usable"] for k in json.loads(gw.cli("provider-key", "list", "--json")))


def test_a_new_pepper_is_taken_up_by_use_and_the_old_one_forgotten_when_nothing_needs_it(gw):
    token = gw.token("--role", "owner")
    used, unused, ended = gw.key(), gw.key(), gw.key()
    gw.cli("key", "revoke", key_id(ended))
    gw.cli("vault", "rotate-pepper")
    told = state(gw)
    assert told["peppers"] == [1, 2] and {key_id(used), key_id(unused)} == set(told["outdated_keys"])
    assert gw.call("GET", "/v1/keys", token)[0] == 200
    assert state(gw)["outdated_tokens"] == [t for t in state(gw)["outdated_tokens"] if t != key_id(token)], "tokens are taken up by use, too"
    traffic = Traffic(gw, [used])
    wait_until(lambda: state(gw)["outdated_keys"] == [key_id(unused)], "the used key to be hashed anew", 30)
    assert traffic.stop()[1] == 0
    gw.cli("vault", "retire")
    assert state(gw)["peppers"] == [1, 2], "a key that was not used still needs it"
    gw.stop(9)
    gw.start()
    assert ask(gw, used) == ask(gw, unused) == 200
    for old in state(gw)["outdated_tokens"]:
        gw.cli("token", "revoke", old)
    wait_until(lambda: state(gw)["outdated_keys_count"] == 0, "the other key to be hashed anew", 30)
    gw.cli("vault", "retire")
    assert state(gw)["peppers"] == [2]
    gw.stop(9)
    gw.start()
    assert ask(gw, used) == ask(gw, unused) == 200 and ask(gw, ended) == 401 and gw.call("GET", "/v1/keys", token)[0] == 200
    assert ask(gw, mistyped(used)) == 401


def test_a_wrong_secret_or_request_changes_nothing(gw):
    token, auditor = gw.token("--role", "owner"), gw.token("--role", "auditor")
    secret = (gw.data / "unseal.key").read_text()
    wrong = secret[:-3] + ("00\n" if secret[-3:] != "00\n" else "11\n")
    before = {p.name: p.read_bytes() for p in gw.data.iterdir() if p.name.endswith(".key")}
    for what in ("root", "data", "pepper"):
        assert gw.call("POST", "/v1/vault/rotate", token, {"what": what, "secret": wrong})[0] == 403
        assert gw.call("POST", "/v1/vault/rotate", auditor, {"what": what, "secret": secret})[0] in (404, 405)
    assert gw.call("POST", "/v1/vault/retire", token, {"secret": wrong})[0] == 403
    for document in ({"what": "all", "secret": secret}, {"what": "data", "secret": secret, "new_secret": secret}, {"what": "root", "secret": secret, "new_secret": "x"}, {"what": "data"}, {}):
        assert gw.call("POST", "/v1/vault/rotate", token, document)[0] in (400, 403), document
    told = state(gw)
    assert (told["data_keys"], told["peppers"]) == ([1], [1])
    assert {e["act"] for e in json.loads(gw.cli("audit", "list", "--act", "vault", "--json"))} == {"vault.unseal"}
    (gw.data / "unseal.key").chmod(0o600)
    (gw.data / "unseal.key").write_text(wrong)
    (gw.data / "unseal.key").chmod(0o400)
    refused = gw.cli("vault", "rotate-root", check=False)
    assert refused.returncode == 1 and not (gw.data / "unseal.key.new").exists() and not (gw.data / "unseal.key.old").exists()
