"""`huggingface_hub.InferenceClient` works against it unchanged."""

import pytest

from hfrouter.simulator import Fault

hub = pytest.importorskip("huggingface_hub")

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(params=["base_url", "url"])
def client(sim, request):
    with hub.InferenceClient(base_url=getattr(sim, request.param), api_key=sim.token, timeout=10) as client:
        yield client


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-oss-120b", "openai/gpt-oss-120b:cheapest", "zai-org/GLM-4.6:cerebras", "openai/gpt-oss-20b:groq"],
)
def test_unary_and_stream_with_every_kind_of_suffix(client, model):
    messages = [{"role": "user", "content": "Count from 1 to 5"}]
    answer = client.chat_completion(messages, model=model)
    assert answer.choices[0].message.content.strip() == "1 2 3 4 5"
    chunks = list(client.chat_completion(messages, model=model, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.strip() == "1 2 3 4 5"


def test_tools_and_structured_output(client):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = client.chat_completion(messages, model="openai/gpt-oss-20b", tools=[WEATHER], tool_choice="auto")
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(
        messages=[{"role": "user", "content": "Bob is 25 years old."}], model="openai/gpt-oss-20b", response_format=form
    )
    assert answer.choices[0].message.content == '{"age": 25}'


def test_errors_are_raised_with_their_text(client, sim):
    sim.fail("groq", Fault.spending_limit())
    with pytest.raises(hub.errors.HfHubHTTPError, match="403"):
        client.chat_completion([{"role": "user", "content": "hi"}], model="openai/gpt-oss-20b")


async def test_the_async_client_streams(sim):
    client = hub.AsyncInferenceClient(base_url=sim.base_url, api_key=sim.token, timeout=10)
    stream = await client.chat_completion(
        [{"role": "user", "content": "Count from 1 to 5"}], model="openai/gpt-oss-20b", stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "1 2 3 4 5"
    await client.close()


@pytest.fixture
def pointed(sim, monkeypatch):
    """Point the whole client here: the Hub, and the router's per-provider paths."""
    from huggingface_hub.inference import _providers

    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", sim.url)
    monkeypatch.setattr("huggingface_hub.constants.INFERENCE_PROXY_TEMPLATE", f"{sim.url}/{{provider}}")
    for task in ("feature-extraction", "sentence-similarity"):
        monkeypatch.setattr(_providers.PROVIDERS["hf-inference"][task], "base_url", f"{sim.url}/hf-inference")
    _providers.hf_inference._check_supported_task.cache_clear()
    yield
    _providers.hf_inference._check_supported_task.cache_clear()


@pytest.mark.usefixtures("pointed")
@pytest.mark.parametrize(
    ("provider", "model", "shape"),
    [
        ("hf-inference", "sentence-transformers/all-MiniLM-L6-v2", (384,)),
        ("hf-inference", "BAAI/bge-small-en-v1.5", (1, 384)),
        ("hf-inference", "facebook/bart-base", (1, 4, 768)),
        ("scaleway", "Qwen/Qwen3-Embedding-8B", (1, 4096)),
    ],
)
def test_the_client_embeds_by_the_hubs_mapping(sim, provider, model, shape):
    pytest.importorskip("numpy")
    with hub.InferenceClient(provider=provider, api_key=sim.token, timeout=10) as client:
        assert client.feature_extraction("some text", model=model).shape == shape
    assert any(exchange.path == f"/api/models/{model}" for exchange in sim.exchanges)


@pytest.mark.usefixtures("pointed")
def test_the_client_compares_sentences(sim):
    with hub.InferenceClient(provider="hf-inference", api_key=sim.token, timeout=10) as client:
        model = "sentence-transformers/all-MiniLM-L6-v2"
        near, far = client.sentence_similarity("I am happy", other_sentences=["so happy", "it rains"], model=model)
    assert near > far
