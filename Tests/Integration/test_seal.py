"""The emergency stop: the vault is closed by hand, nothing is served, and no real key stays in memory."""
import json, os, re, signal, socket, sqlite3

from conftest import Upstream, ok, post, raw, split, wait_until
from test_admin import Managed, gw  # noqa: F401: a fixture
from test_alerts import SECRET, channel, receiver
from test_gateway import endless
from test_metrics import scrape

CHAT = "/up/v1/chat/completions"


def health(gw):
    return split(raw(gw.port, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))


def in_memory(pid, needle):
    """How often `needle` lies in what the process can read, which stands still meanwhile."""
    found = 0
    os.kill(pid, signal.SIGSTOP)
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                start, end, inode = re.match(r"(\w+)-(\w+) \S+ \w+ \S+ (\d+)", line).groups()
                # What is of files was never written to; what sodium guards has no rights while nobody looks at it, but is read like this.
                if inode != "0" or "[v" in line:
                    continue
                memory.seek(int(start, 16))
                try:
                    found += memory.read(int(end, 16) - int(start, 16)).count(needle)
                except OSError:
                    continue
    finally:
        os.kill(pid, signal.SIGCONT)
    return found


def test_sealed_serves_nothing_cuts_what_is_in_flight_and_tells_who_has_to_know(running, tmp_path):
    closed = []
    gw = running(lambda: Managed(tmp_path, running(Upstream, endless(closed)).url))
    far, gone = receiver(running), receiver(running, lambda: 500)
    channel(gw, "ops", "webhook", f"{far.url}/hook", SECRET)
    channel(gw, "pager", "pagerduty", f"{gone.url}/v2/enqueue", "made-up-routing-key", "--severity", "critical")
    token = gw.token("--role", "owner")
    key = gw.key("--provider", "*", "--limit", "requests_per_day=2")
    with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
        s.sendall(post(CHAT, key))
        seen = s.recv(4096)
        receipt = json.loads(gw.cli("seal", "--reason", "a made-up break-in", "--json"))
        while piece := s.recv(4096):
            seen += piece
    assert b'"sealed"' in seen and seen.endswith(b"\r\n0\r\n\r\n")
    wait_until(lambda: closed, "the upstream connection to close")
    assert receipt["event_loops"] == 2 and receipt["told"] == ["ops"] and [c["channel"] for c in receipt["not_told"]] == ["pager"]
    told = [a for r in far.requests for a in json.loads(r["body"])["alerts"] if a["act"] == "vault.seal"]
    assert [(a["severity"], a["details"]["because"]) for a in told] == [("critical", "a made-up break-in")]
    assert split(raw(gw.port, post(CHAT, key)))[0] == 503 and health(gw)[0] == 503 and health(gw)[2] == b"sealed\n"
    for command in (["key", "list"], ["seal", "--reason", "again"], ["provider-key", "test", "x"], ["audit", "list"]):
        done = gw.cli(*command, check=False)
        assert done.returncode != 0 and not done.stdout, command
    # The management side's tokens are not known any more.
    assert gw.call("GET", "/v1/keys", token)[0] == 503
    gw.says("the vault is sealed: nothing is served")
    assert gw.cli("unseal") == "unsealed"
    gw.says("the vault is open")
    # What could not be told then is told now.
    count = len(gone.requests)
    wait_until(lambda: len(gone.requests) > count, "it to be tried again", 20)
    # What was counted before is counted.
    with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
        s.sendall(post(CHAT, key))
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
    assert split(raw(gw.port, post(CHAT, key)))[0] == 429
    acts = [(e["act"], e["details"].get("because")) for e in json.loads(gw.cli("audit", "list", "--act", "vault", "--json"))]
    assert acts[:2] == [("vault.unseal", None), ("vault.seal", "a made-up break-in")]


def test_the_real_key_is_in_memory_while_the_vault_is_open_and_not_afterwards(running, tmp_path):
    gw = running(lambda: Managed(tmp_path, running(Upstream, ok()).url))
    needle = b"sk-made-up-and-looked-for-in-memory-0001"
    gw.cli("provider", "add", "other", "--base-url", running(Upstream, ok()).url)
    gw.cli("provider-key", "add", "other", input=needle.decode())
    # As it is and in its header, each in memory of its own: nothing is left of how it came in, or of what went out with it.
    # Looked at once: what is not wiped is written over by something else sooner or later.
    assert in_memory(gw.child.pid, needle) == 2, "what it came in with is wiped"
    key = gw.key()
    for _ in range(20):
        assert split(raw(gw.port, post("/other/v1/chat/completions", key)))[0] == 200
    assert in_memory(gw.child.pid, needle) == 2, "what went out is wiped"
    gw.cli("seal", "--reason", "r")
    wait_until(lambda: in_memory(gw.child.pid, needle) == 0, "the real key to be gone")


def test_what_was_sealed_by_hand_stays_so_over_a_restart_and_for_commands_and_opens_for_good(running, tmp_path):
    gw = running(lambda: Managed(tmp_path, running(Upstream, ok()).url))
    key = gw.key()
    gw.cli("seal", "--reason", "r")
    gw.stop()
    done = gw.cli("key", "list", check=False)
    assert done.returncode != 0 and "sealed by hand; run 'maskllm unseal' with the server running" in done.stderr
    gw.start()
    gw.says("sealed by hand")
    assert split(raw(gw.port, post(CHAT, key)))[0] == 503
    wrong = gw.cli("unseal", "--key-file", tmp_path / "nowhere", check=False)
    assert wrong.returncode != 0 and split(raw(gw.port, post(CHAT, key)))[0] == 503
    gw.cli("unseal")
    assert split(raw(gw.port, post(CHAT, key)))[0] == 200
    gw.stop()
    gw.start()
    assert split(raw(gw.port, post(CHAT, key)))[0] == 200


def test_seal_takes_a_reason_and_the_right_role(gw):
    owner, auditor = gw.token("--role", "owner"), gw.token("--role", "auditor")
    assert gw.call("POST", "/v1/seal", auditor, {"reason": "r"})[0] == 404
    for document, complaint in (({}, "reason"), ({"reason": ""}, "reason"), ({"reason": "a\nb"}, "reason"), ({"reason": "r", "now": True}, "now")):
        status, problem = gw.call("POST", "/v1/seal", owner, document)
        assert status == 400 and complaint in json.dumps(problem), (document, problem)
    assert "'--reason' is missing" in gw.cli("seal", check=False).stderr and health(gw)[0] == 200
    status, receipt = gw.call("POST", "/v1/seal", owner, {"reason": "r"}, headers={"Idempotency-Key": "once"}.items())
    assert status == 200 and receipt["event_loops"] == 2 and receipt["told"] == []
    assert gw.call("POST", "/v1/unseal", owner, body=(gw.data / "unseal.key").read_bytes())[0] == 503, "a token is not known by a sealed vault"
    assert "is sealed already" in gw.cli("seal", "--reason", "r", check=False).stderr
    gw.cli("unseal")
    assert gw.call("GET", "/v1/keys", owner)[0] == 200


def test_what_cannot_be_written_down_leaves_the_vault_open(gw):
    token = gw.token("--role", "auditor")
    held = sqlite3.connect(gw.data / "maskllm.db", isolation_level=None, timeout=20)
    held.execute("CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
    assert gw.cli("seal", "--reason", "r", check=False).returncode != 0
    assert wait_until(lambda: health(gw)[2] == b"degraded\n", "it to be seen") and health(gw)[0] == 200
    assert "cannot be used" in json.loads(gw.cli("audit", "state", "--json"))["write_trouble"]
    assert "\nmaskllm_audit_unwritten 1\n" in scrape(gw, token)
    assert "it cannot be written" in json.loads(gw.cli("doctor", "--json", check=False).stdout).__repr__()
    held.execute("DROP TRIGGER refuse")
    held.close()
    wait_until(lambda: health(gw)[2] == b"ok\n", "it to be seen to be well")
    assert [e for e in json.loads(gw.cli("audit", "list", "--json")) if e["act"] in ("event.probe", "vault.seal")] == []
