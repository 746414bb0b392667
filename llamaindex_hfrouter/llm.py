"""`HFRouter`: a LlamaIndex LLM that routes, falls back and accounts inside."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index_instrumentation.dispatcher import active_instrument_tags

from hfrouter import ConfigurationError
from hfrouter.adapting import attributed
from llamaindex_hfrouter import convert, settings, streams
from llamaindex_hfrouter.configured import PARAMETERS, ROUTING, ConfiguredLLM
from llamaindex_hfrouter.events import Report
from llamaindex_hfrouter.tools import choice_of, first_call_only, openai_tools, selections

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.prompts import BasePromptTemplate
    from llama_index.core.tools.types import BaseTool
    from llama_index.core.types import BaseOutputParser, PydanticProgramMode
    from pydantic import SecretStr

    from hfrouter import Policy, Router

Names = Mapping[str, str]


class HFRouter(ConfiguredLLM):
    """Chat models of the Hugging Face Hub through Inference Providers, with routing, fallback and cost inside.

    Each call picks a provider for the model, moves on to the next one when it fails, and reports who answered and what
    it cost. It stays one function-calling LLM all the while: agents, tools, structured output, streaming, chat engines
    and query engines work as ever. One object serves any number of threads and event loops.

    Examples:
        `pip install "hfrouter[llamaindex]"`, and `export HF_TOKEN="hf_..."`.

        ```python
        from llama_index.core import Settings
        from llamaindex_hfrouter import HFRouter

        llm = HFRouter(
            model="openai/gpt-oss-120b",
            fallback_models=["meta-llama/Llama-3.3-70B-Instruct"],
            provider={"ignore": ["novita"], "sort": "price", "max_price": 1},
            timeout=30,
        )
        Settings.llm = llm

        response = llm.complete("The capital of France?")
        response.text  # 'Paris'
        response.additional_kwargs["provider"]  # 'groq': who answered
        response.additional_kwargs["cost"]  # 7.65e-06: USD; not there unless it is known exactly
        [a["outcome"] for a in response.additional_kwargs["attempts"]]  # ['rate_limited', 'ok']

        llm.active_router.entries()  # the ledger: a row for each attempt
        ```

    Every argument is described in `HFRouter.model_fields`; a misspelled one is an error that names the nearest. What is
    None is not sent. Each parameter of the request and of the routing may be given to a single call as well.

    Errors are hfrouter's own, whatever the endpoint: see `hfrouter.errors`. A stream that cannot be opened raises when
    it is asked for; one that breaks after its first content raises `hfrouter.StreamInterrupted` while it is read.
    """

    if TYPE_CHECKING:  # what `ConfiguredLLM` takes, for editors and type checkers

        def __init__(
            self,
            model: str,
            *,
            temperature: float | None = None,
            max_tokens: int | None = None,
            top_p: float | None = None,
            seed: int | None = None,
            stop: str | Sequence[str] | None = None,
            additional_kwargs: Mapping[str, Any] | None = None,
            fallback_models: str | Sequence[str] | None = None,
            provider: str | Sequence[str] | Mapping[str, Any] | None = None,
            policy: Policy | Mapping[str, Any] | None = None,
            session: str | None = None,
            timeout: float | None = None,
            max_retries: int | None = None,
            context_window: int | None = None,
            num_output: int | None = None,
            is_function_calling_model: bool | None = None,
            replay_reasoning: bool = False,
            promote_reasoning: bool = True,
            token: str | SecretStr | None = None,
            api_key: str | SecretStr | None = None,
            base_url: str | None = None,
            api_base: str | None = None,
            bill_to: str | None = None,
            ledger: str | os.PathLike[str] | None = None,
            router: Router | None = None,
            callback_manager: CallbackManager | None = None,
            rate_limiter: Any = None,
            system_prompt: str | None = None,
            messages_to_prompt: Callable[[Sequence[ChatMessage]], str] | None = None,
            completion_to_prompt: Callable[[str], str] | None = None,
            output_parser: BaseOutputParser | None = None,
            pydantic_program_mode: PydanticProgramMode = ...,
            query_wrapper_prompt: BasePromptTemplate | None = None,
        ) -> None: ...

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised form, by which `load_llm` finds the class."""
        return "HFRouter"

    def _call(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], Names]:
        """The arguments of `Router.chat`, the call's before the LLM's, and the names of the tools on offer."""
        given = dict(kwargs)
        names: Names = given.pop("tool_names", None) or {}
        said = {name: getattr(self, name) for name in ("model", *PARAMETERS, *ROUTING)}
        said["models"] = self.fallback_models
        call = settings.merged(settings.merged(said, self.additional_kwargs), given)
        call = attributed(call, active_instrument_tags.get())
        sent = convert.openai_messages(messages, names, reasoning=self.replay_reasoning)
        return settings.routed(call, self.active_router.policy) | {"messages": sent}, names

    # -- calls: undecorated, since a decorated endpoint inside another one would be counted twice ----------------------

    def _chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponse:
        report = Report(self.model, streamed=False)
        try:
            call, names = self._call(messages, kwargs)
            completion = self.active_router.chat(**call)
        except BaseException as error:
            report.failed(error)
            raise
        report.answered(completion)
        return self._answer(names).end(completion, streamed=False)

    async def _achat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponse:
        report = Report(self.model, streamed=False)
        try:
            call, names = self._call(messages, kwargs)
            completion = await self.active_router.achat(**call)
        except BaseException as error:
            report.failed(error)
            raise
        report.answered(completion)
        return self._answer(names).end(completion, streamed=False)

    def _stream(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponseGen:
        """Opened at once: what goes wrong before the first content is raised here, not at the first `next()`."""
        report = Report(self.model, streamed=True)
        try:
            call, names = self._stream_call(messages, kwargs)
            stream = self.active_router.stream(**call)
        except BaseException as error:
            report.failed(error)
            raise
        return streams.responses(stream, self._answer(names), report)

    async def _astream(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponseAsyncGen:
        report = Report(self.model, streamed=True)
        try:
            call, names = self._stream_call(messages, kwargs)
            stream = await self.active_router.astream(**call)
        except BaseException as error:
            report.failed(error)
            raise
        return streams.aresponses(stream, self._answer(names), report)

    def _stream_call(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], Names]:
        call, names = self._call(messages, kwargs)
        if (call.get("n") or 1) > 1:
            raise ConfigurationError("a stream carries one answer; ask for n > 1 with chat, or leave it out.")
        return call, names

    def _answer(self, names: Names) -> convert.Answer:
        return convert.Answer(names, promote=self.promote_reasoning)

    def _prompted(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        text = prompt if formatted or self.completion_to_prompt is None else self.completion_to_prompt(prompt)
        return [ChatMessage(role=MessageRole.USER, content=text)]

    # -- the eight endpoints -------------------------------------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Ask for a whole answer.

        Args:
            messages: The conversation so far.
            **kwargs: Parameters of the request, or any field of the routing, for this call alone.
        """
        return self._chat(messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The asynchronous twin of `chat`."""
        return await self._achat(messages, kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Ask for a whole answer to one text."""
        return convert.completion_response(self._chat(self._prompted(prompt, formatted), kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The asynchronous twin of `complete`."""
        return convert.completion_response(await self._achat(self._prompted(prompt, formatted), kwargs))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Ask for an answer piece by piece; each response holds all that has come, the last one usage and cost too."""
        with streams.noted() as opened:
            return streams.closing(self._shown_stream_chat(messages, **kwargs), opened)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """The asynchronous twin of `stream_chat`: `async for response in await llm.astream_chat(...)`."""
        with streams.noted() as opened:
            return streams.aclosing(await self._shown_astream_chat(messages, **kwargs), opened)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Ask for an answer to one text piece by piece."""
        with streams.noted() as opened:
            return streams.closing(self._shown_stream_complete(prompt, formatted, **kwargs), opened)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """The asynchronous twin of `stream_complete`."""
        with streams.noted() as opened:
            return streams.aclosing(await self._shown_astream_complete(prompt, formatted, **kwargs), opened)

    # The streams as LlamaIndex's callbacks and events see them.

    @llm_chat_callback()
    def _shown_stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._stream(messages, kwargs)

    @llm_chat_callback()
    async def _shown_astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        return await self._astream(messages, kwargs)

    @llm_completion_callback()
    def _shown_stream_complete(self, prompt: str, formatted: bool, **kwargs: Any) -> CompletionResponseGen:
        responses = self._stream(self._prompted(prompt, formatted), kwargs)
        return (convert.completion_response(response) for response in responses)

    @llm_completion_callback()
    async def _shown_astream_complete(self, prompt: str, formatted: bool, **kwargs: Any) -> CompletionResponseAsyncGen:
        responses = await self._astream(self._prompted(prompt, formatted), kwargs)
        return (convert.completion_response(response) async for response in responses)

    # -- tools ---------------------------------------------------------------------------------------------------------

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments of a chat that may call tools; `chat_history` is left as it is."""
        messages = list(chat_history or ())
        if user_msg is not None:
            asked = ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
            messages.append(asked)
        if not tools:
            return {"messages": messages, **kwargs}
        specs, names = openai_tools(tools)
        return {
            "messages": messages,
            "tools": specs,
            "tool_names": names,
            "tool_choice": choice_of(tool_choice, names, required=tool_required),
            # True is every provider's default, and not every one knows the word.
            "parallel_tool_calls": None if allow_parallel_tool_calls else False,
            **kwargs,
        }

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Keep the first call where only one was allowed."""
        return response if allow_parallel_tool_calls else first_call_only(response)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls of a response, whole or as far as a stream has come.

        Raises:
            ValueError: when there is none, unless `error_on_no_tool_call` is false.
        """
        calls = selections(response)
        if not calls and error_on_no_tool_call:
            raise ValueError("the answer calls no tool, though at least one call was expected.")
        return calls


def _register() -> None:
    """Let `load_llm` find the class, unless that would load LlamaIndex's OpenAI package and with it the SDK."""
    loading = "llama_index.core.llms.loading"
    if loading in sys.modules or importlib.util.find_spec("llama_index.llms") is None:
        registry: dict[str, type[LLM]] = importlib.import_module(loading).RECOGNIZED_LLMS
        registry[HFRouter.class_name()] = HFRouter


_register()
