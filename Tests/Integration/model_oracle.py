"""What a server would use of a request, by what it says that it understood: endpoint, models, objects. Knows the providers' APIs by their documentation,
and nothing of how the gateway decides."""
import re
from fnmatch import fnmatchcase

# Paths of the providers below their prefixes, by the class of what they do. `admin` is what no key may ever reach.
OPENAI = [(r"/chat/completions(/[^/]+)?", "chat"), (r"/completions", "completions"), (r"/(responses|conversations)(/.+)?", "responses"), (r"/embeddings", "embeddings"), (r"/images/\w+", "images"),
          (r"/audio/\w+", "audio"), (r"/moderations", "moderations"), (r"/models(/(?P<model>[^/]+))?", "models"), (r"/(files|uploads|vector_stores)(/.+)?", "files"), (r"/batches(/.+)?", "batches"),
          (r"/fine_tuning/.+", "fine-tuning"), (r"/messages", "messages"), (r"/rerank", "rerank"), (r"/(organization|projects|keys?|key|realtime|user|team|config|model|credentials)(/.*)?", "admin")]
ANTHROPIC = [(r"/messages", "messages"), (r"/messages/count_tokens", "tokens"), (r"/messages/batches(/.+)?", "batches"), (r"/models(/(?P<model>[^/]+))?", "models"), (r"/files(/.+)?", "files"),
             (r"/(organizations|vaults|tunnels)(/.*)?", "admin")]
GEMINI = [(r"/models/(?P<model>[^/:]+):(generateContent|streamGenerateContent)", "chat"), (r"/models/(?P<model>[^/:]+):(embedContent|batchEmbedContents)", "embeddings"),
          (r"/models/(?P<model>[^/:]+):countTokens", "tokens"), (r"/models/(?P<model>[^/:]+):predict", "images"), (r"/models(/(?P<model>[^/:]+))?", "models"), (r"/interactions(/.+)?", "chat"),
          (r"/(files|cachedContents)(/.+)?", "files"), (r"/openai/chat/completions", "chat"), (r"/openai/embeddings", "embeddings"), (r"/(auth_tokens|tunedModels|corpora)(/.*)?", "admin")]
DEPLOYMENT = r"/openai/deployments/(?P<model>[^/]+)"
ROUTES = {
    "openai": [(r"(/v1)?", OPENAI)], "litellm": [(r"(/v1)?", OPENAI)], "openrouter": [(r"/api/v1", OPENAI)],
    "azure": [("", [(DEPLOYMENT + "/chat/completions", "chat"), (DEPLOYMENT + "/completions", "completions"), (DEPLOYMENT + "/embeddings", "embeddings"), (DEPLOYMENT + r"/images/\w+", "images"), (DEPLOYMENT + r"/audio/\w+", "audio"),
                    (r"/models/chat/completions", "chat"), (r"/models/embeddings", "embeddings"), (r"/anthropic/v1/messages", "messages")]), (r"/openai(/v1)?", OPENAI)],
    "anthropic": [(r"(/v1)?", ANTHROPIC)], "gemini": [(r"/v1(beta|alpha)?", GEMINI), (r"/upload/v1(beta|alpha)?", [("/files", "files")])],
    "bedrock": [("", [(r"/model/(?P<model>.+)/(converse|converse-stream)", "chat"), (r"/model/(?P<model>.+)/(invoke|invoke-with-response-stream)", "completions"), (r"/model/(?P<model>.+)/count-tokens", "tokens"),
                      (r"/(async-invoke|guardrail|foundation-models|custom-models)(/.*)?", "admin")])],
    "cohere": [(r"/v[12]", [("/chat", "chat"), ("/embed", "embeddings"), ("/rerank", "rerank"), ("/tokenize", "tokens"), (r"/models(/(?P<model>[^/]+))?", "models"), (r"/(connectors|datasets|finetuning|check-api-key)(/.*)?", "admin")]),
               (r"/compatibility/v1", OPENAI)],
    "ollama": [("", [("/api/chat", "chat"), ("/api/generate", "completions"), ("/api/embed(dings)?", "embeddings"), ("/api/tags", "models"), ("/api/(show|pull|push|create|copy|delete|ps)", "admin")]), ("/v1", OPENAI)],
}
COMPILED = {kind: [(re.compile(prefix + route), name) for prefix, routes in groups for route, name in routes] for kind, groups in ROUTES.items()}
# Members whose value names a model, in the exact spelling that servers in Python and Node look for.
NAMES_MODEL = re.compile(r"[A-Za-z_]*([mM]odel|[fF]allback)[A-Za-z_]*")
IN_QUERY = re.compile(r"(models?|deployment|fallbacks?|model_id|modelId|fallback_models?)(\[\])?")
# Members whose value is the ID of an object, and of which kind; and what such members stand in, in the exact spelling.
REFERENCES = [(re.compile(r"([a-z]+_)*file_ids?|(training|validation)_file"), "file"), (re.compile(r"vector_store_ids?"), "store"), (re.compile(r"batch_id"), "batch"), (re.compile("previous_response_id"), "response"), (re.compile("conversation"), "conversation"),
              ]
OF_GEMINI = [(re.compile(r"cached_?[cC]ontent"), "cache"), (re.compile(r"file_?[uU]ri"), "file")]
CONTAINERS = {"messages", "content", "contents", "parts", "input", "file", "files", "source", "tools", "container", "tool_resources", "code_interpreter", "file_search", "attachments", "fileData", "file_data", "systemInstruction", "system_instruction",
              "document", "image", "images", "mask", "params", "requests", "conversation"}


def kind_of(provider, name):
    """Which kind of object a member, a field of a form or of the query names for a kind of provider; None: none."""
    return next((kind for pattern, kind in (OF_GEMINI if provider == "gemini" else REFERENCES) if pattern.fullmatch(name)), None)


ROUTES_BY_FIELD = {"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}


def route(kind, path):
    """(class, model) of a path of a provider; class None where it has no such path."""
    for pattern, name in COMPILED[kind]:
        found = pattern.fullmatch(path)
        if found:
            return name, found.groupdict().get("model")
    return None, None


def texts(value, depth=0):
    """The names that the value of a member which names models has in it."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, bool) or isinstance(value, (int, float)):
        return [str(value)] if value else []
    if isinstance(value, list):
        return [t for v in value for t in texts(v, depth + 1)] if depth < 5 else []
    if isinstance(value, dict):
        # A list of models by the model that fails, or an object that names one.
        return [t for k, v in value.items() if isinstance(v, list) or k in ("model", "models", "id", "name", "fallbacks") for t in (texts(v, depth + 1) if not isinstance(v, list) or k != "messages" else [])] if depth < 5 else []
    return []


# Whose tools have models of their own (Anthropic's advisor, OpenAI's pictures), and what passes all on.
TOOLS_HAVE_MODELS = {"openai", "azure", "anthropic", "openrouter", "litellm"}


def models_of(kind, document, name=""):
    """What a JSON document of an endpoint of class `name` names as models, where the providers say that models stand."""
    if not isinstance(document, dict):
        return []
    found = []
    for member, value in document.items():
        if NAMES_MODEL.fullmatch(member) and not member.lower().startswith("additionalmodel"):
            found += texts(value)
        elif member in ("tools", "plugins") and isinstance(value, list) and kind in TOOLS_HAVE_MODELS:
            found += [t for tool in value if isinstance(tool, dict) for k, v in tool.items() if NAMES_MODEL.fullmatch(k) for t in texts(v)]
        elif member == "requests" and isinstance(value, list) and (name == "batches" or kind in ("gemini", "litellm")):
            for line in value:
                for inner in ("params", "body", "request") if isinstance(line, dict) else ():
                    found += models_of(kind, line.get(inner))
        elif member in ("metadata", "extra_body", "litellm_params") and kind == "litellm":
            # Of metadata LiteLLM takes fallbacks; the rest is the client's.
            found += [t for t in models_of(kind, {k: v for k, v in value.items() if k == "fallbacks"})] if isinstance(value, dict) else []
    return found


def references_of(provider, document, name="", kind=None):
    """(kind of object, string) where IDs of objects stand in a JSON document."""
    if isinstance(document, dict):
        for k, v in document.items():
            inner = "conversation" if name == "conversation" and k == "id" else kind_of(provider, k)
            if inner or k in CONTAINERS:
                yield from references_of(provider, v, k, inner)
    elif isinstance(document, list):
        for v in document:
            yield from references_of(provider, v, name, kind)
    elif isinstance(document, str) and kind:
        yield kind, document


class Scope:
    """What a key may use; None: all."""

    def __init__(self, allowed=None, denied=(), classes=None, path=None):
        self.allowed, self.denied, self.classes, self.path = allowed, denied, classes, path

    @property
    def is_of_models(self):
        return self.allowed is not None or bool(self.denied)

    def has(self, model):
        return (self.allowed is None or any(fnmatchcase(model, glob) for glob in self.allowed)) and not any(fnmatchcase(model, glob) for glob in self.denied)


def disagreements(kind, base, scope, foreign, saw):
    """What the server would use that the key may not, as sentences. `foreign`: the kind of object by the ID of each that is not the key's own."""
    headers, found = dict(saw["headers"]), []
    if "x-hop" in headers:
        found.append("a field named in Connection arrived")
    if "openai-organization" in headers:
        found.append("a field that names an account arrived")
    for name in ROUTES_BY_FIELD & {n.replace("_", "-") for n in headers}:
        found.append(f"the field {name} arrived")
    if scope.is_of_models and "x-ms-model-mesh-model-name" in headers:
        found.append("the field x-ms-model-mesh-model-name arrived")
    for path in {saw["path"], saw.get("clean", saw["path"])}:
        if not path.startswith(base):
            if route(kind, path)[0] or "tenant-b" in path:
                found.append("the path left the base URL's prefix")
            continue
        below = path[len(base):]
        name, in_path = route(kind, below)
        if name is None:
            continue
        if name == "admin":
            found.append("an endpoint of administration")
        if scope.classes is not None and name not in scope.classes:
            found.append(f"the endpoint class {name}")
        if scope.path and name == "models" and not (saw["method"] == "GET" and re.fullmatch(scope.path, below)):
            found.append("a path that the key has not")
        if kind == "gemini" and in_path is None and isinstance(saw["json"], dict) and isinstance(saw["json"].get("model"), str):
            saw["json"]["model"] = saw["json"]["model"].removeprefix("models/")
        if scope.is_of_models and name != "files":
            used = [("the path", in_path)] if in_path else []
            used += [("the body", t) for t in models_of(kind, saw["json"], name)] + [("the body, its names in any case", t) for t in models_of(kind, saw.get("typed"), name)]
            used += [("the query", v) for k, v in saw["query"] if v and IN_QUERY.fullmatch(k) and (kind == "azure" or k != "deployment")] + [("the form", v) for k, v in saw["form"] or () if v and IN_QUERY.fullmatch(k)]
            if name == "batches" and saw["method"] == "POST" and below.endswith("/batches") and kind in ("openai", "azure"):
                used.append(("the file of the batch", "gpt-5-pro"))
            found += [f"a model in {where}" for where, model in used if not scope.has(model)]
        named = [("the body", *t) for t in references_of(kind, saw["json"])] + [("the body, its names in any case", *t) for t in references_of(kind, saw.get("typed"))]
        named += [("the form", kind_of(kind, k.removesuffix("[]")), v) for k, v in saw["form"] or ()] + [("the query", kind_of(kind, k), v) for k, v in saw["query"]]
        if in_path is None and any(part in foreign for part in below.split("/")) and name in ("files", "batches", "responses", "fine-tuning", "chat"):
            found.append("an object in the path")
        found += [f"an object in {where}" for where, what, text in named if what and foreign.get(text, foreign.get(text.rsplit("/", 1)[-1])) == what]
    return sorted(set(found))
