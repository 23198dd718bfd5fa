"""The data path against upstreams that the tests play themselves, byte by byte."""
import json, os, random, re, signal, socket, ssl, threading, time

import pytest
from conftest import DEADLINE, DEMO_KEY, Gateway, Process, Upstream, cli, ok, post, raw, relay, split, wait_until

CHAT = "/up/v1/chat/completions"
SHORT = "timeouts:\n  connect_ms: 300\n  first_byte_ms: 300\n  between_ms: 300\n  head_ms: 300\n  body_ms: 300\n  idle_ms: 400\n  drain_ms: 1500\n"


def status_of(answer):
    return split(answer)[0]


def code_of(answer):
    body = json.loads(split(answer)[2])
    return body["error"].get("code") or body["error"]["details"]["code"]


class TestWhatGoesThrough:
    def test_bodies_pass_unchanged_both_ways(self, running):
        r = random.Random(1)
        answers = []

        def play(s, request):
            body = r.randbytes(r.choice([0, 1, 1000, 70_000]))
            answers.append(body)
            if r.random() < 0.5:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            else:
                s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for i in range(0, len(body), 777):
                    piece = body[i:i + 777]
                    s.sendall(b"%x;ext=1\r\n" % len(piece) + piece + b"\r\n")
                s.sendall(b"0\r\nTrailer: dropped\r\n\r\n")

        up = running(Upstream, play)
        gw = running(Gateway, up.url)
        key = gw.key()
        for _ in range(30):
            sent = r.randbytes(r.choice([0, 1, 5000, 300_000]))
            status, headers, body = split(raw(gw.port, post(CHAT, key, sent)))
            assert status == 200 and up.requests[-1]["body"] == sent
            if headers.get("transfer-encoding") == "chunked":
                out = b""
                while body:
                    size, _, body = body.partition(b"\r\n")
                    out, body = out + body[: int(size, 16)], body[int(size, 16) + 2:]
                body = out
            assert body == answers[-1]
        assert up.connections < 30  # kept alive

    def test_a_chunked_request_arrives_whole(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gw.key()}\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        assert status_of(raw(gw.port, head.encode() + b'9;a=b\r\n{"model":\r\n6\r\n"m-7"}\r\n0\r\nX: y\r\n\r\n')) == 200
        assert up.requests[0]["body"] == b'{"model":"m-7"}'
        assert gw.activity()[0]["model"] == "m-7"

    def test_events_flow_one_by_one(self, running):
        go = threading.Semaphore(0)

        def play(s, request):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(5):
                assert go.acquire(timeout=10)
                event = b"data: %d\n\n" % i
                s.sendall(b"%x\r\n" % len(event) + event + b"\r\n")
            s.sendall(b"0\r\n\r\n")

        up = running(Upstream, play)
        gw = running(Gateway, up.url)
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, gw.key()))
            seen = b""
            for i in range(5):
                go.release()  # the next event is sent only after the last has arrived here
                while b"data: %d\n\n" % i not in seen:
                    seen += s.recv(4096)

    def test_the_real_key_replaces_the_masked_one_and_nothing_personal_goes_on(self, running):
        up = running(Upstream, ok(headers=["openai-organization: org-secret", "openai-project: p", "Set-Cookie: a=b", "x-request-id: req-up", "x-ratelimit-limit-requests: 5"]))
        gw = running(Gateway, up.url)
        key = gw.key()
        private = ["Cookie: a=b", "OpenAI-Organization: org-client", "OpenAI-Project: p", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=1", "X-Real-IP: 10.0.0.1", "X-Amz-Security-Token: t",
                   "Proxy-Authorization: Basic x", f"api-key: {key}", f"x-goog-api-key: {key}", "Accept-Encoding: gzip", "TE: trailers", "Via: 1.1 x"]
        kept = ["User-Agent: SDK/1", "X-Stainless-Lang: python", "OpenAI-Beta: x=y", "traceparent: 00-1"]
        _, headers, _ = split(raw(gw.port, post(CHAT, key, b"{}", private + kept)))
        seen = up.requests[0]["headers"]
        assert seen["authorization"] == f"Bearer {DEMO_KEY}" and seen["host"] == f"127.0.0.1:{up.port}" and seen["accept-encoding"] == "identity"
        for line in kept:
            name, _, value = line.partition(": ")
            assert seen[name.lower()] == value
        for line in private[:-3]:
            assert line.partition(":")[0].lower() not in seen, line
        assert key not in json.dumps(up.requests[0], default=str)
        assert len(up.requests[0]["names"]) == len(set(n.lower() for n in up.requests[0]["names"]))
        assert not {"openai-organization", "openai-project", "set-cookie"} & set(headers)
        assert headers["x-request-id"] == "req-up" and headers["x-ratelimit-limit-requests"] == "5" and headers["x-maskllm-request-id"].startswith("req_")

    def test_anthropics_key_goes_where_anthropic_wants_it(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        assert status_of(raw(gw.port, post("/ant/v1/messages", gw.key(), header="x-api-key: "))) == 200
        assert up.requests[0]["headers"]["x-api-key"] == DEMO_KEY and "authorization" not in up.requests[0]["headers"]

    def test_path_prefix_and_query_are_kept(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url + "/inference/v1")
        raw(gw.port, post("/up/chat/completions?a=1&b=%20", gw.key()))
        assert up.requests[0]["line"] == "POST /inference/v1/chat/completions?a=1&b=%20 HTTP/1.1"

    def test_many_requests_on_one_connection_pipelined(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        key = gw.key()
        one = post(CHAT, key).replace(b"Connection: close\r\n", b"")
        answer = raw(gw.port, one * 9 + post(CHAT, key))
        assert answer.count(b"HTTP/1.1 200 OK") == 10 and len(up.requests) == 10

    def test_a_client_that_waits_for_100_is_told_to_go_on_only_when_allowed(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        for key, first in ((gw.key(), b"HTTP/1.1 100 Continue\r\n\r\n"), ("mk_nope", b"HTTP/1.1 401")):
            with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
                s.sendall(post(CHAT, key, b"x" * 10, ["Expect: 100-continue"])[:-10])
                assert s.recv(100).startswith(first)
                if first.endswith(b"\r\n"):
                    s.sendall(b"x" * 10)
                    assert s.recv(100).startswith(b"HTTP/1.1 200")


    def test_interim_answers_are_not_passed_on(self, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        gw = running(Gateway, running(Upstream, play).url)
        answer = raw(gw.port, post(CHAT, gw.key()))
        assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"\r\n\r\nok") and b"Link" not in answer

    def test_a_client_of_http_1_0_gets_no_chunks(self, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

        gw = running(Gateway, running(Upstream, play).url)
        status, headers, body = split(raw(gw.port, post(CHAT, gw.key()).replace(b"HTTP/1.1", b"HTTP/1.0")))
        assert status == 200 and body == b"abcde" and "transfer-encoding" not in headers

    def test_an_answer_without_a_length_ends_with_its_connection(self, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 200 OK\r\n\r\nto the end")
            return False

        gw = running(Gateway, running(Upstream, play).url)
        answer = raw(gw.port, post(CHAT, gw.key()))
        assert answer.endswith(b"a\r\nto the end\r\n0\r\n\r\n")
        assert gw.activity()[0]["outcome"] == "completed"


class TestPressure:
    """A slow side slows the other down; it does not fill the memory in between."""

    @staticmethod
    def rss(gw):
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{gw.pid}/status").read())[1]) / 1024

    def test_a_client_that_does_not_read(self, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n")
            for _ in range(300):
                s.sendall(bytes(1_000_000))

        gw = running(Gateway, running(Upstream, play).url, config="timeouts:\n  write_ms: 700\n")
        before = self.rss(gw)
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(post(CHAT, gw.key()))
            entries = wait_until(lambda: gw.activity(), "the gateway to give up", 10)
            assert self.rss(gw) - before < 30
        assert entries[0]["outcome"] == "client_gone" and entries[0]["bytes_out"] < 50_000_000

    def test_an_upstream_that_does_not_read(self, running):
        listener = socket.create_server(("127.0.0.1", 0))
        held = []
        threading.Thread(target=lambda: held.append(listener.accept()[0]), daemon=True).start()
        gw = running(Gateway, f"http://127.0.0.1:{listener.getsockname()[1]}", config="limits:\n  body_bytes_max: 300000000\ntimeouts:\n  write_ms: 700\n")
        before = self.rss(gw)
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, gw.key(), b"")[:-4].replace(b"Content-Length: 0", b"Content-Length: 200000000") + b"\r\n\r\n")
            sent = 0
            try:
                while sent < 200_000_000:
                    sent += s.send(bytes(1_000_000))
            except OSError:
                pass
            assert sent < 100_000_000 and self.rss(gw) - before < 30
        entries = wait_until(lambda: gw.activity(), "the record", 10)
        assert entries[0]["outcome"] == "upstream_timed_out"
        listener.close()


class TestWhatIsRefused:
    @pytest.fixture
    def gw(self, running):
        return running(Gateway, running(Upstream, ok()).url)

    @pytest.mark.parametrize("request_, status", [
        (b"GARBAGE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET /up/v1/models HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"POST /up/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400), (b"GET http://evil.test/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT evil.test:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405), (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405), (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431), (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
    ])
    def test_malformed_requests(self, gw, request_, status):
        assert status_of(raw(gw.port, request_)) == status

    @pytest.mark.parametrize("path, status, code", [
        ("/up/v1/files", 403, "endpoint_not_allowed"), ("/up/v1/organization/admin_api_keys", 403, "endpoint_not_allowed"),
        ("/up/v1/realtime/client_secrets", 403, "endpoint_not_allowed"), ("/up//v1/chat/completions", 403, "endpoint_not_allowed"),
        ("/up/../up/v1/chat/completions", 403, "endpoint_not_allowed"), ("/up/v1/chat/completions/..", 403, "endpoint_not_allowed"),
        ("/up", 403, "endpoint_not_allowed"), ("/nobody/v1/chat/completions", 404, "unknown_provider"), ("/", 404, "unknown_provider"),
        ("/UP/v1/chat/completions", 404, "unknown_provider"), ("/u%70/v1/chat/completions", 404, "unknown_provider"), ("//up/v1/chat/completions", 404, "unknown_provider"),
    ])
    def test_paths(self, gw, path, status, code):
        answer = raw(gw.port, post(path, gw.key()))
        assert (status_of(answer), code_of(answer)) == (status, code)

    def test_keys(self, gw):
        key = gw.key()
        id_ = key.split("_")[1]
        other = gw.key()
        expired = gw.cli("key", "create", "--name", "e", "--provider", "up", "--expires", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2)))
        check = lambda k, **kw: code_of(raw(gw.port, post(CHAT, k, **kw))) if status_of(raw(gw.port, post(CHAT, k, **kw))) != 200 else 200
        assert check(key) == 200
        assert check("") == "missing_key" and check("x" * 2000) == "malformed_key" and check(key[:-1]) == "malformed_key" and check(key.lower()) == "malformed_key"
        assert check(key, header="Authorization: Basic ") == "malformed_key"
        assert check(key, headers=[f"x-api-key: {other}"]) == "malformed_key"
        assert check(key, headers=[f"x-api-key: {key}"]) == 200
        for change, want in (("disable", "disabled_key"), ("enable", 200), ("revoke", "revoked_key")):
            gw.cli("key", change, id_)
            assert check(key) == want
        wait_until(lambda: check(expired) == "expired_key", "the key to expire")
        assert {e["code"] for e in gw.activity("--limit", "1000")} >= {"missing_key", "malformed_key", "disabled_key", "revoked_key", "expired_key"}

    def test_bodies(self, running):
        gw = running(Gateway, running(Upstream, ok()).url, config="limits:\n  body_bytes_max: 1000\n")
        key = gw.key()
        assert status_of(raw(gw.port, post(CHAT, key, b"x" * 1000))) == 200
        assert code_of(raw(gw.port, post(CHAT, key, b"x" * 1001))) == "body_too_large"
        chunked = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        assert code_of(raw(gw.port, chunked + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n")) == "body_too_large"
        assert code_of(raw(gw.port, chunked + b"zz\r\n")) == "malformed_request"
        assert code_of(raw(gw.port, post(CHAT, key, b"{}", ["Content-Encoding: gzip"]))) == "encoded_body"

    def test_a_sealed_vault(self, running, tmp_path):
        read, write = os.pipe()
        os.write(write, b"correct horse battery staple\n")
        os.close(write)
        data = tmp_path / "sealed"
        cli(data, "init", "--passphrase-fd", str(read), pass_fds=[read])
        server = running(Process, ["serve", "--data", data, "--listen", "127.0.0.1:0"])
        assert code_of(raw(server.port, post(CHAT, "mk_x"))) == "sealed"
        assert raw(server.port, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").endswith(b"sealed\n")
        assert raw(server.port, b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").endswith(b"ok\n"), "alive, though sealed"
        assert json.loads(cli(data, "status", "--json"))["sealed"] is True
        wrong = cli(data, "unseal", input="wrong passphrase\n", check=False)
        assert wrong.returncode == 1 and "does not open this vault" in wrong.stderr
        assert cli(data, "key", "list", check=False).stderr.startswith("maskllm: the vault is sealed")
        assert cli(data, "unseal", input="correct horse battery staple\n") == "unsealed"
        assert code_of(raw(server.port, post(CHAT, "mk_x"))) == "malformed_key"
        assert cli(data, "unseal", input="again\n", check=False).returncode == 1


class TestScopes:
    @pytest.fixture
    def world(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        return up, gw, gw.key("--provider", "*", "--model", "gpt-4*", "--deny-model", "gpt-4-32k", "--endpoint", "chat", "--endpoint", "models")

    def test_models_and_endpoints(self, world):
        up, gw, key = world
        ask = lambda body, path=CHAT, **kw: raw(gw.port, post(path, key, body, **kw))
        for body in (b'{"model":"gpt-4o"}', b'{"messages":[{"content":"%s"}],"model":"gpt-4o"}' % (b"x" * 500_000)):
            assert status_of(ask(body)) == 200 and up.requests[-1]["body"] == body
        asked = len(up.requests)
        assert code_of(ask(b'{"model":"gpt-3.5"}')) == "model_not_allowed"
        assert code_of(ask(b'{"model":"gpt-4-32k"}')) == "model_not_allowed"
        assert code_of(ask(b'{"model":"gpt-4o"}', "/up/v1/embeddings")) == "endpoint_not_in_scope"
        for body in (b"", b"{}", b"not json", b'{"model":"gpt-4o","model":"o1"}', b'{"model":"gpt-4o","mod\\u0065l":"o1"}', b'{"model":"gpt-4o","Model":"o1"}',
                     b'\xef\xbb\xbf{"model":"gpt-4o"}', b'{"model":"gpt-4o",}', b'{"model":"gpt-4o"}{"model":"o1"}', b'{"model":"gpt-4o","x":"\xff"}', b'{"model":["o1"]}'):
            assert code_of(ask(body)) == "model_unclear", body
        assert code_of(ask(b'{"model":"gpt-4o"}', CHAT + "?model=o1")) == "model_unclear"
        multipart = post(CHAT, key, b'{"model":"gpt-4o"}').replace(b"application/json", b"multipart/form-data; boundary=x")
        assert code_of(raw(gw.port, multipart)) == "model_unclear"
        assert len(up.requests) == asked  # none of these was seen by the provider
        get = lambda path: raw(gw.port, f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(get("/up/v1/models")) == 200 and status_of(get("/up/v1/models/gpt-4o")) == 200
        assert code_of(get("/up/v1/models/o1")) == "model_not_allowed"
        assert {e["code"] for e in gw.activity("--limit", "1000")} == {"", "model_not_allowed", "endpoint_not_in_scope", "model_unclear"}

    def test_networks_dates_and_sizes(self, world):
        up, gw, _ = world
        ask = lambda key, body=b"{}": raw(gw.port, post(CHAT, key, body))
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        here, elsewhere = gw.key("--provider", "*", "--network", "127.0.0.0/8", "--network", "::1"), gw.key("--provider", "*", "--network", "10.0.0.0/8")
        later, small = gw.key("--provider", "*", "--not-before", soon), gw.key("--provider", "*", "--body-bytes-max", "10")
        assert status_of(ask(here)) == 200
        assert (status_of(ask(elsewhere)), code_of(ask(elsewhere))) == (403, "network_not_allowed")
        assert status_of(ask(small, b"x" * 10)) == 200 and code_of(ask(small, b"x" * 11)) == "body_too_large"
        assert (status_of(ask(later)), code_of(ask(later))) == (401, "key_not_yet_valid")
        wait_until(lambda: status_of(ask(later)) == 200, "the key to become valid")
        # What a client says of where it comes from counts for nothing.
        forged = post(CHAT, elsewhere, b"{}", ["X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "X-Real-IP: 10.0.0.1"])
        assert code_of(raw(gw.port, forged)) == "network_not_allowed"

    def test_requests_in_a_window(self, world):
        up, gw, _ = world
        key = gw.key("--provider", "*", "--limit", "requests_per_hour=5")
        answers = [raw(gw.port, post(CHAT, key)) for _ in range(8)]  # over both loops
        assert sorted(map(status_of, answers)) == [200] * 5 + [429] * 3
        status, headers, body = split(answers[-1])
        assert code_of(answers[-1]) == "rate_limited" and 715 <= int(headers["retry-after"]) <= 720 and headers["x-should-retry"] == "true"
        assert 715_000 <= int(headers["retry-after-ms"]) <= 720_000
        gw.key()  # another change does not forgive
        assert status_of(raw(gw.port, post(CHAT, key))) == 429

    def test_requests_at_once(self, running):
        go = threading.Event()

        def play(s, request):
            assert go.wait(10)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        up = running(Upstream, play)
        gw = running(Gateway, up.url)
        key = gw.key("--provider", "*", "--limit", "concurrent=2")
        held = [socket.create_connection(("127.0.0.1", gw.port), 10) for _ in range(3)]
        for s in held[:2]:
            s.sendall(post(CHAT, key))
        wait_until(lambda: len(up.requests) == 2, "both requests")
        assert code_of(raw(gw.port, post(CHAT, key))) == "too_many_at_once"
        held[0].close()  # a client that goes makes room
        wait_until(lambda: gw.activity()[0]["outcome"] == "client_gone" or gw.activity()[1]["outcome"] == "client_gone", "its end")
        held[2].sendall(post(CHAT, key))
        wait_until(lambda: len(up.requests) == 3, "the third request")
        go.set()
        assert all(s.recv(4096).startswith(b"HTTP/1.1 200") for s in held[1:])
        assert status_of(raw(gw.port, post(CHAT, key))) == 200

    def test_chunked_and_slow_bodies_are_read_whole_before_anything_is_sent(self, world):
        up, gw, key = world
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".encode()
        for model, status in ((b"gpt-4o", 200), (b"o1", 403)):
            with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
                s.sendall(head)
                for piece in (b'{"x":"y",', b'"model":', b'"%s"}' % model):
                    s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
                    time.sleep(0.02)
                connections = up.connections
                s.sendall(b"0\r\n\r\n")
                assert status_of(s.recv(4096)) == status
        assert [r["body"] for r in up.requests] == [b'{"x":"y","model":"gpt-4o"}']

    @pytest.mark.parametrize("change, code", [(None, 200), ("disable", "disabled_key"), ("revoke", "revoked_key")])
    def test_what_changes_while_a_body_arrives_counts(self, world, change, code):
        up, gw, key = world
        body = b'{"model":"gpt-4o"}'
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, key, body)[:-5])
            gw.key()  # every position may have moved
            if change:
                gw.cli("key", change, key.split("_")[1])
            s.sendall(body[-5:])
            answer = s.recv(4096)
        assert (status_of(answer) if code == 200 else code_of(answer)) == code
        assert len(up.requests) == (1 if code == 200 else 0)

    def test_the_body_limit_holds_for_bodies_that_are_held(self, running):
        gw = running(Gateway, running(Upstream, ok()).url, config="limits:\n  body_bytes_max: 1000\n")
        key = gw.key("--provider", "*", "--model", "m")
        chunked = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        assert code_of(raw(gw.port, chunked + b"800\r\n" + b" " * 2048 + b"\r\n0\r\n\r\n")) == "body_too_large"


class TestWhenTheProviderFails:
    def test_down(self, running):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        gw = running(Gateway, f"http://127.0.0.1:{port}")
        answer = raw(gw.port, post(CHAT, gw.key()))
        assert (status_of(answer), code_of(answer)) == (502, "upstream_unreachable")

    def test_silent_then_slow(self, running):
        def play(s, request):
            if b"silent" not in request["body"]:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            time.sleep(2)
            return False

        gw = running(Gateway, running(Upstream, play).url, config=SHORT)
        answer = raw(gw.port, post(CHAT, gw.key(), b"silent"))
        assert (status_of(answer), code_of(answer)) == (504, "upstream_timeout")
        answer = raw(gw.port, post(CHAT, gw.key(), b"slow"))
        assert status_of(answer) == 200 and b"upstream_timeout" in answer and answer.endswith(b"0\r\n\r\n")
        assert [e["outcome"] for e in gw.activity()] == ["upstream_timed_out"] * 2

    def test_a_tls_handshake_that_never_comes(self, running, certificates):
        listener = socket.create_server(("127.0.0.1", 0))
        gw = running(Gateway, f"https://127.0.0.1:{listener.getsockname()[1]}", config=SHORT, ca=certificates / "ca.pem")
        assert code_of(raw(gw.port, post(CHAT, gw.key()))) == "upstream_timeout"
        listener.close()

    def test_a_name_that_nobody_has(self, running):
        gw = running(Gateway, "https://nobody.invalid", config=SHORT)
        assert code_of(raw(gw.port, post(CHAT, gw.key()))) in ("upstream_unreachable", "upstream_timeout")

    @pytest.mark.parametrize("reply", [
        b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"not http\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ])
    def test_answers_that_are_none(self, running, reply):
        def play(s, request):
            s.sendall(reply)
            return False

        gw = running(Gateway, running(Upstream, play).url)
        answer = raw(gw.port, post(CHAT, gw.key()))
        assert status_of(answer) == 502 and b"evil" not in answer

    def test_a_body_that_is_cut_short_is_not_passed_as_whole(self, running):
        def play(s, request):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return False

        gw = running(Gateway, running(Upstream, play).url)
        status, headers, body = split(raw(gw.port, post(CHAT, gw.key())))
        assert headers["content-length"] == "100" and body == b"half"
        assert gw.activity()[0]["outcome"] == "upstream_failed"

    def test_a_refused_provider_key_is_not_echoed_and_is_logged(self, running):
        body = f'{{"error":{{"message":"Incorrect API key provided: sk-...{DEMO_KEY[-8:]}"}}}}'.encode()

        def play(s, request):
            s.sendall(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=acct-7\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        gw = running(Gateway, running(Upstream, play).url)
        answer = raw(gw.port, post(CHAT, gw.key()))
        assert (status_of(answer), code_of(answer)) == (503, "provider_key_refused")
        assert b"sk-" not in answer and b"acct-7" not in answer
        assert gw.says("provider 'up' answered 401: no longer using provider key")

    @pytest.mark.parametrize("status", [200, 201, 207, 400, 402, 403, 404, 409, 418, 422, 500, 503, 529])
    @pytest.mark.parametrize("chunked", [False, True])
    def test_our_key_is_in_no_answer_of_any_status_whole_or_in_part(self, running, status, chunked):
        whole = f'{{"headers":{{"authorization":"Bearer {DEMO_KEY}"}},"again":"{DEMO_KEY}"}}'
        parts = f'Incorrect key: {DEMO_KEY[:7]}***{DEMO_KEY[-4:]}, {DEMO_KEY[:10]}...{DEMO_KEY[-4:]}. It ends in ...{DEMO_KEY[-3:]}, {DEMO_KEY[:6]}\u2026, {DEMO_KEY[3:20]} or {DEMO_KEY[-6:]}.'
        body = (whole + ("" if status < 400 else parts) + " the rest stays, 12345 and sk-other-key-of-somebody too").encode()

        def play(s, request):
            head = f"HTTP/1.1 {status} {DEMO_KEY}\r\nContent-Type: application/json\r\nWWW-Authenticate: Bearer realm=acct-7\r\nX-Echo: got {DEMO_KEY}\r\n"
            if not chunked:
                return s.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            s.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            for i in range(0, len(body), 7):
                s.sendall(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]))
            s.sendall(b"0\r\n\r\n")

        gw = running(Gateway, running(Upstream, play).url)
        answer = raw(gw.port, post(CHAT, gw.key()))
        got = answer.partition(b"\r\n\r\n")[2]
        if chunked:
            plain, rest = b"", got
            while rest:
                size, _, rest = rest.partition(b"\r\n")
                plain, rest = plain + rest[:int(size, 16)], rest[int(size, 16) + 2:]
            got = plain
        assert status_of(answer) == status and len(got) == len(body) and got.endswith(b"the rest stays, 12345 and sk-other-key-of-somebody too")
        assert DEMO_KEY.encode() not in answer and b"acct-7" not in answer and b"X-Echo: got ****" in answer
        if status >= 400:
            for part in (DEMO_KEY[:10], DEMO_KEY[3:20], DEMO_KEY[-3:]):
                assert part.encode() not in got, answer

    def test_an_answer_before_the_whole_request_is_passed_on(self, running):
        def play(s, request):
            pass

        listener = socket.create_server(("127.0.0.1", 0))

        def early():
            s, _ = listener.accept()
            with s:
                s.recv(1000)
                s.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\nno more")
                time.sleep(1)

        threading.Thread(target=early, daemon=True).start()
        gw = running(Gateway, f"http://127.0.0.1:{listener.getsockname()[1]}")
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, gw.key(), b"x" * 5_000_000)[:200_000])
            status, headers, body = split(s.recv(4096))
            assert status == 413 and body == b"no more" and headers["connection"] == "close"
        listener.close()

    def test_a_certificate_that_nobody_we_trust_has_signed(self, running, certificates):
        provider = running(Process, ["demo", "--provider-only", "--tls-certificate", certificates / "leaf.pem", "--tls-key", certificates / "leaf.key"])
        gw = running(Gateway, provider.url)
        assert code_of(raw(gw.port, post(CHAT, gw.key()))) == "upstream_untrusted"
        wait_until(lambda: "TLS: unable to get" in gw.output or "TLS: self" in gw.output, "the reason in the log")

    def test_a_certificate_for_another_name(self, running, certificates):
        provider = running(Process, ["demo", "--provider-only", "--tls-certificate", certificates / "leaf.pem", "--tls-key", certificates / "leaf.key"])
        gw = running(Gateway, f"https://127.0.0.2:{provider.port}", ca=certificates / "ca.pem")
        # The stand-in listens on 127.0.0.1 only; a tunnel to it under the other address.
        listener = socket.create_server(("127.0.0.2", provider.port))

        threading.Thread(target=lambda: relay(listener.accept()[0], socket.create_connection(("127.0.0.1", provider.port))), daemon=True).start()
        assert code_of(raw(gw.port, post(CHAT, gw.key()))) == "upstream_untrusted"
        wait_until(lambda: "IP address mismatch" in gw.output, "the reason in the log")
        listener.close()


def endless(closed):
    """A provider whose stream begins and does not end; notes in `closed` when nobody listens any more."""
    def play(s, request):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
        s.settimeout(10)
        try:
            closed.append(s.recv(1) == b"")
        except OSError:
            closed.append(True)
        return False
    return play


class TestEndings:
    def test_when_the_client_goes_the_upstream_is_let_go(self, running):
        closed = []
        gw = running(Gateway, running(Upstream, endless(closed)).url)
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, gw.key()))
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        wait_until(lambda: closed, "the upstream connection to close", 5)
        assert gw.activity()[0]["outcome"] == "client_gone"

    @pytest.mark.parametrize("what", ["revoke", "disable", "remove"])
    def test_a_stream_is_cut_when_its_right_goes(self, running, what):
        closed = []
        gw = running(Gateway, running(Upstream, endless(closed)).url)
        key = gw.key()
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, key))
            seen = s.recv(4096)
            if what == "remove":
                ids = {k["provider"]: k["id"] for k in json.loads(gw.cli("provider-key", "list", "--json"))}
                gw.cli("provider-key", "remove", ids["up"])
            else:
                gw.cli("key", what, key.split("_")[1])
            start = time.monotonic()
            while True:
                piece = s.recv(4096)
                if not piece:
                    break
                seen += piece
            assert time.monotonic() - start < 1
        code = {"revoke": b"revoked_key", "disable": b"disabled_key", "remove": b"no_provider_key"}[what]
        assert code in seen and seen.endswith(b"\r\n0\r\n\r\n")
        wait_until(lambda: closed, "the upstream connection to close", 5)
        assert gw.activity()[0]["outcome"] == "cut"

    def test_other_streams_live_on(self, running):
        closed = []
        gw = running(Gateway, running(Upstream, endless(closed)).url)
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, gw.key()))
            s.recv(4096)
            gw.cli("key", "revoke", gw.key().split("_")[1])
            s.settimeout(0.5)
            with pytest.raises(TimeoutError):
                assert s.recv(1) != b""
                s.recv(1)

    def test_sigterm_lets_requests_in_flight_end_and_refuses_new_ones(self, running):
        go = threading.Event()

        def play(s, request):
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            assert go.wait(10)
            s.sendall(b"1\r\nb\r\n0\r\n\r\n")

        gw = running(Gateway, running(Upstream, play).url)
        key = gw.key()
        idle = socket.create_connection(("127.0.0.1", gw.port), 10)
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, key).replace(b"Connection: close\r\n", b""))
            seen = s.recv(4096)
            gw.child.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""  # idle connections end at once

            def refused():
                try:
                    socket.create_connection(("127.0.0.1", gw.port), 1).close()
                except OSError:
                    return True

            wait_until(refused, "the listener to close", 5)
            go.set()
            while not seen.endswith(b"0\r\n\r\n"):
                piece = s.recv(4096)
                assert piece
                seen += piece
            assert s.recv(1) == b""
        assert gw.child.wait(10) == 0

    def test_sigterm_cuts_what_does_not_end(self, running):
        gw = running(Gateway, running(Upstream, endless([])).url, config=SHORT.replace("between_ms: 300", "between_ms: 60000"))
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, gw.key()))
            s.recv(4096)
            start = time.monotonic()
            assert gw.stop() == 0
            assert 1 < time.monotonic() - start < 5
            assert b"stopping" in s.recv(4096)

    def test_management_goes_on_while_requests_in_flight_end(self, running):
        gw = running(Gateway, running(Upstream, endless([])).url)
        key = gw.key()
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post(CHAT, key))
            s.recv(4096)
            threads = lambda: len(os.listdir(f"/proc/{gw.pid}/task"))
            before = threads()
            gw.child.send_signal(signal.SIGTERM)
            # Of two loops the one without a request has ended: nobody may wait for its answer.
            wait_until(lambda: threads() < before, "the idle loop to end")
            assert json.loads(cli(gw.data, "activity", "--json", timeout=DEADLINE)) == []
            receipt = cli(gw.data, "revoke", "--key", key.split("_")[1], "--reason", "test", timeout=DEADLINE)
            assert "in force   on 1 event loops" in receipt
            rest = b""
            while piece := s.recv(65536):
                rest += piece
            assert b"revoked" in rest
        assert gw.child.wait(DEADLINE) == 0

    def test_deadlines_of_the_client(self, running):
        gw = running(Gateway, running(Upstream, ok()).url, config=SHORT)
        assert raw(gw.port, b"") == b""  # idle
        assert status_of(raw(gw.port, b"POST / HTT")) == 408
        assert status_of(raw(gw.port, post(CHAT, gw.key(), b"x" * 10)[:-5])) == 408

    def test_nothing_is_left_open_after_thousands_of_broken_off_requests(self, running):
        r = random.Random(3)

        def play(s, request):
            what = r.random()
            if what < 0.2:
                return False
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            if what < 0.5:
                return False
            s.sendall(b"0\r\n\r\n")

        gw = running(Gateway, running(Upstream, play).url)
        key = gw.key()
        files = lambda: len(os.listdir(f"/proc/{gw.pid}/fd"))
        before = files()
        request = post(CHAT, key, b"x" * 3000)

        def client(seed):
            own = random.Random(seed)
            for _ in range(150):
                with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
                    try:
                        s.sendall(request[: own.choice([0, 5, 100, 1000, len(request)])])
                        if own.random() < 0.7:
                            s.settimeout(own.choice([0.001, 0.01]))
                            s.recv(own.choice([1, 65536]))
                    except OSError:
                        pass

        threads = [threading.Thread(target=client, args=(i,)) for i in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        # Idle upstream connections may stay; everything of the clients has to go.
        wait_until(lambda: files() - before < 40, "the connections to close", 10)
        assert status_of(raw(gw.port, post("/up/v1/models", key))) == 403

    def test_activity_survives_a_stop(self, running):
        gw = running(Gateway, running(Upstream, ok()).url)
        raw(gw.port, post(CHAT, gw.key(), b'{"model":"last-words"}'))
        assert gw.stop() == 0
        assert gw.activity()[0]["model"] == "last-words"  # now read without a server


class TestTLS:
    def connect(self, gw, ca, session=None, version=None):
        context = self.context if hasattr(self, "context") else ssl.create_default_context(cafile=ca)
        self.context = context
        if version:
            context.maximum_version = version
        s = context.wrap_socket(socket.create_connection(("127.0.0.1", gw.port), 10), server_hostname="localhost", session=session)
        return s

    def talk(self, s, key):
        s.sendall(post(CHAT, key).replace(b"Connection: close\r\n", b""))
        assert s.recv(4096).startswith(b"HTTP/1.1 200")

    @pytest.fixture
    def gw(self, running, certificates, tmp_path):
        for kind in ("pem", "key"):
            (tmp_path / f"server.{kind}").write_bytes((certificates / f"leaf.{kind}").read_bytes())
        return running(Gateway, running(Upstream, ok()).url, args=["--tls-certificate", tmp_path / "server.pem", "--tls-key", tmp_path / "server.key"])

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_sessions_are_resumed(self, gw, certificates, version):
        key = gw.key()
        with self.connect(gw, certificates / "ca.pem", version=version) as s:
            self.talk(s, key)
            session = s.session
            assert s.version().replace(".", "_") == f"{version.name}"
        with self.connect(gw, certificates / "ca.pem", session) as s:
            self.talk(s, key)
            assert s.session_reused

    def test_the_certificate_is_reloaded_without_a_restart_and_a_bad_one_is_not(self, gw, certificates, tmp_path):
        subject = lambda: dict(x[0] for x in self.peer(gw, certificates))["commonName"]
        assert subject() == "leaf"
        (tmp_path / "server.pem").write_text("nonsense")
        gw.child.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old one stays" in gw.output, "the warning")
        assert subject() == "leaf"
        for kind in ("pem", "key"):
            (tmp_path / f"server.{kind}").write_bytes((certificates / f"renewed.{kind}").read_bytes())
        gw.child.send_signal(signal.SIGHUP)
        wait_until(lambda: subject() == "renewed", "the new certificate")

    def peer(self, gw, certificates):
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        with context.wrap_socket(socket.create_connection(("127.0.0.1", gw.port), 10), server_hostname="localhost") as s:
            return s.getpeercert()["subject"]

    def test_old_versions_and_plain_text_are_refused(self, gw, certificates):
        assert b"HTTP/1.1 200" not in raw(gw.port, post(CHAT, "x"))
        context = ssl._create_unverified_context()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(socket.create_connection(("127.0.0.1", gw.port), 10))

    def test_tls_connections_upstream_are_kept(self, running, certificates):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
        listener = socket.create_server(("127.0.0.1", 0))
        accepted = []

        def serve(plain):
            with context.wrap_socket(plain, server_side=True) as s:
                while s.recv(65536):
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        def accept():
            try:
                while True:
                    accepted.append(listener.accept()[0])
                    threading.Thread(target=serve, args=(accepted[-1],), daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        gw = running(Gateway, f"https://127.0.0.1:{listener.getsockname()[1]}", ca=certificates / "ca.pem")
        key = gw.key()
        for _ in range(20):
            assert status_of(raw(gw.port, post(CHAT, key))) == 200
        assert len(accepted) <= 2, len(accepted)  # one on each loop
        listener.close()

    def test_upstream_connections_are_resumed(self, running, certificates):
        """The stand-in is asked through the gateway with an upstream idle time so short that every request needs a new connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
        listener = socket.create_server(("127.0.0.1", 0))
        reused, names = [], []
        context.sni_callback = lambda s, name, c: names.append(name)

        def serve():
            while True:
                try:
                    plain, _ = listener.accept()
                    with context.wrap_socket(plain, server_side=True) as s:
                        reused.append(s.session_reused)
                        s.recv(65536)
                        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        gw = running(Gateway, f"https://localhost:{listener.getsockname()[1]}", ca=certificates / "ca.pem", args=[])
        key = gw.key()
        for _ in range(8):
            assert status_of(raw(gw.port, post(CHAT, key))) == 200
        assert reused[0] is False and sum(reused) >= 6, reused  # one full handshake on each of the two loops
        assert set(names) == {"localhost"}
        listener.close()


class TestProxy:
    def start(self, answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
        listener = socket.create_server(("127.0.0.1", 0))
        heads = []

        def serve():
            while True:
                try:
                    a, _ = listener.accept()
                except OSError:
                    return
                head = b""
                while b"\r\n\r\n" not in head:
                    head += a.recv(4096)
                heads.append(head.decode())
                a.sendall(answer)
                if b" 200 " not in answer:
                    a.close()
                    continue
                relay(a, socket.create_connection(("127.0.0.1", int(re.search(r":(\d+) ", head.decode())[1]))))

        threading.Thread(target=serve, daemon=True).start()
        return listener, heads

    def provider(self, running, certificates):
        return running(Process, ["demo", "--provider-only", "--tls-certificate", certificates / "leaf.pem", "--tls-key", certificates / "leaf.key"])

    def test_tls_upstreams_are_reached_through_the_proxy(self, running, certificates):
        listener, heads = self.start()
        provider = self.provider(running, certificates)
        gw = running(Gateway, provider.url, ca=certificates / "ca.pem", env={"HTTPS_PROXY": f"http://us:pw@127.0.0.1:{listener.getsockname()[1]}", "NO_PROXY": ""})
        assert status_of(raw(gw.port, post(CHAT, gw.key(), b'{"model":"demo-small"}'))) == 200
        assert heads[0].startswith(f"CONNECT 127.0.0.1:{provider.port} HTTP/1.1\r\n") and "Proxy-Authorization: Basic dXM6cHc=" in heads[0] and DEMO_KEY not in heads[0]
        listener.close()

    def test_exceptions_go_straight(self, running, certificates):
        listener, heads = self.start()
        gw = running(Gateway, self.provider(running, certificates).url, ca=certificates / "ca.pem",
                     env={"HTTPS_PROXY": f"http://127.0.0.1:{listener.getsockname()[1]}", "NO_PROXY": "example.com,127.0.0.1"})
        assert status_of(raw(gw.port, post(CHAT, gw.key(), b'{"model":"demo-small"}'))) == 200
        assert heads == []
        listener.close()

    def test_a_proxy_that_refuses(self, running, certificates):
        listener, _ = self.start(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        gw = running(Gateway, self.provider(running, certificates).url, ca=certificates / "ca.pem", env={"HTTPS_PROXY": f"http://127.0.0.1:{listener.getsockname()[1]}", "NO_PROXY": ""})
        assert status_of(raw(gw.port, post(CHAT, gw.key()))) == 502
        wait_until(lambda: "the proxy refused the tunnel" in gw.output, "the reason in the log")
        listener.close()


def test_a_server_that_is_asked_to_stop_at_its_start_stops(tmp_path):
    cli(tmp_path / "data", "init")
    for _ in range(8):
        server = Process(["serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--loops", "4"])
        assert server.stop() == 0, server.output
