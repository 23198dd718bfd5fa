"""What is checked is what is sent: paths, character sets, models beside the model, objects by their place, fields of the head. Each was a way past a rule."""
import json

import pytest
from conftest import Gateway, Upstream, ok, post, raw, split
from test_objects import FILE, World, code_of, status_of

CHAT = "/up/v1/chat/completions"


def get(port, path, key, method="GET"):
    return raw(port, f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode())


def asked(path, key, body, *lines):
    """A request whose content type is the caller's own."""
    head = [f"POST {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {key}", f"Content-Length: {len(body)}", "Connection: close", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def sentence(answer):
    return json.loads(split(answer)[2])["error"]["message"]


class Decoding(Upstream):
    """A front that decodes and normalises the path, as nginx does where `proxy_pass` has a path; what is asked for then is in `paths`."""

    def __init__(self):
        super().__init__(ok())

    @property
    def paths(self):
        import posixpath, urllib.parse
        return [posixpath.normpath(urllib.parse.unquote(r["target"].partition("?")[0]).replace("\\", "/")) for r in self.requests]


@pytest.fixture
def world(running, tmp_path):
    up = running(Decoding)
    gw = running(Gateway, up.url)
    for name, kind in (("azure", "azure"), ("or", "openrouter"), ("lite", "litellm"), ("gem", "gemini"), ("hug", "together"), ("bed", "bedrock")):
        gw.cli("provider", "add", name, "--kind", kind, "--base-url", up.url + ("/tenant-a" if name == "hug" else ""), *(["--credential", "bearer"]))
        gw.cli("provider-key", "add", name, input="made-up-key-00000000\n")
    return gw, up


class TestPaths:
    @pytest.mark.parametrize("path", ["x%2F..%2F..%2Ffiles", "..%2Ffiles", "..%2f..%2ffiles", "x%5C..%5C..%5Cfiles", "x\\..\\files", "%2e%2e%2Ffiles", "..", "%2E%2E", "x%2F%2Fy", "a%252F..%252Fb", "x/../../files", "x;/../files"])
    def test_nothing_gets_out_of_a_segment(self, world, path):
        gw, up = world
        key = gw.key("--provider", "*", "--endpoint", "models", "--path", "GET /v1/models/*")
        for provider in ("up", "hug"):
            answer = get(gw.port, f"/{provider}/v1/models/{path}", key)
            assert status_of(answer) in (400, 403) and (status_of(answer) == 400 or code_of(answer) == "endpoint_not_allowed"), answer
        assert not up.requests

    def test_an_encoded_separator_names_no_other_deployment(self, world):
        gw, up = world
        key = gw.key("--provider", "*", "--model", "gpt-4o-mini*")
        for path in ("/azure/openai/deployments/gpt-4o-mini%2F..%2Fgpt-5-pro/chat/completions", "/azure/openai/deployments/gpt-4o-mini%5C..%5Cgpt-5-pro/chat/completions", "/azure/openai/deployments/gpt-4o-mini/../gpt-5-pro/chat/completions",
                     "/gem/v1beta/models/gpt-4o-mini%2F..%2Fx:generateContent", "/bed/model/gpt-4o-mini%2F..%2Fgpt-5-pro/converse"):
            assert code_of_any(raw(gw.port, post(path, key))) == "endpoint_not_allowed", path
        assert not up.requests

    def test_names_with_slashes_pass_raw_and_encoded_alike(self, world):
        gw, up = world
        key = gw.key("--provider", "hug", "--path", "GET /v1/models/*", "--model", "meta-llama/*")
        for name in ("meta-llama/Llama-3-8B", "meta-llama%2FLlama-3-8B", "meta-llama%2fLlama-3-8B"):
            assert status_of(get(gw.port, f"/hug/v1/models/{name}", key)) == 200, name
            assert up.requests[-1]["target"] == f"/tenant-a/v1/models/{name}" and up.paths[-1] == "/tenant-a/v1/models/meta-llama/Llama-3-8B"
            assert code_of(get(gw.port, f"/hug/v1/models/other{name[10:]}", key)) == "model_not_allowed"
        arn = "arn:aws:bedrock:eu-west-1:123:inference-profile/eu.x"
        key = gw.key("--provider", "bed", "--model", "arn:aws:bedrock:*/eu.x")
        for name in (arn, arn.replace(":", "%3A").replace("/", "%2F")):
            assert status_of(raw(gw.port, post(f"/bed/model/{name}/converse", key))) == 200, name

    def test_the_refusal_says_the_path_and_what_is_wrong_with_it(self, world):
        gw, _ = world
        key = gw.key()
        for path, says in (("//v1/models", "//"), ("/v1/v1/models", "/v1 twice"), ("/v1/models/", "ends with a slash"), ("/v1/models/a%2Fb%2F..", "escaped"), ("/v1/nothing", "does not pass")):
            told = sentence(get(gw.port, f"/azure{path}" if "%" not in path else f"/or{path}", key))
            assert says in told and told.endswith(f"Path: {path}"), told


def code_of_any(answer):
    body = json.loads(split(answer)[2])
    error = body.get("error", body)
    details = error.get("details")
    return details[0]["reason"] if isinstance(details, list) else error.get("metadata", error)["code"]


class TestCharacterSets:
    BODY = '{"model":"good","+AG0AbwBkAGUAbA-":"bad"}'.encode()

    @pytest.mark.parametrize("types,body,says", [
        (["application/json; charset=utf-7"], BODY, "character set"), (["application/json; charset=\"UTF-16\""], '{"model":"good"}'.encode("utf-16"), "character set"),
        (["application/json"], '{"model":"good"}'.encode("utf-16-le"), "UTF-16"), (["application/json"], '{"model":"good"}'.encode("utf-16"), "UTF-16"),
        (["application/json"], '{"model":"good"}'.encode("utf-32-be"), "UTF-16"), (["application/json; charset*=utf-7''"], BODY, "character set"), ([], BODY, "no Content-Type"),
        (["text/plain"], BODY, "neither"), (["application/json; charset=utf-8; charset=utf-7"], BODY, "character set"), (["application/json"], b"\xef\xbb\xbf" + BODY, "byte order mark"),
        (["application/json"], b'{"model":"good","x":"\\ud800"}', "surrogate"), (["application/json"], b'{"model":"good","x":NaN}', "NaN"), (["application/json"], b'{"model":"good","model":"bad"}', "twice"),
        (["application/json"], b'{"model":true}', "no string"), (["application/json"], b'{"Model":"bad","model":"good"}', "capitals"), (["application/json"], b'{"model":"good"', "too early"),
    ])
    def test_a_body_that_could_be_read_otherwise_is_refused_with_the_reason(self, world, types, body, says):
        gw, up = world
        key = gw.key("--provider", "*", "--model", "good*")
        answer = raw(gw.port, asked(CHAT, key, body, *[f"Content-Type: {t}" for t in types]))
        assert code_of(answer) == "model_unclear" and says in sentence(answer), answer
        # The path names the model, and the body is looked at all the same.
        answer = raw(gw.port, asked("/azure/openai/deployments/good/chat/completions", key, body, *[f"Content-Type: {t}" for t in types]))
        assert code_of(answer) == "model_unclear" and not up.requests

    def test_what_is_said_twice_is_refused_and_what_decides_nothing_passes(self, world):
        gw, up = world
        key = gw.key()
        answer = raw(gw.port, asked(CHAT, key, self.BODY, "Content-Type: application/json", "Content-Type: application/json; charset=utf-7"))
        assert status_of(answer) == 400 and "Content-Type is said twice" in sentence(answer)
        assert code_of(raw(gw.port, asked(CHAT, key, self.BODY, "Content-Type: application/json", "Content-Encoding: identity", "Content-Encoding: gzip"))) == "encoded_body"
        assert not up.requests
        assert status_of(raw(gw.port, asked(CHAT, key, self.BODY, "Content-Type: application/json; charset=utf-7"))) == 200
        assert status_of(raw(gw.port, asked(CHAT, gw.key("--provider", "*", "--model", "good"), b'{"model":"good"}', 'Content-Type: application/json; charset="UTF-8"'))) == 200

    def test_forms(self, world):
        gw, up = world
        key = gw.key("--provider", "*", "--model", "good*")
        model = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngood\r\n'
        for part, says in ((b'Content-Disposition: form-data; name="_charset_"\r\n\r\nutf-7', "character set"), (b'Content-Disposition: form-data; name="x"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\na', "character set"),
                           (b'Content-Disposition: form-data; name="fallbacks"\r\n\r\nbad', "fallbacks")):
            answer = raw(gw.port, asked("/up/v1/audio/transcriptions", key, model + b"--b\r\n" + part + b"\r\n--b--\r\n", "Content-Type: multipart/form-data; boundary=b"))
            assert code_of(answer) == "model_unclear" and says in sentence(answer)
        assert not up.requests and status_of(raw(gw.port, asked("/up/v1/audio/transcriptions", key, model + b"--b--\r\n", "Content-Type: multipart/form-data; boundary=b"))) == 200


class TestModels:
    @pytest.mark.parametrize("provider,more,code", [
        ("or/api", {"models": ["good-2", "bad"]}, "model_not_allowed"), ("or/api", {"fallbacks": ["bad"]}, "model_not_allowed"), ("or/api", {"fallbacks": [{"model": "bad"}]}, "model_not_allowed"),
        ("or/api", {"preset": "x"}, "model_unclear"), ("lite", {"fallbacks": ["bad"]}, "model_not_allowed"), ("lite", {"fallbacks": [{"good": ["bad"]}]}, "model_not_allowed"),
        ("lite", {"metadata": {"fallbacks": ["bad"]}}, "model_not_allowed"), ("lite", {"mock_testing_fallbacks": True}, "model_unclear"), ("up", {"fallbacks": ["bad"]}, "model_not_allowed"),
        ("up", {"models": ["bad"]}, "model_unclear"), ("up", {"route": "fallback"}, "model_unclear"), ("up", {"x_model": "bad"}, "model_unclear"), ("up", {"tools": [{"type": "advisor", "model": "bad"}]}, "model_not_allowed"),
    ])
    def test_every_model_that_a_request_can_lead_to_is_checked(self, world, provider, more, code):
        gw, up = world
        key = gw.key("--provider", "*", "--model", "good*")
        answer = raw(gw.port, post(f"/{provider}/v1/chat/completions", key, json.dumps({"model": "good", **more}).encode()))
        assert code_of_any(answer) == code, answer
        if code == "model_unclear":
            assert sentence(answer).endswith(f"Name: {next(iter(more))}")
        assert not up.requests
        # For a key that nothing restricts it is the provider's to read.
        assert status_of(raw(gw.port, post(f"/{provider}/v1/chat/completions", gw.key(), json.dumps({"model": "good", **more}).encode()))) == 200

    def test_those_in_scope_pass_and_so_do_members_that_name_none(self, world):
        gw, up = world
        key = gw.key("--provider", "*", "--model", "good*")
        for provider, more in (("or/api", {"models": ["good-2", "good-3"], "route": "fallback"}), ("lite", {"fallbacks": [{"good": ["good-2"]}], "metadata": {"user": "x"}}), ("ant", {"fallbacks": [{"model": "good-2"}]}),
                               ("up", {"new_feature": {"deep": [1]}, "metadata": {"my_model": "x"}, "modalities": ["text"]})):
            path = "messages" if provider == "ant" else "chat/completions"
            assert status_of(raw(gw.port, post(f"/{provider}/v1/{path}", key, json.dumps({"model": "good", **more}).encode()))) == 200, more

    @pytest.mark.parametrize("query", ["model=bad", "mod%65l=bad", "a=1&Model=bad", "fallback_model=bad", "x=1;model=bad", "%6dodel", "deployment=bad"])
    def test_the_query_names_no_second_model(self, world, query):
        gw, up = world
        key = gw.key("--provider", "*", "--model", "good*")
        assert code_of(raw(gw.port, post(f"{CHAT}?{query}", key, b'{"model":"good"}'))) == "model_unclear" and not up.requests

    def test_the_dearest_counts(self, running):
        up = running(Upstream, ok(b'{"model":"cheap","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":1000}}'))
        gw = running(Gateway, up.url)
        gw.cli("provider", "add", "or", "--kind", "openrouter", "--base-url", up.url)
        gw.cli("provider-key", "add", "or", input="made-up-key-00000000\n")
        for name, price in (("cheap", "1"), ("dear", "1000")):
            gw.cli("price", "set", "or", name, "--input", price, "--output", price)
        key = gw.key("--provider", "or")
        gw.cli("budget", "set", "b", "--usd", "0.5", "--key", key.split("_")[1])
        ask = lambda **more: raw(gw.port, post("/or/api/v1/chat/completions", key, json.dumps({"model": "cheap", "max_tokens": 1000, "messages": [], **more}).encode()))
        assert code_of_any(ask(models=["dear"])) == "budget_exhausted" and code_of_any(ask(models=["unheard-of"])) == "price_unknown"
        assert not up.requests and status_of(ask(models=["cheap"])) == 200
        # The one that answered is paid for: 2,000 tokens at 1 USD a million.
        assert [e["cost_usd"] for e in gw.activity() if e["status"] == 200] == ["0.002"]


class TestObjects:
    def test_an_id_without_a_digit_is_another_keys_all_the_same(self, running):
        w = World(running)
        for body in ({"file_ids": ["file-abcdefghijklmnop"]}, {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-abcdefghijklmnop"]}}]}, {"container": "cntr_abcdefghijklmnop"},
                     {"container": {"id": "x"}}, {"conversation": {"id": "x"}}, {"vector_store_ids": ["vsabc"]}):
            assert w.refused(w.b, "POST", "/v1/responses", {"model": "m", "input": "x", **body}), body

    def test_ids_in_forms_and_in_queries(self, running):
        w = World(running)
        assert status_of(w.ask(w.a, "POST", "/v1/files", b"x")) == 200
        body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name="file_id"\r\n\r\n' + FILE.encode() + b"\r\n--b--\r\n"
        send = lambda key, path, body, type: raw(w.gw.port, asked("/p" + path, key, body, f"Content-Type: {type}"))
        for path, body, type in (("/v1/images/edits", body, "multipart/form-data; boundary=b"), ("/v1/fine_tuning/jobs", b"model=m&training%5Ffile=" + FILE.encode(), "application/x-www-form-urlencoded"),
                                 (f"/v1/chat/completions?file_id={FILE}", b"{}", "application/json")):
            before = len(w.up.requests)
            answer = send(w.b, path, body, type)
            assert code_of(answer) == "object_not_found" and len(w.up.requests) == before, path
            assert status_of(send(w.a, path, body, type)) == 200, path
        for type, body in (("application/json; charset=utf-7", b"{}"), ("application/json", json.dumps({"file_id": FILE}).encode("utf-16"))):
            assert code_of(send(w.b, "/v1/chat/completions", body, type)) == "model_unclear"


class TestFields:
    KEPT_HERE = ["X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Original-URL: /v1/files", "X-Original-URI: /v1/files", "X-Rewrite-URL: /v1/files", "X-Forwarded-Host: evil",
                 "X-Forwarded-Prefix: /x", "Forwarded: host=evil", "x-ms-model-mesh-model-name: bad", "x-ms-oai-image-generation-deployment: bad", "X-Envoy-Original-Path: /x", "X-Accel-Redirect: /x", "X-Host: evil", "X-Original-Host: evil",
                 "X-Client-IP: 10.0.0.1", "CF-Connecting-IP: 10.0.0.1", "X-Goog-User-Project: other", "X-HF-Bill-To: other", "X-LiteLLM-API-Key: sk-made-up", "Ocp-Apim-Subscription-Key: made-up", "X-Auth-Token: made-up",
                 "X-Override-Model: bad", "X-Fallbacks: bad", "X-Goog-Request-Params: model=bad", "X-Routing-Key: a", "Helicone-Auth: Bearer made-up", "X-Private: 1", "X-Second: 1"]
    PASSED = ["OpenAI-Beta: x=y", "anthropic-beta: a,b", "anthropic-version: 2023-06-01", "X-Stainless-Lang: python", "X-Stainless-Helper-Method: stream", "Idempotency-Key: a", "X-Goog-Api-Client: x", "X-Goog-Upload-Command: start",
              "X-Goog-Upload-Protocol: resumable", "HTTP-Referer: https://a", "X-Title: app", "Prefer: wait", "X-Amzn-Bedrock-GuardrailIdentifier: g", "traceparent: 00-1", "x-client-request-id: 1", "cf-aig-cache-key: a", "Range: bytes=0-1",
              "X-Brand-New-Feature: on", "x-grok-conv-id: 1"]

    def test_what_would_make_another_request_of_it_stays_here(self, running):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        body = b"{}"
        head = [l for l in self.KEPT_HERE + self.PASSED] + ["Connection: close, X-Private", "Connection: x-second , keep-alive"]
        assert status_of(raw(gw.port, asked(CHAT, gw.key(), body, "Content-Type: application/json", *head))) == 200
        seen = up.requests[0]["headers"]
        assert not [l for l in self.KEPT_HERE if l.partition(":")[0].lower() in seen]
        for line in self.PASSED:
            name, _, value = line.partition(": ")
            assert seen.get(name.lower()) == value, line

    def test_connection_cannot_take_away_what_the_body_is(self, running):
        gw = running(Gateway, running(Upstream, ok()).url)
        assert status_of(raw(gw.port, asked(CHAT, gw.key(), b"{}", "Content-Type: application/json", "Connection: content-type"))) == 400

    @pytest.mark.parametrize("query", ["_method=DELETE", "%24httpMethod=DELETE", "access_token=x", "X-HTTP-Method-Override=DELETE"])
    def test_no_parameter_makes_another_request_of_it(self, running, query):
        up = running(Upstream, ok())
        gw = running(Gateway, up.url)
        assert status_of(raw(gw.port, post(f"{CHAT}?a=1&{query}", gw.key()))) == 400 and not up.requests
