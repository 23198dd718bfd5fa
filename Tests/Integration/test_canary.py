"""A made-up real key and a made-up masked secret, looked for everywhere after every error has been provoked."""
import base64, json, os, pathlib, re, shutil, subprocess, tempfile, urllib.parse

import pytest
from conftest import BINARY, Gateway, Upstream, cli, mistyped, post, raw, split, wait_until

REAL = "sk-CANARY/real+key=with&odd~characters-9f3a7c51e2"
CHAT = "/up/v1/chat/completions"


def spellings(secret):
    """The secret raw, in base64 at each alignment, in hex and in URL form; and its halves, raw."""
    raw_ = secret.encode()
    out = {raw_, raw_.hex().encode(), raw_.hex().upper().encode(), urllib.parse.quote(secret, safe="").encode(), urllib.parse.quote(secret).encode(), secret[::-1].encode()}
    for i in range(3):
        out.add(base64.b64encode(b"x" * i + raw_)[4 if i else 0:-4])
        out.add(base64.urlsafe_b64encode(b"x" * i + raw_)[4 if i else 0:-4])
    half = len(raw_) // 2
    return out | {raw_[:half], raw_[half:]}


@pytest.fixture
def world(running):
    state = {"reply": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"}

    def play(s, request):
        reply = state["reply"]
        # A provider that echoes what it was given, as providers do on errors.
        s.sendall(reply.replace(b"ECHO", request["headers"].get("authorization", "").encode()))
        return False if b"Content-Length" not in reply else None

    up = running(Upstream, play)
    gw = running(Gateway, None)
    gw.cli("provider", "add", "up", "--base-url", up.url)
    gw.cli("provider-key", "add", "up", input=REAL)
    return gw, up, state


def test_the_canaries_are_nowhere(world, tmp_path):
    gw, up, state = world
    key = gw.key()
    secret = key.split("_")[2]
    replies = []

    def ask(body=b'{"model":"m"}', path=CHAT, key_=key, headers=(), reply=None):
        if reply:
            state["reply"] = reply
        replies.append(raw(gw.port, post(path, key_, body, headers)))

    def sized(status, body):
        return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body.replace(b"ECHO", f"Bearer {REAL}".encode()))) + body

    ask()
    # Everything that can go wrong, in the order of the refusals and answers of the gateway.
    for bad in (mistyped(key), key.replace("mk_", "xx_"), secret, REAL, "", key + "x", key.lower()):
        ask(key_=bad)
    for path in ("/up/v1/files", f"/{key}/v1/chat/completions", f"/{REAL}/x", f"/up/v1/models/{key}", f"/up/v1/chat/completions?key={key}", "/nobody/v1/x"):
        ask(path=path)
    ask(headers=["Content-Encoding: gzip"])
    ask(headers=[f"x-api-key: {REAL}"])
    ask(body=json.dumps({"model": "x" * 300, "messages": [key]}).encode())
    for status in (b"401 No", b"403 No"):
        ask(reply=sized(status, b'{"error":"bad key ECHO"}'))
    for reply in (b"HTTP/1.1 302 Found\r\nLocation: http://x/?k=ECHO\r\nContent-Length: 0\r\n\r\n", b"ECHO\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\r\n b: ECHO\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: ECHO\r\n\r\n"):
        ask(reply=reply)
    state["reply"] = sized(b"200 OK", b"{}")
    replies.append(raw(gw.port, f"POST /x HTTP/1.1\r\nHost: {key}/\r\nAuthorization: Bearer {key}\r\n\r\n".encode()))
    replies.append(raw(gw.port, f"{key} / HTTP/1.1\r\n\r\n".encode()))
    replies.append(raw(gw.port, f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nX: {key}\0\r\n\r\n".encode()))
    said = []
    for args, given in ((["provider-key", "add", "up"], REAL), (["provider-key", "add", "up", "--name", "x"], REAL + " "), (["provider-key", "add", "nobody"], REAL), (["key", "show", key], None),
                        (["key", "revoke", secret], None), (["provider-key", "list", REAL], None), (["activity", "--key", key], None), (["activity", f"--nope={REAL}"], None),
                        (["provider", "add", "p", "--base-url", f"https://u:{REAL}@x.test"], None), (["unseal"], REAL), (["key", "create", "--name", "n", "--provider", key[:40]], None)):
        done = gw.cli(*args, input=given, check=False)
        assert done.returncode != 0, args
        said.append(done.stdout + done.stderr)
    for args in (["status"], ["status", "--json"], ["key", "list", "--json"], ["provider-key", "list", "--json"], ["provider", "list", "--json"], ["activity", "--json", "--limit", "1000"], ["key", "show", key.split("_")[1]]):
        said.append(gw.cli(*args))
    proc = pathlib.Path(f"/proc/{gw.pid}")
    places = {f"answer {i}": r for i, r in enumerate(replies)}
    places |= {f"command {i}": s.encode() for i, s in enumerate(said)}
    places |= {"argv": (proc / "cmdline").read_bytes(), "environment": (proc / "environ").read_bytes(), "log": gw.output.encode()}
    places |= {p.name: p.read_bytes() for p in gw.data.iterdir() if p.is_file() and p.name != "unseal.key"}
    assert {"maskllm.db", "maskllm.db-wal"} <= set(places) and len(replies) > 20
    ciphertext_seen = places["maskllm.db"] + places["maskllm.db-wal"]
    assert b"MKV1" in ciphertext_seen  # we do look where the record is
    for name, content in places.items():
        for needle in spellings(REAL) | spellings(secret):
            # A name that the client put into a model or a URL of its own is the client's: none of these is kept either.
            assert needle not in content, f"{needle[:12]}... in {name}"
    assert any(f"Bearer {REAL}" == r["headers"].get("authorization") for r in up.requests)  # the key did travel
    assert gw.stop() == 0
    for p in gw.data.iterdir():
        if p.is_file() and p.name != "unseal.key":
            for needle in spellings(REAL) | spellings(secret):
                assert needle not in p.read_bytes(), p.name


def test_the_process_cannot_be_looked_into(world):
    gw, _, _ = world
    limits = pathlib.Path(f"/proc/{gw.pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits)
    # Not dumpable: the files of /proc belong to root, and another process of the same user may not attach.
    if os.getuid() != 0:
        assert os.stat(f"/proc/{gw.pid}/environ").st_uid == 0
        return
    # Root may look anyway; another process of the same ordinary user may not. The copy is for that user to execute.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        binary = shutil.copy(BINARY, folder)
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        child = subprocess.Popen([*as_user, binary, "demo"], stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}, text=True)
        try:
            assert child.stdout.readline().startswith("maskllm")
            assert os.stat(f"/proc/{child.pid}/environ").st_uid == 0
            for name in ("environ", "mem", "maps"):
                assert subprocess.run([*as_user, "cat", f"/proc/{child.pid}/{name}"], capture_output=True).returncode != 0
        finally:
            child.terminate()
            assert child.wait(10) == 0


def test_the_secret_memory_is_locked(world):
    gw, _, _ = world
    locked = int(re.search(r"VmLck:\s+(\d+)", pathlib.Path(f"/proc/{gw.pid}/status").read_text())[1])
    assert locked > 0
