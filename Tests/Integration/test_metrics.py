"""What Prometheus scrapes: right, bounded, and what the rules and the dashboard ask for."""
import http.client, json, re, subprocess

import pytest
from conftest import ROOT, Upstream, ok, post, raw, split, wait_until
from test_admin import Managed, gw, key_id  # noqa: F401: a fixture

ANSWER = {"id": "x", "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 7}}


def scrape(gw, token, path="/metrics"):
    connection = http.client.HTTPConnection("127.0.0.1", gw.admin_port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, text
    assert answer.getheader("content-type").startswith("text/plain; version=0.0.4")
    return text


def samples(text):
    """{(name, labels): value}"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
        key = (name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))))
        assert key not in found, f"twice: {line}"
        found[key] = float(value)
    return found


def get(found, name, **labels):
    return found[(name, tuple(sorted(labels.items())))]


@pytest.fixture
def world(running, tmp_path):
    up = running(Upstream, ok(json.dumps(ANSWER).encode()))
    gateway = running(lambda: Managed(tmp_path, up.url))
    gateway.cli("price", "set", "up", "m", "--input", "1", "--output", "2")
    return gateway, gateway.token("--role", "custom", "--grant", "read:status")


def test_what_went_through_is_counted_once(world):
    gw, token = world
    key, ended = gw.key(), gw.key()
    gw.cli("key", "revoke", key_id(ended))
    for _ in range(3):
        assert split(raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m"}')))[0] == 200
    assert split(raw(gw.port, post("/up/v1/chat/completions", ended, b'{"model":"m"}')))[0] == 401
    gw.cli("budget", "set", "b", "--usd", "5", "--window", "month")
    for text in (scrape(gw, token), scrape(gw, token, "/v1/metrics")):
        found = samples(text)
        assert get(found, "maskllm_requests_total", provider="up", endpoint="chat", outcome="completed", status="2xx") == 3
        assert sum(v for (name, _), v in found.items() if name == "maskllm_requests_total") == 4
        assert sum(v for (name, _), v in found.items() if name == "maskllm_refusals_total") == 1
        assert get(found, "maskllm_tokens_total", provider="up", kind="input") == 300 and get(found, "maskllm_tokens_total", provider="up", kind="output") == 21
        assert get(found, "maskllm_cost_dollars_total", provider="up") == pytest.approx((300 + 42) / 1e6)
        for name in ("maskllm_request_duration_seconds", "maskllm_first_byte_seconds"):
            buckets = [v for (n, labels), v in found.items() if n == name + "_bucket"]
            assert buckets == sorted(buckets) and buckets[-1] == get(found, name + "_count", provider="up") == 3
            assert 0 < get(found, name + "_sum", provider="up") < 60
        assert get(found, "maskllm_masked_keys", state="active") == 1 and get(found, "maskllm_masked_keys", state="revoked") == 1
        assert get(found, "maskllm_provider_keys", provider="up", state="usable") == 1
        assert get(found, "maskllm_sealed") == 0 and get(found, "maskllm_event_loops") == 2 and get(found, "maskllm_budget_limit_dollars", budget="b") == 5
        assert get(found, "process_resident_memory_bytes") > 1e6 and get(found, "process_open_fds") > 5 and get(found, "process_cpu_seconds_total") > 0
        assert key not in text and key_id(key) not in text, "no key is a label"


def test_nobody_who_sends_requests_makes_it_grow(world):
    gw, token = world
    key = gw.key()
    for n in range(30):
        raw(gw.port, post(f"/made-up-{n}/v1/chat/completions", key, b'{"model":"m-%d"}' % n))
        raw(gw.port, post(f"/up/v1/made-up-{n}", key, b'{"model":"m-%d"}' % n))
        raw(gw.port, post("/up/v1/chat/completions", f"made-up-{n}", b"{}"))
    text = scrape(gw, token)
    assert "made-up" not in text and len([k for k in samples(text) if k[0] == "maskllm_requests_total"]) < 12


def test_only_who_may_reads_it(world):
    gw, token = world
    assert gw.call("GET", "/v1/metrics", "mka_nonsense")[0] == 401
    gw.cli("team", "set", "red", "--provider", "up")
    for wrong in (gw.token("--role", "custom", "--grant", "read:keys"), gw.token("--role", "developer", "--team", "red")):
        assert gw.call("GET", "/metrics", wrong)[0] == 404


def promtool(*args, text=None):
    return subprocess.run(["promtool", *args], input=text, capture_output=True, text=True, timeout=60)


def test_prometheus_finds_nothing_to_say_about_it(world):
    gw, token = world
    assert split(raw(gw.port, post("/up/v1/chat/completions", gw.key(), b'{"model":"m"}')))[0] == 200
    done = promtool("check", "metrics", text=scrape(gw, token))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for check in (("check", "rules", "rules.yml"), ("check", "config", "--syntax-only", "prometheus.yml")):
        done = promtool(*check[:-1], str(ROOT / "deploy/prometheus" / check[-1]))
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_ask_for_what_there_is(world):
    gw, token = world
    assert split(raw(gw.port, post("/up/v1/chat/completions", gw.key(), b'{"model":"m"}')))[0] == 200
    assert split(raw(gw.port, post("/up/v1/chat/completions", "no key", b'{"model":"m"}')))[0] == 401
    there = set(re.findall(r"# TYPE (\w+)", scrape(gw, token)))
    there |= {f"{name}_bucket" for name in there}
    dashboard = json.loads((ROOT / "deploy/grafana/maskllm.json").read_text())
    asked = " ".join(t["expr"] for p in dashboard["panels"] for t in p["targets"]) + (ROOT / "deploy/prometheus/rules.yml").read_text()
    named = set(re.findall(r"\b((?:maskllm|process)_\w+)", asked))
    assert named <= there and len(named) > 15, named - there
    made = subprocess.run(["python3", str(ROOT / "scripts/dashboard.py")], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "deploy/grafana/maskllm.json").read_text() == made, "python3 scripts/dashboard.py > deploy/grafana/maskllm.json"


def test_a_store_that_cannot_be_written_is_told_and_gets_over(world):
    gw, token = world
    key = gw.key()

    def health():
        return raw(gw.port, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rsplit(b"\r\n\r\n", 1)[1]

    def ask():
        return split(raw(gw.port, post("/up/v1/chat/completions", key, b'{"model":"m"}')))[0]

    assert (ask(), health()) == (200, b"ok\n")
    limit = ["prlimit", f"--pid={gw.pid}"]
    # No file of it can grow: what a full disk does.
    subprocess.run([*limit, "--fsize=4096:unlimited"], check=True)
    assert ask() == 200, "requests go on"
    wait_until(lambda: health() == b"degraded\n", "the store to be missed")
    assert get(samples(scrape(gw, token)), "maskllm_activity_lost_total") >= 1
    subprocess.run([*limit, "--fsize=unlimited:unlimited"], check=True)
    assert ask() == 200
    wait_until(lambda: health() == b"ok\n", "the store to be written again")
