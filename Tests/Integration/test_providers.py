"""Every provider's own SDK, changed in its base URL and key alone, against answers that the provider really gave."""
import base64, json, os, socket, threading, urllib.error, urllib.request
from decimal import ROUND_CEILING, Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import anthropic, boto3, botocore, cohere, google.genai, groq, mistralai, ollama, openai, pytest, together
from conftest import Gateway, Upstream, ok, post, raw, serve_tls, split, wait_until
from test_gateway import CHAT, code_of, status_of

CASSETTES = Path(os.environ.get("MASKLLM_CASSETTES", Path(__file__).parents[3] / "shared/cassettes"))
pytestmark = pytest.mark.skipif(not CASSETTES.is_dir(), reason=f"SKIPPED: no recorded answers at {CASSETTES}; set MASKLLM_CASSETTES")
REAL = "made-up-real-key-0000000000"
HELLO = [{"role": "user", "content": "hello"}]


class Replayer:
    """A provider over TLS that gives the recorded answer it is told to, and remembers what it was asked."""

    def __init__(self, certificates):
        replayer = self
        self.name, self.requests = None, []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                replayer.requests.append((self.command, self.path, dict(self.headers.items()), body))
                cassette = json.loads((CASSETTES / f"{replayer.name}.json").read_text())["response"]
                content = base64.b64decode(cassette["body_b64"])
                self.send_response(cassette["status"])
                for name, value in cassette["headers"].items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "content-encoding", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for i in range(0, len(content), 700):
                    piece = content[i:i + 700]
                    self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            do_POST = do_GET = answer

            def log_message(self, *_):
                pass

        self.server, self.url = serve_tls(Handler, certificates)


class World:
    KINDS = ["gemini", "vertex", "bedrock", "mistral", "cohere", "groq", "together", "ollama", "azure", "deepseek", "xai", "perplexity", "openrouter", "huggingface", "cerebras", "voyage", "openai", "anthropic", "vllm"]

    def __init__(self, path, certificates, kinds=None, args=(), credentials={"vertex": "bearer"}):
        self.replayer = Replayer(certificates)
        self.ca = str(certificates / "ca.pem")
        self.gw = Gateway(path, args=args)
        for kind in kinds or self.KINDS:
            self.gw.cli("provider", "add", kind, "--base-url", self.replayer.url, "--ca-file", certificates / "ca.pem", *(["--credential", credentials[kind]] if kind in credentials else []))
            self.gw.cli("provider-key", "add", kind, input=REAL + "\n")
        self.key = self.gw.key("--provider", "*")
        self.dead = self.gw.key("--provider", "*")
        self.gw.cli("key", "revoke", self.dead.split("_")[1])
        self.priced = set()
        self.slow = self.gw.key("--provider", "*", "--limit", "requests_per_hour=1")

    def url(self, kind):
        return f"{self.gw.url}/{kind}"

    def replay(self, name):
        self.replayer.name, self.before = name, len(self.gw.activity("--limit", "1000"))
        self.replayer.requests.clear()

    def told(self):
        """What the gateway recorded of the one request since `replay`: tokens in (cached ones, too) and out."""
        wait_until(lambda: len(self.gw.activity("--limit", "1000")) > self.before, "the record")
        e = self.gw.activity("--limit", "1")[0]
        assert e["status"] == 200 and "estimated" not in e, e
        _, _, headers, _ = self.replayer.requests[-1]
        seen = json.dumps(headers)
        assert REAL in seen and "mk_" not in seen and self.key not in seen
        return e.get("input_tokens", 0) + e.get("cache_read_tokens", 0) + e.get("cache_write_tokens", 0), e.get("output_tokens", 0)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, certificates):
    """One for all, and one with TLS towards clients, without which boto3 sends no bearer."""
    tls = ["--tls-certificate", certificates / "leaf.pem", "--tls-key", certificates / "leaf.key"]
    made = World(tmp_path_factory.mktemp("providers"), certificates), World(tmp_path_factory.mktemp("tls"), certificates, ["bedrock"], tls)
    yield made
    for w in made:
        assert w.gw.stop() == 0


@pytest.fixture
def world(worlds, request):
    params = getattr(request.node, "callspec", None)
    return worlds[1] if params and params.params.get("kind") == "bedrock" else worlds[0]


def gemini(w, key=None):
    return google.genai.Client(api_key=key or w.key, http_options={"base_url": w.url("gemini")})


def bedrock(w, key=None):
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = key or w.key
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=w.url("bedrock"), verify=w.ca, config=botocore.config.Config(retries={"max_attempts": 1}))


def mistral(w, key=None):
    from mistralai.client import Mistral
    return Mistral(api_key=key or w.key, server_url=w.url("mistral"))


def plain(url, key):
    return json.load(urllib.request.urlopen(urllib.request.Request(url, json.dumps({"model": "m", "input": ["x"]}).encode(), {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})))


def compatible(kind, prefix="/v1"):
    return lambda w, key=None: openai.OpenAI(api_key=key or w.key, base_url=w.url(kind) + prefix, max_retries=0)


MAKE = {
    "gemini": gemini, "bedrock": bedrock, "mistral": mistral,
    "cohere": lambda w, key=None: cohere.ClientV2(api_key=key or w.key, base_url=w.url("cohere")),
    "groq": lambda w, key=None: groq.Groq(api_key=key or w.key, base_url=w.url("groq"), max_retries=0),
    "together": lambda w, key=None: together.Together(api_key=key or w.key, base_url=w.url("together"), max_retries=0),
    "ollama": lambda w, key=None: ollama.Client(host=w.url("ollama"), headers={"Authorization": f"Bearer {key or w.key}"}),
    "azure": lambda w, key=None: openai.AzureOpenAI(api_key=key or w.key, azure_endpoint=w.url("azure"), api_version="2024-12-01", max_retries=0),
    "deepseek": compatible("deepseek"), "xai": compatible("xai"), "perplexity": compatible("perplexity", ""), "openrouter": compatible("openrouter", "/api/v1"),
    "huggingface": compatible("huggingface"), "cerebras": compatible("cerebras"), "openai": compatible("openai"), "vllm": compatible("vllm"),
    "anthropic": lambda w, key=None: anthropic.Anthropic(api_key=key or w.key, base_url=w.url("anthropic"), max_retries=0),
    "vertex": lambda w, key=None: google.genai.Client(vertexai=True, api_key=key or w.key, http_options={"base_url": w.url("vertex")}),
    # Its own SDK is not tested: what any HTTP client sends.
    "voyage": lambda w, key=None: lambda path: plain(f"{w.url('voyage')}{path}", key or w.key),
}
claude = lambda c, **kw: c.messages.create(model="m", max_tokens=100, messages=HELLO, **kw)
chat = lambda c, **kw: c.chat.completions.create(model="m", messages=HELLO, **kw)
stream = lambda c, **kw: list(chat(c, stream=True, **kw))

CALLS = [
    ("gemini", "gemini/generate-cached", lambda c: c.models.generate_content(model="gemini-2.5-flash", contents="x").usage_metadata.prompt_token_count, (9622, 171)),
    ("gemini", "gemini/generate-function-call", lambda c: c.models.generate_content(model="gemini-2.5-pro", contents="x").function_calls[0].name, (259, 18)),
    ("gemini", "gemini/stream", lambda c: list(c.models.generate_content_stream(model="gemini-2.5-flash", contents="x")), (30, 2815)),
    ("gemini", "gemini/stream-multi-chunk", lambda c: list(c.models.generate_content_stream(model="gemini-2.0-flash-exp", contents="x")), (13, 8)),
    ("bedrock", "bedrock/converse", lambda c: c.converse(modelId="us.amazon.nova-2-lite-v1:0", messages=[{"role": "user", "content": [{"text": "x"}]}])["usage"]["totalTokens"], (64, 5)),
    ("bedrock", "bedrock/converse-tool-use", lambda c: c.converse(modelId="us.amazon.nova-2-lite-v1:0", messages=[{"role": "user", "content": [{"text": "x"}]}])["stopReason"], (930, 14)),
    ("bedrock", "bedrock/converse-stream", lambda c: [e for e in c.converse_stream(modelId="amazon.titan-text-lite-v1", messages=[{"role": "user", "content": [{"text": "x"}]}])["stream"] if "metadata" in e], (8, 10)),
    ("bedrock", "bedrock/invoke-anthropic-response-stream", lambda c: [e["chunk"]["bytes"] for e in c.invoke_model_with_response_stream(modelId="anthropic.claude-instant-v1", body="{}")["body"]], (25, 4)),
    ("bedrock", "bedrock/invoke-titan-or-nova", lambda c: json.loads(c.invoke_model(modelId="amazon.titan-text-express-v1", body="{}")["body"].read())["results"], (9, 17)),
    ("mistral", "mistral/chat-cached", lambda c: c.chat.complete(model="m", messages=HELLO).choices[0].message.content, (93, 29)),
    ("mistral", "mistral/chat-tool-calls", lambda c: c.chat.complete(model="m", messages=HELLO).choices[0].message, (24, 7)),
    ("mistral", "mistral/stream", lambda c: list(c.chat.stream(model="m", messages=HELLO)), (24, 2)),
    ("mistral", "mistral/embeddings", lambda c: c.embeddings.create(model="m", inputs=["x"]).data, (5, 0)),
    ("cohere", "cohere/v2-chat", lambda c: c.chat(model="m", messages=HELLO).message.content, (8, 8)),
    ("cohere", "cohere/v2-chat-tool-calls", lambda c: c.chat(model="m", messages=HELLO).message.tool_calls, (43, 21)),
    ("cohere", "cohere/v2-stream-tool-calls", lambda c: [e for e in c.chat_stream(model="m", messages=HELLO)], (68, 8)),
    ("cohere", "cohere/embed", lambda c: c.embed(model="m", input_type="search_query", texts=["x"], embedding_types=["float"]).embeddings, (7, 0)),
    ("groq", "groq/chat-cached", lambda c: chat(c).choices[0].message, (336, 96)), ("groq", "groq/stream", stream, (339, 58)),
    ("groq", "groq/chat-tool-calls", lambda c: chat(c).choices[0].message.tool_calls[0].function.name, (711, 75)),
    ("together", "together/chat", lambda c: chat(c).choices[0].message.content, (18, 35)),
    ("ollama", "ollama/chat", lambda c: c.chat(model="m", messages=HELLO).message.content, (17, 66)),
    ("ollama", "ollama/generate-ndjson", lambda c: list(c.generate(model="m", prompt="x", stream=True)), (16, 51)),
    ("azure", "azure/deployment-chat-stream", stream, (12, 24)),
    ("azure", "azure/v1-responses", lambda c: openai.OpenAI(api_key=c.api_key, base_url=str(c.base_url).split("/openai")[0] + "/openai/v1").responses.create(model="m", input="x").output_text, (12, 5)),
    ("deepseek", "deepseek/stream", stream, (496, 31)), ("deepseek", "deepseek/stream-no-include-usage", stream, (12, 89)),
    ("xai", "xai/responses-cost-ticks", lambda c: c.responses.create(model="m", input="x").usage.total_tokens, (4963, 45)),
    ("xai", "xai/responses-stream", lambda c: list(c.responses.create(model="m", input="x", stream=True)), (289, 171)),
    ("perplexity", "perplexity/chat-cost", lambda c: chat(c).choices[0].message.content, (9, 12)),
    ("openrouter", "openrouter/chat-cost", lambda c: chat(c).choices[0].message.content, (13, 9)), ("openrouter", "openrouter/stream-comments-cost", stream, (254, 5)),
    ("huggingface", "huggingface/chat", lambda c: chat(c).choices[0].message, (19, 29)), ("cerebras", "cerebras/chat-1", lambda c: chat(c).choices[0].message.content, (43, 9)),
    ("openai", "openai/chat-cached-tokens", lambda c: chat(c).choices[0].message, (3806, 76)), ("openai", "openai/responses", lambda c: c.responses.create(model="m", input="x").output_text, (12, 8)),
    ("openai", "openai/chat-stream-tool-calls-usage", lambda c: stream(c, stream_options={"include_usage": True}), (398, 10)),
    ("anthropic", "anthropic/message", lambda c: claude(c).content[0].text, (32, 15)), ("anthropic", "anthropic/message-tool-use", lambda c: claude(c).content, (568, 58)),
    ("anthropic", "anthropic/message-cache-read", lambda c: claude(c).content, (7361, 4)), ("anthropic", "anthropic/stream-thinking", lambda c: list(claude(c, stream=True)), (52, 216)),
    ("vertex", "vertex/generate", lambda c: c.models.generate_content(model="gemini-2.5-flash", contents="x").text, (90, 8)),
    ("vertex", "vertex/generate-function-call", lambda c: c.models.generate_content(model="gemini-2.5-flash", contents="x").function_calls[0].name, (26, 41)),
    ("together", "together/completions", lambda c: c.completions.create(model="m", prompt="x").choices, (18, 35)),
    ("vllm", "vllm/completions", lambda c: c.completions.create(model="m", prompt="x").choices, (20, 20)),
    ("mistral", "mistral/stream-tool-calls", lambda c: list(c.chat.stream(model="m", messages=HELLO)), (96, 23)),
    ("huggingface", "huggingface/stream", stream, (40, 2)), ("azure", "azure/deployment-chat-stream-usage", lambda c: stream(c, stream_options={"include_usage": True}), (205, 18)),
    ("azure", "azure/v1-responses-stream", lambda c: list(openai.OpenAI(api_key=c.api_key, base_url=str(c.base_url).split("/openai")[0] + "/openai/v1").responses.create(model="m", input="x", stream=True)), (18, 120)),
    ("voyage", "voyage/embeddings", lambda c: c("/v1/embeddings"), (12, 0)),
]


# What the tests saw, by kind: the table in docs/providers.md.
SEEN = {}
COLUMNS = ["plain", "streamed", "tools", "401", "429", "usage", "cost"]
# Made-up prices, of which a token costs no whole number of nano-dollars. USD for a million tokens.
PRICES = {"input": "0.1237", "output": "1.00039", "cache_read": "0.01003"}
CACHED = {"gemini/generate-cached": 9609, "mistral/chat-cached": 16, "groq/chat-cached": 256, "deepseek/stream": 384, "xai/responses-cost-ticks": 1024, "xai/responses-stream": 128,
          "openai/chat-cached-tokens": 3072, "anthropic/message-cache-read": 7351, "azure/deployment-chat-stream-usage": 159}
STATED = {"xai/responses-cost-ticks": "0.00524105", "xai/responses-stream": "0.00065435", "perplexity/chat-cost": "0.00502", "openrouter/chat-cost": "0.000735", "openrouter/stream-comments-cost": "0.000837"}
MODELS = {
    "gemini": ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash-exp"], "vertex": ["gemini-2.5-flash"],
    "bedrock": ["us.amazon.nova-2-lite-v1:0", "amazon.titan-text-lite-v1", "anthropic.claude-instant-v1", "amazon.titan-text-express-v1"],
}


def price(name, usage):
    """What a recorded answer costs, by nothing but its numbers and the made-up prices."""
    if name in STATED:
        return Decimal(STATED[name])
    cached = CACHED.get(name, 0)
    exact = (usage[0] - cached) * Decimal(PRICES["input"]) + cached * Decimal(PRICES["cache_read"]) + usage[1] * Decimal(PRICES["output"])
    return (exact * 1000).to_integral_value(ROUND_CEILING) / 10**9


@pytest.mark.parametrize("kind,name,call,usage", CALLS, ids=[c[1] for c in CALLS])
def test_a_recorded_answer_arrives_is_counted_exactly_and_costs_what_it_says(world, kind, name, call, usage):
    for model in MODELS.get(kind, ["m"]) if kind not in world.priced else []:
        world.gw.cli("price", "set", kind, model, *(x for k, v in PRICES.items() for x in (f"--{k.replace('_', '-')}", v)))
    world.priced.add(kind)
    world.replay(name)
    assert call(MAKE[kind](world))
    assert world.told() == usage
    assert Decimal(world.gw.activity("--limit", "1")[0]["cost_usd"]) == price(name, usage)
    is_stream = "stream" in name or "ndjson" in name
    SEEN.setdefault(kind, set()).update({"usage", "cost", "tools" if "tool" in name or "function" in name else "streamed" if is_stream else "plain"} | ({"streamed"} if is_stream else set()))


ERRORS = {
    "gemini": lambda e: e.code, "bedrock": lambda e: e.response["ResponseMetadata"]["HTTPStatusCode"], "mistral": lambda e: e.status_code, "cohere": lambda e: e.status_code,
    "ollama": lambda e: e.status_code, "vertex": lambda e: e.code, "voyage": lambda e: e.code,
}
# How it shows what we say, where it is not part of the error's text.
SAYS = {"voyage": lambda e: e.read().decode()}
ASK = {
    "gemini": lambda c: c.models.generate_content(model="g", contents="x"), "bedrock": lambda c: c.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "x"}]}]),
    "mistral": lambda c: c.chat.complete(model="m", messages=HELLO), "cohere": lambda c: c.chat(model="m", messages=HELLO, request_options={"max_retries": 0}), "ollama": lambda c: c.chat(model="m", messages=HELLO),
    "anthropic": claude, "vertex": lambda c: c.models.generate_content(model="g", contents="x"), "voyage": lambda c: c("/v1/embeddings"),
}


@pytest.mark.parametrize("kind", sorted(MAKE))
def test_refusals_are_the_sdks_own_errors_with_our_sentence(world, kind):
    world.replay("openai/chat")
    ask, status, says = ASK.get(kind, chat), ERRORS.get(kind, lambda e: e.status_code), SAYS.get(kind, str)
    with pytest.raises(Exception) as error:
        ask(MAKE[kind](world, world.dead))
    assert status(error.value) == 401 and "revoked for good" in says(error.value), repr(error.value)
    limited = world.gw.key("--provider", "*", "--limit", "requests_per_hour=1")
    world.replay(next(c[1] for c in CALLS if c[0] == kind))
    next(c[2] for c in CALLS if c[0] == kind)(MAKE[kind](world, limited))
    asked = len(world.replayer.requests)
    with pytest.raises(Exception) as error:
        ask(MAKE[kind](world, limited))
    assert status(error.value) == 429 and "used up its requests" in says(error.value), repr(error.value)
    assert len(world.replayer.requests) == asked
    SEEN.setdefault(kind, set()).update({"401", "429"})


def test_the_table_in_the_documentation_is_what_was_seen(request):
    """Last of its kind: everything above has run, or there is nothing to compare."""
    if len(SEEN) < len(MAKE) or any("usage" not in seen or "401" not in seen for seen in SEEN.values()):
        pytest.skip("SKIPPED: only some of the providers' tests were run, or some failed: the table is made by all of them")
    page = Path(__file__).parents[2] / "docs/providers.md"
    rows = [f"| `{kind}` | " + " | ".join("yes" if c in SEEN[kind] else "-" for c in COLUMNS) + " |" for kind in sorted(SEEN)]
    table = "\n".join([f"| kind | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|", *rows]) + "\n"
    text = page.read_text()
    before, rest = text.split("<!-- table of the tests -->\n")
    old, after = rest.split("<!-- end of the table -->\n")
    if os.environ.get("MASKLLM_WRITE_TABLE"):
        page.write_text(f"{before}<!-- table of the tests -->\n{table}<!-- end of the table -->\n{after}")
    else:
        assert old == table, "run the tests with MASKLLM_WRITE_TABLE=1"


def test_a_key_in_the_query_is_taken_and_never_passed_on(world):
    world.replay("gemini/generate-cached")
    request = f"POST /gemini/v1beta/models/g:generateContent?alt=json&key={world.key} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    assert raw(world.gw.port, request.encode()).startswith(b"HTTP/1.1 200")
    _, path, headers, _ = world.replayer.requests[-1]
    assert path == "/v1beta/models/g:generateContent?alt=json" and headers["x-goog-api-key"] == REAL and world.key not in json.dumps(headers)


@pytest.mark.parametrize("style,shows", [
    ("query:api_token", lambda path, headers: path.endswith(f"?a=b&api_token={REAL}")), ("header:x-my-key", lambda path, headers: headers["x-my-key"] == REAL),
    ("basic", lambda path, headers: headers["Authorization"] == "Basic " + base64.b64encode(REAL.encode()).decode()),
])
def test_credentials_go_where_the_provider_wants_them(world, certificates, style, shows):
    name = "style-" + style.split(":")[0]
    world.gw.cli("provider", "add", name, "--base-url", world.replayer.url, "--ca-file", certificates / "ca.pem", "--credential", style)
    world.gw.cli("provider-key", "add", name, input=REAL + "\n")
    world.replay("openai/chat")
    request = f"POST /{name}/v1/chat/completions?a=b&api_token=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    assert raw(world.gw.port, request.encode()).startswith(b"HTTP/1.1 200")
    _, path, headers, _ = world.replayer.requests[-1]
    assert shows(path, headers), (path, headers)
    if style.startswith("query"):
        assert "api_token=x" not in path and "Authorization" not in headers


def test_a_file_of_ones_own_is_a_kind_of_provider(world, tmp_path, running, certificates):
    gw = Gateway(tmp_path)
    gw.stop()
    (gw.data / "catalogue").mkdir(mode=0o700)
    (gw.data / "catalogue/house.yaml").write_text("title: The house model\nkey: header:x-house\nerrors: text\nendpoints:\n  - POST /speak/{model} chat ollama\n")
    gw.start()
    try:
        gw.cli("provider", "add", "house", "--base-url", world.replayer.url, "--ca-file", certificates / "ca.pem")
        gw.cli("provider-key", "add", "house", input=REAL + "\n")
        key = gw.key("--provider", "house", "--model", "good")
        world.replayer.name = "ollama/chat"
        ask = lambda model: raw(gw.port, f"POST /house/speak/{model} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        assert ask("good").startswith(b"HTTP/1.1 200") and b'"code":"model_not_allowed"' in ask("bad")
        assert [(e["model"], e["input_tokens"]) for e in gw.activity() if e["status"] == 200] == [("good", 17)]
    finally:
        gw.stop()
    (gw.data / "catalogue/house.yaml").write_text("title: The house model\nkey: header:x-house\nerrors: text\nendpoints:\n  - SPEAK /x chat ollama\n")
    done = gw.cli("serve", "--listen", "127.0.0.1:0", check=False)
    assert done.returncode != 0 and "house.yaml, line 5: an endpoint is wanted" in done.stderr


class TestAmazonSignatures:
    """The stand-in checks each signature with botocore's own signer."""
    ACCESS, SECRET, TOKEN = "AKIAMADEUP0000000000", "made/up+secret/00000000000000000000000000", "made-up-session-token=="

    def verify(self, request, service, region, token=None):
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        method, path, headers, body = request
        headers = {k.lower(): v for k, v in headers.items()}
        given = headers.pop("authorization")
        signed = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        auth = SigV4Auth(Credentials(self.ACCESS, self.SECRET, token), service, region)
        again = AWSRequest(method, f"https://{headers['host']}{path}", data=body, headers={k: headers[k] for k in signed})
        again.context["timestamp"] = headers["x-amz-date"]
        canonical = auth.canonical_request(again)
        signature = auth.signature(auth.string_to_sign(again, canonical), again)
        assert given.endswith(f"Signature={signature}"), canonical
        assert f"Credential={self.ACCESS}/{headers['x-amz-date'][:8]}/{region}/{service}/aws4_request" in given
        assert {"host", "x-amz-date", "content-type"} <= set(signed) and (token is None) == ("x-amz-security-token" not in signed)

    @pytest.fixture(scope="class")
    def aws(self, tmp_path_factory, certificates):
        w = World(tmp_path_factory.mktemp("aws"), certificates, kinds=["openai"])
        for name, secret in (("long", f"{self.ACCESS}:{self.SECRET}"), ("session", f"{self.ACCESS}:{self.SECRET}:{self.TOKEN}")):
            w.gw.cli("provider", "add", name, "--kind", "bedrock", "--base-url", w.replayer.url, "--ca-file", certificates / "ca.pem", "--credential", "aws:bedrock:eu-central-1")
            w.gw.cli("provider-key", "add", name, input=secret + "\n")
        yield w
        w.gw.stop()

    def ask(self, w, name, path, body=b"{}", chunked=False):
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
        content = b"".join(b"%x\r\n" % len(body[i:i + 5000]) + body[i:i + 5000] + b"\r\n" for i in range(0, len(body), 5000)) + b"0\r\n\r\n" if chunked else body
        w.replayer.requests.clear()
        w.replayer.name = "bedrock/converse"
        answer = raw(w.gw.port, f"POST /{name}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {w.key}\r\nContent-Type: application/json\r\nConnection: close\r\n".encode() + framing + b"\r\n" + content)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
        return w.replayer.requests[-1]

    @pytest.mark.parametrize("path", ["/model/amazon.nova-lite-v1%3A0/converse", "/model/amazon.nova-lite-v1:0/converse", "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ax%2Fy/converse", "/model/m/converse?b=2&a=1&a=0&c=%20~"])
    def test_paths_and_queries(self, aws, path):
        request = self.ask(aws, "long", path, b'{"messages":[]}')
        assert request[1] == path
        self.verify(request, "bedrock", "eu-central-1")

    def test_a_session_token(self, aws):
        request = self.ask(aws, "session", "/model/m/converse")
        self.verify(request, "bedrock", "eu-central-1", self.TOKEN)

    def test_a_million_bytes_that_come_in_pieces(self, aws):
        body = json.dumps({"messages": [{"role": "user", "content": [{"text": "x" * 1_000_000}]}]}).encode()
        request = self.ask(aws, "long", "/model/m/converse", body, chunked=True)
        assert request[3] == body
        self.verify(request, "bedrock", "eu-central-1")

    def test_keys_that_cannot_sign_are_refused_when_they_are_given(self, aws):
        for secret, says in (("made-up-key-without-colon", "with a colon between"), ("AKIA:x", "8 to 8192"), ("AKIAMADEUP0000000000:", "secret access key is missing")):
            done = aws.gw.cli("provider-key", "add", "long", "--name", "bad", input=secret + "\n", check=False)
            assert done.returncode != 0 and says in done.stderr, done.stderr
        done = aws.gw.cli("provider", "add", "nowhere", "--kind", "bedrock", "--base-url", "https://bedrock.example.com", "--credential", "aws:bedrock")
        done = aws.gw.cli("provider-key", "add", "nowhere", input=f"{self.ACCESS}:{self.SECRET}\n", check=False)
        assert done.returncode != 0 and "the region of bedrock.example.com is not known" in done.stderr

    def test_a_clock_that_is_wrong_is_said_to_be(self, aws, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 403 Forbidden\r\nDate: Wed, 25 Nov 2020 02:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

        up = running(Upstream, play)
        aws.gw.cli("provider", "add", "old", "--kind", "bedrock", "--base-url", up.url, "--credential", "aws:bedrock:us-east-1")
        aws.gw.cli("provider-key", "add", "old", input=f"{self.ACCESS}:{self.SECRET}\n")
        answer = raw(aws.gw.port, f"POST /old/model/m/converse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {aws.key}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        assert b"503" in answer and b'"code":"clock_skewed"' in answer and aws.gw.says("clock and this machine's differ")

    def test_no_part_of_the_secret_is_sent_or_shown(self, aws):
        method, path, headers, body = self.ask(aws, "session", "/model/m/converse")
        assert self.SECRET not in json.dumps(headers) and self.SECRET[:20] not in aws.gw.output and self.SECRET not in aws.gw.cli("provider-key", "list", "--json")


class TestPools:
    """Several keys of one provider: shared by weight, picked by tag, left alone when the provider says so."""

    def world(self, running, play, n=3, sets=()):
        up = running(Upstream, play)
        gw = running(Gateway, up.url)
        ids = [json.loads(gw.cli("provider-key", "list", "--json"))[0]["id"]]
        for i in range(1, n):
            ids.append(json.loads(gw.cli("provider-key", "add", "up", "--name", f"k{i}", "--json", input=f"made-up-key-number-{i}\n"))["id"])
        for i, options in enumerate(sets):
            if options:
                gw.cli("provider-key", "set", ids[i], *options)
        return up, gw, ids

    @staticmethod
    def number(request):
        key = request["headers"]["authorization"].removeprefix("Bearer ")
        return int(key[-1]) if key.startswith("made-up-key-number-") else 0

    def states(self, gw):
        return {k["id"]: k["state"] for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["provider"] == "up"}

    def test_requests_are_shared_by_weight(self, running):
        up, gw, _ = self.world(running, ok(), sets=[["--weight", "1"], ["--weight", "2"], ["--weight", "7"]])
        key = gw.key()
        for _ in range(200):
            assert status_of(raw(gw.port, post(CHAT, key))) == 200
        counts = [sum(self.number(r) == i for r in up.requests) for i in range(3)]
        assert sum(counts) == 200 and 8 <= counts[0] <= 35 and 25 <= counts[1] <= 58 and 115 <= counts[2] <= 165, counts

    def test_a_policy_picks_keys_by_their_tags(self, running):
        up, gw, _ = self.world(running, ok(), sets=[["--tag", "us"], ["--tag", "eu", "--tag", "prod"], ["--tag", "eu"]])
        eu, prod, nowhere = (gw.key("--provider", "*", "--key-tag", tag) for tag in ("eu", "prod", "mars"))
        for _ in range(20):
            assert status_of(raw(gw.port, post(CHAT, eu))) == 200
        assert {self.number(r) for r in up.requests} == {1, 2}
        up.requests.clear()
        for _ in range(5):
            assert status_of(raw(gw.port, post(CHAT, prod))) == 200
        assert {self.number(r) for r in up.requests} == {1}
        assert code_of(raw(gw.port, post(CHAT, nowhere))) == "no_usable_provider_key"
        gw.cli("team", "set", "t", "--key-tag", "us")
        assert "does not permit all of these provider key tags" in gw.cli("key", "create", "--name", "x", "--team", "t", "--key-tag", "eu", check=False).stderr

    def test_a_key_that_is_refused_is_not_used_again_and_its_request_goes_out_with_another(self, running):
        def play(s, request):
            status = b"401 Unauthorized" if self.number(request) == 1 else b"200 OK"
            s.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % status)

        up, gw, ids = self.world(running, play)
        key = gw.key()
        bodies = [b'{"n":%d}' % i for i in range(40)]
        for body in bodies:
            assert status_of(raw(gw.port, post(CHAT, key, body))) == 200
        wait_until(lambda: self.states(gw) == {ids[0]: "usable", ids[1]: "quarantined", ids[2]: "usable"}, "the quarantine")
        looks = [r for r in up.requests if self.number(r) == 1 and r["line"].startswith("GET /v1/models ")]
        assert len(looks) == 1 and [r["body"] for r in up.requests if self.number(r) != 1] == bodies
        assert gw.says(f"no longer using provider key {ids[1]}")
        assert len(gw.activity("--limit", "100")) == 40
        gw.cli("provider-key", "release", ids[1])
        assert self.states(gw)[ids[1]] == "usable"
        gw.key()  # a change elsewhere forgets nothing
        for _ in range(20):
            assert status_of(raw(gw.port, post(CHAT, key))) == 200
        wait_until(lambda: self.states(gw)[ids[1]] == "quarantined", "the quarantine")

    def test_when_all_are_refused_the_client_is_told_so_and_nobody_asks_again(self, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")

        up, gw, ids = self.world(running, play)
        key = gw.key()
        assert code_of(raw(gw.port, post(CHAT, key))) == "provider_key_refused"
        wait_until(lambda: set(self.states(gw).values()) == {"quarantined"}, "the quarantine")
        # Each was refused once, and looked at once.
        assert sorted(r["line"].split()[0] for r in up.requests) == ["GET"] * 3 + ["POST"] * 3
        assert code_of(raw(gw.port, post(CHAT, key))) == "no_usable_provider_key" and len(up.requests) == 6

    @pytest.mark.parametrize("kind, path, body", [
        ("openai-compatible", "/v1/chat/completions", b'{"error":{"message":"no access to this model"}}'),
        ("openrouter", "/api/v1/chat/completions", b'{"error":{"code":403,"message":"flagged","metadata":{"reasons":["x"],"flagged_input":"y"}}}'),
        ("xai", "/v1/chat/completions", b'{"code":"The caller does not have permission","error":"Content violates usage guidelines."}'),
        ("bedrock", "/model/m/converse", b'{"message":"You don\'t have access to the model with the specified model ID."}')])
    def test_a_403_about_a_prompt_or_a_model_is_the_callers_and_moves_no_key(self, running, kind, path, body):
        def play(s, request):
            bad = b"forbidden" in request["body"]
            content = body if bad else b"{}"
            s.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (b"403 Forbidden" if bad else b"200 OK", len(content)) + content)

        up = running(Upstream, play)
        gw = running(Gateway)
        gw.cli("provider", "add", "p", "--kind", kind, "--base-url", up.url)
        for i in range(2):
            gw.cli("provider-key", "add", "p", "--name", f"k{i}", input=f"made-up-key-number-{i}\n")
        key = gw.key()
        for _ in range(12):
            status, _, content = split(raw(gw.port, post("/p" + path, key, b'{"say":"forbidden"}')))
            assert (status, content) == (403, body)
        assert len(up.requests) == 12, "no request goes out with every key of the pool"
        assert {k["state"] for k in json.loads(gw.cli("provider-key", "list", "--json"))} == {"usable"}
        assert status_of(raw(gw.port, post("/p" + path, key))) == 200

    def test_a_401_to_a_request_takes_no_key_away_that_the_provider_takes(self, running):
        def play(s, request):
            good = request["line"].startswith("GET /v1/models") or b"good" in request["body"]
            s.sendall(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\n{}" % (b"200 OK" if good else b"401 Unauthorized"))

        up, gw, ids = self.world(running, play, n=2)
        key = gw.key()
        for _ in range(20):
            assert code_of(raw(gw.port, post(CHAT, key))) == "provider_key_refused"
        assert gw.says(f"takes provider key {ids[0]}: it stays in use")
        assert set(self.states(gw).values()) == {"usable"} and gw.output.count("it stays in use") <= 2
        assert len([r for r in up.requests if r["line"].startswith("GET")]) <= 2
        assert status_of(raw(gw.port, post(CHAT, key, b'{"say":"good"}'))) == 200

    @pytest.mark.parametrize("wait", ["99999999999", "9223372036854775807", "99999999999999999999999", "-1", "1e400"])
    def test_no_retry_after_stops_the_server(self, running, wait):
        def play(s, request):
            first = self.number(request) == 1
            s.sendall(b"HTTP/1.1 %s\r\nretry-after: %s\r\nretry-after-ms: %s\r\nContent-Length: 2\r\n\r\n{}" % (b"429 X" if first else b"200 OK", wait.encode(), wait.encode()))

        up, gw, ids = self.world(running, play, n=2)
        key = gw.key()
        for _ in range(10):
            assert status_of(raw(gw.port, post(CHAT, key))) == 200
        assert gw.child.poll() is None

    def test_a_key_that_is_asked_too_often_rests_for_as_long_as_the_provider_says(self, running):
        def play(s, request):
            if self.number(request) == 2:
                s.sendall(b"HTTP/1.1 429 Too Many\r\nretry-after: 30\r\nContent-Length: 2\r\n\r\n{}")
            else:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        up, gw, ids = self.world(running, play)
        key = gw.key()
        for _ in range(30):
            assert status_of(raw(gw.port, post(CHAT, key))) == 200
        assert len([r for r in up.requests if self.number(r) == 2]) == 1 and self.states(gw)[ids[2]] == "cooling"

    @pytest.mark.parametrize("kind,answer,seconds", [
        ("openai", b"x-ratelimit-reset-requests: 2m\r\nx-ratelimit-reset-tokens: 10ms\r\nContent-Length: 2\r\n\r\n{}", 120),
        ("anthropic", b"anthropic-ratelimit-tokens-reset: 2099-01-01T00:00:00Z\r\nContent-Length: 2\r\n\r\n{}", 300),
        ("gemini", b"Transfer-Encoding: chunked\r\n\r\n2f\r\n{\"error\":{\"details\":[{\"retryDelay\":\"100.5s\"}]}}\r\n0\r\n\r\n", 101),
    ], ids=["openai", "anthropic", "gemini"])
    def test_how_long_a_key_rests_is_read_where_its_provider_says_it(self, running, kind, answer, seconds):
        def play(s, request):
            if b"made-up-key-number-1" in str(request["headers"]).encode():
                s.sendall(b"HTTP/1.1 429 Too Many\r\nContent-Type: application/json\r\n" + answer)
            else:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        up = running(Upstream, play)
        gw = running(Gateway)
        gw.cli("provider", "add", kind, "--base-url", up.url)
        for i in range(2):
            gw.cli("provider-key", "add", kind, "--name", f"k{i}", input=f"made-up-key-number-{i}\n")
        key = gw.key("--provider", kind)
        path = {"gemini": "/gemini/v1/models/g:generateContent", "openai": "/openai/v1/chat/completions", "anthropic": "/anthropic/v1/messages"}[kind]
        for _ in range(20):
            assert status_of(raw(gw.port, post(path, key))) == 200
        assert len(up.requests) == 21
        resting = [k for k in json.loads(gw.cli("provider-key", "list", "--json")) if k["state"] == "cooling"]
        assert len(resting) == 1 and seconds - 10 < resting[0]["cools_seconds"] <= seconds

    @pytest.mark.parametrize("kind,body", [("xai", "xai/error-400-bad-key"), ("gemini", b'{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}')])
    def test_a_400_that_is_about_our_key_is_as_a_401(self, running, kind, body):
        body = body if isinstance(body, bytes) else base64.b64decode(json.loads((CASSETTES / f"{body}.json").read_text())["response"]["body_b64"])
        wrong = threading.Event()

        def play(s, request):
            content = b'{"error":"The model Incorrect API key provided is not known"}' if not wrong.is_set() else body
            s.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

        up = running(Upstream, play)
        gw = running(Gateway)
        gw.cli("provider", "add", kind, "--base-url", up.url)
        gw.cli("provider-key", "add", kind, input="made-up-key-number-0\n")
        key = gw.key("--provider", kind)
        path = "/gemini/v1/models/g:generateContent" if kind == "gemini" else "/xai/v1/chat/completions"
        for _ in range(6):
            assert b"is not known" in raw(gw.port, post(path, key))
        wrong.set()
        for _ in range(5):
            answer = raw(gw.port, post(path, key))
            assert b"provider_key_refused" in answer or b"console.x.ai" not in answer and b"API_KEY_INVALID" not in answer
        assert gw.says("no longer using provider key")
        assert json.loads(gw.cli("provider-key", "list", "--json"))[0]["state"] == "quarantined"

    def test_with_one_key_the_providers_429_is_the_clients(self, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 429 Too Many\r\nretry-after: 30\r\nContent-Length: 2\r\n\r\n{}")

        up, gw, ids = self.world(running, play, n=1)
        status, headers, _ = split(raw(gw.port, post(CHAT, gw.key())))
        assert (status, headers["retry-after"]) == (429, "30") and self.states(gw)[ids[0]] == "usable"

    def test_a_request_with_a_budget_is_held_and_settled_once_however_often_it_is_sent(self, running):
        body = b'{"model":"m","usage":{"prompt_tokens":10,"completion_tokens":5}}'

        def play(s, request):
            if self.number(request) != 2:
                s.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
            else:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        up, gw, ids = self.world(running, play)
        gw.cli("price", "set", "up", "m", "--input", "1", "--output", "2")
        key = gw.key()
        gw.cli("budget", "set", "b", "--usd", "1", "--key", key.split("_")[1])
        for _ in range(10):
            assert status_of(raw(gw.port, post(CHAT, key, b'{"model":"m","max_tokens":5}'))) == 200
        state = json.loads(gw.cli("budget", "show", "b", "--json"))["state"]
        assert (state["spent_usd"], state["held_usd"]) == ("0.0002", "0.00")

    @pytest.mark.parametrize("args,says", [
        (["set", "AAAAAAAAAAAA"], "there is no provider key"), (["set", "x"], "no ID"), (["set", "AAAAAAAAAAAA", "--weight", "0"], "no number from 1 to 1000"),
        (["release", "AAAAAAAAAAAA"], "there is no provider key"),
    ])
    def test_bad_settings_are_refused(self, world, args, says):
        done = world.gw.cli("provider-key", *args, check=False)
        assert done.returncode != 0 and says in done.stderr


class TestPlaces:
    """Several addresses of one provider."""

    def world(self, running, *urls, kind="openai", keys=1, config=""):
        gw = running(Gateway, config=config)
        gw.cli("provider", "add", "p", "--kind", kind, "--base-url", urls[0], *(x for u in urls[1:] for x in ("--fallback-url", u)))
        for i in range(keys):
            gw.cli("provider-key", "add", "p", "--name", f"k{i}", input=f"made-up-key-number-{i}\n")
        return gw, gw.key("--provider", "p")

    @staticmethod
    def nobody():
        with socket.create_server(("127.0.0.1", 0)) as s:
            return f"http://127.0.0.1:{s.getsockname()[1]}"

    @pytest.mark.parametrize("keys", [1, 2])
    def test_a_request_goes_to_the_next_address_when_one_cannot_be_reached(self, running, keys):
        up = running(Upstream, ok())
        dead = self.nobody()
        gw, key = self.world(running, f"{dead}/a/long/prefix", self.nobody(), f"{up.url}/b", keys=keys)
        for body in (b'{"model":"m"}', b"x" * 200_000):
            assert status_of(raw(gw.port, post("/p/v1/chat/completions?x=1", key, body))) == 200
            r = up.requests[-1]
            assert r["line"] == "POST /b/v1/chat/completions?x=1 HTTP/1.1" and r["headers"]["host"] == up.url.removeprefix("http://") and r["body"] == body
            assert r["headers"]["authorization"].startswith("Bearer made-up-key-number-") and r["names"].count("Host") == 1
        assert gw.says("cannot be reached at 127.0.0.1: trying its next address")
        assert len(gw.activity()) == 2
        assert json.loads(gw.cli("provider", "list", "--json"))[-1].get("fallback_urls") or any(p.get("fallback_urls") for p in json.loads(gw.cli("provider", "list", "--json")))

    def test_an_address_that_could_not_be_reached_is_left_alone_for_a_while(self, running):
        up = running(Upstream, ok())
        gw, key = self.world(running, self.nobody(), up.url)
        for _ in range(10):
            assert status_of(raw(gw.port, post("/p/v1/chat/completions", key))) == 200
        assert 1 <= gw.output.count("trying its next address") <= 2  # once a loop

    def test_when_none_can_be_reached_the_client_is_told_so(self, running):
        gw, key = self.world(running, self.nobody(), self.nobody())
        assert code_of(raw(gw.port, post("/p/v1/chat/completions", key))) == "upstream_unreachable"

    def test_what_was_sent_is_not_sent_again_elsewhere(self, running):
        first, second = running(Upstream, lambda s, r: False), running(Upstream, ok())
        gw, key = self.world(running, first.url, second.url)
        assert code_of(raw(gw.port, post("/p/v1/chat/completions", key))) == "upstream_broken" and len(first.requests) == 1 and not second.requests

    def test_a_key_is_sealed_for_all_of_its_addresses_and_no_other(self, running):
        up = running(Upstream, ok())
        gw, key = self.world(running, up.url, self.nobody())
        done = gw.cli("provider", "add", "p", "--kind", "openai", "--base-url", up.url, "--fallback-url", "https://evil.example", check=False)
        assert done.returncode != 0 and "has keys that are sealed for" in done.stderr
        for urls in ([up.url], ["http://example.com"], ["nonsense"], [self.nobody() for _ in range(8)]):
            done = gw.cli("provider", "add", "q", "--kind", "openai", "--base-url", up.url, *(x for u in urls for x in ("--fallback-url", u)), check=False)
            assert done.returncode != 0 and done.stderr.startswith("maskllm: "), done.stderr

    def test_a_provider_that_comes_before_it_meanwhile_gets_nothing_of_a_request_that_waits(self, running):
        """Positions of providers shift while the body is on its way."""
        mine, other = running(Upstream, ok()), running(Upstream, ok())
        gw, key = self.world(running, mine.url)
        with socket.create_connection(("127.0.0.1", gw.port)) as s:
            s.settimeout(20)
            s.sendall(f"POST /p/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{{".encode())
            for name in ("a1", "a2"):
                gw.cli("provider", "add", name, "--kind", "openai", "--base-url", other.url)
                gw.cli("provider-key", "add", name, input="made-up-key-of-the-other\n")
            s.sendall(b'"model":"m"}')
            assert s.recv(100).startswith(b"HTTP/1.1 200")
        assert [r["headers"]["authorization"] for r in mine.requests] == ["Bearer made-up-key-number-0"] and not other.requests
        everybody = gw.key("--provider", "*")
        for _ in range(6):
            for name in ("a1", "a2", "p"):
                assert status_of(raw(gw.port, post(f"/{name}/v1/chat/completions", everybody))) == 200
        assert {r["headers"]["authorization"] for r in mine.requests} == {"Bearer made-up-key-number-0"}
        assert {r["headers"]["authorization"] for r in other.requests} == {"Bearer made-up-key-of-the-other"}
