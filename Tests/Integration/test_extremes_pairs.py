"""Nothing of one request is in the record of the next: random requests of different tenants and dialects, one after the other on one connection and loop,
are recorded as each is on a fresh process."""
import asyncio, json

import money_answers
import pytest
from conftest import Gateway, post, raw, split, wait_until
from extremes import KINDS, Sent, Started, Template
from load import EFFORT, Lane, answers, cases_of, seeded, timeout_of  # noqa: F401: a fixture
from money_answers import written

SAME = ("provider", "endpoint", "model", "outcome", "code", "status", "upstream_status", "stream", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "audio_seconds", "images", "cost_nano_usd", "estimated")


def exchanges(random, count):
    """Requests of different dialects with told usage, each of another shape, as (exchange, bytes with a place for the key)."""
    class Model:
        litellm, name = {"input_cost_per_second": 1, "input_cost_per_token": 1}, "m"
        has = staticmethod(lambda *_: random.random() < 0.5)
        multiplier = staticmethod(lambda _: None)

    shapes = {}
    dialects = [(name, dialect) for name in money_answers.DIALECTS if name in KINDS for dialect in dict.fromkeys(d for d, _ in money_answers.DIALECTS[name])]
    for i in range(4_000):
        name, dialect = dialects[i % len(dialects)]
        draw = money_answers.Draw(random, Model)
        draw.other = Model
        exchange = dialect(draw, name)
        shapes.setdefault((name, exchange.path, *exchange.notes), exchange)
    # What counts in sums, seconds or pictures comes first; the others at random.
    rest = list(shapes.values())
    random.shuffle(rest)
    rest.sort(key=lambda e: not ({"iterations", "advisor", "seconds", "images"} & set(e.notes) or e.provider == "watsonx"))
    for i, exchange in enumerate(rest[:count]):
        exchange.number = i
        yield exchange, written(exchange, random, "KEY")[0]
    for i in range(len(rest[:count]), len(rest[:count]) + 12):
        # Results of a batch, line by line: once each.
        lines = [{"custom_id": str(n), "result": {"type": "succeeded", "message": {"model": "m", "usage": {"input_tokens": random.randrange(1000), "output_tokens": random.randrange(1000)}}}} for n in range(random.randrange(1, 4))]
        exchange = money_answers.Exchange("anthropic", "m", f"/v1/messages/batches/msgbatch_madeUp{i:010}/results", {}, "".join(json.dumps(line) + "\n" for line in lines).encode(), "application/x-jsonl", {}, notes=["once"], number=i)
        yield exchange, f"GET /anthropic{exchange.path}?x=case%20{i} HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer KEY\r\n\r\n".replace("case%20", "case=").encode()


@pytest.mark.slow
@pytest.mark.timeout(timeout_of(150))
def test_nothing_of_one_request_is_in_the_record_of_the_next(running, tmp_path, answers, capsys):
    template, random = Template(running, tmp_path, answers), seeded("pairs")
    made = list(exchanges(random, 20 if EFFORT == "small" else 90))
    keys = [template.keys[k] for k in ("plain", "money", "tokens")]
    for exchange, _ in made:
        answers.put(exchange.number, exchange.answer, exchange.ctype, headers=exchange.headers)

    async def ask(lane, data, key):
        answer = await lane.ask(data.replace(b"KEY", key.encode()))
        assert answer, data

    def records(gw, count):
        rows = wait_until(lambda: len(r := gw.cli("activity", "export").splitlines()) >= count and r, "all to be recorded")
        return [{k: json.loads(row)[k] for k in SAME} for row in reversed(rows)][-count:]

    def run(gw, order):
        before = len(gw.cli("activity", "export").splitlines())

        async def send():
            lane = Lane(gw.port)
            for n, key in order:
                await ask(lane, made[n][1], key)
            lane.close()

        asyncio.run(send())
        return records(gw, before + len(order))[before:]

    # Batches of the first key's, there before all copies are made.
    gw, batches = Started(template.data), [e for e, _ in made if "once" in e.notes]
    for number, e in enumerate(batches, len(made)):
        answers.put(number, json.dumps({"id": e.path.split("/")[4], "type": "message_batch", "processing_status": "ended"}).encode())
        case = Sent("", "", "plain", "POST", "/anthropic/v1/messages/batches", b'{"requests":[{"custom_id":"1","params":{"model":"m","max_tokens":5,"messages":[]}}]}')
        assert asyncio.run(Lane(gw.port).ask(case.written(number, template.keys)))[0] == 200
    assert gw.stop() == 0
    alone = {}
    for n in range(len(made)):
        once = "once" in made[n][0].notes
        for key in keys[:1] if once else keys if EFFORT != "small" else keys[n % 3:n % 3 + 1]:
            gw = Started(template.copy(), 1)
            alone[n, key] = run(gw, [(n, key)])[-1]
            gw.stop()
    gw = Started(template.copy(), 1)
    order = [random.choice([a for a in alone if "once" not in made[a[0]][0].notes]) for _ in range(cases_of(1_500, 20_000))]
    for a in alone:
        if "once" in made[a[0]][0].notes:
            order.insert(random.randrange(len(order)), a)
    wrong = {}
    for (n, key), before, record in zip(order, [None, *order], run(gw, order)):
        if record != alone[n, key]:
            differs = {k: (record[k], alone[n, key][k]) for k in SAME if record[k] != alone[n, key][k]}
            wrong.setdefault((made[n][0].provider, tuple(differs)), f"after {before and made[before[0]][0].path}: {made[n][0].provider} {made[n][0].path} is recorded (and alone): {differs}; answer {made[n][0].answer[-300:]!r}")
    assert gw.stop() == 0
    with capsys.disabled():
        print(f"\npairs: {len(order)} requests of {len(alone)} kinds one after the other on one connection and loop, {len(wrong)} kinds of difference")
    assert not wrong, "\n".join(wrong.values())


def test_a_body_that_ends_inside_a_character_spoils_nobody_elses(running, answers):
    """Bodies of one tenant that no parser takes, then one of another's with characters beyond ASCII, on the same loop."""
    gw = running(Gateway)
    gw.stop()
    gw = running(lambda: Started(gw.data, 1))
    gw.cli("provider", "add", "openai", "--base-url", answers.url)
    gw.cli("provider-key", "add", "openai", input="made-up-key-of-nobody-0000000000\n")
    hostile, honest = (gw.key("--provider", "*", "--model", "gpt-*") for _ in range(2))
    answers.put(1, b"{}")
    good = '{"model":"gpt-4o-mini","input":"case 1: \u00e9\U0001f600 \\\\ \\" /"}'.encode()
    for bad in (b'{"x":"\xf0', b'{"x":"\xf0\x9f\x98', b'{"model":"gpt-4\xed\xa0\x80"}', b'{"x":"\\ud83d', b'{"x":"\\', b'{"x":12', b'{"x":{"model":"gpt-5', b'[[[[', b'{"model":"gpt-4o-mini","model":', b'\xef\xbb', b'{"x":tr', b"\xff\xfe{"):
        for _ in range(2):
            raw(gw.port, post("/openai/v1/responses", hostile, bad))
            assert split(raw(gw.port, post("/openai/v1/responses", honest, good)))[0] == 200, bad
