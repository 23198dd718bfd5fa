"""Least privilege from what was seen: a smallest policy is proposed, and any policy is asked about the past before it is set."""
import json

import pytest
from conftest import Upstream, ok, post, raw, split
from test_admin import Managed, gw  # noqa: F401: a fixture
from test_rotation import key_id

REQUESTS = [("/up/v1/chat/completions", "gpt-a"), ("/up/v1/chat/completions", "gpt-b"), ("/up/v1/embeddings", "emb-a"), ("/up/v1/chat/completions", "gpt-a"), ("/ant/v1/messages", "claude-x")]


def ask(gw, key, requests=REQUESTS):
    return [split(raw(gw.port, post(path, key, json.dumps({"model": model, "max_tokens": 5}).encode(), header="x-api-key: " if path.startswith("/ant") else "Authorization: Bearer ")))[0] for path, model in requests]


@pytest.fixture
def seen(gw):
    gw.masked = gw.key("--provider", "*", "--limit", "requests_per_minute=600")
    assert ask(gw, gw.masked) == [200] * len(REQUESTS)
    return gw


def test_the_proposal_permits_what_was_done_and_nothing_else(seen):
    id = key_id(seen.masked)
    advice = json.loads(seen.cli("key", "advise", id, "--json"))
    policy = advice["policy"]
    assert advice["requests"] == 5 and advice["providers_used"] == ["ant", "up"] and advice["models_used"] == ["claude-x", "emb-a", "gpt-a", "gpt-b"]
    assert sorted(advice["endpoints_used"]) == ["chat", "embeddings", "messages"] and advice["endpoints_allowed"] == 16 and advice["networks_used"] == ["127.0.0.1"]
    assert policy["limits"] == {"requests_per_minute": 600}, "what was no part of the question stays"
    assert advice["replay"]["would_refuse"] == 0 and advice["replay"]["requests"] == 5 and advice["replay"]["not_judged"] == []
    assert "5 requests in 30 days use 2 of 2 providers" in seen.cli("key", "advise", id)
    assert "would have refused 0 of 5 requests in 7 days" in seen.cli("key", "advise", id, "--days", "7")
    seen.cli("key", "advise", id, "--apply")
    assert ask(seen, seen.masked) == [200] * len(REQUESTS), "all that was done may still be done"
    assert ask(seen, seen.masked, [("/up/v1/chat/completions", "gpt-c"), ("/up/v1/images/generations", "gpt-a"), ("/up/v1/chat/completions", "gpt-a")]) == [403, 403, 200]
    # Refused requests teach nothing.
    assert "gpt-c" not in json.loads(seen.cli("key", "advise", id, "--json"))["models_used"]


@pytest.mark.parametrize("options, code", [
    (["--provider", "up"], "provider_not_allowed"), (["--provider", "*", "--model", "gpt-*"], "model_not_allowed"), (["--provider", "*", "--deny-model", "gpt-a"], "model_not_allowed"),
    (["--provider", "*", "--endpoint", "chat"], "endpoint_not_in_scope"), (["--provider", "*", "--network", "10.0.0.0/8"], "network_not_allowed"),
    (["--provider", "*", "--body-bytes-max", "33"], "body_too_large"), (["--provider", "*"], None), (["--provider", "*", "--limit", "requests_per_hour=2"], "rate_limited"),
    (["--provider", "*", "--limit", "requests_per_day=2"], "rate_limited"), (["--provider", "*", "--key-tag", "none-has-it"], "no_usable_provider_key")])
def test_what_it_says_of_the_past_is_what_the_gateway_then_does(seen, options, code):
    id = key_id(seen.masked)
    done = seen.cli("policy", "replay", "--of-key", id, *options, "--json", check=False)
    told = json.loads(done.stdout)
    assert done.returncode == (1 if code else 0) and told["requests"] == len(REQUESTS) and set(told["refusals"]) == ({code} if code else set())
    assert seen.cli("key", "list", "--json") and ask(seen, seen.masked) == [200] * len(REQUESTS), "nothing is set by asking"
    seen.cli("key", "set", id, *options)
    refused = sum(status >= 400 for status in ask(seen, seen.masked))
    assert refused == told["would_refuse"] and told["keys"] == ({id: refused} if refused else {})


def test_teams_and_shared_policies_are_asked_about_for_all_their_keys(gw):
    keys = [gw.key("--team", "red"), gw.key("--team", "red", "--provider", "up"), gw.key("--team", "blue")]
    gw.cli("policy", "set", "p", "--provider", "up")
    keys.append(gw.key("--policy", "p"))
    for key in keys:
        ask(gw, key, REQUESTS[:2])
    done = gw.cli("policy", "replay", "--of-team", "red", "--provider", "up", "--model", "gpt-b", check=False)
    assert done.returncode == 1 and "would have refused 2 of 4 requests" in done.stdout and "model_not_allowed: 2" in done.stdout
    assert "would have refused 1 of 2 requests" in gw.cli("policy", "replay", "--of-policy", "p", "--provider", "up", "--model", "gpt-b", check=False).stdout
    token = gw.token("--role", "developer", "--team", "red")
    assert gw.call("GET", f"/v1/keys/{key_id(keys[0])}/advice", token)[0] == 200
    assert gw.call("GET", f"/v1/keys/{key_id(keys[2])}/advice", token)[0] == 404


def test_limits_are_asked_about_in_the_time_of_the_record(running, tmp_path):
    answer = b'{"choices":[],"usage":{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10}}'
    gw = running(lambda: Managed(tmp_path, running(Upstream, ok(answer)).url))
    gw.cli("team", "set", "red", "--provider", "up")
    gw.cli("policy", "set", "p", "--provider", "up")
    keys = [gw.key("--team", "red"), gw.key("--team", "red"), gw.key("--policy", "p"), gw.key("--policy", "p")]
    for key in keys:
        assert ask(gw, key, REQUESTS[:2]) == [200, 200]

    def told(*options):
        done = gw.cli("policy", "replay", *options, "--provider", "up", "--json", check=False)
        answer = json.loads(done.stdout)
        assert done.returncode == (1 if answer["would_refuse"] else 0) and answer["requests"] == 4 and answer["not_judged"] == []
        return answer["would_refuse"], answer["refusals"], answer["would_shorten"]

    # Of a team's limits all its keys have one share; of a shared policy's each has its own.
    assert told("--of-team", "red", "--limit", "requests_per_minute=3") == (1, {"rate_limited": 1}, 0)
    assert told("--of-policy", "p", "--limit", "requests_per_minute=3") == (0, {}, 0)
    assert told("--of-policy", "p", "--limit", "requests_per_minute=1") == (2, {"rate_limited": 2}, 0)
    assert told("--of-policy", "p", "--limit", "tokens_per_day=10") == (2, {"tokens_limited": 2}, 0)
    assert told("--of-policy", "p", "--limit", "output_tokens_per_hour=8") == (0, {}, 0)
    # What is longer than the policy permits is shortened, not refused.
    assert told("--of-team", "red", "--output-tokens-max", "3") == (0, {}, 4)
    assert "4 answers were longer than the output tokens" in gw.cli("policy", "replay", "--of-team", "red", "--output-tokens-max", "3")
    # Limits that stay have let pass what passed.
    gw.cli("policy", "set", "p", "--provider", "up", "--limit", "requests_per_minute=1")
    assert told("--of-policy", "p", "--limit", "requests_per_minute=1") == (0, {}, 0)


def test_what_makes_no_sense_is_refused(gw):
    id = key_id(gw.key())
    assert "was not used in 30 days" in gw.cli("key", "advise", id)
    assert gw.cli("key", "advise", id, "--apply", check=False).returncode != 0
    token = gw.token("--role", "auditor")
    for document in ({"policy": {}}, {"policy": {}, "key": id, "team": "red"}, {"policy": {"providers": ["nobody"]}, "key": id}, {"policy": {"networks": ["x"]}, "team": "red"},
                     {"policy": {}, "team": "nobody"}, {"policy": {}, "shared_policy": "nobody"}, {"policy": {}, "team": "red", "days": 0}, {"policy": {}, "team": "red", "days": 367}, {"team": "red"}):
        status, answer = gw.call("POST", "/v1/policy-replays", token, document)
        assert status in (400, 404) and answer["title"], document
    for days in ("0", "367", "x", "-1"):
        assert gw.call("GET", f"/v1/keys/{id}/advice?days={days}", token)[0] == 400
    assert gw.call("GET", "/v1/keys/AAAAAAAAAAAA/advice", token)[0] == 404
