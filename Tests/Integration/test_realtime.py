"""WebSockets: passed as they come, metered turn by turn, cut when the right to them goes."""
import base64, json, os, socket, ssl, struct, threading, time
from pathlib import Path

import google.genai, openai, pytest, yaml
import websockets.sync.client, websockets.sync.server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from conftest import Gateway, Upstream, mistyped, post, raw, wait_until
from test_gateway import CHAT, code_of, status_of

CASSETTES = Path(os.environ.get("MASKLLM_CASSETTES", Path(__file__).parents[3] / "shared/cassettes")) / "realtime"
REAL = "made-up-real-key-0000000000"
DONE = {"type": "response.done", "response": {"usage": {"input_tokens": 16, "output_tokens": 24, "input_token_details": {"cached_tokens": 6, "audio_tokens": 3}, "output_token_details": {"audio_tokens": 15}}}}


class Provider:
    """A WebSocket server that is played by a function of the connection."""

    def __init__(self, play, certificates=None, subprotocols=None, **kw):
        self.requests, self.received, self.closed = [], [], []

        def serve(ws):
            self.requests.append(ws.request)
            try:
                play(ws, self)
            except ConnectionClosed as e:
                self.closed.append(e)

        tls = None
        if certificates:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
        self.server = websockets.sync.server.serve(serve, "127.0.0.1", 0, ssl=tls, subprotocols=subprotocols, max_size=None, **kw)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def stop(self):
        self.server.shutdown()


def echo(ws, provider):
    for message in ws:
        provider.received.append(message)
        ws.send(message)


class World:
    def __init__(self, running, play=echo, kind="openai", certificates=None, **kw):
        self.up = running(Provider, play, certificates, **kw)
        tls = ["--tls-certificate", certificates / "leaf.pem", "--tls-key", certificates / "leaf.key"] if certificates else []
        self.gw = running(Gateway, args=tls)
        self.gw.cli("provider", "add", "p", "--kind", kind, "--base-url", self.up.url, *(["--ca-file", certificates / "ca.pem"] if certificates else []))
        self.gw.cli("provider-key", "add", "p", input=REAL)
        self.key = self.gw.key()

    def connect(self, path="/v1/realtime?model=gpt-realtime", key=None, headers=None, **kw):
        return websockets.sync.client.connect(f"ws://127.0.0.1:{self.gw.port}/p{path}", additional_headers={"Authorization": f"Bearer {key or self.key}"} if headers is None else headers, max_size=None, **kw)

    def record(self):
        return wait_until(lambda: self.gw.activity(), "the record")[0]


def test_messages_of_every_size_pass_both_ways(running):
    w = World(running)
    with w.connect() as ws:
        for message in ["", "x", "é" * 60, "a" * 125, "b" * 126, "c" * 65_535, "d" * 65_536, b"\x00" * 3_000_000, "e" * 5_000_000]:
            ws.send(message)
            assert ws.recv() == message
        ws.send(["frag", "ment", "ed"])
        assert ws.recv() == "fragmented"
        assert ws.ping().wait(5)
    request = w.up.requests[0]
    assert request.path == "/v1/realtime?model=gpt-realtime" and request.headers["Authorization"] == f"Bearer {REAL}"
    assert "Sec-WebSocket-Extensions" not in request.headers and "mk_" not in str(request.headers)
    record = w.record()
    assert (record["status"], record["endpoint"], record["model"], record["outcome"]) == (101, "realtime", "gpt-realtime", "completed")
    assert record["bytes_in"] > 8_000_000 and record["bytes_out"] > 8_000_000


def test_both_sides_may_speak_at_once(running):
    def play(ws, provider):
        def chatter():
            for i in range(300):
                ws.send(f"{i}:" + "y" * 5_000)
        t = threading.Thread(target=chatter)
        t.start()
        for message in ws:
            provider.received.append(message)
            if message == "end":
                break
        t.join()
        ws.send("end")

    w = World(running, play)
    got = []
    with w.connect() as ws:
        def listen():
            for message in ws:
                got.append(message)
                if message == "end":
                    return
        t = threading.Thread(target=listen)
        t.start()
        for i in range(300):
            ws.send(f"{i}:" + "x" * 5_000)
        ws.send("end")
        t.join(20)
    assert [m.split(":")[0] for m in got] == [*map(str, range(300)), "end"] and [m.split(":")[0] for m in w.up.received] == [*map(str, range(300)), "end"]


def test_usage_is_added_up_turn_by_turn(running):
    def play(ws, provider):
        for message in ws:
            ws.send(json.dumps({"type": "response.created", "response": {"usage": None}}))
            ws.send([json.dumps(DONE)[:50], json.dumps(DONE)[50:]])

    w = World(running, play)
    w.gw.cli("price", "set", "p", "gpt-realtime", "--input", "1", "--output", "10", "--cache-read", "0.5", "--audio-input", "100", "--audio-output", "1000")
    with w.connect() as ws:
        for _ in range(3):
            ws.send('{"type":"response.create"}')
            ws.recv(), ws.recv()
    record = w.record()
    assert (record["input_tokens"], record["output_tokens"], record["cache_read_tokens"]) == (30, 72, 18)
    # 3 x (7 text in + 3 audio in + 6 cached + 9 text out + 15 audio out), per million
    assert float(record["cost_usd"]) == pytest.approx(3 * (7 * 1 + 3 * 100 + 6 * 0.5 + 9 * 10 + 15 * 1000) / 1e6)


@pytest.mark.parametrize("how", ["revoke", "disable"])
def test_a_session_is_cut_when_its_key_goes(running, how):
    w = World(running)
    with w.connect() as ws:
        ws.send("x")
        assert ws.recv() == "x"
        began = time.monotonic()
        w.gw.cli("key", how, w.key.split("_")[1])
        with pytest.raises(ConnectionClosed) as e:
            ws.recv(timeout=10)
    assert e.value.rcvd.code == 1008 and e.value.rcvd.reason == f"{how}d_key"
    wait_until(lambda: w.up.closed or not w.up.server.socket, "the provider to be left")
    assert w.record()["outcome"] == "cut"
    with pytest.raises(InvalidStatus) as e:
        w.connect()
    assert e.value.response.status_code == 401


def test_a_session_ends_when_the_provider_or_the_client_ends_it(running):
    def play(ws, provider):
        ws.recv()
        ws.close(4001, "enough")

    w = World(running, play)
    with w.connect() as ws:
        ws.send("x")
        with pytest.raises(ConnectionClosed) as e:
            ws.recv(timeout=10)
    assert (e.value.rcvd.code, e.value.rcvd.reason) == (4001, "enough") and w.record()["outcome"] == "completed"
    w = World(running)
    with w.connect() as ws:
        ws.close(4002, "bye")
    wait_until(lambda: w.gw.activity(), "the record")
    # A client that vanishes leaves nobody behind.
    before = len(w.up.closed)
    ws = w.connect()
    ws.socket.close()
    wait_until(lambda: len(w.up.closed) > before or len(w.gw.activity()) == 2, "the session to end")


class TestModels:
    """What a key may use is checked in the query and in every message."""

    def test_the_query_is_checked(self, running):
        w = World(running)
        narrow = w.gw.key("--provider", "p", "--model", "gpt-realtime*")
        with w.connect(key=narrow):
            pass
        for path, status in (("?model=gpt-4o", 403), ("", 400), ("?model=gpt-realtime&model=gpt-4o", 400), ("?m%6fdel=gpt-4o", 403), ("?model=gpt-realtime&deployment=x", 400), ("?intent=transcription", 400)):
            with pytest.raises(InvalidStatus) as e:
                w.connect(f"/v1/realtime{path}", key=narrow)
            assert e.value.response.status_code == status, path
        assert len(w.up.requests) == 1

    @pytest.mark.parametrize("message, reason", [
        ({"type": "session.update", "session": {"model": "gpt-4o"}}, "model_not_allowed"),
        ({"type": "session.update", "model": "gpt-realtime", "session": {"model": "gpt-4o"}}, "model_not_allowed"),
        ({"type": "session.update", "session": {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}}, "model_not_allowed"),
        ({"type": "session.update", "session": {"input_audio_transcription": {"model": "whisper-1"}}}, "model_not_allowed"),
        ('{"type":"session.update","session":{"model":"gpt-realtime","model":"gpt-4o"}}', "model_unclear"),
        ('{"type":"session.update","session":{"\\u006dodel":"gpt-4o"}}', "model_not_allowed"),
        ('{"type":"session.update","session":{"Model":"gpt-4o"}}', "model_unclear"),
        ("not json", "model_unclear"), (b"\x00\x01", "model_unclear"), ('{"a":1}{"b":2}', "model_unclear"),
    ])
    def test_messages_are_checked(self, running, message, reason):
        w = World(running)
        narrow = w.gw.key("--provider", "p", "--model", "gpt-realtime*")
        with w.connect(key=narrow) as ws:
            ws.send('{"type":"session.update","session":{"model":"gpt-realtime"}}')
            ws.recv()
            text = message if isinstance(message, (str, bytes)) else json.dumps(message)
            ws.send([text[:7], text[7:]] if len(text) > 8 else text)
            with pytest.raises(ConnectionClosed) as e:
                ws.recv(timeout=10)
        assert (e.value.rcvd.code, e.value.rcvd.reason) == (1008, reason)
        assert w.up.received == ['{"type":"session.update","session":{"model":"gpt-realtime"}}']

    def test_google_names_it_in_the_first_message(self, running):
        path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
        w = World(running, kind="gemini")
        narrow = w.gw.key("--provider", "p", "--model", "gemini-*")
        for key, first, reason in ((narrow, {"setup": {"model": "models/gemini-live"}}, None), (w.key, {"setup": {"model": "models/other"}}, None),
                                   (narrow, {"setup": {"model": "models/other"}}, "model_not_allowed"), (narrow, {"realtimeInput": {}}, "model_unclear"), (w.key, {"realtimeInput": {}}, "model_unclear")):
            with w.connect(path + f"?key={key}", headers={}) as ws:
                ws.send(json.dumps(first).encode())
                if reason is None:
                    assert json.loads(ws.recv()) == first
                else:
                    with pytest.raises(ConnectionClosed) as e:
                        ws.recv(timeout=10)
                    assert e.value.rcvd.reason == reason
        assert all(r.headers["x-goog-api-key"] == REAL and "key=" not in r.path for r in w.up.requests)
        wait_until(lambda: len(w.gw.activity()) == 5, "the records")
        assert {e.get("model", "") for e in w.gw.activity()} == {"", "gemini-live", "other"}


def test_a_browser_gives_the_key_as_a_protocol(running):
    w = World(running, subprotocols=["realtime"])
    with w.connect(headers={}, subprotocols=["realtime", f"openai-insecure-api-key.{w.key}", "openai-organization.made-up"]) as ws:
        assert ws.subprotocol == "realtime"
        ws.send("x")
        assert ws.recv() == "x"
    assert w.up.requests[0].headers["Sec-WebSocket-Protocol"] == "realtime" and "mk_" not in str(w.up.requests[0].headers)


def test_what_has_no_bound_is_refused_where_something_is_counted(running):
    w = World(running)
    for key, code in ((w.gw.key("--provider", "*", "--limit", "tokens_per_day=1000"), 403), (w.gw.key("--provider", "*", "--output-tokens-max", "100"), 400)):
        with pytest.raises(InvalidStatus) as e:
            w.connect(key=key)
        assert e.value.response.status_code == code, e.value.response.body
    slow = w.gw.key("--provider", "*", "--limit", "concurrent=1")
    with w.connect(key=slow):
        with pytest.raises(InvalidStatus) as e:
            w.connect(key=slow)
        assert e.value.response.status_code == 429
    wait_until(lambda: try_connect(w, slow), "the place to be free again")


def try_connect(w, key):
    try:
        w.connect(key=key).close()
        return True
    except InvalidStatus:
        return False


def handshake(key, path="/p/v1/realtime?model=m", **headers):
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}"]
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return "\r\n".join(lines + [f"{k}: {v}" for k, v in fields.items() if v is not None]).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("changed", [{"Upgrade": "h2c"}, {"Upgrade": None}, {"Sec_WebSocket_Version": "8"}, {"Sec_WebSocket_Key": "short"}, {"Sec_WebSocket_Key": None}])
def test_what_is_no_handshake_is_no_session(running, changed):
    w = World(running)
    answer = raw(w.gw.port, handshake(w.key, Connection="close, Upgrade", **changed))
    assert code_of(answer) == "endpoint_not_allowed" and not w.up.requests


@pytest.mark.parametrize("frame", [b"\x81\x01x", b"\xc1\x81\0\0\0\0x", b"\x83\x81\0\0\0\0x", b"\x89\xfe\x00\x80\0\0\0\0", b"\x09\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"])
def test_frames_that_break_the_rules_end_the_session(running, frame):
    w = World(running)
    with socket.create_connection(("127.0.0.1", w.gw.port), 10) as s:
        s.sendall(handshake(w.key))
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(4096)
        assert head.startswith(b"HTTP/1.1 101")
        s.sendall(frame)
        rest = b""
        while piece := s.recv(4096):
            rest += piece
    assert rest[:4] == b"\x88" + bytes([len(rest) - 2]) + struct.pack(">H", 1008) and rest[4:] == b"malformed_request"


def test_a_provider_that_compresses_unasked_or_says_no_is_told_of(running):
    def compress(s, request):
        s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")

    up = running(Upstream, compress)
    gw = running(Gateway, up.url)
    assert code_of(raw(gw.port, handshake(gw.key(), "/up/v1/chat/completions", Connection="Upgrade, close"))) == "endpoint_not_allowed"
    gw.cli("provider", "add", "o", "--kind", "openai", "--base-url", up.url)
    gw.cli("provider-key", "add", "o", input=REAL)
    assert code_of(raw(gw.port, handshake(gw.key(), "/o/v1/realtime?model=m", Connection="Upgrade, close"))) == "upstream_broken"

    def refuse(s, request):
        s.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    up.play = refuse
    answer = raw(gw.port, handshake(gw.key(), "/o/v1/realtime?model=m", Connection="Upgrade, close"))
    assert status_of(answer) == 400 and answer.endswith(b"{}")


def test_no_upgrade_that_nobody_asked_for(running):
    def play(s, request):
        s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")

    gw = running(Gateway, running(Upstream, play).url)
    assert code_of(raw(gw.port, post(CHAT, gw.key()))) == "upstream_broken"


def replay(name):
    """Plays a recorded session: each message that was received, once those before it have been sent."""
    steps = yaml.safe_load((CASSETTES / name).read_text())["interactions"]

    def play(ws, provider):
        for step in steps:
            if step["direction"] == "sent":
                provider.received.append(ws.recv())
            else:
                ws.send(json.dumps(step["data"]))
        ws.close()

    return play, steps


@pytest.mark.skipif(not CASSETTES.is_dir(), reason=f"SKIPPED: no recorded sessions at {CASSETTES}; set MASKLLM_CASSETTES")
class TestRecorded:
    @pytest.mark.parametrize("name, kind, path, expected", [
        ("test_openai_ws__test_text_in_audio_out_turn.yaml", "openai", "/v1/realtime?model=gpt-realtime", (16, 24)),
        ("test_openai_ws__test_tool_call_round.yaml", "openai", "/v1/realtime?model=gpt-realtime", (166, 35)),
        ("test_azure_ws__test_text_in_audio_out_turn.yaml", "azure", "/openai/v1/realtime?model=gpt-realtime", None),
        ("test_google_ws__test_text_in_audio_out_turn.yaml", "gemini", "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent", (1131, 50)),
    ])
    def test_usage_of_recorded_sessions(self, running, name, kind, path, expected):
        play, steps = replay(name)
        w = World(running, play, kind)
        with w.connect(path) as ws:
            for step in steps:
                if step["direction"] == "sent":
                    ws.send(json.dumps(step["data"]))
                else:
                    assert json.loads(ws.recv()) == step["data"]
        usages = [s["data"]["response"]["usage"] for s in steps if s["direction"] == "received" and s["data"].get("type") == "response.done"]
        expected = expected or (sum(u["input_tokens"] for u in usages), sum(u["output_tokens"] for u in usages))
        record = w.record()
        assert (record["input_tokens"] + record.get("cache_read_tokens", 0), record["output_tokens"]) == expected and "estimated" not in record

    def test_openais_sdk(self, running, certificates):
        play, steps = replay("test_openai_ws__test_text_in_audio_out_turn.yaml")
        w = World(running, play, certificates=certificates)
        trust = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        client = openai.OpenAI(api_key=w.key, base_url=f"{w.gw.url}/p/v1")
        events = []
        with client.realtime.connect(model="gpt-realtime", websocket_connection_options={"ssl": trust}) as connection:
            sent = iter([s["data"] for s in steps if s["direction"] == "sent"])
            for step in steps:
                if step["direction"] == "sent":
                    connection.send(next(sent))
                else:
                    events.append(connection.recv().type)
        assert events == [s["data"]["type"] for s in steps if s["direction"] == "received"]
        assert (w.record()["input_tokens"], w.record()["output_tokens"]) == (16, 24)
        with pytest.raises(Exception) as e:
            with openai.OpenAI(api_key=mistyped(w.key), base_url=f"{w.gw.url}/p/v1").realtime.connect(model="m", websocket_connection_options={"ssl": trust}):
                pass
        assert "401" in str(e.value)
