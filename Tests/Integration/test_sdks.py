"""The official SDKs, unchanged, through the gateway to the stand-in provider, with real TLS on both legs."""
import asyncio, json, ssl, urllib.request

import anthropic, openai, pytest
from conftest import BINARY, Gateway, Process, cli

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
HELLO = [{"role": "user", "content": "hello"}]
TEXT = "Hello from the MaskLLM demo provider."


class World:
    def __init__(self, tmp, certificates):
        tls = ["--tls-certificate", certificates / "leaf.pem", "--tls-key", certificates / "leaf.key"]
        self.ca = str(certificates / "ca.pem")
        self.provider = Process(["demo", "--provider-only", "--pace-ms", "0", *tls])
        self.gateway = Gateway(tmp, self.provider.url, args=tls, ca=self.ca)
        self.key = self.gateway.key()

    def release_provider_keys(self):
        """Ends the quarantine that a 401 brought, so that the other tests go on."""
        for key in json.loads(self.gateway.cli("provider-key", "list", "--json")):
            self.gateway.cli("provider-key", "release", key["id"])

    def openai(self, key=None, **kw):
        return openai.OpenAI(api_key=key or self.key, base_url=f"{self.gateway.url}/up/v1", http_client=openai.DefaultHttpxClient(verify=self.ca), **kw)

    def aopenai(self):
        return openai.AsyncOpenAI(api_key=self.key, base_url=f"{self.gateway.url}/up/v1", http_client=openai.DefaultAsyncHttpxClient(verify=self.ca))

    def anthropic(self, key=None, **kw):
        return anthropic.Anthropic(api_key=key or self.key, base_url=f"{self.gateway.url}/ant", http_client=anthropic.DefaultHttpxClient(verify=self.ca), **kw)

    def aanthropic(self):
        return anthropic.AsyncAnthropic(api_key=self.key, base_url=f"{self.gateway.url}/ant", http_client=anthropic.DefaultAsyncHttpxClient(verify=self.ca))


@pytest.fixture(scope="module")
def world(tmp_path_factory, certificates):
    w = World(tmp_path_factory.mktemp("world"), certificates)
    assert w.gateway.url.startswith("https") and w.provider.url.startswith("https")
    yield w
    assert w.gateway.stop() == 0
    w.provider.stop()


class TestOpenAI:
    def test_chat(self, world):
        answer = world.openai().chat.completions.create(model="demo-small", messages=HELLO)
        assert answer.choices[0].message.content == TEXT
        assert answer.usage.total_tokens == 20

    def test_chat_stream_with_usage(self, world):
        chunks = list(world.openai().chat.completions.create(model="demo-small", messages=HELLO, stream=True, stream_options={"include_usage": True}))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
        assert chunks[-1].usage.completion_tokens == 7

    def test_chat_stream_without_usage(self, world):
        chunks = list(world.openai().chat.completions.create(model="demo-small", messages=HELLO, stream=True))
        assert all(c.usage is None for c in chunks)

    @pytest.mark.parametrize("stream", [False, True])
    def test_tool_calls(self, world, stream):
        answer = world.openai().chat.completions.create(model="demo-small", messages=HELLO, tools=TOOLS, stream=stream)
        if stream:
            calls = [c.choices[0].delta.tool_calls[0].function.arguments or "" for c in answer if c.choices[0].delta.tool_calls]
            assert json.loads("".join(calls)) == {"city": "Paris"}
        else:
            call = answer.choices[0].message.tool_calls[0]
            assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Paris"}

    def test_responses(self, world):
        assert world.openai().responses.create(model="demo-small", input="hello").output_text == TEXT

    def test_responses_stream(self, world):
        events = list(world.openai().responses.create(model="demo-small", input="hello", stream=True))
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == TEXT
        assert events[-1].response.usage.output_tokens_details.reasoning_tokens == 5

    def test_embeddings_and_models(self, world):
        assert len(world.openai().embeddings.create(model="demo-embed", input="x", encoding_format="float").data[0].embedding) == 3
        assert [m.id for m in world.openai().models.list()] == ["demo-small"]

    def test_async(self, world):
        async def go():
            async with world.aopenai() as client:
                answer = await client.chat.completions.create(model="demo-small", messages=HELLO)
                stream = await client.chat.completions.create(model="demo-small", messages=HELLO, stream=True)
                return answer.choices[0].message.content, "".join([c.choices[0].delta.content or "" async for c in stream])
        assert asyncio.run(go()) == (TEXT, TEXT)

    @pytest.mark.parametrize("key, code", [("sk-a-providers-own-key", "malformed_key"), ("mk_" + "0" * 12 + "_" + "0" * 49, "malformed_key")])
    def test_a_wrong_key_is_an_authentication_error(self, world, key, code):
        with pytest.raises(openai.AuthenticationError) as e:
            world.openai(key).chat.completions.create(model="demo-small", messages=HELLO)
        assert e.value.code == code and "Copy it again" in e.value.message

    @pytest.mark.parametrize("change, code", [("disable", "disabled_key"), ("revoke", "revoked_key")])
    def test_a_stopped_key_is_an_authentication_error(self, world, change, code):
        key = world.gateway.key()
        world.gateway.cli("key", change, key.split("_")[1])
        with pytest.raises(openai.AuthenticationError) as e:
            world.openai(key).chat.completions.create(model="demo-small", messages=HELLO)
        assert e.value.code == code

    def test_another_provider_is_a_permission_error(self, world):
        with pytest.raises(openai.PermissionDeniedError) as e:
            world.openai(world.gateway.key("--provider", "ant")).chat.completions.create(model="demo-small", messages=HELLO)
        assert e.value.code == "provider_not_allowed"

    def test_a_used_up_limit_is_a_rate_limit_error(self, world):
        client = world.openai(world.gateway.key("--provider", "up", "--limit", "requests_per_hour=1"), max_retries=0)
        client.models.list()
        with pytest.raises(openai.RateLimitError) as e:
            client.models.list()
        assert e.value.code == "rate_limited" and int(e.value.response.headers["retry-after"]) > 3500

    def test_an_endpoint_that_is_not_passed_is_a_permission_error(self, world):
        with pytest.raises(openai.PermissionDeniedError) as e:
            world.openai().files.list()
        assert e.value.code == "endpoint_not_allowed"

    def test_an_unknown_provider_is_not_found(self, world):
        client = openai.OpenAI(api_key=world.key, base_url=f"{world.gateway.url}/nobody/v1", http_client=openai.DefaultHttpxClient(verify=world.ca))
        with pytest.raises(openai.NotFoundError) as e:
            client.models.list()
        assert e.value.code == "unknown_provider"

    @pytest.mark.parametrize("status, error", [(400, openai.BadRequestError), (404, openai.NotFoundError), (429, openai.RateLimitError), (500, openai.InternalServerError)])
    def test_the_providers_errors_arrive_as_they_are(self, world, status, error):
        with pytest.raises(error) as e:
            world.openai(max_retries=0).chat.completions.create(model=f"demo-error-{status}", messages=HELLO)
        assert f"demo error {status}" in e.value.message

    def test_a_403_is_the_providers_and_does_not_echo_the_real_key(self, world):
        with pytest.raises(openai.PermissionDeniedError) as e:
            world.openai().chat.completions.create(model="demo-error-403", messages=HELLO)
        assert "demo error 403" in e.value.message and "0000" not in e.value.message

    def test_a_refusal_of_the_real_key_is_ours_and_does_not_echo_it(self, world):
        with pytest.raises(openai.InternalServerError) as e:
            world.openai(max_retries=0).chat.completions.create(model="demo-error-401", messages=HELLO)
        assert e.value.status_code == 503 and e.value.code == "provider_key_refused"
        assert "0000" not in e.value.message
        world.release_provider_keys()

    @pytest.mark.parametrize("model, code", [("demo-garbage", "upstream_broken"), ("demo-redirect", "upstream_redirected")])
    def test_a_broken_provider_is_a_server_error(self, world, model, code):
        with pytest.raises(openai.InternalServerError) as e:
            world.openai(max_retries=0).chat.completions.create(model=model, messages=HELLO)
        assert e.value.status_code == 502 and e.value.code == code

    def test_a_stream_that_breaks_off_raises(self, world):
        with pytest.raises(openai.APIError) as e:
            list(world.openai().chat.completions.create(model="demo-drop", messages=HELLO, stream=True))
        assert "could not be read" in str(e.value)


class TestAnthropic:
    def test_message(self, world):
        answer = world.anthropic().messages.create(model="demo-small", max_tokens=64, messages=HELLO)
        assert answer.content[0].text == TEXT and answer.usage.cache_read_input_tokens == 31

    def test_stream(self, world):
        with world.anthropic().messages.stream(model="demo-small", max_tokens=64, messages=HELLO) as stream:
            assert "".join(stream.text_stream) == TEXT
            assert stream.get_final_message().usage.output_tokens == 9

    @pytest.mark.parametrize("stream", [False, True])
    def test_tool_use(self, world, stream):
        tools = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
        if stream:
            with world.anthropic().messages.stream(model="demo-small", max_tokens=64, messages=HELLO, tools=tools) as s:
                message = s.get_final_message()
        else:
            message = world.anthropic().messages.create(model="demo-small", max_tokens=64, messages=HELLO, tools=tools)
        assert message.content[0].input == {"city": "Paris"} and message.stop_reason == "tool_use"

    def test_the_key_in_either_header(self, world):
        # 2.x sends the API key as a bearer; older ones and curl send x-api-key.
        for header in ({"x-api-key": world.key}, {"Authorization": f"Bearer {world.key}"}):
            request = urllib.request.Request(f"{world.gateway.url}/ant/v1/messages", b'{"model":"m"}', {"Content-Type": "application/json", **header})
            assert urllib.request.urlopen(request, context=ssl.create_default_context(cafile=world.ca)).status == 200

    def test_async(self, world):
        async def go():
            async with world.aanthropic() as client:
                answer = await client.messages.create(model="demo-small", max_tokens=64, messages=HELLO)
                async with client.messages.stream(model="demo-small", max_tokens=64, messages=HELLO) as stream:
                    return answer.content[0].text, "".join([t async for t in stream.text_stream])
        assert asyncio.run(go()) == (TEXT, TEXT)

    def test_errors(self, world):
        with pytest.raises(anthropic.AuthenticationError):
            world.anthropic("sk-ant-a-providers-own-key").messages.create(model="m", max_tokens=1, messages=HELLO)
        with pytest.raises(anthropic.PermissionDeniedError) as e:
            world.anthropic(world.gateway.key("--provider", "up")).messages.create(model="m", max_tokens=1, messages=HELLO)
        assert "may not call this provider" in str(e.value)
        with pytest.raises(anthropic.RateLimitError):
            world.anthropic(max_retries=0).messages.create(model="demo-error-429", max_tokens=1, messages=HELLO)
        with pytest.raises(anthropic.InternalServerError) as e:
            world.anthropic(max_retries=0).messages.create(model="demo-error-401", max_tokens=1, messages=HELLO)
        assert e.value.status_code == 503
        world.release_provider_keys()

    def test_a_stream_that_breaks_off_raises(self, world):
        with pytest.raises(anthropic.APIError) as e:
            with world.anthropic().messages.stream(model="demo-drop", max_tokens=64, messages=HELLO) as stream:
                list(stream.text_stream)
        assert "could not be read" in str(e.value)


def test_fifty_streams_at_once(world):
    async def one(client, i):
        if i % 2:
            stream = await client[0].chat.completions.create(model=f"demo-{i}", messages=HELLO, stream=True, stream_options={"include_usage": True})
            chunks = [c async for c in stream]
            return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks[0].model
        async with client[1].messages.stream(model=f"demo-{i}", max_tokens=64, messages=HELLO) as stream:
            text = "".join([t async for t in stream.text_stream])
            return text, (await stream.get_final_message()).model

    async def go():
        async with world.aopenai() as a, world.aanthropic() as b:
            return await asyncio.gather(*[one((a, b), i) for i in range(50)])

    assert asyncio.run(go()) == [(TEXT, f"demo-{i}") for i in range(50)]
    seen = {e["model"]: e for e in world.gateway.activity("--limit", "1000")}
    for i in range(50):
        e = seen[f"demo-{i}"]
        assert (e["status"], e["outcome"], e["stream"]) == (200, "completed", True)
        assert (e["input_tokens"], e["output_tokens"], e["cache_read_tokens"]) == ((9, 7, 4) if i % 2 else (11, 9, 31)), e
        assert e["provider"] == ("up" if i % 2 else "ant") and e["endpoint"] == ("chat" if i % 2 else "messages")
        assert e["bytes_in"] > 50 and e["bytes_out"] > 500 and 0 < e["first_byte_us"] <= e["duration_us"]
