"""Answers of a given shape: how they are asked for, and how they are read, whole or half."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, Generic, Literal

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError

from llamaindex_hfrouter import facts, tools

dispatcher = get_dispatcher(__name__)
Way = Literal["schema", "tool"]
# What asking for a shape decides for itself.
_DECIDED = ("tool_choice", "tool_required", "allow_parallel_tool_calls")


def way(mode: PydanticProgramMode, *, schema: bool, by_call: bool) -> Way | None:
    """How to ask for a shape: by the provider's own JSON schema, by a forced tool call, or None for LlamaIndex's way.

    >>> way(PydanticProgramMode.DEFAULT, schema=False, by_call=True)
    'tool'
    """
    if mode == PydanticProgramMode.DEFAULT and schema:
        return "schema"
    by_tool = mode == PydanticProgramMode.FUNCTION or (mode == PydanticProgramMode.DEFAULT and by_call)
    return "tool" if by_tool else None


def request(output_cls: type[BaseModel], how: Way, llm_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters of a chat that asks for a shape; `llm_kwargs` are left as they are."""
    given = {name: value for name, value in (llm_kwargs or {}).items() if name not in _DECIDED}
    if how == "schema":
        schema = output_cls.model_json_schema()
        named = {"name": tools.wire_name(output_cls.__name__), "schema": schema}
        return given | {"response_format": {"type": "json_schema", "json_schema": named}}
    specs, names = tools.openai_tools([get_function_tool(output_cls)])
    # Not its name: with one tool on offer "required" means the same, and more providers know it.
    return given | {"tools": specs, "tool_names": names, "tool_choice": "required", "parallel_tool_calls": False}


def read(response: ChatResponse, output_cls: type[Model]) -> Model:
    """The object an answer spells.

    Raises:
        ValueError: when it spells none; a `ValidationError` says where it differs from the shape.
    """
    text = _json_text(response)
    try:
        return output_cls.model_validate_json(text)
    except ValidationError as error:
        try:
            # Some models wrap JSON in prose or a fence, whatever they were asked for.
            found: Model = PydanticOutputParser(output_cls=output_cls).parse(text)
        except ValueError:
            raise error from None
        return found


def _json_text(response: ChatResponse) -> str:
    """The JSON of an answer: the arguments of its first tool call, else its text."""
    calls = response.message.additional_kwargs.get("tool_calls")
    text: str = calls[0]["function"]["arguments"] if calls else response.message.content or ""
    return text


class Growing(Generic[Model]):
    """Reads the same answer again and again while it grows."""

    def __init__(self, output_cls: type[Model]) -> None:
        self._whole = output_cls
        self._partial: type[FlexibleModel] | None = None
        self._values: dict[str, Any] | None = None
        self.last: Model | FlexibleModel | None = None

    def look(self, response: ChatResponse) -> Model | FlexibleModel | None:
        """The object as far as it has come; None when nothing has been added to it.

        While fields are missing it is a model in which all of them are optional, as LlamaIndex's own programs give.
        """
        values = tools.arguments(_json_text(response))
        if values == self._values:
            return None
        self._values = values
        try:
            self.last = self._whole.model_validate(values)
        except ValidationError:
            self._partial = self._partial or create_flexible_model(self._whole)
            self.last = self._partial.model_validate(values)
        return self.last

    def end(self, response: ChatResponse) -> Model | None:
        """The whole object, or None when it was the last one already.

        Raises:
            ValueError: when the answer is no such object.
        """
        found = read(response, self._whole)
        return None if found == self.last else found


class ShapedLLM(FunctionCallingLLM):
    """The four ways to ask an LLM for an object, on top of its chats.

    LlamaIndex's own programs stay in charge of the modes they are named for. Against them: system prompts count in
    asynchronous calls too, streams force the call, generic classes work, and a wrong object at the end is an error.
    """

    @abstractmethod
    def _shape_support(self, patience: float) -> tuple[bool, bool] | None:
        """Whether JSON schemas and tool calls can be used; None when that is not known within `patience` seconds."""

    def _asked(
        self, output_cls: type[BaseModel], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None, values: Any
    ) -> tuple[list[ChatMessage], dict[str, Any]] | None:
        """Messages and parameters of a chat that asks for a shape; None to leave it to LlamaIndex's programs."""
        schema, by_call = self._shape_support(facts.PATIENCE) or (False, True)
        how = way(self.pydantic_program_mode, schema=schema, by_call=by_call)
        if how is None:
            return None
        messages = self._extend_messages(prompt.format_messages(llm=self, **values))
        return messages, request(output_cls, how, llm_kwargs)

    async def _aasked(
        self, output_cls: type[BaseModel], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None, values: Any
    ) -> tuple[list[ChatMessage], dict[str, Any]] | None:
        if self._shape_support(0) is None:
            await asyncio.to_thread(self._shape_support, facts.PATIENCE)  # waits for the catalogue, off the loop
        return self._asked(output_cls, prompt, llm_kwargs, values)

    @dispatcher.span
    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Ask for an object: by the provider's JSON schema where the catalogue says so, else by a forced tool call.

        Raises:
            ValueError: when the answer is no such object.
        """
        asked = self._asked(output_cls, prompt, llm_kwargs, prompt_args)
        if asked is None:
            by_program: Model = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return by_program
        _begun(output_cls, prompt, prompt_args)
        found = read(self.chat(asked[0], **asked[1]), output_cls)
        dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    @dispatcher.span
    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """The asynchronous twin of `structured_predict`."""
        asked = await self._aasked(output_cls, prompt, llm_kwargs, prompt_args)
        if asked is None:
            by_program: Model = await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return by_program
        _begun(output_cls, prompt, prompt_args)
        found = read(await self.achat(asked[0], **asked[1]), output_cls)
        dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None, None]:
        asked = self._asked(output_cls, prompt, llm_kwargs, prompt_args)
        if asked is None:
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        growing = Growing(output_cls)
        for response in self.stream_chat(asked[0], **asked[1]):
            if (found := growing.look(response)) is not None:
                yield found
        if (whole := growing.end(response)) is not None:
            yield whole

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None]:
        asked = await self._aasked(output_cls, prompt, llm_kwargs, prompt_args)
        if asked is None:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        responses = await self.astream_chat(asked[0], **asked[1])

        async def grow() -> AsyncGenerator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None]:
            growing = Growing(output_cls)
            async for response in responses:
                if (found := growing.look(response)) is not None:
                    yield found
            if (whole := growing.end(response)) is not None:
                yield whole

        return grow()


def _begun(output_cls: type[BaseModel], prompt: PromptTemplate, values: dict[str, Any]) -> None:
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=values))
