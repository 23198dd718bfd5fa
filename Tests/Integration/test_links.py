"""Answers that send their client elsewhere send it back through the gateway."""
import io, json, urllib.request

import anthropic, google.genai, pytest
from conftest import Gateway, Upstream, raw, split, wait_until
from test_gateway import code_of, status_of

UPLOAD = "/upload/v1beta/files"
FILE = {"file": {"name": "files/madeup-1", "uri": "https://generativelanguage.googleapis.com/v1beta/files/madeup-1", "state": "ACTIVE", "mimeType": "text/plain", "sizeBytes": "11"}}


def answer(s, body, headers=b"", status=b"200 OK"):
    body = json.dumps(body).encode()
    s.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n" % (status, headers, len(body)) + body)


class Google:
    """Begins an upload at an address of its own, and finishes it there."""

    def __init__(self, running, **kw):
        self.elsewhere = None

        def play(s, request):
            if b"upload_id" in request["target"].encode():
                return answer(s, FILE, b"X-Goog-Upload-Status: final\r\n")
            if request["target"].startswith("/upload/"):
                url = self.elsewhere or f"{self.up.url}{request['target']}?upload_id=made-up&upload_protocol=resumable"
                return answer(s, {}, b"X-Goog-Upload-Status: active\r\nX-Goog-Upload-URL: %s\r\n" % url.encode())
            answer(s, FILE["file"])

        self.up = running(Upstream, play)
        self.gw = running(Gateway, **kw)
        self.gw.cli("provider", "add", "gemini", "--base-url", self.up.url)
        self.ids = [json.loads(self.gw.cli("provider-key", "add", "gemini", "--name", f"k{i}", "--json", input=f"made-up-key-number-{i}\n"))["id"] for i in range(3)]
        self.key = self.gw.key("--provider", "gemini")

    def begin(self, host="gateway.example:1", key=None):
        head = f"POST /gemini{UPLOAD} HTTP/1.1\r\nHost: {host}\r\nx-goog-api-key: {key or self.key}\r\nX-Goog-Upload-Command: start\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        return split(raw(self.gw.port, head.encode()))[1].get("x-goog-upload-url")

    def go_on(self, target, body=b"hello", headers=""):
        return raw(self.gw.port, f"POST {target} HTTP/1.1\r\nHost: x\r\n{headers}X-Goog-Upload-Command: upload, finalize\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def test_googles_own_sdk_uploads_a_file_through_the_gateway(running):
    g = Google(running)
    client = google.genai.Client(api_key=g.key, http_options={"base_url": f"{g.gw.url}/gemini"})
    file = client.files.upload(file=io.BytesIO(b"hello there"), config={"mime_type": "text/plain"})
    assert file.name == "files/madeup-1" and client.files.get(name=file.name).name == file.name
    begun, sent, _ = g.up.requests
    assert sent["body"] == b"hello there" and sent["target"] == f"{begun['target']}?upload_id=made-up&upload_protocol=resumable"
    assert len({r["headers"]["x-goog-api-key"] for r in g.up.requests}) == 1  # the provider key that it was begun with
    assert all("mk_" not in str(r) and "mt_" not in str(r) for r in g.up.requests)
    stranger = google.genai.Client(api_key=g.gw.key("--provider", "gemini"), http_options={"base_url": f"{g.gw.url}/gemini"})
    with pytest.raises(google.genai.errors.ClientError) as error:
        stranger.files.get(name=file.name)
    assert error.value.code == 404


def test_a_ticket_is_good_for_its_key_and_its_upload_alone(running):
    g = Google(running)
    url = g.begin()
    assert url.startswith(f"http://gateway.example:1/gemini{UPLOAD}?upload_id=made-up&upload_protocol=resumable&key=mt_")
    target = url.removeprefix("http://gateway.example:1")
    assert status_of(g.go_on(target)) == 200
    asked = len(g.up.requests)
    at = target.index("mt_")
    wrong = [target.replace("made-up", "another"), target.replace(UPLOAD, "/v1beta/models"), target.replace("/gemini/", "/openai/"), target[:-1] + ("A" if target[-1] != "A" else "B"), target[:at] + target[at:].replace("_", "_9", 1)[:-1], target + "&upload_id=x", target[:-1]]
    digits = target[at + 29:at + 39]
    wrong.append(target.replace(digits, str(int(digits) + 1)))
    wrong.append(target.replace(target[at + 3:at + 15], g.gw.key("--provider", "gemini").split("_")[1]))
    for t in wrong:
        assert status_of(g.go_on(t)) in (401, 403, 404), t
    assert len(g.up.requests) == asked
    g.gw.cli("key", "disable", g.key.split("_")[1])
    assert b"disabled_key" in g.go_on(target) and len(g.up.requests) == asked
    g.gw.cli("key", "enable", g.key.split("_")[1])
    assert status_of(g.go_on(target, headers=f"x-goog-api-key: {g.key}\r\n")) == 200  # a client may say who it is all the same
    assert status_of(g.go_on(target, headers="x-goog-api-key: mk_wrong\r\n")) == 401
    assert g.gw.stop() == 0
    g.gw.start()
    assert status_of(g.go_on(target)) == 200  # and outlives the server
    assert "mt_" not in g.gw.output and "mt_" not in json.dumps(g.gw.activity("--limit", "100"))


def test_an_upload_is_sent_nowhere_but_back_here(running):
    g = Google(running)
    for elsewhere in ("https://evil.example/upload?x=1", g.up.url + ".evil.example/upload", g.up.url, "/relative", g.up.url + "/a b", g.up.url + "/a#b"):
        g.elsewhere = elsewhere
        assert g.begin() is None, elsewhere


def test_where_the_gateway_is_can_be_said_in_its_configuration(running):
    g = Google(running, config="public_url: https://llm.example.com/ai\n")
    assert g.begin().startswith(f"https://llm.example.com/ai/gemini{UPLOAD}?")
    (g.gw.data / "maskllm.yaml").write_text("public_url: llm.example.com\n")
    g.gw.stop()
    done = g.gw.cli("serve", "--listen", "127.0.0.1:0", check=False)
    assert done.returncode != 0 and "'public_url' is no address of a gateway" in done.stderr


def test_a_proxy_of_ours_may_say_that_its_clients_came_over_tls(running):
    g = Google(running, config="trusted_proxies: 127.0.0.0/8\n")
    head = f"POST /gemini{UPLOAD} HTTP/1.1\r\nHost: llm.example.com\r\nX-Forwarded-Proto: https\r\nx-goog-api-key: {g.key}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert split(raw(g.gw.port, head.encode()))[1]["x-goog-upload-url"].startswith("https://llm.example.com/gemini/upload/")
    other = Google(running)
    assert split(raw(other.gw.port, head.replace(g.key, other.key).encode()))[1]["x-goog-upload-url"].startswith("http://llm.example.com/gemini/upload/")


BATCH = {"id": "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF", "type": "message_batch", "processing_status": "ended", "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0},
         "created_at": "2026-11-24T18:37:24.100435Z", "expires_at": "2026-11-25T18:37:24.100435Z", "ended_at": None, "cancel_initiated_at": None, "archived_at": None}
LINE = {"custom_id": "a", "result": {"type": "succeeded", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 20, "output_tokens": 5}}}}


def test_anthropics_own_sdk_reads_the_results_of_a_batch_through_the_gateway(running):
    def play(s, request):
        if request["target"].endswith("/results"):
            body = json.dumps(LINE).encode() + b"\n"
            return s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-jsonl\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer(s, {**BATCH, "results_url": f"{up.url}/v1/messages/batches/{BATCH['id']}/results"})

    up = running(Upstream, play)
    gw = running(Gateway)
    gw.cli("provider", "add", "anthropic", "--base-url", up.url)
    gw.cli("provider-key", "add", "anthropic", input="made-up-key-number-0\n")
    client = anthropic.Anthropic(api_key=gw.key("--provider", "anthropic"), base_url=f"{gw.url}/anthropic", max_retries=0)
    batch = client.messages.batches.create(requests=[{"custom_id": "a", "params": {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}}])
    assert batch.results_url == f"{gw.url}/anthropic/v1/messages/batches/{BATCH['id']}/results"
    results = list(client.messages.batches.results(batch.id))
    assert results[0].result.message.content[0].text == "Hi" and [r["headers"]["x-api-key"] for r in up.requests] == ["made-up-key-number-0"] * len(up.requests)


@pytest.mark.parametrize("cut", [1, 7, 10_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_addresses_in_an_answer_lead_back_and_nothing_else_of_it_changes(running, cut, framing):
    def play(s, request):
        links = {"get": f"{up.url}/v1/predictions/abc", "stream": "https://stream.example/v1/x", "text": f"see {up.url}/v1/predictions/abc", "odd": f'"{up.url}', "cancel": f"{up.url}/v1/predictions/abc/cancel"}
        body = json.dumps({"id": "abc", "status": "starting", "urls": links}).encode()
        head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
        pieces = [body[i:i + cut] for i in range(0, len(body), cut)]
        if framing == "chunked":
            s.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n" % len(p) + p + b"\r\n" for p in pieces) + b"0\r\n\r\n")
            return
        s.sendall(head + (b"Content-Length: %d\r\n\r\n" % len(body) if framing == "length" else b"Connection: close\r\n\r\n"))
        for piece in pieces:
            s.sendall(piece)
        return framing == "length"

    up = running(Upstream, play)
    gw = running(Gateway)
    gw.cli("provider", "add", "replicate", "--base-url", up.url)
    gw.cli("provider-key", "add", "replicate", input="made-up-key-number-0\n")
    key = gw.key("--provider", "replicate")
    ask = urllib.request.Request(f"{gw.url}/replicate/v1/predictions", b'{"version":"v","input":{}}', {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with urllib.request.urlopen(ask) as got:
        status, body, here = got.status, got.read(), f"{gw.url}/replicate"
    assert status == 201 and json.loads(body) == {"id": "abc", "status": "starting", "urls": {
        "get": f"{here}/v1/predictions/abc", "stream": "https://stream.example/v1/x", "text": f"see {up.url}/v1/predictions/abc", "odd": f'"{up.url}', "cancel": f"{here}/v1/predictions/abc/cancel"}}
    wait_until(lambda: json.loads(gw.cli("object", "list", "--json")), "the prediction to be kept")
    assert status_of(raw(gw.port, f"GET /replicate/v1/predictions/abc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode())) == 201
    other = gw.key("--provider", "replicate")
    assert status_of(raw(gw.port, f"GET /replicate/v1/predictions/abc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {other}\r\nConnection: close\r\n\r\n".encode())) == 404
