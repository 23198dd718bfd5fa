"""Real processes on 127.0.0.1 with ports chosen by the system; everything they keep lies in a temporary directory."""
import json, os, pathlib, re, signal, socket, ssl, subprocess, threading, time
from http.server import ThreadingHTTPServer

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MASKLLM_BINARY", ROOT / ".build/debug/maskllm"))
DEMO_KEY = "sk-demo-not-a-real-key-0000000000000000"
DEADLINE = 20


def pytest_collection_modifyitems(items):
    """What takes long goes to the front of each of three shares: the workers begin with it and share the rest."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    rest = [item for item in items if not item.get_closest_marker("slow")]
    share = len(items) // 3
    for n, item in enumerate(slow):
        rest.insert((n % 3) * share + n // 3, item)
    items[:] = rest


def wait_until(condition, what, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


def cli(data, *args, input=None, check=True, pass_fds=(), env=None, timeout=150):
    """One command on the data directory `data`; its standard output, or the finished process when `check` is off."""
    command = [str(BINARY), *map(str, args)] + (["--data", str(data)] if data else [])
    done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=timeout, pass_fds=pass_fds, env=env)
    if check:
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return done.stdout.strip()
    return done


class Process:
    """A running server that has said where it listens."""

    def __init__(self, args, env=None, pass_fds=()):
        self.lines = []
        self.child = subprocess.Popen([str(BINARY), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, env={**os.environ, **(env or {})}, pass_fds=pass_fds)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        found = wait_until(lambda: self.child.poll() is not None or re.search(r"(https?)://([\d.]+):(\d+)", self.output), "the server to start")
        if self.child.poll() is not None:
            self.reader.join(DEADLINE)
        assert self.child.poll() is None, self.output
        self.scheme, self.port = found[1], int(found[3])

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.child.pid

    def says(self, text):
        """Whether its output has `text`; what it writes can come in after the answer that it wrote it for."""
        return wait_until(lambda: text in self.output, f"'{text}' in the output")

    def stop(self, sig=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        try:
            code = self.child.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise AssertionError(f"it did not stop within {DEADLINE} s, and had said:\n{self.output}")
        self.reader.join(5)
        return code


class Gateway(Process):
    """`maskllm serve` on a directory of its own, with provider `up` (OpenAI) and `ant` (Anthropic) at `upstream`."""

    def __init__(self, path, upstream=None, config="", args=(), env=None, ca=None, init=()):
        self.data = path / f"data-{len(list(path.iterdir()))}"
        cli(self.data, "init", *init)
        (self.data / "maskllm.yaml").write_text(config)
        self.start(args, env)
        if upstream:
            # By the server: a command on its own opens the store and the vault, and takes ten times as long.
            extra = ["--ca-file", ca] if ca else []
            cli(self.data, "provider", "add", "up", "--base-url", upstream, *extra)
            cli(self.data, "provider", "add", "ant", "--base-url", upstream, "--kind", "anthropic", *extra)
            for name in ("up", "ant"):
                cli(self.data, "provider-key", "add", name, input=DEMO_KEY + "\n")

    def start(self, args=(), env=None):
        super().__init__(["serve", "--data", self.data, "--listen", "127.0.0.1:0", "--loops", "2", *args], env=env)

    def cli(self, *args, **kw):
        return cli(self.data, *args, **kw)

    def key(self, *args):
        return self.cli("key", "create", "--name", "test", *(args or ("--provider", "*")))

    def activity(self, *args):
        return json.loads(self.cli("activity", "--json", *args))


def mistyped(key):
    """The key with another character at its end."""
    return key[:-1] + ("x" if key[-1] != "x" else "y")


def raw(port, data, seconds=DEADLINE, close=True):
    """Sends bytes and reads to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), seconds) as s:
        s.sendall(data)
        out = b""
        while True:
            try:
                piece = s.recv(65536)
            except ConnectionResetError:
                return out
            if not piece:
                return out
            out += piece


def post(path, key, body=b"{}", headers=(), header="Authorization: Bearer "):
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"{header}{key}", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def split(answer):
    """(status, headers in lower case, body) of a whole answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0].split()[1]), headers, body


def relay(a, b):
    """Carries bytes both ways between two sockets until either ends."""
    def carry(x, y):
        try:
            while data := x.recv(65536):
                y.sendall(data)
        except OSError:
            pass

    for x, y in ((a, b), (b, a)):
        threading.Thread(target=carry, args=(x, y), daemon=True).start()


class Upstream:
    """A provider played by a function: it gets the connected socket and the request (head lines, body) and answers as it likes."""

    def __init__(self, play):
        self.play, self.requests, self.connections = play, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        with s:
            s.settimeout(30)
            buffer = b""
            try:
                while True:
                    while b"\r\n\r\n" not in buffer:
                        piece = s.recv(65536)
                        if not piece:
                            return
                        buffer += piece
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    lines = head.decode("latin-1").split("\r\n")
                    headers = {l.partition(":")[0].lower(): l.partition(":")[2].strip() for l in lines[1:]}
                    body = b""
                    if "content-length" in headers:
                        while len(buffer) < int(headers["content-length"]):
                            piece = s.recv(65536)
                            if not piece:
                                return
                            buffer += piece
                        body, buffer = buffer[: int(headers["content-length"])], buffer[int(headers["content-length"]):]
                    elif headers.get("transfer-encoding") == "chunked":
                        while not buffer.endswith(b"0\r\n\r\n"):
                            buffer += s.recv(65536)
                        rest, buffer = buffer, b""
                        while True:
                            size, _, rest = rest.partition(b"\r\n")
                            if int(size, 16) == 0:
                                break
                            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2:]
                    request = {"line": lines[0], "target": lines[0].split(" ")[1], "headers": headers, "names": [l.partition(":")[0] for l in lines[1:]], "body": body}
                    self.requests.append(request)
                    if self.play(s, request) is False:
                        return
            except OSError:
                return

    def close(self):
        self.listener.close()


def serve_tls(handler, certificates):
    """An HTTP server over TLS on a port of the system's choosing, and its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"https://127.0.0.1:{server.server_port}"


def ok(body=b'{"ok":true}', headers=()):
    """A play that answers every request with `body`."""
    def play(s, request):
        lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
        s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return play


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A made-up authority and a certificate of it for 127.0.0.1 and localhost; a second one with another serial."""
    path = tmp_path_factory.mktemp("certificates")
    run = lambda *a: subprocess.run(["openssl", *map(str, a)], check=True, capture_output=True)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path / "ca.key", "-out", path / "ca.pem", "-days", "2",
        "-subj", "/CN=made-up authority", "-addext", "basicConstraints=critical,CA:TRUE")
    (path / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for name in ("leaf", "renewed"):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path / f"{name}.key", "-out", path / f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", path / f"{name}.csr", "-CA", path / "ca.pem", "-CAkey", path / "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", path / "names", "-out", path / f"{name}.pem")
    return path


@pytest.fixture
def running(tmp_path):
    """Starts things that are stopped when the test ends."""
    started = []

    def start(make, *args, **kw):
        thing = make(tmp_path, *args, **kw) if make is Gateway else make(*args, **kw)
        started.append(thing)
        return thing

    yield start
    for thing in reversed(started):
        (thing.close if isinstance(thing, Upstream) else thing.stop)()
