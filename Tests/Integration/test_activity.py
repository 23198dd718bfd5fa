"""What is known of requests: found by what they were, summed up, carried away as tables, forgotten in time."""
import csv, io, json, sqlite3, time

import pytest
from conftest import Gateway, Upstream, cli, ok, post, raw, split, wait_until
from test_admin import Managed, gw  # noqa: F401: a fixture
from test_rotation import key_id

ANSWER = json.dumps({"id": "x", "object": "chat.completion", "model": "gpt-4o-mini", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
                     "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}).encode()


@pytest.fixture
def used(running, tmp_path):
    """Two keys, of teams red and blue, have asked; some of it was refused."""
    gateway = running(lambda: Managed(tmp_path, running(Upstream, ok(ANSWER)).url))
    for team in ("red", "blue"):
        gateway.cli("team", "set", team, "--provider", "up")
    gateway.cli("price", "set", "up", "gpt-4o-mini", "--input", "1", "--output", "2")
    gateway.keys = {team: gateway.key("--team", team, "--tag", f"is-{team}", "--model", "gpt-*") for team in ("red", "blue")}
    for team, count in (("red", 3), ("blue", 2)):
        for _ in range(count):
            assert split(raw(gateway.port, post("/up/v1/chat/completions", gateway.keys[team], b'{"model":"gpt-4o-mini"}')))[0] == 200
    assert split(raw(gateway.port, post("/up/v1/chat/completions", gateway.keys["red"], b'{"model":"=cmd|\'/c calc\'!A1, \\"x\\""}')))[0] == 403
    assert split(raw(gateway.port, post("/up/v1/embeddings", gateway.keys["blue"], b'{"model":"gpt-e"}')))[0] == 200
    return gateway


def test_requests_are_found_by_everything_that_they_were(used):
    count = lambda *a: len(used.activity("--limit", "1000", *a))
    red = key_id(used.keys["red"])
    for filters, expected in [((), 7), (("--key", red), 4), (("--team", "red"), 4), (("--tag", "is-blue"), 3), (("--provider", "up"), 7), (("--provider", "ant"), 0),
                              (("--model", "gpt-4o-mini"), 5), (("--status", "200"), 6), (("--status", "4xx"), 1), (("--status", "403"), 1), (("--status", "5xx"), 0),
                              (("--outcome", "refused"), 1), (("--code", "model_not_allowed"), 1), (("--endpoint", "embeddings"), 1), (("--network", "127.0.0.0/8"), 7),
                              (("--network", "10.0.0.0/8"), 0), (("--team", "red", "--status", "2xx", "--model", "gpt-4o-mini"), 3), (("--team", "red", "--tag", "is-blue"), 0)]:
        assert count(*filters) == expected, (filters, used.activity("--limit", "1000"))
    for bad in (("--status", "9xx"), ("--status", "abc"), ("--outcome", "great"), ("--endpoint", "nothing"), ("--network", "everywhere"), ("--key", "x"), ("--from", "yesterday")):
        done = used.cli("activity", *bad, check=False)
        assert done.returncode != 0 and done.stderr.startswith("maskllm: "), bad


def test_a_teams_developer_sees_the_teams_requests_and_sums_only(used):
    token = used.token("--role", "developer", "--team", "red")
    status, rows = used.call("GET", "/v1/activity", token)
    assert status == 200 and {r["key"] for r in rows} == {key_id(used.keys["red"])}
    status, lines = used.call("GET", "/v1/usage?by=key", token)
    assert status == 200 and [l["key"] for l in lines] == [key_id(used.keys["red"])]
    assert used.call("GET", f"/v1/usage?key={key_id(used.keys['blue'])}", token)[0] == 404
    assert used.call("GET", "/v1/activity?team=blue", token)[0] == 404
    status, lines = used.call("GET", "/v1/usage?span=minute", token)
    assert status == 200 and sum(l["requests"] for l in lines) == len(rows)
    status, text = used.call("GET", "/v1/activity/export?format=csv", token)
    assert status == 200 and key_id(used.keys["blue"]) not in text


def test_sums_are_what_the_requests_come_to(used):
    usage = lambda *a: json.loads(used.cli("usage", "--json", *a))
    for span in ("minute", "hour", "day"):
        lines = usage("--span", span)
        assert sum(l["requests"] for l in lines) == 7 and sum(l["refused"] for l in lines) == 1 and sum(l["input_tokens"] for l in lines) == 6000
    by_model = {l["model"]: l for l in usage("--by", "model", "--span", "day")}
    assert by_model["gpt-4o-mini"]["requests"] == 5 and by_model[""]["refused"] == 1
    assert float(by_model["gpt-4o-mini"]["cost_usd"]) == pytest.approx(5 * (1000 * 1 + 100 * 2) / 1e6)
    assert {(l["key"], l["endpoint"]): l["requests"] for l in usage("--by", "key,endpoint", "--team", "blue")} == {
        (key_id(used.keys["blue"]), "chat"): 2, (key_id(used.keys["blue"]), "embeddings"): 1}
    # Minutes of single keys are kept nowhere, and come from the requests.
    by_key = [[(l["key"], l["requests"], l["refused"], l["cost_usd"]) for l in usage("--by", "key", "--span", span)] for span in ("minute", "day")]
    assert by_key[0] == by_key[1] and len(by_key[0]) == 2
    assert sum(l["requests"] for l in usage("--span", "minute", "--team", "blue")) == 3
    assert usage("--from", "2100-01-01") == []
    for bad in (("--by", "colour"), ("--by", ""), ("--span", "week")):
        assert used.cli("usage", *bad, check=False).returncode != 0, bad
    # Nothing is counted twice after a kill, and nothing is missing.
    used.stop(9)
    used.start()
    assert sum(l["requests"] for l in usage("--span", "day")) == 7


def test_requests_leave_as_tables(used):
    rows = list(csv.DictReader(io.StringIO(used.cli("activity", "export", "--format", "csv"))))
    lines = [json.loads(l) for l in used.cli("activity", "export").splitlines()]
    assert len(rows) == len(lines) == 7 and all(list(l) == list(rows[0]) for l in lines), "the same columns in every line"
    assert [r["at"] for r in rows] == [l["at"] for l in lines] == sorted((l["at"] for l in lines), reverse=True)
    cheap = next(l for l in lines if l["model"] == "gpt-4o-mini")
    assert cheap["input_tokens"] == 1000 and cheap["cost_nano_usd"] == 1_200_000 and cheap["stream"] is False and cheap["reasoning_tokens"] is None
    # What could be a formula in a spreadsheet is none.
    strange = next(r for r in rows if r["status"] == "403")
    assert strange["model"].startswith("'=cmd") and next(l for l in lines if l["status"] == 403)["model"].startswith("=cmd")
    assert used.cli("activity", "export", "--format", "parquet", check=False).returncode != 0
    # Page by page it is the same.
    token = used.token("--role", "auditor")
    text, target = "", "/v1/activity/export?format=csv&limit=2"
    while target:
        status, page = used.call("GET", target, token)
        text += page
        link = used.headers.get("link")
        target = f"/v1/activity/export{link[1:link.index('>')]}" if link else None
    assert list(csv.DictReader(io.StringIO(text))) == rows


def test_what_is_kept_too_long_or_is_too_much_is_forgotten_and_the_sums_stay(running, tmp_path):
    gw = running(Gateway, running(Upstream, ok()).url, config="activity:\n  keep_days: 2\n  keep_megabytes: 1\n")
    key = gw.key()
    for n in range(3):
        raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m"}'))
    assert len(gw.activity()) == 3
    gw.stop()
    with sqlite3.connect(gw.data / "maskllm.db") as db:
        old = int(time.time() * 1000) - 3 * 86_400_000
        db.execute("UPDATE activity SET first_ms = ?, last_ms = ?", (old, old))
        # Two megabytes and more of records of now: filler that reads as nothing.
        for n in range(30):
            db.execute("INSERT INTO activity(first_ms, last_ms, count, records) VALUES(?, ?, 1, ?)", (old + 3 * 86_400_000, old + 3 * 86_400_000, bytes(100_000)))
    db.close()
    gw.start()
    size = lambda: sqlite3.connect(f"file:{gw.data / 'maskllm.db'}?mode=ro", uri=True).execute("SELECT count(*), coalesce(sum(length(records)), 0) FROM activity").fetchone()
    wait_until(lambda: size()[1] <= 1 << 20, "the oldest to be forgotten")
    assert gw.activity() == [] and size()[0] > 5
    assert sum(l["requests"] for l in json.loads(gw.cli("usage", "--span", "day", "--json"))) == 3


@pytest.mark.parametrize("setting", ["keep_days: 0", "keep_megabytes: 0", "keep_hourly_days: x"])
def test_a_retention_that_is_none_is_refused(tmp_path, setting):
    data = tmp_path / "data"
    cli(data, "init")
    (data / "maskllm.yaml").write_text(f"activity:\n  {setting}\n")
    done = cli(data, "serve", "--listen", "127.0.0.1:0", check=False)
    assert done.returncode != 0 and "activity.keep_" in done.stderr
