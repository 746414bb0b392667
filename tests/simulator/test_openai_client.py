"""The plain `openai` client works against it unchanged."""

import pytest
from pydantic import BaseModel

from hfrouter.simulator import Fault

openai = pytest.importorskip("openai")

PROVIDERS = ["groq", "cerebras", "novita", "together"]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def client(sim):
    with openai.OpenAI(base_url=sim.base_url, api_key=sim.token, max_retries=0, timeout=10) as client:
        yield client


@pytest.mark.parametrize("provider", PROVIDERS)
def test_create_and_stream(client, provider):
    messages = [{"role": "user", "content": "Count from 1 to 5"}]
    model = f"openai/gpt-oss-120b:{provider}"
    answer = client.chat.completions.create(model=model, messages=messages)
    assert answer.choices[0].message.content == "1 2 3 4 5"
    stream = client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "1 2 3 4 5"
    assert [c.usage for c in chunks if c.usage][-1].completion_tokens == answer.usage.completion_tokens


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_stream_helper_assembles_tool_calls(client, provider):
    messages = [{"role": "user", "content": "What is the weather in Paris and in Rome?"}]
    model = f"openai/gpt-oss-120b:{provider}"
    with client.chat.completions.stream(model=model, messages=messages, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.function.parsed_arguments or call.function.arguments for call in calls]
    assert [__import__("json").loads(call.function.arguments) for call in calls] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_parse_gives_the_object(client, provider):
    answer = client.chat.completions.parse(
        model=f"openai/gpt-oss-120b:{provider}",
        messages=[{"role": "user", "content": "Anna is 31 years old."}],
        response_format=Person,
    )
    assert answer.choices[0].message.parsed == Person(name="Anna", age=31)


async def test_async_create_and_stream(sim):
    async with openai.AsyncOpenAI(base_url=sim.base_url, api_key=sim.token, max_retries=0, timeout=10) as client:
        messages = [{"role": "user", "content": "Count from 1 to 5"}]
        answer = await client.chat.completions.create(model="openai/gpt-oss-20b", messages=messages)
        assert answer.choices[0].message.content == "1 2 3 4 5"
        stream = await client.chat.completions.create(model="openai/gpt-oss-20b", messages=messages, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == "1 2 3 4 5"


def test_errors_become_the_clients_own(client, sim):
    ask = {"model": "openai/gpt-oss-20b:groq", "messages": [{"role": "user", "content": "hi"}]}
    sim.fail("groq", Fault.rate_limited(), Fault.status(502, html=True), Fault.reset(), Fault.payment_required())
    for error in (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError, openai.APIStatusError):
        with pytest.raises(error):
            client.chat.completions.create(**ask)
    with pytest.raises(openai.BadRequestError, match="does not exist"):
        client.chat.completions.create(**{**ask, "model": "no/model"})
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="x", input="y")
    sim.fail("groq", Fault.error_event(2, "overloaded"))
    with pytest.raises(openai.APIError, match="overloaded"):
        list(client.chat.completions.create(**ask, stream=True))


def test_leaving_a_stream_is_noticed(client, sim):
    import time

    sim.fail("groq", Fault.stall_after(2, 30))
    stream = client.chat.completions.create(
        model="openai/gpt-oss-20b:groq", messages=[{"role": "user", "content": "Count to 9"}], stream=True
    )
    with stream:
        next(iter(stream))
    limit = time.monotonic() + 3
    while not sim.exchanges[0].closed_by_client:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_models_are_listed(client):
    assert "openai/gpt-oss-120b" in {model.id for model in client.models.list()}
