"""Objects: by JSON schema where the catalogue says so, else by a forced tool call, whole or growing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from itertools import pairwise
from typing import Any, Generic, TypeVar

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

from hfrouter.simulator import Simulator

# Served by novita alone: with tools, without structured output.
NO_SCHEMA = {"model": "Qwen/Qwen3-Coder-480B-A35B-Instruct", "provider": "novita"}
NEITHER = {**NO_SCHEMA, "is_function_calling_model": False}
WHO = "{who} is 36 years old."
T = TypeVar("T")
# LlamaIndex's StructuredLLM serialises by a method that pydantic deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The `json` method:pydantic.warnings.PydanticDeprecationWarning")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


class Box(BaseModel, Generic[T]):
    """A box with a value."""

    value: T


ADA = Person(name="Ada Lovelace", age=36)


async def _grown(llm: Any, **more: Any) -> list[Any]:
    return [
        each
        async for each in await llm.astream_structured_predict(Person, PromptTemplate(WHO), who="Ada Lovelace", **more)
    ]


WAYS = {
    "predict": lambda llm, **more: llm.structured_predict(Person, PromptTemplate(WHO), who="Ada Lovelace", **more),
    "apredict": lambda llm, **more: asyncio.run(
        llm.astructured_predict(Person, PromptTemplate(WHO), who="Ada Lovelace", **more)
    ),
    "stream": lambda llm, **more: list(
        llm.stream_structured_predict(Person, PromptTemplate(WHO), who="Ada Lovelace", **more)
    )[-1],
    "astream": lambda llm, **more: asyncio.run(_grown(llm, **more))[-1],
}
each_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


@each_way
def test_by_schema_where_the_catalogue_says_so(ask: Any, make: Any, sent: Any) -> None:
    assert ask(make()) == ADA
    body = sent()
    assert body["response_format"]["json_schema"]["schema"] == Person.model_json_schema()
    assert not {"tools", "tool_choice"} & set(body)


@each_way
def test_by_a_forced_tool_call_where_it_does_not(ask: Any, make: Any, sent: Any) -> None:
    assert ask(make(**NO_SCHEMA)) == ADA
    body = sent()
    assert body["tool_choice"] == "required"
    assert "response_format" not in body


@each_way
def test_the_mode_of_the_program_decides(ask: Any, make: Any, sent: Any) -> None:
    assert ask(make(pydantic_program_mode=PydanticProgramMode.FUNCTION)) == ADA
    assert sent()["tool_choice"] == "required"


@pytest.mark.parametrize("ask", [WAYS["predict"], WAYS["apredict"]])
@pytest.mark.parametrize("settings", [NEITHER, {"pydantic_program_mode": PydanticProgramMode.LLM}])
def test_by_text_where_nothing_else_can_be_had(ask: Any, settings: Any, make: Any, sent: Any) -> None:
    with contextlib.suppress(ValueError):  # LlamaIndex doubles the braces of the schema, which confuses the simulator
        ask(make(**settings))
    body = sent()
    assert "JSON schema" in body["messages"][-1]["content"]
    assert not {"tools", "tool_choice", "response_format"} & set(body)


@each_way
@pytest.mark.parametrize("settings", [{}, NO_SCHEMA], ids=["schema", "tool"])
def test_the_system_prompt_counts_once_everywhere(ask: Any, settings: Any, make: Any, sent: Any) -> None:
    ask(make(system_prompt="Be exact.", **settings))
    assert [message["role"] for message in sent()["messages"]] == ["system", "user"]


def test_the_system_prompt_is_for_prompts_and_not_for_chats(make: Any, sent: Any) -> None:
    llm = make(system_prompt="Be exact.")
    llm.predict(PromptTemplate(WHO), who="Ada")
    assert [message["role"] for message in sent()["messages"]] == ["system", "user"]
    llm.chat([ChatMessage("Hello")])
    assert [message["role"] for message in sent()["messages"]] == ["user"]


@each_way
@pytest.mark.parametrize("settings", [{}, NO_SCHEMA], ids=["schema", "tool"])
def test_arguments_for_the_call_are_used_and_left_as_they_are(ask: Any, settings: Any, make: Any, sent: Any) -> None:
    given = {"temperature": 0.1, "tool_choice": "auto", "tool_required": False}
    ask(make(**settings), llm_kwargs=given)
    assert given == {"temperature": 0.1, "tool_choice": "auto", "tool_required": False}
    assert sent()["temperature"] == 0.1


@pytest.mark.parametrize("settings", [{}, NO_SCHEMA], ids=["schema", "tool"])
def test_an_object_grows_and_no_step_is_told_twice(settings: Any, make: Any) -> None:
    llm = make(**settings)
    for found in (
        list(llm.stream_structured_predict(Person, PromptTemplate(WHO), who="Ada Lovelace")),
        asyncio.run(_grown(llm)),
    ):
        assert found[-1] == ADA
        assert all(before != after for before, after in pairwise(found))
    assert len(found) > (2 if settings == {} else 0)


@pytest.mark.parametrize("settings", [{}, NO_SCHEMA], ids=["schema", "tool"])
def test_a_generic_class_is_a_class_like_any_other(settings: Any, make: Any) -> None:
    llm = make(**settings)
    asked = PromptTemplate("The value is 7.")
    assert llm.structured_predict(Box[int], asked).value == 7
    assert list(llm.stream_structured_predict(Box[int], asked))[-1].value == 7


@each_way
def test_a_call_counts_once(ask: Any, make: Any, events: Any, calls: Any) -> None:
    ask(make())
    kinds = Counter(type(event).__name__ for event in events)
    assert kinds["LLMChatStartEvent"] == kinds["LLMChatEndEvent"] == 1
    assert kinds["LLMStructuredPredictStartEvent"] == kinds["LLMStructuredPredictEndEvent"] == 1
    assert len(calls()) == 1


@each_way
def test_a_wrong_object_is_an_error_and_no_half_object(ask: Any, make: Any) -> None:
    with pytest.raises(ValidationError):
        ask(make(max_tokens=16))


def test_json_in_prose_is_found(make: Any) -> None:
    from llama_index.core.base.llms.types import ChatResponse

    from llamaindex_hfrouter import structured

    text = 'Here it is:\n```json\n{"name": "Ada Lovelace", "age": 36}\n```'
    assert structured.read(ChatResponse(message=ChatMessage(role="assistant", content=text)), Person) == ADA


async def test_as_a_structured_llm(llm: Any) -> None:
    shaped = llm.as_structured_llm(Person)
    asked = [ChatMessage("Ada Lovelace is 36 years old.")]
    assert shaped.chat(asked).raw == ADA
    assert (await shaped.achat(asked)).raw == ADA
    assert list(shaped.stream_chat(asked))[-1].raw == ADA
    assert [each async for each in await shaped.astream_chat(asked)][-1].raw == ADA


def test_a_failing_provider_is_not_noticed(make: Any, sim: Simulator) -> None:
    from hfrouter.simulator import Fault

    sim.fail("groq", Fault.rate_limited(), times=None)
    assert WAYS["predict"](make()) == ADA
    assert WAYS["stream"](make()) == ADA
