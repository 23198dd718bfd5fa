"""No number from outside stops the gateway: extremes in every numeric place of requests, answers, their heads, tokens and settings."""
import asyncio, collections, json, re, shutil

import pytest
from conftest import Gateway, Process
from extremes import CASSETTES, CHAT, EXTREMES, M, Sent, Started, Template, recorded, sampled
from load import EFFORT, Lane, answers, cases_of, seeded, timeout_of  # noqa: F401: a fixture

# Members of requests that are numbers, by a template of each dialect: %s is the extreme.
REQUESTS = {
    "/openai/v1/chat/completions": [f'{{"model":"m",{CHAT},"{n}":%s}}' for n in ("max_tokens", "max_completion_tokens", "n", "best_of", "top_logprobs", "logprobs", "seed", "temperature", "frequency_penalty", "stream", "store")]
    + [f'{{"model":"m",{CHAT},"max_tokens":%s,"n":{n}}}' for n in (2, 1024, M)] + [f'{{"model":"m",{CHAT},"max_tokens":{n},"n":%s}}' for n in (1000, M)] + [f'{{"model":"m",{CHAT},"max_tokens":%s,"max_completion_tokens":%s}}', f'{{"model":"m",{CHAT},"stream_options":{{"include_usage":%s}},"stream":true}}',
       f'{{"model":"m",{CHAT},"prediction":{{"content":%s}}}}', f'{{"model":%s,{CHAT}}}'],
    "/openai/v1/completions": ['{"model":"m","prompt":["a","b","c"],"max_tokens":%s}', '{"model":"m","prompt":[1,2,%s],"max_tokens":9}', '{"model":"m","prompt":"a","best_of":%s,"n":2,"max_tokens":100}', '{"model":"m","prompt":"a","n":%s,"best_of":%s,"max_tokens":%s}'],
    "/openai/v1/responses": [f'{{"model":"m","input":"hi","{n}":%s}}' for n in ("max_output_tokens", "max_tool_calls", "top_logprobs", "temperature", "background")], "/openai/v1/embeddings": ['{"model":"m","input":[[1,%s]]}', '{"model":"m","input":"a","dimensions":%s}'],
    "/openai/v1/images/generations": ['{"model":"m","prompt":"a","n":%s}', '{"model":"m","prompt":"a","partial_images":%s}', '{"model":"m","prompt":"a","output_compression":%s}'], "/openai/v1/audio/speech": ['{"model":"m","input":"a","voice":"x","speed":%s}'],
    "/openai/v1/batches": ['{"input_file_id":"file-x","endpoint":"/v1/chat/completions","completion_window":%s}'], "/openai/v1/fine_tuning/jobs": ['{"model":"m","training_file":"file-x","hyperparameters":{"n_epochs":%s}}'],
    "/anthropic/v1/messages": [f'{{"model":"m",{CHAT},"max_tokens":%s}}', f'{{"model":"m",{CHAT},"max_tokens":10,"thinking":{{"type":"enabled","budget_tokens":%s}}}}', f'{{"model":"m",{CHAT},"max_tokens":10,"top_k":%s}}', f'{{"model":"m",{CHAT},"max_tokens":10,"tools":[{{"type":"web_search_20250305","name":"w","max_uses":%s}}]}}'],
    "/anthropic/v1/messages/batches": [f'{{"requests":[{{"custom_id":"a","params":{{"model":"m",{CHAT},"max_tokens":%s}}}},{{"custom_id":"b","params":{{"model":"m",{CHAT},"max_tokens":%s}}}}]}}'],
    "/gemini/v1beta/models/m:generateContent": [f'{{"contents":[{{"parts":[{{"text":"hi"}}]}}],"generationConfig":{{"{n}":%s}}}}' for n in ("maxOutputTokens", "candidateCount", "max_output_tokens", "candidate_count", "topK", "seed")] + ['{"contents":[],"generationConfig":{"maxOutputTokens":%s,"candidateCount":8}}',
        '{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingBudget":%s}}}', '{"contents":[],"generationConfig":%s}', '{"contents":[{"parts":[{"videoMetadata":{"fps":%s}}]}]}'],
    "/bedrock/model/m/converse": ['{"messages":[],"inferenceConfig":{"maxTokens":%s}}', '{"messages":[],"inferenceConfig":%s}', '{"messages":[],"additionalModelRequestFields":{"top_k":%s}}'], "/bedrock/model/m/invoke": ['{"max_tokens":%s}', '{"textGenerationConfig":{"maxTokenCount":%s}}', '{"max_gen_len":%s}'],
    "/cohere/v2/chat": [f'{{"model":"m",{CHAT},"max_tokens":%s}}'], "/cohere/v1/chat": ['{"model":"m","message":"a","max_tokens":%s,"num_generations":%s}'], "/cohere/v2/rerank": ['{"model":"m","query":"a","documents":["b"],"top_n":%s}'],
    "/ollama/api/chat": [f'{{"model":"m",{CHAT},"options":{{"num_predict":%s,"num_ctx":%s}}}}', f'{{"model":"m",{CHAT},"options":%s}}', f'{{"model":"m",{CHAT},"keep_alive":%s}}'], "/ollama/api/generate": ['{"model":"m","prompt":"a","options":{"num_predict":%s}}', '{"model":"m","prompt":"a","context":[%s]}'],
    "/watsonx/ml/v1/text/generation?version=2025-02-01": ['{"model_id":"m","input":"a","parameters":{"max_new_tokens":%s,"min_new_tokens":%s,"time_limit":%s}}'], "/watsonx/ml/v1/text/chat?version=2025-02-01": [f'{{"model_id":"m",{CHAT},"max_tokens":%s,"n":%s,"time_limit":%s}}', f'{{"model_id":"m",{CHAT},"max_tokens":1000,"n":%s}}'],
    "/mistral/v1/chat/completions": [f'{{"model":"m",{CHAT},"max_tokens":%s,"n":%s,"random_seed":%s}}'], "/openrouter/api/v1/chat/completions": [f'{{"model":"m",{CHAT},"max_tokens":%s,"provider":{{"max_price":{{"prompt":%s}}}}}}', f'{{"model":"m",{CHAT},"reasoning":{{"max_tokens":%s}}}}'],
    "/replicate/v1/models/a/m/predictions": ['{"input":{"prompt":"a","max_tokens":%s}}'], "/voyage/v1/embeddings": ['{"model":"m","input":["a"],"output_dimension":%s}'], "/xai/v1/chat/completions": [f'{{"model":"m",{CHAT},"max_tokens":%s,"search_parameters":{{"max_search_results":%s}}}}'],
}
HEADS = ["Content-Length: %s", "X-Forwarded-For: %s", "X-Stainless-Timeout: %s", "Keep-Alive: timeout=%s", "x-stainless-retry-count: %s", "anthropic-version: %s", "traceparent: 00-%s-%s-01", "Expect: %s", "Range: bytes=%s-%s", "Content-Type: application/json; q=%s", "Max-Forwards: %s", "X-Goog-Upload-Offset: %s"]


def made_up(values):
    """Requests of every dialect with each numeric member replaced, with every kind of key."""
    ok = (json.dumps({"id": "x", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode(), "application/json", 200, [])
    for target, templates in REQUESTS.items():
        for template in templates:
            for value in values:
                for key in ("plain", "tokens", "money", "scoped"):
                    yield Sent(f"request {target} {template}", value, key, "POST", target, template.replace("%s", value).encode(), answer=ok)
    for head in HEADS:
        for value in values:
            field = head.replace("%s", value.strip('"') or "0")
            if "\n" not in field:
                yield Sent(f"request head {head}", value, "money", "POST", "/openai/v1/chat/completions", f'{{"model":"m",{CHAT},"max_tokens":5}}'.encode(), [field], ok)
    for value in values:
        size = value.strip('"') or "0"
        yield Sent("request chunk size", value, "plain", "POST", "/openai/v1/chat/completions", f"{size}\r\n{{}}\r\n0\r\n\r\n".encode(), ["Transfer-Encoding: chunked", "Connection: close"], ok)
    # Two large answers added up, for keys that are counted and keys that are not.
    for key in ("plain", "tokens", "money"):
        for n in (M, M // 2 + 1, 2**62, 10**18):
            for usage in ({"prompt_tokens": n, "completion_tokens": n}, {"prompt_tokens": n, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": n}}, {"prompt_tokens": 1, "completion_tokens": n, "completion_tokens_details": {"reasoning_tokens": n, "audio_tokens": n}}):
                for _ in range(3):
                    yield Sent(f"answers added up {sorted(usage)}", str(n), key, "POST", "/openai/v1/chat/completions", f'{{"model":"m",{CHAT},"max_tokens":5}}'.encode(), answer=(json.dumps({"model": "m", "usage": usage}).encode(), "application/json", 200, []))
            for usage in ({"input_tokens": n, "cache_read_input_tokens": n, "cache_creation_input_tokens": n, "output_tokens": n}, {"input_tokens": 1, "output_tokens": 1, "iterations": [{"input_tokens": n, "output_tokens": n}] * 3}):
                yield Sent(f"answers added up {sorted(usage)}", str(n), key, "POST", "/anthropic/v1/messages", f'{{"model":"m",{CHAT},"max_tokens":5}}'.encode(), answer=(json.dumps({"model": "m", "type": "message", "usage": usage}).encode(), "application/json", 200, []))


class Trial:
    """Runs cases on a gateway of their own, and finds the ones that end it."""

    def __init__(self, template):
        self.template, self.counts, self.culprits = template, collections.Counter(), []

    async def send(self, port, numbered, lanes=16):
        source = iter(numbered)

        async def work():
            lane = Lane(port)
            for number, case in source:
                changed, ctype, status, fields = case.answer
                self.template.answers.put(number, changed, ctype, status, [(k, v) for k, v in fields if "\r" not in v and "\n" not in v])
                try:
                    answer = await lane.ask(case.written(number, self.template.keys), 30)
                except (ConnectionError, OSError):
                    answer = None
                except asyncio.TimeoutError:
                    lane.close()
                    self.counts["unanswered"] += 1
                    answer = None
                if answer:
                    self.counts[answer[0] if answer[0] >= 500 else answer[0] // 100 * 100] += 1
                if any(h.lower().startswith(("content-length", "transfer-encoding")) for h in case.headers):
                    lane.close()
            lane.close()

        await asyncio.gather(*[work() for _ in range(lanes)])

    def survives(self, cases):
        """Whether a gateway lives through the cases, sums them up, stops, starts and tells of them."""
        gw = Started(self.template.copy())
        try:
            asyncio.run(self.send(gw.port, list(enumerate(cases))))
            for again in range(2):
                if gw.child.poll() is not None:
                    return False
                for command in (["activity", "--json", "--limit", 1000], ["usage", "--span", "day", "--json"], ["budget", "show", "large", "--json"], ["key", "list", "--json"]):
                    if gw.cli(*command, check=False).returncode != 0:
                        return False
                if gw.stop() != 0:
                    return False
                if again == 0:
                    try:
                        gw.start()
                    except AssertionError:
                        return False
            return True
        finally:
            if gw.child.poll() is None:
                gw.child.kill()
                gw.child.wait()
            shutil.rmtree(gw.data)

    def find(self, cases, most=12):
        """Culprits among `cases`, by halving; at most so many, each of another place."""
        if len(self.culprits) >= most or self.survives(cases):
            return
        if len(cases) == 1:
            self.culprits.append(cases[0])
            return
        half = len(cases) // 2
        self.find(cases[:half], most)
        places = {c.place for c in self.culprits}
        self.find([c for c in cases[half:] if c.place not in places], most)

    def report(self):
        return "\n".join([f"extremes: {len(self.culprits)} places end the process (no more are looked for)"] + [f"* ends it: {c.place} = {c.value} with key '{c.key}'\n    {c.method} {c.target} {c.body[:300]!r}\n    answered {c.answer[2]} {c.answer[3]} {c.answer[0][-500:]!r}" for c in self.culprits])


@pytest.mark.slow
@pytest.mark.timeout(timeout_of(150))
def test_no_number_in_a_request_or_an_answer_stops_the_process(running, tmp_path, answers, capsys):
    template = Template(running, tmp_path, answers)
    cases = list(made_up(EXTREMES))
    if CASSETTES.is_dir():
        cases += recorded(EXTREMES)
    else:
        with capsys.disabled():
            print(f"\nSKIPPED: no recorded answers at {CASSETTES}; set MASKLLM_CASSETTES")
    places, random = len({c.place for c in cases}), seeded("extremes")
    total = len(cases)
    if EFFORT != "full":
        cases = sampled(random, cases, cases_of(3_000, total), lambda c: c.place, lambda c: c.value)
    trial = Trial(template)
    size = 20_000
    for at in range(0, len(cases), size):
        trial.find(cases[at:at + size], 2 if EFFORT == "small" else 12)
    with capsys.disabled():
        print(f"\nextremes: {len(cases)} of {total} cases in {places} places, answers {dict(trial.counts)}, {len(trial.culprits)} that end the process")
    assert not trial.culprits, trial.report()
    assert trial.counts[200] > len(cases) / 4 and not trial.counts[500], "most requests pass, and nothing is a fault of the gateway's own"


# ---- tokens of identity providers

@pytest.mark.timeout(timeout_of())
def test_no_number_in_the_life_of_a_token_stops_the_process(running, answers, capsys):
    """What a token endpoint says of how long its token is good for."""
    gw = running(Gateway)
    key, number, counts = gw.key(), 0, collections.Counter()
    kinds = [("oauth2", "oauth2:{}/token/case={} scope", "made-up-client:made-up-secret-000000", '{{"access_token":"made-up-token-0000000000","token_type":"Bearer","expires_in":{}}}'),
             ("ibm", "ibm:{}/token/case={}", "made-up-key-of-nobody-0000000000", '{{"access_token":"made-up-token-0000000000","expiration":{0},"expires_in":{0}}}')]
    asked = []
    for name, style, secret, token in kinds:
        for value in EXTREMES if EFFORT != "small" else EXTREMES[::2] + [str(M), "1e30"]:
            number += 2
            answers.put(number, token.format(value).encode())
            answers.put(number + 1, b'{"id":"x","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
            gw.cli("provider", "add", f"{name}-{number}", "--kind", "openai-compatible", "--base-url", answers.url, "--credential", style.format(answers.url, number))
            gw.cli("provider-key", "add", f"{name}-{number}", input=secret + "\n")
            asked.append((f"{name}-{number}", number + 1, value))

    async def ask():
        lane = Lane(gw.port)
        for provider, n, value in asked * 2:
            answer = await lane.ask(Sent("", "", "k", "POST", f"/{provider}/v1/chat/completions", b'{"model":"m","messages":[]}').written(n, {"k": key}), 30)
            assert answer, (provider, value)
            counts[answer[0]] += 1
        lane.close()

    asyncio.run(ask())
    assert gw.cli("provider-key", "list", "--json") and gw.cli("doctor", check=False).returncode >= 0
    with capsys.disabled():
        print(f"\ntokens: {len(asked)} lives, answers {dict(counts)}")
    assert gw.stop() == 0 and counts[200]


# ---- settings

SETTINGS = ["limits.body_bytes_max", "limits.head_bytes_max", "limits.head_fields_max", "limits.connections_per_loop_max", "limits.upstream_connections_per_loop_max", "limits.upstream_idle_connections_per_loop_max", "limits.upstream_head_bytes_max", "timeouts.idle_ms",
            "timeouts.head_ms", "timeouts.body_ms", "timeouts.connect_ms", "timeouts.first_byte_ms", "timeouts.between_ms", "timeouts.write_ms", "timeouts.upstream_idle_ms", "timeouts.drain_ms", "activity.flush_ms", "activity.keep_days", "activity.keep_megabytes", "activity.keep_captures_days",
            "activity.keep_minutely_days", "activity.keep_hourly_days", "activity.keep_daily_days", "telemetry.spans_per_second_max", "telemetry.metrics_seconds", "loops"]


@pytest.mark.slow
@pytest.mark.timeout(timeout_of(150))
def test_no_number_in_the_settings_ends_the_process_without_a_word(running, tmp_path, answers, capsys):
    template, random, counts, faults = Template(running, tmp_path, answers), seeded("settings"), collections.Counter(), []
    cases = [(name, value) for name in SETTINGS for value in EXTREMES + ["2", "100", "5000", "100000"] if value not in ("null", "[]") and not value.startswith(("{", "["))]
    total = len(cases)
    if EFFORT != "full":
        cases = random.sample(cases, min(total, cases_of(40, total)))
    data = template.copy()
    for number, (name, value) in enumerate(cases):
        group, _, member = name.rpartition(".")
        (data / "maskllm.yaml").write_text(f"{group}:\n  {member}: {value}\n" if group else f"{member}: {value}\n")
        try:
            gw = Process(["serve", "--data", data, "--listen", "127.0.0.1:0", *(["--loops", "1"] if name != "loops" else [])])
        except AssertionError as error:
            said = str(error)
            counts["refused"] += 1
            if "maskllm: " not in said or "Fatal" in said or "rashed" in said or member not in said:
                faults.append((name, value, said[-300:]))
            continue
        answers.put(number, b"{}")
        lane = Lane(gw.port)
        asyncio.run(lane.ask(Sent("", "", "plain", "POST", "/openai/v1/chat/completions", b"{}").written(number, template.keys), 5))
        counts["started"] += 1
        if gw.child.poll() is not None or gw.stop() != 0:
            faults.append((name, value, gw.output[-300:]))
            if gw.child.poll() is None:
                gw.child.kill()
                gw.child.wait()
    with capsys.disabled():
        print(f"\nsettings: {len(cases)} of {total} cases of {len(SETTINGS)} settings, {dict(counts)}, {len(faults)} faults")
    assert not faults, "\n".join(map(str, faults[:40]))
    assert counts["started"] and counts["refused"]
