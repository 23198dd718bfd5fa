"""Files, batches, stored answers and caches on an account that many masked keys share: each belongs to the key that made it."""
import json, signal, sqlite3

import pytest
from conftest import Gateway, Upstream, ok, post, raw, split, wait_until
from test_gateway import code_of, status_of

FILE, BATCH, RESPONSE = "file-madeUp00000000000001", "batch_madeup00000000000001", "resp_madeup00000000000000000001"


def answer(body, kind=b"application/json"):
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body


def event(name, data):
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class World:
    """A provider with objects, and masked keys `a` and `b` of one account."""

    def __init__(self, running, kind="openai", secrets=1, serial=False):
        self.serial = serial
        self.up = running(Upstream, self.play)
        self.gw = running(Gateway)
        self.gw.cli("provider", "add", "p", "--kind", kind, "--base-url", self.up.url)
        self.ids = [json.loads(self.gw.cli("provider-key", "add", "p", "--name", f"k{i}", "--json", input=f"made-up-key-number-{i}\n"))["id"] for i in range(secrets)]
        self.a, self.b = self.gw.key(), self.gw.key()

    def play(self, s, request):
        method, target, _ = request["line"].split()
        path = target.split("?")[0]
        number = len(self.up.requests) if self.serial else 1
        made = lambda id: id[:-2] + f"{number:02}"
        if method == "DELETE":
            s.sendall(answer(json.dumps({"id": path.rsplit("/", 1)[1], "deleted": True}).encode()))
        elif path.endswith("/files") and method == "POST":
            s.sendall(answer(json.dumps({"object": "file", "id": made(FILE), "purpose": "batch"}).encode()))
        elif path.endswith("/batches") and method == "POST":
            s.sendall(answer(json.dumps({"id": BATCH, "status": "in_progress", "input_file_id": FILE}).encode()))
        elif "/batches/" in path:
            s.sendall(answer(json.dumps({"id": BATCH, "status": "completed", "output_file_id": "file-madeUp0000000000out1", "error_file_id": None}).encode()))
        elif path.endswith("/responses"):
            asked = json.loads(request["body"])
            response = {"id": made(RESPONSE), "object": "response", "model": "m", "store": asked.get("store", True), "output": [], "usage": {"input_tokens": 3, "output_tokens": 2}}
            if asked.get("stream"):
                s.sendall(answer(event("response.created", {"type": "response.created", "response": {**response, "usage": None}}) + event("response.completed", {"type": "response.completed", "response": response}), b"text/event-stream"))
            else:
                s.sendall(answer(json.dumps(response).encode()))
        elif path.endswith("/cachedContents"):
            s.sendall(answer(b'{"name":"cachedContents/made-up-1","model":"models/gemini"}'))
        else:
            s.sendall(answer(b'{"id":"%s","usage":{"input_tokens":3,"output_tokens":2}}' % RESPONSE.encode()))

    def ask(self, key, method, path, body=None, chunks=None):
        lines = [f"{method} /p{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json", "Connection: close"]
        body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if chunks:
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n" % len(body[i:i + chunks]) + body[i:i + chunks] + b"\r\n" for i in range(0, len(body), chunks)) + b"0\r\n\r\n"
        else:
            lines.append(f"Content-Length: {len(body)}")
        return raw(self.gw.port, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def refused(self, *args, **kw):
        """Whether a request is refused as naming what is not the key's, without the provider hearing of it."""
        before = len(self.up.requests)
        got = self.ask(*args, **kw)
        assert status_of(got) == 404 and b"object_not_found" in got, got[:300]
        return len(self.up.requests) == before


def test_a_file_is_for_the_key_that_made_it(running):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert w.refused(w.b, method, f"/v1/files/{FILE}{path}")
        assert w.refused(w.a, method, f"/v1/files/file-somebodyelse000000001{path}")
    assert status_of(w.ask(w.a, "GET", f"/v1/files/{FILE}/content")) == 200
    assert status_of(w.ask(w.a, "DELETE", f"/v1/files/{FILE}")) == 200
    assert w.refused(w.a, "GET", f"/v1/files/{FILE}"), "it is gone"


def test_lists_of_what_everybody_has_are_not_passed(running):
    w = World(running)
    for path in ("/v1/files", "/v1/batches", "/v1/vector_stores", "/v1/fine_tuning/jobs"):
        assert code_of(w.ask(w.a, "GET", path)) == "endpoint_not_allowed"


@pytest.mark.parametrize("chunks", [None, 7, 100_000])
@pytest.mark.parametrize("body", [
    b'{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"%s"}]}]}',
    b'{"model":"m","deep":[[[{"anything":{"at all":"%s"}}]]]}',
    b'["%s"]', b'{"%s":1}',
    b'{"model":"m","messages":[{"content":"' + b"x" * 70_000 + b'"}],"file_ids":["%s"]}',
])
def test_no_request_may_name_another_keys_file_wherever_it_stands(running, body, chunks):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
    full = body.replace(b"%s", FILE.encode())
    got = w.ask(w.b, "POST", "/v1/chat/completions", full, chunks=chunks)
    assert code_of(got) == "object_not_found" and len(w.up.requests) == 1
    assert status_of(w.ask(w.a, "POST", "/v1/chat/completions", full, chunks=chunks)) == 200


@pytest.mark.parametrize("written", ["\\u0066ile-madeUp00000000000001", "file\\u002dmadeUp00000000000001", "file-madeUp0000000000000\\u0031"])
def test_an_id_that_is_spelled_with_escapes_is_the_same(running, written):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
    body = b'{"model":"m","x":"%s"}' % written.encode()
    assert w.refused(w.b, "POST", "/v1/chat/completions", body) and status_of(w.ask(w.a, "POST", "/v1/chat/completions", body)) == 200


def test_what_only_looks_like_an_id_passes(running):
    w = World(running)
    body = {"model": "m", "tools": [{"type": "file_search"}], "messages": [{"role": "user", "content": f"what is in {FILE}?"}, {"role": "user", "content": "file-upload"}],
            "stop": ["resp_", "batch_size"], "user": "b1946ac9-2492-4d2b-b0e5-000000000001"}
    assert status_of(w.ask(w.b, "POST", "/v1/chat/completions", body)) == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_stored_answer_is_for_the_key_that_asked_for_it(running, stream):
    w = World(running)
    first = split(w.ask(w.a, "POST", "/v1/responses", {"model": "m", "input": "x", "stream": stream}))
    assert first[0] == 200 and RESPONSE.encode() in first[2]
    again = {"model": "m", "input": "y", "previous_response_id": RESPONSE}
    assert w.refused(w.b, "POST", "/v1/responses", again) and w.refused(w.b, "GET", f"/v1/responses/{RESPONSE}")
    assert status_of(w.ask(w.a, "POST", "/v1/responses", again)) == 200
    assert status_of(w.ask(w.a, "GET", f"/v1/responses/{RESPONSE}")) == 200
    # Reading it again costs nothing, whatever usage it tells. In any order: two loops may have served them in one millisecond.
    assert sorted(e.get("input_tokens", 0) for e in w.gw.activity() if e["status"] == 200 and e["endpoint"] == "responses") == [0, 3, 3]
    assert w.refused(w.a, "POST", "/v1/responses", {"model": "m", "input": "y", "previous_response_id": "of-some-other-shape"})


def test_an_answer_that_is_not_stored_is_not_kept_in_mind(running):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/responses", {"model": "m", "input": "x", "store": False})) == 200
    assert json.loads(w.gw.cli("object", "list", "--json")) == []


def test_a_batch_and_its_files(running):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
    create = {"input_file_id": FILE, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert w.refused(w.b, "POST", "/v1/batches", create) and status_of(w.ask(w.a, "POST", "/v1/batches", create)) == 200
    assert w.refused(w.a, "GET", "/v1/files/file-madeUp0000000000out1/content"), "not before the batch has told of it"
    assert w.refused(w.b, "GET", f"/v1/batches/{BATCH}") and status_of(w.ask(w.a, "GET", f"/v1/batches/{BATCH}")) == 200
    assert status_of(w.ask(w.a, "GET", "/v1/files/file-madeUp0000000000out1/content")) == 200
    assert w.refused(w.b, "GET", "/v1/files/file-madeUp0000000000out1/content")


def test_classes_are_scopes_and_models_in_a_batch_are_not_seen(running):
    w = World(running)
    only = w.gw.key("--provider", "p", "--endpoint", "files")
    assert status_of(w.ask(only, "POST", "/v1/files", b"x")) == 200
    assert code_of(w.ask(only, "POST", "/v1/batches", {"input_file_id": FILE})) == "endpoint_not_in_scope"
    narrow = w.gw.key("--provider", "p", "--model", "gpt-*")
    assert status_of(w.ask(narrow, "POST", "/v1/files", b'{"x":1}')) == 200
    assert code_of(w.ask(narrow, "POST", "/v1/batches", {"input_file_id": FILE})) == "model_unclear"
    spending = w.gw.key()
    w.gw.cli("budget", "set", "b", "--usd", "1", "--key", spending.split("_")[1])
    assert status_of(w.ask(spending, "POST", "/v1/files", b'{"x":1}')) == 200
    assert code_of(w.ask(spending, "POST", "/v1/batches", {"input_file_id": FILE})) in ("model_unclear", "cost_unbounded")


def test_who_owns_what_outlives_the_server(running):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
    assert w.gw.stop(signal.SIGKILL) == -signal.SIGKILL
    w.gw.start()
    assert w.refused(w.b, "GET", f"/v1/files/{FILE}") and status_of(w.ask(w.a, "GET", f"/v1/files/{FILE}")) == 200
    assert status_of(w.ask(w.a, "POST", "/v1/responses", {"model": "m", "input": "x"})) == 200
    assert w.gw.stop() == 0
    w.gw.start()
    assert status_of(w.ask(w.a, "GET", f"/v1/responses/{RESPONSE}")) == 200
    listed = {o["id"]: o for o in json.loads(w.gw.cli("object", "list", "--json"))}
    assert set(listed) == {FILE, RESPONSE} and "expires_at" not in listed[FILE] and listed[RESPONSE]["expires_at"]


def test_a_row_that_is_edited_is_nobodys(running):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
    w.gw.stop()
    with sqlite3.connect(w.gw.data / "maskllm.db") as db:
        assert db.execute("UPDATE object SET key_id = ?", (w.b.split("_")[1],)).rowcount == 1
    w.gw.start()
    assert w.refused(w.b, "GET", f"/v1/files/{FILE}") and w.refused(w.a, "GET", f"/v1/files/{FILE}")


def test_a_file_that_cannot_be_recorded_is_not_told_of(running):
    w = World(running)
    w.gw.stop()
    with sqlite3.connect(w.gw.data / "maskllm.db") as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON object BEGIN SELECT RAISE(FAIL, 'full'); END")
    w.gw.start()
    got = w.ask(w.a, "POST", "/v1/files", b"x")
    assert FILE.encode() not in got
    assert w.gw.says("give it to its key by hand")
    with sqlite3.connect(w.gw.data / "maskllm.db") as db:
        db.execute("DROP TRIGGER full")


def test_an_object_is_asked_for_with_the_provider_key_that_it_was_made_with(running):
    w = World(running, secrets=4, serial=True)
    number = lambda r: r["headers"]["authorization"][-1]
    made = {}
    for _ in range(12):
        id = json.loads(split(w.ask(w.a, "POST", "/v1/files", b"x"))[2])["id"]
        made[id] = number(w.up.requests[-1])
    assert len(set(made.values())) > 1
    for id, by in made.items():
        assert status_of(w.ask(w.a, "GET", f"/v1/files/{id}")) == 200 and number(w.up.requests[-1]) == by
        assert status_of(w.ask(w.a, "POST", "/v1/chat/completions", {"model": "m", "file_id": id})) == 200 and number(w.up.requests[-1]) == by


def test_an_object_can_be_given(running):
    w = World(running)
    assert w.refused(w.a, "GET", f"/v1/files/{FILE}")
    assert "belongs to masked key" in w.gw.cli("object", "give", "p", FILE, "--key", w.a.split("_")[1])
    assert status_of(w.ask(w.a, "GET", f"/v1/files/{FILE}")) == 200 and w.refused(w.b, "GET", f"/v1/files/{FILE}")
    w.gw.cli("object", "give", "p", FILE, "--key", w.b.split("_")[1], "--provider-key", w.ids[0])
    assert w.refused(w.a, "GET", f"/v1/files/{FILE}") and status_of(w.ask(w.b, "GET", f"/v1/files/{FILE}")) == 200
    assert [o["key"] for o in json.loads(w.gw.cli("object", "list", "--json", "--key", w.b.split("_")[1]))] == [w.b.split("_")[1]]
    for args, says in ((["nobody", FILE, "--key", w.a.split("_")[1]], "no provider"), (["p", FILE, "--key", "AAAAAAAAAAAA"], "no masked key"), (["p", "x", "--key", w.a.split("_")[1]], "no ID of an object"),
                       (["p", FILE], "'--key' are wanted"), (["p", FILE, "--key", w.a.split("_")[1], "--provider-key", "AAAAAAAAAAAA"], "no such provider key")):
        done = w.gw.cli("object", "give", *args, check=False)
        assert done.returncode != 0 and says in done.stderr, done.stderr
    assert "no number from 1" in w.gw.cli("object", "list", "--limit", "0", check=False).stderr


def test_googles_names(running):
    w = World(running, "gemini")
    generate = "/v1beta/models/gemini-2.5-flash:generateContent"
    assert status_of(w.ask(w.a, "POST", "/v1beta/cachedContents", {"model": "models/gemini"})) == 200
    use = {"contents": [], "cachedContent": "cachedContents/made-up-1"}
    assert w.refused(w.b, "POST", generate, use) and status_of(w.ask(w.a, "POST", generate, use)) == 200
    assert w.refused(w.b, "GET", "/v1beta/cachedContents/made-up-1") and status_of(w.ask(w.a, "GET", "/v1beta/cachedContents/made-up-1")) == 200
    uri = {"contents": [{"parts": [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]}
    assert w.refused(w.a, "POST", generate, uri)
    w.gw.cli("object", "give", "p", "https://generativelanguage.googleapis.com/v1/files/abc", "--key", w.a.split("_")[1])
    assert status_of(w.ask(w.a, "POST", generate, uri)) == 200 and status_of(w.ask(w.a, "GET", "/v1beta/files/abc")) == 200
    assert w.refused(w.b, "POST", generate, uri)


def test_ids_without_a_shape(running):
    w = World(running, "xai")
    assert status_of(w.ask(w.a, "POST", "/v1/responses", {"model": "m", "input": "b1946ac9-2492-4d2b-b0e5-000000000001"})) == 200
    again = {"model": "m", "input": "y", "previous_response_id": RESPONSE}
    assert w.refused(w.b, "POST", "/v1/responses", again) and status_of(w.ask(w.a, "POST", "/v1/responses", again)) == 200


def test_too_many_references_are_refused(running):
    w = World(running)
    assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
    assert status_of(w.ask(w.a, "POST", "/v1/chat/completions", {"model": "m", "x": [FILE] * 64})) == 200
    assert w.refused(w.a, "POST", "/v1/chat/completions", {"model": "m", "x": [FILE] * 65})


class TestBatches:
    """What a batch came to is told as often as it is asked for, and recorded once."""
    OPENAI = {"id": "batch_abc123def4567890", "object": "batch", "model": "m", "usage": {"input_tokens": 100, "output_tokens": 40, "total_tokens": 140, "input_tokens_details": {"cached_tokens": 30}}}
    LINES = [{"custom_id": str(i), "result": {"type": "succeeded", "message": {"model": "m", "usage": {"input_tokens": 20, "cache_read_input_tokens": 7, "output_tokens": 5, "service_tier": "batch"}}}} for i in range(3)] + [{"custom_id": "e", "result": {"type": "errored"}}]

    def world(self, running, kind, play):
        up = running(Upstream, play)
        gw = running(Gateway)
        gw.cli("provider", "add", kind, "--base-url", up.url)
        gw.cli("provider-key", "add", kind, input="made-up-key-number-0\n")
        gw.cli("price", "set", kind, "m", "--input", "10", "--output", "20", "--cache-read", "1", "--batch-input", "5", "--batch-output", "8")
        return gw, gw.key("--provider", kind)

    def ask(self, gw, key, method, path, body=b""):
        status, headers, content = split(raw(gw.port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body))
        assert status == 200, content
        return content

    def told(self, gw):
        return [(e["input_tokens"], e.get("cache_read_tokens"), e["output_tokens"], e.get("cost_usd"), e["model"]) for e in gw.activity("--limit", "100") if "input_tokens" in e]

    def test_openais(self, running):
        state = {"status": "in_progress"}

        def play(s, request):
            body = json.dumps({**self.OPENAI, **state}).encode()
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        gw, key = self.world(running, "openai", play)
        path = f"/openai/v1/batches/{self.OPENAI['id']}"
        self.ask(gw, key, "POST", "/openai/v1/batches", b'{"endpoint":"/v1/responses"}')
        self.ask(gw, key, "GET", path)
        assert self.told(gw) == []
        state["status"] = "completed"
        for _ in range(3):
            self.ask(gw, key, "GET", path)
        assert gw.stop() == 0
        gw.start()
        self.ask(gw, key, "GET", path)
        # 70 x 5 + 30 x 1 + 40 x 8 = 700 micro-dollars
        assert self.told(gw) == [(70, 30, 40, "0.0007", "m")]

    def test_anthropics(self, running):
        def play(s, request):
            lines = request["target"].endswith("/results")
            body = b"".join(json.dumps(l).encode() + b"\n" for l in self.LINES) if lines else b'{"id":"msgbatch_01GSR2pUkGcad188iHy2BkZH"}'
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/%s\r\nContent-Length: %d\r\n\r\n" % (b"x-jsonl" if lines else b"json", len(body)) + body)

        gw, key = self.world(running, "anthropic", play)
        self.ask(gw, key, "POST", "/anthropic/v1/messages/batches", b'{"requests":[]}')
        for _ in range(3):
            self.ask(gw, key, "GET", "/anthropic/v1/messages/batches/msgbatch_01GSR2pUkGcad188iHy2BkZH/results")
        # 60 x 5 + 21 x 1 + 15 x 8 = 441 micro-dollars
        assert self.told(gw) == [(60, 21, 15, "0.000441", "m")]


class TestUnits:
    """What is counted in seconds and pictures."""

    def tell(self, running, kind, path, answer):
        up = running(Upstream, ok(json.dumps(answer).encode()))
        gw = running(Gateway)
        gw.cli("provider", "add", kind, "--base-url", up.url)
        gw.cli("provider-key", "add", kind, input="made-up-key-number-0\n")
        gw.cli("price", "set", kind, "m", "--second", "0.0001", "--image", "0.04")
        assert status_of(raw(gw.port, post(path, gw.key("--provider", kind), b'{"model":"m"}'))) == 200
        return gw.activity()[0]

    def test_seconds_of_sound(self, running):
        e = self.tell(running, "openai", "/openai/v1/audio/transcriptions", {"text": "x", "usage": {"type": "duration", "seconds": 3.2}})
        assert (e["audio_seconds"], e["cost_usd"], "estimated" in e) == (4, "0.0004", False)

    def test_pictures(self, running):
        e = self.tell(running, "openai", "/openai/v1/images/generations", {"created": 1, "data": [{"url": "https://x"}, {"b64_json": "eHg=", "url": None}, {"b64_json": "eHg="}]})
        assert (e["images"], e["cost_usd"]) == (3, "0.12")

    def test_pictures_that_have_tokens_are_counted_in_those(self, running):
        e = self.tell(running, "openai", "/openai/v1/images/generations", {"data": [{"b64_json": "eHg="}], "usage": {"input_tokens": 5, "output_tokens": 9}})
        assert "images" not in e and (e["input_tokens"], e["output_tokens"]) == (5, 9)
