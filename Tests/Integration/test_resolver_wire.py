"""The published client of the hosted resolver, pointed here: off unless asked for, for named resolvers only, and every release written down."""
import json

import maskllm_py.resolver as sdk
import pytest
import requests
from conftest import DEMO_KEY, Gateway, Upstream, mistyped, ok, raw, split
from test_rotation import key_id

HOSTED = "https://api.maskllm.com"
HERE = "resolver:\n  networks: 127.0.0.0/8\n"


@pytest.fixture
def pointed(monkeypatch):
    """Has the client ask a gateway of ours: its address is written into it."""
    post = requests.post

    def at(gw):
        monkeypatch.setattr(sdk.requests, "post", lambda url, **kw: post(url.replace(HOSTED, gw.url), **kw))

    return at


def ask(gw, token):
    body = json.dumps({"token": token}).encode()
    status, headers, answer = split(raw(gw.port, b"POST /resolver/resolve_masked_api_key HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body))
    return status, json.loads(answer) if answer else None, headers


def test_the_published_client_gets_the_real_key_and_its_errors(running, pointed):
    gw = running(Gateway, running(Upstream, ok()).url, config=HERE)
    pointed(gw)
    key = gw.key("--provider", "up", "--limit", "requests_per_minute=2")
    assert sdk.resolve_masked_key(key) == DEMO_KEY
    assert ask(gw, key)[1] == {"resolvedKey": DEMO_KEY, "key_value": DEMO_KEY}
    with pytest.raises(sdk.ThrottledError):
        sdk.resolve_masked_key(key)
    for wrong in ("nonsense", mistyped(key)):
        with pytest.raises(sdk.InvalidKeyError):
            sdk.resolve_masked_key(wrong)
    counted = gw.key("--provider", "up", "--limit", "tokens_per_day=1000")
    with pytest.raises(sdk.UsageExceededError):
        sdk.resolve_masked_key(counted)
    gw.cli("key", "revoke", key_id(key))
    with pytest.raises(sdk.InvalidKeyError):
        sdk.resolve_masked_key(key)
    released = json.loads(gw.cli("audit", "list", "--act", "provider_key.release_to_resolver", "--json"))
    assert [(r["details"]["key"], r["details"]["to"], r["actor"]) for r in released] == [(key_id(key), "127.0.0.1", "gateway")] * 2
    assert DEMO_KEY not in json.dumps(released) + gw.output and DEMO_KEY not in json.dumps(gw.activity())
    codes = [r["code"] for r in gw.activity("--limit", "100")]
    assert {"rate_limited", "malformed_key", "not_lendable", "revoked_key", ""} <= set(codes)


@pytest.mark.parametrize("scope", [["--provider", "*"], ["--provider", "up", "--model", "gpt-4o"], ["--provider", "up", "--endpoint", "chat"], ["--provider", "up", "--network", "10.0.0.0/8"],
                                   ["--provider", "up", "--path", "POST /v1/chat/completions"], ["--provider", "up", "--output-tokens-max", "10"]])
def test_a_key_whose_scope_only_the_gateway_can_see_to_is_not_lent(running, scope):
    gw = running(Gateway, running(Upstream, ok()).url, config=HERE)
    assert ask(gw, gw.key(*scope))[0] == 403
    assert json.loads(gw.cli("audit", "list", "--act", "provider_key.release_to_resolver", "--json")) == []


@pytest.mark.parametrize("config", ["", "resolver:\n  networks: 10.0.0.0/8\n"])
def test_it_is_off_unless_asked_for_and_then_for_named_resolvers_only(running, config):
    gw = running(Gateway, running(Upstream, ok()).url, config=config)
    status, problem, _ = ask(gw, gw.key("--provider", "up"))
    assert status == 401 and DEMO_KEY not in json.dumps(problem), "as for any path that is none"
    assert json.loads(gw.cli("audit", "list", "--act", "provider_key.release_to_resolver", "--json")) == []


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"token":5}', b'{"token":"' + b"x" * 5000 + b'"}'])
def test_what_is_no_question_is_refused(running, body):
    gw = running(Gateway, running(Upstream, ok()).url, config=HERE)
    status, _, answer = split(raw(gw.port, b"POST /resolver/resolve_masked_api_key HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body))
    assert status in (400, 401) and DEMO_KEY.encode() not in answer


def test_answers_are_not_kept(running):
    gw = running(Gateway, running(Upstream, ok()).url, config=HERE)
    assert ask(gw, gw.key("--provider", "up"))[2]["cache-control"] == "no-store"


def test_a_setting_that_is_no_network_is_refused(tmp_path):
    import subprocess
    from conftest import BINARY, cli
    cli(tmp_path / "data", "init")
    (tmp_path / "data/maskllm.yaml").write_text("resolver:\n  networks: here\n")
    done = subprocess.run([BINARY, "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "resolver.networks" in done.stderr
