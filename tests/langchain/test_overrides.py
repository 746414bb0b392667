"""What a model is told at init and in a call is what the provider is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, ValidationError

from hfrouter import Policy, Router
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter, HFRouterAPIError, HFRouterConfigurationError

PARAMETERS: dict[str, Any] = {
    "temperature": 0,
    "max_tokens": 50,
    "top_p": 0.5,
    "seed": 7,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "logprobs": False,
    "top_logprobs": 0,
    "reasoning_effort": "low",
    "stop": ["###"],
}


def test_every_parameter_is_sent_zero_included(chat: Any, chats: Any) -> None:
    chat(**PARAMETERS, model_kwargs={"user": "me"}, extra_body={"top_k": 5}).invoke("Hello")
    body = chats()[0].body
    assert {name: body[name] for name in PARAMETERS} == PARAMETERS
    assert (body["user"], body["top_k"]) == ("me", 5)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "bind"])
async def test_a_call_overrides_every_parameter(way: str, chat: Any, chats: Any) -> None:
    model = chat(temperature=1, max_tokens=9, stop="x", model_kwargs={"user": "me"}, extra_body={"top_k": 5})
    call = {**PARAMETERS, "user": "you", "extra_body": {"top_k": 6}}
    if way == "ainvoke":
        await model.ainvoke("Hello", **call)
    elif way == "bind":
        model.bind(**call).invoke("Hello")
    else:
        list(getattr(model, way)("Hello", **call))
    body = chats()[0].body
    assert {name: body[name] for name in PARAMETERS} == PARAMETERS
    assert (body["user"], body["top_k"]) == ("you", 6)


def test_nothing_is_sent_that_nobody_said(chat: Any, chats: Any) -> None:
    chat().invoke("Hello")
    assert set(chats()[0].body) == {"model", "messages", "max_tokens", "stream", "stream_options"}


def test_a_call_can_take_a_parameter_back(chat: Any, chats: Any) -> None:
    chat(temperature=0.5, stop=["a"]).invoke("Hello", temperature=None, stop=[])
    assert {"temperature", "stop"}.isdisjoint(chats()[0].body)


@pytest.mark.parametrize("name", ["model", "model_name"])
def test_a_call_may_name_another_model(name: str, chat: Any, chats: Any) -> None:
    message = chat().invoke("Hello", **{name: "openai/gpt-oss-20b:groq"})
    assert message.response_metadata["model_name"] == chats()[0].model == "openai/gpt-oss-20b"


@pytest.mark.parametrize("name", ["models", "fallback_models"])
def test_a_call_may_name_fallback_models(name: str, chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.gone(), model="openai/gpt-oss-120b")
    message = chat(provider="groq").invoke("Hello", **{name: "openai/gpt-oss-20b"})
    assert message.response_metadata["model_name"] == "openai/gpt-oss-20b"


@pytest.mark.parametrize("provider", ["together", ["together"], {"only": ["together"]}])
def test_a_provider_may_be_named_in_every_way(provider: Any, chat: Any) -> None:
    assert chat(provider=provider).invoke("Hello").response_metadata["provider"] == "together"
    assert chat().invoke("Hello", provider=provider).response_metadata["provider"] == "together"


def test_a_call_may_bring_a_policy_as_object_or_as_json(chat: Any) -> None:
    model = chat(provider=None)
    for policy in (Policy(strategy="cheapest"), {"strategy": "cheapest"}):
        assert model.invoke("Hello", policy=policy).response_metadata["provider"] == "novita"


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (9, 4)])
def test_max_retries_is_attempts_less_one(retries: int, attempts: int, chat: Any, sim: Simulator, chats: Any) -> None:
    sim.fail("groq", Fault.cut_before_content(), times=9)
    sim.fail("novita", Fault.cut_before_content(), times=9)
    sim.fail("together", Fault.cut_before_content(), times=9)
    sim.fail("cerebras", Fault.cut_before_content(), times=9)
    with pytest.raises(HFRouterAPIError) as caught:
        chat(max_retries=retries).invoke("x")
    assert len(caught.value.attempts) == len(chats()) == attempts
    chats()
    with pytest.raises(HFRouterAPIError) as caught:
        chat().invoke("x", max_retries=retries)
    assert len(caught.value.attempts) == attempts


def test_session_and_bill_to_are_headers(chat: Any, chats: Any) -> None:
    model = chat(session="night-run", bill_to="acme")
    model.invoke("Hello")
    model.invoke("Hello", session="day-run")
    headers = [(e.headers["x-hf-session-id"], e.headers["x-hf-bill-to"]) for e in chats()]
    assert headers == [("night-run", "acme"), ("day-run", "acme")]


def test_routing_settings_are_no_part_of_the_body(chat: Any, chats: Any) -> None:
    settings = {"policy": {"idle": 5}, "session": "s", "timeout": 9, "max_retries": 1, "fallback_models": []}
    chat(**settings).invoke("Hello", stream_usage=False)
    assert set(chats()[0].body) == {"model", "messages", "max_tokens", "stream", "stream_options"}


def test_names_of_other_integrations_are_understood() -> None:
    model = ChatHFRouter(repo_id="a/b", huggingfacehub_api_token="hf_x", timeout=3, stop_sequences=["a"])
    assert (model.model, model.hf_token.get_secret_value()) == ("a/b", "hf_x")
    assert (model.request_timeout, model.stop) == (3, ["a"])
    by_field_name = ChatHFRouter(model_name="a/b", hf_token="hf_x", request_timeout=3, stop=["a"])
    assert by_field_name == model
    assert ChatHFRouter(model="a/b", token="hf_x", timeout=3, stop="a") == model


def test_the_token_of_the_environment_is_the_first_that_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", " ")
    assert ChatHFRouter(model="a/b").hf_token is None
    monkeypatch.setenv("HUGGINGFACEHUB_API_TOKEN", "hf_older")
    assert ChatHFRouter(model="a/b").hf_token.get_secret_value() == "hf_older"
    monkeypatch.setenv("HF_TOKEN", "hf_newer")
    assert ChatHFRouter(model="a/b").hf_token.get_secret_value() == "hf_newer"
    assert ChatHFRouter(model="a/b", api_key="hf_given").hf_token.get_secret_value() == "hf_given"


def test_an_unknown_argument_goes_to_the_request_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="did you mean 'temperature'") as caught:
        model = ChatHFRouter(model="a/b", temprature=0)
    assert model.model_kwargs == {"temprature": 0}
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["openai_api_key", "openai_api_base", "endpoint_url"])
def test_a_credential_or_an_address_is_never_sent_as_a_parameter(name: str) -> None:
    with pytest.raises(ValidationError, match="did you mean 'api_key'"):
        ChatHFRouter(model="a/b", **{name: "hf_secret"})


@pytest.mark.parametrize(
    "settings",
    [
        {"policy": {"attempts": 9}},
        {"policy": {"modles": []}},
        {"provider": {"onyl": ["groq"]}},
        {"provider": {"sort": "beauty"}},
        {"timeout": -1},
        {"max_retries": -1},
        {"n": 0},
    ],
)
def test_a_wrong_setting_is_said_when_the_model_is_made(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ChatHFRouter(model="a/b", **settings)


def test_a_wrong_setting_of_a_call_is_said_before_anything_is_sent(chat: Any, chats: Any) -> None:
    for settings in ({"policy": {"attempts": 9}}, {"provider": {"onyl": []}}, {"max_tokens": 0}):
        with pytest.raises(HFRouterConfigurationError):
            chat().invoke("x", **settings)
    assert chats() == []


def test_several_answers_have_usage_and_cost_once(chat: Any, sim: Simulator) -> None:
    (generations,) = chat(n=3).generate([[HumanMessage("Hello")]]).generations
    messages = [generation.message for generation in generations]
    assert len(messages) == 3
    assert [bool(message.usage_metadata) for message in messages] == [True, False, False]
    assert ["cost" in message.response_metadata for message in messages] == [True, False, False]
    assert all(message.response_metadata["finish_reason"] == "stop" for message in messages)
    assert messages[0].response_metadata["cost"] == float(sim.bill().total)


def test_models_share_a_router_that_is_given(router: Router) -> None:
    models = [ChatHFRouter(model=name, router=router) for name in ("openai/gpt-oss-120b", "openai/gpt-oss-20b")]
    answers = [model.invoke("Hello") for model in models]
    assert all(model.active_router is router for model in models)
    assert [entry.call for entry in router.entries()] == [a.response_metadata["call_id"] for a in answers]
    assert [answer.response_metadata["provider"] for answer in answers] == ["groq", "groq"]  # the router's policy
    assert models[0].policy == {"order": ["groq", "novita", "together", "cerebras"]}


def test_a_router_brings_its_own_token(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    assert ChatHFRouter(model="a/b", router=router).hf_token is None
    with pytest.raises(ValidationError, match="leave them out"):
        ChatHFRouter(model="a/b", router=router, api_key="hf_other")
    with pytest.raises(ValidationError, match="leave them out"):
        ChatHFRouter(model="a/b", router=router, base_url="https://example.org/v1")


def test_equal_settings_share_a_router_and_a_ledger_in_memory_is_ones_own(sim: Simulator) -> None:
    def made(**settings: Any) -> Router:
        return ChatHFRouter(model="a/b", base_url=sim.base_url, **{"api_key": sim.token, **settings}).active_router

    assert made(ledger="off") is made(ledger="off", temperature=1)
    assert made(ledger="off") is not made(ledger="off", api_key="hf_another")
    assert made(ledger="memory") is not made(ledger="memory")


def test_a_copy_with_another_account_goes_through_another_router(chat: Any, chats: Any) -> None:
    model = chat(ledger="off")
    model.invoke("Hello")
    copied = model.model_copy(update={"bill_to": "acme"})
    copied.invoke("Hello")
    assert [exchange.headers.get("x-hf-bill-to") for exchange in chats()] == [None, "acme"]
    assert model.model_copy(update={"temperature": 1}).active_router is model.active_router


class Weather(BaseModel):
    """The weather in a place."""

    city: str


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        (False, None),
        (True, "required"),
        ("any", "required"),
        ("required", "required"),
        ("auto", "auto"),
        ("none", "none"),
        ("multiply", {"type": "function", "function": {"name": "multiply"}}),
        (
            {"type": "function", "function": {"name": "Weather"}},
            {"type": "function", "function": {"name": "Weather"}},
        ),
    ],
)
def test_tool_choice_is_spelled_as_openai_spells_it(choice: Any, sent: Any, chat: Any, chats: Any) -> None:
    chat().bind_tools([multiply, Weather], tool_choice=choice, parallel_tool_calls=False).invoke("Hello")
    body = chats()[0].body
    assert body.get("tool_choice") == sent
    assert body["parallel_tool_calls"] is False
    assert [tool["function"]["name"] for tool in body["tools"]] == ["multiply", "Weather"]


def test_an_unknown_tool_choice_is_refused(chat: Any) -> None:
    with pytest.raises(ValueError, match="none of the tools"):
        chat().bind_tools([multiply], tool_choice="divide")


def test_strict_and_response_format_reach_the_request(chat: Any, chats: Any) -> None:
    chat().bind_tools([multiply], strict=True, response_format=Weather).invoke("What is 2 times 3?")
    body = chats()[0].body
    assert body["tools"][0]["function"]["strict"] is True
    assert body["response_format"]["json_schema"]["name"] == "Weather"
    assert body["response_format"]["json_schema"]["strict"] is True


def test_a_schema_with_a_title_in_words_gets_a_name_that_is_allowed(chat: Any, chats: Any) -> None:
    schema = {"title": "The city, please!", "type": "object", "properties": {"city": {"type": "string"}}}
    chat().with_structured_output(schema).invoke("I live in Paris.")
    assert chats()[0].body["response_format"]["json_schema"]["name"] == "The_city_please_"


@pytest.mark.parametrize(
    "ready",
    [
        {"type": "json_schema", "json_schema": {"name": "Weather", "schema": Weather.model_json_schema()}},
        {"name": "Weather", "schema": Weather.model_json_schema()},
    ],
    ids=["response_format", "its json_schema"],
)
def test_a_response_format_that_is_ready_is_left_as_it_is(ready: dict[str, Any], chat: Any, chats: Any) -> None:
    chat().bind_tools([], response_format=ready).invoke("I live in Paris.")
    assert chats()[0].body["response_format"]["json_schema"] == ready.get("json_schema", ready)


def test_json_mode_needs_no_schema(chat: Any, chats: Any) -> None:
    answer = chat().with_structured_output(None, method="json_mode").invoke("Ada is 36. JSON with the key age.")
    assert isinstance(answer, dict)
    assert chats()[0].body["response_format"] == {"type": "json_object"}


def test_structured_output_needs_a_known_method_and_a_schema(chat: Any) -> None:
    with pytest.raises(ValueError, match="not known"):
        chat().with_structured_output(Weather, method="magic")
    with pytest.raises(ValueError, match="needs a schema"):
        chat().with_structured_output(None)


def test_include_raw_gives_an_unreadable_answer_back(chat: Any, sim: Simulator) -> None:
    answer = {"role": "assistant", "content": "no JSON at all"}
    body = {"choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]}
    sim.fail("groq", Fault.status(200, body=body))
    found = chat().with_structured_output(Weather, include_raw=True).invoke("I live in Paris.")
    assert found["parsed"] is None
    assert found["parsing_error"] is not None
    assert found["raw"].text == "no JSON at all"


def test_runnables_of_langchain_keep_the_methods_they_can(chat: Any) -> None:
    several = chat(provider="groq").with_fallbacks([chat(provider="novita")])
    assert several.bind_tools([multiply]).invoke("What is 2 times 3?").tool_calls
    assert several.with_structured_output(Weather).invoke("I live in Paris.") == Weather(city="Paris")
    assert chat().bind_tools([multiply]).with_retry().invoke("What is 2 times 3?").tool_calls


def test_an_outer_fallback_takes_over_when_ours_is_at_its_end(chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.status(503), times=9)
    both = chat(provider="groq", max_retries=0).with_fallbacks([chat(provider="novita")])
    assert both.invoke("Hello").response_metadata["provider"] == "novita"
    assert [chunk.response_metadata.get("provider") for chunk in both.stream("Hello")][-1] == "novita"


def test_configurable_fields_make_a_model_that_works(chat: Any) -> None:
    from langchain_core.runnables import ConfigurableField

    model = chat().configurable_fields(model_name=ConfigurableField(id="which"))
    message = model.with_config(configurable={"which": "openai/gpt-oss-20b:groq"}).invoke("Hello")
    assert message.response_metadata["model_name"] == "openai/gpt-oss-20b"
