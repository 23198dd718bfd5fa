"""The libraries that people put over several providers, by nothing but base URL and key."""
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before it is imported: it would fetch prices
import asyncio

import litellm, pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from test_providers import CASSETTES, HELLO, World

pytestmark = pytest.mark.skipif(not CASSETTES.is_dir(), reason=f"SKIPPED: no recorded answers at {CASSETTES}; set MASKLLM_CASSETTES")
litellm.telemetry = False


@pytest.fixture(scope="module")
def world(tmp_path_factory, certificates):
    w = World(tmp_path_factory.mktemp("frameworks"), certificates, ["openai", "anthropic", "groq", "mistral", "deepseek"])
    yield w
    assert w.gw.stop() == 0


def lite(model, kind, prefix=""):
    return lambda w, key, **kw: litellm.completion(model=model, api_base=w.url(kind) + prefix, api_key=key, messages=HELLO, num_retries=0, max_retries=0, **kw)


async def pydantic_stream(agent):
    async with agent.run_stream("hello") as answer:
        return [text async for text in answer.stream_text()]


def run(coroutine):
    return asyncio.run(coroutine)


# Its model for Anthropic does not go with the Anthropic SDK that is tested here, of itself.
openai_model = lambda w, key, kind="openai": OpenAIChatModel("m", provider=OpenAIProvider(base_url=w.url(kind) + "/v1", api_key=key))
langchain = lambda w, key: ChatOpenAI(model="m", base_url=w.url("openai") + "/v1", api_key=key, max_retries=0)
langchain_claude = lambda w, key: ChatAnthropic(model="m", base_url=w.url("anthropic"), api_key=key, max_retries=0)

CALLS = {
    "litellm": (lambda w, key: lite("openai/m", "openai", "/v1")(w, key).choices[0].message.content, "openai/chat", (20, 3)),
    "litellm streams": (lambda w, key: list(lite("openai/m", "openai", "/v1")(w, key, stream=True)), "openai/chat-stream-with-usage", (13, 50)),
    "litellm to Anthropic": (lambda w, key: lite("anthropic/m", "anthropic")(w, key).choices[0].message.content, "anthropic/message", (32, 15)),
    "litellm streams from Anthropic": (lambda w, key: list(lite("anthropic/m", "anthropic")(w, key, stream=True)), "anthropic/stream-thinking", (52, 216)),
    # Not as "groq/m": this litellm wants a service tier in Groq's answers, which recorded ones have not.
    "litellm to Groq": (lambda w, key: lite("openai/m", "groq", "/openai/v1")(w, key).choices[0].message.content, "groq/chat", (18, 26)),
    "litellm to Mistral": (lambda w, key: lite("mistral/m", "mistral", "/v1")(w, key).choices[0].message.content, "mistral/chat-cached", (93, 29)),
    "LangChain": (lambda w, key: langchain(w, key).invoke("hello").content, "openai/chat", (20, 3)),
    "LangChain streams": (lambda w, key: list(langchain(w, key).stream("hello")), "openai/chat-stream-with-usage", (13, 50)),
    "LangChain to Anthropic": (lambda w, key: langchain_claude(w, key).invoke("hello").content, "anthropic/message", (32, 15)),
    "LangChain streams from Anthropic": (lambda w, key: list(langchain_claude(w, key).stream("hello")), "anthropic/stream-thinking", (52, 216)),
    "Pydantic AI": (lambda w, key: run(Agent(openai_model(w, key)).run("hello")).output, "openai/chat", (20, 3)),
    "Pydantic AI streams": (lambda w, key: run(pydantic_stream(Agent(openai_model(w, key, "deepseek")))), "deepseek/stream-no-include-usage", (12, 89)),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_arrives_and_is_counted(world, name):
    call, cassette, usage = CALLS[name]
    world.replay(cassette)
    assert call(world, world.key)
    assert world.told() == usage


@pytest.mark.parametrize("name", [n for n in CALLS if "streams" not in n])
def test_a_revoked_key_is_its_error_with_our_sentence(world, name):
    call, cassette, _ = CALLS[name]
    world.replay(cassette)
    with pytest.raises(Exception) as error:
        call(world, world.dead)
    assert "revoked for good" in str(error.value) and not world.replayer.requests, repr(error.value)
