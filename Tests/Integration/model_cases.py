"""Requests of every dialect, honest ones and ones with tricks, as raw bytes. Each trick is something that one parser takes differently than another, or
a second place that could name a model or an object. What servers make of them is judged elsewhere (`model_oracle`)."""
import base64, gzip, json, re
from dataclasses import dataclass, field
from urllib.parse import quote

# What a key with a scope of models may name, as globs, and what it may not. Names are made up of parts that providers use.
ALLOWED = ["gpt-4o-mini*", "claude-haiku-*", "gemini-2.5-flash*", "us.amazon.nova-*", "openai/gpt-4o-mini*", "meta-llama/*", "text-embedding-3-*", "whisper-1",
           "command-r*", "llama3*", "embed-v4*", "rerank-v3*", "gpt-image-1-mini", "my-deployment-*"]
DENIED = ["gpt-5*", "o1-*", "claude-opus-*", "gemini-2.5-pro*", "*nova-premier*", "openai/gpt-5*", "deepseek-*", "command-a*", "*opus*"]


@dataclass
class Kind:
    """A kind of provider: models that are within the scope and without, and templates of honest requests."""
    name: str
    good: list
    bad: list
    templates: list
    key: str = "Authorization: Bearer "
    # How IDs of objects look, by what they are: a function of 24 characters.
    ids: dict = field(default_factory=dict)
    # Requests that make an object: (what, method, path, whether it is a form).
    makers: list = field(default_factory=list)
    # Names that only keys without a list of models may use, and that have slashes.
    long: list = field(default_factory=list)


class O(list):
    """A JSON object as pairs: a name may stand twice, and be spelled with escapes (`Raw`)."""


class Raw(str):
    """JSON as it is to be written."""


def dump(value):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, O):
        return "{" + ",".join(f"{dump(k)}:{dump(v)}" for k, v in value) + "}"
    if isinstance(value, dict):
        return dump(O(value.items()))
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(dump, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@dataclass
class Draft:
    """A request that is being made up."""
    kind: Kind
    method: str
    path: str
    query: str = ""
    document: O = None
    # Parts of a form: [name, value, header lines besides, file name].
    form: list = None
    headers: list = field(default_factory=list)
    ctype: str = "application/json"
    body: bytes = None
    chunked: bool = False
    # The placeholders that the path was made with: what stands in them.
    filled: list = field(default_factory=list)
    tricks: list = field(default_factory=list)


FORM = "application/x-www-form-urlencoded"
TOOLS = [O([("type", "function"), ("function", O([("name", "look_up"), ("parameters", O([("type", "object"), ("properties", {"model": {"type": "string"}, "fallbacks": {"type": "array"}})]))]))])]


def hello(text="which model are you?"):
    return [O([("role", "user"), ("content", text)])]


# ---- templates: functions of (draws) -> Draft; `r` has random, kind, model(), id(what) of the key's own objects

def chat(path, model="model", **more):
    def make(r):
        d = Draft(r.kind, "POST", path, document=O([(model, r.model()), ("messages", hello()), *more.items()]))
        if r.random.random() < 0.3 and model == "model":
            d.document.append(("tools", TOOLS))
        return d
    return make


def plain(method, path, *members):
    """A request with a JSON body (or none); `{m}` in the path is a model, `{file}` and the like an object of the key's own."""
    def make(r):
        filled = []

        def fill(found):
            value = r.model() if found[1] == "m" else r.id(found[1])
            value = value.rsplit("/", 1)[-1] if found[1] != "m" else value
            value = quote(value, safe=r.random.choice([":@", ":@/"]) if found[1] == "m" and "/" in value else ":@" if found[1] == "m" else "")
            filled.append(value)
            return value

        made = re.sub(r"\{(\w+)\}", fill, path)
        document = O((k, v(r) if callable(v) else v) for k, v in members) if method != "GET" and method != "DELETE" else None
        return Draft(r.kind, method, made, document=document, filled=filled)
    return make


def upload(path, *fields):
    def make(r):
        return Draft(r.kind, "POST", path, form=[[k, v(r) if callable(v) else v, [], name] for k, v, name in fields])
    return make


M = lambda r: r.model()
own = lambda what: lambda r: r.id(what)
OPENAI = [
    chat("/v1/chat/completions"), chat("/v1/chat/completions"), chat("/chat/completions"), plain("POST", "/v1/completions", ("model", M), ("prompt", "model: gpt-5-pro?")),
    plain("POST", "/v1/responses", ("model", M), ("input", "hello")), plain("POST", "/v1/responses", ("model", M), ("input", "hello"), ("previous_response_id", own("response"))),
        plain("POST", "/v1/embeddings", ("model", M), ("input", ["a"])), plain("POST", "/v1/images/generations", ("model", M), ("prompt", "a house")),
    upload("/v1/images/edits", ("model", M, None), ("prompt", "a house", None), ("image", "\x89PNG", "a.png")),
    upload("/v1/audio/transcriptions", ("file", "RIFF", "a.wav"), ("model", M, None)), plain("POST", "/v1/audio/speech", ("model", M), ("input", "hello"), ("voice", "alloy")),
    plain("GET", "/v1/models/{m}"), plain("GET", "/v1/models"),
]
OPENAI_OBJECTS = [
    plain("GET", "/v1/files/{file}"), plain("GET", "/v1/files/{file}/content"), plain("GET", "/v1/responses/{response}"), plain("GET", "/v1/batches/{batch}"),
    plain("POST", "/v1/batches", ("input_file_id", own("file")), ("endpoint", "/v1/chat/completions"), ("completion_window", "24h")),
    plain("POST", "/v1/vector_stores", ("file_ids", lambda r: [r.id("file")])), plain("POST", "/v1/vector_stores/{store}/files", ("file_id", own("file"))),
    plain("POST", "/v1/fine_tuning/jobs", ("model", M), ("training_file", own("file"))), plain("GET", "/v1/vector_stores/{store}"),
    plain("POST", "/v1/responses", ("model", M), ("input", "x"), ("conversation", own("conversation"))),
    plain("POST", "/v1/responses", ("model", M), ("input", lambda r: [O([("role", "user"), ("content", [O([("type", "input_file"), ("file_id", r.id("file"))])])])])),
    plain("POST", "/v1/responses", ("model", M), ("input", "x"), ("tools", lambda r: [O([("type", "code_interpreter"), ("container", O([("type", "auto"), ("file_ids", [r.id("file")])]))])])),
]
OPENAI_IDS = {"file": "file-{}", "response": "resp_{}", "batch": "batch_{}", "store": "vs_{}", "conversation": "conv_{}"}
OPENAI_MAKERS = [("file", "/v1/files", True), ("response", "/v1/responses", False), ("store", "/v1/vector_stores", False), ("conversation", "/v1/conversations", False),
                 ("batch", "/v1/batches", False)]

KINDS = [
    Kind("openai", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"], ["gpt-5-pro", "o1-pro"], OPENAI + OPENAI_OBJECTS, ids=OPENAI_IDS, makers=OPENAI_MAKERS),
    Kind("azure", ["gpt-4o-mini", "my-deployment-1"], ["gpt-5-pro", "o1-pro"], [
        plain("POST", "/openai/deployments/{m}/chat/completions", ("messages", hello())), plain("POST", "/openai/deployments/{m}/embeddings", ("input", ["a"])),
        plain("POST", "/openai/deployments/{m}/completions", ("prompt", "a")), plain("POST", "/openai/deployments/{m}/chat/completions", ("messages", hello())),
        upload("/openai/deployments/my-deployment-1/audio/transcriptions", ("file", "RIFF", "a.wav")),
        chat("/openai/v1/chat/completions"), plain("POST", "/openai/responses", ("model", M), ("input", "hello")), chat("/models/chat/completions"),
        plain("GET", "/openai/files/{file}"), plain("POST", "/openai/v1/responses", ("model", M), ("input", "x"), ("previous_response_id", own("response"))),
    ], key="api-key: ", ids={"file": "file-{}", "response": "resp_{}"}, makers=[("file", "/openai/files", True), ("response", "/openai/v1/responses", False)]),
    Kind("anthropic", ["claude-haiku-4-5", "claude-haiku-4-5-20251001"], ["claude-opus-4-5", "claude-opus-4-1-20250805"], [
        chat("/v1/messages", max_tokens=10), chat("/v1/messages", max_tokens=10), plain("POST", "/v1/messages/count_tokens", ("model", M), ("messages", hello())),
        plain("GET", "/v1/models/{m}"), plain("GET", "/v1/files/{file}"), plain("GET", "/v1/files/{file}/content"), plain("GET", "/v1/messages/batches/{batch}"),
        plain("POST", "/v1/messages", ("model", M), ("max_tokens", 10), ("messages", lambda r: [O([("role", "user"), ("content", [O([("type", "document"), ("source", O([("type", "file"), ("file_id", r.id("file"))]))])])])])),
        plain("POST", "/v1/messages/batches", ("requests", lambda r: [O([("custom_id", str(i)), ("params", O([("model", r.model()), ("max_tokens", 5), ("messages", hello())]))]) for i in range(2)])),
    ], key="x-api-key: ", ids={"file": "file_{}", "batch": "msgbatch_{}"}, makers=[("file", "/v1/files", True), ("batch", "/v1/messages/batches", False)]),
    Kind("gemini", ["gemini-2.5-flash", "gemini-2.5-flash-lite"], ["gemini-2.5-pro", "gemini-2.5-pro-exp"], [
        plain("POST", "/v1beta/models/{m}:generateContent", ("contents", [O([("parts", [O([("text", "hello")])])])])), plain("POST", "/v1/models/{m}:streamGenerateContent", ("contents", [O([("parts", [O([("text", "x")])])])])),
        plain("POST", "/v1beta/models/{m}:embedContent", ("content", O([("parts", [O([("text", "x")])])]))), plain("POST", "/v1beta/models/{m}:countTokens", ("contents", [])),
        plain("GET", "/v1beta/models/{m}"), plain("GET", "/v1beta/files/{file}"), plain("GET", "/v1beta/cachedContents/{cache}"), chat("/v1beta/openai/chat/completions"),
        plain("POST", "/v1beta/interactions", ("model", M), ("input", "hello")),
        plain("POST", "/v1beta/models/{m}:generateContent", ("contents", lambda r: [O([("parts", [O([("fileData", O([("fileUri", "https://generativelanguage.googleapis.com/v1beta/" + r.id("file"))]))])])])])),
        plain("POST", "/v1beta/models/{m}:generateContent", ("contents", [O([("parts", [O([("text", "x")])])])]), ("cachedContent", own("cache"))),
    ], key="x-goog-api-key: ", ids={"file": "files/{}", "cache": "cachedContents/{}"}, makers=[("file", "/upload/v1beta/files", True), ("cache", "/v1beta/cachedContents", False)]),
    Kind("bedrock", ["us.amazon.nova-2-lite-v1:0", "us.amazon.nova-micro-v1:0"], ["us.amazon.nova-premier-v1:0", "anthropic.claude-opus-4-v1:0"], [
        plain("POST", "/model/{m}/converse", ("messages", [O([("role", "user"), ("content", [O([("text", "x")])])])])), plain("POST", "/model/{m}/converse-stream", ("messages", [])),
        plain("POST", "/model/{m}/invoke", ("messages", []), ("max_tokens", 5)), plain("POST", "/model/{m}/converse", ("messages", []), ("additionalModelRequestFields", O([("top_k", 5)]))),
    ], long=["arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0", "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123def456"]),
    Kind("cohere", ["command-r-08-2024", "command-r7b"], ["command-a-03-2025", "command-a-reasoning"], [
        chat("/v2/chat"), plain("POST", "/v1/chat", ("model", M), ("message", "hello")), plain("POST", "/v2/embed", ("model", M), ("texts", ["a"])),
        plain("POST", "/v2/rerank", ("model", M), ("query", "a"), ("documents", ["b"])), plain("GET", "/v1/models/{m}"), chat("/compatibility/v1/chat/completions")]),
    Kind("ollama", ["llama3.2", "llama3.1:8b"], ["deepseek-r1:671b", "gpt-5-pro"], [
        chat("/api/chat"), plain("POST", "/api/generate", ("model", M), ("prompt", "x")), plain("POST", "/api/embed", ("model", M), ("input", "x")), chat("/v1/chat/completions"),
        plain("GET", "/api/tags")]),
    Kind("openrouter", ["openai/gpt-4o-mini", "meta-llama/Llama-3-8B"], ["openai/gpt-5-pro", "deepseek/opus"], [
        chat("/api/v1/chat/completions"), chat("/api/v1/chat/completions"), plain("POST", "/api/v1/responses", ("model", M), ("input", "x")), plain("POST", "/api/v1/messages", ("model", M), ("messages", hello()), ("max_tokens", 5)),
        plain("POST", "/api/v1/embeddings", ("model", M), ("input", "x"))]),
    Kind("litellm", ["gpt-4o-mini", "claude-haiku-4-5"], ["gpt-5-pro", "claude-opus-4-5"], [
        chat("/v1/chat/completions"), chat("/chat/completions"), plain("POST", "/v1/responses", ("model", M), ("input", "x")), plain("POST", "/v1/embeddings", ("model", M), ("input", "x")),
        upload("/v1/audio/transcriptions", ("file", "RIFF", "a.wav"), ("model", M, None)), plain("GET", "/v1/models/{m}")]),
]


# ---- tricks: functions of (r, draft) that change it; False where they do not fit

UTF7 = lambda text: "+" + base64.b64encode(text.encode("utf-16be")).decode().rstrip("=") + "-"


def escaped(r, text, share=0.4):
    """JSON text with some characters as escapes."""
    return Raw('"' + "".join(f"\\u{ord(c):04{r.random.choice('xX')}}" if r.random.random() < share else c for c in text) + '"')


def spelled(r, name):
    """A member's name as one parser or another takes for `name`."""
    return r.random.choice([name, name.upper(), name.capitalize(), name[:-1] + name[-1].upper(), escaped(r, name), Raw(f'"{UTF7(name)}"'), name + " ", " " + name, name + "\u200b",
                            name.replace("s", "ſ"), name.replace("k", "\u212a"), Raw(f'"{name}\\u0000"'), name.replace("o", "ο"), Raw('"' + name[0] + "\\" + name[1:] + '"'), "$" + name])


def place(r, document, pair):
    document.insert(r.random.randrange(len(document) + 1), pair)


def model_name(d):
    return next((k for k, _ in d.document if k in ("model", "model_id")), "model") if d.document is not None else "model"


def twice(r, d):
    if d.document is None:
        return False
    place(r, d.document, (spelled(r, model_name(d)), r.bad()))


def instead(r, d):
    """Another model outright."""
    if d.document is None:
        return False
    d.document[:] = [(k, r.bad() if k == "model" else v) for k, v in d.document]
    return any(k == "model" for k, _ in d.document)


def of_other_type(r, d):
    if d.document is None:
        return False
    value = r.random.choice([True, None, 5, [r.bad()], [r.model(), r.bad()], O([("id", r.bad())]), O([("name", r.bad())]), "", Raw("1e400"), Raw("NaN"), O()])
    if any(k == "model" for k, _ in d.document):
        d.document[:] = [(k, value if k == "model" else v) for k, v in d.document]
    else:
        place(r, d.document, ("model", value))


SECOND = ["models", "fallbacks", "fallback", "fallback_models", "fallback_model", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks", "mock_testing_fallbacks", "model_id", "modelId",
          "engine", "deployment", "deployment_id", "model_name", "target_model", "base_model", "modelName", "model_list", "advisor_model", "modelFallbacks", "models_fallback", "Models", "FALLBACKS", "mo\u212aels"]


def second_value(r):
    bad = r.bad()
    return r.random.choice([bad, [bad], [r.model(), bad], [O([("model", bad)])], O([("model", bad)]), [O([(r.model(), [bad])])], [O([("model", r.model()), ("params", O([("model", bad)]))])]])


def second_place(r, d):
    """Another member that names a model for when the first fails, or beside it."""
    if d.document is None:
        return False
    name = spelled(r, r.random.choice(SECOND)) if r.random.random() < 0.3 else r.random.choice(SECOND)
    pair = (name, second_value(r))
    where = r.random.choice(["top", "top", "metadata", "extra_body", "litellm_params", "config", "session", "response", "generationConfig", "provider", "route", "options"])
    if where == "top":
        place(r, d.document, pair)
        if r.random.random() < 0.2:
            place(r, d.document, ("route", "fallback"))
    else:
        place(r, d.document, (where, O([pair])))


def of_tool(r, d):
    if d.document is None:
        return False
    tool = O([("type", r.random.choice(["advisor_20260301", "image_generation", "function", "web_search", "mcp", "agent"])), ("name", "advisor"), (r.random.choice(["model", "model", "fallbacks", "Model", "models", "image_model"]), r.bad())])
    tools = r.random.choice([[tool], [*TOOLS, tool], [O([("function", O([("name", "x"), ("model", r.bad())]))]), tool]])
    place(r, d.document, (r.random.choice(["tools", "tools", "functions", "plugins"]), tools))


def of_lines(r, d):
    """Requests inside the request, each with its model."""
    if d.document is None:
        return False
    inner = O([("model", r.model()), ("messages", hello())])
    r.random.choice([lambda: place(r, inner, ("model", r.bad())), lambda: inner.__setitem__(0, ("model", r.bad())), lambda: place(r, inner, ("fallbacks", [O([("model", r.bad())])]))])()
    lines = [O([("custom_id", "1"), (r.random.choice(["params", "params", "body", "request", "Params"]), inner)])]
    if r.random.random() < 0.5:
        lines.insert(r.random.randrange(2), O([("custom_id", "0"), ("params", O([("model", r.model()), ("max_tokens", 3), ("messages", hello())]))]))
    d.document[:] = [(k, v) for k, v in d.document if k != "requests"]
    place(r, d.document, ("requests", lines))


def body_encoding(r, d):
    """Another character set, said or not, or a mark of the byte order."""
    if d.document is None or d.ctype is None:
        return False
    how = r.random.choice(["utf-7", "utf-7", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-8-sig", "latin-1", "cp037", "utf-8"])
    text = dump(d.document)
    said = r.random.choice([f"; charset={how}", f'; charset="{how}"', f"; charset={how.upper()}", f"; Charset={how}", "", f"; charset=utf-8; charset={how}", f"; charset={how}; charset=utf-8", f";charset*=UTF-8''{how}"])
    if how == "utf-7":
        d.document.append((Raw(f'"{UTF7("model")}"'), r.bad()))
        d.body = dump(d.document).encode()
    else:
        d.body = text.encode("utf-8-sig" if how == "utf-8-sig" else how, "replace")
    d.ctype += said.replace("utf-8-sig", "utf-8")


def content_type(r, d):
    other = r.random.choice(["text/plain", FORM, "multipart/form-data; boundary=x", "application/x-ndjson", "application/json;", "", "text/json", "application/vnd.api+json", "APPLICATION/JSON", "application/json, text/plain",
                             "application/json; boundary=x", "application/octet-stream", "application/jsonp", "\tapplication/json", "application/json; charset=utf-8"])
    how = r.random.randrange(4)
    if how == 0 or d.ctype is None:
        d.ctype = other
    else:
        pair = [("Content-Type", d.ctype), ("Content-Type" if how < 3 else "content-type", other if r.random.random() < 0.5 else d.ctype + "; charset=utf-7")]
        r.random.shuffle(pair)
        d.ctype = None
        d.headers += pair
        if r.random.random() < 0.5 and d.document is not None:
            d.document.append((Raw(f'"{UTF7("model")}"'), r.bad()))


def json_form(r, d):
    """JSON that one parser takes and another does not."""
    if d.document is None:
        return False
    text, bad = dump(d.document), f'{{"model":"{r.bad()}","messages":[]}}'
    d.body = r.random.choice([text + bad, text + "\n" + bad, bad + text, text[:-1] + ",}", "/* */" + text, text + "//" + bad, text.replace('"', "'"), "[" + text + "]", text + "\0", "\ufeff" + text, ")]}'\n" + text, text + " x",
                              text[:-1] + f',"x":NaN}}', text[:-1] + f',"x":1e999}}', text[:-1] + ',"x":"\\ud800"}', text[:-1] + f',"__proto__":{bad}}}', text[:-1] + f',"constructor":{bad}}}', text + text, "\t\n " + text,
                              text[:-1], text.replace("{", "{\x0b", 1), text[:-1] + ',"x":"\x01"}', bad[:-1] + "," + text[1:], text[:-1] + "," + bad[1:]]).encode()


def raw_bytes(r, d):
    """Bytes that are no UTF-8, in the name or the value of a member."""
    if d.document is None:
        return False
    text, bad = dump(d.document).encode(), r.bad().encode()
    name = r.random.choice([b"mod\xc1\xa5l", b"mo\xff del", b"\xed\xa0\x80model", b"model\xff", b"\xefmodel", b"mod\xe0\x81\xa5l"])
    d.body = text[:-1] + b',"' + name + b'":"' + bad + b'"}' if r.random.random() < 0.6 else text.replace(b'"model":"', b'"model":"' + r.random.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80"]), 1)


def compressed(r, d):
    if d.document is None:
        return False
    if r.random.random() < 0.7:
        d.document[:] = [(k, r.bad() if k == "model" else v) for k, v in d.document]
    d.body = gzip.compress(dump(d.document).encode(), mtime=0)
    d.headers.append(("Content-Encoding", r.random.choice(["gzip", "x-gzip", "GZIP", "gzip, identity", "identity, gzip", "deflate"])))


def value_escapes(r, d):
    if d.document is None:
        return False
    d.document[:] = [(k if r.random.random() < 0.5 else (escaped(r, k) if k == "model" else k), escaped(r, r.random.choice([r.bad(), r.model()])) if k == "model" else v) for k, v in d.document]


# ---- paths

SEPARATORS = [*["%2F"] * 8, *["%2f"] * 4, "/", "%5C", "\\", "%252F", "%2F%2F", "//", ";/", "%3B/", "%00/", "%EF%BC%8F", "%c0%af", "%2F.%2F"]
DOTS = [*[".."] * 8, "%2e%2e", "%2E.", ".%2e", "..;", "%252e%252e", "%EF%BC%8E%EF%BC%8E", ".", "%2e", "...", "..%00"]
ELSEWHERE = ["files", "files/{foreign}", "organization/admin_api_keys", "chat/completions", "models", "batches", "responses", "tenant-b/v1/files", "v1/files", "v1/files/{foreign}"]


def elsewhere(r):
    return r.random.choice(ELSEWHERE).replace("{foreign}", r.foreign().rsplit("/", 1)[-1])


def path_walk(r, d):
    """Out of a placeholder: separators and dots, encoded or not."""
    sep, dots = r.random.choice(SEPARATORS), r.random.choice(DOTS)
    ups = sep.join([dots] * r.random.choice([1, 1, 2, 2, 3, 4]))
    parts = d.path.split("/")
    at = next((i for i, p in enumerate(parts) if d.filled and r.random.choice(d.filled) in p), r.random.randrange(1, len(parts)))
    segment = parts[at]
    value = next((f for f in d.filled if f in segment), segment)
    other = quote(r.bad(), safe=":@" if r.random.random() < 0.7 else "")
    if segment == value or r.random.random() < 0.5:
        new = r.random.choice([value + sep + ups + sep + elsewhere(r).replace("/", sep), ups + sep + elsewhere(r).replace("/", sep), value + sep + ups + sep + other, other + sep + dots + sep + value, value + sep + ups, sep + value,
                               value + sep, dots, value + sep + other, f"{value}%3F{other}", f"{value}%23{other}", f"{value};{other}", value + "%20", value + "%0a", value + "%00" + other, "%2e" + sep + value])
        parts[at] = segment.replace(value, new)
        d.path = "/".join(parts)
    else:
        new = r.random.choice([f"{value}{sep}{ups}{sep}{other}", f"{ups}{sep}{other}", f"{other}{sep}{dots}{sep}{value}", f"{value}:{other}", f"{value}%3A{other}"])
        d.path = d.path.replace(value, new, 1)


def path_climb(r, d):
    """The same, well formed: up from a placeholder to another endpoint, object or model, for fronts that decode and normalise."""
    if not d.filled:
        return False
    value, sep = r.random.choice(d.filled), r.random.choice(["%2F", "%2F", "%2f", "/", "%5C"])
    up = r.random.choice(["..", "..", "..", "%2e%2e"]) + sep
    first = r.random.choice([value + sep, value + sep, r.bad().replace("/", sep) + sep, ""])
    last = r.random.choice([quote(r.bad(), safe=":@"), quote(r.model(), safe=":@"), elsewhere(r).replace("/", sep), elsewhere(r).replace("/", sep)])
    d.path = d.path.replace(value, first + up * r.random.choice([1, 1, 2, 2, 3, 4]) + last, 1)


def path_form(r, d):
    d.path = r.random.choice([lambda p: "/" + p, lambda p: p + "/", lambda p: p.replace("/v1/", "/v1//", 1), lambda p: p.replace("/v1/", "/v1/./", 1), lambda p: p.replace("/v1/", "/v1/x/../", 1), lambda p: p.replace("/v1/", "/V1/", 1),
                              lambda p: p.replace("e", "%65", 1), lambda p: p.replace("m", "%6D", 1), lambda p: p + ";x=1", lambda p: p + "%20", lambda p: p + "%2F", lambda p: p + "#x", lambda p: "/v1" + p, lambda p: p + "/../files",
                              lambda p: p + "/..%2ffiles", lambda p: p + "%2f..%2f..%2ffiles", lambda p: "/%2e%2e/tenant-b" + p, lambda p: "/..%2ftenant-b" + p, lambda p: "/../tenant-b" + p, lambda p: p.replace("/", "\\", 2).replace("\\", "/", 1)])(d.path)


def query(r, d):
    name = r.random.choice(["model", "mod%65l", "MODEL", "%6dodel", "model%00", "model%20", "deployment", "models", "models[]", "model[]", "fallbacks", "engine", "model_id", "modelId", "m%6fdels", "+model", "model+", "file_id", "after", "previous_response_id",
                            "mod%u0065l", "mod%6%35l", "mo%E2%80%8Bdel"])
    value = quote(r.foreign() if name in ("file_id", "after", "previous_response_id") else r.bad(), safe="/:")
    d.query += ("&" if d.query else "") + r.random.choice([f"{name}={value}", f"{name}={value}", f"model={quote(r.model(), safe='')}&{name}={value}", f"x=1;{name}={value}", f"x=1%26{name}={value}", f"{name}={value}&{name}={quote(r.model(), safe='')}",
                                                             f"{name}={value}#", f"?{name}={value}"])


def head(r, d):
    """Fields that name another method, path or model to some server, and fields that only the first hop is to see."""
    bad = r.bad()
    # Tricks may follow that spoil the path; what the fields name is what counts.
    d.headers += r.random.choice([
        [("X-HTTP-Method-Override", "DELETE")], [("X-HTTP-Method", "DELETE")], [("X-Method-Override", "DELETE")], [("X-Original-URL", "/v1/" + elsewhere(r))], [("X-Rewrite-URL", "/v1/" + elsewhere(r))],
        [("x-ms-model-mesh-model-name", bad)], [("X-Model", bad)], [("Connection", "keep-alive, x-hop"), ("x-hop", "hop")], [("Connection", "x-hop"), ("X-Hop", "hop"), ("Connection", "keep-alive")],
        [("Connection", "content-type")], [("Connection", "authorization, x-hop"), ("x-hop", "hop")], [("x_http_method_override", "DELETE")], [("X-Forwarded-Uri", "/v1/files")], [("X-Original-Method", "DELETE")],
        [("Connection", ",x-hop ,"), ("x-hop", "hop")], [("Proxy-Connection", "x-hop"), ("TE", "trailers"), ("Keep-Alive", "timeout=5")], [("x-openai-model", bad)],
        [("X-Override-URL", "/v1/files")], [("x-litellm-model", bad)], [("X-Accel-Redirect", "/v1/files")], [("Connection", "anthropic-version"), ("anthropic-version", "2023-06-01")],
        [("openai-organization", "org-elsewhere")], [("x-amzn-bedrock-model", bad)], [("x-model-id", bad)], [("Model", bad)], [("X-Fallback-Model", bad)],
    ])


# ---- objects

def body_reference(r, d):
    """An object of somebody else, where one dialect or another has IDs."""
    if d.document is None:
        return False
    foreign = r.foreign()
    written = escaped(r, foreign) if r.random.random() < 0.3 else foreign
    name = lambda n: spelled(r, n) if r.random.random() < 0.2 else n
    own = r.any_own()
    uri = "https://generativelanguage.googleapis.com/v1beta/" + foreign if "files/" in foreign else written
    pair = r.random.choice([
        ("file_ids", [written]), ("file_ids", [own, written]), ("previous_response_id", written), ("conversation", written), ("conversation", O([("id", written)])), ("input_file_id", written), ("training_file", written),
        ("validation_file", written), ("file_id", written), ("vector_store_ids", [written]), ("container", written), ("cachedContent", written), ("cached_content", written), ("previous_interaction_id", written), ("batch_id", written),
        ("tools", [O([("type", "code_interpreter"), ("container", O([("type", "auto"), ("file_ids", [written])]))])]), ("tools", [O([("type", "file_search"), ("vector_store_ids", [written])])]),
        ("tool_resources", O([("code_interpreter", O([("file_ids", [written])])), ("file_search", O([("vector_store_ids", [written])]))])), ("attachments", [O([("file_id", written), ("tools", [])])]),
        ("input", [O([("role", "user"), ("content", [O([("type", "input_file"), ("file_id", written)])])])]), ("input", [O([("type", "item_reference"), ("id", written)])]), ("input", [O([("type", "input_image"), ("file_id", written)])]),
        ("messages", [O([("role", "user"), ("content", [O([("type", "file"), ("file", O([("file_id", written)]))])])])]), ("messages", [O([("role", "user"), ("content", [O([("type", "document"), ("source", O([("type", "file"), ("file_id", written)]))])])])]),
        ("messages", [O([("role", "user"), ("content", [O([("type", "container_upload"), ("file_id", written)])])])]), ("messages", [O([("role", "user"), ("content", [O([("type", "image"), ("source", O([("type", "file"), ("file_id", written)]))])])])]),
        ("contents", [O([("parts", [O([("fileData", O([("fileUri", uri)]))])])])]), ("contents", [O([("parts", [O([("file_data", O([("file_uri", uri)]))])])])]), ("systemInstruction", O([("parts", [O([("fileData", O([("fileUri", uri)]))])])])),
        ("file", O([("id", written)])), ("files", [O([("id", written)])]), ("chunking", O([("deep", [[O([("file_id", written)])]])])), ("mask", O([("file_id", written)])), ("image", O([("file_id", written)])), ("images", [O([("file_id", written)])]),
        ("filters", O([("type", "eq"), ("value", written)])),
    ])
    pair = (name(pair[0]), pair[1])
    d.document[:] = [(k, v) for k, v in d.document if k != pair[0] or r.random.random() < 0.3]
    place(r, d.document, pair)
    if r.random.random() < 0.15 and d.ctype:
        d.ctype += "; charset=utf-7"
        d.document.append((Raw(f'"{UTF7("file_id")}"'), foreign))


def path_object(r, d):
    """An object of somebody else in the path, spelled in one way or another."""
    if not d.filled or not d.kind.ids or any(f in d.path and "{" in f for f in d.filled):
        return False
    own, foreign = d.filled[-1], r.foreign().rsplit("/", 1)[-1]
    hexed = "".join(f"%{ord(c):02x}" if r.random.random() < 0.3 else c for c in foreign)
    d.path = d.path.replace(own, r.random.choice([foreign, hexed, own + "%2F..%2F" + foreign, own + "/../" + foreign, foreign + "%20", foreign + ";" + own, foreign + "%00", own + "%2f%2e%2e%2f" + hexed, foreign + "%3F" + own, "%2e%2F" + foreign,
                                                          foreign + "%23", foreign + "/", foreign + "%2F", foreign.swapcase(), own + "," + foreign]), 1)


def form_tricks(r, d):
    """Parts of a form: twice, with a character set or a transfer encoding, under a file name, IDs as plain values."""
    if d.form is None:
        return False
    bad, foreign = r.bad(), r.foreign()
    part = r.random.choice([
        ["model", bad, [], None], ["Model", bad, [], None], ["model", UTF7(bad), ["Content-Type: text/plain; charset=utf-7"], None], [UTF7("model"), bad, ["Content-Type: text/plain; charset=utf-7"], None],
        ["model", base64.b64encode(bad.encode()).decode(), ["Content-Transfer-Encoding: base64"], None], ["model", "".join(f"={ord(c):02X}" for c in bad), ["Content-Transfer-Encoding: quoted-printable"], None],
        ["model", bad, [], "m.txt"], ["file_id", foreign, [], None], ["file_ids", foreign, [], None], ["file_ids[]", foreign, [], None], ["models", bad, [], None], ["fallbacks", bad, [], None], ["model[]", bad, [], None], ["_charset_", "utf-7", [], None],
        ["image_file_id", foreign, [], None], ["model", bad, ["Content-Type: application/json"], None], ["mod%65l", bad, [], None], ['model"; x="', bad, [], None], ["mo\\del", bad, [], None], ["model\0", bad, [], None], ["input_file_id", foreign, [], None],
        ["model", bad, ["Content-Disposition: form-data; name=x"], None], ["x", bad, ["content-disposition: form-data; name=model"], None], ["model", bad.encode("utf-16").decode("latin-1"), ["Content-Type: text/plain; charset=utf-16"], None],
        ["model", gzip.compress(bad.encode(), mtime=0).decode("latin-1"), ["Content-Encoding: gzip"], None], ["metadata", json.dumps({"fallbacks": [bad]}), ["Content-Type: application/json"], None],
    ])
    if r.random.random() < 0.35:
        d.form[:] = [p for p in d.form if p[0] != "model"]
    d.form.insert(r.random.randrange(len(d.form) + 1), part)
    if r.random.random() < 0.15:
        d.ctype = r.random.choice(['multipart/form-data; boundary="madeUp{}"', "multipart/form-data; charset=utf-7; boundary=madeUp{}", "multipart/form-data; boundary=x; boundary=madeUp{}", "multipart/form-data; boundary=madeUp{}; boundary=x",
                                   "multipart/mixed; boundary=madeUp{}", "Multipart/Form-Data; Boundary=madeUp{}", "multipart/form-data; boundary*=utf-8''madeUp{}", "multipart/form-data; boundary=madeUp{} "])


def other_form(r, d):
    """A form of names and values in place of JSON, or JSON in place of a form."""
    if d.document is not None:
        d.body = f"model={quote(r.bad())}&x={quote(r.foreign())}".encode()
        d.ctype = FORM
    elif d.form is not None:
        d.body = dump(O([("model", r.bad()), ("file_id", r.foreign())])).encode()
        d.ctype = "application/json"
    else:
        return False


TRICKS = [twice, twice, instead, of_other_type, second_place, second_place, second_place, of_tool, of_lines, body_encoding, body_encoding, content_type, json_form, raw_bytes, compressed, value_escapes, *[path_walk] * 3, *[path_climb] * 4, path_form,
          query, query, head, body_reference, body_reference, body_reference, path_object, path_object, form_tricks, form_tricks, form_tricks, other_form]


# ---- what honest clients do beside, and has to pass

MEMBERS = [("temperature", 0.5), ("new_feature", O([("mode", "fast"), ("level", 3)])), ("metadata", O([("project", "apollo"), ("note", "gpt-5-pro or file-abc123def456?")])), ("service_tier", "auto"), ("stream", False), ("seed", 7), ("user", "someone"), ("stop", ["file", "model"]), ("a_list", [1, None, True]),
           ("response_format", O([("type", "json_schema"), ("json_schema", O([("name", "x"), ("schema", O([("type", "object"), ("properties", O([("model", O([("type", "string")])), ("file_id", O([("type", "string")]))]))]))]))])), ("modalities", ["text"]), ("top_p", 1), ("x", "\u00e9\U0001f600 \\ \" /")]
FIELDS = [("User-Agent", "OpenAI/Python 3.54.0"), ("Accept", "application/json"), ("X-Stainless-Lang", "python"), ("x-stainless-retry-count", "0"), ("Idempotency-Key", "stainless-python-retry-0001"), ("anthropic-beta", "files-api-2025-04-14"), ("OpenAI-Beta", "assistants=v2"),
          ("anthropic-version", "2023-06-01"), ("Accept-Language", "en"), ("Connection", "keep-alive"), ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("HTTP-Referer", "https://app.example"), ("X-Title", "app"), ("X-Goog-Api-Client", "google-genai-sdk/3.6.1")]


def decorated(r, d):
    """The request with something of what SDKs and new features of providers add."""
    if d.document is not None:
        known = {k for k, _ in d.document}
        for member in r.random.sample(MEMBERS, r.random.choice([0, 0, 1, 2])):
            if member[0] not in known:
                place(r, d.document, member)
        d.ctype += r.random.choice(["", "", "; charset=utf-8", "; charset=UTF-8", ';charset="utf-8"'])
    for field in r.random.sample(FIELDS, r.random.choice([0, 1, 3])):
        d.headers.append(field)
    if r.random.random() < 0.15:
        d.query = r.random.choice(["beta=true", "api-version=2024-12-01-preview", "x=%C3%A9&y=a+b", "include[]=usage", "limit=20&order=desc", "pretty"])
    if d.filled and r.random.random() < 0.2 and ":" in d.filled[0]:
        # As boto3 writes it.
        d.path = d.path.replace(d.filled[0], d.filled[0].replace(":", "%3A"), 1)
        d.filled[0] = d.filled[0].replace(":", "%3A")


# ---- bytes

def written(d, key, prefix, r):
    """The bytes of the request."""
    form_type, body = None, d.body
    if d.form is not None and body is None:
        boundary = "madeUp" + str(r.random.randrange(10**6))
        form_type = d.ctype.replace("{}", boundary[6:]) if d.ctype and "{}" in d.ctype else f"multipart/form-data; boundary={boundary}"
        out = []
        for name, value, lines, file in d.form:
            disposition = [f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file else "")]
            # A field of the part's own may come in front.
            all_lines = (lines + disposition) if lines and lines[0].lower().startswith("content-disposition") and r.random.random() < 0.5 else disposition + lines
            out.append(f"--{boundary}\r\n" + "\r\n".join(all_lines) + "\r\n\r\n" + value + "\r\n")
        body = "".join(out).encode("latin-1", "replace") + f"--{boundary}--\r\n".encode()
    elif body is None:
        body = dump(d.document).encode("utf-8", "surrogatepass") if d.document is not None else b""
    target = prefix + d.path + ("?" + d.query if d.query else "")
    lines = [f"{d.method} {target} HTTP/1.1", "Host: gateway.example", d.kind.key + key]
    ctype = form_type if form_type and (d.ctype is None or d.ctype == "application/json" or "{}" in d.ctype) and not any(k.lower() == "content-type" for k, _ in d.headers) else d.ctype
    if ctype and d.method not in ("GET", "DELETE"):
        lines.append(f"Content-Type: {ctype}")
    lines += [f"{k}: {v}" for k, v in d.headers]
    if d.method in ("GET", "DELETE") and not body:
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogatepass")
    if d.chunked:
        at = r.random.randrange(1, max(2, len(body)))
        pieces = [p for p in (body[:at], body[at:]) if p]
        return "\r\n".join([*lines, "Transfer-Encoding: chunked", "\r\n"]).encode("utf-8", "surrogatepass") + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "\r\n"]).encode("utf-8", "surrogatepass") + body
