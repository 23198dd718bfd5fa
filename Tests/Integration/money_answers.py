"""Answers of providers with made-up usage, in every dialect, plain and streamed, as the providers' references describe them; with what the usage means."""
import base64, binascii, json, struct
from dataclasses import dataclass, field
from fractions import Fraction
from urllib.parse import quote


@dataclass
class Exchange:
    provider: str
    model: str
    path: str
    body: dict
    answer: bytes
    ctype: str
    counts: dict
    tariff: str = "standard"
    multiplier: object = 1
    # Dollars that the provider says itself.
    told: object = None
    # Further turns of the same request: (model, counts).
    turns: list = field(default_factory=list)
    headers: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    # Whether the tariff has a name that nobody knows.
    is_unknown: bool = False
    # Requests that come before, to make what it asks for: (path, body, answer).
    before: list = field(default_factory=list)
    method: str = "POST"
    number: int = 0


class Draw:
    """Random usage that a model has prices for."""

    def __init__(self, random, model):
        self.random, self.model = random, model

    def tokens(self, zero=0.1):
        r = self.random
        if r.random() < zero:
            return 0
        return r.randrange(1, r.choice([10, 500, 5_000, 60_000, 150_000, 320_000]))

    def maybe(self, kind, share=0.4, tariff="standard"):
        return self.tokens() if self.random.random() < share and self.model.has(kind) else 0

    def tariff(self, names):
        """One of `names` ({what the provider calls it: ours}) that the model has prices for."""
        known = [(said, ours) for said, ours in names.items() if ours == "standard" or (self.model.has(("input", "text"), ours) and self.model.has(("output", "text"), ours))]
        return self.random.choice(known) if known else (None, "standard")


def nonzero(counts):
    return {k: n for k, n in counts.items() if n}


def sse(random, events, names=False, done=True, crlf=False):
    end = "\r\n" if crlf else "\n"
    out = []
    if random.random() < 0.2:
        out.append(f": keep-alive{end}{end}")
    for event in events:
        name, data = event if isinstance(event, tuple) else (None, event)
        out.append((f"event: {name}{end}" if name else "") + f"data: {json.dumps(data) if not isinstance(data, str) else data}{end}{end}")
    if done:
        out.append(f"data: [DONE]{end}{end}")
    return "".join(out).encode()


# ---- OpenAI's chat and those who speak like it

OPENAI_TIERS = {None: "standard", "default": "standard", "priority": "priority", "flex": "flex", "fast": "priority", "ultrafast": "ultrafast"}


def chat_usage(d, provider):
    """Usage of one answer and what it means."""
    r = d.random
    cached, write, audio_in, audio_out, reasoning = d.maybe(("read", "text"), 0.5), 0, d.maybe(("input", "audio"), 0.4), d.maybe(("output", "audio"), 0.4), d.maybe(("output", "text"), 0.3)
    if provider in ("openai", "azure"):
        write = d.maybe(("write", "5m"), 0.3)
    text_in, text_out = d.tokens(), d.tokens()
    if provider not in ("openai", "azure"):
        audio_in = audio_out = 0
    counts = {("input", "text"): text_in, ("read", "text"): cached, ("write", "untold"): write, ("input", "audio"): audio_in, ("output", "text"): text_out, ("output", "audio"): audio_out, ("output", "reasoning"): reasoning}
    prompt = text_in + cached + write + audio_in
    beside = provider == "xai"
    completion = text_out + audio_out + (0 if beside else reasoning)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + text_out + audio_out + reasoning}
    detail = {}
    if provider == "deepseek" and r.random() < 0.7:
        usage |= {"prompt_cache_hit_tokens": cached, "prompt_cache_miss_tokens": text_in}
    elif provider == "together":
        usage["cached_tokens"] = cached
    elif cached or r.random() < 0.5:
        detail["cached_tokens"] = cached
    if write:
        detail["cache_write_tokens"] = write
    if audio_in or r.random() < 0.3:
        detail["audio_tokens"] = audio_in
    if beside and r.random() < 0.6:
        detail |= {"text_tokens": prompt, "image_tokens": 0}
    if detail or r.random() < 0.2:
        usage["prompt_tokens_details"] = detail or None
    if reasoning or audio_out or r.random() < 0.4:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning, "audio_tokens": audio_out, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    return usage, nonzero(counts)


def told_cost(r, provider, usage):
    """Adds the cost that some providers say themselves; in dollars, or None."""
    if provider == "xai" and r.random() < 0.5:
        ticks = r.randrange(0, 10**r.choice([3, 7, 11]))
        usage["cost_in_usd_ticks"] = ticks
        return Fraction(ticks, 10**10)
    if provider == "openrouter":
        cost = round(r.random() * 10**r.choice([-4, -2, 0]), 9)
        usage |= {"cost": cost, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}
        return Fraction(json.dumps(cost) if "e" not in json.dumps(cost) else f"{cost:.12f}")
    if provider == "perplexity" and r.random() < 0.5:
        cost = round(r.random() * 10**r.choice([-3, -1]), 6)
        usage["cost"] = {"input_tokens_cost": 0.001, "output_tokens_cost": 0.002, "request_cost": 0.005, "total_cost": cost}
        return Fraction(f"{cost:.9f}")
    return None


CHAT_PATHS = {"openai": "/v1/chat/completions", "azure": "/openai/v1/chat/completions", "mistral": "/v1/chat/completions", "groq": "/openai/v1/chat/completions", "together": "/v1/chat/completions",
              "fireworks": "/inference/v1/chat/completions", "deepseek": "/chat/completions", "xai": "/v1/chat/completions", "openrouter": "/api/v1/chat/completions", "cerebras": "/v1/chat/completions", "perplexity": "/chat/completions"}


def openai_chat(d, provider):
    r, model = d.random, d.model.name
    usage, counts = chat_usage(d, provider)
    told = told_cost(r, provider, usage)
    said, tariff, is_unknown = None, "standard", False
    if provider in ("openai", "azure") and told is None:
        said, tariff = d.tariff(OPENAI_TIERS)
        if provider == "openai" and said is None and r.random() < 0.05:
            said, is_unknown = "warp", True
    e = Exchange(provider, model, CHAT_PATHS[provider], {"model": model, "messages": [{"role": "user", "content": "hello"}]}, b"", "application/json", counts, tariff, told=told, is_unknown=is_unknown)
    base = {"id": "chatcmpl-x", "created": 1, "model": model} | ({"service_tier": said} if said else {})
    if provider == "azure" and r.random() < 0.5:
        e.path, e.body = "/openai/deployments/my-deployment/chat/completions", {"messages": []}
        e.notes.append("deployment")
    if r.random() < 0.5:
        e.answer = json.dumps({**base, "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}], "usage": usage}).encode()
        return e
    e.notes.append("stream")
    e.body |= {"stream": True} | ({"stream_options": {"include_usage": True}} if r.random() < 0.5 else {})
    base["object"] = "chat.completion.chunk"
    nulls = {"usage": None} if r.random() < 0.5 else {}
    events = [{**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": c}, "finish_reason": None}], **nulls} for c in ["", *"hello"[: r.randrange(1, 6)]]]
    if provider == "azure":
        events.insert(0, {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]})
    last = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if provider in ("openai", "azure"):
        events += [{**last, **nulls}, {**base, "choices": [], "usage": usage}]
    elif provider == "groq":
        events += [{**last, "x_groq": {"id": "x", "usage": usage}, **({"usage": usage} if r.random() < 0.5 else {})}]
    else:
        events += [{**last, "usage": usage}]
    e.answer, e.ctype = sse(r, events, crlf=provider == "perplexity"), "text/event-stream"
    return e


def openai_responses(d, provider):
    r, model = d.random, d.model.name
    cached, reasoning, write, write12 = d.maybe(("read", "text"), 0.5), d.maybe(("output", "text"), 0.4), 0, 0
    if provider == "openai" and d.model.has(("write", "12h")):
        write, write12 = d.maybe(("write", "5m"), 0.4), d.maybe(("write", "12h"), 0.3)
    elif provider in ("openai", "azure"):
        write = d.maybe(("write", "5m"), 0.3)
    text_in, text_out = d.tokens(), d.tokens()
    counts = nonzero({("input", "text"): text_in, ("read", "text"): cached, ("write", "5m" if write12 else "untold"): write, ("write", "12h"): write12, ("output", "text"): text_out, ("output", "reasoning"): reasoning})
    all_in = text_in + cached + write + write12
    usage = {"input_tokens": all_in, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": text_out + reasoning, "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": all_in + text_out + reasoning}
    if write or write12:
        usage["input_tokens_details"] |= {"cache_write_tokens": write + write12} | ({"cache_write_tokens_details": {"ttl_30m_tokens": write, "ttl_12h_tokens": write12}} if write12 else {})
    told = told_cost(r, provider, usage) if provider in ("openrouter", "xai") else None
    said, tariff = d.tariff(OPENAI_TIERS) if provider in ("openai", "azure") else (None, "standard")
    path = {"openai": "/v1/responses", "azure": "/openai/v1/responses", "xai": "/v1/responses", "openrouter": "/api/v1/responses"}[provider]
    response = {"id": "resp_made0up00000000000000", "object": "response", "created_at": 1, "status": "completed", "model": model, "output": [], "store": False, "service_tier": said or "default", "usage": usage}
    e = Exchange(provider, model, path, {"model": model, "input": "hello", "store": False}, b"", "application/json", counts, tariff, told=told, notes=["responses"])
    if r.random() < 0.5:
        e.answer = json.dumps(response).encode()
        return e
    e.notes.append("stream")
    e.body["stream"] = True
    events = [("response.created", {"type": "response.created", "sequence_number": 0, "response": {**response, "status": "in_progress", "usage": None}})]
    events += [("response.output_text.delta", {"type": "response.output_text.delta", "sequence_number": i, "delta": "a"}) for i in range(r.randrange(4))]
    end = r.choice(["response.completed", "response.completed", "response.incomplete"])
    events += [(end, {"type": end, "sequence_number": 9, "response": response})]
    e.answer, e.ctype = sse(r, events, done=provider == "openrouter"), "text/event-stream"
    return e


def openai_embeddings(d, provider):
    model, n = d.model.name, d.tokens()
    path = {"openai": "/v1/embeddings", "azure": "/openai/v1/embeddings", "mistral": "/v1/embeddings", "openrouter": "/api/v1/embeddings"}[provider]
    usage = {"prompt_tokens": n, "total_tokens": n}
    told = told_cost(d.random, provider, usage) if provider == "openrouter" else None
    answer = json.dumps({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -2e-05]}], "model": model, "usage": usage}).encode()
    return Exchange(provider, model, path, {"model": model, "input": "a"}, answer, "application/json", nonzero({("input", "text"): n}), told=told, notes=["embeddings"])


def openai_images(d, provider):
    r, model = d.random, d.model.name
    text, image, out, text_out = d.tokens(), d.maybe(("input", "image"), 0.5), d.tokens(0), 0
    usage = {"input_tokens": text + image, "input_tokens_details": {"text_tokens": text, "image_tokens": image}, "output_tokens": out, "total_tokens": text + image + out}
    if r.random() < 0.5:
        text_out = d.tokens(0.5)
        usage |= {"output_tokens": out + text_out, "output_tokens_details": {"image_tokens": out, "text_tokens": text_out}, "total_tokens": text + image + out + text_out}
    counts = nonzero({("input", "text"): text, ("input", "image"): image, ("output", "image"): out, ("output", "text"): text_out})
    answer = json.dumps({"created": 1, "model": model, "data": [{"b64_json": "AAAA"}], "usage": usage}).encode()
    return Exchange(provider, model, "/v1/images/generations", {"model": model, "prompt": "a house"}, answer, "application/json", counts, notes=["images"])


def openai_transcription(d, provider):
    r, model = d.random, d.model.name
    e = Exchange(provider, model, "/v1/audio/transcriptions", {"model": model}, b"", "application/json", {}, notes=["transcription"])
    if not d.model.has(("output", "text")) or (r.random() < 0.2 and "input_cost_per_second" in d.model.litellm):
        seconds = r.randrange(1, 4000)
        e.answer, e.counts = json.dumps({"text": "hi", "usage": {"type": "duration", "seconds": seconds}}).encode(), {"seconds": seconds}
        e.notes.append("seconds")
        return e
    audio, text, out = d.tokens(0), d.tokens(0.5), d.tokens()
    usage = {"type": "tokens", "input_tokens": audio + text, "input_token_details": {"audio_tokens": audio, "text_tokens": text}, "output_tokens": out, "total_tokens": audio + text + out}
    e.counts = nonzero({("input", "audio"): audio, ("input", "text"): text, ("output", "text"): out})
    e.answer = json.dumps({"text": "hi", "usage": usage}).encode()
    return e


# ---- Anthropic

def anthropic_turn(d, share=0.5):
    r = d.random
    read, five, hour, text_in, out = d.maybe(("read", "text"), share), d.maybe(("write", "5m"), share), d.maybe(("write", "1h"), share * 0.6), d.tokens(), d.tokens()
    usage = {"input_tokens": text_in, "cache_creation_input_tokens": five + hour, "cache_read_input_tokens": read, "output_tokens": out}
    lifetime = "untold"
    if hour or r.random() < 0.7:
        usage["cache_creation"], lifetime = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}, "5m"
    return usage, nonzero({("input", "text"): text_in, ("read", "text"): read, ("write", lifetime): five, ("write", "1h"): hour, ("output", "text"): out})


def anthropic_messages(d, provider):
    r, model = d.random, d.model.name
    usage, counts = anthropic_turn(d)
    paths = {"anthropic": "/v1/messages", "vertex": f"/v1/projects/p/locations/us-east5/publishers/anthropic/models/{quote(model, safe='@')}:rawPredict", "bedrock": f"/model/{quote(model, safe='')}/invoke"}
    e = Exchange(provider, model, paths[provider], {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}, b"", "application/json", counts, notes=["messages"])
    if provider != "anthropic":
        del e.body["model"]
        e.body["anthropic_version"] = "x-2023-10-16"
    if provider == "anthropic":
        kind = r.random()
        if kind < 0.15 and d.model.multiplier("fast"):
            usage["speed"], e.multiplier = "fast", d.model.multiplier("fast")
        elif kind < 0.3 and d.model.multiplier("us"):
            usage["inference_geo"], e.multiplier = "us", Fraction(d.model.multiplier("us"))
        elif kind < 0.45 and d.model.litellm.get("input_cost_per_token"):
            usage["inference_geo"] = "not_available"
        if r.random() < 0.5:
            usage["service_tier"] = "standard"
        if r.random() < 0.3:
            usage["server_tool_use"] = {"web_search_requests": 0}
        if r.random() < 0.3 and usage["output_tokens"]:
            usage["output_tokens_details"] = {"thinking_tokens": r.randrange(usage["output_tokens"] + 1)}
        if r.random() < 0.15 and e.multiplier == 1:
            # The top level has the last turn only.
            turns = [anthropic_turn(d) for _ in range(r.randrange(1, 3))]
            usage["iterations"] = [{"type": "compaction", **u} for u, _ in turns] + [{"type": "message", **{k: v for k, v in usage.items() if k.endswith("tokens") or k == "cache_creation"}}]
            e.turns = [(model, c) for _, c in turns]
            e.notes.append("iterations")
    text = [{"type": "text", "text": "hi"}]
    if r.random() < 0.5:
        e.answer = json.dumps({"id": "msg_x", "type": "message", "role": "assistant", "model": model, "content": text, "stop_reason": "end_turn", "usage": usage}).encode()
        return e
    e.notes.append("stream")
    e.body["stream"] = True
    e.path = e.path.replace(":rawPredict", ":streamRawPredict")
    start = {**usage, "output_tokens": min(1, usage["output_tokens"])}
    start.pop("iterations", None)
    zeros = {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0} if provider == "anthropic" and r.random() < 0.1 and "iterations" not in usage else {}
    end = usage if r.random() < 0.5 and not zeros else {"output_tokens": usage["output_tokens"]} | zeros | {k: usage[k] for k in ("iterations", "speed") if k in usage}
    if zeros:
        e.notes.append("later zeros")
    events = [("message_start", {"type": "message_start", "message": {"id": "msg_x", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None, "usage": start}}),
              ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}), ("ping", {"type": "ping"}),
              *[("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}})] * r.randrange(1, 4), ("content_block_stop", {"type": "content_block_stop", "index": 0}),
              ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": end}), ("message_stop", {"type": "message_stop"})]
    if provider == "bedrock":
        e.path += "-with-response-stream"
        metrics = {"inputTokenCount": usage["input_tokens"], "outputTokenCount": usage["output_tokens"], "cacheReadInputTokenCount": usage["cache_read_input_tokens"], "cacheWriteInputTokenCount": usage["cache_creation_input_tokens"], "invocationLatency": 1}
        frames = [json.dumps({**data, **({"amazon-bedrock-invocationMetrics": metrics} if name == "message_stop" else {})}).encode() for name, data in events]
        e.answer = b"".join(frame({":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, json.dumps({"bytes": base64.b64encode(f).decode(), "p": "abc"}, separators=(",", ":")).encode()) for f in frames)
        e.ctype = "application/vnd.amazon.eventstream"
        return e
    e.answer, e.ctype = sse(r, events, done=False), "text/event-stream"
    return e


def anthropic_advisor(d, provider):
    """A turn by another model, as the advisor tool has it."""
    e = anthropic_messages(d, provider)
    if "stream" in e.notes or e.turns or e.multiplier != 1 or not d.other:
        return e
    answer = json.loads(e.answer)
    usage, counts = anthropic_turn(Draw(d.random, d.other))
    answer["usage"]["iterations"] = [{"type": "message", **{k: v for k, v in answer["usage"].items() if k.endswith("tokens") or k == "cache_creation"}}, {"type": "advisor_message", "model": d.other.name, **usage}]
    e.turns, e.answer = [(d.other.name, counts)], json.dumps(answer).encode()
    e.notes.append("advisor")
    return e


def anthropic_batch(d, provider):
    """Results of a batch: each line is a request of its own, at the batch's prices."""
    id = f"msgbatch_{d.random.getrandbits(80):024x}"
    turns = [anthropic_turn(d) for _ in range(d.random.randrange(1, 4))]
    lines = [{"custom_id": str(i), "result": {"type": "succeeded", "message": {"id": "msg_x", "type": "message", "role": "assistant", "model": d.model.name, "content": [], "usage": {**usage, "service_tier": "batch"}}}} for i, (usage, _) in enumerate(turns)]
    if d.random.random() < 0.3:
        lines.insert(0, {"custom_id": "bad", "result": {"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}}})
    made = {"id": id, "type": "message_batch", "processing_status": "in_progress", "results_url": None}
    return Exchange(provider, d.model.name, f"/v1/messages/batches/{id}/results", {}, "".join(json.dumps(line) + "\n" for line in lines).encode(), "application/x-jsonl", turns[0][1], "batch", turns=[(d.model.name, c) for _, c in turns[1:]], notes=["batch"],
                    method="GET", before=[("/v1/messages/batches", {"requests": [{"custom_id": "0", "params": {"model": d.model.name, "max_tokens": 9, "messages": []}}]}, made)])


def openai_batch(d, provider):
    """The object of a batch that is over: the sum of what its requests used."""
    r = d.random
    file, id = f"file-{r.getrandbits(80):022x}", f"batch_{r.getrandbits(80):024x}"
    # Less than any step: of a sum nobody can tell whose requests were above one.
    n = lambda zero=0.1: min(d.tokens(zero), 40_000)
    cached, text_in, out, reasoning = n(0.5) if d.model.has(("read", "text")) else 0, n(0), n(), n(0.5)
    usage = {"input_tokens": text_in + cached, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": out + reasoning, "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": text_in + cached + out + reasoning}
    batch = {"id": id, "object": "batch", "endpoint": "/v1/chat/completions", "model": d.model.name, "input_file_id": file, "completion_window": "24h", "output_file_id": None, "error_file_id": None, "created_at": 1}
    counts = nonzero({("input", "text"): text_in, ("read", "text"): cached, ("output", "text"): out, ("output", "reasoning"): reasoning})
    return Exchange(provider, d.model.name, f"/v1/batches/{id}", {}, json.dumps({**batch, "status": "completed", "usage": usage}).encode(), "application/json", counts, "batch", notes=["batch"], method="GET",
                    before=[("/v1/files", {"purpose": "batch"}, {"id": file, "object": "file", "purpose": "batch"}), ("/v1/batches", {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}, {**batch, "status": "validating"})])


# ---- Google

GEMINI_TRAFFIC = {None: "standard", "ON_DEMAND": "standard", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}
GEMINI_TIERS = {None: "standard", "standard": "standard", "priority": "priority", "flex": "flex"}


def gemini(d, provider):
    r, model = d.random, d.model.name
    text_in, out = d.tokens(), d.tokens()
    audio_in, image_in, cached, thoughts, tool = d.maybe(("input", "audio"), 0.4), d.maybe(("input", "image"), 0.2), d.maybe(("read", "text"), 0.4), d.tokens(0.5), d.tokens(0.8)
    audio_out, image_out = d.maybe(("output", "audio"), 0.5), d.maybe(("output", "image"), 0.5)
    counts = nonzero({("input", "text"): text_in + tool, ("input", "audio"): audio_in, ("input", "image"): image_in, ("read", "text"): cached, ("output", "text"): out, ("output", "audio"): audio_out, ("output", "image"): image_out, ("output", "reasoning"): thoughts})
    usage = {"promptTokenCount": text_in + audio_in + image_in + cached, "candidatesTokenCount": out + audio_out + image_out, "totalTokenCount": text_in + audio_in + image_in + cached + out + audio_out + image_out + thoughts + tool}
    details = lambda **n: [{"modality": k.upper(), "tokenCount": v} for k, v in n.items() if v]
    usage["promptTokensDetails"] = details(text=text_in + cached, audio=audio_in, image=image_in)
    if audio_out or image_out or r.random() < 0.5:
        usage["candidatesTokensDetails"] = details(text=out, audio=audio_out, image=image_out)
    if cached:
        usage |= {"cachedContentTokenCount": cached, "cacheTokensDetails": details(text=cached)}
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    if tool:
        usage |= {"toolUsePromptTokenCount": tool, "toolUsePromptTokensDetails": details(text=tool)}
    if r.random() < 0.3:
        items = list(usage.items())
        r.shuffle(items)
        usage = dict(items)
    tariff, headers = "standard", []
    if provider == "vertex":
        said, tariff = d.tariff(GEMINI_TRAFFIC)
        usage |= {"trafficType": said} if said else {}
    else:
        said, tariff = d.tariff(GEMINI_TIERS)
        usage |= {"serviceTier": said} if said else {}
    base = {"gemini": f"/v1beta/models/{quote(model, safe='')}", "vertex": f"/v1/projects/p/locations/l/publishers/google/models/{quote(model, safe='')}"}[provider]
    stream = r.choice(["", "", "sse", "array"])
    e = Exchange(provider, model, base + (":streamGenerateContent" + ("?alt=sse" if stream == "sse" else "") if stream else ":generateContent"), {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}, b"", "application/json", counts, tariff, headers=headers)
    piece = lambda text, usage=None: {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}], **({"usageMetadata": usage} if usage else {}), "modelVersion": model}
    if not stream:
        e.answer = json.dumps(piece("hi", usage)).encode()
        return e
    e.notes.append("stream " + stream)
    partial = {k: usage[k] for k in ("promptTokenCount", "promptTokensDetails") if k in usage}
    pieces = [piece("h", partial if r.random() < 0.7 else None), *[piece("i", {**partial, "candidatesTokenCount": 1}) for _ in range(r.randrange(3))], piece("!", usage)]
    if stream == "sse":
        e.answer, e.ctype = sse(r, pieces, done=False, crlf=True), "text/event-stream"
    else:
        e.answer = ("[" + ",\r\n".join(json.dumps(p) for p in pieces) + "]").encode()
    return e


def gemini_chat(d, provider):
    """Its OpenAI-compatible path, where only the total tells of reasoning."""
    r, model = d.random, d.model.name
    text_in, out, thoughts = d.tokens(), d.tokens(), d.tokens(0.3)
    usage = {"prompt_tokens": text_in, "completion_tokens": out, "total_tokens": text_in + out + thoughts}
    answer = json.dumps({"id": "x", "object": "chat.completion", "model": model, "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}], "usage": usage}).encode()
    return Exchange(provider, model, "/v1beta/openai/chat/completions", {"model": model, "messages": []}, answer, "application/json", nonzero({("input", "text"): text_in, ("output", "text"): out, ("output", "reasoning"): thoughts}), notes=["compatible"])


# ---- Amazon

def frame(headers, payload):
    block = b"".join(bytes([len(k)]) + k.encode() + b"\x07" + struct.pack(">H", len(v)) + v.encode() for k, v in headers.items())
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    data = prelude + struct.pack(">I", binascii.crc32(prelude)) + block + payload
    return data + struct.pack(">I", binascii.crc32(data))


def bedrock_converse(d, provider):
    r, model = d.random, d.model.name
    text_in, out, read, five, hour = d.tokens(), d.tokens(), d.maybe(("read", "text")), d.maybe(("write", "5m")), d.maybe(("write", "1h"), 0.3)
    usage = {"inputTokens": text_in, "outputTokens": out, "totalTokens": text_in + out + read + five + hour}
    if read or five or hour or r.random() < 0.5:
        usage |= {"cacheReadInputTokens": read, "cacheReadInputTokenCount": read, "cacheWriteInputTokens": five + hour, "cacheWriteInputTokenCount": five + hour}
    lifetime = "untold"
    if hour or (five and r.random() < 0.5):
        usage["cacheDetails"], lifetime = [{"ttl": ttl, "inputTokens": n} for ttl, n in (("5m", five), ("1h", hour)) if n], "5m"
    counts = nonzero({("input", "text"): text_in, ("read", "text"): read, ("write", lifetime): five, ("write", "1h"): hour, ("output", "text"): out})
    said, tariff = d.tariff({None: "standard", "default": "standard", "priority": "priority", "flex": "flex"})
    tier = {"serviceTier": {"type": said}} if said else {}
    e = Exchange(provider, model, f"/model/{quote(model, safe='')}/converse", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, b"", "application/json", counts, tariff)
    if r.random() < 0.5:
        e.answer = json.dumps({"metrics": {"latencyMs": 1}, "output": {"message": {"content": [{"text": "hi"}], "role": "assistant"}}, "stopReason": "end_turn", "usage": usage, **tier}).encode()
        return e
    e.notes.append("stream")
    e.path += "-stream"
    kinds = [("messageStart", {"p": "a", "role": "assistant"}), *[("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}})] * r.randrange(1, 3), ("messageStop", {"stopReason": "end_turn"}), ("metadata", {"metrics": {"latencyMs": 1}, "usage": usage, **tier})]
    e.answer = b"".join(frame({":event-type": k, ":content-type": "application/json", ":message-type": "event"}, json.dumps(v).encode()) for k, v in kinds)
    e.ctype = "application/vnd.amazon.eventstream"
    return e


# ---- others

def cohere(d, provider):
    r, model = d.random, d.model.name
    text_in, out = d.tokens(), d.tokens()
    counts, usage = nonzero({("input", "text"): text_in, ("output", "text"): out}), {"billed_units": {"input_tokens": text_in, "output_tokens": out}, "tokens": {"input_tokens": text_in + 1000, "output_tokens": out + 7}}
    e = Exchange(provider, model, "/v2/chat", {"model": model, "messages": [{"role": "user", "content": "hi"}]}, b"", "application/json", counts)
    if r.random() < 0.5:
        e.answer = json.dumps({"id": "x", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}, "usage": usage}).encode()
        return e
    e.notes.append("stream")
    e.body["stream"] = True
    events = [("message-start", {"type": "message-start", "id": "x"}), ("content-delta", {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}}), ("message-end", {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}})]
    e.answer, e.ctype = sse(r, events), "text/event-stream"
    return e


def total_tokens(d, provider):
    n, model = d.tokens(), d.model.name
    return Exchange(provider, model, "/v1/embeddings", {"model": model, "input": ["a"]}, json.dumps({"object": "list", "data": [], "model": model, "usage": {"total_tokens": n}}).encode(), "application/json", nonzero({("input", "text"): n}))


def watsonx(d, provider):
    r, model = d.random, d.model.name
    text_in, out = d.tokens(), d.tokens()
    counts = nonzero({("input", "text"): text_in, ("output", "text"): out})
    if r.random() < 0.5:
        answer = {"model_id": model, "results": [{"generated_text": "hi", "generated_token_count": out, "input_token_count": text_in, "stop_reason": "eos_token"}]}
        return Exchange(provider, model, "/ml/v1/text/generation?version=2025-02-01", {"model_id": model, "project_id": "p", "input": "hi"}, json.dumps(answer).encode(), "application/json", counts)
    usage = {"prompt_tokens": text_in, "completion_tokens": out, "total_tokens": text_in + out}
    return Exchange(provider, model, "/ml/v1/text/chat?version=2025-02-01", {"model_id": model, "project_id": "p", "messages": []}, json.dumps({"id": "x", "model_id": model, "choices": [], "usage": usage}).encode(), "application/json", counts)


def written(exchange, random, key):
    """The bytes of its request, with its number in it, and how long the body is."""
    if exchange.notes[:1] == ["transcription"]:
        boundary = "madeUp"
        body = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in [("model", exchange.body["model"]), ("prompt", f"case {exchange.number}")]).encode()
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--{boundary}--\r\n'.encode()
        ctype = f"multipart/form-data; boundary={boundary}"
    else:
        document = {**exchange.body, "user" if "messages" in exchange.body or "input" in exchange.body or "prompt" in exchange.body else "labels": f"case {exchange.number}"}
        body, ctype = json.dumps(document).encode() + b" " * random.randrange(100), "application/json"
    if exchange.method == "GET":
        return f"GET /{exchange.provider}{exchange.path}?case={exchange.number} HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer {key}\r\n\r\n".encode(), 0
    head = f"POST /{exchange.provider}{exchange.path} HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer {key}\r\nContent-Type: {ctype}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body, len(body)


# Which dialects a provider speaks: (function, what a model has to be for it).
ANY = lambda m: m.has(("input", "text")) and m.has(("output", "text"))
IS_CLAUDE = lambda m: "claude" in m.name and ANY(m)
IS_EMBEDDING = lambda m: m.litellm.get("mode") == "embedding"
HAS_BATCHES = lambda m: m.has(("input", "text"), "batch") and m.has(("output", "text"), "batch")
IS_CHAT = lambda m: ANY(m) and m.litellm.get("mode", "chat") in ("chat", "responses", "completion")
DIALECTS = {
    "openai": [(openai_chat, IS_CHAT), (openai_chat, IS_CHAT), (openai_responses, IS_CHAT), (openai_embeddings, IS_EMBEDDING), (openai_images, lambda m: m.has(("output", "image"))), (openai_transcription, lambda m: m.litellm.get("mode") == "audio_transcription"), (openai_batch, lambda m: IS_CHAT(m) and HAS_BATCHES(m))],
    "azure": [(openai_chat, IS_CHAT), (openai_responses, IS_CHAT), (openai_embeddings, IS_EMBEDDING)], "anthropic": [(anthropic_messages, IS_CLAUDE), (anthropic_messages, IS_CLAUDE), (anthropic_advisor, IS_CLAUDE), (anthropic_batch, lambda m: IS_CLAUDE(m) and HAS_BATCHES(m))],
    "gemini": [(gemini, lambda m: ANY(m) and not IS_EMBEDDING(m)), (gemini, lambda m: ANY(m) and not IS_EMBEDDING(m)), (gemini_chat, IS_CHAT)], "vertex": [(gemini, lambda m: m.name.startswith("gemini") and ANY(m)), (anthropic_messages, IS_CLAUDE)],
    "bedrock": [(bedrock_converse, IS_CHAT), (bedrock_converse, IS_CHAT), (anthropic_messages, lambda m: IS_CLAUDE(m) and IS_CHAT(m))],
    "mistral": [(openai_chat, IS_CHAT), (openai_embeddings, IS_EMBEDDING)], "groq": [(openai_chat, IS_CHAT)], "together": [(openai_chat, IS_CHAT)], "fireworks": [(openai_chat, IS_CHAT)], "deepseek": [(openai_chat, IS_CHAT)],
    "xai": [(openai_chat, IS_CHAT), (openai_responses, IS_CHAT)], "perplexity": [(openai_chat, IS_CHAT)], "openrouter": [(openai_chat, ANY), (openai_responses, ANY)], "cerebras": [(openai_chat, IS_CHAT)],
    "cohere": [(cohere, IS_CHAT)], "voyage": [(total_tokens, lambda m: m.has(("input", "text")))], "watsonx": [(watsonx, IS_CHAT)],
}
