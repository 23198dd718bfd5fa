"""The lines that the documentation tells a provider's users to write, run as they stand."""
import contextlib, io, json, os, re, subprocess, sys
from pathlib import Path

import pytest
from conftest import wait_until
from test_providers import CASSETTES, REAL, World

ROOT = Path(__file__).parents[2]
PAGES = {p.stem: p.read_text() for p in sorted((ROOT / "docs/providers").glob("*.md"))}
pytestmark = pytest.mark.skipif(not CASSETTES.is_dir(), reason=f"SKIPPED: no recorded answers at {CASSETTES}; set MASKLLM_CASSETTES")
# An answer that the provider gave; OpenAI's for those who speak like it and of whom we have none.
ANSWER = {
    "anthropic": "anthropic/message", "azure": "openai/chat", "bedrock": "bedrock/converse", "cerebras": "cerebras/chat-1", "cohere": "cohere/v2-chat", "deepseek": "openai/chat",
    "gemini": "gemini/generate-cached", "groq": "groq/chat", "huggingface": "huggingface/chat", "jina": "voyage/embeddings", "mistral": "mistral/chat-cached", "ollama": "ollama/chat",
    "openrouter": "openrouter/chat-cost", "perplexity": "perplexity/chat-cost", "replicate": "replicate/prediction-create", "together": "together/chat", "vertex": "vertex/generate",
    "voyage": "voyage/embeddings", "watsonx": "openai/chat",
}


def lines(kind, language):
    return re.search(rf"## {language}\n\n```[a-z]+\n(.*?)\n```", PAGES[kind], re.S)[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory, certificates):
    tls = ["--tls-certificate", certificates / "leaf.pem", "--tls-key", certificates / "leaf.key"]
    kinds = sorted(PAGES)
    style = {"vertex": "bearer", "watsonx": "bearer"}
    made = World(tmp_path_factory.mktemp("pages"), certificates, [k for k in kinds if k != "bedrock"], credentials=style), World(tmp_path_factory.mktemp("tls"), certificates, ["bedrock"], tls)
    yield lambda kind: made[kind == "bedrock"]
    for w in made:
        assert w.gw.stop() == 0


def ready(world, kind, language):
    w = world(kind)
    w.replay(ANSWER.get(kind, "openai/chat"))
    text = lines(kind, language)
    assert "mk_" not in text
    return w, re.sub(rf"https?://[a-z0-9.:]+(?=/{kind}\b)", w.gw.url, text)


def arrived(w):
    """One request, answered, with the real key and without the masked one; counted where the provider tells tokens."""
    wait_until(lambda: len(w.gw.activity("--limit", "1000")) > w.before, "the record")
    seen = json.dumps([r[1:] for r in w.replayer.requests], default=str)
    assert len(w.replayer.requests) == 1 and REAL in seen and w.key not in seen
    e = w.gw.activity("--limit", "1")[0]
    assert e["status"] in (200, 201) and (e.get("input_tokens") or w.replayer.name.startswith("replicate")), e


def test_every_kind_has_its_page_and_each_says_what_the_catalogue_says():
    done = subprocess.run([sys.executable, ROOT / "scripts/provider_pages.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(PAGES) == {p.stem for p in (ROOT / "Sources/CCatalogue").glob("*.yaml")} and len(PAGES) > 30


@pytest.mark.parametrize("kind", sorted(PAGES))
def test_the_lines_in_python_work(world, kind, monkeypatch):
    w, text = ready(world, kind, "Python")
    monkeypatch.setenv("MASKLLM_KEY", w.key)
    if kind == "bedrock":
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", w.key)
        monkeypatch.setenv("AWS_CA_BUNDLE", w.ca)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, f"docs/providers/{kind}.md", "exec"), {})
    assert printed.getvalue().strip()
    arrived(w)


@pytest.mark.parametrize("kind", sorted(PAGES))
def test_the_lines_for_curl_work(world, kind):
    w, text = ready(world, kind, "curl")
    done = subprocess.run(["bash", "-ec", text], env={**os.environ, "MASKLLM_KEY": w.key, "CURL_CA_BUNDLE": w.ca}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and json.loads(done.stdout), done
    arrived(w)


@pytest.mark.parametrize("kind", sorted(PAGES))
def test_the_lines_for_node_are_understood_and_those_without_an_sdk_work(world, kind, tmp_path):
    w, text = ready(world, kind, "Node")
    (tmp_path / "a.mjs").write_text(text)
    needs_sdk = "import " in text
    done = subprocess.run(["node", *(["--check"] if needs_sdk else []), tmp_path / "a.mjs"], env={**os.environ, "MASKLLM_KEY": w.key}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    if not needs_sdk:
        arrived(w)


def test_the_command_prints_the_same_lines(world):
    gw = world("openai").gw
    assert gw.cli("provider", "client", "openai", "--language", "python").strip() == lines("openai", "Python")
    assert gw.cli("provider", "client", "openai", "--language", "environment", "--url", "https://llm.example.com").strip() == "OPENAI_BASE_URL=https://llm.example.com/openai/v1\nOPENAI_API_KEY=mk_..."
    assert set(json.loads(gw.cli("provider", "client", "groq", "--json"))) == {"python", "node", "curl", "environment"}
    for args, says in ((["nowhere"], "there is no provider 'nowhere'"), (["openai", "--language", "cobol"], "no language that is known"), (["openai", "--url", "ftp://x"], "no address of a gateway"), ([], "NAME")):
        done = gw.cli("provider", "client", *args, check=False)
        assert done.returncode != 0 and says in done.stderr, done.stderr
