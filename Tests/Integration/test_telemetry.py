"""Traces, metrics and logs for whoever collects them: in the forms that their own parsers take."""
import json, re, urllib.request

import pytest
from conftest import Gateway, Upstream, cli, ok, post, raw, split, wait_until
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from test_admin import Managed
from test_rotation import key_id

ANSWER = json.dumps({"id": "x", "object": "chat.completion", "model": "gpt-4o-mini", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
                     "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}).encode()
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """What an OpenTelemetry collector is to those who send."""

    def __init__(self, running):
        self.status = 200
        self.far = running(Upstream, self.play)

    def play(self, s, request):
        s.sendall(f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        return False

    def got(self, what, message):
        """Bodies sent to `what`, each of which the protocol's own classes read."""
        bodies = [json.loads(r["body"]) for r in self.far.requests if r["target"] == f"/v1/{what}" and self.status == 200]
        for body in bodies:
            json_format.ParseDict(body, message())
        return bodies

    @property
    def spans(self):
        return [s for b in self.got("traces", ExportTraceServiceRequest) for s in b["resourceSpans"][0]["scopeSpans"][0]["spans"]]


def attributes(thing):
    return {a["key"]: next(iter(a["value"].values())) for a in thing["attributes"]}


@pytest.fixture
def collector(running):
    return Collector(running)


@pytest.fixture
def gw(running, tmp_path, collector):
    headers = tmp_path / "headers"
    headers.write_text("X-Made-Up-Token: made-up-collector-token\n")
    headers.chmod(0o600)
    up = running(Upstream, ok(ANSWER))
    gateway = running(lambda: Managed(tmp_path, up.url, config=f"telemetry:\n  otlp_endpoint: {collector.far.url}\n  headers_file: {headers}\n  metrics_seconds: 1\nlog:\n  format: json\n"))
    gateway.up = up
    return gateway


def ask(gw, key, *headers, model="gpt-4o-mini"):
    return split(raw(gw.port, post("/up/v1/chat/completions", key, json.dumps({"model": model}).encode(), headers)))[0]


def test_a_request_is_a_span_of_its_clients_trace_with_the_conventions_names(gw, collector):
    key = gw.key("--provider", "*", "--model", "gpt-*")
    assert ask(gw, key, f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: made=up") == 200
    assert ask(gw, key) == 200 and ask(gw, key, model="other") == 403
    # The provider's side of the trace goes on as it came.
    assert gw.up.requests[0]["headers"]["traceparent"] == f"00-{TRACE}-{SPAN}-01" and gw.up.requests[0]["headers"]["tracestate"] == "made=up"
    wait_until(lambda: len(collector.spans) >= 3, "the spans")
    span = next(s for s in collector.spans if s["traceId"] == TRACE)
    told = attributes(span)
    assert span["parentSpanId"] == SPAN and span["name"] == "chat gpt-4o-mini" and span["kind"] == 3 and re.fullmatch("[0-9a-f]{16}", span["spanId"])
    assert told["gen_ai.operation.name"] == "chat" and told["gen_ai.request.model"] == "gpt-4o-mini" and told["gen_ai.usage.input_tokens"] == "1000" and told["gen_ai.usage.output_tokens"] == "100"
    assert told["maskllm.key.id"] == key_id(key) and told["http.response.status_code"] == "200" and int(span["endTimeUnixNano"]) > int(span["startTimeUnixNano"]) > 1_700_000_000 * 10**9
    others = [s for s in collector.spans if s["traceId"] != TRACE]
    assert len(others) == 2 and all(re.fullmatch("[0-9a-f]{32}", s["traceId"]) and "parentSpanId" not in s for s in others)
    refused = next(s for s in others if s["status"])
    assert refused["status"]["code"] == 2 and attributes(refused)["error.type"] == "model_not_allowed"
    assert all(r["headers"]["x-made-up-token"] == "made-up-collector-token" for r in collector.far.requests)
    assert key not in json.dumps(collector.spans)


@pytest.mark.parametrize("header, trace", [
    (f"00-{TRACE}-{SPAN}-00", None), (f"01-{TRACE}-{SPAN}-01-more", TRACE), (f"00-{TRACE.upper()}-{SPAN}-01", "own"), (f"00-{'0' * 32}-{SPAN}-01", "own"), (f"00-{TRACE}-{'0' * 16}-01", "own"),
    (f"ff-{TRACE}-{SPAN}-01", "own"), (f"00-{TRACE}-{SPAN}-01-more", "own"), ("nonsense", "own"), ("", "own")])
def test_only_what_is_a_trace_context_is_taken_for_one_and_what_is_not_sampled_is_not_sent(gw, collector, header, trace):
    key = gw.key()
    assert ask(gw, key, f"traceparent: {header}") == 200
    assert ask(gw, key, f"traceparent: 00-{'a' * 32}-{SPAN}-01") == 200
    wait_until(lambda: any(s["traceId"] == "a" * 32 for s in collector.spans), "the later span")
    spans = [s for s in collector.spans if s["traceId"] != "a" * 32]
    if trace is None:
        assert spans == []
    else:
        assert len(spans) == 1 and (spans[0]["traceId"] == trace or trace == "own") and (trace == "own") == ("parentSpanId" not in spans[0])


def test_metrics_are_pushed_as_they_stand(gw, collector):
    key = gw.key()
    for _ in range(3):
        ask(gw, key)

    def latest():
        bodies = collector.got("metrics", ExportMetricsServiceRequest)
        found = {m["name"]: m for m in bodies[-1]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]} if bodies else {}
        points = found.get("gen_ai.client.operation.duration", {}).get("histogram", {}).get("dataPoints", [])
        return found if points and points[0]["count"] == "3" else None

    metrics = wait_until(latest, "metrics of three requests")
    point = metrics["gen_ai.client.operation.duration"]["histogram"]["dataPoints"][0]
    assert sum(map(int, point["bucketCounts"])) == 3 and len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
    tokens = {attributes(p)["gen_ai.token.type"]: p["asInt"] for p in metrics["maskllm.tokens"]["sum"]["dataPoints"]}
    assert tokens["input"] == "3000" and tokens["output"] == "300" and metrics["maskllm.tokens"]["sum"]["isMonotonic"]


def test_a_collector_that_is_away_holds_nothing_up_and_gets_what_waited(gw, collector):
    collector.status = 503
    key = gw.key()
    assert ask(gw, key, f"traceparent: 00-{TRACE}-{SPAN}-01") == 200
    gw.says("telemetry is not taken")
    collector.far.requests.clear()
    collector.status = 200
    wait_until(lambda: any(s["traceId"] == TRACE for s in collector.spans), "the span that waited")


def test_open_metrics_has_exemplars_and_its_own_parser_reads_it(gw):
    key = gw.key()
    assert ask(gw, key, f"traceparent: 00-{TRACE}-{SPAN}-01") == 200
    token = gw.token("--role", "auditor")
    request = urllib.request.Request(f"{gw.admin_url}/metrics", headers={"Authorization": f"Bearer {token}", "Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        text = answer.read().decode()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    found = [s.exemplar for s in families["maskllm_request_duration_seconds"].samples if s.exemplar]
    assert len(found) == 1 and found[0].labels == {"trace_id": TRACE} and found[0].value > 0
    assert families["maskllm_requests"].type == "counter"


def test_logs_are_documents_with_constant_words(gw, collector):
    collector.status = 500
    wait_until(lambda: "telemetry is not taken" in gw.output, "a line of the log")
    gw.stop()
    lines = [json.loads(l) for l in gw.lines if l.startswith("{")]
    line = next(l for l in lines if l["message"].startswith("telemetry is not taken"))
    assert line["message"] == "telemetry is not taken, and goes on waiting: {because}" and line["because"] == "it answered 500" and line["level"] == "warn" and line["service"] == "maskllm"
    assert any(l["message"] == "stopped" and l["level"] == "info" for l in lines)
    known = {"time", "level", "message", "service", "provider", "object", "because", "host", "seconds", "status", "advice", "count", "channel", "account", "percent", "trigger", "subject", "did", "provider_key", "key"}
    assert all(set(l) <= known for l in lines)


@pytest.mark.parametrize("config, complaint", [("telemetry:\n  otlp_endpoint: nowhere", "is no URL"), ("telemetry:\n  otlp_endpoint: http://127.0.0.1:4318/", "is no URL"), ("telemetry:\n  spans_per_second_max: -1", "spans_per_second_max"),
                                               ("log:\n  format: xml", "text or json"), ("telemetry:\n  otlp_endpoint: http://127.0.0.1:4318\n  headers_file: /nowhere", "/nowhere")])
def test_settings_that_make_no_sense_are_refused(tmp_path, config, complaint):
    data = tmp_path / "data"
    cli(data, "init")
    (data / "maskllm.yaml").write_text(config + "\n")
    done = cli(data, "serve", "--listen", "127.0.0.1:0", check=False)
    assert done.returncode != 0 and complaint in done.stderr
