"""Budgets and limits with real processes: exact under concurrency, streaming, cancellation and kill -9."""
import json, os, random, signal, socket, threading, time
from decimal import Decimal

import anthropic, openai, pytest
from conftest import Gateway, Upstream, ok, post, raw, split, wait_until
from test_gateway import CHAT, code_of, status_of

# A body of 100 bytes and ten tokens of answer, at 1 USD a million in and 10 out: 0.0002 USD at most.
BODY = b'{"model":"m-1","max_tokens":10,"messages":[{"role":"user","content":"%s"}]}'
BODY = BODY % (b"x" * (100 - len(BODY) + 2))
HOLD = Decimal("0.0002")
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
PRICE = ["--input", "1", "--output", "10"]


def answer(usage=USAGE, headers=()):
    body = json.dumps({"id": "x", "object": "chat.completion", "model": "m-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}], "usage": usage})
    return ok(body.encode(), headers)


def send_stream(s, events, pause=0):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for event in events:
        piece = b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"
        s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
        if pause:
            time.sleep(pause)
    s.sendall(b"0\r\n\r\n")


def delta(text="a", usage=None):
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [{"index": 0, "delta": {"content": text}}], "usage": usage}


def budgeted(gw, usd, *args, name="b", key=()):
    """A key of its own with a budget of its own."""
    gw.cli("price", "set", "up", "m-*", *PRICE)
    gw.cli("price", "set", "ant", "m-*", *PRICE)
    secret = gw.key("--provider", "*", *key)
    gw.cli("budget", "set", name, "--usd", str(usd), "--key", secret.split("_")[1], *args)
    return secret


def state(gw, name="b"):
    return {k: Decimal(v) if k.endswith("usd") else v for k, v in json.loads(gw.cli("budget", "show", name, "--json"))["state"].items()}


class Barrier:
    """An upstream that answers nobody until it is told to, so that all holds are held at once."""

    def __init__(self, play):
        self.go, self.play, self.seen, self.lock = threading.Event(), play, 0, threading.Lock()

    def __call__(self, s, request):
        with self.lock:
            self.seen += 1
        assert self.go.wait(20)
        return self.play(s, request)


def fire(gw, key, n, barrier, expected, body=BODY):
    """`n` requests at once; lets the barrier go when all others have been refused. Returns the answers."""
    answers, lock = [], threading.Lock()

    def ask():
        got = raw(gw.port, post(CHAT, key, body), 30)
        with lock:
            answers.append(got)

    threads = [threading.Thread(target=ask) for _ in range(n)]
    for t in threads:
        t.start()
    wait_until(lambda: len(answers) >= n - expected and barrier.seen >= expected, "all to be decided", 30)
    time.sleep(0.2)  # nobody else comes
    barrier.go.set()
    for t in threads:
        t.join(30)
    return answers


class TestExactly:
    def test_200_at_once_against_a_budget_for_37(self, running):
        barrier = Barrier(answer())
        up = running(Upstream, barrier)
        gw = running(Gateway, up.url)
        key = budgeted(gw, HOLD * 37 + HOLD / 2)
        answers = fire(gw, key, 200, barrier, 37)
        assert sorted(map(status_of, answers)) == [200] * 37 + [402] * 163 and barrier.seen == 37
        assert {code_of(a) for a in answers if status_of(a) == 402} == {"budget_exhausted"}
        s = state(gw)
        assert s["spent_usd"] == HOLD * 37 and s["held_usd"] == 0 and s["estimated_usd"] == 0 and s["left_usd"] == HOLD / 2
        assert sum(Decimal(e["cost_usd"]) for e in gw.activity("--limit", "1000") if e.get("cost_usd")) == HOLD * 37

    def test_the_same_with_streams_cut_at_random(self, running):
        r = random.Random(37)

        def stream(s, request):
            usage = {"prompt_tokens": 100, "completion_tokens": 6, "total_tokens": 106}
            send_stream(s, [delta() for _ in range(6)] + [{**delta(), "choices": [], "usage": usage}, b"[DONE]"], pause=0.005)

        barrier = Barrier(stream)
        up = running(Upstream, barrier)
        gw = running(Gateway, up.url)
        key = budgeted(gw, HOLD * 37 + HOLD / 2)
        body = BODY.replace(b'"messages"', b'"stream":true,"messages"')
        body = body.replace(b"x" * 14, b"", 1)  # as long as before
        assert len(body) == 100
        statuses, lock = [], threading.Lock()

        def ask(cut):
            with socket.create_connection(("127.0.0.1", gw.port), 30) as s:
                s.sendall(post(CHAT, key, body))
                got = b""
                while piece := s.recv(4096):
                    got += piece
                    if cut is not None and got.count(b"data:") >= cut:
                        break
            with lock:
                statuses.append(status_of(got))

        threads = [threading.Thread(target=ask, args=(r.choice([None, 1, 2, 4]),)) for _ in range(200)]
        for t in threads:
            t.start()
        wait_until(lambda: len(statuses) >= 163 and barrier.seen >= 37, "all to be decided", 30)
        barrier.go.set()
        for t in threads:
            t.join(30)
        assert sorted(statuses) == [200] * 37 + [402] * 163 and barrier.seen == 37
        wait_until(lambda: state(gw)["held_usd"] == 0, "every hold to end")
        rows = [e for e in gw.activity("--limit", "1000") if e["status"] == 200]
        spent = sum(Decimal(e["cost_usd"]) for e in rows)
        assert len(rows) == 37 and state(gw)["spent_usd"] == spent
        # A whole stream costs what the provider said; one that was cut what was counted, and says so.
        assert {e["cost_usd"] for e in rows if not e.get("estimated")} == {"0.00016"}
        assert any(e.get("estimated") for e in rows) and all(Decimal(e["cost_usd"]) <= HOLD for e in rows)

    def test_the_same_with_kill_9_in_between(self, running):
        barrier = Barrier(answer())
        up = running(Upstream, barrier)
        gw = running(Gateway, up.url)
        key = budgeted(gw, HOLD * 37 + HOLD / 2)
        first = [threading.Thread(target=lambda: raw(gw.port, post(CHAT, key, BODY), 30), daemon=True) for _ in range(20)]
        for t in first:
            t.start()
        wait_until(lambda: barrier.seen == 20, "twenty to be on their way")
        os.kill(gw.pid, signal.SIGKILL)
        gw.child.wait()
        gw.start()
        # The provider may have been paid for those twenty: they count as spent, and nobody has seen what they came to.
        s = state(gw)
        assert s["spent_usd"] == s["estimated_usd"] == HOLD * 20 and s["held_usd"] == 0
        answers = fire(gw, key, 180, barrier, 17 + 20)
        assert sorted(map(status_of, answers)) == [200] * 17 + [402] * 163 and barrier.seen == 37
        assert state(gw)["spent_usd"] == HOLD * 37

    def test_two_budgets_hold_at_the_same_time(self, running):
        barrier = Barrier(answer())
        up = running(Upstream, barrier)
        gw = running(Gateway, up.url)
        gw.cli("team", "set", "ml")
        gw.cli("price", "set", "up", "m-*", *PRICE)
        keys = [gw.key("--team", "ml") for _ in range(2)]
        gw.cli("budget", "set", "one", "--usd", str(HOLD * 5), "--key", keys[0].split("_")[1])
        gw.cli("budget", "set", "team", "--usd", str(HOLD * 8), "--team", "ml", "--provider", "up", "--model", "m-*")
        gw.cli("budget", "set", "all", "--usd", str(HOLD * 100), "--model", "m-1")
        gw.cli("budget", "set", "other", "--usd", "0.000000001", "--model", "other-*")
        answers, lock = [], threading.Lock()

        def ask(key):
            got = raw(gw.port, post(CHAT, key, BODY), 30)
            with lock:
                answers.append((key, status_of(got)))

        threads = [threading.Thread(target=ask, args=(keys[i % 2],)) for i in range(60)]
        for t in threads:
            t.start()
        wait_until(lambda: len(answers) >= 52 and barrier.seen >= 8, "all to be decided", 30)
        barrier.go.set()
        for t in threads:
            t.join(30)
        passed = [k for k, status in answers if status == 200]
        assert len(passed) == 8 and passed.count(keys[0]) <= 5
        assert state(gw, "one")["spent_usd"] == HOLD * passed.count(keys[0]) and state(gw, "team")["spent_usd"] == HOLD * 8
        assert state(gw, "all")["spent_usd"] == HOLD * 8 and state(gw, "other")["spent_usd"] == 0


class TestStreams:
    def test_usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask(self, running):
        def play(s, request):
            usage = {"prompt_tokens": 50, "completion_tokens": 2, "total_tokens": 52}
            last = [{**delta(), "choices": [], "usage": usage}] if json.loads(request["body"]).get("stream_options", {}).get("include_usage") else []
            send_stream(s, [delta("Hel"), delta("lo"), *last, b"[DONE]"])

        up = running(Upstream, play)
        gw = running(Gateway, up.url)
        key = budgeted(gw, "1")
        client = openai.OpenAI(api_key=key, base_url=f"{gw.url}/up/v1")
        ask = lambda **kw: list(client.chat.completions.create(model="m-1", max_tokens=10, messages=[{"role": "user", "content": "x"}], stream=True, **kw))
        chunks = ask()
        assert "".join(c.choices[0].delta.content for c in chunks) == "Hello" and len(chunks) == 2  # c.choices[0] is what everybody writes
        assert json.loads(up.requests[0]["body"])["stream_options"] == {"include_usage": True}
        chunks = ask(stream_options={"include_usage": True})
        assert chunks[-1].usage.prompt_tokens == 50 and chunks[-1].choices == []
        rows = gw.activity()
        assert [(e["input_tokens"], e["output_tokens"], e["cost_usd"], e.get("estimated")) for e in rows] == [(50, 2, "0.00007", None)] * 2
        plain = openai.OpenAI(api_key=gw.key(), base_url=f"{gw.url}/up/v1")
        chunks = list(plain.chat.completions.create(model="m-1", max_tokens=10, messages=[], stream=True))
        assert len(chunks) == 2 and b"stream_options" in up.requests[-1]["body"]  # the record of a key without a budget is as exact
        assert (gw.activity()[0]["input_tokens"], gw.activity()[0].get("estimated")) == (50, None)

    @pytest.mark.parametrize("body", [
        b'{"model":"m","stream":true,"stream":true}', b'{"model":"m","stream":true', b'\xef\xbb\xbf{"model":"m","stream":true}', b'{"model":"m","stream":false}', b'{"model":"m"}', b"", b"[1]",
        json.dumps({"model": "m", "stream": True, "messages": "x" * (1 << 20)}).encode(),
    ], ids=["said twice", "cut short", "a mark in front", "no stream", "no word of it", "nothing", "a list", "large"])
    def test_a_body_that_cannot_ask_for_usage_passes_as_it_came(self, running, body):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        assert status_of(raw(gw.port, post("/up/v1/chat/completions", gw.key(), body))) == 200 and up.requests[0]["body"] == body

    def test_a_stream_that_passes_its_hold_is_cut_with_an_error_that_the_sdk_raises(self, running):
        def play(s, request):
            try:
                send_stream(s, [delta() for _ in range(500)] + [b"[DONE]"])
            except OSError:
                return False

        up = running(Upstream, play)
        gw = running(Gateway, up.url)
        key = budgeted(gw, "1")
        client = openai.OpenAI(api_key=key, base_url=f"{gw.url}/up/v1", max_retries=0)
        got = 0
        with pytest.raises(openai.APIError) as error:
            for _ in client.chat.completions.create(model="m-1", max_tokens=10, messages=[{"role": "user", "content": "x"}], stream=True):
                got += 1
        assert error.value.code == "budget_exhausted" and 10 <= got <= 25
        row = gw.activity()[0]
        assert row["outcome"] == "cut" and row["estimated"] and row["output_tokens"] == 10
        assert state(gw)["held_usd"] == 0

    def test_a_made_up_first_number_is_not_the_bill(self, running):
        """Anthropic begins a stream with output_tokens 1; a client that goes early has had more than that."""
        gone = threading.Event()

        def play(s, request):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            events = [("message_start", {"message": {"model": "m-1", "usage": {"input_tokens": 30, "output_tokens": 1}}})] + [("content_block_delta", {"delta": {"text": "a"}})] * 7
            for name, data in events:
                piece = f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
                s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            gone.wait(10)
            return False

        up = running(Upstream, play)
        gw = running(Gateway, up.url)
        key = budgeted(gw, "1")
        with socket.create_connection(("127.0.0.1", gw.port), 10) as s:
            s.sendall(post("/ant/v1/messages", key, b'{"model":"m-1","max_tokens":100,"stream":true,"messages":[]}'))
            got = b""
            while got.count(b"content_block_delta") < 14:
                got += s.recv(4096)
        wait_until(lambda: gw.activity(), "the record")
        gone.set()
        row = gw.activity()[0]
        assert (row["outcome"], row["input_tokens"], row["output_tokens"], row["estimated"], row["cost_usd"]) == ("client_gone", 30, 7, True, "0.0001")
        assert state(gw)["spent_usd"] == Decimal("0.0001")


class TestSettling:
    @pytest.mark.parametrize("status", [400, 429, 500, 529])
    def test_an_error_costs_nothing(self, running, status):
        def play(s, request):
            s.sendall(b"HTTP/1.1 %d Oh\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % status)

        gw = running(Gateway, running(Upstream, play).url)
        key = budgeted(gw, HOLD)
        for _ in range(3):
            assert status_of(raw(gw.port, post(CHAT, key, BODY))) == status
        assert state(gw)["spent_usd"] == state(gw)["held_usd"] == 0

    def test_a_provider_that_is_not_there_costs_nothing_and_silence_costs_what_was_held(self, running):
        silent = threading.Event()
        up = running(Upstream, lambda s, request: silent.wait(5) and False)
        gw = running(Gateway, up.url, config="timeouts:\n  first_byte_ms: 300\n")
        key = budgeted(gw, HOLD * 3 / 2)
        assert status_of(raw(gw.port, post(CHAT, key, BODY))) == 504
        s = state(gw)
        assert s["spent_usd"] == HOLD and s["held_usd"] == 0  # it may have been carried out
        assert gw.activity()[0]["estimated"]
        assert status_of(raw(gw.port, post(CHAT, key, BODY))) == 402
        up.close()
        silent.set()
        other = budgeted(gw, HOLD, name="c")
        gw.cli("provider", "add", "nobody", "--base-url", "http://127.0.0.1:1", "--price-list", "up")
        gw.cli("provider-key", "add", "nobody", input="sk-made-up-00000000\n")
        for _ in range(3):
            assert status_of(raw(gw.port, post(CHAT.replace("up", "nobody"), other, BODY))) == 502
        assert state(gw, "c")["spent_usd"] == state(gw, "c")["held_usd"] == 0

    def test_what_is_left_pays_for_a_shorter_answer_when_nobody_said_how_long(self, running):
        up = running(Upstream, answer())
        gw = running(Gateway, up.url)
        key = budgeted(gw, "0.001", key=["--output-tokens-max", "100000"])
        body = b'{"model":"m-1","messages":[]}'
        assert status_of(raw(gw.port, post(CHAT, key, body))) == 200
        sent = json.loads(up.requests[0]["body"])
        assert sent["max_tokens"] == (1_000_000 - 29_000) // 10_000  # in nano-dollars: what is left after the input
        assert code_of(raw(gw.port, post(CHAT, key, body.replace(b'"messages"', b'"max_tokens":100000,"messages"')))) == "budget_exhausted"

    def test_what_has_no_bound_or_no_price_is_refused_by_name(self, running):
        up = running(Upstream, answer())
        gw = running(Gateway, up.url)
        key = budgeted(gw, "1")
        ask = lambda body, path=CHAT: raw(gw.port, post(path, key, json.dumps(body).encode()))
        base = {"model": "m-1", "max_tokens": 10, "messages": []}
        unpriced = ask({**base, "model": "mystery"})
        assert (status_of(unpriced), code_of(unpriced)) == (403, "price_unknown") and b"Model: mystery" in unpriced and b"maskllm price set" in unpriced
        assert code_of(ask({"model": "mystery", "messages": []})) == "price_unknown"  # said first, because the price says how long answers are
        assert code_of(ask({"model": "m-1", "messages": []})) == "cost_unbounded"  # no limit anywhere
        for extra in ({"tools": [{"type": "web_search"}]}, {"web_search_options": {}}, {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}):
            assert code_of(ask({**base, **extra})) == "cost_unbounded", extra
        assert code_of(ask({**base, "max_tokens": "10"})) == "output_limit_unclear" and code_of(ask({**base, "n": 2.5})) == "output_limit_unclear"
        assert code_of(ask(base, "/up/v1/images/generations")) == "cost_unbounded"
        assert up.requests == []
        gw.cli("price", "set", "up", "m-*", *PRICE, "--max-input", "1000")
        assert status_of(ask({**base, "messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]})) == 200
        get = raw(gw.port, f"GET /up/v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(get) == 200  # costs nothing

    def test_alerts_are_given_once(self, running):
        gw = running(Gateway, running(Upstream, answer()).url)
        key = budgeted(gw, HOLD * 4, "--alert", "50", "--alert", "100")
        for _ in range(4):
            assert status_of(raw(gw.port, post(CHAT, key, BODY))) == 200
            time.sleep(0.3)
        wait_until(lambda: "budget/b: 100 % are spent" in gw.output, "the alert")
        assert gw.says("budget/b: 100 %") and gw.output.count("budget/b: 50 %") == 1 and gw.output.count("budget/b: 100 %") == 1

    def test_a_raise_is_in_force_at_once_and_a_change_keeps_what_was_spent(self, running):
        gw = running(Gateway, running(Upstream, answer()).url)
        key = budgeted(gw, HOLD)
        assert [status_of(raw(gw.port, post(CHAT, key, BODY))) for _ in range(2)] == [200, 402]
        gw.cli("budget", "raise", "b", "--usd", str(HOLD), "--until", "2099-01-01")
        assert [status_of(raw(gw.port, post(CHAT, key, BODY))) for _ in range(2)] == [200, 402]
        gw.cli("budget", "set", "b", "--usd", str(HOLD * 3), "--key", key.split("_")[1], "--window", "month")
        assert [status_of(raw(gw.port, post(CHAT, key, BODY))) for _ in range(2)] == [200, 402]
        gw.stop()
        gw.start()
        assert state(gw)["spent_usd"] == HOLD * 3 and state(gw)["estimated_usd"] == 0
        gw.cli("budget", "remove", "b")
        assert status_of(raw(gw.port, post(CHAT, key, BODY))) == 200


class TestSDKs:
    def test_an_exhausted_budget_is_an_error_that_is_not_retried(self, running):
        up = running(Upstream, answer())
        gw = running(Gateway, up.url)
        key = budgeted(gw, "0.000001")
        with pytest.raises(openai.APIStatusError) as error:
            openai.OpenAI(api_key=key, base_url=f"{gw.url}/up/v1").chat.completions.create(model="m-1", max_tokens=10, messages=[])
        assert error.value.status_code == 402 and error.value.code == "budget_exhausted"
        with pytest.raises(anthropic.APIStatusError) as error:
            anthropic.Anthropic(api_key=key, base_url=f"{gw.url}/ant").messages.create(model="m-1", max_tokens=10, messages=[{"role": "user", "content": "x"}])
        assert error.value.status_code == 402 and error.value.body["error"]["type"] == "billing_error"
        assert len(gw.activity()) == 2 and up.requests == []

    def test_rate_limits_say_what_the_sdks_look_for(self, running):
        gw = running(Gateway, running(Upstream, answer(headers=["x-ratelimit-limit-requests: 999", "x-ratelimit-remaining-tokens: 5"])).url)
        key = gw.key("--provider", "*", "--limit", "requests_per_minute=2")
        client = openai.OpenAI(api_key=key, base_url=f"{gw.url}/up/v1", max_retries=0)
        first = client.chat.completions.with_raw_response.create(model="m-1", messages=[])
        assert (first.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-remaining-requests"]) == ("2", "1")
        assert "x-ratelimit-remaining-tokens" not in first.headers  # the account's, which many share
        client.chat.completions.create(model="m-1", messages=[])
        with pytest.raises(openai.RateLimitError) as error:
            client.chat.completions.create(model="m-1", messages=[])
        assert 25 < int(error.value.response.headers["retry-after"]) <= 30 and error.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(anthropic.RateLimitError) as error:
            anthropic.Anthropic(api_key=key, base_url=f"{gw.url}/ant", max_retries=0).messages.create(model="m-1", max_tokens=1, messages=[{"role": "user", "content": "x"}])
        assert error.value.response.headers["anthropic-ratelimit-requests-limit"] == "2" and error.value.response.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        free = openai.OpenAI(api_key=gw.key(), base_url=f"{gw.url}/up/v1").chat.completions.with_raw_response.create(model="m-1", messages=[])
        assert free.headers["x-ratelimit-limit-requests"] == "999"  # without limits of one's own, the provider's pass


class TestLimits:
    def test_tokens_are_held_by_the_worst_case_and_settled_by_the_real_one(self, running):
        barrier = Barrier(answer({"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}))
        gw = running(Gateway, running(Upstream, barrier).url)
        key = gw.key("--provider", "*", "--limit", "tokens_per_hour=250")
        answers = fire(gw, key, 10, barrier, 2)  # 110 at most, each
        assert sorted(map(status_of, answers)) == [200] * 2 + [429] * 8 and {code_of(a) for a in answers if status_of(a) == 429} == {"tokens_limited"}
        # 20 were used, not 220.
        assert [status_of(raw(gw.port, post(CHAT, key, BODY))) for _ in range(3)] == [200] * 3

    def test_a_team_shares_its_counters_and_a_policy_does_not(self, running):
        gw = running(Gateway, running(Upstream, answer()).url)
        gw.cli("team", "set", "t", "--limit", "requests_per_hour=3")
        gw.cli("policy", "set", "p", "--limit", "requests_per_hour=2")
        team = [gw.key("--team", "t") for _ in range(2)]
        shared = [gw.key("--policy", "p") for _ in range(2)]
        statuses = lambda keys: [status_of(raw(gw.port, post(CHAT, k, BODY))) for k in keys]
        assert statuses([team[0], team[1], team[0], team[1], team[0]]) == [200, 200, 200, 429, 429]
        assert statuses([shared[0], shared[0], shared[0], shared[1], shared[1], shared[1]]) == [200, 200, 429] * 2
        gw.cli("policy", "set", "p", "--limit", "requests_per_hour=5")  # in force at once, for both
        assert statuses(shared) == [200, 200]

    def test_a_limit_for_some_models_counts_those_alone(self, running):
        gw = running(Gateway, running(Upstream, answer()).url)
        key = gw.key("--provider", "*", "--model-limit", "big-* requests_per_hour=2 concurrent=5", "--model-limit", "day-* requests_per_day=1")
        ask = lambda model: status_of(raw(gw.port, post(CHAT, key, b'{"model":"%s"}' % model)))
        assert [ask(m) for m in (b"big-1", b"big-2", b"big-1", b"small", b"small", b"day-1", b"day-2")] == [200, 200, 429, 200, 200, 200, 429]

    @pytest.mark.parametrize("window", ["day", "month"])
    def test_a_long_limit_outlives_kill_9(self, running, window):
        up = running(Upstream, answer())
        gw = running(Gateway, up.url)
        key = gw.key("--provider", "*", "--limit", f"requests_per_{window}=3", "--limit", f"output_tokens_per_{window}=1000")
        assert [status_of(raw(gw.port, post(CHAT, key, BODY))) for _ in range(2)] == [200] * 2
        time.sleep(0.5)
        os.kill(gw.pid, signal.SIGKILL)
        gw.child.wait()
        gw.start()
        assert [status_of(raw(gw.port, post(CHAT, key, BODY))) for _ in range(2)] == [200, 429]
        refused = raw(gw.port, post(CHAT, key, BODY))
        assert code_of(refused) == "rate_limited" and int(split(refused)[1]["retry-after"]) > 80_000

    def test_answers_are_clamped_to_what_the_policy_permits(self, running):
        up = running(Upstream, answer())
        gw = running(Gateway, up.url)
        key = gw.key("--provider", "*", "--output-tokens-max", "50")
        for body, sent in [
            ({"model": "m", "messages": []}, {"max_tokens": 50, "model": "m", "messages": []}),
            ({"model": "m", "max_tokens": 500}, {"model": "m", "max_tokens": 50}), ({"model": "m", "max_tokens": 5}, {"model": "m", "max_tokens": 5}),
            ({"model": "m", "max_completion_tokens": 51, "n": 3}, {"model": "m", "max_completion_tokens": 50, "n": 3}),
        ]:
            assert status_of(raw(gw.port, post(CHAT, key, json.dumps(body).encode()))) == 200
            assert json.loads(up.requests[-1]["body"]) == sent
        assert status_of(raw(gw.port, post("/up/v1/responses", key, b'{"model":"m","input":"x"}'))) == 200
        assert json.loads(up.requests[-1]["body"])["max_output_tokens"] == 50
        chunked = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        assert status_of(raw(gw.port, chunked.encode() + b'9\r\n{"model":\r\n4\r\n"m"}\r\n0\r\n\r\n')) == 200
        assert up.requests[-1]["body"] == b'{"max_tokens":50,"model":"m"}' and up.requests[-1]["headers"]["content-length"] == "29"
