"""Extremes for numeric places, recorded and made-up requests with them, and gateways on copies of a data directory. Used by the tests of extremes."""
import base64, json, os, pathlib, re, shutil, struct, urllib.parse

from conftest import Gateway, Process
from load import Answers

CASSETTES = pathlib.Path(os.environ.get("MASKLLM_CASSETTES", pathlib.Path(__file__).parents[3] / "shared/cassettes"))
M = 2**63 - 1
EXTREMES = ["0", "1", "-1", str(M), str(-M), str(-M - 1), str(M + 1), str(2**64), str(2**64 - 1), "1e30", "1e400", "-1e400", "-0.0", "0.5", "1e-400", "1e18", "NaN", "Infinity", "null", "true", '"NaN"', f'"{M}"', '""', f'{{"x":{M}}}',
            f"[{M}]", "[]", "00", "+1", f"{M - 1}", f"{2**62}", "4294967296", "9007199254740993", "1" * 400]
KINDS = ["openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "cohere", "mistral", "groq", "together", "deepseek", "xai", "perplexity", "openrouter", "cerebras", "huggingface", "ollama", "vllm", "voyage", "watsonx", "replicate", "fireworks"]
# JSON numbers outside of strings: in a document, and in lines and events of them.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


HARSH = [str(M), str(M - 1), str(-M), str(2**62), str(-M - 1), "1e18", "9007199254740993"]


def sampled(random, cases, count, place, value):
    """So many of the cases at random, and of each place one at least that overflows when it is counted with."""
    if count >= len(cases):
        return cases
    harsh = {}
    for case in random.sample(cases, len(cases)):
        if value(case) in HARSH:
            harsh.setdefault(place(case), case)
    chosen = list(harsh.values())
    return chosen + random.sample(cases, max(0, count - len(chosen)))


class Started(Gateway):
    """A gateway on a copy of a data directory."""

    def __init__(self, data, loops=2):
        self.data, self.loops = data, loops
        self.start()

    def start(self, args=(), env=None):
        Process.__init__(self, ["serve", "--data", self.data, "--listen", "127.0.0.1:0", "--loops", self.loops, *args], env=env)


class Template:
    """A data directory with a provider of each kind at `answers`, prices for all, and keys: plain, and counted in tokens and in money."""

    def __init__(self, running, tmp_path, answers):
        self.answers, self.path, self.copies = answers, tmp_path, 0
        gw = running(Gateway)
        for kind in KINDS:
            gw.cli("provider", "add", kind, "--kind", kind, "--base-url", answers.url, *(["--credential", "bearer"] if kind in ("vertex", "watsonx") else []))
            for name in ("first", "second") if kind in ("openai", "anthropic", "gemini") else ("first",):
                gw.cli("provider-key", "add", kind, "--name", name, input=f"made-up-key-of-nobody-{name}-000000\n")
            gw.cli("price", "set", kind, "*", "--input", 1, "--output", 10, "--max-input", 1000000, "--max-output", 100000)
        self.keys = {"plain": gw.key(), "tokens": gw.key("--provider", "*", "--limit", "tokens_per_day=1000000000000", "--limit", "output_tokens_per_minute=900000000"), "money": gw.key(), "scoped": gw.key("--provider", "*", "--model", "*", "--output-tokens-max", 5000)}
        gw.cli("budget", "set", "large", "--usd", "1000000", "--key", self.keys["money"].split("_")[1])
        assert gw.stop() == 0
        self.data = gw.data

    def copy(self):
        self.copies += 1
        path = self.path / f"copy-{self.copies}"
        shutil.copytree(self.data, path, ignore=shutil.ignore_patterns("*.sock"))
        return path


class Sent:
    """One request, and where the extreme is in it or in its answer."""
    __slots__ = ("place", "value", "key", "method", "target", "headers", "body", "answer")

    def __init__(self, place, value, key, method, target, body=b"{}", headers=(), answer=None):
        self.place, self.value, self.key, self.method, self.target, self.body, self.headers, self.answer = place, value, key, method, target, body, list(headers), answer

    def written(self, number, keys):
        body = self.body
        if body.startswith(b"{"):
            body = b'{"user":"case %d"%s' % (number, (b"," if body[1:].strip() != b"}" else b"") + body[1:])
            target = self.target
        else:
            target = self.target + ("&" if "?" in self.target else "?") + f"case={number}"
        lines = [f"{self.method} {target} HTTP/1.1", "Host: gateway.example", f"Authorization: Bearer {keys[self.key]}"]
        if not any(h.lower().startswith("content-type") for h in self.headers):
            lines.append("Content-Type: application/json")
        if not any(h.lower().startswith(("content-length", "transfer-encoding")) for h in self.headers):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, *self.headers, "\r\n"]).encode() + body


def numbers(text):
    """Where JSON numbers stand in a text, and the name of the member in front of each."""
    name = ""
    for found in TOKEN.finditer(text):
        if found[0].startswith('"'):
            name = found[0][1:-1]
        elif not text[found.start() - 1:found.start()].isalpha():
            yield found.start(), found.end(), name


def frames(data):
    """(headers, payload) of each of Amazon's frames."""
    while data:
        total, header = struct.unpack(">II", data[:8])
        yield data[12:12 + header], data[12 + header:total - 4]
        data = data[total:]


def framed(parts):
    import binascii
    out = b""
    for headers, payload in parts:
        prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
        data = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + payload
        out += data + struct.pack(">I", binascii.crc32(data))
    return out


def variants(body, ctype, values):
    """(member, value, body) with each number of a recorded body in place of which a value stands; of numbers by one name the last, which counts."""
    if ctype.startswith("application/vnd.amazon.eventstream"):
        parts = list(frames(body))
        for i, (headers, payload) in enumerate(parts):
            inner = re.search(rb'"bytes":"([^"]+)"', payload)
            text = (base64.b64decode(inner[1]) if inner else payload).decode("utf-8", "replace")
            for start, end, name in {n: (s, e, n) for s, e, n in numbers(text)}.values():
                for value in values:
                    changed = (text[:start] + value + text[end:]).encode()
                    new = payload.replace(inner[1], base64.b64encode(changed)) if inner else changed
                    yield name, value, framed(parts[:i] + [(headers, new)] + parts[i + 1:])
        return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    last = {}
    for start, end, name in numbers(text):
        last.setdefault(name, []).append((start, end))
    for name, places in last.items():
        for value in values:
            start, end = places[-1]
            yield name, value, (text[:start] + value + text[end:]).encode()
            if len(places) > 1:
                # All of that name, for what is added up.
                changed = text
                for start, end in reversed(places):
                    changed = changed[:start] + value + changed[end:]
                yield name + " (all)", value, changed.encode()


def recorded(values):
    """Recorded answers and requests of every provider with each number replaced."""
    for path in sorted(CASSETTES.glob("*/*.json")):
        cassette = json.loads(path.read_text())
        request, response = cassette["request"], cassette["response"]
        kind, url = path.parent.name, urllib.parse.urlsplit(request["url"])
        if kind not in KINDS:
            continue
        headers = {k.lower(): (v if isinstance(v, str) else v[0]) for k, v in response["headers"].items()}
        ctype = headers.get("content-type", "application/json")
        target = f"/{kind}{url.path}" + (f"?{url.query}" if url.query else "")
        body, sent = base64.b64decode(response["body_b64"] or ""), base64.b64decode(request.get("body_b64") or "") or b"{}"
        kept = [(k, v) for k, v in headers.items() if k.startswith(("x-ratelimit", "anthropic-ratelimit", "retry-after", "x-amzn", "x-gemini"))]
        place = f"{kind}/{path.stem}"
        key = lambda n: ("plain", "money", "tokens", "plain")[n % 4]
        n = 0
        for name, value, changed in variants(body, ctype, values):
            n += 1
            yield Sent(f"answer {place} {name}", value, key(n), request["method"], target, sent, answer=(changed, ctype, response["status"], kept))
        for name, value, changed in variants(sent, "application/json", values) if sent.startswith(b"{") else ():
            n += 1
            yield Sent(f"request {place} {name}", value, ("tokens", "money", "scoped", "plain")[n % 4], request["method"], target, changed, answer=(body, ctype, response["status"], kept))
        for name, _ in [*kept, *[(h, "") for h in ("retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")]]:
            for value in values:
                value = value.strip('"') or "0"
                fields = [(k, v) for k, v in kept if k != name] + [(name, value)]
                for status in {response["status"], 429}:
                    n += 1
                    yield Sent(f"answer head {place} {name} {status}", value, key(n), request["method"], target, sent, answer=(body if status != 429 else b"{}", ctype, status, fields))


# Members of requests that are numbers, by a template of each dialect: %s is the extreme.


CHAT = '"messages":[{"role":"user","content":"hi"}]'
