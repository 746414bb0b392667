"""`ChatHFRouter`: a LangChain chat model that routes, falls back and accounts inside."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun, Callbacks
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langchain_core.utils import get_pydantic_field_names
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from hfrouter import ConfigurationError, Policy, Router, __version__, tags
from hfrouter.adapting import (
    TAGS,
    Account,
    Names,
    Own,
    PlainProvider,
    attributed,
    carried_tags,
    plain_policy,
    routed_call,
    router_of,
    sharing,
    veiled,
)
from langchain_hfrouter import convert, settings, structured
from langchain_hfrouter.errors import model_errors

_PARAMETERS = (
    "temperature",
    "max_tokens",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "n",
    "reasoning_effort",
)


def _token_from_environment(data: dict[str, Any]) -> SecretStr | None:
    """The user's own token is for Hugging Face only: a router or a base URL that was given brings its own."""
    if data.get("router") is not None or data.get("hf_base_url") is not None:
        return None
    found = (os.environ.get(name, "").strip() for name in ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN"))
    return next((SecretStr(token) for token in found if token), None)


class ChatHFRouter(BaseChatModel):
    """Chat models of the Hugging Face Hub through Inference Providers, with routing, fallback and cost inside.

    Each call picks a provider for the model, moves on to the next one when it fails, and reports who answered and what
    it cost. It stays one chat model all the while: tools, structured output and streaming work as ever.

    Setup:
        Install `hfrouter[langchain]` and set a token that may make calls to Inference Providers.

        ```bash
        pip install "hfrouter[langchain]"
        export HF_TOKEN="hf_..."
        ```

    Key init args, the answer:
        model: Hub repo id such as `openai/gpt-oss-120b`, with an optional `:provider`, `:fastest` or `:cheapest`.
        temperature, max_tokens, top_p, seed, stop, n, frequency_penalty, presence_penalty, logprobs, top_logprobs,
        reasoning_effort: As in OpenAI's chat requests; what is None is not sent.
        model_kwargs, extra_body: Further parameters of the request.
        streaming: Whether `invoke` streams underneath. `stream_usage`: whether streams report tokens; on by default.

    Key init args, the routing (plain JSON, part of dumps and cache keys; each may be given per call as well):
        fallback_models: Models to use, in order, when no provider of `model` answers.
        provider: `order`, `only`, `ignore`, `sort` (`price`, `throughput`, `latency`) and `max_price` (USD per million
            tokens); or just the name of a provider.
        policy: Any field of `hfrouter.Policy`, or one.
        timeout: Seconds to the answer, all attempts together; for a stream, to its first content.
        max_retries: Attempts beyond the first, 3 at most.
        session: Groups calls on Hugging Face's bill.

    Key init args, the account:
        api_key: Hugging Face token; without it `HF_TOKEN`, then `HUGGINGFACEHUB_API_TOKEN`.
        base_url: Another OpenAI-compatible router; it needs its own `api_key`.
        bill_to: Organisation to bill.
        ledger: Where attempts are recorded: a path, `"memory"` or `"off"`.
        router: A ready `hfrouter.Router`, to share one between models, instead of the four above.

    Instantiate:
        ```python
        from langchain_hfrouter import ChatHFRouter

        model = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0)
        ```

    Invoke:
        ```python
        message = model.invoke([("system", "Answer in one word."), ("human", "The capital of France?")])
        message.content  # 'Paris'
        message.usage_metadata  # {'input_tokens': 24, 'output_tokens': 12, 'total_tokens': 36}
        ```

    Stream:
        ```python
        for chunk in model.stream("Count from 1 to 5."):
            print(chunk.text, end="")
        ```

        A stream that breaks after its first content raises `HFRouterStreamError`; what came is in its `partial`.

    Async:
        ```python
        message = await model.ainvoke("Hello")
        async for chunk in model.astream("Hello"):
            ...
        ```

    Tools:
        ```python
        def add(a: int, b: int) -> int:
            '''Add two numbers.'''
            return a + b


        model.bind_tools([add]).invoke("What is 2 + 3?").tool_calls
        # [{'name': 'add', 'args': {'a': 2, 'b': 3}, 'id': 'call_...', 'type': 'tool_call'}]
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class Person(BaseModel):
            name: str
            age: int


        model.with_structured_output(Person).invoke("Ada is 36 years old.")  # Person(name='Ada', age=36)
        ```

        `create_agent` uses it too for a model with `profile={"structured_output": True}`, and tool calls otherwise.

    Reasoning:
        Where the provider shows it, in `message.additional_kwargs["reasoning_content"]`, and as a `reasoning` block of
        `message.content_blocks`.

    Routing and fallback:
        ```python
        model = ChatHFRouter(
            model="openai/gpt-oss-120b",
            fallback_models=["meta-llama/Llama-3.3-70B-Instruct"],
            provider={"ignore": ["novita"], "sort": "price", "max_price": 1},
            timeout=30,
        )
        message = model.invoke("Hello")
        message.response_metadata["model_name"]  # what answered: 'openai/gpt-oss-120b'
        message.response_metadata["provider"]  # who served it: 'groq'
        [(a["provider"], a["outcome"]) for a in message.response_metadata["attempts"]]
        # [('together', 'rate_limited'), ('groq', 'ok')]

        model.invoke("Hello", provider="cerebras", timeout=5)  # for this call only
        ```

        When every attempt has failed, the error is hfrouter's and LangChain's at once (`langchain_hfrouter.errors`).

    Cost:
        ```python
        message.response_metadata["cost"]  # 7.65e-06: USD of the answer; not there unless it is known exactly
        message.response_metadata["cost_details"]["total_usd"]  # '0.00000765': with failed attempts, to the last digit
        model.active_router.entries()  # the ledger: a row for each attempt
        ```

    Attribution:
        Tags go by `hfrouter.tags`, or by the config of any chain, and are written into the ledger's rows.

        ```python
        with model.active_router.track(feature="search") as spent:
            model.invoke("Hello", {"metadata": {"hfrouter_tags": {"user": "ann"}}})
        str(spent)  # '1 call, 1 attempt, $0.00000765'
        model.active_router.spending(by="user")  # from the ledger, whatever came of the process
        ```
    """

    router: Router | None = Field(default=None, exclude=True, repr=False)
    hf_base_url: str | None = Field(default=None, alias="base_url")
    hf_token: SecretStr | None = Field(alias="api_key", default_factory=_token_from_environment)
    bill_to: str | None = Field(default=None, repr=False)
    ledger: settings.PathText = None

    model_name: str = Field(alias="model")
    fallback_models: Names = None
    provider: PlainProvider = None
    policy: settings.PlainPolicy = None
    session: str | None = None
    request_timeout: float | None = Field(default=None, alias="timeout")
    max_retries: int | None = Field(default=None, ge=0)

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Names = Field(default=None, alias="stop_sequences")
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = Field(default=None, ge=1)
    reasoning_effort: str | None = None
    streaming: bool = False
    stream_usage: bool = True
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    extra_body: dict[str, Any] | None = None

    model_config = ConfigDict(populate_by_name=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    _own: Own = PrivateAttr(default=None)

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **given: Any) -> None:
            """See the fields."""
            super().__init__(**veiled(given))

    @model_validator(mode="before")
    @classmethod
    def _sort_arguments(cls, values: Any) -> Any:
        """Accept the names of other integrations, and keep arguments that are no field for the request."""
        return settings.sorted_arguments(values, get_pydantic_field_names(cls)) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        if self.streaming and (self.n or 1) > 1:
            raise ValueError("a stream carries one answer; leave out n or streaming.")
        Policy().for_request(models=self.fallback_models, provider=self.provider, timeout=self.request_timeout)
        if self.router is not None:
            strange = self.hf_base_url not in (None, self.router.base_url)
            if strange or self.hf_token or self.bill_to or self.ledger:
                raise ValueError("a router brings its own api_key, base_url, bill_to and ledger; leave them out.")
            # What can be said in JSON is said, so that two routers make two cache keys and a dump finds its way.
            self.hf_base_url = self.router.base_url
            if self.policy is None:
                self.policy = plain_policy(self.router.policy) or None
        return self

    @model_validator(mode="after")
    def _set_hfrouter_version(self) -> Self:
        self._add_version("hfrouter", __version__)
        return self

    # -- identity ------------------------------------------------------------------------------------------------------

    @property
    def model(self) -> str:
        """The model that is asked first: a Hub repo id, with an optional `:provider`."""
        return self.model_name

    @property
    def _llm_type(self) -> str:
        return "hfrouter-chat"

    @property
    def _settings(self) -> dict[str, Any]:
        """What the model says in each call, under the names of `Router.chat`."""
        said: dict[str, Any] = {
            "model": self.model_name,
            "models": self.fallback_models,
            "provider": self.provider,
            "policy": self.policy,
            "session": self.session,
            "timeout": self.request_timeout,
            "max_retries": self.max_retries,
            "stop": self.stop or None,
            **{name: getattr(self, name) for name in _PARAMETERS},
            **self.model_kwargs,
            **(self.extra_body or {}),
        }
        return {name: value for name, value in said.items() if value is not None}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, **self._settings} | ({"bill_to": self.bill_to} if self.bill_to else {})

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        call = settings.merged(self._settings, kwargs)
        params = LangSmithParams(ls_provider=convert.PROVIDER, ls_model_type="chat", ls_model_name=call["model"])
        if (temperature := call.get("temperature")) is not None:
            params["ls_temperature"] = temperature
        if (max_tokens := call.get("max_tokens")) is not None:
            params["ls_max_tokens"] = max_tokens
        if stops := stop or call.get("stop"):
            params["ls_stop"] = [stops] if isinstance(stops, str) else list(stops)
        return params

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The field that is a secret, and the environment variable a load finds it in."""
        return {"hf_token": "HF_TOKEN"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Dumps hold the settings and no secret; load them with `allowed_objects=[ChatHFRouter]`."""
        return True

    def __getstate__(self) -> dict[Any, Any]:
        """Pickles hold neither token nor router: the other side looks up its own."""
        state = super().__getstate__()
        fields = state["__dict__"] | {"hf_token": None, "router": None}
        given = state["__pydantic_fields_set__"] - {"hf_token", "router"}
        private = state["__pydantic_private__"] | {"_own": None}
        return state | {"__dict__": fields, "__pydantic_fields_set__": given, "__pydantic_private__": private}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy goes through the same router: its ledger is one."""
        return super().__deepcopy__(sharing(memo, self.router, self._own))

    # -- tokens --------------------------------------------------------------------------------------------------------

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids by `custom_get_token_ids`, the only way: each model of the Hub has its own tokenizer.

        Raises:
            NotImplementedError: when there is no `custom_get_token_ids`.
        """
        if self.custom_get_token_ids is None:
            raise NotImplementedError("token ids need the model's own tokenizer; give it as custom_get_token_ids=.")
        return self.custom_get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text: exact with `custom_get_token_ids`, else about one for four characters."""
        return math.ceil(len(text) / 4) if self.custom_get_token_ids is None else len(self.get_token_ids(text))

    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Tokens of messages and tools, approximately: nothing is downloaded for it."""
        specs: list[BaseTool | dict[str, Any]] | None = [convert_to_openai_tool(tool) for tool in tools or ()] or None
        return count_tokens_approximately(messages, tools=specs)

    # -- the router ----------------------------------------------------------------------------------------------------

    @property
    def active_router(self) -> Router:
        """The router behind this model, for its `targets()` and `entries()`.

        Raises:
            ConfigurationError: for a malformed token, URL or header value.
        """
        return router_of(self, Account(self.hf_token, self.hf_base_url, self.bill_to, self.ledger))

    def close(self) -> None:
        """Write what the ledger still holds and release its file. The model may be used again.

        A router that was given is its owner's to close.
        """
        if self._own is not None:
            self._own[1].close()

    async def aclose(self) -> None:
        """The asynchronous twin of `close`."""
        if self._own is not None:
            await self._own[1].aclose()

    def _call(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `Router.chat`: the model's settings, overridden by the call's."""
        overrides = kwargs if stop is None else {**kwargs, "stop": stop}
        call = routed_call(settings.merged(self._settings, overrides), self.active_router.policy)
        return call | {"messages": convert.openai_messages(messages)}

    def _stream_call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        kwargs: Mapping[str, Any],
    ) -> tuple[dict[str, Any], bool]:
        call = attributed(self._call(messages, stop, kwargs), run.metadata if run else None)
        if (call.get("n") or 1) > 1:
            raise ConfigurationError("a stream carries one answer; ask for n > 1 with invoke, or leave it out.")
        usage = kwargs.get("stream_usage")
        return call, self.stream_usage if usage is None else bool(usage)

    # -- the four ways to call -----------------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            return convert.chat_result(self.active_router.chat(**self._call(messages, stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            return convert.chat_result(await self.active_router.achat(**self._call(messages, stop, kwargs)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with model_errors():
            call, usage = self._stream_call(messages, stop, run_manager, kwargs)
            blocks = self.output_version == "v1"
            with self.active_router.stream(**call) as stream:
                for delta in stream:
                    if chunk := convert.chunk(delta, blocks=blocks):
                        # LangChain's own stream() passes no run_manager and reports tokens itself.
                        if run_manager:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
                last = convert.last_chunk(stream.completion(), usage=usage, blocks=blocks)
                if run_manager:
                    run_manager.on_llm_new_token("", chunk=last)
                yield last

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with model_errors():
            call, usage = self._stream_call(messages, stop, run_manager, kwargs)
            blocks = self.output_version == "v1"
            async with await self.active_router.astream(**call) as stream:
                async for delta in stream:
                    if chunk := convert.chunk(delta, blocks=blocks):
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
                last = convert.last_chunk(stream.completion(), usage=usage, blocks=blocks)
                if run_manager:
                    await run_manager.on_llm_new_token("", chunk=last)
                yield last

    # -- attribution ---------------------------------------------------------------------------------------------------
    # LangChain hands a config's metadata to `_generate` and to some calls of `_stream` only. Where it does not, tags go
    # by the context, and among the arguments of a stream; of `invoke` they must not be one, for the sake of cache keys.

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As in LangChain; `metadata["hfrouter_tags"]` are the tags of the calls."""
        with self._attributed(metadata):
            return super().generate(messages, stop, callbacks, metadata=metadata, **kwargs)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """The asynchronous twin of `generate`."""
        with self._attributed(metadata):
            return await super().agenerate(messages, stop, callbacks, metadata=metadata, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 (LangChain's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """As in LangChain; `config["metadata"]["hfrouter_tags"]` are the tags of the call."""
        return super().stream(input, config, stop=stop, **self._with_tags(config, kwargs))

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 (LangChain's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """The asynchronous twin of `stream`."""
        return super().astream(input, config, stop=stop, **self._with_tags(config, kwargs))

    def _attributed(self, metadata: Mapping[str, Any] | None) -> AbstractContextManager[None]:
        with model_errors():
            return tags(carried_tags(self.metadata, metadata))

    def _with_tags(self, config: RunnableConfig | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a stream, with the tags of its config."""
        with model_errors():
            given = {TAGS: kwargs.get(TAGS)}
            found = carried_tags(self.metadata, ensure_config(config).get("metadata"), given)
        return kwargs | {TAGS: found} if found else kwargs

    # -- tools and structured output -----------------------------------------------------------------------------------
    # Every name in these signatures is imported at run time: RunnableWithFallbacks resolves them (langchain#36579).

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: dict[str, Any] | type | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model.

        Args:
            tools: Functions, pydantic classes, TypedDicts, LangChain tools or OpenAI tool mappings.
            tool_choice: A tool's name, `"any"`, `"required"` or True for at least one call, `"auto"`, `"none"`, or
                OpenAI's own mapping.
            strict: Whether arguments must follow the schema to the letter, where the provider can enforce it.
            parallel_tool_calls: Whether one answer may call several tools.
            response_format: The shape of an answer that calls no tool: a class, a JSON schema, or OpenAI's mapping.
            **kwargs: Anything else a call takes.

        Raises:
            ValueError: for a `tool_choice` that is none of the tools.
        """
        specs = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        bound = {
            "tool_choice": structured.tool_choice(tool_choice, specs),
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": None if response_format is None else structured.response_format(response_format, strict),
        }
        return self.bind(tools=specs, **{name: v for name, v in bound.items() if v is not None}, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: structured.Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Ask for answers of a given shape.

        Args:
            schema: A pydantic class (answers are its instances), a TypedDict or a JSON schema (answers are dicts).
            method: `json_schema` for the provider's own structured output, `function_calling` for a forced tool call,
                `json_mode` for any JSON, whose keys the prompt must name.
            include_raw: Give `{"raw": message, "parsed": ..., "parsing_error": ...}` and do not raise on a bad answer.
            strict: Whether the provider must enforce the schema to the letter.
            **kwargs: Anything else a call takes.

        Raises:
            ValueError: for an unknown method, or no schema where one is needed.
        """
        llm = self.bind(**structured.binding(schema, method, strict), **kwargs)
        reads = structured.parser(schema, method)
        return structured.with_raw(llm, reads) if include_raw else llm | reads
